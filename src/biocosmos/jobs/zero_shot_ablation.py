"""Train zero-shot models with and without each part, for several draws of the unseen taxa, and ask all of them the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.generalised_zero_shot.report import generalised_zero_shot
from biocosmos.evaluate.generalised_zero_shot.tables import Asked
from biocosmos.evaluate.report import Report
from biocosmos.identify.namers.placed_prototypes import SEEN, PlacedPrototypes
from biocosmos.nn.prototypes import from_relatives
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.images import Images
from biocosmos.train.batches.outlier_images import ForeignImages, GeneratedOutliers, ImageSource
from biocosmos.train.loop.loop import derived_seed
from biocosmos.train.loop.settings import beside
from biocosmos.train.prototypes.geometry import OWN
from biocosmos.train.prototypes.handicap import best_handicap
from biocosmos.train.prototypes.held_out_taxa import LabelledPart, TaxaRoles, labelled_part
from biocosmos.train.prototypes.settings import ZeroShotSettings
from biocosmos.train.prototypes.training import (
    VARIANTS,
    geometry_of,
    known_again,
    means_of,
    roles_of,
    train_zero_shot,
    variant_of,
)

Array = npt.NDArray[Any]
UNTRAINED = "untrained"
"""The base encoder with class means, unseen taxa placed as in the trained models."""
CHIMERAS = ("halves", "quadrants")
FOREIGN = "foreign"
MOST = 300
"""Anomalies of each kind."""
BLOCK = 64


def zero_shot_ablation(
    collection: Collection | str | Path,
    settings: ZeroShotSettings,
    output: str | Path,
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    draws: int = 1,
    test: str = "test",
    foreign: str | Path | None = None,
    chimeras: int = MOST,
    overwrite: bool = False,
) -> Report:
    """Train every variant in a folder of ``output`` and report on the part ``test``; killed and called again, it goes on.

    Args:
        settings: of every training; ``draw`` is counted up from the one given.
        variants: of :data:`biocosmos.train.prototypes.training.VARIANTS`; the untrained baseline comes last.
        draws: of the unseen taxa; with names in ``hold_out`` only the taxa chosen on are drawn anew.
        foreign: folder of foreign images; None leaves that anomaly out. chimeras: how many of each kind, 0 for none.

    Raises BiocosmosError for an unknown variant, a split without the part, and what the trainings refuse.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    output = Path(output)
    if unknown := [name for name in variants if name not in VARIANTS]:
        raise BiocosmosError(f"no variant '{unknown[0]}': choose among {', '.join(VARIANTS)}")
    if draws < 1:
        raise BiocosmosError(f"--draws must be at least 1, not {draws}")
    test = beside(settings.split, test)
    every = [replace(settings, draw=settings.draw + i) for i in range(draws)]
    plans = [(name, own, output / f"{name.replace(' ', '-').lower()}-{own.draw}") for own in every for name in variants]
    for name, own, folder in plans:
        train_zero_shot(collection, variant_of(own, name), folder, overwrite=overwrite)
    base = _Base(collection, settings, test, foreign, chimeras)
    asked: dict[tuple[str, int], Asked] = {}
    for name, own, folder in plans:
        asked[name, own.draw] = base.asked_of_folder(folder, own)
    for own in every:
        asked[UNTRAINED, own.draw] = base.asked_untrained(own)
    asked = {key: asked[key] for key in sorted(asked, key=lambda key: [*variants, UNTRAINED].index(key[0]))}
    return generalised_zero_shot(asked, seed=settings.seed, provenance=base.provenance(foreign))


