"""How much memory decoding may take: known from the header, bounded over all threads, refused before a pixel is read."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from biocosmos.errors import BiocosmosError, ImageError

OPTION = "BIOCOSMOS_IMAGE_GB"
"""Environment variable: gigabytes that decoding may hold at once, over all threads."""
DEFAULT_GB = 1.28
"""Keeps a process with everything imported below 2 GB."""
MAX_PIXELS = 178_956_970
"""Larger images are refused from their header (Pillow's own limit: 512 MiB once decoded to RGB), unless OPTION allows more."""
SLOW_PIXELS = 16_000_000
"""For codecs that Pillow has in Python alone (PPM with an odd maximum or as text): larger ones would take minutes."""

RGB_BYTES = 3  # what is handed out, a pixel
_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # Pillow holds all other modes in 4
_DEEPER_BYTES = 4
# What a codec holds beside the picture, bytes a pixel: libwebp two canvases and a copy, OpenJPEG 4 bytes a band twice over,
# AVIF and HEIF deep planes, a picture and a copy.
_CODEC_BYTES = {"WEBP": 12, "JPEG2000": 20, "AVIF": 12, "HEIF": 16}
_COEFFICIENT_BYTES = 2  # a sample: a JPEG of several scans keeps them all
_ROWS_PER_STRIP, _COMPRESSION, _UNCOMPRESSED = 278, 259, 1

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # ours is the limit, and it is told


def allowed_bytes() -> int:
    """Bytes that decoding may hold at once. Raises BiocosmosError for a value of the environment that is no number."""
    given = os.environ.get(OPTION)
    if given is None:
        return int(DEFAULT_GB * 1e9)
    try:
        size = float(given)
    except ValueError:
        size = 0.0
    if not 0.01 <= size <= 1e6:
        raise BiocosmosError(f"{OPTION}={given!r} is not a number of gigabytes from 0.01 on")
    return int(size * 1e9)


def allowed_pixels() -> int:
    """Pixels of one image: MAX_PIXELS, or more in the measure in which more memory is allowed."""
    return int(MAX_PIXELS * max(1.0, allowed_bytes() / (DEFAULT_GB * 1e9)))


def bytes_needed(image: Image.Image, *, deep: bool, turned: bool, single_scan: bool) -> int:
    """About what decoding this image holds at its peak, in bytes, from its header.

    deep: more than 8 bits a sample in colour, which is decoded twice. turned: set upright by a copy. single_scan: a JPEG that is
    known to have one scan only, so that no coefficients are kept.
    """
    stored = _STORED_BYTES.get(image.mode, 4)
    each = float(RGB_BYTES + (RGB_BYTES if turned else 0))
    if image.format in ("JPEG", "MPO"):
        each += 0 if single_scan else _COEFFICIENT_BYTES * _samples(image)
        each += stored if image.mode not in ("L", "RGB") else 0
    else:
        each += stored + (_DEEPER_BYTES if deep else 0) + _CODEC_BYTES.get(image.format or "", 0)
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED:  # one strip of it is held unpacked
            rows = tags.get(_ROWS_PER_STRIP, image.height)
            strip = min(int(rows), image.height) if isinstance(rows, int) else image.height
            each += stored * (2 if deep else 1) * strip / max(1, image.height)
    return int(image.width * image.height * each)


def _samples(image: Image.Image) -> float:
    """Samples a pixel of a JPEG: 3 in full colour, 1.5 where colour is stored at half the resolution both ways."""
    layers = [(across, down) for _, across, down, *_ in getattr(image, "layer", [])]
    if not layers or not all(across and down for across, down in layers):
        return float(len(image.getbands()))
    widest, tallest = max(across for across, _ in layers), max(down for _, down in layers)
    return float(sum(across * down for across, down in layers) / (widest * tallest))


def check_pixels(width: int, height: int) -> None:
    """Raise ImageError for an image of more pixels than are decoded."""
    if width * height > allowed_pixels():
        limit = f"at most {allowed_pixels():,} pixels are decoded ({OPTION}=GB allows more)"
        raise ImageError(f"image too large: {width} x {height} pixels; {limit}")


def check_bytes(image: Image.Image, size: int) -> None:
    """Raise ImageError for an image whose decoding would hold more than is allowed."""
    if size > allowed_bytes():
        raise ImageError(
            f"image too large: {image.width} x {image.height} pixels of {image.format} take about {size / 1e9:.1f} GB to decode; "
            f"at most {allowed_bytes() / 1e9:g} GB are used ({OPTION}=GB allows more)"
        )


class _Holding:
    """Decoders wait here until what they need fits beside what the others hold; one alone never waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        with self._changed:
            while self._held and self._held + size > allowed_bytes():
                self._changed.wait()
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


hold = _Holding().hold
"""``with hold(bytes):`` decode; waits while other threads hold so much that it would be too much together."""
