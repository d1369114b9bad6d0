"""Novelty measured honestly: taxa left out of the training, and how each kind of stranger is told from the known, apart.

Four kinds of stranger, in columns that are never pooled, because they differ by tens of points:

    near            of a class that was left out; a relative of it is known (another class of its group)
    middle          of a whole group that was left out, or of a class with nothing known above it
    known outlier   held-out images of classes whose other images were shown as outliers in training, all of a run together
    far             of no taxon at all: foreign images, chimeras
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.novelty.metrics import (
    FALSE_ALARM_RATES,
    KNOWN,
    UNTOLD,
    deepest_known,
    distortion,
    lost_at,
    placement,
    separation,
    threshold_at,
)
from biocosmos.identify.novelty.detector import Float64
from biocosmos.identify.novelty.distances import DEFAULT_FALSE_ALARM_RATE
from biocosmos.identify.novelty.known_depth import KnownDepth
from biocosmos.identify.novelty.odin import COLUMN as ODIN_COLUMN
from biocosmos.identify.novelty.odin import Odin
from biocosmos.identify.novelty.registry import BY_PREDICTIONS, DEFAULT_DETECTOR, make_detector
from biocosmos.identify.predictions import Predictions
from biocosmos.specimens import guard

Row = dict[str, Any]
Mask = npt.NDArray[np.bool_]
NEAR, MIDDLE, KNOWN_OUTLIER, FAR = "near", "middle", "known outlier", "far"
COLUMNS = (NEAR, MIDDLE, KNOWN_OUTLIER, FAR)
LEAST_SPECIMENS = 5
"""Novel specimens that a taxon needs for numbers of its own."""
INSIDE, BEST_PATH = "deepest inside", "best path"
NOTHING_ASIDE = "none"
QUANTILES = 51


@dataclass(frozen=True)
class NoveltyRun:
    """One training without some taxa, and what its head says.

    taxa: names left out, as :meth:`Taxonomy.find` takes them; none for a training with all. train: specimens it learnt from;
    held_out: known specimens it did not learn from, to scale and calibrate by; test: known specimens and those of the left-out
    taxa, none of them used so far. outliers: held-out images of classes shown as outliers in training, or None. far: name ->
    images of no taxon. reference: the test part by a training with all taxa, for the accuracy that leaving out or outliers cost.
    """

    name: str
    taxa: tuple[str, ...]
    train: Predictions
    held_out: Predictions
    test: Predictions
    outliers: Predictions | None = None
    far: Mapping[str, Predictions] = field(default_factory=dict)
    reference: Predictions | None = None


@dataclass(frozen=True)
class _Strangers:
    """Specimens that are counted together: of a left-out taxon in one column, of a kind of outlier, or the known ones."""

    column: str
    taxon: str
    predictions: Predictions


def measure(
    run: NoveltyRun, detectors: Sequence[str] | None = None, *, false_alarms: float = DEFAULT_FALSE_ALARM_RATE
) -> dict[str, list[Row]]:
    """Rows of the tables separation, placement, distortion, accuracy and scores of one run.

    detectors: names; default all, ODIN only where the predictions have its column; the first of them (the default detector if
    it is among them) also places specimens and sets operating points. Left-out specimens are told by the tree: a specimen whose
    true path leaves the classes of the head is novel, whatever ``taxa`` says.

    Raises BiocosmosError where there is no known specimen in ``held_out`` or ``test``, or a left-out taxon was trained on.
    """
    _refuse_leaks(run)
    known = run.test.subset(run.test.answerable)
    if not len(known) or not run.held_out.answerable.any():
        raise BiocosmosError(
            f"run {run.name!r} has no known specimen in its test or its held-out part to compare novel ones with"
        )
    train, held_out = run.train.subset(run.train.answerable), run.held_out.subset(run.held_out.answerable)
    names = list(detectors or [*BY_PREDICTIONS, *([Odin.name] if _has_odin(run) else [])])
    main = DEFAULT_DETECTOR if DEFAULT_DETECTOR in names else names[0]
    strangers = list(_strangers(run))
    about = {"run": run.name, "left_out_together": len(run.taxa)}
    rows: dict[str, list[Row]] = {"separation": [], "placement": [], "distortion": [], "accuracy": [], "scores": []}
    for name in names:
        detector = make_detector(name).fit(train, held_out)
        usual = detector.scores(known)
        scores = [detector.scores(other.predictions) for other in strangers]
        for other, theirs in zip(strangers, scores):
            found = separation(theirs, usual)
            rows["separation"].append({**about, "column": other.column, "taxon": other.taxon, "detector": name, **asdict(found)})
        if name == main:
            everyone = [_Strangers(KNOWN, "known specimens", known), *strangers]
            depth = KnownDepth(detector, held_out, false_alarms)
            rows["placement"] = _placements(depth, everyone, [usual, *scores], about)
            rows["distortion"] = _distortions(detector.scores(held_out), everyone, [usual, *scores], about)
            rows["scores"] = _quantiles(everyone, [usual, *scores], about)
    rows["accuracy"] = _accuracy(run, about)
    return rows


def _refuse_leaks(run: NoveltyRun) -> None:
    learnt = guard.Fitted.of(f"the detectors of run {run.name!r}", fitted=run.train.ids, calibrated=run.held_out.ids)
    for what, part in (("held-out", run.held_out), ("test", run.test)):
        uses = (guard.FITTED,) if part is run.held_out else guard.REFUSED
        guard.refuse(part.ids, learnt, asked=f"specimens of the {what} part", remedy="keep the parts of a run apart", uses=uses)
    tax = run.test.taxonomy
    for taxon in run.taxa:
        below = tax.slice(tax.find(taxon))
        if ((run.test.classes >= below.start) & (run.test.classes < below.stop)).any():
            raise BiocosmosError(f"run {run.name!r} leaves {taxon!r} out, but its head has it as a class: train it without")


def _has_odin(run: NoveltyRun) -> bool:
    parts = [run.test, *run.far.values(), *([run.outliers] if run.outliers is not None else [])]
    return all(part.columns is not None and ODIN_COLUMN in part.columns.column_names for part in parts)


def _strangers(run: NoveltyRun) -> Iterator[_Strangers]:
    tax, truth, lost = run.test.taxonomy, run.test.truth, lost_at(run.test)
    novel = (lost != KNOWN) & (lost != UNTOLD) & (truth > 0)
    near = novel & (lost == tax.ranks[-1]) & (deepest_known(run.test) > 0)
    outlying = np.zeros(len(truth), bool)
    for taxon in run.taxa:
        below = tax.slice(tax.find(taxon))
        mine = (truth >= below.start) & (truth < below.stop)
        for column, mask in ((NEAR, near), (MIDDLE, novel & ~near)):
            if (mine & mask & ~outlying).sum() >= LEAST_SPECIMENS:
                yield _Strangers(column, taxon, run.test.subset(mine & mask & ~outlying))
        outlying |= mine
    if run.outliers is not None and len(run.outliers):
        yield _Strangers(KNOWN_OUTLIER, "all of them", run.outliers)
    for name, part in run.far.items():
        if len(part):
            yield _Strangers(FAR, name, part)


def _placements(depth: KnownDepth, everyone: Sequence[_Strangers], scores: Sequence[Float64], about: Row) -> list[Row]:
    """Where known and novel specimens are put by the best path and by the deepest rank inside the known."""
    rows = []
    for other, theirs in zip(everyone, scores):
        part = other.predictions
        placed, deepest = depth.place(part, theirs), deepest_known(part)
        for rule, answers in ((INSIDE, placed.nodes), (BEST_PATH, _ends(part))):
            found = asdict(placement(part.taxonomy, answers, deepest)) | {"specimens": len(part)}
            at = np.where(answers > 0, part.taxonomy.rank[np.maximum(answers, 0)], -1)
            ranks = zip(range(-1, len(part.ranks)), ("none", *part.ranks))
            answered = {f"answered_{rank}": float((at == i).mean()) for i, rank in ranks}
            found |= {"flagged": float(placed.novel.mean()), **answered}
            rows.append({**about, "column": other.column, "taxon": other.taxon, "rule": rule, **found})
    return rows


def _ends(predictions: Predictions) -> npt.NDArray[np.int32]:
    """The deepest node of each best path: node numbers grow down a path."""
    return np.asarray(predictions.best_path()[0].max(axis=1))


def _distortions(usual: Float64, everyone: Sequence[_Strangers], scores: Sequence[Float64], about: Row) -> list[Row]:
    """Counts of the known and one kind of strangers when those above a threshold are put aside.

    usual: scores of held-out known specimens, which set the thresholds; the first of ``everyone`` are the known ones.
    """
    points: list[tuple[str, float]] = [(NOTHING_ASIDE, np.inf)]
    points += [(f"{rate:g}", threshold_at(usual, rate)) for rate in FALSE_ALARM_RATES]
    known, rows = everyone[0].predictions, []
    for other, theirs in zip(everyone[1:], scores[1:]):
        both = [known, other.predictions]
        answers, truth = np.concatenate([_ends(part) for part in both]), np.concatenate([part.truth for part in both])
        novel = np.arange(len(truth)) >= len(known)
        mixed = np.concatenate([scores[0], theirs])
        found = distortion(answers, truth, novel, mixed, [at for _, at in points], known.classes)
        kind = {"column": other.column, "taxon": other.taxon, "novel_share": float(novel.mean())}
        rows += [{**about, **kind, "put_aside": point, **asdict(row)} for (point, _), row in zip(points, found)]
    return rows


def _quantiles(everyone: Sequence[_Strangers], scores: Sequence[Float64], about: Row) -> list[Row]:
    """Quantiles of the scores of each group: enough to draw them, without keeping them."""
    rows, steps = [], np.linspace(0, 1, QUANTILES)
    for other, theirs in zip(everyone, scores):
        theirs = theirs[np.isfinite(theirs)]
        if len(theirs):
            found = zip(steps.tolist(), np.quantile(theirs, steps).tolist())
            kind = {"column": other.column, "taxon": other.taxon}
            rows += [{**about, **kind, "quantile": step, "score": score} for step, score in found]
    return rows


def _accuracy(run: NoveltyRun, about: Row) -> list[Row]:
    """Share of known test specimens right at each rank, by this head and by the reference on the same specimens."""
    known = run.test.subset(run.test.answerable)
    other = None
    if run.reference is not None:
        place = {id_: row for row, id_ in enumerate(run.reference.ids.tolist())}
        shared = np.array([id_ in place for id_ in known.ids.tolist()], bool)
        known = known.subset(shared)
        other = run.reference.subset(np.array([place[id_] for id_ in known.ids.tolist()], np.int64))
    rows = []
    for at, rank in enumerate(known.ranks):
        right = _right(known, at)
        row: Row = {
            **about,
            "rank": rank,
            "specimens": len(right),
            "accuracy": float(right.mean()) if len(right) else float("nan"),
        }
        row["reference"] = None if other is None or not len(right) else float(_right(other, at).mean())
        rows.append(row)
    return rows


def _right(predictions: Predictions, at: int) -> Mask:
    """Whether the best path is right at a rank, for the specimens with a name there."""
    tax = predictions.taxonomy
    true = tax.ancestor(predictions.truth, at)
    said = predictions.best_path()[0][true > 0, at]
    return np.asarray(said == true[true > 0])
