"""Which specimens the dial chooses on and which judge, and what is right of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.dial.paired import ALPHA
from biocosmos.jobs.tokens.dial_settings import ACCURACY, AGREEMENT, RECALL, DialSettings
from biocosmos.settings import SettingError
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]
_FEWEST = 20


@dataclass(frozen=True)
class Side:
    """Specimens of one side. table: id and ranks; truth: (n,) int64 code of the taxon, -1 where it is not known."""

    table: pa.Table
    truth: Array

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def ids(self) -> list[str]:
        """Of the specimens."""
        return [str(id_) for id_ in self.table["id"].to_pylist()]

    def rows(self, kept: Array) -> Side:
        """Some of them, by a mask or row numbers."""
        kept = np.flatnonzero(kept) if kept.dtype == np.bool_ else kept
        return Side(self.table.take(pa.array(kept)), self.truth[kept])


@dataclass(frozen=True)
class Sides:
    """Who chooses and who judges.

    measure: "accuracy", "recall" or "agreement"; rank: of the taxa, None without; words: who they are, for people; split: hash of
    the split, None without one.
    """

    choosing: Side
    judging: Side
    measure: str
    rank: str | None
    words: tuple[str, str]
    split: str | None

    def readable(self, choosing: Array, judging: Array) -> Sides:
        """Those whose image could be read."""
        return replace(self, choosing=self.choosing.rows(choosing), judging=self.judging.rows(judging))

    def enough(self, judges: int, margin: float) -> None:
        """Raise BiocosmosError where so few judge that nothing could be shown of the loss."""
        needed = math.ceil(math.log(ALPHA) / math.log1p(-margin))
        if judges >= max(_FEWEST, needed):
            return
        least = 1 - ALPHA ** (1 / max(judges, 1))
        raise BiocosmosError(
            f"{judges:,} specimens judge, too few to show that at most {margin:g} is lost: {needed:,} are needed, or ask for "
            f"--lose-at-most {math.ceil(least * 1000) / 1000:g}"
        )


def sides_of(collection: Collection, settings: DialSettings, encoder: str, head: Any) -> Sides:
    """The two sides, not yet looked at.

    head: the trained head in the encoder's folder, or None.

    Raises BiocosmosError: a part, rank or label that is not there; specimens that the encoder was fitted on and that would judge.
    """
    measure = settings.measure or (ACCURACY if head is not None else RECALL)
    if measure == ACCURACY and head is None:
        raise SettingError(f"--measure accuracy: there is no trained head in {encoder}: train one, or leave it out")
    ranks = list(head.taxonomy.ranks) if measure == ACCURACY else list(collection.ranks)
    if missing := [rank for rank in ranks if rank not in collection.dataset.schema.names]:
        raise BiocosmosError(f"{collection.path} has no column '{missing[0]}', a rank of the head in {encoder}")
    tables, words, split = _parts(collection, settings, ranks)
    rank = None if measure == AGREEMENT else _rank(tables, ranks, settings.rank)
    if rank is None and measure == RECALL:
        measure = AGREEMENT
    if measure == AGREEMENT and settings.rank is not None:
        raise SettingError("--rank does nothing here: agreement asks for no taxa, or there are no labels")
    if measure == ACCURACY:
        sides = [Side(table, np.asarray(head.taxonomy.ancestor(head.taxonomy.index(table), rank), np.int64)) for table in tables]
    elif rank is None:
        sides = [Side(table, np.zeros(len(table), np.int64)) for table in tables]
    else:
        names = {name: code for code, name in enumerate(dict.fromkeys(_names(tables, rank)))}
        sides = [
            Side(table, np.array([-1 if name is None else names[name] for name in table[rank].to_pylist()], np.int64))
            for table in tables
        ]
    if measure == ACCURACY:  # what the head has no class for it cannot name, however it is computed
        known = np.unique(head.taxonomy.ancestor(head.classes, rank))
        sides = [side.rows((side.truth > 0) & np.isin(side.truth, known)) for side in sides]
    elif rank is not None:
        sides = [side.rows(side.truth >= 0) for side in sides]
    choosing, judging = (side.rows(_sample(len(side), settings.specimens, settings.seed)) for side in sides)
    if measure == RECALL:  # asking for a taxon that is not there loses nothing and would dilute what is lost
        judging = judging.rows(np.isin(judging.truth, choosing.truth))
    for side, what in ((choosing, words[0]), (judging, words[1])):
        if len(side) < _FEWEST:
            raise BiocosmosError(
                f"{len(side):,} specimens of {what} can be asked about, and {_FEWEST} are the least: name another part, or "
                "another --measure"
            )
    guard.refuse(judging.ids, encoder, asked=f"specimens of {words[1]}")
    return Sides(choosing, judging, measure, rank, words, split)


def _parts(
    collection: Collection, settings: DialSettings, ranks: Sequence[str]
) -> tuple[list[pa.Table], tuple[str, str], str | None]:
    """The specimens of the two parts; without a split two halves of the collection."""
    columns = ["id", *ranks]
    if collection.split_names:
        named = [part.rpartition(":")[0] or "default" for part in (settings.gallery, settings.queries)]
        split = collection.split(named[0]).hash
        tables = [collection.table(columns, split=part) for part in (settings.gallery, settings.queries)]
        return tables, (f"part '{settings.gallery}'", f"part '{settings.queries}'"), split
    whole = collection.table(columns)
    order = np.random.default_rng(settings.seed).permutation(len(whole))
    half = len(order) // 2
    halves = [whole.take(pa.array(np.sort(rows))) for rows in (order[:half], order[half:])]
    return halves, ("one half of the collection", "the other half"), None


def _rank(tables: Sequence[pa.Table], ranks: Sequence[str], asked: str | None) -> str | None:
    """The rank asked for, or the lowest that most specimens have; None where none has."""
    if asked is not None:
        if asked not in ranks:
            raise SettingError(f"--rank {asked}: there are {', '.join(ranks) or 'no ranks'}")
        return asked
    rows = sum(len(table) for table in tables)
    for rank in reversed(ranks):
        if 2 * sum(len(table) - table[rank].null_count for table in tables) >= max(rows, 1):
            return rank
    return None


def _names(tables: Sequence[pa.Table], rank: str) -> list[str]:
    return [name for table in tables for name in table[rank].to_pylist() if name is not None]


def _sample(count: int, most: int, seed: int) -> Array:
    rows = np.arange(count)
    return rows if count <= most else np.sort(np.random.default_rng(seed).permutation(rows)[:most])
