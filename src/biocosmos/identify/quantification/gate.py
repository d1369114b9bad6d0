"""Did the community change, or the instrument? What stands before EM: each of EM and alignment mistakes the other's cause.

Where only the shares of the classes changed, validation specimens that are weighed by the shares that EM finds look like the
sample; where the images changed too, no weights make them so. Two things are compared, each with what is left of communities that
are resampled from the validation specimens themselves:

* the energy distance, judged by its size too: a p-value from finite validation specimens refuses everything. On PlanktonSet at
  most .003 is left of another community, .02 to .05 of a mild and .06 to .13 of a severe change of the images.
* how far the mean lies off, in standard deviations within classes: a small change that moves all images one way, as of contrast
  alone, is nothing beside the differences between the classes, but the mean of hundreds of specimens shows it.

(benchmarks/real_quantification.py; the limits of the energy distance were set on the copies that it judges, those of the mean on
resampled validation specimens and on unchanged images of another part.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.energy import distances, drawn_rows
from biocosmos.identify.quantification.methods import Float64, em_draws

MOST = 1000
"""Specimens of a side that are compared."""
FEWEST = 20
RESAMPLES, QUANTILE = 60, 0.99
LOWEST, HIGHEST = 0.01, 0.015
"""Between these lies the threshold of the energy distance, whatever resampled specimens say: few of them say little."""
SEVERE = 0.055
DIRECTIONS, FEWEST_DIRECTIONS = 150, 8
"""Directions within classes along which the mean is compared: those of most variance; a third of the specimens at most."""
PULL = 0.1
"""Of the mean variance of a direction that is added to each."""
MARGIN = 1.2
"""Times what resampled specimens show: unchanged images of another part (PlanktonSet, 100 communities) pass."""
LABELS = 5
"""Labels of each class that recover more than any method without labels where the instrument shifted."""

Float32 = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """before, after: share of the energy distance before and after validation specimens are weighed by EM's shares; threshold:
    up to which it is another community only; specimens: compared; moved: how far the mean lies off, squared, over what is to be
    expected of so many specimens; most_moved: up to which it is another community only; nan where there are too few."""

    before: float
    after: float
    threshold: float
    specimens: int
    moved: float = float("nan")
    most_moved: float = float("nan")

    @property
    def open(self) -> bool:
        """Whether only the community changed, so that EM may be used."""
        return bool(self.after <= self.threshold and not self.moved > self.most_moved)

    @property
    def severe(self) -> bool:
        """Whether no method without labels helps."""
        return bool(not self.open and self.after > SEVERE)

    def sentence(self) -> str:
        """What it means and what to do, in one sentence."""
        size = f"energy distance {self.after:.3f} after weighing by EM, {self.before:.3f} before; limit {self.threshold:.3f}"
        if not np.isnan(self.moved):
            size += f"; mean {self.moved:.1f} times as far off as by chance, limit {self.most_moved:.1f}"
        if self.open:
            return f"only the community differs from the validation specimens ({size})"
        how = "severely" if self.severe else "mildly"
        return (
            f"the images differ {how}, as of another instrument or of unknown taxa ({size}): shares by EM are not to be trusted; "
            f"label {LABELS} specimens of each class from this source"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in vars(self).items()}
        return {**told, "open": self.open, "severe": self.severe}


@dataclass(frozen=True, eq=False)
class Gate:
    """Validation specimens that a sample is compared with.

    features: (m, d) float32; classes: (m,) int64 their true classes; posteriors: (m, C); prior: (C,) of the training.
    """

    features: Float32
    classes: Classes
    posteriors: Float64
    prior: Float64
    _limits: dict[int, tuple[float, float]] = field(default_factory=dict, init=False, repr=False)

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
        shares = em_draws(said, self.prior, np.ones((1, len(said))), close=1e-5)[0]
        rows = drawn_rows(len(asked), MOST, np.random.default_rng(seed))
        mine = self._mine
        apart = distances(np.concatenate([self.features[mine], asked[rows]]).astype(np.float64))
        known, even = len(mine), np.full(len(rows), 1 / len(rows))
        uniform, weighed = np.full(known, 1 / known), _weights(self.classes[mine], shares)
        before = energy_share(apart, known, uniform, even)
        after = energy_share(apart, known, weighed, even)
        threshold, most_moved = self.limits(len(asked))
        moved = float("nan")
        if self._directions is not None:
            whole = _weights(self.classes, shares)
            off = (asked.mean(0, dtype=np.float64) - whole @ self.features) @ self._directions
            moved = float(_moved(off[None], whole[None], _alike(asked)[None])[0])
        return Verdict(before, after, threshold, len(rows), moved, most_moved)

    def limits(self, number: int) -> tuple[float, float]:
        """What is left of communities of ``number`` specimens that are drawn from the validation specimens themselves: of the
        energy distance, between LOWEST and HIGHEST, and of the mean, nan where that is not compared.

        Half of them are drawn from, half are weighed; communities are Dirichlet (.3). Kept for the next sample of that size.
        """
        if number not in self._limits:
            rng, mine = np.random.default_rng(0), self._mine
            energies = _energy_shares(self._apart, *self._resampled(number, mine, rng))
            means = np.empty(0)
            if self._directions is not None:
                left, right = self._resampled(number, np.arange(len(self.features)), rng)
                off = (right - left) @ (self.features.astype(np.float64) @ self._directions)
                means = _moved(off, left, right)
            most_moved = MARGIN * float(np.quantile(means, QUANTILE)) if len(means) else float("nan")
            self._limits[number] = min(max(float(np.quantile(energies, QUANTILE)), LOWEST), HIGHEST), most_moved
        return self._limits[number]

    def _resampled(self, number: int, mine: Classes, rng: np.random.Generator) -> tuple[Float64, Float64]:
        """Weights (RESAMPLES, m) of the rows ``mine``: of the half that is weighed, and of communities of the other half."""
        classes = self.classes[mine]
        halves, counts = np.zeros((RESAMPLES, len(mine)), bool), np.zeros((RESAMPLES, len(mine)))
        for draw in range(RESAMPLES):
            drawn = rng.permutation(len(mine))[len(mine) // 2 :]
            halves[draw] = True
            halves[draw, drawn] = False
            there = np.unique(classes[drawn])
            share = np.zeros(len(self.prior))
            share[there] = rng.dirichlet(np.full(len(there), 0.3))
            counts[draw, drawn] = rng.multinomial(number, _weights(classes[drawn], share))
        found = em_draws(self.posteriors[mine], self.prior, counts)
        left = np.zeros_like(counts)
        for draw, half in enumerate(halves):
            left[draw, half] = _weights(classes[half], found[draw])
        return left, counts / number

    @cached_property
    def _mine(self) -> Classes:
        return drawn_rows(len(self.features), MOST, np.random.default_rng(0))

    @cached_property
    def _apart(self) -> Float64:
        return distances(self.features[self._mine].astype(np.float64))

    @cached_property
    def _directions(self) -> Float64 | None:
        """(d, k) onto directions within classes, each of variance one; None for too few specimens."""
        there, of = np.unique(self.classes, return_inverse=True)
        free = len(self.features) - len(there)
        count = min(DIRECTIONS, free // 3, self.features.shape[1])
        if count < min(FEWEST_DIRECTIONS, self.features.shape[1]) or count < 1:
            return None
        x = self.features.astype(np.float64)
        centres = np.zeros((len(there), x.shape[1]))
        np.add.at(centres, of, x)
        within = x - (centres / np.bincount(of)[:, None])[of]
        values, vectors = np.linalg.eigh(within @ within.T if len(x) < x.shape[1] else within.T @ within)
        values, vectors = np.maximum(values[::-1][:count], 0), vectors[:, ::-1][:, :count]
        if values[0] <= 0:
            return None
        if len(x) < x.shape[1]:
            vectors = within.T @ vectors / np.sqrt(np.maximum(values, 1e-12 * values[0]))
        return np.asarray(vectors / np.sqrt((values + PULL * values.mean()) / free))


def _moved(off: Float64, left: Float64, right: Float64) -> Float64:
    """(B,) mean square of off (B, k) over what it is for specimens of the same classes: Σ w² of both sides, (B, m) and (B, n)."""
    return np.asarray((off**2).mean(1) / ((left**2).sum(1) + (right**2).sum(1)))


def _alike(features: Float32) -> Float64:
    """Weights of the specimens: one that is there twice is one specimen that weighs two."""
    rows = np.ascontiguousarray(features).view(np.dtype((np.void, features.shape[1] * features.itemsize))).ravel()
    return np.asarray(np.unique(rows, return_counts=True)[1] / len(rows))


def _energy_shares(apart: Float64, left: Float64, right: Float64) -> Float64:
    """(B,) as :func:`energy_share` of pairs of weights (B, m) of the same specimens, with distances (m, m)."""
    of_left, of_right = left @ apart, right @ apart
    between = (of_left * right).sum(1)
    within = sum((of * side).sum(1) / np.maximum(1 - (side**2).sum(1), 1e-9) for of, side in ((of_left, left), (of_right, right)))
    return np.asarray(np.maximum((2 * between - within) / np.maximum(2 * between, 1e-12), 0))


def energy_share(apart: Float64, first: int, left: Float64, right: Float64) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| over 2 E|X - Y|, of weighted specimens; no specimen is its own X'.

    apart: distances of both sides, the ``first`` rows X; left, right: weights of X and Y, each of sum 1.
    """
    both = np.zeros((2, 1, len(apart)))
    both[0, 0, :first], both[1, 0, first:] = left, right
    return float(_energy_shares(apart, *both)[0])


def _weights(classes: Classes, shares: Float64) -> Float64:
    """(m,) of sum 1, so that each class weighs its share; classes without a specimen are left out."""
    weights = shares[classes] / np.bincount(classes, minlength=len(shares))[classes]
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else np.full(len(classes), 1 / len(classes)))
