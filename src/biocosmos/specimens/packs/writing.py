"""A pack is written: aside, with the checksums last, then in its place at once; equal content gives equal bytes."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder, is_there
from biocosmos.outputs import place_of
from biocosmos.specimens.packs.layout import FACTS, SUFFIX, SUMS, ZIP, is_pack_path
from biocosmos.unfinished import remove, unfinished_path, writing

_PIECE = 1 << 22
_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""Time of every file of a zip, so that two zips of the same files are the same."""
_MODE, _UNIX, _LARGE = 0o100644 << 16, 3, 1 << 31


def check_place(output: str | Path, *, overwrite: bool = False) -> Path:
    """Where a pack is to be written. Raises BiocosmosError for a name without .pack or .zip, a place in a collection, and what is
    there already, unless it is a pack and ``overwrite``."""
    output = Path(output)
    if output.suffix not in (SUFFIX, ZIP):
        raise BiocosmosError(f"a pack is called NAME{SUFFIX} (a folder) or NAME{ZIP}, not {output.name!r}")
    place = place_of(output)
    if is_there(place) and not (is_folder(place) and not any(place.iterdir())):
        is_ours = is_there(place / FACTS) if is_folder(place) else place.suffix == ZIP and zipfile.is_zipfile(place)
        if not is_ours:
            raise BiocosmosError(f"{output} exists and is no pack: choose another name")
        if not overwrite:
            raise BiocosmosError(f"{output} exists: choose another name, or replace it (--overwrite)")
        if is_folder(place) == (output.suffix == ZIP):
            raise BiocosmosError(f"{output} exists and is {'a folder' if is_folder(place) else 'a file'}: choose another name")
    return place


@contextmanager
def writing_pack(output: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder to write the files of a pack into; when the block ends well, the pack takes its place whole."""
    place = check_place(output, overwrite=overwrite)
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = unfinished_path(place)
        zipped = unfinished_path(place.with_name(f"{place.name}.zipped"))
        try:
            folder.mkdir()
            yield folder
            _write_sums(folder)
            if place.suffix == ZIP:
                _zip(folder, zipped)
                zipped.replace(place)
            elif is_there(place) and any(place.iterdir()):
                former = unfinished_path(place.with_name(f"{place.name}.former"))
                place.rename(former)
                folder.rename(place)
                remove(former)
            else:
                folder.rename(place)
        finally:
            remove(folder)
            remove(zipped)


def _names(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


def _write_sums(folder: Path) -> None:
    lines = []
    for name in _names(folder):
        if not is_pack_path(name):
            raise BiocosmosError(f"{name!r} cannot be a file of a pack: rename it with plain letters and digits")
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _zip(folder: Path, place: Path) -> None:
    """Stored, not packed: what is large in it is packed already, and is read as fast as it lies there."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        for name in _names(folder):
            info = zipfile.ZipInfo(name, _BEGINNING)
            info.external_attr, info.create_system = _MODE, _UNIX
            large = (folder / name).stat().st_size >= _LARGE
            with (folder / name).open("rb") as file, archive.open(info, "w", force_zip64=large) as out:
                while piece := file.read(_PIECE):
                    out.write(piece)
