"""A temperature for each rank, that keeps the probabilities of nodes consistent with the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from biocosmos.errors import BiocosmosError
from biocosmos.identify.paths import CandidateTree, log_softmax
from biocosmos.identify.predictions import Predictions

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

# Temperatures looked for; a head outside of them is not over- or under-confident but broken.
LOWEST, HIGHEST = 0.05, 20.0
# Pull of log T towards 0, in pseudo-observations: a rank where every choice is right would ask for T = 0.
_PULL = 1.0
_SMALLEST_MASS = 1e-12
# Temperatures of scores tried, as powers of two around their typical spread; refined once around the best.
_COARSE = np.linspace(-9, 3, 25)
_FINE = np.linspace(-0.5, 0.5, 9)
# Specimens at a time: their log p over all classes is held in float64.
_BLOCK = 8192


@dataclass(frozen=True)
class Temperatures:
    """One temperature for each step down the tree, fitted by :meth:`fit`.

    The probability of a node is a product of choices among siblings; rank r's temperature divides the log p of the choices
    made below nodes of the rank before (the root, for the first), where "none of the children" is one of the siblings if the
    head has a class there:

        p_T(v) = p_T(parent(v)) * p(v)^(1/T) / sum over the siblings u of p(u)^(1/T)

    Whatever the temperatures, the children of a node (and its own mass) sum to it, the root is 1, and no two siblings change
    their order: the best path stays the best path, only its confidence changes. The mean -log p of the true node is a sum over
    the steps, so each temperature is fitted on its own, a convex problem in 1/T. Guo, Pleiss, Sun, Weinberger: On Calibration
    of Modern Neural Networks, ICML 2017, arXiv:1706.04599, has one temperature for one softmax; here the softmax is that among
    siblings.

    ranks: of the tree; values: (ranks,); specimens: how many they were fitted on.
    """

    ranks: tuple[str, ...]
    values: tuple[float, ...]
    specimens: int = 0

    @classmethod
    def none(cls, ranks: tuple[str, ...]) -> Temperatures:
        """1 at every rank: the probabilities as the head says them."""
        return cls(ranks, (1.0,) * len(ranks))

    @classmethod
    def fit(cls, predictions: Predictions) -> Temperatures:
        """On specimens that the head was not trained on; those of which nothing is known say nothing."""
        return fit_temperatures(walk(predictions, fitting=True), np.ones(len(predictions), np.bool_))

    def best_path(self, predictions: Predictions) -> tuple[Int32, Float64]:
        """The best path of each specimen: nodes (n, L) int32, -1 null, and their tempered p (n, L) float64, NaN there."""
        walked = walk(predictions)
        return walked.nodes, walked.confidence(self)

    def log_p(self, predictions: Predictions) -> Float64:
        """Tempered log p of every node: (n, N) float64; the root 0, -inf for nodes without a class at or under them."""
        self.check(predictions)
        tree = predictions.tree
        out = np.full((len(predictions), len(predictions.taxonomy)), -np.inf)
        out[:, 0] = 0.0
        log_c = log_softmax(predictions.logits.astype(np.float64))
        for place in range(len(tree.nodes)):  # parents come before their children
            children = tree.children(place)
            if len(children):
                z, own = tree.choices(log_c, place)
                choice = log_softmax(z / self.values[tree.ranks[place] + 1])[:, own:]
                out[:, tree.nodes[children]] = out[:, [tree.nodes[place]]] + choice
        return out

    def check(self, predictions: Predictions) -> None:
        """Refuse predictions over other ranks."""
        if predictions.ranks != self.ranks:
            raise BiocosmosError(
                f"temperatures for the ranks {', '.join(self.ranks)} cannot serve predictions of "
                f"{', '.join(predictions.ranks)}: fit again"
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` reads it."""
        return {"ranks": list(self.ranks), "values": list(self.values), "specimens": self.specimens}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Temperatures:
        """Read what :meth:`to_dict` wrote."""
        return cls(tuple(data["ranks"]), tuple(map(float, data["values"])), int(data["specimens"]))


