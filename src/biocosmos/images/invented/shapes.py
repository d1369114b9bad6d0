"""What a drawing is made of: polygons and lines in units of the body's length, x towards the head, y towards the left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""(n, 2)."""
Colour = tuple[int, int, int]
Along = npt.NDArray[np.float64]
"""A half width at each of :data:`PLACES`."""
PLACES = np.linspace(0.0, 1.0, 97)
"""Along a part, from its base to its tip."""


@dataclass(frozen=True)
class Shape:
    """points (n, 2); width: of a line, in body lengths, None for a polygon that is filled; alpha: 0 to 255."""

    points: Points
    colour: Colour
    alpha: int = 255
    width: float | None = None
    shade: bool = False
    """Throws a shadow."""


@dataclass(frozen=True)
class Sheet:
    """A part with an axis: (t, v) with t from 0 at its base to 1 at its tip, v from -1 at its right edge to 1 at its left.

    origin: of the axis; angle: its direction, radians; bend: how far it curves, radians over its length; left, right: half
    widths along it.
    """

    origin: tuple[float, float]
    angle: float
    length: float
    left: Along
    right: Along
    bend: float = 0.0

    def at(self, t: Points | float, v: Points | float) -> Points:
        """(n, 2), or (2,), of places along and across."""
        heading = self.angle + self.bend * t
        middle = (self.angle + heading) / 2
        off = np.where(v > 0, np.interp(t, PLACES, self.left), np.interp(t, PLACES, self.right)) * v
        found = np.empty((*off.shape, 2))
        found[..., 0] = self.origin[0] + self.length * t * np.cos(middle) - off * np.sin(heading)
        found[..., 1] = self.origin[1] + self.length * t * np.sin(middle) + off * np.cos(heading)
        return found

    def half(self, t: float) -> float:
        """Half width at a place, the mean of both sides."""
        return float(np.interp(t, PLACES, self.left) + np.interp(t, PLACES, self.right)) / 2

    def area(self, start: float = 0.0, end: float = 1.0, low: float = -1.0, high: float = 1.0, steps: int = 14) -> Points:
        """Outline of the part between two places along and two across."""
        t = np.linspace(start, end, steps)
        return np.concatenate([self.at(t, high), self.at(t[::-1], low)])

    def across(self, t: float, low: float = -1.0, high: float = 1.0, bulge: float = 0.0) -> Points:
        """A line across at t, whose middle lies ``bulge`` further along."""
        v = np.linspace(low, high, 7)
        return self.at(t + bulge * (1 - v**2), v)

    def along(self, v: float, start: float = 0.0, end: float = 1.0, steps: int = 9) -> Points:
        """A line along at v."""
        return self.at(np.linspace(start, end, steps), v)

    def point(self, t: float, v: float) -> tuple[float, float]:
        """One place."""
        x, y = self.at(t, v).tolist()
        return x, y

    def spot(self, t: float, v: float, radius: float, stretch: float = 1.0) -> Points:
        """A round mark about a place; radius in body lengths, ``stretch`` times as long as wide."""
        return ellipse(self.point(t, v), radius * stretch, radius, self.angle + self.bend * t)


_ROUND = np.linspace(0, 2 * math.pi, 16, endpoint=False)


def ellipse(centre: tuple[float, float], long: float, wide: float, turn: float = 0.0) -> Points:
    """Outline of an ellipse with half axes ``long``, turned by ``turn`` radians, and ``wide``."""
    x, y = long * np.cos(_ROUND), wide * np.sin(_ROUND)
    return np.stack([centre[0] + x * math.cos(turn) - y * math.sin(turn), centre[1] + x * math.sin(turn) + y * math.cos(turn)], 1)


def walk(start: tuple[float, float], angles: Sequence[float], lengths: Sequence[float]) -> Points:
    """(n + 1, 2) a line from ``start`` by steps of given directions and lengths."""
    steps = np.stack([np.cos(angles) * lengths, np.sin(angles) * lengths], axis=1)
    return np.concatenate([np.array([start]), np.array([start]) + np.cumsum(steps, axis=0)])
