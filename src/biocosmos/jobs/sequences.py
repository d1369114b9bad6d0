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

from biocosmos.barcodes.cleaning import Cleaned, Cleaning
from biocosmos.barcodes.rules import Rules
from biocosmos.errors import BiocosmosError, Failure, Failures
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.listing import AskedFile
from biocosmos.jobs.sequence_files import BARCODE, STAGE, pieces, sequence_files
from biocosmos.jobs.unlabelled import selection
from biocosmos.specimens.collection import Collection


@dataclass
class SequenceBlock:
    """One block: its number; how many sequences were asked about; ids and cleaned barcodes of those that can be."""

    number: int
    asked: int = 0
    ids: list[str] = field(default_factory=list)
    barcodes: list[str] = field(default_factory=list)
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
    """Sequences of files, in their order, cleaned as at ingest; what is refused there is a failure here."""

    def __init__(self, files: Sequence[AskedFile | Path], block: int) -> None:
        self.files = [file if isinstance(file, AskedFile) else AskedFile.of(file) for file in files]
        self._block = block

    def digests(self) -> Iterator[str]:
        """Of all files and the number: a file that was changed begins everything anew."""
        found = hashlib.sha256("".join(f"{file.fact()};" for file in self.files).encode("utf-8", "surrogateescape"))
        return (f"{found.hexdigest()} {number}" for number in count())

    def blocks(self, done: Callable[[int], bool]) -> Iterator[SequenceBlock]:
        """Read on through every file. An id that stood before is told; both are asked about."""
        failures = Failures()
        return _filled(self._sequences(failures), failures, self._block, done)

    def _sequences(self, failures: Failures) -> Iterator[tuple[str, str]]:
        seen = SeenIds()
        for file in self.files:
            for ids, barcodes in pieces(Path(file.path), failures, self._block):
                again = seen.again(ids)
                for id_, barcode, told in zip(ids, barcodes, again, strict=True):
                    if told:
                        reason = "the id of an earlier sequence too: both are named under it"
                        failures.add(reason, stage=STAGE, source=file.path, id=id_, severity="warning")
                    yield id_, barcode


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
        failures = Failures()
        return _filled(self._sequences(failures), failures, self._block, done)

    def _sequences(self, failures: Failures) -> Iterator[tuple[str, str]]:
        for batch in self._collection.scan(["id", BARCODE], split=self._part, where=self._where):
            for id_, barcode in zip(batch["id"].to_pylist(), batch[BARCODE].to_pylist(), strict=True):
                if barcode:
                    yield id_, barcode
                else:
                    failures.add("no barcode", stage=STAGE, source=self._collection.path, id=id_)


class SeenIds:
    """Which ids stood before, in eight bytes an id: 40 MB of five millions. Two ids are taken for one once in 10^6 such files."""

    def __init__(self) -> None:
        self._sorted: list[npt.NDArray[np.uint64]] = []

    def again(self, ids: Sequence[str]) -> list[bool]:
        """Of each of some ids whether it stood before them, or among them."""
        keys = np.array([_key(id_) for id_ in ids], np.uint64)
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
        found: list[bool] = there.tolist()
        return found


def typed(letters: Sequence[str]) -> list[Cleaned]:
    """Of letters that somebody typed, however few, the barcode, or why there is none."""
    return Cleaning(Rules(min_length=1)).clean(list(letters))


def _key(id_: str) -> int:
    """Eight bytes that tell one id from another."""
    return int.from_bytes(hashlib.blake2b(id_.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _filled(
    sequences: Iterator[tuple[str, str]], failures: Failures, size: int, done: Callable[[int], bool]
) -> Iterator[SequenceBlock]:
    """Blocks of ``size`` ids and barcodes; failures: what reading them tells, of which each block takes what came until it."""
    block = SequenceBlock(0)
    for id_, barcode in sequences:
        block.ids.append(id_)
        block.barcodes.append(barcode)
        if len(block.ids) == size:
            yield _closed(block, failures, done)
            block = SequenceBlock(block.number + 1)
    if block.ids or len(failures):
        yield _closed(block, failures, done)


def _closed(block: SequenceBlock, failures: Failures, done: Callable[[int], bool]) -> SequenceBlock:
    """The block with what was told until it was whole; without its barcodes where it is done."""
    block.failures = failures.drain()
    block.asked = len(block.ids) + sum(row.severity == "error" for row in block.failures)
    if done(block.number):
        block.barcodes = []
    return block
