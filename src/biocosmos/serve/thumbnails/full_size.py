"""What a browser is shown of a large picture: the file as it is where it can show it, else a JPEG made of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from biocosmos.errors import ImageError
from biocosmos.images import inspect_image, oriented
from biocosmos.serve.thumbnails.drawing import as_jpeg, decoded, fitted
from biocosmos.serve.thumbnails.pictures import NO_IMAGE, Picture

MOST_SIDE = 4096
"""Pixels a side of what is converted."""
MOST_SHOWN = 16_384
"""Pixels a side beyond which browsers show nothing or something coarse, so that the picture is made smaller for them."""
QUALITY = 92
SHOWN = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_PIECE = 1 << 18
_BIT_DEPTH = 24
"""Where a PNG says how many bits a sample has."""


@dataclass
class Full:
    """A picture for the browser: its media type, its mark, and its bytes, or an open file of ``size`` bytes."""

    kind: str
    mark: str
    content: bytes | None = None
    file: BinaryIO | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content or b"") if self.file is None else os.fstat(self.file.fileno()).st_size

    def close(self) -> None:
        """Where it is not wanted after all."""
        if self.file is not None:
            self.file.close()

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, a piece at a time."""
        if self.file is None:
            yield self.content or b""
            return
        with self.file as file:
            while piece := file.read(_PIECE):
                yield piece


def full(picture: Picture) -> Full:
    """The picture as large as it is. Raises ImageError with the reason why it cannot be shown."""
    source = picture.source
    if source is None:
        raise ImageError(NO_IMAGE)
    kind = None if picture.crop is not None else _shown_as_it_is(source)
    if kind is None:
        pixels = decoded(source, picture.crop, MOST_SIDE)
        return Full("image/jpeg", picture.mark, as_jpeg(fitted(pixels, MOST_SIDE), QUALITY))
    if isinstance(source, bytes):
        return Full(kind, picture.mark, source)
    try:
        return Full(kind, picture.mark, file=Path(source).open("rb"))
    except OSError as error:
        raise ImageError(f"cannot read the file: {error.strerror}") from error


def _shown_as_it_is(source: bytes | str) -> str | None:
    """The media type under which every browser shows the file as :mod:`biocosmos.images` reads it; None where it does not."""
    info = inspect_image(source)
    kind = SHOWN.get(info.format)
    if kind is None or max(info.width, info.height) > MOST_SHOWN:
        return None
    if kind == "image/jpeg":
        return kind if info.mode in ("L", "RGB") else None
    if kind == "image/png" and _head(source)[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10":
        return None  # of 12 bits in 16 a browser makes a black picture
    return kind if oriented(source).orientation == 1 else None


def _head(source: bytes | str) -> bytes:
    if isinstance(source, bytes):
        return source[:32]
    with Path(source).open("rb") as file:
        return file.read(32)
