"""The decoder: :func:`read_image` and what can be said from the header alone."""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from biocosmos.errors import ImageError
from biocosmos.images import deep, jpeg, kinds, memory, tiff
from biocosmos.images.content import Source, file_bytes, file_size
from biocosmos.images.upright import AS_STORED, TURNS, Crop, Pixels, lies_on_its_side, orientation_of, taken_at

Image.init()  # load every plugin once, here, and not from several decode threads at the first odd file
FORMATS = tuple(name for name in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF") if name in Image.OPEN)
"""What Pillow may try; formats that call another program (EPS) or have no magic number (TGA) are left out."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # it logs errors that are told here
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # damaged EXIF, on the user's screen; it costs nothing

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR = 256, 257, 258, 262, 284
_WHITE_IS_ZERO, _BANDS_APART = 0, 2
_JPEG_MODES = {"L": "RGB", "RGB": "RGB", "CMYK": "CMYK"}


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
    """What the header says: Pillow's format and mode, width and height in pixels as stored (before EXIF rotation).

    ``orientation``: EXIF's, 1 to 8; a box of the stored picture is set upright by :func:`upright_crop`. Of a PNG, whose EXIF may
    stand after its pixels, it is asked for with :func:`oriented` only; so is ``taken``, EXIF's time of the picture.
    """

    format: str
    width: int
    height: int
    mode: str
    notes: tuple[str, ...] = ()
    orientation: int = AS_STORED
    taken: str | None = None
    """EXIF's time of the picture, as it is there; said by :func:`oriented` only."""


def inspect_image(source: Source) -> ImageInfo:
    """Read the header only; no pixel is decoded.

    Raises:
        ImageError: missing file, zero bytes, not an image, or too large. The reason does not repeat the path.
    """
    with _open(source) as image:
        orientation = orientation_of(image) if image.format != "PNG" else AS_STORED
        width, height = _stored_size(image)
        notes = ("EXIF rotation",) if orientation != AS_STORED else ()
        return ImageInfo(image.format or "", width, height, image.mode, notes, orientation)


def image_size(source: Source, crop: Crop | None = None) -> tuple[int, int]:
    """(height, width) in pixels of the upright image, or of the part of ``crop`` that is inside it; no pixel is decoded.

    The same as the ``size`` that :func:`read_image` gives. Raises ImageError as :func:`inspect_image`, and for a crop without
    area or outside the image.
    """
    info = oriented(source)
    height, width = (info.width, info.height) if lies_on_its_side(info.orientation) else (info.height, info.width)
    if crop is None:
        return height, width
    top, bottom, left, right = crop_inside(crop, height, width)
    return bottom - top, right - left


def oriented(source: Source) -> ImageInfo:
    """As :func:`inspect_image`, with the orientation of a PNG too; one that may have EXIF is decoded for it."""
    with _open(source) as image:
        width, height = _stored_size(image)
        if image.format == "PNG" and not _png_has_exif(source):
            return ImageInfo("PNG", width, height, image.mode)
        return ImageInfo(image.format or "", width, height, image.mode, (), orientation_of(image), taken_at(image))


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
    with _open(source) as image, memory.hold(_bytes_needed(source, image)):
        orientation = orientation_of(image) if image.format != "PNG" else AS_STORED
        width, height = _stored_size(image)  # asked now: Pillow turns the sides of a TIFF as it loads it
        if image.format in ("JPEG", "MPO"):
            factor = 1 if crop is not None else _reduction(image.width, image.height, short_side, long_side)
            pixels, notes = _decode_jpeg(source, image, factor)
        else:
            pixels, notes = _decode_pillow(source, image)
            if image.format == "PNG":  # may stand after the pixels; asked earlier, Pillow would load them unguarded
                orientation = orientation_of(image)
        size = (width, height) if lies_on_its_side(orientation) else (height, width)
        if orientation != AS_STORED:
            if image.format != "TIFF":  # Pillow turns TIFF upright as it loads it
                pixels = TURNS[orientation](pixels)
            notes += ("EXIF rotation applied",)
        if crop is not None:
            top, bottom, left, right = crop_inside(crop, *pixels.shape[:2])
            pixels, size = pixels[top:bottom, left:right], (bottom - top, right - left)
        return Decoded(np.ascontiguousarray(pixels), notes, size)


# ---------------------------------------------------------------- the header


def _open(source: Source) -> Image.Image:
    """The image with only its header read. Pillow closes a file it opened itself when the image is closed."""
    if isinstance(source, bytes):
        if not source:
            raise ImageError("zero bytes")
    else:
        file_size(source)  # a device or a pipe would never end
    try:
        image = _opened(source)
    except ImageError:
        raise
    except PermissionError:
        raise ImageError("the file may not be read (permission denied)") from None
    except Image.DecompressionBombError as error:
        limit = f"at most {memory.allowed_pixels():,} pixels are decoded ({memory.OPTION}=GB allows more)"
        raise ImageError(f"image too large: {str(error).split(', could')[0]}; {limit}") from None
    except UnidentifiedImageError:
        raise ImageError(kinds.what_is_it(source)) from None
    except Exception as error:  # plugins raise anything on a damaged header: struct.error, SyntaxError, OverflowError ...
        raise ImageError(f"damaged image header: {_reason(error)}") from None
    try:
        memory.check_pixels(*image.size)
    except ImageError:
        image.close()
        raise
    return image


def _opened(source: Source) -> Image.Image:
    """As Pillow opens it; deep TIFFs by our own class, and HEIF where the package pillow-heif is installed."""
    try:
        image = _pillow(source, FORMATS)
        if image.format != "TIFF" or not _is_deep_and_apart(image):
            return image
        image.close()  # of bands that are stored apart Pillow reads 16 bits wrongly
        try:
            return _deep_tiff(source)
        except UnidentifiedImageError:
            raise ImageError(kinds.what_is_it(source)) from None
    except UnidentifiedImageError:
        head = kinds.head_of(source)
        if tiff.is_tiff(head):
            return _deep_tiff(source)
        if kinds.is_tga(source):
            return _pillow(source, ("TGA",))
        if not kinds.is_heif(head) or not kinds.can_read_heif():
            raise
        return _pillow(source, ("HEIF",))


def _pillow(source: Source, formats: tuple[str, ...]) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)


