"""What a file that no decoder knows is, in the words of the person who has to mend it."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from biocosmos.images import tiff
from biocosmos.images.content import Source

SNIFFED = 512
TGA_FOOTER = b"TRUEVISION-XFILE.\0"  # of version 2, TGA File Format Specification 1991
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
"""Brands in the first box of a HEIF file (ISO/IEC 23008-12), as phones write it."""
_AVIF_BRANDS = (b"avif", b"avis")

# First bytes -> what they begin.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document: save it as TIFF or PNG"),
    (b"SIMPLE  =", "a FITS file: save it as TIFF or PNG"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"v/1\x01", "an OpenEXR image: save it as TIFF or PNG"),
    (b"\xff\x0a", "a JPEG XL image: save it as JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image: save it as JPEG or PNG"),
    (b"FUJIFILMCCD-RAW", "a raw photograph (Fujifilm): develop it to JPEG or TIFF"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3", "an SQLite database"),
)
_BOXES: dict[bytes, str] = {b"crx ": "a raw photograph (Canon CR3): develop it to JPEG or TIFF", b"qt  ": "a film (QuickTime)"}


def head_of(source: Source) -> bytes:
    """The first bytes of a file."""
    if isinstance(source, bytes):
        return source[:SNIFFED]
    with Path(source).open("rb") as file:
        return file.read(SNIFFED)


def is_tga(source: Source) -> bool:
    """Whether a file says it is a Truevision TGA, which has no first bytes of its own: by its footer, or its name."""
    if isinstance(source, bytes):
        return source.endswith(TGA_FOOTER)
    path = Path(source)
    if path.suffix.lower() == ".tga":
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(TGA_FOOTER)))
        return file.read() == TGA_FOOTER


def is_heif(head: bytes) -> bool:
    """Whether these first bytes are those of a HEIF photograph; AVIF, which shares brands with it, is not one."""
    brands = _brands(head)
    return bool(brands) and not set(brands) & set(_AVIF_BRANDS) and bool(set(brands) & set(HEIF_BRANDS))


def _brands(head: bytes) -> tuple[bytes, ...]:
    if head[4:8] != b"ftyp":
        return ()
    end = min(max(int.from_bytes(head[:4], "big"), 12), len(head))
    return (head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4)))


@cache
def can_read_heif() -> bool:
    """Whether the package pillow-heif is installed; Pillow knows HEIF from then on."""
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def what_is_it(source: Source) -> str:
    """Why no decoder knows these bytes."""
    head = head_of(source)
    if not head:
        return "zero bytes"
    if is_heif(head):
        if can_read_heif():
            return "a HEIC (HEIF) photograph that is damaged: no picture can be found in it"
        return "a HEIC (HEIF) photograph, which is read with pillow-heif only: pip install 'biocosmos[heif]', or save it as JPEG"
    if tiff.is_tiff(head):
        return tiff.why_not(source)
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG")):
        return "truncated image: it ends inside the header"
    return f"not an image: {found}" if (found := _named(head)) else "not an image, or of an unknown format"


def _named(head: bytes) -> str | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page (a failed download?)"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "a drawing (SVG): save it as PNG"
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: fetch the file itself with 'git lfs pull'"
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning):
            return what
    if head[128:132] == b"DICM":
        return "a DICOM file: save it as TIFF or PNG"
    if set(_brands(head)) & set(_AVIF_BRANDS):
        return "an AVIF image, which this Pillow cannot read: save it as JPEG or PNG"
    if brands := _brands(head):
        return _BOXES.get(brands[0], "a film (MP4)")
    if head[:4] == b"RIFF":
        return {b"WAVE": "a sound (WAV)", b"AVI ": "a film (AVI)"}.get(head[8:12], "a RIFF file")
    return "a text file" if b"\0" not in head and _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < SNIFFED else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)
