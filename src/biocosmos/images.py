"""Decode an image, in one place: any file a museum or an instrument writes becomes 8-bit RGB, or an ImageError with the reason.

JPEG goes through simplejpeg (libjpeg-turbo), everything else through Pillow. Nothing is converted silently: every change that
could alter what a model sees is named in the notes. All functions are thread-safe.
"""

from __future__ import annotations

import importlib
import io
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from biocosmos.errors import ImageError

Source = bytes | str | Path
Pixels = npt.NDArray[np.uint8]
Crop = tuple[float, float, float, float]

MAX_PIXELS = 178_956_970
"""Larger images are refused from their header (Pillow's own limit: 512 MiB once decoded to RGB)."""
BIG_PIXELS = 16_000_000
"""Images above this are decoded one at a time over all threads, so that memory stays bounded."""
Image.init()  # load every plugin once, here, and not from several decode threads at the first odd file
FORMATS = tuple(name for name in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF") if name in Image.OPEN)
"""What Pillow may try; formats that call another program (EPS) or have no magic number (TGA) are left out."""

_SNIFFED = 512
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
"""Major brands in the first box of a HEIF file (ISO/IEC 23008-12), as phones write it."""
_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_one_big_image = threading.Lock()

# EXIF orientation -> the numpy operations that set the image upright (EXIF 2.3, tag 0x0112).
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: p.transpose(1, 0, 2)[:, ::-1],
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: p.transpose(1, 0, 2)[::-1],
}


@dataclass(frozen=True)
class Decoded:
    """``pixels`` (height, width, 3) uint8 RGB, contiguous; ``notes`` name the conversions made, empty for a plain image.

    ``size``: (height, width) in pixels of the upright image, or of its crop, before a JPEG was decoded smaller; (0, 0) unsaid.
    """

    pixels: Pixels
    notes: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ImageInfo:
    """What the header says: Pillow's format and mode, width and height in pixels as stored (before EXIF rotation)."""

    format: str
    width: int
    height: int
    mode: str
    notes: tuple[str, ...] = ()


def inspect_image(source: Source) -> ImageInfo:
    """Read the header only; no pixel is decoded.

    Raises:
        ImageError: missing file, zero bytes, not an image, or more than MAX_PIXELS. The reason does not repeat the path.
    """
    with _open(source) as image:
        notes = ("EXIF rotation",) if image.format != "PNG" and _orientation(image) != 1 else ()
        return ImageInfo(image.format or "", image.width, image.height, image.mode, notes)


def image_size(source: Source, crop: Crop | None = None) -> tuple[int, int]:
    """(height, width) in pixels of the upright image, or of the part of ``crop`` that is inside it; no pixel is decoded.

    The same as the ``size`` that :func:`read_image` gives. Raises ImageError as :func:`inspect_image`, and for a crop without
    area or outside the image.
    """
    with _open(source) as image:
        height, width = _upright_size(image, 1 if image.format == "PNG" and not _png_has_exif(source) else _orientation(image))
    if crop is None:
        return height, width
    top, bottom, left, right = _inside(crop, height, width)
    return bottom - top, right - left


def check_image(source: Source) -> tuple[str, ...]:
    """Decode the whole image and return its notes. Raises ImageError as :func:`read_image`."""
    return read_image(source).notes


def read_image(
    source: Source, *, crop: Crop | None = None, short_side: int | None = None, long_side: int | None = None
) -> Decoded:
    """Decode ``source`` to 8-bit RGB, upright, alpha flattened on white, first frame only.

    Args:
        source: the bytes of an image file, or its path.
        crop: (x, y, width, height) in pixels of the upright image; the part inside the image is returned.
        short_side: the short side, in pixels, that the caller will resize to. A JPEG at least twice as large is decoded at 1/2,
            1/4 or 1/8 of its size, never below this. Ignored with ``crop``, whose coordinates are those of the full image.
        long_side: the same for the long side; with both given, both must hold.

    Raises:
        ImageError: with a one-line reason that does not repeat the path.
    """
    with _open(source) as image:
        big = image.width * image.height > BIG_PIXELS
        with _one_big_image if big else nullcontext():
            orientation = _orientation(image) if image.format != "PNG" else 1
            size = _upright_size(image, orientation)  # asked now: Pillow turns the sides of a TIFF as it loads it
            if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
                factor = 1 if crop is not None else _reduction(image.width, image.height, short_side, long_side)
                pixels, notes = _decode_jpeg(source, image, factor)
            else:
                pixels, notes = _decode_pillow(image)
                if image.format == "PNG":  # may stand after the pixels; asked earlier, Pillow would load them unguarded
                    orientation = _orientation(image)
                    size = _upright_size(image, orientation)
            if orientation != 1:
                if image.format != "TIFF":  # Pillow turns TIFF upright as it loads it
                    pixels = _UPRIGHT[orientation](pixels)
                notes += ("EXIF rotation applied",)
            if crop is not None:
                top, bottom, left, right = _inside(crop, *pixels.shape[:2])
                pixels, size = pixels[top:bottom, left:right], (bottom - top, right - left)
            return Decoded(np.ascontiguousarray(pixels), notes, size)


