"""Did the community change, or the instrument? What stands before EM: each of EM and alignment mistakes the other's cause.

Where only the shares of the classes changed, validation specimens that are weighed by the shares that EM finds look like the
sample; where the images changed too, no weights make them so. What is left between them is judged by its size: a p-value from
finite validation specimens refuses everything. On PlanktonSet at most .003 is left of another community, .02 to .05 of a mild and
.06 to .13 of a severe change of the images (benchmarks/real_quantification.py, by which the limits were set).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.energy import distances, drawn_rows
from biocosmos.identify.quantification.methods import Float64, quantify

MOST = 1000
"""Specimens of a side that are compared."""
FEWEST = 20
RESAMPLES, QUANTILE = 60, 0.99
LOWEST, HIGHEST = 0.01, 0.015
"""Between these lies the threshold, whatever resampled validation specimens say: few of them say little."""
SEVERE = 0.055
LABELS = 5
"""Labels of each class that recover more than any method without labels where the instrument shifted."""

Float32 = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """before, after: share of the energy distance before and after validation specimens are weighed by EM's shares; threshold:
    up to which it is another community only; specimens: compared."""

    before: float
    after: float
    threshold: float
    specimens: int

    @property
    def open(self) -> bool:
        """Whether only the community changed, so that EM may be used."""
        return bool(self.after <= self.threshold)

    @property
    def severe(self) -> bool:
        """Whether no method without labels helps."""
        return bool(not self.open and self.after > SEVERE)

    def sentence(self) -> str:
        """What it means and what to do, in one sentence."""
        size = f"energy distance {self.after:.3f} after weighing by EM, {self.before:.3f} before; limit {self.threshold:.3f}"
        if self.open:
            return f"only the community differs from the validation specimens ({size})"
        how = "severely" if self.severe else "mildly"
        return (
            f"the images differ {how}, as of another instrument or of unknown taxa ({size}): shares by EM are not to be trusted; "
            f"label {LABELS} specimens of each class from this source"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "open": self.open, "severe": self.severe}


@dataclass(frozen=True, eq=False)
class Gate:
    """Validation specimens that a sample is compared with.

    features: (m, d) float32; classes: (m,) int64 their true classes; posteriors: (m, C); prior: (C,) of the training.
    """

    features: Float32
    classes: Classes
    posteriors: Float64
    prior: Float64

    def __post_init__(self) -> None:
        if not len(self.features) == len(self.classes) == len(self.posteriors):
            raise BiocosmosError("features, classes and posteriors of the validation specimens differ in number")
        if len(self.features) < 2 * FEWEST:
            raise BiocosmosError(f"a gate takes {2 * FEWEST} validation specimens, not {len(self.features)}: label more")

    def judge(self, features: npt.ArrayLike, posteriors: npt.ArrayLike, *, seed: int = 0) -> Verdict:
        """Compare a sample: features (n, d), posteriors (n, C). Raises BiocosmosError for fewer than 20 specimens."""
        asked, said = np.asarray(features, np.float32), np.asarray(posteriors, np.float64)
        if len(asked) < FEWEST:
            raise BiocosmosError(f"whether the images changed cannot be told of {len(asked)} specimens: it takes {FEWEST}")
        if asked.ndim != 2 or asked.shape[1] != self.features.shape[1] or len(said) != len(asked):
            raise BiocosmosError(f"features of shape {asked.shape} do not go with those of the validation specimens")
        rng = np.random.default_rng(seed)
        shares = quantify("emq", said, self.prior).values
        mine, rows = drawn_rows(len(self.features), MOST, rng), drawn_rows(len(asked), MOST, rng)
        apart = distances(np.concatenate([self.features[mine], asked[rows]]).astype(np.float64))
        known, even = len(mine), np.full(len(rows), 1 / len(rows))
        uniform, weighed = np.full(known, 1 / known), _weights(self.classes[mine], shares)
        before = energy_share(apart, known, uniform, even)
        after = energy_share(apart, known, weighed, even)
        return Verdict(before, after, self.threshold(len(asked), apart[:known, :known], mine, rng), len(rows))

    def threshold(self, number: int, apart: Float64, mine: Classes, rng: np.random.Generator) -> float:
        """What is left of communities of ``number`` specimens that are drawn from the validation specimens themselves.

        Half of them are drawn from, half are weighed; communities are Dirichlet (.3). Between LOWEST and HIGHEST.
        """
        classes, said, left = self.classes[mine], self.posteriors[mine], []
        for _ in range(RESAMPLES):
            order = rng.permutation(len(mine))
            weighed, drawn = order[: len(mine) // 2], order[len(mine) // 2 :]
            there = np.unique(classes[drawn])
            wanted = rng.dirichlet(np.full(len(there), 0.3))
            share = np.zeros(said.shape[1])
            share[there] = wanted
            picked = rng.choice(drawn, min(number, MOST), p=_weights(classes[drawn], share))
            found = quantify("emq", said[picked], self.prior, close=1e-5).values
            counts = np.bincount(picked, minlength=len(mine))[drawn] / len(picked)
            both = np.concatenate([weighed, drawn])
            left.append(energy_share(apart[np.ix_(both, both)], len(weighed), _weights(classes[weighed], found), counts))
        return min(max(float(np.quantile(left, QUANTILE)), LOWEST), HIGHEST)


def energy_share(apart: Float64, first: int, left: Float64, right: Float64) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| over 2 E|X - Y|, of weighted specimens; no specimen is its own X'.

    apart: distances of both sides, the ``first`` rows X; left, right: weights of X and Y, each of sum 1.
    """
    between = float(left @ apart[:first, first:] @ right)
    sides = [(apart[:first, :first], left), (apart[first:, first:], right)]
    within = sum(float(w @ d @ w) / max(1.0 - float(w @ w), 1e-9) for d, w in sides)
    return max(float((2 * between - within) / (2 * between)), 0.0) if between > 0 else 0.0


def _weights(classes: Classes, shares: Float64) -> Float64:
    """(m,) of sum 1, so that each class weighs its share; classes without a specimen are left out."""
    weights = shares[classes] / np.bincount(classes, minlength=len(shares))[classes]
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else np.full(len(classes), 1 / len(classes)))
