"""What a table of names comes to: how many were answered at which rank, which taxa are commonest, how many look novel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

COMMONEST = 5
CORE = ("id", "taxon", "rank", "confidence", "novelty", "novel", "method")
"""Columns that a table of names has however empty they are."""


@dataclass(frozen=True)
class Summary:
    """specimens: all; by_rank: rank -> answered there, finest first; open: without an answer; novel: flagged; failed: could not
    be read; commonest: (taxon, rank, specimens)."""

    specimens: int
    by_rank: dict[str, int]
    open: int
    novel: int
    failed: int
    commonest: tuple[tuple[str, str, int], ...]

    @classmethod
    def of(cls, table: pa.Table, ranks: Sequence[str], failed: int = 0) -> Summary:
        """Of a table from :func:`biocosmos.identify.answers.answer_table`."""
        return cls.streamed([table], ranks, failed)

    @classmethod
    def streamed(cls, tables: Iterable[pa.Table], ranks: Sequence[str], failed: int = 0) -> Summary:
        """Of a table that comes in pieces."""
        taxa, specimens, novel = Counter[tuple[str | None, str | None]](), 0, 0
        for table in tables:
            taxa.update(zip(table["taxon"].to_pylist(), table["rank"].to_pylist(), strict=True))
            specimens += len(table)
            novel += int(pc.sum(table["novel"]).as_py() or 0)
        at = Counter[str | None]()
        for (_, rank), count in taxa.items():
            at[rank] += count
        named = ((str(taxon), str(rank), count) for (taxon, rank), count in taxa.most_common() if taxon is not None)
        by_rank = {rank: at[rank] for rank in reversed(ranks) if at[rank]}
        return cls(specimens, by_rank, at[None], novel, failed, tuple(islice(named, COMMONEST)))

    def lines(self) -> list[str]:
        """For people: how many, at which rank, what, and how novel."""
        answered = self.specimens - self.open
        ranks = ", ".join(f"{count:,} to {rank}" for rank, count in self.by_rank.items())
        failed = f", {self.failed:,} failed" if self.failed else ""
        said = [f"{answered:,} of {self.specimens:,} specimens named{f' ({ranks})' if ranks else ''}, {self.open:,} open{failed}"]
        if self.commonest:
            said.append("commonest: " + ", ".join(f"{taxon} {count:,}" for taxon, _, count in self.commonest))
        if self.novel:
            said.append(f"{self.novel:,} look novel: less like the known than nearly all known specimens are")
        return said


def without_empty(table: pa.Table) -> pa.Table:
    """The table without the columns that say nothing of any specimen, :data:`CORE` apart."""
    return table.select(telling(table))


def telling(table: pa.Table) -> list[str]:
    """The columns that say something of some specimen, and :data:`CORE`."""
    return [name for name in table.column_names if name in CORE or _says_something(table[name])]


def _says_something(column: pa.ChunkedArray) -> bool:
    if column.null_count == len(column):
        return False
    return not pa.types.is_list(column.type) or bool(pc.any(pc.greater(pc.list_value_length(column), 0)).as_py())
