"""Identifications that people made: append-only, who said what of which specimen, when and how.

    plankton.cosmos/identifications/by_hand/20261129T101500000000Z-4711-0.parquet

A file for each act, so that two people at once lose nothing. A name that is given again, or taken back, is a row more: nothing is
overwritten, and the labels of the collection stay as they are until somebody asks for them (:func:`labels_from`, an act of the
collection's history that can be undone).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.provenance import package_version
from biocosmos.specimens.care.entry import who
from biocosmos.specimens.positions import positions_of
from biocosmos.tables import write_table
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    from biocosmos.specimens.care.change import ChangeSummary
    from biocosmos.specimens.collection import Collection

Status = Literal["validated", "dubious", "withdrawn"]
FOLDER = Path("identifications") / "by_hand"
STAGE = "identify by hand"
VALIDATED, DUBIOUS, WITHDRAWN = "validated", "dubious", "withdrawn"
_TEXT = ("id", "taxon", "rank", "status", "by", "how", "note")
_SCHEMA = pa.schema([*((name, pa.string()) for name in _TEXT), ("at", pa.timestamp("us", tz="UTC"))])
_numbers = itertools.count()


@dataclass(frozen=True)
class Recorded:
    """What was recorded. path: None where no row could be; rows: identifications; failures: rows that were refused, and why."""

    path: Path | None
    rows: int
    failures: Failures = field(default_factory=Failures)


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
    meant = {each: _meant(collection, *each) for each in {*zip(names, ranks)}}
    rows = []
    for id_, name, rank in zip(ids, names, ranks):
        taxon, said, problem = meant[name, rank]
        if id_ not in there:
            problem = "no specimen of the collection has this id"
        if problem:
            failures.add(problem, stage=STAGE, id=id_)
        else:
            rows.append((id_, taxon, said))
    if not rows:
        return Recorded(None, 0, failures)
    found = {"id": [row[0] for row in rows], "taxon": [row[1] for row in rows], "rank": [row[2] for row in rows]}
    return Recorded(_append(collection, found, status, by, how, note), len(rows), failures)


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
    found = {name: [row[name] for row in rows] for name in ("id", "taxon", "rank")}
    return Recorded(_append(collection, found, WITHDRAWN, by, how, note), len(rows), failures)


def history(collection: Collection, ids: Sequence[str] | None = None) -> pa.Table:
    """Every row, oldest first: id, taxon, rank, status, by, how, note, at (UTC). Raises BiocosmosError for a damaged file."""
    parts = [_SCHEMA.empty_table()]
    for path in sorted((collection.path / FOLDER).glob("*.parquet")):
        try:
            parts.append(pq.read_table(path, columns=_SCHEMA.names).cast(_SCHEMA))
        except (OSError, pa.ArrowException) as error:
            raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it from a backup") from error
    whole = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    if ids is not None:
        whole = whole.filter(pc.is_in(whole["id"], value_set=pa.array([str(id_) for id_ in ids], pa.string())))
    return whole.sort_by("at")


def standing(collection: Collection) -> pa.Table:
    """The last identification of each specimen by each person that was not taken back: rows of :func:`history`, oldest first."""
    said: dict[tuple[str, str], list[int]] = {}
    whole = history(collection)
    for row, (id_, by, status) in enumerate(zip(*(whole[name].to_pylist() for name in ("id", "by", "status")))):
        mine = said.setdefault((id_, by), [])
        if status != WITHDRAWN:
            mine.append(row)
        elif mine:
            mine.pop()
    return whole.take(pa.array(sorted(rows[-1] for rows in said.values() if rows), pa.int64()))


def current(collection: Collection) -> pa.Table:
    """What each specimen is called by the last who named it: the columns of :func:`history` and ``disagreed``, whether what
    somebody else says of it stands and is another name. In the order in which the names were given."""
    rows = standing(collection)
    ids, names = rows["id"].to_pylist(), rows["taxon"].to_pylist()
    last = {id_: row for row, id_ in enumerate(ids)}
    called: dict[str, set[str]] = {}
    for id_, name in zip(ids, names):
        called.setdefault(id_, set()).add(name)
    kept = sorted(last.values())
    disagreed = pa.array([len(called[ids[row]]) > 1 for row in kept], pa.bool_())
    return rows.take(pa.array(kept, pa.int64())).append_column("disagreed", disagreed)


def labels_from(
    collection: Collection, *, by: str | None = None, note: str | None = None, dry_run: bool = False
) -> ChangeSummary:
    """Make what people said the labels and ranks of the specimens, as one change of the history that ``undo`` takes back.

    Names that are doubted, and specimens of which two people say different things, are left as they are and told (failures of the
    summary). Ranks below the name are cleared.
    """
    from biocosmos.specimens.care.change import change

    rows = current(collection).to_pylist()
    tree, ranks = collection.taxonomy if collection.ranks else None, collection.ranks
    table: dict[str, list[Any]] = {"id": [], "label": [], **{rank: [] for rank in ranks if rank != "label"}}
    left = Failures()
    for row in rows:
        if row["disagreed"] or row["status"] == DUBIOUS:
            why = "two people give it different names" if row["disagreed"] else f"{row['by']} doubts the name {row['taxon']}"
            left.add(f"{why}: the label was left as it is", stage=STAGE, id=row["id"], severity="warning")
            continue
        path = _path(tree, row["taxon"], row["rank"])
        table["id"].append(row["id"])
        table["label"].append(path.get("label") if "label" in ranks else row["taxon"])
        for rank in table.keys() - {"id", "label"}:
            table[rank].append(path.get(rank))
    columns = {name: pa.array(cells, pa.string()) for name, cells in table.items()}
    summary = change(collection, columns, verb="update", by=by, note=note or "names given by hand", clear=True, dry_run=dry_run)
    summary.failures.extend(left)
    return summary


def _path(tree: Taxonomy | None, taxon: str, rank: str | None) -> Mapping[str, str | None]:
    """Rank -> name of a taxon; of a name that is not in the tree its own rank alone."""
    if tree is not None:
        try:
            node = tree.find(f"{rank}:{taxon}" if rank else taxon)
        except BiocosmosError:
            return {rank: taxon} if rank else {}
        return dict(zip(tree.ranks, tree.path(node)))
    return {}


def _meant(collection: Collection, name: str | None, rank: str | None) -> tuple[str, str | None, str]:
    """(taxon, rank, problem) of what was typed."""
    if name is None or not name.strip():
        return "", None, "no name is given"
    name = name.strip()
    if not collection.ranks:
        return name, rank, ""
    tree = collection.taxonomy
    try:
        node = tree.find(f"{rank}:{name}" if rank else name)
    except BiocosmosError as error:
        new = rank in collection.ranks and not (tree.names == name).any()
        return (name, rank, "") if new else ("", None, first_line(error))
    return str(tree.names[node]), str(tree.ranks[int(tree.rank[node])]) if node else None, ""


def _append(collection: Collection, rows: dict[str, list[Any]], status: str, by: str | None, how: str, note: str) -> Path:
    now, count = datetime.now(timezone.utc), len(rows["id"])
    same = {"status": status, "by": who(by), "how": how, "note": note, "at": now}
    cells = [rows[name] if name in rows else [same[name]] * count for name in _SCHEMA.names]
    columns = [pa.array(each, kind) for each, kind in zip(cells, _SCHEMA.types)]
    path = collection.path / FOLDER / f"{now:%Y%m%dT%H%M%S%f}Z-{os.getpid()}-{next(_numbers)}.parquet"
    return write_table(pa.table(columns, schema=_SCHEMA), path, {"software": {"biocosmos": package_version()}})


def _stored(collection: Collection, ids: Sequence[str | None]) -> list[str]:
    """Those of ``ids`` that specimens have."""
    wanted = pa.array(ids, pa.string())
    return [id_ for id_, place in zip(ids, positions_of(collection.dataset, wanted)) if place >= 0 and id_ is not None]
