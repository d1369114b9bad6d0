"""Tables packed with gzip, bzip2 or xz, read as if they were not; what is no file that can be read twice is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, is_junk, refuse_special

MAGIC = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
SUFFIXES = (".gz", ".bz2", ".xz")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
SEQUENCE_SUFFIXES = (".fasta", ".fa", ".fas", ".fna", ".ffn", ".fsa", ".fastq", ".fq")
GENBANK_SUFFIXES = (".gb", ".gbk", ".genbank", ".gbff")
_BESIDE = re.compile(r"(?i)read[-_ ]?me|licen[cs]e|rights|citations?|metadata|data[-_ ]?dictionary|changelog|about|manifest")
_MAIN = re.compile(r"(?i)(occurrences?|observations?|specimens?)\.")
FREE_BYTES = 256 << 20
MOST_RATIO = 200
"""Unpacked bytes for each packed one, beyond the first FREE_BYTES: tables reach 5 to 50, bombs a thousand and more."""
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


class Unpacked(io.RawIOBase):
    """An unpacked stream whose damage is an error that a user can read, and which is no bomb.

    packed: size in bytes of what it is unpacked from.
    """

    def __init__(self, file: IO[bytes], where: str, packed: int) -> None:
        self._file, self._where = file, where
        self._most = max(FREE_BYTES, MOST_RATIO * packed)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is, from the start."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place, in bytes."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Raises BiocosmosError where the file is damaged or unpacks to far more than any table does."""
        try:
            content = self._file.read(len(buffer))
            place = self._file.tell()
        except (*ERRORS, RuntimeError, NotImplementedError) as error:
            raise BiocosmosError(f"cannot read {self._where}: damaged, {error or 'it ends too early'}") from error
        if place > self._most:
            raise BiocosmosError(f"{self._where} unpacks to more than {self._most:,} bytes: refused; unpack it if it is meant")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the packed file too."""
        self._file.close()
        super().close()


@dataclass(frozen=True)
class PackedFile:
    """A packed file; ``open`` gives its content."""

    path: Path
    opener: Any

    def open(self, mode: str = "rb") -> IO[bytes]:
        """A byte stream from the start of the content."""
        file = self.opener(self.path, "rb")
        return io.BufferedReader(Unpacked(file, str(self.path), self.path.stat().st_size))

    def __str__(self) -> str:
        return str(self.path)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip by its first bytes."""
    if not is_file(path):
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def table_among(names: Sequence[str]) -> tuple[str | None, str]:
    """(the one table among the files of an archive or None, why none is it)."""
    tables = [name for name in names if name.lower().endswith(TABLE_SUFFIXES)]
    plain = [name for name in tables if not _BESIDE.match(name.rsplit("/", 1)[-1])] or tables
    main = [name for name in plain if _MAIN.match(name.rsplit("/", 1)[-1])]
    found = main if len(main) == 1 else plain
    if len(found) == 1:
        return found[0], ""
    return None, f"has {len(found)} tables ({', '.join(found[:5])})" if found else "has no table (.csv, .tsv, .txt) in it"


def is_sequences(name: str) -> bool:
    """Whether a file is FASTA or FASTQ by its name, packed or not."""
    return _bare(name).endswith(SEQUENCE_SUFFIXES)


def is_genbank(name: str) -> bool:
    """Whether a file is a GenBank flat file by its name, packed or not."""
    return _bare(name).endswith(GENBANK_SUFFIXES)


def sequences_among(names: Sequence[str]) -> str | None:
    """The one file of sequences among those of an archive, if there is one alone."""
    return _single([name for name in names if is_sequences(name)])


def genbank_among(names: Sequence[str]) -> str | None:
    """The one GenBank file among those of an archive, if there is one alone."""
    return _single([name for name in names if is_genbank(name)])


def _bare(name: str) -> str:
    name = name.lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _single(names: Sequence[str]) -> str | None:
    found = [name for name in names if not any(map(is_junk, name.split("/")))]
    return found[0] if len(found) == 1 else None


def unpacked(path: Path) -> Path | PackedFile:
    """What reads as the content of ``path``: itself unless it is packed. Raises BiocosmosError for a device or a pipe."""
    refuse_special(path)
    try:
        with path.open("rb") as file:
            head = file.read(6)
    except OSError:
        return path  # whoever opens it says so
    opener = next((opener for magic, opener in MAGIC.items() if head.startswith(magic)), None)
    return path if opener is None else PackedFile(path, opener)
