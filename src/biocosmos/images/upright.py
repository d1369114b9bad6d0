"""EXIF orientation: pictures and boxes set upright (EXIF 2.3, tag 0x0112)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Crop = tuple[float, float, float, float]

ORIENTATION = 0x0112
AS_STORED = 1
_EXIF_IFD, _TAKEN, _STORED = 0x8769, 0x9003, 0x0132

# Orientation -> the numpy operations that set the stored pixels upright.
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: p.transpose(1, 0, 2)[:, ::-1],
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: p.transpose(1, 0, 2)[::-1],
}


def orientation_of(image: Image.Image) -> int:
    """1 to 8; 1 where EXIF says nothing, or nothing that is known."""
    try:
        value = image.getexif().get(ORIENTATION, AS_STORED)
    except Exception:  # EXIF is advice: a damaged block must not cost the image
        return AS_STORED
    return value if value in TURNS else AS_STORED


def taken_at(image: Image.Image) -> str | None:
    """When EXIF says that the picture was taken, as it is there: "2024:05:01 06:07:08"; None where it does not."""
    try:
        exif = image.getexif()
        found = exif.get_ifd(_EXIF_IFD).get(_TAKEN) or exif.get(_STORED)
    except Exception:  # as above
        return None
    return found.strip("\0 ") or None if isinstance(found, str) else None


def lies_on_its_side(orientation: int) -> bool:
    """Whether width and height change places when the picture is set upright."""
    return orientation >= 5


def upright_crop(crop: Crop, orientation: int, width: float, height: float) -> Crop:
    """A box in pixels of the stored picture as a box in pixels of the upright one.

    crop: (x, y, width, height). width, height: of the picture as stored, in pixels.

    >>> upright_crop((0, 0, 20, 10), 6, 60, 40)
    (30, 0, 10, 20)
    """
    x, y, w, h = crop
    if orientation in (2, 3, 7, 8):
        x = width - x - w
    if orientation in (3, 4, 6, 7):
        y = height - y - h
    return (y, x, h, w) if lies_on_its_side(orientation) else (x, y, w, h)