def _is_deep_and_apart(image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(_TIFF_BITS)
    return tags.get(_TIFF_PLANAR) == _BANDS_APART and isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8


def _deep_tiff(source: Source) -> Image.Image:
    """Raises UnidentifiedImageError where it is none; not registered with Pillow, whose other users it does not concern."""
    try:
        return tiff.DeepTiff(io.BytesIO(source) if isinstance(source, bytes) else source)
    except SyntaxError:
        raise UnidentifiedImageError from None


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) as stored, of an image that is not loaded yet."""
    if image.format == "TIFF":  # whose sides Pillow gives before or after the turn, by its version
        tags = image.tag_v2  # type: ignore[attr-defined]
        return int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT])
    return image.size


def _bytes_needed(source: Source, image: Image.Image) -> int:
    """What decoding will hold. Raises ImageError where that is too much, or where a codec would take minutes."""
    turned = image.format not in ("PNG", "TIFF") and orientation_of(image) != AS_STORED
    deep_colour = deep.is_deep_colour(image)
    size = memory.bytes_needed(image, deep=deep_colour, turned=turned, single_scan=False)
    if isinstance(image, tiff.DeepTiff):
        size += image.bytes_held()
    if size > memory.allowed_bytes() and image.format in ("JPEG", "MPO") and jpeg.scans(_data(source)) == 1:
        size = memory.bytes_needed(image, deep=deep_colour, turned=turned, single_scan=True)
    memory.check_bytes(image, size)
    codec = image.tile[0].codec_name if getattr(image, "tile", None) else ""  # type: ignore[attr-defined]
    if codec.startswith("ppm") and image.width * image.height > memory.SLOW_PIXELS:
        raise ImageError(
            f"image too large: {image.width} x {image.height} pixels of PPM as text or with an odd maximum take minutes to read: "
            "save it as PNG"
        )
    return size


def _png_has_exif(source: Source) -> bool:
    """Whether a PNG may have EXIF, which can stand after its pixels: asking Pillow for it would decode them."""
    data = _data(source)
    return b"eXIf" in data or b"Raw profile type exif" in data


def _data(source: Source) -> bytes:
    return source if isinstance(source, bytes) else file_bytes(source)


def _reduction(width: int, height: int, short_side: int | None, long_side: int | None) -> int:
    """The largest libjpeg reduction that keeps both wanted sides."""
    if short_side is None and long_side is None:
        return 1
    for factor in (8, 4, 2):
        if min(width, height) >= factor * (short_side or 0) and max(width, height) >= factor * (long_side or 0):
            return factor
    return 1


# ---------------------------------------------------------------- the pixels


def _decode_jpeg(source: Source, image: Image.Image, factor: int) -> tuple[Pixels, tuple[str, ...]]:
    data = _data(source)
    if image.info.get("progressive") and jpeg.scans(data) * image.width * image.height > jpeg.MAX_SCAN_PIXELS:
        raise ImageError(f"a JPEG of {jpeg.scans(data):,} scans: refused, it would take minutes to decode")
    if image.mode not in ("L", "RGB"):
        return _decode_cmyk(data, image)
    options: dict[str, Any] = {"colorspace": "RGB"}
    if factor > 1:
        options |= {"min_factor": factor, "min_height": -(-image.height // factor), "min_width": -(-image.width // factor)}
    try:
        return simplejpeg.decode_jpeg(data, **options), ()
    except ValueError as error:
        reason = _reason(error)
    if "Premature end of JPEG" in reason:
        return simplejpeg.decode_jpeg(_completed(data, options), **options), (_END_PUT_BACK,)
    if "premature end of data" in reason or "bad Huffman" in reason:
        raise ImageError(f"truncated or damaged JPEG: {reason}")
    # Old cameras write harmless faults (stray bytes before a marker), and libjpeg-turbo's fast interface knows fewer variants
    # than Pillow. Pillow decodes those without complaint, so the reason is kept as a note.
    pixels, notes = _decode_pillow(source, image)
    return pixels, (*notes, f"JPEG with a fault: {reason}")


_END_PUT_BACK = "JPEG without its end marker: all its pixels are there"


def _completed(data: bytes, options: dict[str, Any]) -> bytes:
    """The JPEG with its end marker put back. Raises ImageError if more than that is missing."""
    whole = jpeg.with_its_end(data)
    if whole is not None:
        try:
            simplejpeg.decode_jpeg(whole, **options)
            return whole
        except ValueError:  # libjpeg ran out of bits before the last block: rows are missing
            pass
    raise ImageError("truncated JPEG: the file ends before its image does")


def _decode_cmyk(data: bytes, image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    try:
        return _decode_pillow(data, image)
    except ImageError as error:
        if "truncated" not in str(error) or image.mode not in _JPEG_MODES:
            raise
    whole = _completed(data, {"colorspace": _JPEG_MODES[image.mode]})
    with _pillow(whole, FORMATS) as again:
        pixels, notes = _decode_pillow(whole, again)
    return pixels, (*notes, _END_PUT_BACK)


def _decode_pillow(source: Source, image: Image.Image) -> tuple[Pixels, tuple[str, ...]]:
    # Another library may have switched this on for the whole process; a truncated PNG would then pass as a half grey picture.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    raw_mode = deep.raw_mode(image)
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
    try:
        if deep.is_deep_colour(image):
            with _pillow(source, FORMATS) as lower:
                pixels, notes = deep.colour_to_8_bits(image, lower)
            return pixels, (*notes, *_frames(image))
        image.load()
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            pixels, note = deep.grey_to_8_bits(image, white_is_zero=white_is_zero)
            return pixels, (note, *_frames(image))
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


def _frames(image: Image.Image) -> tuple[str, ...]:
    """``is_animated``, not ``n_frames``: that one would walk through all of them."""
    return ("first frame of several",) if getattr(image, "is_animated", False) else ()


def _to_rgb(image: Image.Image, raw_mode: str) -> tuple[Pixels, tuple[str, ...]]:
    """The loaded image as RGB, whatever its mode, with the conversions named; a strip at a time."""
    notes: list[str] = [image.info["deep"]] if "deep" in image.info else []
    mode = image.mode
    invert = False
    if mode == "CMYK":
        # Pillow reads every CMYK JPEG as Adobe writes it, inverted; without Adobe's marker the values stand as they are.
        invert = image.format == "JPEG" and "adobe" not in image.info
        notes.append("CMYK converted to RGB")
    elif mode == "P" or mode == "PA":
        notes.append("palette converted to RGB")
    elif mode == "1":
        notes.append("1-bit image converted to RGB")
    elif mode in ("YCbCr", "LAB", "HSV"):
        notes.append(f"{mode} converted to RGB")
    elif "16" in raw_mode and mode in ("RGB", "RGBA", "LA", "L"):
        notes.append("16-bit colour reduced to 8 bits")
    notes += _frames(image)
    out = np.empty((image.height, image.width, 3), np.uint8)
    flattened = False
    at_once = max(1, deep.STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, at_once):
        part = image.crop((0, top, image.width, min(image.height, top + at_once)))
        if invert:
            part = Image.fromarray(255 - np.asarray(part), mode="CMYK")
        if image.has_transparency_data:
            layer = part.convert("RGBA")
            part = Image.new("RGBA", layer.size, (255, 255, 255, 255))
            part.alpha_composite(layer)
            flattened = flattened or bool(np.asarray(layer)[:, :, 3].min() < 255)
        out[top : top + at_once] = np.asarray(part.convert("RGB"))
    if flattened:
        notes.append("alpha flattened on white")
    return out, tuple(notes)


def crop_inside(crop: Crop, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in whole pixels of the part of the crop that is inside the image. Raises ImageError."""
    x, y, crop_width, crop_height = (float(value) for value in crop)
    if not all(np.isfinite((x, y, crop_width, crop_height))) or crop_width <= 0 or crop_height <= 0:
        raise ImageError(f"crop without area: {crop}")
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, max(round(x + crop_width), left + 1)), min(height, max(round(y + crop_height), top + 1))
    if right <= left or bottom <= top or x + crop_width <= 0 or y + crop_height <= 0:
        raise ImageError(
            f"crop ({x:g}, {y:g}, {crop_width:g}, {crop_height:g}) lies outside the image of {width} x {height} pixels"
        )
    return top, bottom, left, right


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
