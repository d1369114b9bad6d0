"""Taxa of a collection renamed, merged and split, with ranks and labels that agree."""

from __future__ import annotations

from collections.abc import Collection as Values
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care.cells import Said
from biocosmos.specimens.care.change import ChangeSummary, already, propose
from biocosmos.specimens.care.rename_table import Row, read_renames
from biocosmos.specimens.care.renames import Move, Renaming, distinct_moves, move, move_of
from biocosmos.specimens.care.writing import done_already, writing
from biocosmos.specimens.positions import as_ids

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

VERB = "relabel"
LABEL = "label"
Names = tuple[tuple[str | None, ...], str | None]
"""The names of a row, a rank each, and its label."""
SHOWN = 3


def relabel(
    collection: Collection,
    old: str | None = None,
    new: str | None = None,
    *,
    table: str | Path | Any | None = None,
    columns: Mapping[str, str] | None = None,
    ids: Sequence[str] | None = None,
    split: str | None = None,
    within: str | None = None,
    where: str | None = None,
    by: str | None = None,
    note: str | None = None,
    dry_run: bool = False,
) -> ChangeSummary:
    """Give a taxon another name, as one change that can be undone; ``new`` may be a taxon that is there, which it then joins.

    A taxon is named as in :meth:`Collection.scan`: "Copepoda", "class:Copepoda", "Plantae/Morus". A merger takes over the ranks
    above; a move to a coarser rank leaves those between empty; names below a renamed genus that begin with its name follow. A
    label that says the old name says the new one; other labels stay. A name that only labels have, and no rank, is found too.

    Args:
        table: many renames at once, each seen from how things were before all: a CSV, TSV or Parquet file or a data frame with
            the columns ``old`` and ``new``; or ``id`` and ``new``, which splits a taxon (``old``, where given, limits it).
        columns: their name -> id, old, new. ids, split, within, where: only these specimens of the taxon.

    Raises BiocosmosError where a name is not found or ambiguous, or a finer name would be overwritten. Of a table, such rows are
    told in the failures, and the others are done.
    """
    if table is None and (old is None or new is None):
        raise BiocosmosError("say which taxon and what it is called from now on, or give a table of old and new names")
    if table is not None and new is not None:
        raise BiocosmosError(f"the table says the new names: leave out {new!r}")
    arguments: dict[str, Any] = {"old": old, "new": new, "split": split, "within": within, "where": where}
    if table is not None:
        arguments["table"] = str(table) if isinstance(table, str | Path) else "a table"
    if ids is not None:
        arguments["ids"] = len(ids)
    arguments = {name: value for name, value in arguments.items() if value is not None}
    with writing(collection, VERB, dry_run=dry_run):
        done = done_already(collection, VERB, arguments)
        if done is not None and table is None:
            collection.interrupted = collection.interrupted if dry_run else None
            return already(done)
        summary = ChangeSummary()
        rows = [Row(None, old, str(new), None)] if table is None else read_renames(table, columns, summary.failures)
        proposal = _Proposal(collection, summary, _chosen(collection, ids, split, within, where), strict=table is None)
        for row in rows:
            proposal.take(row, old)
        facts = {"verb": VERB, "by": by, "note": note, "arguments": arguments}
        proposal.ready()
        propose(collection, proposal, ranks=collection.ranks, dry_run=dry_run, summary=summary, tell=proposal.tell, **facts)
        if table is None and not summary.specimens:
            raise BiocosmosError(f"no specimen of '{old}' is meant: nothing was changed")
    return summary


def _chosen(
    collection: Collection, ids: Sequence[str] | None, split: str | None, within: str | None, where: str | None
) -> pa.Array | None:
    """The ids that may change; None for all."""
    if ids is None and split is None and within is None and where is None:
        return None
    found = collection.table(["id"], split=split, within=within, where=where)["id"].combine_chunks()
    return found if ids is None else found.filter(pc.is_in(found, value_set=as_ids(ids)))


