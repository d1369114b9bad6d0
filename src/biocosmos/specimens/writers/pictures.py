"""The image of a row as bytes, and a name for it inside an archive."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy.typing as npt

from biocosmos.errors import ImageError, first_line
from biocosmos.images import read_image
from biocosmos.specimens.readers.archive import leads_outside
from biocosmos.specimens.readers.lookup import Seen

MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"BM", ".bmp"),
)
MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".tif": "image/tiff", ".bmp": "image/bmp"}
MEDIA_TYPES |= {".webp": "image/webp"}
NAME_LENGTH = 120
STILLS = frozenset({"PNG", "JPEG", "GIF"})
"""Formats that every program of the field reads, EcoTaxa among them."""


def image_of(row: dict[str, Any]) -> tuple[bytes | None, str | None]:
    """(bytes, reason why there are none); both None for a row without an image."""
    packed, path = row.get("image"), row.get("image_path")
    if packed is not None:
        return bytes(packed), None
    if path is None:
        return None, None
    try:
        return Path(str(path)).read_bytes(), None
    except OSError as error:
        return None, f"cannot read {path}: {error.strerror}"


def cropped(content: bytes, crop: Any) -> tuple[bytes | None, str | None]:
    """(a PNG of the crop, reason why there is none)."""
    try:
        pixels = read_image(content, crop=tuple(float(value) for value in crop)).pixels  # type: ignore[arg-type]
    except ImageError as error:
        return None, str(error)
    return _png(pixels), None


def plain_still(content: bytes) -> tuple[bytes | None, str | None]:
    """(the image as a whole PNG, JPEG or GIF, what was done to it or why there is none).

    What Pillow, told to be strict, loads as one of these is passed on byte for byte. A JPEG with further pictures behind it
    (MPO) loses their table of contents and nothing else; what is left is decoded and written as PNG.
    """
    from PIL import Image

    said = ""
    for candidate in (content, _without_further_pictures(content)):
        if candidate is None:
            continue
        try:
            with Image.open(io.BytesIO(candidate)) as image:
                if image.format in STILLS:
                    image.load()
                    return candidate, None
                said = f"{image.format} is none of {', '.join(sorted(STILLS))}"
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            said = first_line(error)
    try:
        pixels = read_image(content).pixels
    except ImageError as error:
        return None, str(error)
    return _png(pixels), f"written as PNG: {said}"


def _png(pixels: npt.NDArray[Any]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _without_further_pictures(content: bytes) -> bytes | None:
    """A JPEG without its Multi-Picture segments (CIPA DC-007), so that it is one picture; None for what has none."""
    if not content.startswith(b"\xff\xd8"):
        return None
    kept, at, found = [content[:2]], 2, False
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] not in (0xDA, 0xD9):
        size = 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        is_table = content[at + 1] == 0xE2 and content[at + 4 : at + 8] == b"MPF\0"
        found = found or is_table
        if not is_table:
            kept.append(content[at : at + size])
        at += size
    return b"".join([*kept, content[at:]]) if found else None


def suffix_of(content: bytes) -> str:
    """The file suffix for an image by its first bytes; "" when unknown."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in MAGIC if content.startswith(magic)), "")


def archive_name(wanted: str | None, id: str, content: bytes, used: Seen, folder: str = "") -> str:
    """A name that is not yet in the archive: the wanted one if it is safe, else one made from the id."""
    if wanted and not leads_outside(wanted) and used.count(wanted.lower()) == 1:
        return wanted
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(id.replace("\\", "/")).stem if "." in id else id).strip("._")[:NAME_LENGTH]
    base = f"{folder}{stem or 'image'}"
    name = base + suffix_of(content)
    while used.count(name.lower()) > 1:
        name = f"{base}_{used.count(base.lower())}{suffix_of(content)}"
    return name
