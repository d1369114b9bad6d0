"""Confidence: how often an answer with this probability, at this rank, was right on held-out specimens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.paths import CandidateTree, judge, probabilities

Array = NDArray[np.float64]
# One pass over the held-out specimens: (scores (q, C), true taxa (q,)) chunk by chunk; called again for another pass.
ScoredChunks = Callable[[], Iterable[tuple[FloatArray, NodeArray]]]

# Niculescu-Mizil & Caruana, Predicting Good Probabilities With Supervised Learning, ICML 2005: isotonic regression is as good or
# better than a sigmoid from about 1,000 points on.
ISOTONIC_POINTS = 1000
# Below this a rank borrows the curve fitted on all ranks together; ten points for each of the three parameters.
BETA_POINTS = 30
# Strength of the pull of a beta calibration towards "confidence = probability", in units of one pseudo-observation.
_PULL = 1.0
_EDGE = 1e-6
_SMALLEST_MASS = 1e-12
# Temperatures tried, as powers of two around the typical spread of the scores; refined once around the best.
_COARSE = np.linspace(-9, 3, 25)
_FINE = np.linspace(-0.5, 0.5, 9)


@dataclass(frozen=True)
class Curve:
    """A non-decreasing map from probability to confidence.

    kind "identity"; "beta" (Kull, Silva Filho & Flach, AISTATS 2017): sigmoid(a log p - b log(1-p) + c), a, b >= 0,
    ``values`` = (a, b, c); "isotonic": linear between the points ``knots`` -> ``values``.
    ``points``: held-out answers it was fitted on; ``right``: the share of them that were right.
    """

    kind: str = "identity"
    values: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    points: int = 0
    right: float | None = None

    @property
    def ceiling(self) -> float:
        """The most that ``points`` answers can vouch for: were all of them right, the rule of succession says this."""
        return (self.points + 1) / (self.points + 2) if self.points else 1.0

    def __call__(self, p: Array) -> Array:
        """p in [0, 1] of any shape -> confidence of the same shape; NaN stays NaN."""
        if self.kind == "isotonic":
            p = np.where(np.isnan(p), np.nan, np.interp(p, self.knots, self.values))
        elif self.kind == "beta":
            p = _sigmoid(_features(p) @ np.array(self.values))
        return np.minimum(p, self.ceiling)

    @classmethod
    def fit(cls, p: Array, right: NDArray[np.bool_]) -> Curve:
        """Fit on answers with probability ``p`` (n,) of which ``right`` (n,) were right: isotonic from
        :data:`ISOTONIC_POINTS` on, beta below, identity for none."""
        n = len(p)
        if n == 0:
            return cls()
        share = float(right.mean())
        if n < ISOTONIC_POINTS:
            return cls("beta", _fit_beta(p, right), (), n, share)
        from sklearn.isotonic import IsotonicRegression

        # n answers, all right, do not prove certainty: the rule of succession bounds the ends.
        model = IsotonicRegression(y_min=1 / (n + 2), y_max=(n + 1) / (n + 2), out_of_bounds="clip").fit(p, right.astype(float))
        return cls("isotonic", tuple(map(float, model.y_thresholds_)), tuple(map(float, model.X_thresholds_)), n, share)


@dataclass(frozen=True)
class Calibration:
    """Temperature of the softmax, and per rank the curve from probability to confidence.

    ``source`` says what it was fitted on, in words; ``specimens`` how many.
    """

    temperature: float
    curves: dict[str, Curve]
    ranks: tuple[str, ...]
    source: str
    specimens: int = 0
    borrowed: tuple[str, ...] = field(default=())

    def confidence(self, p: Array) -> Array:
        """Probabilities of a path (q, R), NaN at null ranks -> confidences (q, R).

        Down a path confidence never rises: the calibrated value is cut to the least of those above it, since an answer
        cannot be right at a rank and wrong above.
        """
        out = np.stack([self.curves[rank](p[:, i]) for i, rank in enumerate(self.ranks)], axis=1)
        return _never_rising(out)

    def describe(self) -> dict[str, Any]:
        """For provenance: what was used, per rank."""
        ranks = {
            rank: {"curve": curve.kind, "points": curve.points, "right": curve.right, "borrowed": rank in self.borrowed}
            for rank, curve in self.curves.items()
        }
        return {"source": self.source, "specimens": self.specimens, "temperature": self.temperature, "ranks": ranks}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` reads it."""
        curves = {rank: vars(curve) for rank, curve in self.curves.items()}
        return {**vars(self), "curves": curves}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """Read what :meth:`to_dict` wrote."""
        curves = {
            rank: Curve(**{**curve, "values": tuple(curve["values"]), "knots": tuple(curve["knots"])})
            for rank, curve in data["curves"].items()
        }
        return cls(**{**data, "curves": curves, "ranks": tuple(data["ranks"]), "borrowed": tuple(data["borrowed"])})


