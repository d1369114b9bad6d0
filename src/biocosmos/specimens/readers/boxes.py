"""Boxes of a detector or an annotator as crops of the upright picture, clipped to it, with every change told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from biocosmos.errors import ImageError
from biocosmos.images import Crop, ImageInfo, oriented, upright_crop
from biocosmos.images.upright import AS_STORED, lies_on_its_side
from biocosmos.specimens.readers.json_stream import as_number

STORED, UPRIGHT = "stored", "upright"
CLIPPED_FROM = 1.0  # pixels outside the image that are worth a word; less is rounding
INFOS_AT_HAND = 1024
ASKED_ABOUT = 500
"""So many pictures of a file are looked at to learn whether its boxes are of stored or of upright pictures."""
SAME_SHAPE = 0.01  # by how much the ratio of the sides may differ: sizes are rounded when a picture is made smaller
LARGEST_SIDE = 10_000_000.0

Size = tuple[float, float]
"""Width and height in pixels."""


@lru_cache(INFOS_AT_HAND)
def header(path: str) -> ImageInfo | None:
    """What the header of an image says; None where it cannot be read, which ingest tells."""
    try:
        return oriented(path)
    except ImageError:
        return None


def upright_size(info: ImageInfo) -> Size:
    """Width and height once the picture is upright."""
    return (info.height, info.width) if lies_on_its_side(info.orientation) else (info.width, info.height)


def size_of(width: Any, height: Any) -> Size | None:
    """The size a file declares for a picture; None if it is no size."""
    sides = as_number(width), as_number(height)
    if sides[0] is None or sides[1] is None or not all(0 < side <= LARGEST_SIDE for side in sides if side is not None):
        return None
    return sides[0], sides[1]


def frame_of(info: ImageInfo, declared: Size | None) -> str | None:
    """Whether boxes are of the picture as STORED or UPRIGHT, by the size that stands beside them; None where that cannot tell."""
    if info.orientation == AS_STORED or declared is None or not lies_on_its_side(info.orientation):
        return UPRIGHT if info.orientation == AS_STORED else None
    stored, upright = _alike(declared, (info.width, info.height)), _alike(declared, upright_size(info))
    return None if stored == upright else STORED if stored else UPRIGHT


def _alike(one: Size, other: Size) -> bool:
    return abs(math.log(one[0] / one[1]) - math.log(other[0] / other[1])) < SAME_SHAPE


@dataclass
class Frames:
    """Whether the boxes of one file are of stored or of upright pictures, and what has to be said about it.

    asked: what the user says they are. others: (path, declared size) of the file's pictures, asked for when one cannot tell; they
    come from one tool, so that what most of them are the others are too.
    """

    asked: str | None
    others: Callable[[], Iterable[tuple[str, Size | None]]]
    turned: int = 0
    _habit: tuple[str | None] | None = None

    def of(self, info: ImageInfo, declared: Size | None) -> tuple[str, str | None]:
        """(STORED or UPRIGHT, what is not certain about it)."""
        if info.orientation == AS_STORED:
            return UPRIGHT, None
        frame = self.asked or frame_of(info, declared) or self.habit()
        if frame is not None:
            self.turned += frame == STORED
            return frame, None
        return UPRIGHT, (
            "the photo is turned by its EXIF data, and its boxes may be of it as stored or upright: taken as upright "
            "(--boxes stored says otherwise)"
        )

    def habit(self) -> str | None:
        """What the pictures that can tell agree on; None where they do not, or none can."""
        if self._habit is None:
            found = set()
            for number, (path, declared) in enumerate(self.others()):
                info = header(path) if number < ASKED_ABOUT else None
                if number >= ASKED_ABOUT:
                    break
                if info is not None and info.orientation != AS_STORED:
                    found.add(frame_of(info, declared))
            found.discard(None)
            self._habit = (found.pop() if len(found) == 1 else None,)
        return self._habit[0]


def to_crop(
    box: Any, info: ImageInfo | None, declared: Size | None, frame: str = UPRIGHT
) -> tuple[list[float] | None, str | None, bool]:
    """([x, y, width, height] in the upright picture, why there is none, whether more than rounding was cut off).

    box: x, y, width, height in pixels of the picture as ``frame`` says, ``declared`` large; info: of the file, where it is there.
    """
    if not isinstance(box, (list, tuple)) or len(box) != 4 or any(side is None for side in map(as_number, box)):
        return None, f"the box {_shown(box)} is not [x, y, width, height]", False
    x, y, w, h = (float(as_number(side) or 0.0) for side in box)
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        return None, f"the box {_shown(box)} has no area", False
    own = None if info is None else ((info.width, info.height) if frame == STORED else upright_size(info))
    size = declared or own or (LARGEST_SIDE, LARGEST_SIDE)
    crop, cut = _clipped((x, y, w, h), size)
    if crop is not None and info is not None and frame == STORED:
        crop = upright_crop(crop, info.orientation, *size)
    if crop is not None and info is not None and declared is not None:
        crop, more = _clipped(crop, upright_size(info))
        cut = max(cut, more)
    if crop is None:
        where = f"{size[0]:g} x {size[1]:g}" if size[0] < LARGEST_SIDE else "such size"
        return None, f"the box {_shown(box)} lies outside the image of {where}", False
    return list(crop), None, cut >= CLIPPED_FROM


def _clipped(crop: Crop, size: Size) -> tuple[Crop | None, float]:
    x, y, w, h = crop
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, size[0]), min(y + h, size[1])
    if right <= left or bottom <= top:
        return None, 0.0
    return (left, top, right - left, bottom - top), max(left - x, top - y, x + w - right, y + h - bottom)


def _shown(box: Any) -> str:
    return repr(box)[:80]
