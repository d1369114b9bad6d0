"""The files of a tar, in order and one at a time: sizes that are claimed are not believed, and nothing unpacks without end."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file, is_folder, is_junk, readable
from biocosmos.specimens.readers.archive import leads_outside

TAR_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError, OverflowError, IndexError, KeyError)
"""What tarfile and the decompressors raise on damage."""
LARGEST_RATIO = 200
"""A shard that unpacks to more than so many times its size is a bomb: images hardly shrink, and texts about ten times."""
FREE_BYTES = 256 << 20  # unpacked before the ratio is asked about
LARGEST_READ = (1 << 30) + 1024  # at once: no header and no image is larger
_UNPACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""First bytes of a compressed file -> what opens it."""


class Entry(NamedTuple):
    """A regular file of a tar: its name as readable text without "./", its size, and how to read it."""

    name: str
    size: int
    content: IO[bytes] | None


class _Bounded(io.RawIOBase):
    """A file that gives no more than ``most`` bytes, and never many at once."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self.left = file, most

    def read(self, size: int = -1, /) -> bytes:
        """As a file's. Raises tarfile.ReadError beyond the bounds."""
        if not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        content = self._file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {LARGEST_RATIO} times its size: a bomb")
        return content

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def entries(shard: Path, failures: Failures) -> Iterator[Entry]:
    """The regular files of a tar, plain or compressed; each is read before the next is asked for.

    Links, devices and names that lead outside are recorded and left out; where the tar is damaged it ends, with a row.
    """

    def fail(reason: str, id: str | None = None) -> None:
        failures.add(reason, stage="read", source=shard, id=id)

    try:
        yield from _entries(shard, fail)
    except TAR_ERRORS as error:
        fail(f"the shard cannot be read further: {' '.join(str(error).split()) or type(error).__name__}")


def first_names(shard: Path, most: int) -> list[tuple[str, bytes | None]]:
    """(name, content of a .json) of the first files. Raises one of TAR_ERRORS if the shard cannot be opened."""
    found: list[tuple[str, bytes | None]] = []
    try:
        for entry in _entries(shard, lambda *_: None):
            json = entry.name.lower().endswith(".json") and entry.size <= FREE_BYTES and entry.content is not None
            found.append((entry.name, entry.content.read(entry.size) if json and entry.content is not None else None))
            if len(found) == most:
                break
    except TAR_ERRORS:
        if not found:
            raise
    return found


def _entries(shard: Path, fail: Callable[[str, str], None]) -> Iterator[Entry]:
    if not is_file(shard):
        raise tarfile.ReadError("it is no regular file")
    size = shard.stat().st_size
    with shard.open("rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        unpacker = next((opens for magic, opens in _UNPACKERS.items() if head.startswith(magic)), None)
        if unpacker is None:
            file, mode = _Bounded(raw, 1 << 62), "r:"
        else:
            file, mode = _Bounded(unpacker(raw), LARGEST_RATIO * size + FREE_BYTES), "r|"
        ends: list[str] = []
        with closing(file), tarfile.open(fileobj=file, mode=mode, tarinfo=_headers(ends)) as tar:  # type: ignore[call-overload]
            yield from _files(tar, file, size if unpacker is None else None, fail)
        if ends:
            raise tarfile.ReadError(ends[0])


def _headers(ends: list[str]) -> type[tarfile.TarInfo]:
    """What reads the headers: tarfile itself takes a damaged one in the middle for the end, and what follows would be lost."""

    class Header(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            if not buf:
                ends.append("it has no end mark, and may be cut short")
            elif any(buf):
                try:
                    return super().frombuf(buf, encoding, errors)
                except tarfile.HeaderError as error:
                    raise tarfile.ReadError(f"damaged header: {error}") from None
            return super().frombuf(buf, encoding, errors)  # raises what tarfile takes for the end

    return Header


def _files(tar: tarfile.TarFile, file: _Bounded, size: int | None, fail: Callable[[str, str], None]) -> Iterator[Entry]:
    """size: of the whole tar where it is not compressed."""
    before = -1
    for member in tar:
        if member.offset <= before or member.size < 0:
            raise tarfile.ReadError("its headers lead back to earlier ones")
        before = member.offset
        tar.members = []  # type: ignore[attr-defined] # tarfile would keep them all
        name = readable(member.name.removeprefix("./"))
        room = file.left if size is None else size - member.offset_data
        if member.size > room and not member.issparse():
            fail(f"claims {member.size:,} bytes, more than there are: refused", name)
            raise tarfile.ReadError(f"after {name!r} there is nothing to be found")
        if not member.isfile() or is_junk(name.rsplit("/", 1)[-1]):
            if member.issym() or member.islnk() or member.isdev():
                fail("a link or device, not a file: refused", name)
            continue
        if leads_outside(name):
            fail("a path outside the archive: refused", readable(member.name))
            continue
        yield Entry(name, member.size, tar.extractfile(member))


def shards_of(path: Path) -> list[Path]:
    """The tar files at a path, sorted. Raises BiocosmosError if there are none."""
    if not is_folder(path):
        return [path]
    ends = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(ends) and not is_junk(name)
    ]
    if not found:
        raise BiocosmosError(f"{path} has no tar files")
    return sorted(found)
