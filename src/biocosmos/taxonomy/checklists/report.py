"""What a checklist says of names, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from biocosmos.taxonomy.checklists.checklist import Checklist
from biocosmos.taxonomy.checklists.matching import Match, Query

BETWEEN = "; "


def report(checklist: Checklist, queries: Sequence[Query], matches: Sequence[Match]) -> pa.Table:
    """A row for each name, in their order.

    ``name``; ``status``: matched, synonym, ambiguous, unknown; ``match``, its authorship and id: the usage that fits;
    ``accepted``, ``accepted_authorship``, ``accepted_id``, ``accepted_rank``: its taxon, and the taxon's name at each rank of the
    checklist; ``candidates``: to choose from where no usage or several fit; ``reason``.
    """
    rows = np.array([match.row for match in matches], np.int32)
    taxa = np.array([match.accepted for match in matches], np.int32)
    lineages = checklist.lineages(taxa)

    def text(values: pa.Array, at: np.ndarray[tuple[int], np.dtype[np.int32]]) -> pa.Array:
        return values.take(pa.array(at, mask=at < 0))

    columns = {
        "name": pa.array([query.name for query in queries], pa.string()),
        "status": pa.array([match.status for match in matches], pa.string()),
        "match": text(checklist.names, rows),
        "match_authorship": text(checklist.authorships, rows),
        "match_id": text(checklist.ids, rows),
        "accepted": text(checklist.names, taxa),
        "accepted_authorship": text(checklist.authorships, taxa),
        "accepted_id": text(checklist.ids, taxa),
        "accepted_rank": text(checklist.ranks, taxa),
        **{rank: pa.array(names, pa.string()) for rank, names in lineages.items()},
        "candidates": pa.array(
            [BETWEEN.join(shown(checklist, row) for row in match.candidates) or None for match in matches], pa.string()
        ),
        "reason": pa.array([match.reason for match in matches], pa.string()),
    }
    return pa.table(columns)


def shown(checklist: Checklist, row: int) -> str:
    """A usage as a person tells it from others: "Ammophila Kirby, 1798 (genus, Animalia > Sphecidae, id 12)"."""
    name, authorship = checklist.names[row].as_py(), checklist.authorships[row].as_py()
    taxon = int(checklist.accepted[row])
    facts = [checklist.ranks[row].as_py() or "no rank"]
    if taxon != row:
        facts.append(f"synonym of {checklist.names[taxon].as_py()}" if taxon >= 0 else "synonym of a name that is not there")
    above = [names[0] for names in checklist.lineages(np.array([max(taxon, 0)], np.int32)).values() if names[0] and taxon >= 0]
    own = checklist.names[taxon].as_py() if taxon >= 0 else None
    if path := [name for name in above if name != own]:
        facts.append(" > ".join(dict.fromkeys((path[0], path[-1]))))
    if (id := checklist.ids[row].as_py()) is not None:
        facts.append(f"id {id}")
    return f"{name}{f' {authorship}' if authorship else ''} ({', '.join(facts)})"
