"""Files of sequences that are asked about: FASTA, FASTQ and tables with a sequence column, packed or not, record by record.

Nothing of a file but one record is in memory. What cannot be asked about is a row of the failures, with its file and the number
of its record from 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_file, is_folder, is_image_name, is_junk
from biocosmos.specimens.readers.columns import guess_columns
from biocosmos.specimens.readers.encoding import has_surrogate
from biocosmos.specimens.readers.packed import SUFFIXES as PACKED
from biocosmos.specimens.readers.textfile import open_table, open_text

STAGE = "identify"
FASTA = frozenset({".fasta", ".fa", ".fas", ".fna", ".ffn", ".fsa", ".fst", ".seq"})
FASTQ = frozenset({".fastq", ".fq"})
TABLES = frozenset({".csv", ".tsv", ".tab"})
LONGEST = 100_000
"""Letters of a sequence that are read: the longest barcode has some thousands, a contig would fill the memory."""


@dataclass(frozen=True)
class Record:
    """One sequence as its file has it: number from 1; letters None: too many to be a barcode."""

    number: int
    id: str
    letters: str | None


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix in lower case, of a packed file that of what is in it: "reads.FASTQ.gz" -> ".fastq"."""
    name = PurePosixPath(os.fspath(path))
    inner = name.with_suffix("") if name.suffix.lower() in PACKED else name
    return inner.suffix.lower()


def has_sequences(path: str | Path) -> bool:
    """Whether a file is one of sequences, by its name; one whose name says nothing by its first letter."""
    suffix = suffix_of(path)
    if suffix in FASTA | FASTQ | TABLES:
        return True
    if is_image_name(os.fspath(path)) or not is_file(path):
        return False
    try:
        with open_text(Path(path), None, Failures()) as stream:
            return stream.read(1) in (">", "@")
    except (BiocosmosError, OSError):
        return False


def kinds_of(paths: Sequence[Path]) -> set[Literal["images", "sequences"]]:
    """What is asked about at some paths, folders by what their files are called; what is not there is taken for an image.

    Raises nothing: whoever reads the files says what is wrong with them.
    """
    found = set[Literal["images", "sequences"]]()
    for path in paths:
        if is_folder(path):
            names = [name for _, _, files in os.walk(path) for name in files if not is_junk(name)]
            found |= {"sequences"} if any(suffix_of(name) in FASTA | FASTQ for name in names) else set()
            found |= {"images"} if any(is_image_name(name) for name in names) else set()
        else:
            found.add("sequences" if has_sequences(path) else "images")
    return found


def sequence_files(paths: Sequence[Path], failures: Failures) -> list[Path]:
    """Files as they are and folders as the FASTA and FASTQ files below them, by name; each once. What is not there is a row of
    ``failures``. Raises BiocosmosError where nothing is left."""
    found = dict[str, Path]()
    for path in paths:
        inside = sorted(Path(top, name) for top, _, files in os.walk(path) for name in files if not is_junk(name))
        files = [file for file in inside if suffix_of(file) in FASTA | FASTQ] if is_folder(path) else [path]
        for file in files:
            if not is_file(file):
                failures.add("there is no such file", stage=STAGE, source=file)
            elif os.path.abspath(file) in found:  # noqa: PTH100 - Path.absolute keeps ".."
                failures.add("asked about twice: named once", stage=STAGE, source=file, severity="warning")
            else:
                found[os.path.abspath(file)] = file  # noqa: PTH100
    if not found:
        raise BiocosmosError(f"no file of sequences at {', '.join(map(str, paths))}: give FASTA, FASTQ or a table")
    return list(found.values())


def records(path: Path, failures: Failures) -> Iterator[Record]:
    """The sequences of a file. Those that have no id, and lines that belong to none, are rows of ``failures``; so is a file that
    cannot be read on."""
    suffix = suffix_of(path)
    try:
        if suffix in TABLES:
            yield from _table(path, failures)
            return
        with open_text(path, None, failures) as stream:
            first = _first_letter(stream)
            yield from _fastq(stream, path, failures) if first == "@" else _fasta(stream, path, failures)
    except (BiocosmosError, OSError, UnicodeError) as error:
        failures.add(first_line(error), stage=STAGE, source=path)


