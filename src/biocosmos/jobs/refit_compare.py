"""What a refit changed: both heads asked about the same held-out specimens, rank by rank and taxon by taxon, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, paired_interval
from biocosmos.evaluate.report import Report
from biocosmos.identify.confidence.held_out import gallery_blocks
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

MOST_TAXA = 1000
RIGHT, ANSWERED, WRONG = "right", "answered", "answered wrongly"
Array = npt.NDArray[Any]
Row = dict[str, Any]
Who = tuple[str, Identifier]


@dataclass(frozen=True)
class Compared:
    """Rows as :class:`biocosmos.jobs.models.Model` has them; report: the whole comparison, None where nobody could be judged."""

    ranks: list[Row] = field(default_factory=list)
    taxa: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: Report | None = None


def compared(before: Who | None, after: Who, judging: Gallery, part: str, seed: int) -> Compared:
    """``after`` beside ``before`` on held-out specimens; alone where there is none to compare with.

    judging: with what they are called now; its tree has every name of both. Accuracy at every rank is that of the best path, over
    the specimens with a name there; answers are those that would be given, as far down as each one's promise allows.
    """
    if not len(judging):
        return Compared(notes=[f"no specimen of the held-out part {part} has a name yet: name some of them to see what changes"])
    if before is not None and before[0] == after[0]:
        raise BiocosmosError(f"a model cannot be compared with itself: {after[0]}")
    pair = [who for who in (before, after) if who is not None]
    report = evaluate.side_by_side({name: _said(identifier, judging, part) for name, identifier in pair}, seed=seed)
    report.title = f"{after[0]} beside {before[0]}" if before is not None else after[0]
    boot = Bootstrap(seed=seed)
    seen = _Seen.of(report, judging)
    old, new = (None if before is None else before[0]), after[0]
    ranks = [_row(f"{rank}", RIGHT, seen.right(old, rank), seen.right(new, rank), seen.has(rank), boot) for rank in seen.ranks]
    ranks += [
        _row("answers given", ANSWERED, seen.answered(old), seen.answered(new), seen.everyone, boot),
        _row("answers that were wrong, of all", WRONG, seen.wrong(old), seen.wrong(new), seen.everyone, boot),
    ]
    taxa = [] if old is None else _taxa(seen, old, new)
    return Compared([row for row in ranks if row["specimens"]], taxa[:MOST_TAXA], [], report)


def _said(identifier: Identifier, judging: Gallery, part: str) -> tuple[Iterator[Predictions], Callable[[], pa.Table]]:
    """What one says of the specimens, over the tree of the gallery, and then the table of its answers."""
    assert judging.taxonomy is not None
    tables: list[pa.Table] = []
    namer, tree = identifier.namer, judging.taxonomy
    classes = _moved(namer.taxonomy, tree, namer.classes)
    order = np.argsort(classes, kind="stable")

    def stream() -> Iterator[Predictions]:
        for said in namer.stream(
            gallery_blocks(judging, np.arange(len(judging))), part=part, split=judging.provenance.get("split")
        ):
            tables.append(identifier.answered(replace(said, truth=np.zeros(len(said), np.int32))).table)
            yield replace(said, taxonomy=tree, classes=classes[order], logits=said.logits[:, order])

    return stream(), lambda: identifier.finished(tables, {"part": part})


def _moved(own: Taxonomy, tree: Taxonomy, nodes: Array) -> npt.NDArray[np.int32]:
    """Nodes of one tree in another that has all its names."""
    found = tree.index(own.rank_table(nodes)).astype(np.int32)
    if (found <= 0).any() or len(np.unique(found)) < len(found):
        raise BiocosmosError("the ranks of the collection are others than when the model in use was fitted: promote a new one")
    return found


@dataclass(frozen=True)
class _Seen:
    """The table of specimens of a report, with the true taxon of each at every rank."""

    table: pa.Table
    true: Array
    tree: Taxonomy
    ranks: list[str]
    several: bool

    @classmethod
    def of(cls, report: Report, judging: Gallery) -> _Seen:
        assert judging.taxonomy is not None and judging.taxa is not None
        table = report.table("specimens")
        place = {str(id_): row for row, id_ in enumerate(judging.ids)}
        rows = [place[id_] for id_ in table["id"].to_pylist()]
        true = judging.taxonomy.lineage(judging.taxa[rows])
        ranks = [rank for rank in judging.taxonomy.ranks if (true[:, judging.taxonomy.rank_index(rank)] >= 0).any()]
        return cls(table, true, judging.taxonomy, ranks, len(set(report.table("namers")["namer"].to_pylist())) > 1)

    @property
    def everyone(self) -> Array:
        return np.ones(len(self.true), np.bool_)

    def has(self, rank: str) -> Array:
        """(n,) bool: a name at this rank is known."""
        return np.asarray(self.true[:, self.tree.rank_index(rank)] >= 0)

    def right(self, who: str | None, rank: str) -> Array | None:
        """(n,) bool: named rightly at this rank."""
        return self._column(who, f"{rank} right")

    def answered(self, who: str | None) -> Array | None:
        """(n,) bool: some answer was given."""
        column = self._cells(who, "answer")
        return None if column is None else np.asarray(column.is_valid().to_numpy(zero_copy_only=False))

    def wrong(self, who: str | None) -> Array | None:
        """(n,) bool: the answer that was given is wrong."""
        column = self._cells(who, "verdict")
        return None if column is None else np.array([cell == "wrong" for cell in column.to_pylist()])

    def _column(self, who: str | None, name: str) -> Array | None:
        column = self._cells(who, name)
        return None if column is None else column.fill_null(False).to_numpy(zero_copy_only=False).astype(np.bool_)

    def _cells(self, who: str | None, name: str) -> pa.Array | None:
        full = f"{who}: {name}" if self.several else name
        return self.table[full].combine_chunks() if who is not None and full in self.table.column_names else None


def _row(what: str, measure: str, before: Array | None, after: Array | None, over: Array, boot: Bootstrap) -> Row:
    """One line of what changed: shares before and after, and their difference over the same specimens with its interval."""
    count = int(over.sum())
    row: Row = {"what": what, "measure": measure, "specimens": count, "before": None, "after": None}
    row |= {"value": None, "low": None, "high": None}
    if after is None or not count:
        return row
    row["after"] = float(after[over].mean())
    if before is not None:
        gained, lost = int((after & ~before & over).sum()), int((before & ~after & over).sum())
        found = boot.paired_micro(np.array([gained]), np.array([lost]), np.array([count]))
        row |= {"before": float(before[over].mean()), **found._asdict()}
    return row


def _taxa(seen: _Seen, old: str, new: str) -> list[Row]:
    """Taxa of the finest rank that most specimens have, of which some is named otherwise than before; the most changed first."""
    half = len(seen.true) / 2
    rank = next((each for each in reversed(seen.ranks) if seen.has(each).sum() >= half), seen.ranks[0])
    nodes = seen.true[:, seen.tree.rank_index(rank)]
    before, after = seen.right(old, rank), seen.right(new, rank)
    assert before is not None and after is not None
    taxa, place = np.unique(nodes[nodes >= 0], return_inverse=True)
    b, a = before[nodes >= 0], after[nodes >= 0]
    count, gained, lost = (np.bincount(place[some], minlength=len(taxa)) for some in (np.ones(len(b), np.bool_), a & ~b, b & ~a))
    right = np.bincount(place[b], minlength=len(taxa))
    low, high = paired_interval(gained, lost, count)
    rows = [
        {
            "taxon": str(seen.tree.names[taxa[i]]),
            "rank": rank,
            "specimens": int(count[i]),
            "gained": int(gained[i]),
            "lost": int(lost[i]),
            "before": float(right[i] / count[i]),
            "after": float((right[i] + gained[i] - lost[i]) / count[i]),
            "value": float((gained[i] - lost[i]) / count[i]),
            "low": float(low[i]),
            "high": float(high[i]),
        }
        for i in np.flatnonzero(gained + lost)
    ]
    return sorted(rows, key=lambda row: (-abs(row["gained"] - row["lost"]), -row["specimens"], row["taxon"]))
