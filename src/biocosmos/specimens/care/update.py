"""Labels and fields corrected from a table, by id; ranks given to what is there already."""

from __future__ import annotations

from collections.abc import Collection as Values
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care.cells import Said, TableProposal, chosen
from biocosmos.specimens.care.change import ChangeSummary, as_stored, propose, usable
from biocosmos.specimens.care.corrections import Corrections, read_corrections
from biocosmos.specimens.care.lineages import Lineages
from biocosmos.specimens.care.new_images import IMAGES, by_file, with_images
from biocosmos.specimens.care.writing import writing
from biocosmos.specimens.differing import distinct
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.specimens.readers.taxonomy_table import Taxa, TaxonomyTable, open_taxonomy, refuse_without_ranks
from biocosmos.specimens.records import STANDARD
from biocosmos.taxonomy import KNOWN_RANKS

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

VERB = "update"
LABEL = "label"


def update(
    collection: Collection,
    table: str | Path | Any | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    taxonomy: str | Path | None = None,
    ranks: Sequence[str] | None = None,
    clear: bool = False,
    images: str | Path | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    by: str | None = None,
    note: str | None = None,
    dry_run: bool = False,
) -> ChangeSummary:
    """Correct specimens that are there, as one change that can be undone.

    Args:
        table: a CSV, TSV or Parquet file, or a data frame, with ``id`` (or the image file that names it) and what is to change.
        columns: their name -> ours. images, encoding, separator: as for :func:`biocosmos.read`.
        taxonomy: a table that gives the ranks of labels, or a checklist, as for :func:`biocosmos.read`, to all specimens that
            have one of these.
        ranks: columns of the table or of the collection that are its ranks from now on, coarse to fine.
        clear: a blank cell clears the value; by default it leaves it alone.
        by, note: for the history; dry_run: only say what would change.

    A label that changes brings its ranks along, where the taxonomy or other specimens of the collection know them and the table
    does not change them itself; else a warning says that they stayed. A new image or crop takes the vectors away: ``embed`` makes
    those anew, and no others.

    Raises BiocosmosError where nothing was given, where the table names no specimens, and for ranks that are no columns.
    """
    if table is None and taxonomy is None and not ranks:
        raise BiocosmosError("say what to correct: a table, --taxonomy or --ranks")
    with writing(collection, VERB, dry_run=dry_run):
        summary = ChangeSummary()
        names = open_taxonomy(taxonomy, summary.failures) if taxonomy is not None else None
        if names is not None:
            refuse_without_ranks(names, ranks)
        found = Corrections(pa.table({"id": pa.array([], pa.string())}), ())
        if table is not None:
            how: dict[str, Any] = {
                "columns": columns,
                "encoding": encoding,
                "separator": separator,
                "images": images,
                "clear": clear,
            }
            found = read_corrections(table, ranks=ranks, failures=summary.failures, **how)
            if not len(found.table) and not len(summary.failures):
                raise BiocosmosError(f"{table if isinstance(table, str | Path) else 'the table'} has no row: nothing was changed")
        order = _ranks(collection, found, names, ranks)
        _note_new_columns(collection, found, summary)
        cells = by_file(collection, found.table, summary.failures, stage=VERB) if found.by_file else found.table
        cells = usable(cells, summary.failures, VERB)
        cells = with_images(collection, cells, summary.failures, stage=VERB)
        cells = as_stored(cells, collection.dataset, order, summary.failures, clear=clear, stage=VERB)
        empty_means = [name for name in cells.column_names if name not in IMAGES] if clear else []
        proposal = Update(collection, TableProposal(cells, empty_means), names, order, summary)
        arguments = {"table": _shown(table), "taxonomy": _shown(taxonomy), "ranks": ranks and list(ranks), "clear": clear or None}
        facts = {"verb": VERB, "by": by, "note": note, "arguments": {k: v for k, v in arguments.items() if v is not None}}
        propose(collection, proposal, ranks=order, dry_run=dry_run, summary=summary, tell=proposal.tell, **facts)
    return summary


def _note_new_columns(collection: Collection, found: Corrections, summary: ChangeSummary) -> None:
    """Say which columns of the table the collection does not have yet, since a name may have been meant to correct another."""
    there = {*collection.dataset.schema.names, *IMAGES}
    for name in found.table.column_names:
        if name in STANDARD or name in KNOWN_RANKS or name in there:
            continue
        remedy = f": --column label={name} if it corrects the label" if LABEL not in found.table.column_names else ""
        summary.notes.append(f"makes a new column '{name}'{remedy}")


def _shown(given: str | Path | Any | None) -> str | None:
    return None if given is None else str(given) if isinstance(given, str | Path) else "a data frame"