@dataclass(frozen=True)
class Choices:
    """Choices among siblings at one step: rows (m,) of the specimens; z (m, k) float64 log p of the siblings, -inf beyond their
    number; column (m,) the sibling chosen; level (m,) its rank, -1 for none of the children."""

    rows: Int64
    z: Float64
    column: Int64
    level: Int64

    def log_p(self, temperature: float) -> Float64:
        """Log p of each choice at a temperature: (m,) float64."""
        if not len(self.rows):
            return np.empty(0)
        return np.asarray(log_softmax(self.z / temperature)[np.arange(len(self.rows)), self.column])

    def of(self, kept: NDArray[np.bool_]) -> Choices:
        """Those of the specimens of a mask (n,)."""
        here = kept[self.rows]
        return Choices(self.rows[here], self.z[here], self.column[here], self.level[here])


@dataclass(frozen=True)
class Walked:
    """The way each of n specimens goes down the tree, by the head and by its truth; temperatures change neither.

    nodes: (n, L) int32, the best path, -1 null; taken, true: per step (L of them) the choices along the best path and along the
    true one, as far as it is known and the head has classes there; ``true`` is empty if it was not asked for.
    """

    ranks: tuple[str, ...]
    nodes: Int32
    taken: tuple[Choices, ...]
    true: tuple[Choices, ...] = ()

    def confidence(self, temperatures: Temperatures) -> Float64:
        """Tempered p of the nodes of the best path: (n, L) float64, never rising down the path; NaN where it has no node."""
        out = np.zeros(self.nodes.shape)
        for choices, temperature in zip(self.taken, temperatures.values, strict=True):
            down = choices.level >= 0
            out[choices.rows[down], choices.level[down]] = choices.log_p(temperature)[down]
        out = np.exp(np.cumsum(out, axis=1))
        return np.where(self.nodes >= 0, out, np.nan)


def fit_temperatures(walked: Walked, kept: NDArray[np.bool_]) -> Temperatures:
    """The temperatures with the least mean -log p of the true path of the specimens of a mask (n,)."""
    values = []
    for choices in walked.true:
        mine = choices.of(kept)
        values.append(_fit(mine) if len(mine.rows) else 1.0)
    return Temperatures(walked.ranks, tuple(values), int(kept.sum()))


def fit_score_temperature(predictions: Predictions) -> float:
    """The one temperature over which scores of any scale are best as logits: least mean -log p(true taxon), on two grids.

    A truth that is no class counts by its nearest ancestor that has one. The softmax over all classes is asked, since scores are
    compared across the whole tree; what is left to mend at each step is the business of :class:`Temperatures`.
    """
    scores, position = predictions.logits, predictions.tree.position(np.maximum(predictions.truth, 0))
    finite = np.where(np.isfinite(scores), scores, np.nan)
    spread = float(np.median(np.nanmax(finite, axis=1) - np.nanmedian(finite, axis=1))) if len(scores) else 1.0
    spread = spread if spread > 0 else 1.0

    def loss(temperature: float) -> float:
        mass = predictions.tree.mass(predictions.class_probabilities(temperature), position)
        return float(-np.log(np.clip(mass, _SMALLEST_MASS, 1)).sum())

    best = min(spread * 2.0**_COARSE, key=loss)
    return float(min(best * 2.0**_FINE, key=loss))


def _fit(choices: Choices) -> float:
    def loss(log_t: float) -> float:
        return float(-choices.log_p(float(np.exp(log_t))).sum()) + _PULL / 2 * log_t**2

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def walk(predictions: Predictions, *, fitting: bool = False) -> Walked:
    """The choices along the best path of each specimen, and with ``fitting`` also those along its true path."""
    tree, levels = predictions.tree, len(predictions.ranks)
    widest = np.ones(levels, np.int64)
    for place in range(len(tree.nodes)):
        if count := len(tree.children(place)):
            step = tree.ranks[place] + 1
            widest[step] = max(widest[step], count + 1)
    taken: list[list[Choices]] = [[] for _ in range(levels)]
    true: list[list[Choices]] = [[] for _ in range(levels)]
    nodes = np.full((len(predictions), levels), -1, np.int32)
    for start in range(0, len(predictions), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(predictions)))
        log_c = log_softmax(predictions.logits[rows].astype(np.float64))
        for step, choices, arrived in _descend(tree, log_c, _likeliest, widest):
            down = choices.level >= 0
            nodes[rows[choices.rows[down]], choices.level[down]] = arrived[down]
            taken[step].append(_moved(choices, start))
        if fitting:
            truth = predictions.truth[rows].astype(np.int64)
            known = _known(tree, truth, bool(predictions.facts.get("unknown_below")))
            for step, choices, _ in _descend(tree, log_c, known, widest):
                true[step].append(_moved(choices, start))
    joined = tuple(_joined(step, int(width)) for step, width in zip(taken, widest))
    return Walked(predictions.ranks, nodes, joined, tuple(map(_joined, true, map(int, widest))) if fitting else ())


