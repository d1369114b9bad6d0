"""A collection under a new release of a checklist: synonyms are renamed, taxa that moved move, the rest is for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.check_names import NO_RANKS, look_up
from biocosmos.specimens.care.change import ChangeSummary, change
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.taxonomy import DARWIN_CORE, KNOWN_RANKS
from biocosmos.taxonomy.checklists import Checklist, Match, Query
from biocosmos.taxonomy.checklists.report import BETWEEN, shown

VERB = "taxa update"
KEEP, MOVE, RENAME, REVIEW = "keep", "move", "rename", "review"
COLUMNS = {
    "taxon": pa.string(), "rank": pa.string(), "path": pa.string(), "specimens": pa.int64(), "action": pa.string(),
    "use": pa.string(), "becomes": pa.string(), "candidates": pa.string(), "reason": pa.string(),
}  # fmt: skip
PATH = " > "


@dataclass
class TaxaUpdate:
    """review: a row for each taxon that specimens bear, with the columns of COLUMNS; ``use`` is what it becomes, by id or name
    in the checklist, blank where it stays. change: what was done or would be."""

    review: pa.Table
    change: ChangeSummary
    failures: Failures = field(default_factory=Failures)

    @property
    def counts(self) -> dict[str, int]:
        """How many taxa keep, move, rename, and wait for review."""
        counted = Counter(self.review["action"].to_pylist())
        return {action: counted[action] for action in (KEEP, MOVE, RENAME, REVIEW)}


@dataclass
class _Taxon:
    node: int
    name: str
    rank: str
    path: str
    specimens: int
    match: Match
    action: str = KEEP
    target: int = -1
    reason: str | None = None
    left: bool = False


def update_taxa(
    collection: Collection,
    checklist: str | Path | Checklist,
    *,
    columns: Mapping[str, str] | None = None,
    review: str | Path | None = None,
    apply: bool = False,
    by: str | None = None,
    note: str | None = None,
) -> TaxaUpdate:
    """Re-express the taxa of a collection as a checklist has them; one change that can be undone.

    A name that is a synonym is renamed, a taxon that stands elsewhere moves. Splits, lumps, ambiguous and unknown names are left
    as they are until a person writes what they become in the review table (column ``use``: id or name in the checklist).

    Args:
        review: that table, edited: it decides for the taxa it lists, also against what would be done by itself (blank: stays).
        apply: change the collection; without it only say what would change.
        by, note: for the history.

    Raises:
        BiocosmosError: a checklist without ranks that a collection can have; a review that names what is not there.
    """
    failures = Failures()
    if not isinstance(checklist, Checklist):
        checklist = Checklist.open(checklist, columns=columns, failures=failures)
    ranks = [rank for rank in KNOWN_RANKS if rank in checklist.rank_columns and rank not in NO_RANKS]
    ranks = [rank for rank in ranks if rank in collection.ranks or rank in DARWIN_CORE]
    if not ranks:
        raise BiocosmosError(f"{checklist.source} has no ranks such as family or species: {', '.join(checklist.rank_columns)}")
    every = _looked_up(collection, checklist)
    taxa = [taxon for taxon in every if taxon.specimens]
    _decide(collection, checklist, ranks, taxa, Counter(taxon.match.accepted for taxon in every))
    if review is not None:
        _reviewed(collection, checklist, ranks, taxa, Path(review), failures)
    table = _review_table(checklist, taxa)
    arguments = {"checklist": checklist.source, "sha256": checklist.digest, "review": str(review) if review else None}
    cells = _cells(collection, checklist, ranks, taxa)
    done = change(collection, cells, verb=VERB, by=by, note=note, arguments=arguments, clear=True, ranks=ranks, dry_run=not apply)
    if apply:
        collection.record_failures(failures)
    return TaxaUpdate(table, done, failures)


def _looked_up(collection: Collection, checklist: Checklist) -> list[_Taxon]:
    """Every taxon of the collection, looked up; those that only finer ones bear have no specimens."""
    tax = collection.taxonomy
    counts = np.zeros(len(tax), np.int64)
    for batch in collection.scan(list(collection.ranks)):
        nodes = tax.index(batch)
        counts += np.bincount(nodes[nodes > 0], minlength=len(tax))
    ranks = [rank for rank in collection.ranks if rank in KNOWN_RANKS and rank not in NO_RANKS]
    found = []
    for node in range(1, len(tax)):
        named = dict(zip(tax.ranks, tax.path(node)))
        parents = {rank: name for rank in ranks if (name := named[rank]) is not None and rank != tax.ranks[tax.rank[node]]}
        rank = tax.ranks[tax.rank[node]]
        path = PATH.join(dict.fromkeys(name for name in named.values() if name))
        query = Query(str(tax.names[node]), rank=rank if rank in ranks else None, parents=parents)
        found.append((query, (node, str(tax.names[node]), rank, path, int(counts[node]))))
    matches = look_up(checklist, [query for query, _ in found])
    return [_Taxon(*facts, match) for (_, facts), match in zip(found, matches)]


def _decide(
    collection: Collection, checklist: Checklist, ranks: Sequence[str], taxa: list[_Taxon], bearers: Counter[int]
) -> None:
    """What becomes of each taxon by itself: kept, moved, renamed, or left to a person.

    bearers: accepted taxon of the checklist -> taxa of the collection that are it, at whatever place.
    """
    tax = collection.taxonomy
    lineages = checklist.lineages(np.array([taxon.match.accepted for taxon in taxa], np.int32))
    for i, taxon in enumerate(taxa):
        match, taxon.reason = taxon.match, taxon.match.reason
        own = dict(zip(tax.ranks, tax.path(taxon.node)))
        if match.status in ("ambiguous", "unknown"):
            taxon.action = REVIEW
        elif match.status == "synonym" and bearers[match.accepted] > 1:
            taxon.action = REVIEW
            taxon.reason = f"would be lumped with another taxon of the collection as {checklist.names[match.accepted].as_py()}"
        elif match.status == "synonym":
            taxon.action, taxon.target = RENAME, match.accepted
        elif _stands_elsewhere({rank: lineages[rank][i] for rank in ranks}, own):
            taxon.action, taxon.target = MOVE, match.accepted


def _stands_elsewhere(new: Mapping[str, str | None], own: Mapping[str, str | None]) -> bool:
    return any(name not in (None, own.get(rank)) for rank, name in new.items())


def _review_table(checklist: Checklist, taxa: Sequence[_Taxon]) -> pa.Table:
    rows = []
    for taxon in taxa:
        target = taxon.target if taxon.target >= 0 or taxon.left else taxon.match.accepted
        offered = taxon.match.candidates or ((target,) if taxon.action == REVIEW and target >= 0 else ())
        rows.append(
            {
                "taxon": taxon.name,
                "rank": taxon.rank,
                "path": taxon.path,
                "specimens": taxon.specimens,
                "action": taxon.action,
                "use": _key(checklist, taxon.target),
                "becomes": shown(checklist, target) if target >= 0 else None,
                "candidates": BETWEEN.join(shown(checklist, row) for row in offered) or None,
                "reason": taxon.reason,
            }
        )
    return pa.Table.from_pylist(rows, schema=pa.schema(list(COLUMNS.items())))


def _key(checklist: Checklist, row: int) -> str | None:
    """What a person writes for a taxon: its id, or its name in a list without ids."""
    if row < 0:
        return None
    return str(checklist.ids[row].as_py() or checklist.names[row].as_py())


def _reviewed(
    collection: Collection, checklist: Checklist, ranks: Sequence[str], taxa: Sequence[_Taxon], path: Path, failures: Failures
) -> None:
    """Take a person's decisions over; what cannot be followed is told, and the taxon stays as it is and waits for review."""
    by_path = {(taxon.path, taxon.rank): taxon for taxon in taxa}
    ids = {id: row for row, id in enumerate(checklist.ids.to_pylist()) if id is not None}
    for number, row in _rows(path, failures):
        taxon = by_path.get((row.get("path") or "", row.get("rank") or ""))
        use = (row.get("use") or "").strip()
        if taxon is None:
            failures.add(f"no specimen bears the taxon {row.get('path')!r}", stage=VERB, source=path, row=number)
            continue
        by_itself, taxon.target = taxon.target, -1
        if not use:
            if taxon.action in (MOVE, RENAME):
                taxon.action, taxon.left, taxon.reason = KEEP, True, "the review leaves it as it is"
            continue
        target = ids.get(use, -1)
        if target < 0:
            (match,) = look_up(checklist, [Query(use)])
            target = match.row
        if target < 0 or checklist.accepted[target] < 0:
            reason = f"{use!r} is no one taxon of the checklist, by id or name: {taxon.name} stays as it is"
            failures.add(reason, stage=VERB, source=path, row=number)
            taxon.action, taxon.reason = REVIEW, reason
            continue
        taxon.target = int(checklist.accepted[target])
        if taxon.target != by_itself:
            taxon.action, taxon.reason = _decided(collection, checklist, ranks, taxon), "as the review says"


