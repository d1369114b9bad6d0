"""A zip or a folder, read alike and without extracting: names are checked, sizes limited, nothing is written anywhere."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Names, is_folder, is_junk, readable, tidy, walk
from biocosmos.specimens.readers.packed import Unpacked, is_zip

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError)


def leads_outside(name: str) -> bool:
    """Whether a member's name is a path that leaves the archive: absolute, with a drive, or with ".."."""
    name = name.replace("\\", "/")
    return name.startswith("/") or ":" in name.split("/", 1)[0] or ".." in name.split("/") or "\0" in name


@dataclass(frozen=True)
class Member:
    """One file of an archive; ``open`` works like that of a Path in mode "rb"."""

    archive: Archive
    name: str

    def open(self, mode: str = "rb") -> IO[bytes]:
        """A byte stream from the start of the file."""
        return self.archive.open(self.name)

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.name}"


class Archive:
    """The files of a zip or a folder by their names (forward slashes, in sorted order).

    Members whose names lead outside are recorded in ``failures`` once and can never be reached.
    """

    def __init__(self, path: Path, failures: Failures, max_image_bytes: int) -> None:
        self.path, self.failures, self.max_image_bytes = path, failures, max_image_bytes
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, str] = {}
        if is_folder(path):
            self._members = {name: name for name in walk(path, failures)}
            return
        try:
            self._zip = zipfile.ZipFile(path)
        except ZIP_ERRORS as error:
            raise BiocosmosError(f"cannot read {path} as a zip: {error}") from error
        for info in self._zip.infolist():
            name = info.filename.replace("\\", "/")
            if not name or name.endswith("/") or any(is_junk(part) for part in name.split("/") if part not in (".", "..")):
                continue
            if leads_outside(info.orig_filename):
                failures.add("a path outside the archive: refused", stage="read", source=f"{path}/{info.orig_filename}")
            else:
                self._members[name.removeprefix("./")] = info.filename

    @cached_property
    def _names(self) -> Names:
        return Names(self._members)

    @property
    def names(self) -> list[str]:
        """Names of all files that may be read."""
        return sorted(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        """A byte stream of one file. Raises BiocosmosError if the archive lacks it or cannot give it."""
        if name not in self._members:
            raise BiocosmosError(f"{self.path} has no file {name!r}")
        where = f"{name!r} of {self.path}"
        try:
            if self._zip is None:
                return (self.path / name).open("rb")
            info = self._zip.getinfo(self._members[name])
            return io.BufferedReader(Unpacked(self._zip.open(info), where, info.compress_size))
        except ZIP_ERRORS as error:
            raise BiocosmosError(f"cannot read {where}: {error}") from error

    def find(self, name: str, folder: str = "") -> tuple[str | None, str | None]:
        """(member, reason why not) for a name that a table in ``folder`` gives; one of the two is None."""
        given, name = name, tidy(name.strip())
        spelt = (name, unquote(name)) if "%" in name else (name,)
        if leads_outside(name) or leads_outside(spelt[-1]):
            return None, f"the image name {readable(name)!r} leads outside the archive: refused"
        for wanted in dict.fromkeys((f"{folder}/{given}" if folder else given, given, *spelt)):
            if wanted in self._members:
                return wanted, None
        for wanted in dict.fromkeys((f"{folder}/{name}" if folder else name, name)):
            near = self._names.find(wanted)
            if near and len(near) > 1 and near[0][0] == near[1][0]:
                among = " or ".join(repr(readable(own)) for distance, own in near if distance == near[0][0])
                return None, f"the image name {name!r} is ambiguous: it may mean {among}"
            if near:
                return near[0][1], None
        return None, f"the archive has no image {readable(name)!r}"

    def image(self, member: str) -> tuple[bytes | None, str | None, str | None]:
        """(bytes, path, reason why not): bytes from a zip, the path from a folder. A file over the limit is not read."""
        if self._zip is None:
            return None, str((self.path / member).absolute()), None
        info = self._zip.getinfo(self._members[member])
        limit = self.max_image_bytes
        if info.file_size > limit:
            return None, None, f"{info.file_size:,} bytes once unpacked, more than the limit of {limit:,}: refused"
        try:
            with self._zip.open(info) as file:
                content = file.read(limit + 1)
        except ZIP_ERRORS as error:
            return None, None, f"cannot be unpacked: {error}"
        if len(content) > limit:
            return None, None, f"more than {limit:,} bytes once unpacked: refused"
        return content, None, None

    def close(self) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()


@contextmanager
def file_or_member(
    path: Path, among: Callable[[Sequence[str]], str | None], what: str, max_image_bytes: int
) -> Iterator[Path | Member]:
    """The file itself, or of a zip the one member that ``among`` finds by the names. BiocosmosError where there is not one."""
    if not is_zip(path):
        yield path
        return
    with open_archive(path, Failures(), max_image_bytes) as archive:
        name = among(archive.names)
        if name is None:
            raise BiocosmosError(f"{path} has no single {what}: unpack it")
        yield Member(archive, name)


@contextmanager
def open_archive(path: Path, failures: Failures, max_image_bytes: int) -> Iterator[Archive]:
    """An :class:`Archive` that is closed at the end."""
    archive = Archive(path, failures, max_image_bytes)
    try:
        yield archive
    finally:
        archive.close()
