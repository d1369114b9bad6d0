"""A change written back, as a change of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care.apply import ROWS_OF_NARROW_PIECES, same_weights
from biocosmos.specimens.care.cells import chosen, made_of
from biocosmos.specimens.care.change import ChangeSummary, forgotten
from biocosmos.specimens.care.draft import Draft, rows_at
from biocosmos.specimens.care.entry import ADDED, CELLS, NEW, OLD, REMOVED, UNDO, Entry, Piece
from biocosmos.specimens.care.log import Log, undone
from biocosmos.specimens.care.writing import done_already, writing
from biocosmos.specimens.differing import distinct
from biocosmos.specimens.positions import positions_of
from biocosmos.specimens.records import EMBEDDING_PREFIX

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

SHOWN = 5
NUMBERS = ("change", "specimens", "cells", "undone_by")
HISTORY = pa.schema(
    (name, pa.int64() if name in NUMBERS else pa.string())
    for name in ("change", "time", "by", "verb", "what", "specimens", "cells", "note", "undone_by", "biocosmos")
)
"""Columns of the history as a table."""


def history(collection: Collection) -> list[Entry]:
    """Every change of a collection, oldest first."""
    return Log(collection.path).entries()


def history_table(collection: Collection) -> pa.Table:
    """The history as a table: change, time, by, verb, what (arguments, as text), specimens, cells, note, undone_by."""
    entries = history(collection)
    undone_by = undone(entries)
    rows = [
        {
            "change": entry.number,
            "time": entry.time,
            "by": entry.by,
            "verb": entry.verb,
            "what": _what(entry),
            "specimens": entry.counts.get("specimens", 0),
            "cells": entry.counts.get("cells", 0),
            "note": entry.note,
            "undone_by": undone_by.get(entry.number),
            "biocosmos": entry.biocosmos,
        }
        for entry in entries
    ]
    return pa.Table.from_pylist(rows, schema=HISTORY)


def _what(entry: Entry) -> str:
    """What was asked for, in words."""
    facts = dict(entry.arguments)
    if entry.verb == "remove":
        said = ", ".join(f"{name} {_shown(value)}" for name, value in facts.items())
        return said or "specimens named by their ids"
    parts = facts.pop("parts", None)
    if isinstance(parts, list) and all(isinstance(part, dict) for part in parts):  # a merge
        names = [Path(str(part.get("path", ""))).name for part in parts]
        prefixed = [f"ids of {name} begin with {part['prefix']!r}" for name, part in zip(names, parts) if part.get("prefix")]
        return "; ".join([f"{' and '.join(names)} put together", *prefixed])
    return ", ".join(f"{name} {_shown(value)}" for name, value in facts.items())


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return "yes" if value is True else str(value)


def undo(collection: Collection, number: int | None = None, *, by: str | None = None) -> ChangeSummary:
    """Write back change ``number``; by default the last one that is not undone. To undo an undo is to do the change again.

    Raises BiocosmosError where there is nothing to undo, where it is undone already, and, with the ids, where a later change
    touched what this one did.
    """
    with writing(collection, UNDO):
        done = done_already(collection, UNDO)
        if done is not None and number in (None, done.undoes):
            collection.interrupted = None  # asked again, it is another one
            note = f"change {done.undoes} was undone already, by the run that was interrupted; undo again to take back another"
            return ChangeSummary(specimens=done.counts.get("specimens", 0), entry=done, notes=[note])
        entry = _wanted(collection, number)
        return _Undoing(collection, entry).carry_out(by)


def _wanted(collection: Collection, number: int | None) -> Entry:
    entries = history(collection)
    undone_by = undone(entries)
    if number is None:
        for entry in reversed(entries):
            if entry.undoes is None and entry.number not in undone_by:
                return entry
        raise BiocosmosError(f"{collection.path} has no change that could be undone: see biocosmos history {collection.path}")
    if not 1 <= number <= len(entries):
        raise BiocosmosError(f"{collection.path} has no change {number}: see biocosmos history {collection.path}")
    if number in undone_by:
        again = f"'biocosmos undo {collection.path} {undone_by[number]}' does it again"
        raise BiocosmosError(f"change {number} of {collection.path} was undone by change {undone_by[number]}: {again}")
    return entries[number - 1]


class _Undoing:
    """The change that writes ``entry`` back."""

    def __init__(self, collection: Collection, entry: Entry) -> None:
        self.collection, self.entry = collection, entry
        self.log, self.dataset = Log(collection.path), collection.dataset
        self.summary = ChangeSummary()
        self._columns: dict[str, int] = {}

    def carry_out(self, by: str | None) -> ChangeSummary:
        entry, summary = self.entry, self.summary
        for piece in entry.pieces:
            self._refuse_conflicts(piece)
        arguments = {"number": entry.number}
        note = f"undoes {entry.verb} of {entry.time}"
        draft = Draft(self.collection, UNDO, by=by, arguments=arguments, note=note, undoes=entry.number)
        pieces = [self._back(draft, place, piece) for place, piece in reversed(list(enumerate(entry.pieces)))]
        pieces.insert(0, draft.cells("vectors", forgotten(self.dataset, self._made_of(), but=self._vectors_back())))
        ranks = None
        if entry.ranks is not None and self.collection.ranks == entry.ranks[1]:
            ranks = (entry.ranks[1], entry.ranks[0])
        elif entry.ranks is not None:
            summary.notes.append("the ranks were changed again since, and stay as they are")
        counts = {"specimens": summary.specimens, "cells": sum(self._columns.values())}
        empty = self._emptied(self.collection.ranks if ranks is None else ranks[1])
        again = tuple(name for name in entry.dropped_columns if name not in self.dataset.schema.names)
        summary.columns = self._columns
        summary.entry = draft.carry_out(pieces, counts=counts, ranks=ranks, dropped_columns=empty, new_columns=again)
        return summary

    def _back(self, draft: Draft, place: int, piece: Piece) -> Piece | None:
        if piece.kind == CELLS:
            return draft.cells(f"cells{place}", self._written_back(piece))
        self.summary.specimens += piece.rows
        if piece.kind == REMOVED:
            return draft.added(self._ids(piece), rows_from=piece.file)
        return draft.removed(pa.concat_arrays(list(self._ids(piece))))

    def _ids(self, piece: Piece) -> Iterator[pa.Array]:
        for batch in self.log.batches(piece, ["id"], rows=ROWS_OF_NARROW_PIECES):
            yield batch.column("id")

    # ------------------------------------------------------------------ what was done since

    def _refuse_conflicts(self, piece: Piece) -> None:
        """Raise BiocosmosError that names the ids whose state is no longer what the change left."""
        others: list[str] = []
        for ids in self._ids(piece):
            here = positions_of(self.dataset, ids) >= 0
            wrong = here if piece.kind == REMOVED else ~here
            others += ids.filter(pa.array(wrong)).to_pylist()
        if others and piece.kind == REMOVED:
            self._refuse(others, "there again")
        if others:
            self._refuse(others, "gone")
        if piece.kind == ADDED:
            self._refuse_touched(piece)
        if piece.kind == CELLS:
            for batch in self.log.batches(piece, rows=ROWS_OF_NARROW_PIECES):
                others += self._changed_since(batch, piece.columns)
            if others:
                self._refuse(others, "changed again")

    def _refuse_touched(self, piece: Piece) -> None:
        """Rows that came with this change and were changed since."""
        entries = self.log.entries()
        undone_by = undone(entries)
        mine = pa.concat_arrays(list(self._ids(piece)))
        for later in entries[self.entry.number :]:
            if later.number in undone_by or later.undoes in undone_by:
                continue
            for other in later.pieces:
                for ids in self._ids(other):
                    both = ids.filter(pc.is_in(ids, value_set=mine)).to_pylist()
                    if both:
                        self._refuse(both, f"changed by change {later.number}")

    def _refuse(self, ids: Sequence[str], state: str) -> None:
        named = ", ".join(repr(id_) for id_ in list(dict.fromkeys(ids))[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
        raise BiocosmosError(
            f"change {self.entry.number} cannot be undone: {len(ids):,} of its specimens {'is' if len(ids) == 1 else 'are'} "
            f"{state} since ({named}): undo the later change first, see biocosmos history {self.collection.path}"
        )

    def _changed_since(self, batch: pa.RecordBatch, columns: Sequence[str]) -> list[str]:
        current = self._current(batch, columns)
        since = np.zeros(batch.num_rows, bool)
        for name in columns:
            if name.startswith(EMBEDDING_PREFIX):
                continue  # vectors follow from images, and come back with these
            old, new = batch.column(OLD + name), batch.column(NEW + name)
            mine = distinct(old, new)
            now = current[name] if name in current else pa.nulls(batch.num_rows, new.type)
            since |= mine & distinct(now, new)
        return list(batch.column("id").filter(pa.array(since)).to_pylist())

    def _current(self, batch: pa.RecordBatch, columns: Sequence[str]) -> dict[str, pa.Array]:
        """What is stored now in the columns of a piece, row by row."""
        names = [name for name in columns if name in self.dataset.schema.names]
        places = positions_of(self.dataset, batch.column("id"))
        rows = list(rows_at(self.dataset, places, ["id", *names])) if names else []
        return {name: pa.concat_arrays([part.column(name) for part in rows]) for name in names} if rows else {}

    # ------------------------------------------------------------------ what is written

    def _written_back(self, piece: Piece) -> Iterator[pa.RecordBatch]:
        """The piece the other way round: what is now, and what was before. Cells that it did not change stay."""
        for batch in self.log.batches(piece, rows=ROWS_OF_NARROW_PIECES):
            current = self._current(batch, piece.columns)
            columns, fields = [batch.column("id")], [pa.field("id", pa.string())]
            changed = False
            for name in piece.columns:
                old, new = batch.column(OLD + name), batch.column(NEW + name)
                field = batch.schema.field(OLD + name)
                now = current.get(name, pa.nulls(batch.num_rows, new.type))
                mine = distinct(old, new)
                if name.startswith(EMBEDDING_PREFIX):
                    if name not in current or not same_weights(field.with_name(name), self.dataset.schema.field(name)):
                        continue
                    mine |= np.asarray(new.is_null())  # made since, of what goes now
                    field = self.dataset.schema.field(name)
                else:
                    self._columns[name] = self._columns.get(name, 0) + int(mine.sum())
                    changed = True
                columns += [now, chosen(mine, old, now)]
                fields += [field.with_name(OLD + name), field.with_name(NEW + name)]
            if changed:
                self.summary.specimens += batch.num_rows
            yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))

    def _made_of(self) -> dict[str, list[str]]:
        """Modality -> ids of the specimens whose image, crop, barcode or names are written back."""
        found: dict[str, list[str]] = {}
        of = made_of(self.dataset)
        for piece in self.entry.pieces:
            names = [name for name in piece.columns if name in of] if piece.kind == CELLS else []
            for batch in self.log.batches(piece, rows=ROWS_OF_NARROW_PIECES) if names else ():
                for name in names:
                    mine = distinct(batch.column(OLD + name), batch.column(NEW + name))
                    found.setdefault(of[name], []).extend(batch.column("id").filter(pa.array(mine)).to_pylist())
        return found

    def _vectors_back(self) -> set[str]:
        """Columns of vectors that come back with the change; the others were made since."""
        pieces = [piece for piece in self.entry.pieces if piece.kind == CELLS]
        before = [field.with_name(field.name.removeprefix(OLD)) for piece in pieces for field in self.log.schema(piece.file)]
        back = [field for field in before if field.name.startswith(EMBEDDING_PREFIX) and field.name in self.dataset.schema.names]
        return {field.name for field in back if same_weights(field, self.dataset.schema.field(field.name))}

    def _filled(self, name: str) -> int:
        """Values of a column, without those of specimens that go."""
        going = [ids for piece in self.entry.pieces if piece.kind == ADDED for ids in self._ids(piece)]
        if not going:
            return int(self.dataset.count_rows(filter=f"`{name}` IS NOT NULL"))
        gone = pa.concat_arrays(going)
        filled = self.dataset.to_batches(columns=["id"], filter=f"`{name}` IS NOT NULL")
        return sum(batch.num_rows - pc.sum(pc.is_in(batch.column("id"), value_set=gone)).as_py() for batch in filled)

    def _emptied(self, ranks: Sequence[str]) -> tuple[str, ...]:
        """Columns that the change had made and that nothing has a value in, once it is undone."""
        found = []
        for name in self.entry.new_columns:
            if name not in self.dataset.schema.names or name in ranks:
                continue
            if self._filled(name) <= self._columns.get(name, 0):
                found.append(name)
        return tuple(found)
