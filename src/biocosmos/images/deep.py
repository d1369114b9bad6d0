"""More than 8 bits a sample: 10 to 16 bits, 32 bits and floating point become 8, over the range that is used.

Instruments store 10 to 14 significant bits in 16, so that dividing by 256 would give a black picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from biocosmos.errors import ImageError
from biocosmos.images.upright import Pixels

STRIP_PIXELS = 1 << 20  # worked on at a time, so that wide numbers never fill memory
FULL = 65535
HALF_FULL = 1 << 15
MID_GREY = 128

Values = npt.NDArray[Any]

_LOW_BYTES = {"16B": "16L", "16L": "16B", "16N": "16B" if np.little_endian else "16L"}
"""The byte order under which Pillow, which keeps one byte of each 16-bit sample, keeps the other one."""


def strips(image: Image.Image) -> Iterator[tuple[slice, Values]]:
    """(rows, their samples) of a loaded image, a strip at a time."""
    at_once = max(1, STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, at_once):
        bottom = min(image.height, top + at_once)
        yield slice(top, bottom), np.asarray(image.crop((0, top, image.width, bottom)))


# ---------------------------------------------------------------- grey


def grey_to_8_bits(image: Image.Image, *, white_is_zero: bool = False) -> tuple[Pixels, str]:
    """Deep grey stretched from its own minimum..maximum to 0..255, as RGB, with a note. Raises ImageError: nothing finite."""
    low, high = _finite_range(part for _, part in strips(image))
    deep = "floating-point" if image.mode == "F" else "32-bit" if image.mode == "I" and high > FULL else "16-bit"
    out = np.empty((image.height, image.width, 3), np.uint8)
    if high <= low:
        out[:] = MID_GREY
        return out, f"{deep} grey of one value ({low:g}) set to mid-grey"
    for rows, part in strips(image):
        grey = stretched(part, low, high)
        out[rows] = (255 - grey if white_is_zero else grey)[:, :, None]
    turned = ", white stored as zero" if white_is_zero else ""
    return out, f"{deep} grey scaled from {low:g}..{high:g} to 8 bits{turned}"


def stretched(values: Values, low: float, high: float) -> Pixels:
    """low..high to 0..255; what is no number counts as low, and the infinite as the nearer end."""
    with np.errstate(invalid="ignore", over="ignore"):  # signalling NaNs of a damaged file
        wide = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((wide - low) * (255.0 / (high - low)), 0, 255)).astype(np.uint8)


def _finite_range(parts: Iterator[Values]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for part in parts:
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise ImageError("no finite pixel in a floating-point image")
    return low, high


def floating_to_8_bits(values: Values) -> tuple[Pixels, str]:
    """(height, width, 3) numbers of any type stretched together, so that colours stay, with a note. Raises ImageError."""
    low, high = _finite_range(iter((values,)))
    if high <= low:
        return np.full(values.shape, MID_GREY, np.uint8), f"{values.dtype} colour of one value ({low:g}) set to mid-grey"
    if values.dtype.kind in "ui" and low >= 0:
        low = 0.0  # black stays black
        high = float(FULL) if values.dtype == np.uint16 and high >= HALF_FULL else high
    rows = max(1, STRIP_PIXELS // max(1, values.shape[1]))
    out = np.concatenate([stretched(values[top : top + rows], low, high) for top in range(0, len(values), rows)])
    return out, f"{values.dtype} colour scaled from {low:g}..{high:g} to 8 bits"


def opacity_of(alpha: Values, brightest: float) -> npt.NDArray[np.float32]:
    """An alpha band as 0 (transparent) to 1; whole numbers are full at the top of the bits that it or the colours use."""
    top = float(alpha.max(initial=0))
    if alpha.dtype.kind in "ui":
        bits = max(int(top).bit_length(), int(brightest).bit_length() if top < HALF_FULL else 0, 1)
        top = float((1 << bits) - 1)
    return (np.nan_to_num(alpha.astype(np.float32)) / np.float32(top or 1)).clip(0, 1)


def on_white(pixels: Pixels, opacity: npt.NDArray[np.float32], premultiplied: bool) -> Pixels:
    """8-bit pixels over white, a strip at a time."""
    out = np.empty_like(pixels)
    rows = max(1, STRIP_PIXELS // max(1, pixels.shape[1]))
    for top in range(0, len(pixels), rows):
        share = opacity[top : top + rows]
        colour = pixels[top : top + rows].astype(np.float32)
        out[top : top + rows] = np.rint(np.clip((colour if premultiplied else colour * share) + 255 * (1 - share), 0, 255))
    return out


# ---------------------------------------------------------------- 16-bit colour and alpha


def is_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow would keep the upper byte of each 16-bit sample only. Asked before the image is loaded."""
    return image.mode in ("RGB", "RGBA", "CMYK", "LA") and any(order in raw_mode(image) for order in ("16B", "16L", "16N"))


def raw_mode(image: Image.Image) -> str:
    """How the samples lie in the file, in Pillow's terms; "" where the codec does not say."""
    tiles = getattr(image, "tile", [])
    if not tiles:
        return ""
    args = tiles[0].args
    return str(args[0] if isinstance(args, (tuple, list)) and args else args)


