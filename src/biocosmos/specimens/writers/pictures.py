"""The image of a row as bytes, and a name for it inside an archive."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from biocosmos.errors import ImageError
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
    from PIL import Image

    try:
        pixels = read_image(content, crop=tuple(float(value) for value in crop)).pixels  # type: ignore[arg-type]
    except ImageError as error:
        return None, str(error)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue(), None


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
