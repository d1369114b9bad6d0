"""Name block after block: what each comes to, in memory or kept on disk, and what is known of all of them at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import Failure
from biocosmos.identify.answers import VOTERS
from biocosmos.identify.attribute_columns import PROBABILITIES, confidence_column
from biocosmos.identify.identifier import KEPT_FEATURES, Answered, Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.identify.sample import Sample
from biocosmos.identify.summary import CORE, telling
from biocosmos.identify.threads import SMALL_VECTORS, one_thread
from biocosmos.jobs.asked import Asked, AskedBlock
from biocosmos.progress import progress
from biocosmos.search.hits import Hits

SHOWN = 20_000
"""Specimens that a report chooses from: all, or a sample of more."""
Array = npt.NDArray[Any]


@dataclass
class NamedBlock:
    """One block, named: specimens asked about; the rows of the table; what could not be read; parts of the samples of the whole
    stream, as (rows of the block, one array or table each): of features, and of what a report shows; said: (n, C) logits and
    (n, d) features of all its rows, where names are to be corrected."""

    asked: int
    table: pa.Table
    failures: list[Failure] = field(default_factory=list)
    features: tuple[Array, ...] = ()
    shown: tuple[Array, ...] = ()
    said: tuple[Array, ...] = ()


class Work(Protocol):
    """Where blocks that are named are kept."""

    def whole(self, asked: Asked) -> frozenset[int]:
        """Numbers of the blocks that an interrupted run has named."""

    def load(self, number: int) -> NamedBlock: ...

    def save(self, number: int, block: NamedBlock) -> None: ...

    def tables(self) -> Iterator[pa.Table]:
        """Of all blocks, in their order."""

    def blocks(self) -> Iterator[NamedBlock]:
        """All of them, in their order."""


class InMemory:
    """Blocks of a job whose table is wanted whole."""

    def __init__(self) -> None:
        self._blocks: list[NamedBlock] = []

    def whole(self, asked: Asked) -> frozenset[int]:
        """None: nothing outlives the process."""
        return frozenset()

    def load(self, number: int) -> NamedBlock:
        """See :class:`Work`."""
        return self._blocks[number]

    def save(self, number: int, block: NamedBlock) -> None:
        """See :class:`Work`."""
        self._blocks.append(block)

    def tables(self) -> Iterator[pa.Table]:
        """See :class:`Work`."""
        return (block.table for block in self._blocks)

    def blocks(self) -> Iterator[NamedBlock]:
        """See :class:`Work`."""
        return iter(self._blocks)


class Naming:
    """What is known of a stream once it is named; only samples of it are in memory.

    columns: those that say something of some specimen; named, asked: specimens; failures: in the order of the stream.
    """

    def __init__(
        self,
        identifier: Identifier,
        *,
        seed: int,
        top: int = 1,
        evidence: bool = False,
        scores: bool = False,
        said: bool = False,
        device: str = "cpu",
    ) -> None:
        """said: blocks keep what the namer said, to correct names by; scores: blocks keep the probabilities of all
        attributes too, in the column that predictions have them in."""
        self.identifier, self._top, self._device = identifier, top, device
        known = identifier.known
        self._small = identifier.namer.takes == "vectors" and known is not None and len(known) * known.dim < SMALL_VECTORS
        self._features = Sample(KEPT_FEATURES if len(identifier.features) else 0, seed)
        self._shown = Sample(SHOWN if evidence else 0, seed)
        asked = (task.name for task in identifier.namer.asked_tasks)
        self._answered = {name for attribute in asked for name in (attribute, confidence_column(attribute))}
        self._scores, self._said = scores, said
        self.columns, self.named, self.asked, self.failures = set(CORE), 0, 0, list[Failure]()
        self.schema = identifier.answered(identifier.namer.nothing(), top=top).table.schema

    def run(self, asked: Asked, work: Work, *, before: Callable[[int], None] = lambda specimens: None) -> None:
        """Name what is not named yet; before: is told how many specimens an interrupted run has named."""
        done = work.whole(asked)
        kept = sum(work.load(number).asked for number in sorted(done))
        if kept:
            before(kept)
        with progress("identify", total=asked.total, unit="images" if asked.images else "specimens", done=kept) as bar:
            for block in asked.blocks(done.__contains__, bar.advance):
                if block.number in done:
                    named = work.load(block.number)
                else:
                    named = self._name(block)
                    work.save(block.number, named)
                self._add(block.number, named)

    @property
    def features(self) -> Array:
        """(m, d) float32 of a sample of the specimens."""
        return np.asarray(self._features.parts[0]) if len(self._features) else np.empty((0, 0), np.float32)

    def shown(self) -> tuple[pa.Table, Array | None, Hits | None]:
        """Of the specimens that a report chooses from: rows of the table, truth (n,) and nearest known ones."""
        if not len(self._shown):
            return self.schema.empty_table(), None, None
        table, truth, rows, scores = self._shown.parts
        known = self.identifier.known
        if known is None or not len(known) or not np.asarray(rows).shape[1]:
            return table, truth, None
        return table, truth, Hits(known, rows, scores, np.ones(len(rows), np.bool_), dict(known.provenance))

    def _name(self, block: AskedBlock) -> NamedBlock:
        with one_thread(self._small):
            said = list(self.identifier.stream(_together(block.specimens), device=self._device, top=self._top))
        table = pa.concat_tables([_with_scores(one) if self._scores else one.table for one in said]).combine_chunks()
        named = NamedBlock(block.asked, table, block.failures)
        if not len(table):
            return named
        entering = self._features.entering(block.number, len(table))
        features = np.concatenate([one.predictions.features for one in said])
        named.features = (entering, features[entering])
        entering = self._shown.entering(block.number, len(table))
        named.shown = (entering, *(part[entering] for part in _evidence(said)))
        if self._said:
            named.said = (np.concatenate([one.predictions.logits for one in said]), features)
        return named

    def _add(self, number: int, block: NamedBlock) -> None:
        rows = len(block.table)
        self.asked, self.named = self.asked + block.asked, self.named + rows
        self.failures += block.failures
        if not rows:
            return
        self.columns |= (set(telling(block.table)) | self._answered) - {PROBABILITIES}
        self._features.offer(number, rows, block.features[0], *block.features[1:])
        shown = block.shown[0]
        if len(shown):
            self._shown.offer(number, rows, shown, block.table.take(pa.array(shown)), *block.shown[1:])


def _with_scores(said: Answered) -> pa.Table:
    columns = said.predictions.columns
    if columns is None or PROBABILITIES not in columns.column_names:
        return said.table  # of no specimen
    return said.table.append_column(PROBABILITIES, columns[PROBABILITIES])


def _evidence(said: Sequence[Answered]) -> tuple[Array, Array, Array]:
    """truth (n,) int32, rows (n, VOTERS) int64 and scores float32 of the nearest known; of no width where they tell nothing."""
    truth = np.concatenate([one.predictions.truth for one in said])
    hits = [one.hits for one in said if len(one.table)]
    if any(one is None for one in hits):
        return truth, np.empty((len(truth), 0), np.int64), np.empty((len(truth), 0), np.float32)
    width = min(VOTERS, *(one.rows.shape[1] for one in hits))
    rows, scores = (np.concatenate([getattr(one, name)[:, :width] for one in hits]) for name in ("rows", "scores"))
    return truth, rows, scores


def _together(blocks: list[Specimens]) -> list[Specimens]:
    """Vectors as one block; images, which weigh a thousand times as much, as they are."""
    if len(blocks) < 2 or any(block.vectors is None for block in blocks):
        return blocks
    return [Specimens.concatenated(blocks)]
