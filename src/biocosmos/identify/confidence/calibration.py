"""Confidence: how often an answer with this probability, at this rank, was right on held-out specimens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from biocosmos.identify.confidence.temperature import Int32, Temperatures, Walked, fit_temperatures, walk
from biocosmos.identify.paths import judge
from biocosmos.identify.predictions import Predictions

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

CURVE_POINTS = 30
"""Below this a rank borrows the curve fitted on all ranks together: ten points for each of the three parameters."""
_PULL = 1.0
"""Strength of the pull of a curve towards "confidence = probability", in units of one pseudo-observation."""
_EDGE = 1e-6


@dataclass(frozen=True)
class Curve:
    """A rising map from probability to confidence: sigmoid(a log p - b log(1-p) + c), a, b >= 0.

    Kull, Silva Filho & Flach: Beta calibration, AISTATS 2017. It has no steps, so that confidence never jumps where probability
    does not: isotonic regression left 56 distinct values on 2,500 specimens of PlanktonSet, with the same calibration error
    (0.012, 0.018 and 0.033 at status, class and label against 0.012, 0.021 and 0.029; docs/identify.md).

    values: (a, b, c); (1, 1, 0) changes nothing. points: held-out answers it was fitted on; right: the share of them that was.
    """

    values: tuple[float, float, float] = (1.0, 1.0, 0.0)
    points: int = 0
    right: float | None = None

    def __call__(self, p: Float64) -> Float64:
        """p in [0, 1] of any shape -> confidence of the same shape; NaN stays NaN.

        n points vouch for no more than n + 2 would of which one was right and one wrong (the rule of succession): were all of
        them right, confidence ends at (n + 1) / (n + 2).
        """
        if self.values != (1.0, 1.0, 0.0):
            p = _sigmoid(_features(p) @ np.array(self.values))
        return (self.points * p + 1) / (self.points + 2) if self.points else p

    @classmethod
    def fit(cls, p: Float64, right: Mask) -> Curve:
        """Fit on answers with probability ``p`` (n,) of which ``right`` (n,) were right; identity for none."""
        return cls(_fit_beta(p, right), len(p), float(right.mean())) if len(p) else cls()


@dataclass(frozen=True)
class Calibration:
    """What turns a namer's probabilities into confidence: a temperature for each step down the tree, then a curve for each rank.

    temperatures keep the probabilities consistent with the tree; curves (one a rank, ``borrowed``: those fitted on all ranks
    together) mend what temperatures cannot. specimens: held-out ones it was fitted on; source: which these are, in words.
    """

    temperatures: Temperatures
    curves: tuple[Curve, ...]
    borrowed: tuple[str, ...] = ()
    specimens: int = 0
    source: str = ""

    @property
    def ranks(self) -> tuple[str, ...]:
        """Of the tree."""
        return self.temperatures.ranks

    @classmethod
    def none(cls, ranks: tuple[str, ...], source: str = "none") -> Calibration:
        """Confidence = probability."""
        return cls(Temperatures.none(ranks), (Curve(),) * len(ranks), source=source)

    @classmethod
    def fit(cls, predictions: Predictions, source: str = "") -> Calibration:
        """On specimens that the namer was not fitted on; those of which nothing is known say nothing."""
        walked = walk(predictions, fitting=True)
        return fit_calibration(predictions, walked, np.ones(len(predictions), np.bool_), source)

    def best_path(self, predictions: Predictions) -> tuple[Int32, Float64]:
        """The best path of each specimen: nodes (n, L) int32, -1 null, and its confidence (n, L) float64, NaN there."""
        self.temperatures.check(predictions)
        walked = walk(predictions)
        return walked.nodes, self.confidence(walked)

    def confidence(self, walked: Walked) -> Float64:
        """Confidence along the best paths, (n, L) float64, NaN where they have no node.

        Down a path it never rises: it is cut to the least of those above it, since an answer cannot be right at a rank and
        wrong above.
        """
        p = walked.confidence(self.temperatures)
        said = np.stack([curve(p[:, i]) for i, curve in enumerate(self.curves)], axis=1)
        falling = np.minimum.accumulate(np.where(np.isnan(said), 1.0, said), axis=1)
        return np.where(np.isnan(said), np.nan, falling)

    def describe(self) -> dict[str, Any]:
        """For provenance: what was used, per rank."""
        ranks = {
            rank: {"temperature": t, "points": curve.points, "right": curve.right, "borrowed": rank in self.borrowed}
            for rank, t, curve in zip(self.ranks, self.temperatures.values, self.curves, strict=True)
        }
        return {"source": self.source, "specimens": self.specimens, "ranks": ranks}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` reads it."""
        return {
            **vars(self),
            "temperatures": self.temperatures.to_dict(),
            "curves": [vars(curve) for curve in self.curves],
            "borrowed": list(self.borrowed),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """Read what :meth:`to_dict` wrote."""
        curves = tuple(Curve(**{**curve, "values": tuple(curve["values"])}) for curve in data["curves"])
        temperatures = Temperatures.from_dict(data["temperatures"])
        return cls(**{**data, "temperatures": temperatures, "curves": curves, "borrowed": tuple(data["borrowed"])})


def fit_calibration(predictions: Predictions, walked: Walked, kept: Mask, source: str = "") -> Calibration:
    """The calibration by the specimens of a mask (n,); walked: of the same predictions, fitting.

    The curve of a rank sees the answers at that rank that can be judged; see :func:`biocosmos.identify.paths.judge`.
    """
    temperatures = fit_temperatures(walked, kept)
    p, verdicts = walked.confidence(temperatures), judge(predictions.taxonomy, walked.nodes, predictions.truth)
    told = (verdicts >= 0) & kept[:, None]
    # ranks of one specimen are right or wrong together: they vouch for no more than the specimen
    pooled = replace(Curve.fit(p[told], verdicts[told] == 1), points=int(told.any(axis=1).sum()))
    curves, borrowed = [], []
    for i, rank in enumerate(walked.ranks):
        mine = told[:, i]
        if int(mine.sum()) >= CURVE_POINTS:
            curves.append(Curve.fit(p[mine, i], verdicts[mine, i] == 1))
        else:
            curves.append(pooled)
            borrowed.append(rank)
    return Calibration(temperatures, tuple(curves), tuple(borrowed), int(kept.sum()), source)


def _features(p: Float64) -> Float64:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.stack([np.log(inside), -np.log1p(-inside), np.ones_like(inside)], axis=-1)


def _fit_beta(p: Float64, right: Mask) -> tuple[float, float, float]:
    x, y, prior = _features(p), right.astype(float), np.array([1.0, 1.0, 0.0])

    def loss(w: Float64) -> tuple[float, Float64]:
        z = x @ w
        value = float((np.logaddexp(0, z) - y * z).sum()) + _PULL / 2 * float(((w - prior) ** 2).sum())
        return value, x.T @ (_sigmoid(z) - y) + _PULL * (w - prior)

    found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    a, b, c = map(float, found.x)
    return a, b, c


def _sigmoid(z: Float64) -> Float64:
    with np.errstate(invalid="ignore"):  # NaN, a null rank, stays NaN
        return np.exp(-np.logaddexp(0, -z))