def _first_letter(stream: IO[str]) -> str:
    letter = stream.read(1)
    while letter.isspace() and letter:
        letter = stream.read(1)
    stream.seek(0)
    return letter


def _fasta(stream: IO[str], path: Path, failures: Failures) -> Iterator[Record]:
    number, id_, parts, size = 0, "", list[str](), 0
    stray = False
    for line in _lines(stream):
        if line.startswith(">"):
            if number and (record := _record(number, id_, parts, size, path, failures)):
                yield record
            number, id_, parts, size = number + 1, _id(line), [], 0
        elif line.startswith(";") and not parts:
            continue  # a comment, as the oldest files have them
        elif number:
            size += len(line)
            if size <= LONGEST:
                parts.append(line)
        elif not stray and line.strip():
            stray = True
            failures.add("lines before the first '>': no FASTA file begins so", stage=STAGE, source=path)
    if number and (record := _record(number, id_, parts, size, path, failures)):
        yield record
    if not number and not stray:
        failures.add("no sequence in this file", stage=STAGE, source=path)


def _fastq(stream: IO[str], path: Path, failures: Failures) -> Iterator[Record]:
    number, lines = 0, _lines(stream)
    line = next(lines, None)
    while line is not None:
        if not line.strip():
            line = next(lines, None)
            continue
        number += 1
        if not line.startswith("@"):
            failures.add("no '@' where a record of FASTQ begins", stage=STAGE, source=path, row=number)
            while (line := next(lines, None)) is not None and not line.startswith("@"):
                pass
            continue
        id_, parts, size = _id(line), list[str](), 0
        while (line := next(lines, None)) is not None and not line.startswith("+"):
            size += len(line)
            if size <= LONGEST:
                parts.append(line)
        quality, line = 0, None if line is None else next(lines, None)
        while line is not None and quality < size:
            quality, line = quality + len(line), next(lines, None)
        if quality != size:
            failures.add(f"{size:,} letters with {quality:,} signs of quality", stage=STAGE, source=path, row=number, id=id_)
        elif record := _record(number, id_, parts, size, path, failures):
            yield record


def _table(path: Path, failures: Failures) -> Iterator[Record]:
    with open_table(path, failures=failures) as table:
        columns = {ours: table.header.index(theirs) for theirs, ours in guess_columns(table.header).items()}
        if "barcode" not in columns:
            raise BiocosmosError(f"{path} has no column of sequences: call one 'sequence', and one of ids 'id'")
        if "id" not in columns:
            raise BiocosmosError(f"{path} has no column of ids: call one 'id'")
        for number, row in table.rows():
            letters = row[columns["barcode"]]
            record = _record(number, row[columns["id"]].strip(), [letters[:LONGEST]], len(letters), path, failures)
            if record:
                yield record


def _record(number: int, id_: str, parts: list[str], size: int, path: Path, failures: Failures) -> Record | None:
    if not id_ or has_surrogate(id_):
        failures.add("no id" if not id_ else "an id that is no text", stage=STAGE, source=path, row=number)
        return None
    return Record(number, id_, None if size > LONGEST else "".join(parts))


def _id(line: str) -> str:
    """The first word of a header line, without annotations like ``;size=3;`` or ``;tax=k:Animalia``."""
    words = line[1:].split(None, 1)
    return (words[0].split(";", 1)[0] or words[0]) if words else ""


def _lines(stream: IO[str]) -> Iterator[str]:
    """Lines without their ends; a line longer than LONGEST in pieces."""
    begun = False
    while line := stream.readline(LONGEST):
        whole = line.endswith(("\n", "\r"))
        text = line.rstrip("\r\n")
        if text and begun and text[0] in ">@;+":
            text = "?" + text[1:]  # in the middle of a line no record begins
        begun = not whole
        yield text
