"""Saying what specimens are, taking it back, and what of it stands."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.specimens.by_hand.acts import FOLDER, SCHEMA, STAGE, WITHDRAWN, append
from biocosmos.specimens.by_hand.files import compact, read_rows
from biocosmos.specimens.by_hand.replay import LAST, NOBODY, last_of, stands
from biocosmos.specimens.care.entry import who
from biocosmos.specimens.positions import positions_of
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]
EVERY = 256
"""Acts of one process after which it merges the files."""
_acts = itertools.count(1)


@dataclass(frozen=True)
class Recorded:
    """What was recorded. path: None where no row could be; rows: identifications; failures: rows that were refused, and why."""

    path: Path | None
    rows: int
    failures: Failures = field(default_factory=Failures)


@dataclass(frozen=True)
class Undone:
    """act: the name of the one that was taken back; path: of the act that does so; rows: identifications that stood till then."""

    act: str
    path: Path
    rows: int


def record(
    collection: Collection,
    table: Any,
    *,
    by: str | None = None,
    how: str = "",
    note: str = "",
    status: Literal["validated", "dubious"] = "validated",
) -> Recorded:
    """Append what a person says of specimens.

    table: what Arrow takes for a table, with ``id``, ``taxon`` (a name the taxonomy finds: "Copepoda", "class:Copepoda",
    "Animalia/Arthropoda" for homonyms) and, if told, ``rank``: a name that is not in the taxonomy yet is taken with a rank of the
    collection. by: who; by default the user who is logged in. how: what for, "label audit".

    A row with an unknown specimen, no name, or a name of several taxa or of none is refused: see ``failures``. Raises
    BiocosmosError for a table without these columns.
    """
    table = pa.table(table)
    missing = [name for name in ("id", "taxon") if name not in table.column_names]
    if missing:
        raise BiocosmosError(f"identifications need the columns id and taxon: there is no '{missing[0]}'")
    failures = Failures()
    ids = table["id"].cast(pa.string()).to_pylist()
    names = table["taxon"].cast(pa.string()).to_pylist()
    ranks = table["rank"].cast(pa.string()).to_pylist() if "rank" in table.column_names else [None] * len(ids)
    there = {*_stored(collection, ids)}
    tree = collection.taxonomy if collection.ranks else None
    read = {each: meant(tree, collection.ranks, *each) for each in {*zip(names, ranks)}}
    rows = []
    for id_, name, rank in zip(ids, names, ranks):
        taxon, said, problem = read[name, rank]
        if id_ not in there:
            problem = "no specimen of the collection has this id"
        if problem:
            failures.add(problem, stage=STAGE, id=id_)
        else:
            rows.append((id_, taxon, said))
    if not rows:
        return Recorded(None, 0, failures)
    found = {"id": [row[0] for row in rows], "taxon": [row[1] for row in rows], "rank": [row[2] for row in rows]}
    done = Recorded(append(collection, found, status, by=by, how=how, note=note), len(rows), failures)
    _now_and_then(collection)
    return done


def withdraw(collection: Collection, ids: Sequence[str], *, by: str | None = None, how: str = "", note: str = "") -> Recorded:
    """Take back, by a row more, the last standing identification that this person made of each specimen; the one before stands
    again. Specimens of which the person has said nothing that stands are refused: see ``failures``."""
    by, failures = who(by), Failures()
    mine = {row["id"]: row for row in standing(collection).to_pylist() if row["by"] == by}
    rows = []
    for id_ in map(str, ids):
        if id_ in mine:
            rows.append(mine[id_])
        else:
            failures.add(f"nothing that {by} said of it stands", stage=STAGE, id=id_)
    if not rows:
        return Recorded(None, 0, failures)
    return Recorded(append(collection, taken_back(rows), WITHDRAWN, by=by, how=how, note=note), len(rows), failures)


def undo(collection: Collection, *, by: str | None = None, how: str = "undo") -> Undone | None:
    """Take back, by a row more each, all that still stands of this person's last act; None where nothing stands.

    Called again it takes back the act before, and so on, from the files alone: no process has to remember anything.
    """
    by = who(by)
    whole = history(collection)
    alive = _alive(whole) & np.asarray(pc.equal(whole["by"], by).to_numpy(zero_copy_only=False), bool)
    rows = np.flatnonzero(alive)
    if not len(rows):
        return None
    act = whole["act"][int(rows[-1])].as_py()
    chosen = whole.take(pa.array(rows)).filter(pc.equal(whole["act"].take(pa.array(rows)), act)).to_pylist()
    return Undone(act, append(collection, taken_back(chosen), WITHDRAWN, by=by, how=how), len(chosen))


def taken_back(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns of the rows that take back ``rows`` of a history."""
    found = {name: [row[name] for row in rows] for name in ("id", "taxon", "rank")}
    return found | {"undoes": [row["act"] for row in rows]}


