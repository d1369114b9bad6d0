"""A pack is opened: every file is compared with its checksum before anything in it is believed, and nothing in it is run."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import load_json, parse_facts
from biocosmos.files import is_file, is_folder, is_there
from biocosmos.specimens.packs.layout import FACTS, FORMAT, SHAPE, SUMS, is_pack_path
from biocosmos.unfinished import ScratchFolder

MOST_FILES, MOST_SUMS, MOST_FACTS = 2000, 1 << 20, 1 << 24
"""Files of a pack; bytes of its list of checksums, and of what it says."""
MOST_TIMES, ALWAYS = 200, 1 << 26
"""A file of a zip may grow to so many times its size, or to so many bytes."""
_PIECE = 1 << 22
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_AGAIN = "get the pack again from where it came"
_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack whose every file is what its maker wrote.

    path: as it was given; folder: where its files lie, of a zip a folder that goes with this object; facts: of ``pack.json``;
    digest: of all of it, 64 hex digits; files: name -> bytes; stray: names of files that are no part of it and are never read.
    """

    path: Path
    folder: Path
    facts: dict[str, Any]
    digest: str
    files: dict[str, int]
    stray: tuple[str, ...] = ()
    _held: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What it calls itself."""
        return str(self.facts["name"])

    @property
    def short(self) -> str:
        """Its name and the first digits of its digest, which say which version of it."""
        return f"{self.name}@{self.digest[:12]}"

    def has(self, name: str) -> bool:
        """Whether it holds a file of this name, or a folder with files."""
        return name in self.files or any(each.startswith(f"{name}/") for each in self.files)

    def file(self, name: str) -> Path:
        """Where a file of it lies. Raises BiocosmosError if it has none of this name."""
        if name not in self.files:
            raise BiocosmosError(f"{self.path} has no {name}: it was made without, or {_AGAIN}")
        return self.folder / name


def open_pack(path: str | Path) -> Pack:
    """A pack, a folder or a zip, checked.

    Raises BiocosmosError, one line: there is none; a file is missing, was changed, is a link, leads out of the pack, or is too
    large; a newer biocosmos made it.
    """
    path = Path(path)
    if not is_there(path):
        raise BiocosmosError(f"no pack at {path}: make one with 'biocosmos pack build COLLECTION -o {path}'")
    if is_folder(path):
        return _of_folder(path)
    if not is_file(path) or not zipfile.is_zipfile(path):
        raise BiocosmosError(f"{path} is no pack: it is neither a folder nor a zip that is whole")
    return _of_zip(path)


# ---------------------------------------------------------------------- a folder


def _of_folder(path: Path) -> Pack:
    for name in (SUMS, FACTS):
        _refuse_link(path, name)
    sums_text = _small(path, SUMS, MOST_SUMS)
    facts_text = _small(path, FACTS, MOST_FACTS)
    sums = _sums(path, sums_text, facts_text)
    _check(path, FACTS, sums, hashlib.sha256(facts_text).hexdigest())
    facts = _facts(path, facts_text)
    files = {SUMS: len(sums_text)}
    for name in sums:
        _refuse_link(path, name)
        if not is_file(path / name):
            raise BiocosmosError(f"{path} lacks {name}: {_AGAIN}")
        with (path / name).open("rb") as file:
            digest, files[name] = _digest(file)
        _check(path, name, sums, digest)
    there = sorted(str(each.relative_to(path).as_posix()) for each in path.rglob("*") if is_file(each))
    stray = tuple(name for name in there if name not in files)
    return Pack(path, path, facts, hashlib.sha256(sums_text).hexdigest(), files, stray)


def _refuse_link(path: Path, name: str) -> None:
    at = path
    for part in name.split("/"):
        at = at / part
        if at.is_symlink():
            raise BiocosmosError(f"{path}: {name} is a link, and a pack holds files alone: copy it with what the link points to")


def _small(path: Path, name: str, most: int) -> bytes:
    file = path / name
    if not is_file(file):
        raise BiocosmosError(f"{path} lacks {name}: it is no pack, or {_AGAIN}")
    if file.stat().st_size > most:
        raise BiocosmosError(f"{path}: {name} has {file.stat().st_size:,} bytes, at most {most:,} are read: {_AGAIN}")
    return file.read_bytes()


# ---------------------------------------------------------------------- a zip


def _of_zip(path: Path) -> Pack:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
            sums_text = _small_member(path, archive, members, SUMS, MOST_SUMS)
            facts_text = _small_member(path, archive, members, FACTS, MOST_FACTS)
            sums = _sums(path, sums_text, facts_text)
            _check(path, FACTS, sums, hashlib.sha256(facts_text).hexdigest())
            facts = _facts(path, facts_text)
            held = ScratchFolder()
            if sum(info.file_size for info in members.values()) > shutil.disk_usage(held.path).free:
                raise BiocosmosError(f"{path} unpacks to more than there is room for in {held.path.parent}: free some space")
            files = {SUMS: len(sums_text)}
            for name in sums:
                if name not in members:
                    raise BiocosmosError(f"{path} lacks {name}: {_AGAIN}")
                digest, files[name] = _unpack(path, archive, members[name], held.path / name)
                _check(path, name, sums, digest)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise BiocosmosError(f"{path} cannot be read as a zip ({first_line(error)}): {_AGAIN}") from error
    (held.path / SUMS).write_bytes(sums_text)
    stray = tuple(sorted(name for name in members if name not in files))
    return Pack(path, held.path, facts, hashlib.sha256(sums_text).hexdigest(), files, stray, held)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by their names. Raises BiocosmosError for names that lead out, links, and files that grow too large."""
    found: dict[str, zipfile.ZipInfo] = {}
    if len(archive.filelist) > MOST_FILES:
        raise BiocosmosError(f"{path} holds {len(archive.filelist):,} files, a pack has {MOST_FILES:,} at most: {_AGAIN}")
    for info in archive.infolist():
        if info.is_dir() and is_pack_path(info.filename.rstrip("/")):
            continue
        if not is_pack_path(info.orig_filename):
            raise BiocosmosError(f"{path}: {info.orig_filename[:80]!r} is no name of a file of a pack; nothing was unpacked")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BiocosmosError(f"{path}: {info.filename} is a link, and a pack holds files alone; nothing was unpacked")
        if info.filename in found:
            raise BiocosmosError(f"{path} holds {info.filename} twice; nothing was unpacked")
        if info.file_size > max(ALWAYS, MOST_TIMES * info.compress_size):
            grown = f"{info.filename} would grow from {info.compress_size:,} to {info.file_size:,} bytes"
            raise BiocosmosError(f"{path}: {grown}; nothing was unpacked")
        if info.flag_bits & 1:
            raise BiocosmosError(f"{path}: {info.filename} is encrypted; nothing was unpacked: zip it without a password")
        found[info.filename] = info
    return found


