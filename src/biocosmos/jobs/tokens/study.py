"""Measure reductions of a vision transformer's tokens side by side: every method at every keep rate, and what each keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.embed.parts import locked_work
from biocosmos.encoders.reduction.methods import reducer_class
from biocosmos.encoders.reduction.reduced import reduced, without_reduction
from biocosmos.encoders.reduction.spec import Reduction, reduced_name, split_name, untrained
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.evaluate.clustering.work import Work, digest
from biocosmos.evaluate.cross_modal.sides import unit
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tokens.report import study
from biocosmos.evaluate.tokens.settings import DENSE, LeftOut, Measured, Overlaid, Traced
from biocosmos.files import is_file
from biocosmos.identify.namers.heads import HEAD, TrainedHead
from biocosmos.jobs.tokens.asked import Asked, Pixels, choose_specimens, readable
from biocosmos.jobs.tokens.setting import Setting, kind_of, named_right, traced_of
from biocosmos.jobs.tokens.settings import TokensStudySettings
from biocosmos.progress import progress
from biocosmos.provenance import encoder_name
from biocosmos.settings import told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]
WORK = "work/tokens"
TRAINED = "trained"
"""In tables the encoder of settings that were trained with their reduction."""


@dataclass
class Base:
    """An encoder that is reduced here, or was trained with a reduction; name: as it was given; its head, where it has one."""

    name: str
    towers: Towers
    head: TrainedHead | None


def study_tokens(collection: Collection, settings: TokensStudySettings | None = None, **options: Any) -> Report:
    """A report of kind "tokens": right answers, speed and patterns of every method at every keep rate.

    settings, or as options: see :class:`TokensStudySettings`. What was measured is kept in the collection's folder
    ``work/tokens`` by encoder, reduction and specimens, so that a killed run goes on.

    Raises BiocosmosError: an encoder that is no vision transformer; a method that needs training and was named; specimens that an
    encoder was trained on, by their ids; a part without labelled specimens.
    """
    settings = told(TokensStudySettings, **options) if settings is None else settings
    names = [encoder_name(name) for name in settings.encoder or (collection.encoder_name(),)]
    guard.refuse_part(collection, settings.split, *names, where=settings.where)
    bases = [Base(name, load_towers(name), _head(name)) for name in dict.fromkeys(names)]
    plans, left_out = _plan(bases, settings)
    asked = choose_specimens(collection, settings)
    runs = _Runs(collection, settings, asked, Work(collection.path / WORK))
    with locked_work(collection.path / WORK, doing="measuring reductions"):
        report = _report(runs, bases, plans, left_out)
        runs.done()
    return report


def _report(runs: _Runs, bases: list[Base], plans: list[Plan], left_out: list[LeftOut]) -> Report:
    collection, settings, names = runs.collection, runs.settings, [base.name for base in bases]
    measured = runs.all(plans)
    title = f"{collection.path.stem}: reductions of tokens of {', '.join(base.name for base in bases)}"
    return study(
        measured,
        left_out,
        title=title,
        pictures=runs.pictures(),
        elsewhere={path.stem: runs.elsewhere(Collection.open(path), plans) for path in settings.against},
        caveats=[*guard.told(collection, runs.ids, *names), *_said(collection, runs, settings)],
        provenance=_facts(collection, bases, settings, runs),
    )


@dataclass
class Plan:
    """One setting to measure: the towers with their reduction, those without, and how tables call it."""

    name: str
    encoder: str
    method: str
    keep: str
    towers: Towers
    dense: Towers
    head: TrainedHead | None

    @property
    def network(self) -> str:
        """What decides how fast it is with every token."""
        return f"{self.dense.architecture} {self.dense.preprocessing.as_dict()}"


def _plan(bases: list[Base], settings: TokensStudySettings) -> tuple[list[Plan], list[LeftOut]]:
    """What is measured, dense first; and what is not, and why."""
    plans: list[Plan] = []
    left_out: list[LeftOut] = []
    for base in bases:
        if base.towers.reduction is not None:
            own = base.towers.reduction
            encoder = TRAINED if split_name(base.name)[1] is None else split_name(base.name)[0]
            plan = Plan(base.name, encoder, _method(own), _keep(own), base.towers, without_reduction(base.towers), base.head)
            plans.append(plan)
            continue
        plans.append(Plan(base.name, base.name, DENSE, "", base.towers, base.towers, base.head))
        for method, by_name in settings.asked:
            if why := _cannot(method, base.name):
                if by_name:
                    raise BiocosmosError(why)
                left_out.append(LeftOut(f"{base.name}+{method}", base.name, method, "", why))
                continue
            for keep in dict.fromkeys(settings.keep):
                reduction = _reduction(method, keep)
                name = reduced_name(base.name, reduction)
                try:
                    towers = reduced(base.towers, reduction)
                except BiocosmosError as error:
                    raise BiocosmosError(f"encoder '{base.name}': {first_line(error)}") from error
                plans.append(Plan(name, base.name, method, f"{keep:g}", towers, base.towers, base.head))
    called = [(plan.encoder, plan.method, plan.keep) for plan in plans]
    for plan, one in zip(plans, called):
        if called.count(one) > 1:
            plan.encoder = plan.name  # two trainings of one reduction
    return plans, left_out


def _reduction(method: str, keep: float) -> Reduction:
    name, _, variant = method.partition(".")
    return Reduction(name, keep=(keep,), variant=variant)


def _cannot(method: str, base: str) -> str:
    """Why a method cannot be measured as it is, "" where it can."""
    reduction = _reduction(method, 0.5)
    if not reduction.off_the_shelf:
        return f"{untrained(method, base)}, then name its folder with -e"
    try:
        reducer_class(reduction.method)
    except BiocosmosError as error:
        return first_line(error)
    return ""


def _method(reduction: Reduction) -> str:
    return str(reduction).partition("-")[0]


def _keep(reduction: Reduction) -> str:
    """ "0.5", or what else was asked for: "r16", "0.9/0.7/0.5@2/5/8"."""
    return str(reduction).partition("-")[2]


def _head(name: str) -> TrainedHead | None:
    """The head in an encoder's folder, if it stands on the encoder's features alone."""
    folder = Path(split_name(name)[0]).expanduser()
    if not is_file(folder / HEAD):
        return None
    return TrainedHead.load(folder)


class _Runs:
    """Measures plans one after the other; those that were measured before are read."""

    def __init__(self, collection: Collection, settings: TokensStudySettings, asked: Asked, work: Work) -> None:
        self.collection, self.settings, self.asked, self.work = collection, settings, asked, work
        self.device = choose_device(settings.device)
        self._read: dict[str, tuple[Asked, Pixels, Pixels]] = {}
        self._more: dict[Path, Pixels] = {}

    @property
    def ids(self) -> Array:
        """Of the specimens that ask."""
        return self.asked.queries.ids

    def all(self, plans: list[Plan]) -> list[Measured]:
        """Every plan, dense ones first."""
        found: list[tuple[Plan, dict[str, Array]]] = []
        dense: dict[int, Setting] = {}
        with progress("measure reductions", total=len(plans), unit="settings") as bar:
            for plan in plans:
                bar.describe(f"measure {plan.name}")
                found.append((plan, self._arrays(plan, dense)))
                bar.advance()
        return list(self._measured(found))

    def _arrays(self, plan: Plan, dense: dict[int, Setting]) -> dict[str, Array]:
        settings = self.settings
        asked, queries, gallery = self._prepared(plan.towers)
        facts = {
            "digest": plan.towers.digest,
            "reduction": str(plan.towers.reduction),
            "preprocessing": plan.towers.preprocessing.as_dict(),
            "ids": digest(asked.queries.ids, asked.gallery.ids),
            "nodes": digest(asked.queries.nodes, asked.gallery.nodes),
            "head": None if plan.head is None else plan.head.digest,
            "traced": settings.traced,
            "batch": settings.batch_size,
            "rounds": settings.rounds,
            "device": self.device,
        }

        def make() -> dict[str, Array]:
            one = Setting(plan.towers, self.device)
            key = id(plan.dense)
            if key not in dense:
                dense.clear()
                dense[key] = one if plan.towers is plan.dense else Setting(plan.dense, self.device)
            asking, answering = (one.embed(pixels, settings.batch_size) for pixels in (queries, gallery))
            vectors, known = unit(asking), unit(answering)
            speedup, rate = one.speed(dense[key], queries, settings.batch_size, settings.rounds)
            made = {
                "vectors": vectors,
                "recall": asked.nearest_is_right(vectors, known),
                "speed": np.array([1.0 if plan.method == DENSE else speedup, rate]),
                **one.look_into(queries, settings.batch_size, settings.traced),
            }
            label = named_right(plan.head, asking, asked.queries.table)
            return made if label is None else made | {"label": label}

        return self.work.get("setting", facts, make)

    def _prepared(self, towers: Towers) -> tuple[Asked, Pixels, Pixels]:
        key = str(towers.preprocessing.as_dict())
        if key not in self._read:
            folder = self.collection.path / WORK
            self._read[key] = readable(self.collection, self.asked, towers.preprocessing, folder)
            self.asked = self._read[key][0]
        return self._read[key]

    def _measured(self, found: list[tuple[Plan, dict[str, Array]]]) -> Iterator[Measured]:
        dense = {plan.encoder: arrays for plan, arrays in found if plan.method == DENSE}
        rates: dict[str, float] = {}  # of the dense network, whatever its weights
        for plan, arrays in found:
            rates[plan.network] = max(rates.get(plan.network, 0.0), float(arrays["speed"][1]))
        like = next((arrays for _, arrays in found if "blocks" in arrays), None)
        ids = self.ids[: self.settings.traced]
        for plan, arrays in found:
            before = dense.get(plan.encoder)
            cosine = np.empty(0)
            if before is not None and before["vectors"].shape == arrays["vectors"].shape:
                cosine = (before["vectors"] * arrays["vectors"]).sum(1)
            yield Measured(
                name=plan.name,
                encoder=plan.encoder,
                method=plan.method,
                keep=plan.keep,
                kind=kind_of(plan.towers.reduction),
                recall=arrays["recall"],
                label=arrays.get("label"),
                cosine=cosine,
                speedup=float(arrays["speed"][0]),
                dense_images_s=rates[plan.network],
                tokens=arrays["tokens"].mean(1).tolist() if "tokens" in arrays else [],
                traced=traced_of(arrays, ids, like),
            )

    def elsewhere(self, other: Collection, plans: list[Plan]) -> dict[str, Traced]:
        """What the settings that drop patches do to images of another collection, by name; nobody is asked there."""
        ids = np.array(other.table(["id"])["id"].to_pylist(), object)
        ids = ids[np.random.default_rng(self.settings.seed).permutation(len(ids))[: self.settings.traced]]
        found: dict[str, Traced] = {}
        for plan in [plan for plan in plans if kind_of(plan.towers.reduction) == "prune"]:
            prepared = Pixels.of(other, ids, plan.towers.preprocessing, self.collection.path / WORK, Failures())
            self._more[prepared.stem] = prepared
            facts = [
                plan.towers.digest,
                plan.towers.preprocessing.as_dict(),
                digest(ids),
                str(other.path),
                self.settings.batch_size,
            ]
            one = partial(Setting(plan.towers, self.device).look_into, prepared, self.settings.batch_size, len(ids))
            if not prepared.good.any():
                raise BiocosmosError(f"no image of {other.path} can be read: see 'biocosmos failures'")
            traced = traced_of(self.work.get("elsewhere", facts, one), ids[prepared.good])
            if traced is not None:
                found[plan.name] = traced
        return found

    def pictures(self) -> list[Overlaid]:
        """The first specimens that ask, as the first encoder saw them."""
        asked, queries, _ = next(iter(self._read.values()))
        taxa = asked.queries.table[asked.rank].to_pylist()
        count = min(self.settings.pictures, self.settings.traced, len(asked.queries))
        found = zip(asked.queries.ids, taxa, queries.first(count))
        return [Overlaid(str(id_), taxon or "no name", pixels) for id_, taxon, pixels in found]

    def done(self) -> None:
        """The prepared images are not needed any more."""
        for prepared in [*(pixels for _, *both in self._read.values() for pixels in both), *self._more.values()]:
            prepared.remove()


def _said(collection: Collection, runs: _Runs, settings: TokensStudySettings) -> list[str]:
    asked = runs.asked
    said = [
        f"Recall@1 is of {int(asked.answerable.sum()):,} queries of part '{settings.split}' whose {asked.rank} is among "
        f"{len(asked.gallery):,} specimens of part '{settings.gallery}'; a query never finds itself."
    ]
    for part, found in ((settings.split, asked.queries), (settings.gallery, asked.gallery)):
        whole = collection.count(split=part, where=settings.where)
        if whole > len(found):
            said.append(
                f"Of part '{part}' {len(found):,} of {whole:,} specimens were taken, a seeded sample of what can be read."
            )
    return said


def _facts(collection: Collection, bases: list[Base], settings: TokensStudySettings, runs: _Runs) -> dict[str, Any]:
    split = collection.split_of(settings.split)
    return {
        "collection": str(collection.path),
        "encoders": {base.name: {"digest": base.towers.digest, "precision": "float32", "backend": "torch"} for base in bases},
        "split_hash": split.hash,
        "gallery_part": settings.gallery,
        "query_part": settings.split,
        "rank": runs.asked.rank,
        "device": runs.device,
        "options": {
            name: getattr(settings, name)
            for name in ("methods", "keep", "limit", "gallery_limit", "traced", "batch_size", "rounds", "seed", "where")
        }
        | {"against": [str(path) for path in settings.against]},
    }