def _decided(collection: Collection, checklist: Checklist, ranks: Sequence[str], taxon: _Taxon) -> str:
    """What a person's choice does with a taxon."""
    if checklist.names[taxon.target].as_py() != taxon.name:
        return RENAME
    lineages = checklist.lineages(np.array([taxon.target], np.int32))
    own = dict(zip(collection.taxonomy.ranks, collection.taxonomy.path(taxon.node)))
    return MOVE if _stands_elsewhere({rank: lineages[rank][0] for rank in ranks}, own) else KEEP


def _rows(path: Path, failures: Failures) -> Iterator[tuple[int, dict[str, str]]]:
    with open_table(path, failures=failures) as table:
        missing = [name for name in ("path", "rank", "use") if name not in table.header]
        if missing:
            raise BiocosmosError(f"{path} has no column {missing[0]!r}: is it the table that 'taxa update -o' wrote?")
        for number, cells in table.rows():
            yield number, dict(zip(table.header, cells))


def _cells(collection: Collection, checklist: Checklist, ranks: Sequence[str], taxa: Sequence[_Taxon]) -> pa.Table:
    """``id`` and the new names at every rank, for the specimens of taxa that change."""
    tax = collection.taxonomy
    targets = [taxon for taxon in taxa if taxon.target >= 0]
    lineages = checklist.lineages(np.array([taxon.target for taxon in targets], np.int32))
    new: dict[int, list[str | None]] = {}
    for i, taxon in enumerate(targets):
        own = dict(zip(tax.ranks, tax.path(taxon.node)))
        depth = checklist.rank_place(taxon.target)
        # a rank above the taxon that the list leaves out stays as it was; below it nothing can stand
        new[taxon.node] = [
            lineages[rank][i] or (own.get(rank) if checklist.rank_columns.index(rank) < depth else None) for rank in ranks
        ]
    ids: list[str] = []
    values: list[list[str | None]] = []
    for batch in collection.scan(list(dict.fromkeys(["id", *collection.ranks]))):
        for id, node in zip(batch.column("id").to_pylist(), tax.index(batch).tolist()):
            if node in new:
                ids.append(id)
                values.append(new[node])
    columns = {rank: pa.array([row[i] for row in values], pa.string()) for i, rank in enumerate(ranks)}
    return pa.table({"id": pa.array(ids, pa.string()), **columns})