def _small_member(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, most: int) -> bytes:
    if name not in members:
        inside = next((each for each in members if each.endswith(f"/{name}")), None)
        hint = f"zip the files of {inside.rpartition('/')[0]}, not the folder" if inside else _AGAIN
        raise BiocosmosError(f"{path} lacks {name}: it is no pack, or {hint}")
    if members[name].file_size > most:
        raise BiocosmosError(f"{path}: {name} has {members[name].file_size:,} bytes, at most {most:,} are read: {_AGAIN}")
    with _opened(path, archive, members[name]) as file:
        return file.read(most)


def _unpack(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: Path) -> tuple[str, int]:
    place.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path, archive, info) as file, place.open("wb") as out:
        return _digest(file, out, most=info.file_size)


@contextmanager
def _opened(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    try:
        with archive.open(info) as file:
            yield file
    except _ZIP_DAMAGE as error:
        raise BiocosmosError(
            f"{path}: {info.filename} was changed after the pack was made ({first_line(error)}): {_AGAIN}"
        ) from error


# ---------------------------------------------------------------------- checksums and facts


def _digest(file: IO[bytes], out: IO[bytes] | None = None, most: int | None = None) -> tuple[str, int]:
    """SHA-256 and length of what is left to read, written to ``out`` on the way."""
    found, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        size += len(piece)
        if most is not None and size > most:
            raise ValueError("it is longer than it says")
        found.update(piece)
        if out is not None:
            out.write(piece)
    return found.hexdigest(), size


def _sums(path: Path, text: bytes, facts: bytes) -> dict[str, str]:
    """File name -> SHA-256. Raises BiocosmosError for a list that is damaged; of a newer version that is said first."""
    sums: dict[str, str] = {}
    try:
        lines = text.decode("utf-8").splitlines()
        for line in lines:
            of = _LINE.fullmatch(line)
            if of is None or not is_pack_path(of[2]) or of[2] in sums or of[2] == SUMS:
                raise ValueError(f"line {len(sums) + 1} is {line[:60]!r}")
            sums[of[2]] = of[1]
        if FACTS not in sums or len(sums) > MOST_FILES:
            raise ValueError(f"it lists {len(sums):,} files" + ("" if FACTS in sums else f", and {FACTS} is not among them"))
    except ValueError as error:
        _refuse_newer(path, facts)
        raise BiocosmosError(f"{path}: {SUMS} is no list of checksums ({first_line(error)}): {_AGAIN}") from error
    return sums


def _check(path: Path, name: str, sums: dict[str, str], digest: str) -> None:
    if sums[name] != digest:
        raise BiocosmosError(f"{path}: {name} was changed after the pack was made: {_AGAIN}")


def _refuse_newer(path: Path, text: bytes) -> None:
    try:
        said = load_json(text)
    except ValueError:
        return
    version = said.get("format") if isinstance(said, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise BiocosmosError(f"{path} was made by a newer biocosmos (format {version}, here {FORMAT}): update biocosmos")


def _facts(path: Path, text: bytes) -> dict[str, Any]:
    _refuse_newer(path, text)
    found: dict[str, Any] = parse_facts(text, SHAPE, where=f"{path}: {FACTS}", what="the description of a pack", remedy=_AGAIN)
    return found