class _Base:
    """Vectors by the base encoder that all frozen models project, computed once; image models encode for themselves."""

    def __init__(
        self, collection: Collection, settings: ZeroShotSettings, test: str, foreign: str | Path | None, chimeras: int
    ) -> None:
        self.collection, self.settings, self.test = collection, settings, test
        self.foreign, self.chimeras = foreign, chimeras
        self._vectors: dict[str, tuple[dict[str, int], Array]] = {}
        self._anomalies: dict[tuple[str, ...], Array] = {}

    def asked_of_folder(self, folder: Path, settings: ZeroShotSettings) -> Asked:
        """What the model in a run's folder is asked."""
        taxa = roles_of(self.collection, settings)
        test, training = self._parts(taxa, settings)
        encoder = load_encoder(str(folder), device=settings.device)
        if settings.freeze:
            of = {name: encoder.project(self._stored(name, part.ids)) for name, part in (("test", test), ("train", training))}
            anomalies = {k: encoder.project(v) for k, v in self._made(settings.encoder, test.only(taxa.of(SEEN))).items()}
        else:
            of = {name: self._encoded(encoder, part.ids) for name, part in (("test", test), ("train", training))}
            anomalies = self._made(str(folder), test.only(taxa.of(SEEN)))
        return Asked(PlacedPrototypes.load(folder), of["test"], test.taxa, of["train"], anomalies, {"folder": str(folder)})

    def asked_untrained(self, settings: ZeroShotSettings) -> Asked:
        """The base encoder's class means, its handicap chosen on the same taxa and images."""
        taxa = roles_of(self.collection, settings)
        test, training = self._parts(taxa, settings)
        vectors = self._stored("train", training.ids)
        seen = taxa.of(SEEN)
        points = means_of(vectors, training.taxa, np.eye(len(taxa.nodes), vectors.shape[1], dtype=np.float32))
        kernel = torch.from_numpy(geometry_of(settings, taxa).kernel).float()
        hidden = torch.from_numpy(~seen)
        points[~seen] = from_relatives(torch.from_numpy(points), kernel, hidden, own=OWN).numpy()
        handicaps = np.zeros(len(seen), np.float32)
        name, _, part = settings.validation.rpartition(":")
        chosen = taxa.of("chosen on")
        if part and self.collection.split(name or "default").has(part) and chosen.any():
            held = labelled_part(self.collection, taxa, settings.validation).only(seen | chosen)
            watched = self._stored("held", held.ids), held.taxa
            handicaps[seen] = best_handicap(*watched, points, seen, chosen).handicap
            rest = labelled_part(self.collection, taxa, settings.split).only(chosen)
            own = self._stored("train", rest.ids), rest.taxa
            points, handicaps = known_again(points, handicaps, taxa, own, watched)
        placed = PlacedPrototypes(taxa.taxonomy, taxa.nodes, points, taxa.roles, handicaps, settings.scale)
        anomalies = self._made(settings.encoder, test.only(seen))
        return Asked(placed, self._stored("test", test.ids), test.taxa, vectors, anomalies)

    def provenance(self, foreign: str | Path | None) -> dict[str, Any]:
        """What the report says of where its numbers come from."""
        facts = self.collection.encoders[self.settings.encoder]
        return {
            "collection": self.collection.path.name,
            "encoders": {self.settings.encoder: {"digest": facts.get("digest"), "preprocessing": facts.get("preprocessing")}},
            "split_hash": self.collection.split_of(self.test).hash,
            "part": self.test,
            "settings": asdict(self.settings),
            "anomalies": {"chimeras of each kind": self.chimeras, "kinds": CHIMERAS, "foreign": str(foreign or "none")},
        }

    def _parts(self, taxa: TaxaRoles, settings: ZeroShotSettings) -> tuple[LabelledPart, LabelledPart]:
        """The test part, and the seen taxa's specimens of the training part, that have a vector."""
        training = labelled_part(self.collection, taxa, settings.split).only(taxa.of(SEEN))
        return self._having("test", labelled_part(self.collection, taxa, self.test)), self._having("train", training)

    def _having(self, which: str, part: LabelledPart) -> LabelledPart:
        rows, _ = self._part_vectors(which)
        keep = np.array([str(id_) in rows for id_ in part.ids], bool)
        return LabelledPart(part.ids[keep], part.taxa[keep], part.other)

    def _part_vectors(self, which: str) -> tuple[dict[str, int], Array]:
        if which not in self._vectors:
            part = {"test": self.test, "train": self.settings.split, "held": self.settings.validation}[which]
            gallery = self.collection.gallery(self.settings.encoder, split=part, columns=())
            self._vectors[which] = ({str(id_): row for row, id_ in enumerate(gallery.ids)}, gallery.vectors)
        return self._vectors[which]

    def _stored(self, which: str, ids: Array) -> Array:
        rows, vectors = self._part_vectors(which)
        return np.asarray(vectors[[rows[str(id_)] for id_ in ids]])

    def _encoded(self, encoder: Any, ids: Array) -> Array:
        return _encode(encoder, Images(self.collection, [str(id_) for id_ in ids], encoder.preprocessing))

    def _made(self, name: str, known: LabelledPart) -> dict[str, Array]:
        """Vectors of anomalies by an encoder: chimeras of test images of seen taxa, and foreign images."""
        ids = [str(id_) for id_ in known.ids]
        wanted = {kind: (name, kind, *ids) for kind in (CHIMERAS if self.chimeras and len(np.unique(known.taxa)) > 1 else ())}
        if self.foreign is not None:
            wanted[FOREIGN] = (name, FOREIGN)
        if any(key not in self._anomalies for key in wanted.values()):
            encoder = load_encoder(name, device=self.settings.device)
            images = Images(self.collection, ids, encoder.preprocessing)
            for number, (kind, key) in enumerate(wanted.items()):
                if key not in self._anomalies:
                    self._anomalies[key] = _encode(encoder, self._source(kind, images, known, number))
        return {kind: self._anomalies[key] for kind, key in wanted.items()}

    def _source(self, kind: str, images: Images, known: LabelledPart, number: int) -> ImageSource:
        seed = self.settings.seed
        if kind == FOREIGN:
            assert self.foreign is not None
            return ForeignImages(self.foreign, images.preprocessing, most=MOST, seed=seed)
        return GeneratedOutliers(images, known.taxa + 1, (kind,), self.chimeras, derived_seed(seed, number))


def _encode(encoder: Any, source: ImageSource) -> Array:
    """(m, dim) float32 unit vectors of the images of a source that can be read."""
    parts = []
    with progress(f"encode with {encoder.name}", total=len(source), unit="images") as bar:
        for start in range(0, len(source), BLOCK):
            images, good = source.read(np.arange(start, min(start + BLOCK, len(source))))
            parts.append(encoder.encode_images(images[torch.from_numpy(good)]))
            bar.advance(len(images))
    return np.concatenate([np.empty((0, encoder.dim), np.float32), *parts])


def table_rows(report: Report, ks: Sequence[int]) -> list[tuple[str, ...]]:
    """The ablation as rows for a terminal: model, asked about, top-k over taxa; the anomaly AUROC by nearest prototype last."""
    rows: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for row in report.rows("ablation", average="macro"):
        rows.setdefault((row["variant"], row["role"]), {})[row["k"]] = row
    return [(*key, *(_shown(found.get(k)) for k in ks)) for key, found in rows.items()]


def _shown(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{100 * row['mean']:.1f}" + ("" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}")
