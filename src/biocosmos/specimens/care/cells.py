"""What a proposal of new values changes in a collection, cell by cell, in one pass that keeps nothing but what differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.specimens.care.entry import NEW, OLD
from biocosmos.specimens.differing import Mask, distinct
from biocosmos.specimens.embedding_columns import WRITTEN_FROM, facts_of_field
from biocosmos.specimens.records import EMBEDDING_PREFIX

Said = tuple[Mask, pa.Array]
"""For each row of a batch, whether a value is proposed, and the value."""


LONG = pa.schema([(name, pa.string()) for name in ("id", "column", "old", "new")])
"""What changes as people read it."""


class Proposal(Protocol):
    """New values for specimens.

    columns: what it may set, with the type each is stored with; reads: the stored columns it looks at, beside these and the id;
    unchanged: cells that it was given and that are there already, of the batches that it has seen.
    """

    columns: Mapping[str, pa.DataType]
    reads: Collection[str]

    @property
    def unchanged(self) -> int: ...

    def propose(self, batch: pa.RecordBatch) -> dict[str, Said]:
        """For a batch of stored rows, by column."""
        ...

    def unknown(self) -> list[str]:
        """Once all batches went through: ids that it was given and that no specimen has."""
        ...


@dataclass
class Tally:
    """Counts of one pass.

    changed: cells that differ, by column; specimens: rows that change.
    others: modality -> ids of specimens of which something else is seen, or read, than before.
    """

    changed: dict[str, int] = field(default_factory=dict)
    specimens: int = 0
    others: dict[str, list[str]] = field(default_factory=dict)


IMAGE, DNA, TEXT, PLACE, SATELLITE, AUDIO = "image", "dna", "text", "place", "satellite", "audio"
_MADE_OF = {"crop": IMAGE, "content_hash": IMAGE, "barcode": DNA}
_KINDS = {each: each for each in (DNA, TEXT, PLACE, SATELLITE, AUDIO)} | {"environment": PLACE}


def kind_of(facts: Mapping[str, Any]) -> str:
    """What the vectors of an embedding are made of, by its facts: what is read of the environment is so at a place."""
    return _KINDS.get(str(facts.get("modality")), IMAGE)


def made_of(dataset: lance.LanceDataset) -> dict[str, str]:
    """Column -> modality: when it changes, the specimen's vectors of that modality are no longer those of what is seen or read.

    Of texts, places and files, the columns that an embedding here says it was written from.
    """
    found = dict(_MADE_OF)
    for column in dataset.schema:
        if column.name.startswith(EMBEDDING_PREFIX):
            facts = facts_of_field(column)
            found |= {str(name): kind_of(facts) for name in facts.get(WRITTEN_FROM) or ()}
    return found


def differences(dataset: lance.LanceDataset, proposal: Proposal, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The specimens that change, in the order they are stored: ``id``, and ``old/NAME`` and ``new/NAME`` of each column that is
    proposed. A column that is not stored yet is null everywhere."""
    names = list(proposal.columns)
    have = dataset.schema.names
    reads = [name for name in dict.fromkeys(["id", *names, *proposal.reads]) if name in have]
    schema, of = schema_of(proposal.columns), made_of(dataset)
    for batch in dataset.to_batches(columns=reads):
        proposed = proposal.propose(batch)
        any_changed, row = np.zeros(batch.num_rows, bool), [batch.column("id")]
        for name in names:
            said, new = proposed[name]
            old = batch.column(name) if name in have else pa.nulls(batch.num_rows, new.type)
            differs = distinct(old, new) & said
            tally.changed[name] = tally.changed.get(name, 0) + int(differs.sum())
            any_changed |= differs
            if name in of and differs.any():
                tally.others.setdefault(of[name], []).extend(batch.column("id").filter(pa.array(differs)).to_pylist())
            row += [old, chosen(differs, new, old)]
        tally.specimens += int(any_changed.sum())
        if any_changed.any():
            kept = pa.array(any_changed)
            yield pa.RecordBatch.from_arrays([values.filter(kept) for values in row], schema=schema)


def schema_of(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """Of the table of what differs."""
    marked = [(mark + name, kind) for name, kind in columns.items() for mark in (OLD, NEW)]
    return pa.schema([("id", pa.string()), *marked])


class TableProposal:
    """The cells of a table, by id: ``id``, and columns that have the stored types.

    clear: columns in which a null is a value too; elsewhere it leaves what is there.
    """

    reads: Collection[str] = ()

    def __init__(self, table: pa.Table, clear: Collection[str] = ()) -> None:
        self._values = {name: table[name].combine_chunks() for name in table.column_names if name != "id"}
        self._clear = frozenset(clear)
        self.ids = table["id"].combine_chunks()
        self.unchanged = 0
        self._seen = np.zeros(len(self.ids), bool)
        self.columns: Mapping[str, pa.DataType] = {name: values.type for name, values in self._values.items()}

    def propose(self, batch: pa.RecordBatch) -> dict[str, Said]:
        """See :class:`Proposal`."""
        place = pc.index_in(batch.column("id"), value_set=self.ids)
        here = np.asarray(place.is_valid())
        self._seen[place.drop_null().to_numpy()] = True
        found = {}
        for name, given in self._values.items():
            values = given.take(place)
            said = here if name in self._clear else np.asarray(values.is_valid())
            stored = batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows, values.type)
            self.unchanged += int((said & ~distinct(stored, values)).sum()) if said.any() else 0
            found[name] = (said, values)
        return found

    def unknown(self) -> list[str]:
        """See :class:`Proposal`."""
        return list(self.ids.filter(pa.array(~self._seen)).to_pylist())


def chosen(which: Mask, one: pa.Array, other: pa.Array) -> pa.Array:
    """(n,) of ``one`` where ``which``, else of ``other``; any type."""
    if not which.any():
        return other
    index = np.where(which, np.arange(len(which)), np.arange(len(which)) + len(which))
    return pa.concat_arrays([one, other]).take(pa.array(index))


def long_table(batch: pa.RecordBatch) -> pa.Table:
    """What changes as people read it: a row for each cell, in the columns of :data:`LONG`."""
    rows: list[dict[str, str | None]] = []
    ids = batch.column("id").to_pylist()
    for name in columns_of(batch.schema):
        old, new = batch.column(OLD + name), batch.column(NEW + name)
        for i in np.flatnonzero(distinct(old, new)):
            rows.append({"id": ids[i], "column": name, "old": _text(old[int(i)]), "new": _text(new[int(i)])})
    return pa.Table.from_pylist(rows, schema=LONG)


def columns_of(schema: pa.Schema) -> list[str]:
    """The columns that a table of what differs is about."""
    return [name.removeprefix(OLD) for name in schema.names if name.startswith(OLD)]


def _text(value: pa.Scalar) -> str | None:
    found = value.as_py()
    if isinstance(found, bytes):
        return f"{len(found):,} bytes"
    return None if found is None else str(found)
