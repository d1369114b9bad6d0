"""The `taxonomy=` of a reader as a checklist or a table of parents: labels are looked up, their taxa become rank columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biocosmos.errors import Failures
from biocosmos.specimens.readers.names import clean
from biocosmos.taxonomy import KNOWN_RANKS
from biocosmos.taxonomy.checklists import Checklist, Matcher, Query
from biocosmos.taxonomy.scientific_names import parse

Row = dict[str, str | None]
HELD = 1 << 16


class ChecklistRanks:
    """Label -> rank columns, looked up in a checklist when asked for.

    A label is found by its exact name in the table, else as :class:`Matcher` finds names; a synonym gets the ranks of its
    accepted taxon. What is ambiguous or unknown gets none.
    """

    def __init__(self, path: str | Path, failures: Failures | None = None) -> None:
        """Open the checklist. Raises BiocosmosError for a table whose tree is broken, with its rows."""
        self.path = Path(path)
        self.checklist = Checklist.open(path, failures=failures)
        self.ranks = tuple(rank for rank in self.checklist.rank_columns if rank not in ("label", "status"))
        self.columns = self.ranks
        self._matcher = Matcher(self.checklist)
        self._found: dict[str, tuple[Row | None, str | None]] = {}

    def find(self, label: str) -> tuple[Row | None, str | None]:
        """(the ranks of a label or None, what a person should know of it or None)."""
        if label not in self._found:
            if len(self._found) >= HELD:
                self._found.clear()
            self._found[label] = self._look_up(label)
        return self._found[label]

    def _look_up(self, label: str) -> tuple[Row | None, str | None]:
        text = clean(label)
        (match,) = self._matcher.match([Query(text or "")])
        genus = parse(text or "").genus
        if match.accepted < 0 and not match.candidates and genus not in (None, text):
            of_genus, _ = self.find(str(genus))
            if of_genus is not None:
                return of_genus, f"in the taxonomy only as {genus!r}: it has the ranks of that"
        if match.accepted < 0:
            candidates = [self.checklist.names[row].as_py() for row in match.candidates]
            more = f" ({', '.join(dict.fromkeys(candidates))})" if candidates else ""
            return None, f"{match.status} in the taxonomy: {match.reason}{more}: kept without ranks"
        lineage = self.checklist.lineages(np.array([match.accepted], np.int32))
        row: Row = {rank: lineage[rank][0] for rank in self.ranks}
        if match.status == "synonym":
            return row, f"a synonym of {self.checklist.names[match.accepted].as_py()} in the taxonomy: it has the ranks of that"
        return row, None if match.reason is None else f"found in the taxonomy, with a note: {match.reason}"


def in_order(own: tuple[str, ...] | list[str], more: tuple[str, ...]) -> list[str]:
    """Rank columns of a source and of a taxonomy in one order, coarse to fine; unknown ranks stand as in the taxonomy."""
    known = [rank for rank in KNOWN_RANKS if rank in own or rank in more]
    if all(rank in KNOWN_RANKS for rank in more):
        return known
    return [rank for rank in known if rank not in more] + list(more)
