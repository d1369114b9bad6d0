"""A picture made small: decoded by :mod:`biocosmos.images`, fitted into a square, never enlarged, written as a JPEG."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import simplejpeg
from PIL import Image

from biocosmos.errors import ImageError
from biocosmos.images import Crop, Pixels, file_size, read_image
from biocosmos.serve.thumbnails.pictures import NO_IMAGE, Picture
from biocosmos.serve.thumbnails.store import Kept

SIZES = (128, 384)
"""Sides of the square boxes, in pixels: of a grid, and of what is looked at more closely."""
QUALITY = 85
_REDUCING_GAP = 3.0
"""Pillow may first shrink by whole numbers to this many times the wanted size: much faster, and no difference is seen."""


class OutOfReach(ImageError):
    """The file cannot be read now, which may pass: nothing is said about its content."""


@dataclass(frozen=True)
class Made:
    """What came of a picture: size -> JPEG of at most size x size pixels; or why there is none, and whether that may pass."""

    picture: Picture
    jpegs: dict[int, bytes] = field(default_factory=dict)
    reason: str = ""
    may_pass: bool = False

    def row(self, size: int) -> Kept:
        """What is to be kept of it."""
        return Kept(self.picture.id, self.picture.mark, self.jpegs.get(size), self.reason or None, self.picture.stamp())


def make(picture: Picture, sizes: tuple[int, ...]) -> Made:
    """Thumbnails of one picture, by one decoding; never an error."""
    try:
        pixels = decoded(picture.source, picture.crop, max(sizes))
        return Made(picture, {size: as_jpeg(fitted(pixels, size), QUALITY) for size in sizes})
    except OutOfReach as error:
        return Made(picture, reason=str(error), may_pass=True)
    except ImageError as error:
        return Made(picture, reason=str(error))
    except MemoryError:
        return Made(picture, reason="not enough memory to decode it", may_pass=True)


def decoded(source: bytes | str | None, crop: Crop | None, size: int) -> Pixels:
    """Pixels of an image, of at least ``size`` on the long side where it has them. Raises ImageError with the reason."""
    if source is None:
        raise ImageError(NO_IMAGE)
    if isinstance(source, str):
        try:
            file_size(source)
        except ImageError as error:
            raise OutOfReach(str(error)) from error
    return read_image(source, crop=crop, long_side=size).pixels


def fitted(pixels: Pixels, size: int) -> Pixels:
    """(height, width, 3) uint8 with both sides at most ``size``, in the same proportions; smaller pictures stay as they are."""
    height, width = pixels.shape[:2]
    if max(height, width) <= size:
        return pixels
    share = size / max(height, width)
    wanted = max(1, round(width * share)), max(1, round(height * share))
    small = Image.fromarray(pixels).resize(wanted, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    return np.asarray(small)


def as_jpeg(pixels: Pixels, quality: int) -> bytes:
    """A JPEG; one band where the picture is grey."""
    pixels = np.ascontiguousarray(pixels)
    if (pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 1] == pixels[:, :, 2]).all():
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels[:, :, :1]), quality, "GRAY", "Gray"))
    return bytes(simplejpeg.encode_jpeg(pixels, quality, "RGB", "444"))
