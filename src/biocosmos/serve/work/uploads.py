"""Files that came with a job, put into its folder under names that cannot lead out of it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.facts import is_file_name
from biocosmos.files import is_image_name, is_junk
from biocosmos.specimens.readers.archive import ZIP_ERRORS, Archive

MOST_FILES = 100_000
"""In one upload, unpacked."""
MOST_BYTES = 8 << 30
"""Of one upload, unpacked."""
MOST_IMAGE_BYTES = 512 << 20
DEEPEST = 8
_CHUNK = 1 << 20


def receive(files: Iterable[tuple[str, IO[bytes]]], folder: Path) -> int:
    """Write (name, content) into ``folder``; returns how many files there are.

    A name may be a path, as browsers send it of a folder: its folders are kept, since they are labels. A zip of nothing but
    images is unpacked, any other stays as it is, for the readers know it. Raises BiocosmosError for names that lead out, and for
    more than an upload may hold.
    """
    written = 0
    for name, content in files:
        place = _place(folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            raise BiocosmosError(f"two files are called {name!r}: send one at a time, or rename one")
        with place.open("xb") as out:
            shutil.copyfileobj(content, out, _CHUNK)
        written += 1
        if written > MOST_FILES:
            raise BiocosmosError(f"more than {MOST_FILES:,} files: send them in parts")
        if place.suffix.lower() == ".zip":
            written += _unpack(place)
    if not written:
        raise BiocosmosError("no file came: choose a file or a zip")
    return written


def _place(folder: Path, name: str) -> Path:
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    if (
        not parts
        or name[:1] in "/\\"
        or len(parts) > DEEPEST
        or not all(is_file_name(part) and not part.startswith(".") for part in parts)
    ):
        raise BiocosmosError(f"the file name {name[:80]!r} cannot be used: rename the file")
    return folder.joinpath(*parts)


def _unpack(path: Path) -> int:
    """Unpack a zip of nothing but images, beside it, and remove it; how many images. Any other is left as it is."""
    members = _images_of(path)
    if not members:
        return 0
    archive = Archive(path, Failures(), MOST_IMAGE_BYTES)
    root, left = path.with_suffix(""), MOST_BYTES
    if root.exists():
        raise BiocosmosError(f"there is {root.name} beside {path.name}: send one of the two")
    for name in members:
        place = _place(root, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as content, place.open("xb") as out:
            while chunk := content.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise BiocosmosError(f"{path.name} unpacks to more than {MOST_BYTES >> 30} GB: send it in parts")
                out.write(chunk)
    path.unlink()
    return len(members)


def _images_of(path: Path) -> list[str]:
    """Names of the images in a zip that holds nothing else; none of any other."""
    try:
        with zipfile.ZipFile(path) as opened:
            if len(opened.filelist) > MOST_FILES:
                raise BiocosmosError(f"{path.name} holds more than {MOST_FILES:,} files: send it in parts")
        names = Archive(path, Failures(), MOST_IMAGE_BYTES).names
    except ZIP_ERRORS as error:
        raise BiocosmosError(f"{path.name} cannot be read as a zip: {error}") from error
    kept = [name for name in names if not any(is_junk(part) for part in name.split("/"))]
    return kept if kept and all(is_image_name(name) for name in kept) else []
