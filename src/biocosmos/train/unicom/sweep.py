"""A sweep: one training for each number of clusters, all measured alike, and a number chosen without labels.

Every training is a run folder of its own in the sweep's folder, so that a killed sweep goes on where it was, and each is an
encoder that every other command accepts. The choice looks at vectors of the validation part only; the test part is measured
once, at the end, and nothing is chosen by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pcsv
import torch

from biocosmos import evaluate
from biocosmos.discover.choice.among import Candidate, best_by, score_all
from biocosmos.discover.choice.embeddings import CRITERIA, LEAST_ROWS, MOST, label_free_scores, nearest_other
from biocosmos.discover.choice.information import NEIGHBOURS
from biocosmos.embed import embed
from biocosmos.encoders.registry import load_towers
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.sweep.page import page
from biocosmos.search.exact import ExactIndex
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import neighbour_graph
from biocosmos.specimens.collection import Collection
from biocosmos.train.loop.run_folder import AUDIT
from biocosmos.train.loop.settings import beside
from biocosmos.train.unicom.settings import UnicomSettings
from biocosmos.train.unicom.sweep_choice import CHOOSER, caveats, criteria_table, main_rank
from biocosmos.train.unicom.training import TrainResult, class_means, train_unicom

COUNTS = (100, 500, 1000, 2000, 3000, 5000, 10000)
BASE, REFERENCE = "base", "true taxa"
GROUP = "group"
"""A column that is grouped by when the collection has it and nothing else is asked for."""
ENCODE_ROWS = 4096

Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class _Model:
    """One thing that is measured: the base, a training on clusters, or the supervised reference."""

    name: str
    clusters: int | None
    folder: Path | None
    result: TrainResult | None = None


def sweep(
    collection: Collection | str | Path,
    settings: UnicomSettings,
    counts: Sequence[int] = COUNTS,
    output: str | Path = "sweep",
    *,
    groups: Sequence[str] | None = None,
    test: str = "test",
    reference: bool = True,
    overwrite: bool = False,
) -> Report:
    """Train once for each number of clusters in ``counts``, measure all, choose one, and write the report into ``output``.

    Args:
        settings: of every training; ``clusters`` is replaced. With ``freeze`` no vector is added to the collection.
        groups: columns in which recall is shown apart; default the column ``group`` if there is one.
        test: the part that is measured at the end; "" for none.
        reference: also train on the true taxa, with the same settings, where the training part has names.

    Counts the data do not allow are left out, with the reason, in the table ``skipped``. Tables: summary, by_group, choice,
    criteria, labels, skipped. The folder of the chosen training is in ``report.provenance["chosen"]``.
    Raises BiocosmosError: no count is possible; and what :func:`train_unicom` refuses.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    output = Path(output)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BiocosmosError("a sweep runs in one process: start it without torchrun, or train one number of clusters")
    if settings.taxa is not None or settings.labels is not None:
        raise BiocosmosError(
            "a sweep makes its own clusters: leave --taxa and --labels out, the true taxa are its reference anyway"
        )
    if settings.encoder not in collection.encoders:
        embed(collection, settings.encoder, device=settings.device)
    if groups is None:
        groups = [GROUP] if GROUP in collection.dataset.schema.names else []
    parts = _parts(collection, settings, test)
    galleries = {part: collection.gallery(settings.encoder, split=part, columns=groups) for part in parts.values()}
    training = galleries[settings.split]
    wanted, skipped = _possible(counts, len(training))
    main = main_rank(training)
    models = [_Model(BASE, None, None)]
    for count in wanted:
        models.append(_trained(collection, replace(settings, clusters=count), output / f"clusters-{count}", overwrite))
    if reference and main is not None:
        supervised = replace(settings, taxa=main, loss="margin", monitor="auto")
        try:
            models.append(_trained(collection, supervised, output / "true-taxa", overwrite))
        except BiocosmosError as error:
            skipped.append({"what": REFERENCE, "reason": str(error)})
    measured = _Measured(collection, settings, galleries, parts, main, groups)
    for model in models:
        measured.add(model)
    seconds = {model.name: round(model.result.history.seconds, 1) for model in models if model.result is not None}
    return measured.report(skipped, seconds, output)