def _ranks(collection: Collection, found: Corrections, taxonomy: Taxa | None, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The collection's ranks from now on. Raises BiocosmosError for one that is no column, or none of names."""
    schema = collection.dataset.schema
    made = () if taxonomy is None else taxonomy.columns
    for rank in asked or ():
        if rank not in (*schema.names, *found.table.column_names, *made):
            raise BiocosmosError(f"no column for the rank '{rank}'; there are: {', '.join(collection.stored_columns)}")
        if rank in schema.names and not pa.types.is_string(schema.field(rank).type):
            raise BiocosmosError(f"the column '{rank}' holds {schema.field(rank).type}, not names: it cannot be a rank")
    order = merge_orders(collection.ranks, tuple(asked if asked is not None else found.ranks))
    if taxonomy is not None:
        # as when they are ingested: the label is the finest name where nothing finer was said
        own = (LABEL,) if not order or order == (LABEL,) else ()
        order = merge_orders(order, (*taxonomy.ranks, *own))
    return order


class Update:
    """Cells of a table; the ranks of labels that these change; the ranks that a taxonomy table gives."""

    def __init__(
        self,
        collection: Collection,
        cells: TableProposal,
        taxonomy: Taxa | None,
        ranks: tuple[str, ...],
        summary: ChangeSummary,
    ) -> None:
        self._cells, self._taxonomy, self._ranks, self._summary = cells, taxonomy, ranks, summary
        self._finer = [rank for rank in ranks if rank != LABEL]
        stored = {field.name: field.type for field in collection.dataset.schema}
        extra: dict[str, pa.DataType] = {}
        if taxonomy is not None:
            extra = {name: pa.string() for name in taxonomy.columns if pa.types.is_string(stored.get(name, pa.string()))}
        relabels = LABEL in cells.columns and collection.ranks
        self._lineages = Lineages(collection) if relabels else None
        follow = dict.fromkeys(self._finer, pa.string()) if relabels else {}
        self.columns: Mapping[str, pa.DataType] = {**cells.columns, **extra, **follow}
        self.reads: Values[str] = [LABEL, *ranks]
        self._given = list(extra)
        self._in_taxonomy: set[str] = set()
        self._not_in_taxonomy: set[str] = set()

    @property
    def unchanged(self) -> int:
        """See :class:`biocosmos.specimens.care.cells.Proposal`."""
        return self._cells.unchanged

    def propose(self, batch: pa.RecordBatch) -> dict[str, Said]:
        """See :class:`biocosmos.specimens.care.cells.Proposal`."""
        rows = batch.num_rows
        found = self._cells.propose(batch)
        nothing = np.zeros(rows, bool)
        for name in self.columns:
            found.setdefault(name, (nothing, pa.nulls(rows, self.columns[name])))
        old = _stored(batch, LABEL)
        said, new = found.get(LABEL, (nothing, old))
        labels = chosen(said, new, old)
        changed = distinct(old, labels)
        if self._lineages is not None and changed.any():
            self._bring_ranks(batch, labels, changed, found)
        if self._taxonomy is not None:
            self._join(labels, found)
        return found

    def _bring_ranks(self, batch: pa.RecordBatch, labels: pa.Array, changed: Any, found: dict[str, Said]) -> None:
        """The ranks of a new label, where the row's own cells do not change any rank."""
        assert self._lineages is not None
        stated = np.zeros(len(labels), bool)
        for rank in self._finer:
            said, new = found[rank]
            stated |= said & distinct(_stored(batch, rank), new)
        ids = batch.column("id").to_pylist()
        rows, paths = [], []
        for row in map(int, np.flatnonzero(changed & ~stated)):
            label = labels[row].as_py()
            if label is not None and self._taxonomy is not None and self._taxonomy.find(label)[0] is not None:
                continue
            path, problem = self._lineages.of_label(label)
            if path is None:
                if self._finer and any(_stored(batch, rank)[row].is_valid for rank in self._finer):
                    self._summary.failures.add(problem, stage=VERB, id=ids[row], severity="warning")
                continue
            rows.append(row)
            paths.append(path)
        if not rows:
            return
        mine = np.zeros(len(labels), bool)
        mine[rows] = True
        for rank in self._finer:
            said, new = found[rank]
            values = new.to_pylist()
            for row, path in zip(rows, paths):
                values[row] = path.get(rank)
            found[rank] = (said | mine, pa.array(values, pa.string()))

    def _join(self, labels: pa.Array, found: dict[str, Said]) -> None:
        """What the taxonomy table says of each label; it is a correction, so it goes before what is there."""
        assert self._taxonomy is not None
        coded = pc.dictionary_encode(labels)
        rows: list[Mapping[str, str | None]] = []
        for label in coded.dictionary.to_pylist():
            row, remark = self._taxonomy.find(label)
            if row is not None and remark is not None and label not in self._in_taxonomy:
                self._summary.failures.add(f"the label {label!r} is {remark}", stage=VERB, severity="warning")
            (self._not_in_taxonomy if row is None else self._in_taxonomy).add(label)
            rows.append(row or {})
        for name in self._given:
            values = pa.array([row.get(name) for row in rows], pa.string()).take(coded.indices)
            theirs = np.asarray(values.is_valid())
            said, new = found[name]
            own = said & np.asarray(
                new.is_valid()
            )  # what the corrections say of a specimen goes before what is said of its label
            found[name] = (said | theirs, chosen(theirs & ~own, values, new))

    def unknown(self) -> list[str]:
        """See :class:`biocosmos.specimens.care.cells.Proposal`."""
        return self._cells.unknown()

    def tell(self) -> None:
        """Once all went through: labels that the taxonomy table does not know."""
        if self._taxonomy is None:
            return
        if self._not_in_taxonomy:
            shown = ", ".join(repr(label) for label in sorted(self._not_in_taxonomy)[:3])
            self._summary.notes.append(
                f"{len(self._not_in_taxonomy):,} labels are not in the taxonomy, and keep their ranks: {shown} ..."
            )
        if not isinstance(self._taxonomy, TaxonomyTable):  # a checklist has all there is
            return
        used = {self._taxonomy.key_of(label) for label in self._in_taxonomy}
        idle = [label for label in self._taxonomy.rows if label not in used]
        if idle:
            shown = ", ".join(repr(label) for label in sorted(idle)[:3])
            self._summary.notes.append(f"{len(idle):,} labels of the taxonomy are those of no specimen: {shown} ...")


def _stored(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
