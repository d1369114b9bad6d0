"""Files of sequences that are asked about, those that barcodes are ingested from: FASTA, FASTQ, tables with their column."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file, is_folder, is_image_name, is_junk
from biocosmos.specimens.readers import read
from biocosmos.specimens.readers.packed import SEQUENCE_SUFFIXES, TABLE_SUFFIXES, is_sequences, unpacked
from biocosmos.specimens.readers.packed import SUFFIXES as PACKED

STAGE, BARCODE = "identify", "barcode"
_AT_ONCE = 4096
"""Sequences that are looked through at a time."""
FASTQ = frozenset({".fastq", ".fq"})
FASTA = frozenset(SEQUENCE_SUFFIXES) - FASTQ
TABLES = frozenset({".csv", ".tsv", ".tab"})
FORMATS = (*TABLE_SUFFIXES, ".parquet", ".xlsx", ".gb", ".gbk", ".genbank")
"""Files, beside those of sequences alone, that are read for a column of sequences."""
Kind = Literal["images", "sequences"]


def suffix_of(name: str) -> str:
    """The suffix in lower case, of a packed file that of what is in it: "reads.FASTQ.gz" -> ".fastq"."""
    path = Path(name)
    return (Path(path.stem) if path.suffix.lower() in PACKED else path).suffix.lower()


def has_sequences(path: Path) -> bool:
    """Whether a file is one of sequences, by its name; one whose name says nothing by its first letter."""
    if is_sequences(path.name) or suffix_of(path.name) in FORMATS:
        return True
    return not is_image_name(path.name) and begins_as_sequences(path)


def begins_as_sequences(path: Path) -> bool:
    """Whether a file begins as FASTA or FASTQ do, with ">" or "@"."""
    if not is_file(path):
        return False
    try:
        with unpacked(path).open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b">", b"@")
    except (BiocosmosError, OSError):
        return False


def kinds_of(paths: Sequence[Path]) -> set[Kind]:
    """What is asked about at some paths, folders by what their files are called; what is not there is taken for an image."""
    found, notes = set[Kind](), False
    for path in paths:
        if suffix_of(Path(path).name) == ".txt" and is_file(path) and not begins_as_sequences(Path(path)):
            notes = True  # a table perhaps, or a note beside images
            continue
        if not is_folder(path):
            found.add("sequences" if has_sequences(Path(path)) else "images")
            continue
        for _, _, names in os.walk(path):
            found |= {"sequences"} if any(is_sequences(name) for name in names if not is_junk(name)) else set()
            found |= {"images"} if any(is_image_name(name) for name in names if not is_junk(name)) else set()
    return found or ({"sequences"} if notes else found)


def sequence_files(paths: Sequence[Path], failures: Failures) -> list[Path]:
    """Files as they are and folders as the files of sequences below them, by name; each once. What is not there is a row of
    ``failures``. Raises BiocosmosError where nothing is left."""
    found = dict[str, Path]()
    for path in paths:
        inside = sorted(Path(top, name) for top, _, files in os.walk(path) for name in files if not is_junk(name))
        for file in [file for file in inside if is_sequences(file.name)] if is_folder(path) else [Path(path)]:
            if not is_file(file):
                failures.add("there is no such file", stage=STAGE, source=file)
            elif os.path.abspath(file) in found:  # noqa: PTH100 - Path.absolute keeps ".."
                failures.add("asked about twice: named once", stage=STAGE, source=file, severity="warning")
            else:
                found[os.path.abspath(file)] = file  # noqa: PTH100
    if not found:
        raise BiocosmosError(f"no file of sequences at {', '.join(map(str, paths))}: give FASTA, FASTQ or a table")
    return list(found.values())


def pieces(path: Path, failures: Failures, size: int) -> Iterator[tuple[list[str], list[str]]]:
    """(ids, barcodes) of a file, at most ``size`` at a time, as its reader gives them; what cannot be read is a failure."""
    try:
        unnamed = not is_sequences(path.name) and begins_as_sequences(path)
        source = read(path, format="fasta" if unnamed else None, failures=failures)
        for batch in source.batches:
            if BARCODE not in batch.schema.names:
                raise BiocosmosError(f"{path} has no column of sequences: call one 'sequence', and that of ids 'id'")
            both = zip(batch["id"].to_pylist(), batch[BARCODE].to_pylist(), strict=True)
            kept = [(str(id_), str(barcode)) for id_, barcode in both if barcode]
            for start in range(0, len(kept), size):
                some = kept[start : start + size]
                yield [id_ for id_, _ in some], [barcode for _, barcode in some]
    except (BiocosmosError, OSError) as error:
        failures.add(str(error), stage=STAGE, source=path)


def letters_of(paths: Iterable[str | Path], ids: Iterable[str]) -> dict[str, str]:
    """The barcodes of some ids in these files, the last one where an id stands twice; files are read once more for it."""
    wanted, found = set(ids), dict[str, str]()
    for path in paths:
        for names, barcodes in pieces(Path(path), Failures(), _AT_ONCE):
            found |= {name: letters for name, letters in zip(names, barcodes, strict=True) if name in wanted}
    return found
