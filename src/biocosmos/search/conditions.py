"""SQL conditions: a taxon on rank columns, and several as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biocosmos.taxonomy import Taxonomy


def within_condition(taxonomy: Taxonomy, taxon: str | int) -> str | None:
    """The condition that a row is ``taxon`` (a name the taxonomy finds, or a node id) or below it; None for the root.

    A null rank above the taxon is part of its path: without it a homonym that has that rank would come along.
    Raises BiocosmosError for an unknown or ambiguous name.
    """
    node = taxonomy.find(taxon) if isinstance(taxon, str) else int(taxon)
    path = taxonomy.path(node)[: int(taxonomy.rank[node]) + 1]
    terms = (f"`{rank}` IS NULL" if name is None else f"`{rank}` = {quoted(name)}" for rank, name in zip(taxonomy.ranks, path))
    return " AND ".join(terms) or None


def all_of(*conditions: str | None) -> str | None:
    """The condition that each of these holds, those that are None left out; None where there is none."""
    return " AND ".join(f"({condition})" for condition in conditions if condition is not None) or None


def quoted(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
