"""Zip files from strangers: what they hold is counted before it is unpacked, and no name in them becomes a path."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.serve.asking import limits

STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
END, END64, TAIL = b"PK\x05\x06", b"PK\x06\x07", 22 + (1 << 16)
DIRECTORY_BYTES = 4 * limits.MB
"""Of the list of entries, which is read whole."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
JUNK = ("__macosx/",)
PIECE = 1 << 18


class Refused(BiocosmosError):
    """An entry that is not looked at, and why."""


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip."""
    return head.startswith(STARTS)


def opened(file: IO[bytes]) -> zipfile.ZipFile:
    """The zip in an open file, its list of entries read. Raises BiocosmosError, one line, for one that cannot be."""
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise BiocosmosError(f"a zip that cannot be read: {first_line(error)}") from None
    if len(archive.filelist) > limits.ZIP_MEMBERS:
        raise BiocosmosError(f"a zip of {len(archive.filelist):,} entries: at most {limits.ZIP_MEMBERS:,} are looked at")
    return archive


def entries(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The files in it, without folders and what the Finder adds."""
    for entry in archive.infolist():
        name = entry.filename
        hidden = name.rsplit("/", 1)[-1].startswith("._") or name.endswith((".DS_Store", "Thumbs.db"))
        if not entry.is_dir() and not name.lower().startswith(JUNK) and not hidden:
            yield entry


def pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of an entry in pieces, never more of it than was announced. Raises Refused with the reason."""
    _check_entry(entry)
    try:
        with archive.open(entry) as packed:
            head = packed.read(4)
            if is_zip(head):
                raise Refused("a zip within a zip: put the images into one")
            yield head
            while piece := packed.read(PIECE):
                yield piece
    except Refused:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise Refused(f"damaged in the zip: {first_line(error)}") from None


def _check_entry(entry: zipfile.ZipInfo) -> None:
    parts = entry.filename.replace("\\", "/").split("/")
    if ".." in parts or entry.filename.startswith(("/", "\\")) or parts[0][1:2] == ":":
        raise Refused("its path leads out of the zip")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Refused("a link, not a file")
    if entry.flag_bits & 0x1:
        raise Refused("encrypted: pack it without a password")
    if entry.compress_type not in METHODS:
        raise Refused("packed in a way that is not read here: use an ordinary zip")
    if entry.file_size > limits.IMAGE_BYTES:
        raise Refused(f"{entry.file_size:,} bytes: an image may have {limits.IMAGE_BYTES // limits.MB} MB")
    if entry.file_size > limits.MB and entry.file_size > limits.ZIP_RATIO * max(1, entry.compress_size):
        raise Refused("a zip bomb: it unpacks to more than an image does")


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a list of entries that would fill the memory, before it is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    at = len(tail) - 22 if tail[-22:-18] == END and tail[-2:] == b"\0\0" else tail.rfind(END)
    if at < 0 or len(tail) - at < 22:
        raise BiocosmosError("a zip that is not whole: its list of entries is missing")
    count, length = struct.unpack("<HL", tail[at + 10 : at + 16])
    if at >= 20 and tail[at - 20 : at - 16] == END64:
        place = struct.unpack("<Q", tail[at - 12 : at - 4])[0]
        file.seek(min(place, size))
        record = file.read(56)
        if len(record) < 56:
            raise BiocosmosError("a zip that is not whole: its list of entries is missing")
        count, length = max(count % 0xFFFF, struct.unpack("<Q", record[32:40])[0]), struct.unpack("<Q", record[40:48])[0]
    if count > limits.ZIP_MEMBERS or length > DIRECTORY_BYTES:
        raise BiocosmosError(f"a zip of too many entries: at most {limits.ZIP_MEMBERS:,} are looked at")
    file.seek(0)