def _open(source: Source) -> Image.Image:
    """The image with only its header read. Pillow closes a file it opened itself when the image is closed."""
    if isinstance(source, bytes) and not source:
        raise ImageError("zero bytes")
    try:
        image = _opened(source)
    except FileNotFoundError:
        raise ImageError("missing file") from None
    except IsADirectoryError:
        raise ImageError("a folder, not an image file") from None
    except PermissionError:
        raise ImageError("the file may not be read (permission denied)") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"image too large: {error}; at most {MAX_PIXELS:,} pixels are decoded") from None
    except UnidentifiedImageError:
        raise ImageError(_what_is_it(source)) from None
    except Exception as error:  # plugins raise anything on a damaged header: struct.error, SyntaxError, OverflowError ...
        raise ImageError(f"damaged image header: {_reason(error)}") from None
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        image.close()
        raise ImageError(f"image too large: {size} pixels; at most {MAX_PIXELS:,} pixels are decoded")
    return image


def _opened(source: Source) -> Image.Image:
    """As Pillow opens it; HEIF too where the package pillow-heif is installed."""
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except UnidentifiedImageError:
        if not _is_heif(_head(source)) or not _can_read_heif():
            raise
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=("HEIF",))


def _head(source: Source) -> bytes:
    if isinstance(source, bytes):
        return source[:_SNIFFED]
    with Path(source).open("rb") as file:
        return file.read(_SNIFFED)


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


@cache
def _can_read_heif() -> bool:
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _what_is_it(source: Source) -> str:
    """Why no decoder knows these bytes, in the words of the person who has to mend it."""
    head = _head(source)
    if not head:
        return "zero bytes"
    if _is_heif(head) and not _can_read_heif():
        return "a HEIF photograph, which is read with pillow-heif only: pip install 'biocosmos[heif]', or save it as JPEG"
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG")):
        return "truncated image: it ends inside the header"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "not an image: an HTML page (a failed download?)"
    if head.startswith(b"PK\x03\x04"):
        return "not an image: a zip archive"
    if head.startswith(b"%PDF"):
        return "not an image: a PDF document"
    if b"\0" not in head and _is_text(head):
        return "not an image: a text file"
    return "not an image, or of an unknown format"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < _SNIFFED else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF is advice: a damaged block must not cost the image
        return 1
    return value if value in _UPRIGHT else 1


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    """(height, width) of an image that is not loaded yet, once it is upright: orientations 5 to 8 lie on their side."""
    if image.format == "TIFF":  # whose sides Pillow gives before or after the turn, by its version
        width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]  # type: ignore[attr-defined]
    else:
        width, height = image.size
    return (width, height) if orientation >= 5 else (height, width)


