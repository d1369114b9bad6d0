"""How well novel specimens are told from known ones, how near they are placed, and what that does to an ecologist's counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.metrics import NAN, Novelty, bray_curtis, novelty
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]

FALSE_ALARM_RATES = (0.01, 0.05, 0.1, 0.2)
"""Operating points: the share of known specimens that may be called novel."""
KNOWN, UNTOLD, FAR = "known", "untold", "far"
ROUNDING = 1e-9  # 0.9 * 10 is a little more than 9


def separation(scores: Array, known: Array) -> Novelty:
    """AUROC, FPR at 95 % by both conventions and AUPR of scores of novel specimens (m,) against those of known ones (k,)."""
    every = np.concatenate([scores, known])
    return novelty(every, np.arange(len(every)) < len(scores))


def deepest_known(predictions: Predictions) -> Int32:
    """The deepest node on each specimen's true path at or under which the head has a class: (n,) int32, 0 the root.

    For a specimen of a known class that is its truth; of an unseen class in a known group, the group. -1 (a path that is not in
    the tree) gives 0.
    """
    return predictions.tree.nodes[predictions.tree.position(np.maximum(predictions.truth, 0))]


def lost_at(predictions: Predictions) -> npt.NDArray[np.object_]:
    """The coarsest rank at which each specimen's true path leaves the known taxa, as a name: (n,) object.

    "known" where it never does, "untold" where nothing is known about the specimen, "far" where its path is not in the tree.
    """
    tax, truth = predictions.taxonomy, predictions.truth
    path = tax.lineage(np.maximum(truth, 0))
    above = tax.depth[deepest_known(predictions)]
    named = np.cumsum(path >= 0, axis=1)
    out = np.full(len(truth), KNOWN, object)
    for at in reversed(range(len(tax.ranks))):
        out[(path[:, at] >= 0) & (named[:, at] > above)] = tax.ranks[at]
    out[truth == 0] = UNTOLD
    out[truth < 0] = FAR
    return out


@dataclass(frozen=True)
class Placement:
    """Where specimens of unseen taxa were put, as shares of those whose true path has a known taxon below the root.

    exact: the answer is the deepest known taxon of the true path; shallow: a true ancestor above it; deep: something under it
    (which cannot be right); wrong: another branch; none: the root. inside: the answer is that deepest known taxon or under it:
    "to the right genus" where genus is the deepest known. depth: mean number of right ranks answered over those there were.
    """

    exact: float
    shallow: float
    deep: float
    wrong: float
    none: float
    inside: float
    depth: float
    specimens: int


def placement(taxonomy: Taxonomy, answers: Array, deepest: Array) -> Placement:
    """Placement of answers (n,) nodes, 0 or -1 for none, by the deepest known true node of each (n,); rows <= 0 are left out."""
    keep = deepest > 0
    said, true = np.maximum(answers[keep], 0), deepest[keep]
    if not len(true):
        return Placement(NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0)
    depth = np.asarray(taxonomy.depth).astype(np.int64)
    exact, none = said == true, said == 0
    shallow = taxonomy.is_ancestor(said, true) & ~exact & ~none
    deep = taxonomy.is_ancestor(true, said) & ~exact
    wrong = ~(exact | none | shallow | deep)
    right = depth[taxonomy.lowest_common(said, true)] / depth[true]
    share = {
        name: float(part.mean())
        for name, part in zip(("exact", "shallow", "deep", "wrong", "none"), (exact, shallow, deep, wrong, none))
    }
    return Placement(**share, inside=float((exact | deep).mean()), depth=float(right.mean()), specimens=len(true))


@dataclass(frozen=True)
class Distortion:
    """What counts become when everything above ``threshold`` is put aside as unknown.

    false_alarms: share of known specimens put aside; caught: share of novel ones. bray_curtis: dissimilarity between the counts
    (known taxa and one bin for unknown) and the true ones, in [0, 1]; over, under: specimens counted too many and too few over
    the known taxa, each over the number of specimens.
    """

    threshold: float
    false_alarms: float
    caught: float
    bray_curtis: float
    over: float
    under: float


def distortion(
    answers: Array, truth: Array, novel: Array, scores: Array, thresholds: Sequence[float], taxa: Array
) -> list[Distortion]:
    """Community distortion at each threshold.

    answers, truth: (n,) nodes; novel: (n,) bool, whose true cell is the unknown one; scores: (n,) higher more novel, NaN put
    aside; taxa: (t,) nodes counted. An answer or a truth that is none of them counts as unknown.
    """
    if not len(taxa):
        raise BiocosmosError("counts need at least one taxon to count")
    cell = np.zeros(int(max(taxa.max(), answers.max(initial=0), truth.max(initial=0))) + 1, np.int64)
    cell[taxa] = np.arange(1, len(taxa) + 1)
    said, true = cell[np.maximum(answers, 0)], np.where(novel, 0, cell[np.maximum(truth, 0)])
    counts = np.bincount(true, minlength=len(taxa) + 1)
    found = []
    for threshold in thresholds:
        aside = ~(scores <= threshold)
        counted = np.bincount(np.where(aside, 0, said), minlength=len(taxa) + 1)
        alarms = float(aside[~novel].mean()) if (~novel).any() else NAN
        caught = float(aside[novel].mean()) if novel.any() else NAN
        found.append(Distortion(float(threshold), alarms, caught, *bray_curtis(counted, counts)))
    return found


def threshold_at(known: Array, false_alarms: float) -> float:
    """The smallest threshold above which at most a share ``false_alarms`` of future known specimens fall, on average.

    known: (m,) scores of known specimens that nothing was fitted to. The ceil((1 - a)(m + 1))-th smallest, infinite where that
    is more than m: a split conformal quantile (Vovk et al.; P(score > threshold) <= a for an exchangeable specimen).
    """
    scores = np.sort(known[~np.isnan(known)])
    rank = int(np.ceil((1 - false_alarms) * (len(scores) + 1) - ROUNDING))
    return float(scores[rank - 1]) if 1 <= rank <= len(scores) else float("inf")
