"""Tables from first right places: averages with intervals, one row per taxon, per group, and what could be answered at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, wilson
from biocosmos.evaluate.numbers.metrics import hits_per_taxon
from biocosmos.evaluate.numbers.targets import Target

Array = npt.NDArray[Any]
Row = dict[str, Any]
# The finder that a neighbour is judged by itself, specimen by specimen; the others are rules that rank taxa.
SPECIMENS = "specimens"


@dataclass(frozen=True)
class Tally:
    """One target with its answers.

    first: (queries,) int64 place of the first right answer from 0, k or more where there is none; answerable: (queries,) bool,
    False where the rank is null; finder: what was ranked, SPECIMENS or the taxa by a rule.
    """

    target: Target
    first: Array
    answerable: Array
    finder: str = SPECIMENS

    @property
    def asked(self) -> Array:
        """(queries,) bool: the query's own rank is not null."""
        asked: Array = self.target.query >= 0
        return asked

    def over(self) -> Iterator[tuple[str, Array]]:
        """The two sets of queries every share is given for."""
        yield "all", self.asked
        yield "answerable", self.answerable


def average_rows(tally: Tally, ks: Sequence[int], boot: Bootstrap, averages: Sequence[Target]) -> list[Row]:
    """Micro average, then a macro average over the taxa of each target in ``averages``; for all and for answerable queries."""
    rows = []
    for over, keep in tally.over():
        for by in (None, *averages):
            codes = (by or tally.target).query
            kept = keep & (codes >= 0)
            counts = np.bincount(codes[kept], minlength=len(by or tally.target))
            for k in ks:
                hits = hits_per_taxon(codes, kept & (tally.first < k), len(counts))
                value = boot.macro(hits, counts) if by else boot.micro(hits, counts)
                rows.append(
                    {
                        "target": tally.target.name,
                        "kind": tally.target.kind,
                        "finder": tally.finder,
                        "k": k,
                        "over": over,
                        "average": "macro" if by else "micro",
                        "averaged_over": by.name if by else "queries",
                        "value": value.value,
                        "low": value.low,
                        "high": value.high,
                        "right": int(hits.sum()),
                        "queries": int(counts.sum()),
                        "taxa": int((counts > 0).sum()),
                    }
                )
    return rows


SUMMARY = pa.schema(
    [
        ("target", pa.string()),
        ("kind", pa.string()),
        ("finder", pa.string()),
        ("k", pa.int32()),
        ("over", pa.string()),
        ("average", pa.string()),
        ("averaged_over", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("right", pa.int64()),
        ("queries", pa.int64()),
        ("taxa", pa.int64()),
    ]
)


def answerable_table(tallies: Sequence[Tally]) -> pa.Table:
    """Per target: queries, those whose rank is null, those with no other member in the gallery, and the share that has one."""
    rows = []
    for tally in tallies:
        asked, can = int(tally.asked.sum()), int(tally.answerable.sum())
        counts = tally.target.query_counts()
        able = np.bincount(tally.target.query[tally.answerable], minlength=len(counts))
        rows.append(
            {
                "target": tally.target.name,
                "kind": tally.target.kind,
                "queries": len(tally.first),
                "null": len(tally.first) - asked,
                "asked": asked,
                "unanswerable": asked - can,
                "answerable": can,
                "answerable_share": can / asked if asked else None,
                "taxa": int((counts > 0).sum()),
                "unanswerable_taxa": int(((counts > 0) & (able == 0)).sum()),
            }
        )
    return pa.Table.from_pylist(rows, schema=_ANSWERABLE)


_ANSWERABLE = pa.schema(
    [("target", pa.string()), ("kind", pa.string())]
    + [(name, pa.int64()) for name in ("queries", "null", "asked", "unanswerable", "answerable")]
    + [("answerable_share", pa.float64()), ("taxa", pa.int64()), ("unanswerable_taxa", pa.int64())]
)


def taxon_table(tallies: Sequence[Tally], ks: Sequence[int], confidence: float) -> pa.Table:
    """One row per target, finder and taxon that was asked about: its queries, gallery rows and hit@k with Wilson's interval."""
    parts = []
    for tally in tallies:
        target = tally.target
        counts = target.query_counts()
        asked = np.flatnonzero(counts)
        able = np.bincount(target.query[tally.answerable], minlength=len(counts))[asked]
        columns: dict[str, Any] = {
            "target": pa.repeat(pa.scalar(target.name), len(asked)),
            "finder": pa.repeat(pa.scalar(tally.finder), len(asked)),
            "taxon": pa.array(target.names[asked].tolist(), pa.string()),
            "path": pa.array(target.paths[asked].tolist(), pa.string()),
            "queries": pa.array(counts[asked], pa.int64()),
            "gallery": pa.array(target.gallery_counts()[asked], pa.int64()),
            "answerable": pa.array(able > 0, pa.bool_()),
        }
        for k in ks:
            hits = hits_per_taxon(target.query, tally.asked & (tally.first < k), len(counts))[asked]
            low, high = wilson(hits, counts[asked], confidence)
            columns |= {f"hit@{k}": hits / counts[asked], f"low@{k}": low, f"high@{k}": high}
        parts.append(pa.table({name: pa.array(column) for name, column in columns.items()}))
    return pa.concat_tables(parts) if parts else pa.table({})


def group_table(tallies: Sequence[Tally], groups: Sequence[Target], ks: Sequence[int], boot: Bootstrap) -> pa.Table:
    """Every target's averages within each value of each group column: "species among the fish"."""
    rows = []
    for group in groups:
        for code, value in enumerate(group.names):
            inside = group.query == code
            for tally in tallies:
                if tally.target.name == group.name:
                    continue
                target = replace(tally.target, query=np.where(inside, tally.target.query, -1))
                part = replace(tally, target=target, answerable=tally.answerable & inside)
                rows += [
                    {"group": group.name, "value_of_group": str(value), **row} for row in average_rows(part, ks, boot, [target])
                ]
    schema = pa.schema([("group", pa.string()), ("value_of_group", pa.string()), *SUMMARY])
    return pa.Table.from_pylist([row for row in rows if row["queries"]], schema=schema)


def query_table(ids: Array, tallies: Sequence[Tally], k: int) -> pa.Table:
    """One row per query: its taxon, whether it could be answered and the place (1 = nearest) of the first right answer per
    target."""
    columns: dict[str, pa.Array] = {"id": pa.array(ids.tolist(), pa.string())}
    for tally in tallies:
        name = tally.target.name if tally.finder == SPECIMENS else f"{tally.target.name} by {tally.finder}"
        if tally.finder == SPECIMENS:
            columns[name] = pa.array(tally.target.names_of(tally.target.query), pa.string())
            columns[f"{name} answerable"] = pa.array(tally.answerable, mask=~tally.asked)
        missing = ~tally.asked | (tally.first >= k)
        columns[f"{name} first right"] = pa.array(tally.first + 1, pa.int32(), mask=missing)
    return pa.table(columns)
