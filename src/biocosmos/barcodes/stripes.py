"""The picture of a specimen that has a barcode and no image: its bases as stripes, as BOLD shows them."""

from __future__ import annotations

import base64
import hashlib
import io

import numpy as np

PREFIX = "dna-"
"""How the mark of such a picture begins; see :func:`biocosmos.serve.thumbnails.pictures.mark_of`."""
SIDE = 128
PER_LINE, LINES = 110, 6
"""Bases of a line, a pixel each, and lines: 660 bases, which are a whole barcode of COI. Longer ones are cut."""
LINE_HEIGHT, GAP = 13, 6
COLOURS = {"A": "009e73", "C": "0072b2", "G": "e69f00", "T": "d55e00"}
"""Of Okabe and Ito, which the colour-blind tell apart. Everything else is grey."""
OTHER, CLEAR = "9a9a9a", "000000"
_PLACES = np.full(256, 1, np.uint8)
for _place, _letter in enumerate(COLOURS, 2):
    _PLACES[[ord(_letter), ord(_letter.lower())]] = _place
_PALETTE = list(bytes.fromhex(CLEAR + OTHER + "".join(COLOURS.values())))


def stripes_mark(barcode: str | None) -> str | None:
    """A mark that changes with the barcode; None without one."""
    return PREFIX + hashlib.sha256(barcode.encode()).hexdigest()[:12] if barcode else None


def stripes_uri(barcode: str) -> str:
    """The picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(stripes(barcode)).decode()}"


def stripes(barcode: str, size: int = SIDE) -> bytes:
    """A PNG of ``size`` (a multiple of SIDE) pixels a side, clear where there is no base."""
    from PIL import Image

    places = _PLACES[np.frombuffer(barcode[: PER_LINE * LINES].encode("latin-1", "replace"), np.uint8)]
    lines = [places[start : start + PER_LINE] for start in range(0, len(places), PER_LINE)]
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    top = (SIDE - len(lines) * LINE_HEIGHT - (len(lines) - 1) * GAP) // 2
    left = (SIDE - PER_LINE) // 2
    for number, line in enumerate(lines):
        start = top + number * (LINE_HEIGHT + GAP)
        pixels[start : start + LINE_HEIGHT, left : left + len(line)] = line
    scale = max(1, size // SIDE)
    image = Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))
    image.putpalette(_PALETTE)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=0, optimize=True)
    return out.getvalue()