def uncalibrated(ranks: tuple[str, ...], temperature: float, source: str) -> Calibration:
    """Confidence = probability at a given temperature."""
    return Calibration(temperature, {rank: Curve() for rank in ranks}, ranks, source)


def calibrate(tree: CandidateTree, chunks: ScoredChunks, source: str) -> Calibration:
    """Fit temperature and curves on held-out specimens.

    The temperature minimises the mean -log p(true taxon); a truth that is no candidate counts by its nearest ancestor that
    has candidates. The curve of a rank sees the answers at that rank that can be judged; see :func:`paths.judge`.
    """
    temperature = fit_temperature(tree, chunks)
    p, verdicts = held_out_paths(tree, chunks, temperature)
    ranks = tree.taxonomy.ranks
    known = verdicts >= 0
    # ranks of one specimen are right or wrong together: they vouch for no more than the specimen
    pooled = replace(Curve.fit(p[known], verdicts[known] == 1), points=int(known.any(axis=1).sum()))
    curves, borrowed = {}, []
    for i, rank in enumerate(ranks):
        mine = known[:, i]
        if mine.sum() >= BETA_POINTS:
            curves[rank] = Curve.fit(p[mine, i], verdicts[mine, i] == 1)
        else:
            curves[rank] = pooled
            borrowed.append(rank)
    return Calibration(temperature, curves, ranks, source, len(p), tuple(borrowed))


def held_out_paths(tree: CandidateTree, chunks: ScoredChunks, temperature: float) -> tuple[Array, NDArray[np.int8]]:
    """Best paths of held-out specimens: p (n, R) float64, NaN at null ranks, and verdicts (n, R) int8 of ``judge``."""
    masses, verdicts = [], []
    for scores, truth in chunks():
        nodes, p = tree.best_path(probabilities(scores, temperature))
        masses.append(p)
        verdicts.append(judge(tree.taxonomy, nodes, truth))
    width = len(tree.taxonomy.ranks)
    if not masses:
        return np.empty((0, width)), np.empty((0, width), np.int8)
    return np.concatenate(masses), np.concatenate(verdicts)


def fit_temperature(tree: CandidateTree, chunks: ScoredChunks) -> float:
    """The temperature with the least mean -log p(true taxon), in two passes: a coarse grid, then a fine one around its best."""
    spread = _typical_spread(chunks())
    coarse = spread * 2.0**_COARSE
    best = coarse[int(np.argmin(_losses(tree, chunks(), coarse)))]
    fine = best * 2.0**_FINE
    return float(fine[int(np.argmin(_losses(tree, chunks(), fine)))])


def _typical_spread(chunks: Iterable[tuple[FloatArray, NodeArray]]) -> float:
    """Median over specimens of (best score - median score); 1 where that is zero."""
    spreads = [np.empty(0)]
    for scores, _ in chunks:
        finite = np.where(np.isfinite(scores), scores, np.nan)
        spreads.append(np.nanmax(finite, axis=1) - np.nanmedian(finite, axis=1))
    spread = float(np.median(np.concatenate(spreads)))
    return spread if spread > 0 else 1.0


def _losses(tree: CandidateTree, chunks: Iterable[tuple[FloatArray, NodeArray]], temperatures: Array) -> Array:
    total = np.zeros(len(temperatures))
    for scores, truth in chunks:
        position = tree.position(np.maximum(truth, 0))
        for i, temperature in enumerate(temperatures):
            mass = tree.mass(probabilities(scores, temperature), position)
            total[i] -= np.log(np.clip(mass, _SMALLEST_MASS, 1)).sum()
    return total


def _features(p: Array) -> Array:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.stack([np.log(inside), -np.log1p(-inside), np.ones_like(inside)], axis=-1)


def _fit_beta(p: Array, right: NDArray[np.bool_]) -> tuple[float, ...]:
    x, y, prior = _features(p), right.astype(float), np.array([1.0, 1.0, 0.0])

    def loss(w: Array) -> tuple[float, Array]:
        z = x @ w
        value = float((np.logaddexp(0, z) - y * z).sum()) + _PULL / 2 * float(((w - prior) ** 2).sum())
        return value, x.T @ (_sigmoid(z) - y) + _PULL * (w - prior)

    found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    return tuple(float(value) for value in found.x)


def _sigmoid(z: Array) -> Array:
    with np.errstate(invalid="ignore"):  # NaN, a null rank, stays NaN
        return np.exp(-np.logaddexp(0, -z))


def _never_rising(confidence: Array) -> Array:
    filled = np.where(np.isnan(confidence), 1.0, confidence)
    return np.where(np.isnan(confidence), np.nan, np.minimum.accumulate(filled, axis=1))
