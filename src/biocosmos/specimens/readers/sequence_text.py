"""FASTA and FASTQ as text streams: one record after the other in constant memory, whatever the line ends and the line lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

CHUNK = 1 << 20
MOST_LETTERS = 8 << 20
"""Characters of one record that are kept: what is longer is a chromosome, and is read only to be passed over."""


class Record(NamedTuple):
    """One sequence: its number in the file from 1, first line without the sign, letters (with line ends), or a problem."""

    number: int
    header: str
    letters: str
    problem: str | None = None


def fasta_records(stream: IO[str]) -> Iterator[Record]:
    """The records of a FASTA text (``newline=""``). What stands before the first ">" is one record with a problem."""
    number, rest, length = 0, "", 0
    begun, stray = False, ""
    for chunk in _chunks(stream):
        rest += chunk
        if not begun:
            rest = rest if stray else _begun(rest)
            if not rest.startswith(">") or stray:
                stray = stray or rest[:40]
                _, sign, rest = rest.partition("\n>")
                begun = bool(sign)
                if not begun:
                    continue
                number += 1
                yield Record(number, "", "", _before(stray))
            else:
                begun, rest = True, rest[1:]
        *whole, rest = rest.split("\n>")
        for record in whole:
            number += 1
            yield _fasta(number, record, length)
            length = 0
        if len(rest) > MOST_LETTERS:
            length += len(rest) - 2 * CHUNK
            rest = f"{rest[:CHUNK]}-{rest[-CHUNK:]}"
    if begun:
        yield _fasta(number + 1, rest, length)
    elif stray:
        yield Record(1, "", "", _before(stray))


def _before(stray: str) -> str:
    return f"{stray!r} stands before the first '>': this is no FASTA record"


def fastq_records(stream: IO[str]) -> Iterator[Record]:
    """The records of a FASTQ text (``newline=""``), of any number of lines; a record that is damaged costs itself alone."""
    lines = _lines(stream)
    number = 0
    header = next(lines, None)
    while header is not None:
        if not header.strip():
            header = next(lines, None)
            continue
        number += 1
        if not header.startswith("@"):
            yield Record(number, header[:40], "", f"a record of FASTQ begins with '@', not with {header[:20]!r}")
            header = _next_header(lines)
            continue
        letters, folded, line = "", 0, next(lines, None)
        while line is not None and line[:1] not in ("+", "@") and len(letters) <= MOST_LETTERS:
            letters, folded, line = letters + line, folded + 1, next(lines, None)
        if line is None or not line.startswith("+"):
            yield Record(number, header[1:], "", "the record has no line '+' after its letters: it is cut off or no FASTQ")
            header = line if line is not None and line.startswith("@") else _next_header(lines)
            continue
        quality = sum(len(next(lines, "")) for _ in range(folded))  # as many lines: a quality may begin with "@" or "+"
        problem = None if quality == len(letters) else "the record has not as many qualities as letters: cut off or damaged"
        yield Record(number, header[1:], "" if problem else letters, problem)
        header = next(lines, None)


def first_sign(stream: IO[str]) -> str:
    """The first letter of a text that is no blank, which says what it is; the stream is at its start afterwards."""
    sample = stream.read(CHUNK)
    stream.seek(0)
    return sample.lstrip("\ufeff \t\r\n")[:1]


def _fasta(number: int, text: str, passed: int) -> Record:
    header, _, letters = text.partition("\n")
    if "\n;" in text:  # comments of the first FASTA
        letters = "\n".join(line for line in letters.split("\n") if not line.startswith(";"))
    header = header.strip()
    if passed:
        return Record(number, header, "", f"the sequence has more than {MOST_LETTERS:,} letters: a chromosome, no barcode")
    return Record(number, header, letters)


def _begun(text: str) -> str:
    """The text from its first letter on, without comments before the first record."""
    text = text.lstrip("\ufeff \t\n")
    while text.startswith(";") and "\n" in text:
        text = text.partition("\n")[2].lstrip(" \t\n")
    return text


def _chunks(stream: IO[str]) -> Iterator[str]:
    """The text in pieces with one kind of line end, none of which stops inside a line end or before a ">"."""
    held = ""
    while text := stream.read(CHUNK):
        text = held + text
        held = ""
        if text[-1] in "\r\n":
            text, held = text[:-1], text[-1]
            if held == "\n" and text.endswith("\r"):
                text, held = text[:-1], "\r\n"
        yield text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    if held:
        yield "\n"


def _lines(stream: IO[str]) -> Iterator[str]:
    """The lines without their ends; one that is much too long comes in pieces."""
    rest = ""
    for chunk in _chunks(stream):
        *lines, rest = (rest + chunk).split("\n")
        yield from (line.strip("\ufeff ") for line in lines)
        if len(rest) > MOST_LETTERS:
            yield rest
            rest = ""
    if rest:
        yield rest.strip("\ufeff ")


def _next_header(lines: Iterator[str]) -> str | None:
    """The next line that begins a record, after a damaged one."""
    return next((line for line in lines if line.startswith("@")), None)


__all__ = ["Record", "fasta_records", "fastq_records", "first_sign"]