def _parts(collection: Collection, settings: UnicomSettings, test: str) -> dict[str, str]:
    """ "train", "val" and "test" -> the part that plays it; those that the split lacks are left out."""
    asked = {"train": settings.split, "val": settings.validation, "test": beside(settings.split, test)}
    found = {}
    for role, part in asked.items():
        name, _, short = part.rpartition(":")
        if part and collection.split(name or "default").has(short):
            found[role] = part
    if "train" not in found:
        raise BiocosmosError(f"the split of {collection.path} has no part '{settings.split}' to train on")
    return found


def _possible(counts: Sequence[int], images: int) -> tuple[list[int], list[Row]]:
    """The counts that can be made of so many images, ascending and once each; the others with the reason."""
    wanted, skipped = [], []
    for count in sorted(set(counts)):
        if count < 2:
            skipped.append({"what": f"{count:,} clusters", "reason": "there is nothing to tell apart in fewer than two"})
        elif count > images:
            reason = f"there are only {images:,} training images to make them of"
            skipped.append({"what": f"{count:,} clusters", "reason": reason})
        else:
            wanted.append(count)
    if not wanted:
        reason = skipped[0]["reason"] if skipped else "none was given"
        raise BiocosmosError(f"no number of clusters is possible: {reason}; ask for 2 to {images:,}")
    return wanted, skipped


def _trained(collection: Collection, settings: UnicomSettings, folder: Path, overwrite: bool) -> _Model:
    result = train_unicom(collection, settings, folder, overwrite=overwrite)
    name = REFERENCE if settings.taxa is not None else f"{settings.clusters:,} clusters"
    return _Model(name, None if settings.taxa is not None else settings.clusters, folder, result)


# ---------------------------------------------------------------------------------------------------- vectors


def _vectors(
    collection: Collection, settings: UnicomSettings, model: _Model, galleries: dict[str, Gallery]
) -> Iterator[tuple[str, Gallery]]:
    """(part, the gallery with the model's vectors in place of the base's)."""
    if model.folder is None:
        yield from galleries.items()
        return
    if not settings.freeze:
        name = str(model.folder)
        stale = collection.encoders.get(name, {}).get("digest") not in (None, load_towers(name).digest)
        embed(collection, name, device=settings.device, overwrite=stale)
        for part, gallery in galleries.items():
            names = [column for column in gallery.columns.column_names if column not in ("id", *collection.ranks)]  # type: ignore[union-attr]
            made = collection.gallery(name, split=part, columns=names)
            yield part, made.subset(np.isin(made.ids.astype(str), gallery.ids.astype(str)))
        return
    towers = load_towers(str(model.folder))
    assert towers.projection is not None
    projection = towers.projection.eval()
    for part, gallery in galleries.items():
        found = []
        with torch.inference_mode():
            for start in range(0, len(gallery), ENCODE_ROWS):
                rows = projection(torch.from_numpy(gallery.vectors[start : start + ENCODE_ROWS]))
                found.append(torch.nn.functional.normalize(rows.float(), dim=1).numpy())
        provenance = {**gallery.provenance, "encoder": str(model.folder), "digest": towers.digest}
        vectors = np.concatenate([np.empty((0, towers.projection.dim_out), np.float32), *found])
        yield part, replace(gallery, vectors=vectors, provenance=provenance)


# ---------------------------------------------------------------------------------------------------- measure


