"""TIFFs that Pillow does not open: called what they are, and read where they are one picture of deep or floating-point samples.

TIFF 6.0 (Adobe, 1992), its supplements (deflate, floating-point predictor) and BigTIFF. Uncompressed and deflated files are
decoded, in strips or tiles, bands together or apart; what needs another codec is named with its bands.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from biocosmos.errors import ImageError
from biocosmos.images.content import Source
from biocosmos.images.deep import floating_to_8_bits, on_white, opacity_of
from biocosmos.images.upright import ORIENTATION, TURNS, Pixels

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}  # BYTE, SHORT, LONG, IFD, LONG8: what the tags below are written as
_MOST_VALUES = 1 << 20
(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _BANDS, _ROWS, _COUNTS, _PLANAR) = (
    256, 257, 258, 259, 262, 273, 277, 278, 279, 284,
)  # fmt: skip
(_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _EXTRA, _FORMAT) = (317, 322, 323, 324, 325, 338, 339)
_COMPRESSIONS = {
    1: "uncompressed", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "JPEG", 7: "JPEG", 8: "deflated", 32946: "deflated",
    32773: "PackBits", 34712: "JPEG 2000", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 52546: "JPEG XL",
}  # fmt: skip
_PLAIN, _DEFLATED = (1,), (8, 32946)
_SAMPLES = {1: "integer", 2: "signed integer", 3: "floating-point", 5: "complex integer", 6: "complex"}
_KINDS = {1: "u", 2: "i", 3: "f"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_HORIZONTAL, _FLOATING = 2, 3
_APART = 2
_PREMULTIPLIED, _ALPHAS = 1, (1, 2)


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does."""
    return head[:4] in _MAGIC


@dataclass(frozen=True)
class Layout:
    """The first picture of a TIFF: its tags as tuples of whole numbers, and its byte order ("<" or ">")."""

    order: str
    tags: dict[int, tuple[int, ...]]

    def one(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return (self.tags.get(tag) or (default,))[0]

    @property
    def bands(self) -> int:
        """Samples a pixel."""
        return self.one(_BANDS, 1)

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return self.one(_BITS, 1)

    @property
    def has_alpha(self) -> bool:
        """Whether the last band says how opaque a pixel is."""
        return self.one(_EXTRA, 0) in _ALPHAS

    @property
    def is_apart(self) -> bool:
        """Whether each band is stored by itself."""
        return self.bands > 1 and self.one(_PLANAR, 1) == _APART

    def __str__(self) -> str:
        bands = f"{self.bands} band{'s' if self.bands != 1 else ''}"
        kind = _SAMPLES.get(self.one(_FORMAT, 1), "unknown")
        how = _COMPRESSIONS.get(self.one(_COMPRESSION, 1), f"compression {self.one(_COMPRESSION, 1)}")
        return f"a TIFF with {bands} of {self.bits}-bit {kind} samples ({how})"

    def refusal(self) -> str | None:
        """Why this picture is not decoded here; None if it is."""
        kind = _KINDS.get(self.one(_FORMAT, 1))
        grey = self.one(_PHOTOMETRIC, _BLACK_IS_ZERO) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
        if self.bands > 4 or self.bands > (2 if grey else 4) or (self.bands == 2 and not self.has_alpha):
            return "grey and RGB are read, with alpha or without: save the bands that show it as RGB"
        if not grey and (self.one(_PHOTOMETRIC, _RGB) != _RGB or self.bands < 3):
            return "its colours are stored in a way that is not read: save it as RGB"
        if kind is None or self.bits not in ((16, 32, 64) if kind == "f" else (8, 16, 32, 64)):
            return "samples of 8, 16 and 32 bits and floating-point ones are read: save it with one of these"
        if len(set(self.tags.get(_BITS, ()))) > 1 or len(set(self.tags.get(_FORMAT, ()))) > 1:
            return "its bands are of different types: save it as RGB"
        if self.one(_COMPRESSION, 1) not in (*_PLAIN, *_DEFLATED):
            return "such samples are read uncompressed or deflated: save it so, or as PNG"
        return None


def layout_of(source: Source) -> Layout:
    """The tags of the first picture. Raises ImageError if they cannot be read."""
    with _stream(source) as file:
        return _layout(file)


def _stream(source: Source) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def _layout(file: IO[bytes]) -> Layout:
    try:
        file.seek(0)
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack_from(order + "H", head, 2)[0] == 43
        count_type, entry_type, field = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
        file.seek(struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0])
        count = struct.unpack(order + count_type, file.read(struct.calcsize(count_type)))[0]
        size = struct.calcsize("=" + entry_type) + field
        if count > 4096:
            raise ImageError("a damaged TIFF: its list of tags makes no sense")
        table = file.read(size * count)
        tags = {}
        for at in range(0, size * count, size):
            tag, kind, number = struct.unpack_from(order + entry_type, table, at)
            letter = _TYPES.get(kind)
            if letter is None or number > _MOST_VALUES or tag not in _READ:
                continue
            length = struct.calcsize(letter) * number
            value = table[at + size - field : at + size]
            if length > field:
                file.seek(struct.unpack(order + ("Q" if big else "I"), value)[0])
                value = file.read(length)
            tags[tag] = struct.unpack(f"{order}{number}{letter}", value[:length])
    except (struct.error, OverflowError, OSError, ValueError) as error:
        raise ImageError("a damaged TIFF: it ends inside its tags") from error
    if not (tags.get(_WIDTH) and tags.get(_HEIGHT)):
        raise ImageError("a damaged TIFF: it does not say how wide and high it is")
    return Layout(order, tags)


