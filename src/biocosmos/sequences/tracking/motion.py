"""Where an animal may be after a while: it rests, walks or takes off, and the longer the gap the less is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
FAST = 2.5
"""How much faster than the others a quarter of the walks is."""


@dataclass(frozen=True)
class Motion:
    """How animals move, in seconds and in body lengths (the side of a square of the box's area).

    jitter: of a box around an animal at rest, body lengths, one axis; rest, walk: seconds that a rest and a walk last on
    average; speed: of a walk, body lengths a second; turning: seconds after which its direction is forgotten; flight, hop:
    flights a minute that end anywhere in the picture, and about ``reach`` body lengths away; loose: share of boxes at rest
    that are drawn much wider or narrower.

    A walk is a persistent random walk (Fuerth 1920): its mean squared displacement after t is
    2 v^2 T (t - T (1 - exp(-t / T))), straight over less than T seconds and growing with the square root of time after.
    """

    jitter: float = 0.045
    rest: float = 35.0
    walk: float = 10.0
    speed: float = 0.3
    turning: float = 7.5
    flight: float = 0.03
    hop: float = 0.4
    reach: float = 3.0
    loose: float = 0.15

    def spread(self, seconds: Float64) -> Float64:
        """Mean squared displacement of a walk, square body lengths."""
        turning = self.turning
        return np.asarray(2 * self.speed**2 * turning * (seconds + turning * np.expm1(-seconds / turning)))

    def resting(self, resting: Float64, seconds: Float64) -> Float64:
        """The probability that one that rested with probability ``resting`` did not move at all since."""
        return np.asarray(resting * np.exp(-seconds / self.rest))

    def stopped(self, seconds: Float64) -> Float64:
        """The probability that one that moved in the meantime rests at the end of it."""
        return np.asarray(-np.expm1(-seconds / self.walk) * self.rest / (self.rest + self.walk))

    def flown(self, seconds: Float64) -> Float64:
        """The probability that one took off and came down anywhere."""
        return np.asarray(-np.expm1(-self.flight * seconds / 60))

    def hopped(self, seconds: Float64) -> Float64:
        """The probability that one took a short flight."""
        return np.asarray(-np.expm1(-self.hop * seconds / 60))


@dataclass(frozen=True)
class Places:
    """Densities at the boxes of a frame, (tracks, boxes) float64, a square body length each, of animals at rest, that walked, and
    that flew, weighted by how probable each is: their sum is the density of the place of an animal that is still there."""

    rest: Float64
    walk: Float64
    flight: Float64

    @property
    def total(self) -> Float64:
        """(tracks, boxes)."""
        return self.rest + self.walk + self.flight

    @property
    def at_rest(self) -> Float64:
        """The probability that the animal rested, were it this one."""
        return np.asarray(self.rest / np.maximum(self.total, 1e-300))


def places(
    motion: Motion, shift: Float64, seconds: Float64, resting: Float64, length: Float64, area: float, velocity: Float64
) -> Places:
    """How likely boxes are where they are.

    shift: (tracks, boxes, 2) pixels from the last place; seconds (tracks,) since; resting (tracks,) probability; length (tracks,
    boxes) body length, pixels; area: of the picture, square pixels; velocity (tracks, 2) pixels a second when last seen.
    """
    still = motion.resting(resting, seconds)[:, None]
    flown, hopped = motion.flown(seconds)[:, None], motion.hopped(seconds)[:, None]
    squared = (shift**2).sum(axis=-1) / length**2
    jitter = motion.jitter**2
    rest = (1 - motion.loose) * _normal(squared, jitter) + motion.loose * _normal(squared, 16 * jitter)
    # half of what a walk does is foretold by where it went, as far as its direction lasts
    ahead = velocity * (motion.turning * -np.expm1(-seconds / motion.turning))[:, None]
    onward = ((shift - ahead[:, None]) ** 2).sum(axis=-1) / length**2
    variance = motion.spread(seconds)[:, None] / 2 + jitter
    began = motion.spread(np.minimum(seconds, motion.walk) / 3)[:, None] / 2 + jitter
    fast = _normal(squared, FAST**2 * variance)
    walk = (_normal(squared, variance) + _normal(onward, variance / 2) + _normal(squared, began) + fast) / 4
    here = (1 - flown) * (1 - hopped)
    flight = flown * length**2 / area + (1 - flown) * hopped * _normal(squared, variance + motion.reach**2)
    return Places(here * still * rest, here * (1 - still) * walk, flight)


def _normal(squared: Float64, variance: Float64 | float) -> Float64:
    return np.asarray(np.exp(-squared / (2 * variance)) / (2 * np.pi * variance))
