"""Sequences that are asked about, of files or of a part of a collection, in numbered blocks: the same whenever it is begun."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, Failure, Failures
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.listing import AskedFile
from biocosmos.jobs.sequence_files import STAGE, records, sequence_files
from biocosmos.jobs.unlabelled import selection
from biocosmos.specimens.collection import Collection

BARCODE = "barcode"
NOT_DNA = "RYSWKMBDHV"
"""IUPAC letters for one of several bases, which are kept as N."""


@dataclass
class SequenceBlock:
    """One block: its number; how many sequences were asked about; ids and cleaned barcodes of those that can be; sources: the
    file of each, None for a specimen of the collection."""

    number: int
    asked: int = 0
    ids: list[str] = field(default_factory=list)
    barcodes: list[str] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class Asking(Protocol):
    """Where sequences come from."""

    def digests(self) -> Iterator[str]:
        """Of what each block asks about, by which one that was named before is known again."""

    def blocks(self, done: Callable[[int], bool]) -> Iterator[SequenceBlock]:
        """The blocks in their order; one that is done comes without its barcodes."""


def asked_sequences(
    collection: Collection, settings: IdentifySettings, files: Sequence[Path], failures: Failures, *, block: int
) -> Asking:
    """Of files, or of the part that ``settings`` name; block: sequences of one. Paths without a file are in ``failures``."""
    if files:
        return OfFiles(sequence_files(files, failures), block)
    return OfPart(collection, settings, block)


class OfFiles:
    """Sequences of files, in their order."""

    def __init__(self, files: Sequence[Path], block: int) -> None:
        self.files, self._block = [AskedFile.of(file) for file in files], block

    def digests(self) -> Iterator[str]:
        """Of all files and the number: a file that was changed begins everything anew."""
        found = hashlib.sha256("".join(f"{file.fact()};" for file in self.files).encode("utf-8", "surrogateescape"))
        return (f"{found.hexdigest()} {number}" for number in count())

    def blocks(self, done: Callable[[int], bool]) -> Iterator[SequenceBlock]:
        """Read on through every file. An id that stood before is told; both are asked about."""
        seen, block, failures = SeenIds(), SequenceBlock(0), Failures()

        def whole() -> SequenceBlock:
            for id_, source, again in zip(block.ids, block.sources, seen.again(block.ids), strict=True):
                if again:
                    failures.add("the id of an earlier one too", stage=STAGE, source=source, id=id_, severity="warning")
            block.failures = failures.drain()
            if done(block.number):
                block.barcodes = []
            return block

        for file in self.files:
            for record in records(Path(file.path), failures):
                barcode, reason = cleaned(record.letters)
                block.asked += 1
                if barcode is None:
                    failures.add(reason, stage=STAGE, source=file.path, row=record.number, id=record.id)
                else:
                    block.ids.append(record.id)
                    block.barcodes.append(barcode)
                    block.sources.append(file.path)
                if block.asked == self._block:
                    yield whole()
                    block = SequenceBlock(block.number + 1)
        if block.asked or len(failures):
            yield whole()


class OfPart:
    """Stored barcodes of a part of a collection; a specimen without one is a failure."""

    def __init__(self, collection: Collection, settings: IdentifySettings, block: int) -> None:
        if BARCODE not in collection.stored_columns:
            raise BiocosmosError(f"{collection.path} has no barcodes to ask about: ingest them first")
        self._collection, self._block = collection, block
        self._part, self._where = selection(collection, settings)

    def digests(self) -> Iterator[str]:
        """Of version, part and number."""
        version = f"{self._collection.path.resolve()} {self._collection.dataset.version} {self._part} {self._where}"
        return (f"{version} {number}" for number in count())

    def blocks(self, done: Callable[[int], bool]) -> Iterator[SequenceBlock]:
        """In the order they were stored."""
        block, failures = SequenceBlock(0), Failures()
        for batch in self._collection.scan(["id", BARCODE], split=self._part, where=self._where):
            for id_, letters in zip(batch["id"].to_pylist(), batch[BARCODE].to_pylist(), strict=True):
                barcode, reason = (None, "no barcode") if letters is None else cleaned(letters)
                block.asked += 1
                if barcode is None:
                    failures.add(reason, stage=STAGE, source=self._collection.path, id=id_)
                else:
                    block.ids.append(id_)
                    block.barcodes.append(barcode)
                    block.sources.append(None)
                if block.asked == self._block:
                    block.failures = failures.drain()
                    yield block
                    block = SequenceBlock(block.number + 1)
        block.failures = failures.drain()
        if block.asked:
            yield block


class SeenIds:
    """Which ids stood before, in eight bytes an id: 40 MB of five millions. Two ids are taken for one once in 10^6 such files."""

    def __init__(self) -> None:
        self._sorted: list[npt.NDArray[np.uint64]] = []

    def again(self, ids: Sequence[str]) -> list[bool]:
        """Of each of some ids whether it stood before them, or among them."""
        keys = np.array(
            [int.from_bytes(hashlib.blake2b(id_.encode("utf-8", "surrogateescape"), digest_size=8).digest()) for id_ in ids],
            np.uint64,
        )
        order = np.argsort(keys, kind="stable")
        there = np.zeros(len(keys), bool)
        there[order[1:]] = keys[order[1:]] == keys[order[:-1]]
        for old in self._sorted:
            at = np.minimum(np.searchsorted(old, keys), len(old) - 1)
            there |= old[at] == keys
        if len(keys):
            self._sorted.append(keys[order])
        while len(self._sorted) > 1 and len(self._sorted[-2]) <= 2 * len(self._sorted[-1]):  # sizes fall by halves
            self._sorted[-2:] = [np.sort(np.concatenate(self._sorted[-2:]))]
        return there.tolist()


def cleaned(letters: str | None) -> tuple[str | None, str]:
    """(barcode in ACGTN, reason why there is none)."""
    if letters is None:
        return None, "too long for a barcode"
    text = "".join(letters.split()).upper().replace("-", "").replace(".", "").replace("U", "T")
    text = text.translate(_AS_N)
    if not text:
        return None, "no sequence"
    if strange := sorted(set(text) - set("ACGTN")):
        return None, f"letters that no DNA has: {' '.join(strange[:8])}"
    if not text.strip("N"):
        return None, "nothing but N"
    return text, ""


_AS_N = str.maketrans(dict.fromkeys(NOT_DNA, "N"))
