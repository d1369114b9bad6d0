"""Specimens taken out of a collection; the history keeps all they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care.apply import ROWS_OF_NARROW_PIECES
from biocosmos.specimens.care.change import ChangeSummary, already
from biocosmos.specimens.care.draft import Draft
from biocosmos.specimens.care.entry import Entry
from biocosmos.specimens.care.log import Log
from biocosmos.specimens.care.writing import done_already, writing
from biocosmos.specimens.positions import as_ids, positions_of

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

VERB = "remove"


def remove(
    collection: Collection,
    ids: Sequence[str] | pa.Array | None = None,
    *,
    split: str | None = None,
    within: str | None = None,
    where: str | None = None,
    by: str | None = None,
    note: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> ChangeSummary:
    """Take out the specimens of these ids, or of a selection (see :meth:`Collection.scan`), or of both at once.

    Vectors and packed images go too, and come back with :meth:`Collection.undo`. Image files are left where they lie, and splits
    as they are: a split may name specimens that are not there.

    Raises BiocosmosError where nothing was said, and where no specimen is meant.
    """
    selection = {"split": split, "within": within, "where": where}
    if ids is None and not any(selection.values()):
        raise BiocosmosError("say which specimens: by ids, or with split, within or where")
    said = {name: value for name, value in selection.items() if value is not None}
    with writing(collection, VERB, dry_run=dry_run):
        done = done_already(collection, VERB, {**said, **(arguments or {})})
        if done is not None and (ids is None or _all_in(collection, done, ids)):
            collection.interrupted = collection.interrupted if dry_run else None
            return already(done)
        summary = ChangeSummary()
        chosen = _chosen(collection, ids, selection, summary)
        summary.specimens = len(chosen)
        if not len(chosen):
            raise BiocosmosError(f"no specimen of {collection.path} is meant: nothing was removed")
        summary.ids = chosen
        if dry_run:
            return summary
        draft = Draft(collection, VERB, by=by, note=note, arguments={**said, **(arguments or {})})
        piece = draft.removed(chosen)
        collection.record_failures(summary.failures, of_change=draft.number)
        summary.entry = draft.carry_out([piece], counts={"specimens": len(chosen)})
    return summary


def _all_in(collection: Collection, done: Entry, ids: Sequence[str] | pa.Array) -> bool:
    """Whether all that a change took out is among ``ids``, and none of these is there."""
    asked = as_ids(ids)
    log = Log(collection.path)
    gone = [batch.column("id") for piece in done.pieces for batch in log.batches(piece, ["id"], rows=ROWS_OF_NARROW_PIECES)]
    among = all(pc.all(pc.is_in(part, value_set=asked)).as_py() for part in gone)
    return among and bool((positions_of(collection.dataset, asked) < 0).all())


def _chosen(
    collection: Collection, ids: Sequence[str] | pa.Array | None, selection: Mapping[str, Any], summary: ChangeSummary
) -> pa.Array:
    """The ids of the specimens that are meant, in the order they are stored; what is asked for and is not there is told."""
    asked = None if ids is None else pc.unique(as_ids(ids))
    parts: list[pa.Array] = []
    for batch in collection.scan(["id"], **selection):
        found = batch.column("id")
        parts.append(found if asked is None else found.filter(pc.is_in(found, value_set=asked)))
    chosen = pa.concat_arrays(parts) if parts else pa.array([], pa.string())
    if asked is not None:
        there = pc.is_in(asked, value_set=chosen)
        elsewhere = "no specimen has this id" if not any(selection.values()) else "no specimen of the selection has this id"
        for id_ in asked.filter(pc.invert(there)).to_pylist():
            summary.failures.add(elsewhere, stage=VERB, id=id_)
    return chosen
