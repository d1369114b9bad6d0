"""One moth: its outline as it lies, and what it looks like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.drawing import draw
from biocosmos.images.invented.pose import pose_of
from biocosmos.images.invented.shapes import Points, Shape
from biocosmos.images.invented.traits import KINDS, Inheritance, Traits, with_means

Array = npt.NDArray[np.float64]
OPEN_WINGS = 45.0
"""Degrees by which wings open."""
SIZES = 0.22
"""Standard deviation of the logarithm of the extents of species."""
FINENESS = 40
"""Pixels of the longer side of a box in which it is counted how much of a moth can be seen."""
LOOKS = 24
"""Numbers of a vector of looks."""


@dataclass(frozen=True)
class Moth:
    """An individual: its name, the path of its species and its extent over that of a middling moth."""

    name: str
    path: tuple[str | None, ...]
    size: float
    inheritance: Inheritance

    @property
    def traits(self) -> Traits:
        """What it has of its species and of its own."""
        return self.inheritance.specimen(self.path, self.name)

    def drawn(self, wings: bool) -> list[Shape]:
        """Its shapes, 1 in extent, centred, the head towards x."""
        return _drawn(self, wings)

    def outline(self, wings: bool) -> tuple[Points, list[int]]:
        """Body and wings of :meth:`drawn`, no legs and antennae: points of polygons, and where the second and further begin."""
        return _outline(self, wings)

    def looks(self) -> Array:
        """(LOOKS,) float64: colours and patterns by a projection that all scenes share, about 1 in length."""
        return _looks(self)

    def __hash__(self) -> int:
        return hash((self.name, self.path, self.inheritance.seed))


@lru_cache(maxsize=1024)
def _outline(moth: Moth, wings: bool) -> tuple[Points, list[int]]:
    polygons = [shape.points for shape in moth.drawn(wings) if shape.shade and shape.width is None]
    return np.concatenate(polygons), np.cumsum([len(each) for each in polygons])[:-1].tolist()


@lru_cache(maxsize=4096)
def _looks(moth: Moth) -> Array:
    logits = moth.traits.logits[KINDS > 0]
    projection = chance(0, "looks").standard_normal((len(logits), LOOKS)) / math.sqrt(len(logits) * LOOKS)
    return np.asarray(logits @ projection)


@lru_cache(maxsize=1024)
def _drawn(moth: Moth, wings: bool) -> list[Shape]:
    random = chance(moth.inheritance.seed, "moth", moth.name)
    pose = replace(pose_of(random), wings=OPEN_WINGS if wings else 0.0, lost=0.0)
    shapes = draw(with_means(moth.traits), pose, random)
    points = np.concatenate([shape.points for shape in shapes if shape.shade and shape.width is None])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 1 / float((high - low).max())
    middle = (low + high) / 2
    return [
        replace(shape, points=(shape.points - middle) * scale, width=None if shape.width is None else shape.width * scale)
        for shape in shapes
    ]


def size_of(path: tuple[str | None, ...], name: str, seed: int) -> float:
    """Extent over that of a middling moth: of the species, with a little of its own."""
    species, own = chance(seed, "extent", *path).normal(0, SIZES), chance(seed, "extent of", name).normal(0, 0.06)
    return math.exp(float(np.clip(species, -2 * SIZES, 2 * SIZES) + own))


def turned(points: Points, heading: float, x: float, y: float, extent: float) -> Points:
    """Points in the picture, whose rows count downwards."""
    cos, sin = math.cos(heading), math.sin(heading)
    along, across = points[:, 0], points[:, 1]
    return np.stack([x + extent * (along * cos - across * sin), y - extent * (along * sin + across * cos)], axis=1)


def box_of(points: Points) -> Array:
    """(4,) x, y, width, height around points, wherever they lie."""
    low = points.min(axis=0)
    return np.concatenate([low, points.max(axis=0) - low])


def seen_of(outline: list[Points], over: list[Points], inside: Array) -> float:
    """Part of a moth that can be seen: not under those ``over`` it, and inside the picture, (4,) x, y, width, height."""
    x, y, width, height = box_of(np.concatenate(outline)).tolist()
    scale = FINENESS / max(width, height)
    shape = (max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale)))
    image = Image.new("1", shape, 0)
    pen = ImageDraw.Draw(image)

    def put(polygons: list[Points], value: int) -> None:
        for polygon in polygons:
            pen.polygon(list(map(tuple, ((polygon - [x, y]) * scale).tolist())), fill=value)

    put(outline, 1)
    whole = int(np.count_nonzero(np.asarray(image)))
    put(over, 0)
    left = np.asarray(image)
    columns = x + (np.arange(shape[0]) + 0.5) / scale
    rows = y + (np.arange(shape[1]) + 0.5) / scale
    within_x = (columns >= inside[0]) & (columns < inside[0] + inside[2])
    within_y = (rows >= inside[1]) & (rows < inside[1] + inside[3])
    return float(np.count_nonzero(left & within_y[:, None] & within_x[None, :]) / max(1, whole))