def _with_raw_mode(image: Image.Image, wanted: str) -> None:
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(wanted, *tile.args[1:]) if isinstance(tile.args, (tuple, list)) else wanted)
        for tile in image.tile  # type: ignore[attr-defined]
    ]


def colour_to_8_bits(upper: Image.Image, lower: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    """16-bit colour, or grey with alpha, as RGB flattened on white, with notes.

    upper, lower: the same file opened twice and not loaded yet; each is decoded for one of the two bytes of a sample. Colour that
    uses all 16 bits is divided by 257; colour that uses fewer is stretched over 0..its maximum, grey over its minimum..maximum.
    """
    raw = raw_mode(upper)
    grey, premultiplied, transparent = raw.startswith("LA"), raw.startswith("RGBa"), upper.info.get("transparency")
    raw = raw.replace("RGBa", "RGBA")
    if grey:  # four bytes a pixel: Pillow is told that they are four bands
        _with_raw_mode(upper, "RGBA")
        upper.load()
        bands: _TwoBytes = _GreyAlpha(upper)
    else:
        order = raw.rsplit(";", 1)[-1]
        for image, wanted in ((upper, raw), (lower, raw.replace(order, _LOW_BYTES[order]))):
            _with_raw_mode(image, wanted)
            image.load()
        bands = _TwoBytes(upper, lower)
    alpha = 1 if grey else 3 if upper.mode == "RGBA" else None
    colours = slice(0, alpha if alpha is not None else len(upper.getbands()))
    scale = _Scale(bands, colours, alpha, grey)
    out = np.empty((upper.height, upper.width, 3), np.uint8)
    flattened = False
    for rows, values in bands.strips():
        shade = scale.colours(values[:, :, colours])
        if upper.mode == "CMYK":
            inks = Image.fromarray(np.rint(shade * 255).astype(np.uint8), mode="CMYK")
            shade = np.asarray(inks.convert("RGB"), dtype=np.float32) / np.float32(255)
        if alpha is not None:
            share = scale.alpha(values[:, :, alpha])[:, :, None]
            flattened = flattened or bool((share < 1).any())
            shade = shade + (1 - share) if premultiplied else shade * share + (1 - share)
        if isinstance(transparent, tuple) and len(transparent) == 3:
            hidden = (values[:, :, :3] == np.asarray(transparent, np.uint16)).all(axis=2)
            flattened = flattened or bool(hidden.any())
            shade[hidden] = 1
        out[rows] = np.rint(np.clip(shade, 0, 1) * 255).astype(np.uint8)
    notes = ("CMYK converted to RGB",) if upper.mode == "CMYK" else ()
    return out, (*notes, scale.note, *(("alpha flattened on white",) if flattened else ()))


class _TwoBytes:
    """The samples of an image that was loaded for its upper and for its lower bytes."""

    def __init__(self, upper: Image.Image, lower: Image.Image) -> None:
        self._upper, self._lower = upper, lower

    def strips(self) -> Iterator[tuple[slice, Values]]:
        """(rows, (n, width, bands) uint16)."""
        for (rows, upper), (_, lower) in zip(strips(self._upper), strips(self._lower)):
            yield rows, (upper.astype(np.uint16) << 8) | lower


class _GreyAlpha(_TwoBytes):
    """The samples of 16-bit grey and alpha that were loaded as four bands of bytes."""

    def __init__(self, image: Image.Image) -> None:
        super().__init__(image, image)

    def strips(self) -> Iterator[tuple[slice, Values]]:
        """(rows, (n, width, 2) uint16)."""
        for rows, part in strips(self._upper):
            yield rows, np.ascontiguousarray(part).view(">u2").astype(np.uint16)


class _Scale:
    """What the used range of a 16-bit picture is, from one pass over it."""

    def __init__(self, bands: _TwoBytes, colours: slice, alpha: int | None, grey: bool) -> None:
        low, high, opaque = FULL, 0, 0
        for _, values in bands.strips():
            visible = values[:, :, colours]
            if alpha is not None:
                opaque = max(opaque, int(values[:, :, alpha].max()))
                visible = visible[values[:, :, alpha] > 0]
            if visible.size:
                low, high = min(low, int(visible.min())), max(high, int(visible.max()))
        self._low = low if grey and high > low else 0
        self._high = FULL if high >= HALF_FULL and not grey else max(high, 1)
        self._opaque = FULL if opaque >= HALF_FULL or not opaque else (1 << max(opaque.bit_length(), high.bit_length())) - 1
        what = "grey" if grey else "colour"
        if self._high == FULL and not grey:
            self.note = "16-bit colour reduced to 8 bits"
        else:
            self.note = f"16-bit {what} scaled from {self._low}..{self._high} to 8 bits"

    def colours(self, values: Values) -> npt.NDArray[np.float32]:
        """0..1."""
        return ((values.astype(np.float32) - self._low) / np.float32(self._high - self._low)).clip(0, 1)

    def alpha(self, values: Values) -> npt.NDArray[np.float32]:
        """0 (transparent) to 1."""
        return (values.astype(np.float32) / np.float32(self._opaque)).clip(0, 1)
