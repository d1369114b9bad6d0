"""Collections put together: specimens, vectors of the same encoders, splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import lance
import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_folder, is_there
from biocosmos.progress import progress
from biocosmos.specimens.care import plan as plans
from biocosmos.specimens.care.change import cast
from biocosmos.specimens.care.draft import Draft
from biocosmos.specimens.care.entry import Entry
from biocosmos.specimens.care.parts import Doubles, Part, doubles, parts_of
from biocosmos.specimens.care.plan import Plan
from biocosmos.specimens.care.splits_of_parts import merged_splits
from biocosmos.specimens.care.vectors_of_parts import columns_of_vectors
from biocosmos.specimens.care.writing import writing
from biocosmos.specimens.joined_groups import joined_groups
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.specimens.records import EMBEDDING_PREFIX

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

VERB = "merge"
READ_ROWS = 256
CHUNK_ROWS = 16 * 1024
CHUNK_BYTES = 256 * 1024**2
"""What is written at a time, in rows and bytes at most: what a kill loses, and what is held in memory."""


@dataclass
class MergeSummary:
    """What a merger did.

    Attributes:
        added: specimens that came; known: of them that were there already, the same in id, image, crop, label and barcode.
        vectors: encoder columns that were taken over -> vectors in them that came.
        notes: what was not taken over, and what a person should know; failures: values that did not fit, and specimens that two
            collections describe otherwise.
        entry: of the history; None where everything was there already.
    """

    added: int = 0
    known: int = 0
    vectors: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)
    entry: Entry | None = None


def merge(
    collections: Sequence[str | Path | Collection],
    output: str | Path,
    *,
    id_prefix: Mapping[str, str] | None = None,
    by: str | None = None,
    note: str | None = None,
) -> tuple[Collection, MergeSummary]:
    """Make one new collection of several, in constant memory. Run it again after a kill and it goes on.

    Specimens keep everything: packed images, vectors (of encoders with the same weights and preprocessing), and the part of each
    split they were in. The same specimen in several collections stands once. What cannot be taken over is told.

    Args:
        id_prefix: collection, by path or name of its folder -> what stands before its ids from now on; under "" that of all but
            the first.

    Raises BiocosmosError where an id means different specimens and no prefix tells them apart, where ranks contradict each other,
    and where ``output`` is something else already.
    """
    from biocosmos.specimens.collection import Collection

    opened = [each if isinstance(each, Collection) else Collection.open(each) for each in collections]
    if len(opened) < 2:
        raise BiocosmosError("name two collections or more: there is nothing to merge")
    parts = parts_of(opened, dict(id_prefix or {}))
    output = Path(output)
    if any(output.resolve() == part.collection.path.resolve() for part in parts):
        raise BiocosmosError(f"{output} is one of the collections: add to it with 'biocosmos ingest OTHER -o {output}'")
    there = is_there(output / "collection.json")
    whole = Collection.open(output) if there else Collection.create(output)
    try:
        return whole, _merged(whole, parts, by=by, note=note)
    except BiocosmosError:
        if not there and not len(whole) and not is_there(output / plans.FOLDER / plans.FILE):
            shutil.rmtree(output)
        raise


def _merged(whole: Collection, parts: Sequence[Part], *, by: str | None, note: str | None) -> MergeSummary:
    with writing(whole, VERB):
        done = _done_before(whole, parts)
        if done is not None:
            plans.clear(whole.path)
            return MergeSummary(entry=done, known=done.counts.get("specimens", 0), notes=["it was merged already"])
        if len(whole) or whole.history():
            add = f"add to it with 'biocosmos ingest {parts[0].name} -o {whole.path}'"
            raise BiocosmosError(f"{whole.path} has specimens already: choose another name, or {add}")
        return _Merger(whole, parts, by=by, note=note, splits=True).carry_out()


def take_in(
    whole: Collection,
    other: Collection,
    *,
    id_prefix: str = "",
    by: str | None = None,
    note: str | None = None,
) -> MergeSummary:
    """Add the specimens of another collection, with their packed images and the vectors of encoders that are the same.

    Splits of ``whole`` stay as they are. Raises BiocosmosError as :func:`merge` does.
    """
    parts = parts_of([other], {str(other.path): id_prefix} if id_prefix else {})
    if other.path.resolve() == whole.path.resolve():
        raise BiocosmosError(f"{whole.path} cannot be added to itself")
    with writing(whole, VERB):
        return _Merger(whole, parts, by=by, note=note, splits=False).carry_out()


def _done_before(whole: Collection, parts: Sequence[Part]) -> Entry | None:
    wanted = [part.as_dict() for part in parts]
    entries = [entry for entry in whole.history() if entry.verb == VERB and entry.arguments.get("parts") == wanted]
    return entries[-1] if entries else None


class _Merger:
    """Parts on their way into a whole, with the whole's lock held."""

    def __init__(self, whole: Collection, parts: Sequence[Part], *, by: str | None, note: str | None, splits: bool) -> None:
        self.whole, self.parts, self.by, self.note, self.splits = whole, list(parts), by, note, splits
        self.summary = MergeSummary()
        self.here = Part(whole, whole.dataset)
        self._misfits: list[tuple[str, str]] = []

    def carry_out(self) -> MergeSummary:
        summary, whole = self.summary, self.whole
        before = whole.ranks
        self.ranks = before
        for part in self.parts:
            self.ranks = merge_orders(self.ranks, part.collection.ranks)
        every = [self.here, *self.parts]
        self.doubles = Doubles(doubles(every, summary.failures, stage=VERB).rows[1:])
        summary.known = self.doubles.count
        self.vectors = columns_of_vectors(self.parts, whole.encoders)
        splits = merged_splits(self.parts, summary.notes) if self.splits else []
        plan = self._plan()
        self._write(plan)
        for id_, reason in plan.warnings:
            summary.failures.add(reason, stage=VERB, id=id_, severity="warning")
        summary.added = sum(json.loads(text)["physical_rows"] for text in plan.fragments)
        summary.notes += self.vectors.notes
        self._tell()
        for split in splits:
            whole.save_split(split)
        whole.record_failures(summary.failures, whole=False)
        if summary.added:
            self._commit(plan, before, [split.name for split in splits])
            self._join_groups()
        plans.clear(whole.path)
        self._default_encoder()
        return summary

    def _join_groups(self) -> None:
        groups = self.whole.attribute_groups
        for part in self.parts:
            groups = joined_groups(groups, part.collection.attribute_groups.values(), str(self.whole.path))
        if groups != self.whole.attribute_groups:
            self.whole.save_facts(attributes={name: group.as_facts() for name, group in groups.items()})

    # ------------------------------------------------------------------ the columns of the whole

    def _fields(self) -> list[pa.Field]:
        """Columns that the whole lacks: those of the parts, as the first has them, and the vectors."""
        have = set(self.whole.dataset.schema.names)
        found: dict[str, pa.Field] = {}
        for part in self.parts:
            for each in part.dataset.schema:
                if each.name not in have and not each.name.startswith(EMBEDDING_PREFIX):
                    found.setdefault(each.name, pa.field(each.name, each.type))
        for rank in self.ranks:
            if rank not in have:
                found[rank] = pa.field(rank, pa.string())
        found |= {name: each for name, each in self.vectors.fields.items() if name not in have}
        return list(found.values())

    def _plan(self) -> Plan:
        """The one that a killed process left, if it is of the same parts and the same whole, else a new one."""
        dataset = self.whole.dataset
        try:
            left = Plan.load(self.whole.path)
        except BiocosmosError as error:
            left = None
            self.summary.notes.append(f"the merger that was left half done was begun anew: {error}")
        what = {"parts": [part.as_dict() for part in self.parts], "version": int(dataset.version)}
        if left is not None and left.what == what:
            left.sweep(dataset)
            return self._with_columns(left, self._fields())
        if left is not None:
            left.sweep(dataset, all_of_it=True)
            idle = [name for name in left.made_columns if name in dataset.schema.names]
            idle = [name for name in idle if not dataset.count_rows(filter=f"`{name}` IS NOT NULL")]
            if idle:
                dataset.drop_columns(idle)
        plans.clear(self.whole.path)
        fields = self._fields()
        files = [path.name for path in plans.data_folder(dataset).glob("*.lance")]
        plan = Plan({**what, "version": int(self.whole.dataset.version)}, files, [each.name for each in fields])
        plan.save(self.whole.path)
        return self._with_columns(plan, fields)

    def _with_columns(self, plan: Plan, fields: list[pa.Field]) -> Plan:
        """The plan, once the whole has the columns that it lacks."""
        if fields:
            self.whole.dataset.add_columns(pa.schema(fields))
            plan.what = {**plan.what, "version": int(self.whole.dataset.version)}
            plan.save(self.whole.path)
        return plan

    # ------------------------------------------------------------------ the rows

    def _write(self, plan: Plan) -> None:
        dataset = self.whole.dataset
        schema = dataset.schema
        first, offset = plan.reached()
        total = sum(part.dataset.count_rows() for part in self.parts)
        with progress(f"merge into {self.whole.path.name}", total=total, unit="specimens") as bar:
            bar.advance(sum(part.dataset.count_rows() for part in self.parts[:first]) + offset)
            for i in range(first, len(self.parts)):
                start = offset if i == first else 0
                for read, rows in self._chunks(i, start, schema):
                    bar.advance(read - start)
                    start = read
                    if rows:
                        reader = pa.RecordBatchReader.from_batches(schema, rows)
                        written = lance.fragment.write_fragments(reader, dataset, schema=schema)
                        plan.warnings += self._misfits
                        self._misfits = []
                        plan.done += [(i, read, json.dumps(fragment.to_json())) for fragment in written]
                        plan.save(self.whole.path)

    def _chunks(self, i: int, offset: int, schema: pa.Schema) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
        """(rows of part i read by then, rows to write), from row ``offset`` on."""
        part, gone = self.parts[i], self.doubles.rows[i]
        source = part.dataset
        waiting: list[pa.RecordBatch] = []
        position = offset
        taken = {name: each[i] for name, each in self.vectors.sources.items()}
        names = [name for name in source.schema.names if name in schema.names and taken.get(name, name) is not None]
        for batch in source.scanner(columns=names, offset=offset, batch_size=READ_ROWS).to_batches():
            keep = np.array([row not in gone for row in range(position, position + batch.num_rows)], bool)
            position += batch.num_rows
            if not keep.all():
                batch = batch.filter(pa.array(keep))
            if batch.num_rows:
                waiting.append(self._fitted(batch, part, schema))
            if sum(b.num_rows for b in waiting) >= CHUNK_ROWS or sum(b.nbytes for b in waiting) >= CHUNK_BYTES:
                yield position, waiting
                waiting = []
        yield position, waiting

    def _fitted(self, batch: pa.RecordBatch, part: Part, schema: pa.Schema) -> pa.RecordBatch:
        """Rows of a part in the columns of the whole; a value that does not fit is told and left out."""
        ids = part.prefixed(batch.column("id"))
        columns = []
        for each in schema:
            if each.name == "id":
                columns.append(ids)
            elif each.name not in batch.schema.names:
                columns.append(pa.nulls(batch.num_rows, each.type))
            else:
                values = batch.column(each.name)
                if values.type != each.type:
                    values, wrong = cast(values, each.type)
                    for row in map(int, np.flatnonzero(wrong)):
                        shown = str(batch.column(each.name)[row])[:60]
                        reason = f"column '{each.name}' holds {each.type}: the value {shown!r} of {part.name} was left out"
                        self._misfits.append((ids[row].as_py(), reason))
                columns.append(values)
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    # ------------------------------------------------------------------ the end

    def _commit(self, plan: Plan, before: tuple[str, ...], splits: Sequence[str]) -> None:
        """One commit takes everything in, and the history knows it."""
        arguments = {"collections": [part.name for part in self.parts], "parts": [part.as_dict() for part in self.parts]}
        self._describe_vectors()
        draft = Draft(self.whole, VERB, by=self.by, note=self.note, arguments=arguments)
        piece = draft.added(self._ids(), fragments=plan.fragments)
        self.summary.entry = draft.carry_out(
            [piece],
            counts={"specimens": self.summary.added},
            ranks=None if before == self.ranks else (before, self.ranks),
            new_columns=tuple(plan.made_columns),
            splits=dict.fromkeys(splits, False),
        )
        for name in self.vectors.fields:
            added = self.whole.dataset.count_rows(filter=f"`{name}` IS NOT NULL") - self._had(name)
            if added:
                self.summary.vectors[name.removeprefix(EMBEDDING_PREFIX)] = added

    def _describe_vectors(self) -> None:
        """Vectors that were computed otherwise than those that are there are said to be so."""
        dataset = self.whole.dataset
        for name, each in self.vectors.fields.items():
            if name in self.here.dataset.schema.names and dataset.schema.field(name).metadata != each.metadata:
                facts = {key.decode(): value.decode() for key, value in each.metadata.items()}
                dataset.update_field_metadata({name: facts}, replace=True)

    def _had(self, column: str) -> int:
        there = column in self.here.dataset.schema.names
        return int(self.here.dataset.count_rows(filter=f"`{column}` IS NOT NULL")) if there else 0

    def _ids(self) -> Iterator[pa.Array]:
        for part, gone in zip(self.parts, self.doubles.rows):
            position = 0
            for ids in part.ids():
                keep = [row not in gone for row in range(position, position + len(ids))]
                position += len(ids)
                yield ids.filter(pa.array(keep))

    def _tell(self) -> None:
        for part in self.parts:
            if part.prefix:
                self.summary.notes.append(
                    f"the ids of {part.name} begin with '{part.prefix}' now: what was trained on them knows the old ones, so the "
                    "guard against leaks cannot see it"
                )
            folder = part.collection.path / "identifications"
            if is_folder(folder) and any(folder.iterdir()):
                self.summary.notes.append(f"saved identifications stay with {part.name}")
            if not self.splits and part.collection.split_names:
                names = ", ".join(part.collection.split_names)
                self.summary.notes.append(f"the splits of {part.name} ({names}) stay with it: what was added is in no part")

    def _default_encoder(self) -> None:
        chosen = {part.collection.default_encoder for part in self.parts}
        (name,) = chosen if len(chosen) == 1 else (None,)
        if name is not None and self.whole.default_encoder is None and name in self.whole.encoders:
            self.whole.set_default_encoder(name)