class _Proposal:
    """Renames of taxa, of labels that are no taxa, and of single specimens."""

    unchanged = 0

    def __init__(self, collection: Collection, summary: ChangeSummary, chosen: pa.Array | None, *, strict: bool) -> None:
        """strict: what cannot be done is an error; else it is told in the failures."""
        self._collection, self._summary, self._chosen = collection, summary, chosen
        self._strict = strict
        self._ranks = collection.ranks
        self._tax = collection.taxonomy if collection.ranks else None
        names = dict.fromkeys([*self._ranks, LABEL], pa.string())
        self.columns: Mapping[str, pa.DataType] = names
        self.reads: Values[str] = ()
        self._moves: list[Move] = []
        self._labels: dict[str, str] = {}
        self._by_id: dict[str, str] = {}
        self._within: dict[str, int] = {}
        self._seen: set[str] = set()
        self._known_labels: set[str] | None = None
        self._memo: dict[tuple[int, str | None, str | None, int | None], Names] = {}

    # ------------------------------------------------------------------ what is asked

    def take(self, row: Row, within: str | None) -> None:
        """One rename."""
        try:
            old = row.old if row.old is not None else within
            if row.id is not None:
                self._take_id(row.id, old, row.new)
            elif old is None:
                raise BiocosmosError("the old name is blank")
            else:
                self._take_name(old, row.new)
        except BiocosmosError as error:
            if self._strict:
                raise
            self._summary.failures.add(str(error), stage=VERB, row=row.number, id=row.id or row.old)

    def _take_name(self, old: str, new: str) -> None:
        if self._tax is not None:
            try:
                self._moves = list(distinct_moves([*self._moves, move(self._tax, old, new)]).values())
                return
            except BiocosmosError:
                if not self._is_only_label(old):
                    raise
        elif old not in self._labels_there():
            raise BiocosmosError(f"no specimen has the label '{old}'")
        if not new.strip():
            raise BiocosmosError(f"the new name of '{old}' is blank")
        if self._labels.setdefault(old, new) != new:
            raise BiocosmosError(f"'{old}' is to become both '{self._labels[old]}' and '{new}': choose one, or split it by ids")

    def _take_id(self, id_: str, old: str | None, new: str) -> None:
        if old is not None and self._tax is not None and not self._is_only_label(old):
            self._within[id_] = self._tax.find(old)
        if not new.strip():
            raise BiocosmosError("the new name is blank")
        if self._by_id.setdefault(id_, new) != new:
            raise BiocosmosError(f"this id is to become both '{self._by_id[id_]}' and '{new}'")

    def _is_only_label(self, name: str) -> bool:
        """Whether labels say this name, and no taxon has it."""
        assert self._tax is not None
        return name in self._labels_there() and not bool((self._tax.names == name).any())

    def _labels_there(self) -> set[str]:
        if self._known_labels is None:
            self._known_labels = set()
            for batch in self._collection.dataset.to_batches(columns=[LABEL]):
                self._known_labels.update(pc.unique(batch.column(LABEL)).drop_null().to_pylist())
        return self._known_labels

    def ready(self) -> None:
        """All renames are known."""
        self._renaming = None if self._tax is None else Renaming(self._tax, distinct_moves(self._moves))

    # ------------------------------------------------------------------ what becomes of a row

    def propose(self, batch: pa.RecordBatch) -> dict[str, Said]:
        """See :class:`biocosmos.specimens.care.cells.Proposal`."""
        count = batch.num_rows
        nodes = np.zeros(count, np.int32) if self._tax is None else self._tax.index(batch)
        labels = batch.column(LABEL).to_pylist()
        ids = batch.column("id").to_pylist()
        mine = np.ones(count, bool)
        if self._chosen is not None:
            mine = np.asarray(pc.is_in(batch.column("id"), value_set=self._chosen))
        said = np.zeros(count, bool)
        rows: list[Names] = []
        for i in map(int, np.flatnonzero(mine)):
            node = int(nodes[i])
            own = self._own(ids[i], node)
            key = (node, labels[i], *own)
            if key not in self._memo:
                self._memo[key] = self._checked(ids[i], *key)
            said[i] = True
            rows.append(self._memo[key])
        found: dict[str, Said] = {}
        at = np.full(count, -1, np.int64)
        at[said] = np.arange(len(rows))
        place = pa.array(np.maximum(at, 0), mask=at < 0)
        for i, rank in enumerate(self._ranks):
            found[rank] = (said, pa.array([names[i] for names, _ in rows], pa.string()).take(place))
        found[LABEL] = (said, pa.array([label for _, label in rows], pa.string()).take(place))
        return found

    def _own(self, id_: str, node: int) -> tuple[str | None, int | None]:
        """The name that a specimen gets for itself, and the node it is to leave, where it is in that."""
        own = self._by_id.get(id_)
        if own is None:
            return None, None
        self._seen.add(id_)
        within = self._within.get(id_)
        if within is None or self._tax is None or bool(self._tax.is_ancestor(within, node)):
            return own, within
        name = str(self._tax.names[within])
        self._summary.failures.add(f"the specimen is not in '{name}': it was left as it is", stage=VERB, id=id_)
        return None, None

    def _checked(self, id_: str, node: int, label: str | None, own: str | None, within: int | None) -> Names:
        try:
            return self._become(node, label, own, within)
        except BiocosmosError as error:
            if self._strict:
                raise
            self._summary.failures.add(f"{error}: left as it is", stage=VERB, id=id_)
            return (() if self._tax is None else tuple(self._tax.path(node))), label

    def _become(self, node: int, label: str | None, own: str | None, within: int | None) -> Names:
        if self._tax is None or self._renaming is None:
            return (), own if own is not None else self._labels.get(label or "", label)
        if own is not None:
            return self._one(node, label, own, node if within is None else within)
        if label in self._labels:
            return self._placed(node, self._labels[label])
        return self._renaming.become(node, label)

    def _one(self, node: int, label: str | None, new: str, leaves: int) -> Names:
        """A specimen that gets a name of its own: the taxon of this name where it is there, else a new one beside the one it
        leaves."""
        assert self._tax is not None
        if leaves <= 0:
            return self._placed(node, new)
        alone = move_of(self._tax, leaves, new)
        if alone.target == leaves:
            return tuple(self._tax.path(node)), label
        names, said = Renaming(self._tax, {leaves: alone}).become(node, label)
        return names, said if LABEL in self._ranks or said != label else alone.new

    def _placed(self, node: int, new: str) -> Names:
        """A row whose label becomes ``new``: in the place of the one taxon of this name, else where it was."""
        assert self._tax is not None
        path: list[str | None] = list(self._tax.path(node))
        named = np.flatnonzero(self._tax.names == new)
        named = named[named > 0]
        if len(named) == 1:
            rank = int(self._tax.rank[named[0]])
            path[: rank + 1] = self._tax.path(int(named[0]))[: rank + 1]
        if LABEL in self._ranks:
            path[self._ranks.index(LABEL)] = new
        return tuple(path), new

    def unknown(self) -> list[str]:
        """See :class:`biocosmos.specimens.care.cells.Proposal`."""
        return [id_ for id_ in self._by_id if id_ not in self._seen]

    def tell(self) -> None:
        """Once all went through: names that followed."""
        followed = {} if self._renaming is None else self._renaming.followed
        if followed:
            shown = ", ".join(f"'{old}' is '{new}'" for old, new in list(followed.items())[:SHOWN])
            more = ", ..." if len(followed) > SHOWN else ""
            names = "1 name" if len(followed) == 1 else f"{len(followed):,} names"
            self._summary.notes.append(f"{names} below a renamed genus followed it: {shown}{more}")
