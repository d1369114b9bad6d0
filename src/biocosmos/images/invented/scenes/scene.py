"""A scene: look at it at any moment, and see who is there, where, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.scenes.conditions import Conditions
from biocosmos.images.invented.scenes.moths import Moth, box_of, seen_of, size_of, turned
from biocosmos.images.invented.scenes.night import Visit, visits
from biocosmos.images.invented.traits import Inheritance

Array = npt.NDArray[np.float64]
COMMONNESS = 1.0
"""Standard deviation of the logarithm of how common species are in a scene."""


@dataclass(frozen=True)
class Glimpse:
    """A moth at a moment. box: (4,) x, y, width, height of what lies inside the picture, pixels, 0-based; visibility: 0 to 1."""

    moth: int
    level: int
    x: float
    y: float
    heading: float
    wings: bool
    box: Array
    visibility: float


Glimpses = list[Glimpse]
"""All at one moment, the lowest first."""


class Scene:
    """A night on the screen of a light trap: the same for the same conditions, seed and species.

    species: paths of names from coarse to fine, as :class:`Inheritance` takes them. Attributes: ``moths``, the individuals, by
    arrival; ``visits``, their stays.
    """

    def __init__(self, conditions: Conditions, seed: int, species: Sequence[tuple[str, ...]], inheritance: Inheritance) -> None:
        self.conditions, self.seed = conditions, seed
        self.visits: list[Visit] = visits(conditions, seed)
        random = chance(seed, "species")
        common = np.exp(random.normal(0, COMMONNESS, len(species)))
        number = 1 + max((visit.moth for visit in self.visits), default=-1)
        drawn = random.choice(len(species), number, p=common / common.sum()).tolist()
        paths, names = [species[which] for which in drawn], [f"{seed}-{which}" for which in range(number)]
        sizes = [size_of(path, name, inheritance.seed) for path, name in zip(paths, names)]
        self.moths = [Moth(*each, inheritance) for each in zip(names, paths, sizes)]

    def extent(self, moth: int) -> float:
        """Pixels."""
        return self.conditions.body * self.conditions.width * self.moths[moth].size

    def at(self, seconds: float) -> Glimpses:
        """Who is there at a moment, the lowest first; what lies wholly outside the picture is not."""
        inside = np.array([0.0, 0.0, self.conditions.width, self.conditions.height])
        there = [visit for visit in self.visits if visit.start <= seconds <= visit.end]
        placed = [(visit, *visit.at(seconds)) for visit in there]
        outlines, boxes = [], []
        for visit, x, y, heading, wings in placed:
            points, cuts = self.moths[visit.moth].outline(wings)
            points = turned(points, heading, x, y, self.extent(visit.moth))
            outlines.append((points, cuts))
            boxes.append(box_of(points))
        found = []
        for row, (visit, x, y, heading, wings) in enumerate(placed):
            over = [outlines[other] for other in range(row + 1, len(placed)) if _touch(boxes[row], boxes[other])]
            box = clipped(boxes[row], inside)
            if box[2] <= 0 or box[3] <= 0:
                continue
            whole = not over and bool(np.allclose(box, boxes[row]))
            visibility = 1.0
            if not whole:
                polygons = [part for points, cuts in over for part in np.split(points, cuts)]
                visibility = seen_of(np.split(*outlines[row]), polygons, inside)
            found.append(Glimpse(visit.moth, visit.level, x, y, heading, wings, box, visibility))
        return found


def clipped(box: Array, inside: Array) -> Array:
    """(4,) what of a box lies in another."""
    low = np.maximum(box[:2], inside[:2])
    return np.concatenate([low, np.minimum(box[:2] + box[2:], inside[:2] + inside[2:]) - low])


def _touch(one: Array, other: Array) -> bool:
    return bool(np.all(one[:2] < other[:2] + other[2:]) and np.all(other[:2] < one[:2] + one[2:]))