# Of the specimens ``rows`` at a place whose children and own mass have log p z (m, own + children): the column each goes to; -1
# for none of them.
_Chooser = Callable[[int, Int64, Int64, Float64, int], Int64]


def _descend(tree: CandidateTree, log_c: Float64, choose: _Chooser, widest: Int64) -> Iterator[tuple[int, Choices, Int32]]:
    """Go down from the root, all specimens of a place at once: step, choices, and the nodes they lead to (m,)."""
    waiting: list[tuple[int, Int64]] = [(0, np.arange(len(log_c)))]
    while waiting:
        place, rows = waiting.pop()
        children = tree.children(place)
        if not len(children) or not len(rows):
            continue
        z, own = tree.choices(log_c[rows], place)
        column = choose(place, children, rows, z, own)
        there = column >= 0
        rows, z, column = rows[there], z[there], column[there]
        step = int(tree.ranks[place]) + 1
        padded = np.full((len(rows), widest[step]), -np.inf)
        padded[:, : z.shape[1]] = z
        child = children[np.maximum(column - own, 0)]
        down = column >= own
        yield step, Choices(rows, padded, column, np.where(down, tree.ranks[child], -1)), tree.nodes[child]
        for i in np.unique(child[down]):
            waiting.append((int(i), rows[down & (child == i)]))


def _likeliest(place: int, children: Int64, rows: Int64, z: Float64, own: int) -> Int64:
    """The most probable child, ties to the first, unless stopping is more probable; as :meth:`CandidateTree.best_path`."""
    best = z[:, own:].argmax(axis=1) + own
    if own:
        best = np.where(z[:, 0] > z[np.arange(len(z)), best], 0, best)
    return np.asarray(best)


def _known(tree: CandidateTree, truth: Int64, unknown_below: bool = False) -> _Chooser:
    """The child that the truth is at or under; stopping where it is this very node and the head has a class for it; -1 where
    nothing more is known, or the head has no class there; unknown_below: then the own mass, which stands for what is hidden."""

    def choose(place: int, children: Int64, rows: Int64, z: Float64, own: int) -> Int64:
        wanted, nodes = truth[rows], tree.nodes[children]
        at = np.maximum(np.searchsorted(nodes, wanted, side="right") - 1, 0)
        inside = (nodes[at] <= wanted) & (wanted < tree.taxonomy.end[nodes[at]])
        column = np.where(inside, at + own, -1)
        if own and place:
            column = np.where(wanted == tree.nodes[place], 0, column)
        said = np.isfinite(z[np.arange(len(z)), np.maximum(column, 0)])
        if unknown_below and own and place:  # of a taxon that was hidden: what the own mass stands for
            column, said = np.where(said & (column >= 0), column, 0), np.isfinite(z[:, 0]) | (said & (column >= 0))
        return np.asarray(np.where(said, column, -1))

    return choose


def _moved(choices: Choices, start: int) -> Choices:
    return Choices(choices.rows + start, choices.z, choices.column, choices.level)


def _joined(parts: list[Choices], width: int) -> Choices:
    empty = Choices(np.empty(0, np.int64), np.empty((0, width)), np.empty(0, np.int64), np.empty(0, np.int64))
    names = ("rows", "z", "column", "level")
    return Choices(*(np.concatenate([getattr(part, name) for part in [empty, *parts]]) for name in names))
