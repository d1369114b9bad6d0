"""Are these names in a checklist, and what does it call them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_there
from biocosmos.progress import progress
from biocosmos.specimens.census import count_taxa
from biocosmos.specimens.collection import Collection
from biocosmos.taxonomy.checklists import Checklist, Match, Matcher, Query
from biocosmos.taxonomy.checklists.report import report
from biocosmos.taxonomy.name_lists import NAME_COLUMNS, read_name_list
from biocosmos.taxonomy.ranks import KNOWN_RANKS

AUTHORSHIP_COLUMNS = ("authorship", "scientificnameauthorship", "authority", "author", "authors")
RANK_COLUMNS = ("rank", "taxonrank", "taxon_rank")
NO_RANKS = ("label", "status")  # of ours, that say nothing about a taxon
AT_ONCE = 200_000


@dataclass
class NamesChecked:
    """table: see :func:`biocosmos.taxonomy.checklists.report.report`, with ``specimens`` of a collection. digest: sha256 of the
    checklist's tables. failures: faults of the checklist, lines that are no names."""

    table: pa.Table
    digest: str
    failures: Failures

    @property
    def counts(self) -> dict[str, int]:
        """How many names are matched, synonym, ambiguous, unknown."""
        counted = Counter(self.table["status"].to_pylist())
        return {status: counted[status] for status in ("matched", "synonym", "ambiguous", "unknown")}


def check_names(
    names: str | Path | Collection, checklist: str | Path | Checklist, *, columns: Mapping[str, str] | None = None
) -> NamesChecked:
    """Look up the taxa of a collection, or a list of names, in a checklist.

    Args:
        names: a collection or its path, or a file: one name a line, or a table with a column of names and, where it has them,
            of authors (``authorship``), the rank, and parents (``kingdom``, ``family`` ...), which tell homonyms apart.
        checklist: ColDP, the GBIF backbone, a WoRMS export or a parent-child table; a file, a zip or a folder.
        columns: the checklist's columns -> ours (id, parent_id, accepted_id, name, authorship, rank, status), over every guess.

    Raises:
        BiocosmosError: a list without names; what is no checklist.
    """
    failures = Failures()
    if not isinstance(checklist, Checklist):
        checklist = Checklist.open(checklist, columns=columns, failures=failures)
    if isinstance(names, Collection) or is_there(Path(names) / "collection.json"):
        collection = names if isinstance(names, Collection) else Collection.open(names)
        queries, specimens = queries_of(collection)
    else:
        queries, specimens = listed(Path(names), failures), None
    matches = look_up(checklist, queries)
    table = report(checklist, queries, matches)
    if specimens is not None:
        table = table.add_column(1, "rank", pa.array([query.rank for query in queries], pa.string()))
        table = table.add_column(2, "specimens", pa.array(specimens, pa.int64()))
    return NamesChecked(table, checklist.digest, failures)


def look_up(checklist: Checklist, queries: list[Query]) -> list[Match]:
    """A match for each query; equal queries are looked up once."""
    distinct = {_key(query): query for query in queries}
    matcher, found = Matcher(checklist), dict[object, Match]()
    keys = list(distinct)
    with progress("look up names", total=len(keys), unit="names") as bar:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            found |= zip(part, matcher.match([distinct[key] for key in part]))
            bar.advance(len(part))
    return [found[_key(query)] for query in queries]


def _key(query: Query) -> tuple[object, ...]:
    return query.name, query.authorship, query.rank, tuple(query.parents.items())


def queries_of(collection: Collection) -> tuple[list[Query], list[int]]:
    """(a query for every taxon of a collection in depth-first order, its specimens at it or below)."""
    counted = count_taxa(collection)
    ranks = [rank for rank in collection.ranks if rank in KNOWN_RANKS and rank not in NO_RANKS]
    queries = []
    for row in counted.to_pylist():
        parents = {rank: row[rank] for rank in ranks if row[rank] is not None and rank != row["rank"]}
        queries.append(Query(row["taxon"], rank=row["rank"] if row["rank"] in ranks else None, parents=parents))
    return queries, counted["specimens"].to_pylist()


def listed(path: Path, failures: Failures) -> list[Query]:
    """The names of a file, in its order; blank ones become failures. Raises BiocosmosError when none is left."""
    table = read_name_list(path, failures=failures)
    column = table.column(*NAME_COLUMNS, *reversed(KNOWN_RANKS)) or 0
    author, rank = table.column(*AUTHORSHIP_COLUMNS), table.column(*RANK_COLUMNS)
    above = [
        (name, i) for i, name in enumerate(table.header or []) if name in KNOWN_RANKS and i != column and name not in NO_RANKS
    ]
    queries = []
    for number, cells in table.rows:

        def cell(at: int | None, cells: list[str] = cells) -> str | None:
            return cells[at] or None if at is not None and at < len(cells) else None

        name = cell(column)
        if name is None:
            failures.add("no name", stage="names", source=path, row=number)
            continue
        parents = {rank: value for rank, i in above if (value := cell(i)) is not None}
        own = cell(rank)
        queries.append(Query(name, cell(author), own.lower() if own else None, parents))
    if not queries:
        raise BiocosmosError(f"{path} has no names: write one a line, or a table with a column 'name'")
    return queries


__all__ = ["NamesChecked", "check_names", "listed", "look_up", "queries_of"]