@dataclass
class _Measured:
    """What is found of the models of a sweep, one after another.

    galleries: by part, of the base encoder; parts: "train", "val" and "test" -> the part that plays it; main: the rank that is
    judged by. candidates: of each model, the nearest other of each validation specimen and the cluster it would belong to.
    """

    collection: Collection
    settings: UnicomSettings
    galleries: dict[str, Gallery]
    parts: dict[str, str]
    main: str | None
    groups: Sequence[str]
    summary: list[Row] = field(default_factory=list)
    by_group: list[Row] = field(default_factory=list)
    labels: list[Row] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)

    def add(self, model: _Model) -> None:
        """Measure a model."""
        made = dict(_vectors(self.collection, self.settings, model, self.galleries))
        about = {"model": model.name, "clusters": model.clusters}
        played = {role: made[part] for role, part in self.parts.items()}
        if self.main is not None:
            for role in ("val", "test"):
                if role in played and _labelled(played[role]):
                    self._recall(played["train"], played[role], {**about, "part": role})
        if "val" in played and min(len(played["val"]), len(played["train"])) >= LEAST_ROWS:
            scores = label_free_scores(played["train"].vectors, played["val"].vectors, seed=self.settings.seed)
            own = None
            if model.clusters is not None and model.result is not None:
                means = class_means(self.galleries[self.parts["train"]], model.result.labels)
                own = ExactIndex(means).search(self.galleries[self.parts["val"]].vectors, 1).rows[:, 0]
            first = nearest_other(played["val"].vectors)
            self.candidates.append(Candidate(model.name, own, first, scores, model.clusters))
        if model.folder is not None and model.result is not None:
            self.labels += [{**about, **row} for row in _agreement(model)]

    def _recall(self, train: Gallery, asked: Gallery, about: Row) -> None:
        found = evaluate.retrieval(train, asked, ks=(1,), groups=self.groups, seed=self.settings.seed, examples=0)
        self.summary += [{**about, **row} for row in found.rows("summary") if row["over"] == "all"]
        self.by_group += [
            {**about, **row}
            for row in found.rows("by_group")
            if row["over"] == "all" and row["target"] == self.main and row["average"] == "micro"
        ]

    def _chosen(self) -> tuple[list[Row], int | None]:
        """The scores of all models, and the number of clusters of the best one, by the rule of every choice without labels."""
        near = None
        if self.candidates:
            vectors = self.galleries[self.parts["val"]].vectors
            near = neighbour_graph(vectors, min(NEIGHBOURS, len(vectors) - 1)).rows
        scored = score_all(self.candidates, near, seed=self.settings.seed)
        best = best_by(scored, CHOOSER)
        rows = [{**row, "model": row["name"], "chosen": row is best} for row in scored]
        return rows, None if best is None else int(best["clusters"])

    def report(self, skipped: list[Row], seconds: dict[str, float], output: Path) -> Report:
        """Choose a number of clusters, without labels, and write the report."""
        choice, chosen = self._chosen()
        criteria = [(criterion.name, pa.float64()) for criterion in CRITERIA]
        tables = {
            "summary": _table(self.summary, _SUMMARY),
            "by_group": _table(self.by_group, [("group", pa.string()), ("value_of_group", pa.string()), *_SUMMARY]),
            "choice": _table(choice, [*_ABOUT, *criteria, ("chosen", pa.bool_())]),
            "labels": _table(self.labels, _LABELS),
            "skipped": _table(skipped, [("what", pa.string()), ("reason", pa.string())]),
        }
        tables["criteria"] = criteria_table(tables["choice"], tables["summary"], self.main)
        train = self.galleries[self.parts["train"]].provenance
        provenance = {
            "protocol": "sweep over numbers of clusters",
            "gallery": dict(train),
            "split_hash": train["split"]["hash"],
            "main_target": self.main,
            "groups": list(self.groups),
            "parts": self.parts,
            "chosen": chosen and {"clusters": chosen, "by": CHOOSER, "folder": str(output / f"clusters-{chosen}")},
            "validation_queries_at_most": MOST,
            "settings": {name: value for name, value in asdict(self.settings).items() if name != "clusters"},
            "seconds": seconds,
        }
        title = f"How many clusters? {self.settings.encoder} on {self.collection.path.stem}"
        report = Report("sweep", title, tables, caveats(tables, provenance), provenance, page)
        report.write(output)
        return report


_ABOUT = [("model", pa.string()), ("clusters", pa.int64())]
_SUMMARY = [
    *_ABOUT,
    *((name, pa.string()) for name in ("part", "target", "kind", "average", "averaged_over")),
    *((name, pa.float64()) for name in ("value", "low", "high")),
    *((name, pa.int64()) for name in ("right", "queries", "taxa")),
]
_LABELS = [
    *_ABOUT,
    ("rank", pa.string()),
    ("taxa", pa.int64()),
    ("labelled", pa.int64()),
    ("purity", pa.float64()),
    ("ami", pa.float64()),
    ("median_size", pa.float64()),
    ("single", pa.int64()),
]


def _labelled(gallery: Gallery) -> bool:
    return gallery.taxa is not None and bool((gallery.taxa > 0).any())


def _table(rows: Sequence[Row], fields: Sequence[tuple[str, pa.DataType]]) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name, _ in fields} for row in rows], schema=pa.schema(fields))


def _agreement(model: _Model) -> list[Row]:
    """The audit's rows that the training left in its folder, with the sizes of the clusters."""
    assert model.folder is not None and model.result is not None
    sizes = model.result.labels.sizes()
    table = pcsv.read_csv(model.folder / AUDIT / "agreement.csv")
    more = {"median_size": float(np.median(sizes)), "single": int((sizes == 1).sum())}
    return [{**row, **more} for row in table.to_pylist()] or [{"rank": None, **more}]
