"""Bytes to text: which encoding a file has, and what is no text at all."""

from __future__ import annotations

import codecs
import re
from typing import IO

from biocosmos.errors import BiocosmosError

CHUNK = 1 << 20
LOST = "biocosmos.lost"
"""Error handler: bytes that an encoding does not know become lone surrogates, so that their rows can be told."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
NO_TEXT = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"})
"""Codecs of Python that are for something else than files of text."""
LATIN_1 = codecs.lookup("latin-1").name
WINDOWS = "cp1252"
MAGIC = (
    (b"PK\x03\x04", "a zip or an Excel workbook: save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV"),
    (b"PAR1", "a Parquet file: say --format parquet"),
    (b"SQLite format 3\0", "an SQLite database: export its table as CSV"),
    (b"\x89HDF", "an HDF5 file: export its table as CSV"),
    (b"ARROW1", "an Arrow file: save it as Parquet"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")


def _as_surrogates(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(LOST, _as_surrogates)


def has_surrogate(text: str) -> bool:
    """Whether a text has lone surrogates: bytes that its encoding does not know, or escapes of half a character in JSON."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def known_encoding(name: str, head: bytes | None = None) -> str:
    """The codec for an encoding as a user or a file declares it.

    ISO 8859-1 is read as Windows-1252, which differs in control characters only; UTF-16 and UTF-32 without a mark, and UTF-8 with
    one, by ``head``, the first bytes of the file.
    Raises BiocosmosError for a name that Python does not know and for codecs that are no text.
    """
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError, UnicodeError) as error:
        raise BiocosmosError(f"unknown encoding {name!r}: say --encoding with one that Python knows, such as utf-8") from error
    if not codec._is_text_encoding or codec.name.replace("_", "-") in NO_TEXT:
        raise BiocosmosError(f"{name!r} is no encoding of text files: say --encoding utf-8, say")
    if codec.name == LATIN_1:
        return WINDOWS
    if codec.name == "utf-8":
        return "utf-8-sig" if head is None or head.startswith(codecs.BOM_UTF8) else "utf-8"
    if head is not None and codec.name in ("utf-16", "utf-32") and not any(head.startswith(mark) for mark, _ in BOMS):
        return _wide(head) or f"{codec.name}-le"
    return codec.name


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, where every NUL stands as in mostly Latin text; None if that is not certain."""
    if head.count(b"\0") < len(head) // 4 or len(head) < 8:
        return None
    head = head[: len(head) // 4 * 4]
    for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            text = head.decode(name)
        except UnicodeDecodeError:
            if not name.startswith("utf-16"):
                continue
            text = head[:-2].decode(name, errors="ignore")  # may end inside a pair
        first = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
        if first and "\0" not in text and first.isprintable() | ("\t" in first) and sum(map(str.isascii, first)) * 2 > len(first):
            return name
    return None


def find_encoding(stream: IO[bytes]) -> tuple[str, str | None]:
    """Read a byte stream to its end and say (encoding, warning or None).

    A byte-order mark, else UTF-16 or UTF-32 where that is certain, else UTF-8, else Windows-1252; a file whose accented letters
    are mostly UTF-8 is UTF-8 with damaged rows. Raises BiocosmosError for what is no text.
    """
    chunk = stream.read(CHUNK)
    for mark, name in BOMS:
        if chunk.startswith(mark):
            return name, None
    for magic, what in MAGIC:
        if chunk.startswith(magic):
            raise BiocosmosError(f"not a text table: {what}")
    if b"\0" in chunk:
        wide = _wide(chunk[:4096])
        if wide is not None:
            return wide, f"{wide.upper()} without a byte-order mark"
        if b"\0" in chunk.split(b"\n", 1)[0]:
            raise BiocosmosError("not a text table: its first line has NUL characters")
    return _utf_8_or_windows(chunk, stream)


def _utf_8_or_windows(chunk: bytes, stream: IO[bytes]) -> tuple[str, str | None]:
    lines, bad, good, first = 1, 0, 0, ""
    rest = b""
    while chunk:
        block = rest + chunk
        rest = b""
        if not block.isascii():
            cut = len(block)
            while cut and cut > len(block) - 4 and block[cut - 1] & 0xC0 == 0x80:
                cut -= 1
            if cut and block[cut - 1] >= 0xC0:  # a character that goes on in the next chunk, perhaps
                cut -= 1
            else:
                cut = len(block)
            block, rest = block[:cut], block[cut:]
            try:
                block.decode()
                good += 1
            except UnicodeDecodeError as error:
                if not bad:
                    line = lines + block[: error.start].count(b"\n")
                    first = f"byte 0x{block[error.start]:02x} in line {line}"
                whole = _MULTIBYTE.sub(b"", block)
                good += (len(block) - len(whole)) // 2
                bad += len(_HIGH.findall(whole))
        lines += block.count(b"\n")
        chunk = stream.read(CHUNK)
    if rest:
        try:
            rest.decode()
        except UnicodeDecodeError:
            first = first or f"byte 0x{rest[0]:02x} in line {lines}"
            bad += len(rest)
    if not bad:
        return "utf-8", None
    if good > bad:
        return "utf-8", f"not all of it is UTF-8 ({first}): the rows that are not are left out; say --encoding if it is another"
    return WINDOWS, f"not UTF-8 ({first}): read as Windows-1252; say --encoding if the accented letters come out wrong"