def history(collection: Collection, ids: Sequence[str] | None = None) -> pa.Table:
    """Every row, oldest first: id, taxon, rank, status, by, how, note, at (UTC), act (the name of its file, however it is stored
    now), undoes (the act that a withdrawn row takes back; null where it takes back the last). Raises BiocosmosError for a damaged
    file."""
    whole, _ = read_rows(collection.path / FOLDER)
    if ids is not None:
        whole = whole.filter(pc.is_in(whole["id"], value_set=pa.array([str(id_) for id_ in ids], pa.string())))
    return whole.cast(SCHEMA).replace_schema_metadata(None)


def standing(collection: Collection) -> pa.Table:
    """The last identification of each specimen by each person that was not taken back: rows of :func:`history`, oldest first."""
    whole = history(collection)
    rows = np.flatnonzero(_alive(whole))
    return whole.take(pa.array(rows[last_of(_stacks(whole)[rows])], pa.int64()))


def current(collection: Collection) -> pa.Table:
    """What each specimen is called by the last who named it: the columns of :func:`history` and ``disagreed``, whether what
    somebody else says of it stands and is another name. In the order in which the names were given."""
    rows = standing(collection)
    ids, names = _codes(rows["id"]), _codes(rows["taxon"])
    kept = last_of(ids)
    there = names >= 0  # who doubts without a name gives no other name
    pairs = np.unique(ids[there] * np.int64(max(int(names.max(initial=0)) + 1, 1)) + names[there])
    many = np.bincount(pairs // max(int(names.max(initial=0)) + 1, 1), minlength=int(ids.max(initial=0)) + 1) > 1
    disagreed = pa.array(many[ids[kept]] if len(kept) else np.empty(0, bool), pa.bool_())
    return rows.take(pa.array(kept, pa.int64())).append_column("disagreed", disagreed)


def _now_and_then(collection: Collection) -> None:
    """Merge the files after many acts of this process, where nobody else does. What was recorded stands either way."""
    if next(_acts) % EVERY == 0:
        with suppress(BiocosmosError, OSError):
            compact(collection)


def _alive(whole: pa.Table) -> Array:
    """(n,) bool: rows of a history that name something and were not taken back."""
    acts = pc.unique(whole["act"])
    act = pc.index_in(whole["act"], value_set=acts).to_numpy(zero_copy_only=False)
    undone = pc.index_in(whole["undoes"], value_set=acts).fill_null(NOBODY).to_numpy(zero_copy_only=False)
    undone = np.where(pc.is_null(whole["undoes"]).to_numpy(zero_copy_only=False), LAST, undone)
    withdrawn = pc.equal(whole["status"], WITHDRAWN).to_numpy(zero_copy_only=False)
    return stands(_stacks(whole), act, undone, withdrawn)


def _stacks(whole: pa.Table) -> Array:
    """(n,) int64: a number for each pair of a specimen and a person."""
    by = _codes(whole["by"])
    return _codes(whole["id"]) * np.int64(int(by.max(initial=0)) + 1) + by


def _codes(column: pa.ChunkedArray) -> Array:
    """(n,) int64: a number for each distinct word, -1 for null."""
    coded = column.combine_chunks().dictionary_encode()
    return np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def meant(tree: Taxonomy | None, ranks: Sequence[str], name: str | None, rank: str | None) -> tuple[str, str | None, str]:
    """(taxon, rank, problem) of what was typed: a name that ``tree`` finds, or a new one with one of ``ranks``; any name is taken
    where there is no tree. One of taxon and problem is empty."""
    if name is None or not name.strip():
        return "", None, "no name is given"
    name = name.strip()
    if tree is None:
        return name, rank, ""
    try:
        node = tree.find(f"{rank}:{name}" if rank else name)
    except BiocosmosError as error:
        new = rank in ranks and not (tree.names == name).any()
        return (name, rank, "") if new else ("", None, first_line(error))
    return str(tree.names[node]), str(tree.ranks[int(tree.rank[node])]) if node else None, ""


def _stored(collection: Collection, ids: Sequence[str | None]) -> list[str]:
    """Those of ``ids`` that specimens have."""
    wanted = pa.array(ids, pa.string())
    return [id_ for id_, place in zip(ids, positions_of(collection.dataset, wanted)) if place >= 0 and id_ is not None]