_READ = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, ORIENTATION, _BANDS, _ROWS, _COUNTS, _PLANAR, _PREDICTOR}
    | {_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _EXTRA, _FORMAT}
)


def why_not(source: Source) -> str:
    """Why neither Pillow nor this module reads a TIFF, with its bands."""
    try:
        layout = layout_of(source)
    except ImageError as error:
        return str(error)
    return f"{layout}: {layout.refusal() or 'it cannot be read: save it as an 8-bit or 16-bit RGB TIFF, or as PNG'}"


class DeepTiff(ImageFile.ImageFile):
    """An image of Pillow for the pictures that :meth:`Layout.refusal` lets pass; loaded, it is upright 8-bit RGB.

    ``info["deep"]`` then says what was converted.
    """

    format = "TIFF"
    format_description = "TIFF of deep samples"

    def _open(self) -> None:
        assert self.fp is not None
        self.layout = _layout(self.fp)
        if self.layout.refusal() is not None:
            raise SyntaxError(str(self.layout))  # how Pillow's files say that they are of another kind
        self._size = self.layout.one(_WIDTH, 0), self.layout.one(_HEIGHT, 0)
        self._mode = "RGB"
        self.tag_v2 = {_WIDTH: self._size[0], _HEIGHT: self._size[1], _COMPRESSION: self.layout.one(_COMPRESSION, 1)}
        self.tile = []

    def getexif(self) -> Image.Exif:
        """The orientation alone."""
        exif = Image.Exif()
        exif[ORIENTATION] = self.layout.one(ORIENTATION, 1)
        return exif

    def bytes_held(self) -> int:
        """What decoding holds at its peak beside the picture: the samples, one more picture, and how opaque it is."""
        each = self.layout.bands * self.layout.bits // 8 + 3 + (4 if self.layout.has_alpha else 0)
        return self._size[0] * self._size[1] * each

    def load(self) -> Any:
        """Decode. Raises OSError for a file that ends too early."""
        if "deep" not in self.info:
            assert self.fp is not None
            samples = _samples(self.fp, self.layout)
            colours = 1 if samples.shape[2] < 3 else 3
            pixels, note = floating_to_8_bits(samples[:, :, :colours])
            if self.layout.one(_PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO:
                pixels, note = 255 - pixels, f"{note}, white stored as zero"
            if samples.shape[2] > colours and self.layout.has_alpha:
                opacity = opacity_of(samples[:, :, -1:], float(samples[:, :, :colours].max(initial=0)))
                pixels = on_white(pixels, opacity, self.layout.one(_EXTRA, 0) == _PREMULTIPLIED)
                note += ", alpha flattened on white"
            elif samples.shape[2] > colours:
                note += ", its further band left out"
            if colours == 1:
                pixels, note = np.repeat(pixels, 3, axis=2), note.replace("colour", "grey")
            pixels = TURNS.get(self.layout.one(ORIENTATION, 1), _as_stored)(pixels)
            self.im = Image.fromarray(np.ascontiguousarray(pixels)).im
            self._size = self.im.size
            self.info["deep"] = note
        return None


def _as_stored(pixels: Pixels) -> Pixels:
    return pixels


def _samples(file: IO[bytes], layout: Layout) -> npt.NDArray[Any]:
    """(height, width, bands) of the samples as they are stored."""
    width, height, bands = layout.one(_WIDTH, 0), layout.one(_HEIGHT, 0), layout.bands
    dtype = np.dtype(f"{layout.order}{_KINDS[layout.one(_FORMAT, 1)]}{layout.bits // 8}")
    tiled = _TILE_OFFSETS in layout.tags
    across, down = (layout.one(_TILE_WIDTH, 0), layout.one(_TILE_HEIGHT, 0)) if tiled else (width, layout.one(_ROWS, height))
    down = min(down, height) if not tiled else down
    if across < 1 or down < 1 or across * down > 4 * max(1, width * height) + (1 << 20):
        raise OSError("damaged: its tiles have no sensible size")
    offsets = layout.tags.get(_TILE_OFFSETS if tiled else _OFFSETS, ())
    counts = layout.tags.get(_TILE_COUNTS if tiled else _COUNTS, ())
    apart = layout.is_apart
    together = 1 if apart else bands
    out = np.zeros((height, width, bands), dtype.newbyteorder("="))
    places = [
        (band, top, left)
        for band in range(bands if apart else 1)
        for top in range(0, height, down)
        for left in range(0, width, across)
    ]
    if len(offsets) < len(places) or len(counts) < len(places):
        raise OSError("image file is truncated: parts of the picture are missing")
    for (band, top, left), offset, count in zip(places, offsets, counts):
        rows = down if tiled else min(down, height - top)
        block = _block(file, layout, offset, count, (rows, across, together), dtype)
        part = block[: height - top, : width - left]
        out[top : top + rows, left : left + across, band : band + together] = part
    return out


def _block(
    file: IO[bytes], layout: Layout, offset: int, count: int, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    file.seek(offset)
    content = file.read(min(count, size if layout.one(_COMPRESSION, 1) in _PLAIN else count))
    if layout.one(_COMPRESSION, 1) in _DEFLATED:
        try:
            content = zlib.decompressobj().decompress(content, size)  # never more than the picture has
        except zlib.error as error:
            raise OSError(f"damaged: {error}") from error
    if len(content) < size:
        raise OSError("image file is truncated: its samples end too early")
    predictor = layout.one(_PREDICTOR, 1)
    if predictor == _FLOATING:
        rows, across, together = shape
        plain = np.frombuffer(content, np.uint8, size).reshape(rows, across * dtype.itemsize, together)
        planes = np.cumsum(plain, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, across * together)
        return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(dtype.newbyteorder(">")).reshape(shape)
    values = np.frombuffer(content, dtype, size // dtype.itemsize).reshape(shape)
    if predictor == _HORIZONTAL and dtype.kind in "ui":
        values = np.cumsum(values, axis=1, dtype=dtype.newbyteorder("="))
    return values
