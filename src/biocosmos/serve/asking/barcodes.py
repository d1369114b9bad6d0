"""Barcodes that somebody sends: pasted as letters or as FASTA, or in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.sequence_files import FASTA, FASTQ, TABLES, pieces, suffix_of
from biocosmos.serve.asking import limits

if TYPE_CHECKING:
    from biocosmos.serve.asking.uploads import Image

SHOWN_LETTERS = 24
"""Of a barcode without a name, by which it is called."""
LONGEST = 5000
"""Bytes of a record at the most, as :class:`biocosmos.barcodes.rules.Rules` has it by default."""
Named = tuple[str, str]
"""A name and letters."""


def sequence_suffix(name: str, head: bytes) -> str | None:
    """What the file of sequences that a stranger calls ``name`` is called here; None where it is none. head: its first bytes."""
    suffix = suffix_of(name) if not name.lower().endswith(".gz") else ""
    if suffix in FASTA | FASTQ | TABLES:
        return suffix
    return ".fasta" if head.lstrip()[:1] == b">" else None


def pasted(texts: Iterable[str]) -> list[Named]:
    """Each text is letters, or FASTA. Raises BiocosmosError for what is too long to be a barcode."""
    found = list[Named]()
    for text in texts:
        if len(text) > limits.BARCODE_LENGTH:
            raise BiocosmosError(f"a barcode may have {limits.BARCODE_LENGTH:,} letters: send longer ones as a file")
        if not text.lstrip().startswith(">"):
            letters = "".join(text.split())
            found.append((called(letters), letters))
            continue
        for record in text.lstrip()[1:].split("\n>"):
            header, _, letters = record.partition("\n")
            found.append(((header.split() or ["barcode"])[0][:200], "".join(letters.split())))
    return found


def called(letters: str) -> str:
    """A barcode without a name, in short."""
    return letters if len(letters) <= SHOWN_LETTERS else f"{letters[:SHOWN_LETTERS]}… ({len(letters):,} letters)"


def in_files(files: Sequence[Image], refused: list[tuple[str, str]]) -> list[Named]:
    """The barcodes of files, one more than a search takes at the most; what is none is ``refused``."""
    return list(islice(_in_files(files, refused), limits.BARCODES + 1))


def _in_files(files: Sequence[Image], refused: list[tuple[str, str]]) -> Iterator[Named]:
    for file in files:
        failures = Failures()
        for ids, barcodes in pieces(file.path, failures, limits.BARCODES):
            yield from zip(ids, barcodes, strict=True)
        for one in failures:
            if one.severity == "error":
                name = one.id or (f"{file.name}: record {one.row}" if one.row else file.name)
                refused.append((name, one.reason.replace(str(file.path), "this file")))


def how_many(files: Sequence[Image]) -> int:
    """Barcodes of files, roughly: lines that begin one; of tables, their lines; at least as many as their bytes can be."""
    return sum(_begin(file.path) for file in files)


def _begin(path: Path) -> int:
    with path.open("rb") as lines:
        every = 4 if path.suffix in FASTQ else 1
        count = sum(path.suffix not in FASTA or line.startswith(b">") for line in lines)
    return max(count // every, path.stat().st_size // LONGEST)  # UTF-16, or the line ends of an old Mac