def _png_has_exif(source: Source) -> bool:
    """Whether a PNG may have EXIF, which can stand after its pixels: asking Pillow for it would decode them."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    return b"eXIf" in data or b"Raw profile type exif" in data


def _reduction(width: int, height: int, short_side: int | None, long_side: int | None) -> int:
    """The largest libjpeg reduction that keeps both wanted sides."""
    if short_side is None and long_side is None:
        return 1
    for factor in (8, 4, 2):
        if min(width, height) >= factor * (short_side or 0) and max(width, height) >= factor * (long_side or 0):
            return factor
    return 1


def _decode_jpeg(source: Source, image: Image.Image, factor: int) -> tuple[Pixels, tuple[str, ...]]:
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    options: dict[str, Any] = {"colorspace": "RGB"}
    if factor > 1:
        options |= {"min_factor": factor, "min_height": -(-image.height // factor), "min_width": -(-image.width // factor)}
    try:
        return simplejpeg.decode_jpeg(data, **options), ()
    except ValueError as error:
        reason = _reason(error)
    if "Premature end of JPEG" in reason:
        raise ImageError("truncated JPEG: the file ends before its image does")
    if "premature end of data" in reason or "bad Huffman" in reason:
        raise ImageError(f"truncated or damaged JPEG: {reason}")
    # Old cameras write harmless faults (stray bytes before a marker), and libjpeg-turbo's fast interface knows fewer variants
    # than Pillow. Pillow decodes those without complaint, so the reason is kept as a note.
    pixels, notes = _decode_pillow(image)
    return pixels, (*notes, f"JPEG with a fault: {reason}")


def _decode_pillow(image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    # Another library may have switched this on for the whole process; a truncated PNG would then pass as a half grey picture.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    raw_mode = str([tile[3] for tile in getattr(image, "tile", [])[:1]])
    try:
        image.load()
        return _to_rgb(image, raw_mode)
    except OSError as error:
        reason = _reason(error)
        if "truncated" in reason or "unrecognized data stream" in reason:
            raise ImageError(f"truncated {image.format}: {reason}") from None
        raise ImageError(f"{image.format} that cannot be decoded: {reason}") from None
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # a damaged file makes the plugins raise anything
        raise ImageError(f"{image.format} that cannot be decoded: {_reason(error)}") from None


def _to_rgb(image: Image.Image, raw_mode: str) -> tuple[Pixels, tuple[str, ...]]:
    """The loaded image as RGB, whatever its mode, with the conversions named."""
    notes: list[str] = []
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        grey, note = _scaled_grey(image)
        return np.repeat(grey[:, :, None], 3, axis=2), (note,)
    if mode == "CMYK":
        # Pillow reads every CMYK JPEG as Adobe writes it, inverted; without Adobe's marker the values stand as they are.
        if image.format == "JPEG" and "adobe" not in image.info:
            image = Image.fromarray(255 - np.asarray(image), mode="CMYK")
        notes.append("CMYK converted to RGB")
    elif mode == "P" or mode == "PA":
        notes.append("palette converted to RGB")
    elif mode == "1":
        notes.append("1-bit image converted to RGB")
    elif mode in ("YCbCr", "LAB", "HSV"):
        notes.append(f"{mode} converted to RGB")
    elif "16" in raw_mode and mode in ("RGB", "RGBA", "LA", "L"):
        notes.append("16-bit colour reduced to 8 bits")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("first frame of several")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        flat.alpha_composite(layer)
        image = flat
        if np.asarray(layer)[:, :, 3].min(initial=255) < 255:
            notes.append("alpha flattened on white")
    return np.asarray(image.convert("RGB")), tuple(notes)


def _scaled_grey(image: Image.Image) -> tuple[Pixels, str]:
    """Deep grey (16 or 32 bits, or float) stretched from its own minimum..maximum to 0..255.

    Instruments store 10 to 14 significant bits in 16, so that dividing by 256 would give a black picture.
    """
    values = np.asarray(image, dtype=np.float32)
    bits = (
        "floating-point" if image.mode == "F" else "32-bit" if image.mode == "I" and values.max(initial=0) > 65535 else "16-bit"
    )
    finite = np.isfinite(values)
    if not finite.any():
        raise ImageError("no finite pixel in a floating-point image")
    low, high = float(values[finite].min()), float(values[finite].max())
    if high <= low:
        return np.full(values.shape, 128, np.uint8), f"{bits} grey of one value ({low:g}) set to mid-grey"
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255.0 / (high - low))
    return np.rint(scaled).astype(np.uint8), f"{bits} grey scaled from {low:g}..{high:g} to 8 bits"


def _inside(crop: Crop, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in whole pixels of the part of the crop that is inside the image. Raises ImageError."""
    x, y, crop_width, crop_height = (float(value) for value in crop)
    if not all(np.isfinite((x, y, crop_width, crop_height))) or crop_width <= 0 or crop_height <= 0:
        raise ImageError(f"crop without area: {crop}")
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, max(round(x + crop_width), left + 1)), min(height, max(round(y + crop_height), top + 1))
    if right <= left or bottom <= top:
        raise ImageError(
            f"crop ({x:g}, {y:g}, {crop_width:g}, {crop_height:g}) lies outside the image of {width} x {height} pixels"
        )
    return top, bottom, left, right


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
