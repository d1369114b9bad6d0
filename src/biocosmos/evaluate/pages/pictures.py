"""Small pictures of specimens inside a page, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np

from biocosmos.errors import ImageError
from biocosmos.images import read_image

Thumbnails = Callable[[str], bytes | None]
"""Gives the image bytes of an id, or None."""
LONG_SIDE = 128
QUALITY = 82


class Pictures:
    """Gives the data URI of an id's picture, made once; "" where there is none or it cannot be read."""

    def __init__(self, thumbnails: Thumbnails | None) -> None:
        self._source = thumbnails
        self._made: dict[str, str] = {}

    def __call__(self, specimen: str | None) -> str:
        """The ``data:image/jpeg`` URI of ``specimen``."""
        if self._source is None or specimen is None:
            return ""
        if specimen not in self._made:
            image = self._source(specimen)
            try:
                self._made[specimen] = "" if image is None else data_uri(image)
            except ImageError:
                self._made[specimen] = ""
        return self._made[specimen]


def data_uri(image: bytes) -> str:
    """Image bytes of any readable format as a JPEG data URI of at most 128 px. Raises ImageError."""
    from PIL import Image

    pixels = read_image(image, long_side=LONG_SIDE).pixels
    height, width = pixels.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = Image.fromarray(np.asarray(pixels)).resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
