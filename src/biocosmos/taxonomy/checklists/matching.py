"""Names looked up in a checklist: matched, synonym, ambiguous or unknown, with candidates and the reason.

Nothing is guessed. A name is taken only where it is spelt as in the list (letter case, accents and hybrid signs aside), and one
taxon alone fits; authors and parents that come with the name tell homonyms apart. What is only spelt alike is offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.taxonomy.checklists import authors
from biocosmos.taxonomy.checklists.checklist import Checklist, Int32
from biocosmos.taxonomy.checklists.folding import folded, folded_word
from biocosmos.taxonomy.checklists.formats import ACCEPTED, MISAPPLIED, UNPLACED
from biocosmos.taxonomy.checklists.spelling import OFFERED, Speller
from biocosmos.taxonomy.scientific_names import Name, parse

Status = Literal["matched", "synonym", "ambiguous", "unknown"]
NONE = -1
# A parent of another kingdom is another taxon (Ammophila, a wasp and a grass); below, and among the kingdoms that share algae
# and protists, classifications differ while the taxon is the same.
DECISIVE = "kingdom"
SAME_TAXON = {"metazoa": "animalia", "viridiplantae": "plantae", "archaeplastida": "plantae", "monera": "bacteria"}
SHARED_KINGDOMS = frozenset(["plantae", "chromista", "protozoa", "protista", "bacteria", "eukaryota"])


@dataclass(frozen=True)
class Query:
    """A name to look up, and what is known of it. parents: rank -> name of taxa above it; rank: of the taxon itself."""

    name: str
    authorship: str | None = None
    rank: str | None = None
    parents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """What a checklist says of a name.

    row: the usage that fits, -1 where none or several do; accepted: the row of its taxon. candidates: rows to choose from, best
    first. reason: why it is not simply matched, in words; None for a plain match. of: "genus" where only the genus was looked up.
    """

    status: Status
    row: int = NONE
    accepted: int = NONE
    candidates: tuple[int, ...] = ()
    reason: str | None = None


class Matcher:
    """Looks names up in one checklist.

    >>> Matcher(Checklist.open("WoRMS/")).match([Query("Calanus finmarchicus (Gunnerus, 1770)")])[0].status
    'matched'
    """

    def __init__(self, checklist: Checklist) -> None:
        self.checklist = checklist
        self.speller = Speller(checklist)

    def match(self, queries: Sequence[Query]) -> list[Match]:
        """A :class:`Match` for each query, in their order. The lookup of exact names is one step for all."""
        asked = [_Asked(query) for query in queries]
        found = self._keys([a.text for a in asked])
        verbatim = self._keys([a.query.name if key < 0 and a.text != a.query.name else None for a, key in zip(asked, found)])
        lost = [a for a, key, other in zip(asked, found, verbatim) if key < 0 and other < 0 and a.text is not None]
        for a, text in zip(lost, folded(pa.array([a.text for a in lost], pa.string())).to_pylist()):
            a.genus, _, a.rest = text.partition(" ")
        places = pc.index_in(pa.array([a.genus for a in lost], pa.string()), value_set=self.checklist.genera[0]).to_pylist()
        for a, place in zip(lost, places):
            a.genus_place = place
        return [self._one(a, key if key >= 0 else other, key < 0 <= other) for a, key, other in zip(asked, found, verbatim)]

    def _keys(self, texts: Sequence[str | None]) -> list[int]:
        return [int(at) for at in self.checklist.find(folded(pa.array(texts, pa.string())))]

    def _one(self, asked: _Asked, key: int, verbatim: bool) -> Match:
        if key < 0:
            return self._of_genus_and_author(asked) or self._unknown(asked)
        rows = self.checklist.rows_of_key(key).tolist()
        if len(rows) == 1 and self._is_plain(asked, rows[0]) and asked.only_genus is None:
            return Match("matched", rows[0], rows[0])
        only_genus = None if verbatim else asked.only_genus
        if len(rows) > 1:
            rows = self._told_apart(asked, rows)
        return self._settled(asked, rows, only_genus)

    def _is_plain(self, asked: _Asked, row: int) -> bool:
        """Whether the one usage of a name is an accepted taxon that nothing known of the name speaks against."""
        if asked.query.parents or self.checklist.accepted[row] != row or self.checklist.unusual[row]:
            return False
        return (
            asked.authorship is None
            or authors.compare(asked.authorship, self.checklist.authorships[row].as_py()) != authors.OTHER
        )

    # ---- names that are there ----------------------------------------------------------------------------------------

    def _told_apart(self, asked: _Asked, rows: list[int]) -> list[int]:
        """Those of the usages of a name that rank, authors and parents leave."""
        checklist = self.checklist
        if asked.rank is not None:
            rows = [row for row in rows if checklist.ranks[row].as_py() in (asked.rank, None)] or rows
        if asked.authorship is not None:
            alike = [authors.compare(asked.authorship, checklist.authorships[row].as_py()) for row in rows]
            best = max(alike)
            if best > authors.UNSAID:
                rows = [row for row, how in zip(rows, alike) if how == best]
            elif best == authors.UNSAID:
                rows = [row for row, how in zip(rows, alike) if how != authors.OTHER]
        if asked.query.parents and len(rows) > 1:
            against = [self._against(asked, row) for row in rows]
            rows = [row for row, ranks in zip(rows, against) if not self._elsewhere(asked, ranks)] or rows
            if len(rows) > 1:
                against = [self._against(asked, row) for row in rows]
                rows = [row for row, ranks in zip(rows, against) if len(ranks) == min(map(len, against))]
        proper = [row for row in rows if not checklist.unusual[row]]
        return proper or rows

    def _settled(self, asked: _Asked, rows: list[int], only_genus: str | None) -> Match:
        checklist = self.checklist
        taxa = {int(checklist.accepted[row]) for row in rows}
        if len(taxa) > 1 and NONE not in taxa:
            top = min(taxa, key=lambda taxon: (checklist.rank_place(taxon), taxon))
            if all(checklist.is_within(taxon, top) for taxon in taxa):  # a genus and its subgenus of the same name
                rows = [row for row in rows if checklist.accepted[row] == top]
                taxa = {top}
        if len(taxa) > 1:
            ranked = sorted(rows, key=lambda row: (checklist.statuses[row].as_py() != ACCEPTED, row))
            return Match("ambiguous", candidates=tuple(ranked), reason=self._what_differs(asked, rows))
        row = next((row for row in rows if checklist.accepted[row] == row), rows[0])
        taxon = taxa.pop()
        if taxon < 0:
            return Match("unknown", row, candidates=(row,), reason="it is a synonym whose accepted name the checklist lacks")
        against = self._against(asked, row)
        if self._elsewhere(asked, against):
            reason = f"the checklist has this name in {against[DECISIVE]}, not in {asked.query.parents[DECISIVE]}"
            return Match("unknown", candidates=(row,), reason=reason)
        if authors.compare(asked.authorship, checklist.authorships[row].as_py()) == authors.OTHER:
            reason = f"the checklist has this name by {checklist.authorships[row].as_py()}, not by {asked.authorship}: a homonym?"
            return Match("ambiguous", candidates=(row,), reason=reason)
        status = checklist.statuses[row].as_py()
        if status == MISAPPLIED:
            return Match("ambiguous", candidates=(row,), reason="the name is misapplied: it was used for another taxon")
        notes = [only_genus] if only_genus else []
        notes += [f"the checklist has the {rank} {name}, not {asked.query.parents[rank]}" for rank, name in against.items()]
        if status == UNPLACED:
            notes.append("the checklist lists the name without a place in its tree")
        said: Status = "matched" if taxon == row else "synonym"
        return Match(said, row, taxon, reason="; ".join(notes) or None)

    @staticmethod
    def _elsewhere(asked: _Asked, against: Mapping[str, str]) -> bool:
        """Whether a row's kingdom is another than that of the name."""
        if DECISIVE not in against:
            return False
        both = {folded_word(against[DECISIVE]), folded_word(asked.query.parents[DECISIVE])}
        return not {SAME_TAXON.get(name, name) for name in both} <= SHARED_KINGDOMS

    def _against(self, asked: _Asked, row: int) -> dict[str, str]:
        """The parents of a row that differ from those that came with the name: rank -> name in the checklist."""
        if not asked.query.parents:
            return {}
        taxon = int(self.checklist.accepted[row])
        above = {rank: names[0] for rank, names in self.checklist.lineages(np.array([taxon], np.int32)).items()}
        found = {}
        for rank, name in asked.query.parents.items():
            own = above.get(rank)
            if own is not None and rank not in ("genus", "species") and not _same_taxon(own, name):
                found[rank] = own
        return found

    def _what_differs(self, asked: _Asked, rows: Sequence[int]) -> str:
        kinds = {self.checklist.statuses[row].as_py() for row in rows}
        told = (
            "authors and parents do"
            if asked.authorship or asked.query.parents
            else "its authors and parents would help: they are"
        )
        what = "a name of several taxa" if kinds == {ACCEPTED} else "a synonym of several taxa, or split"
        return f"{what}; {told} not tell them apart" if told.endswith("do") else f"{what}; {told} not given"

    def _of_genus_and_author(self, asked: _Asked) -> Match | None:
        """ "Ammophila Host": a name of one word, if the list has it by that author."""
        word, _, author = asked.query.name.strip().partition(" ")
        if asked.parsed.kind != "other" or not author or not word[:1].isupper() or not author[:1].isupper():
            return None
        (key,) = self._keys([word])
        rows = self.checklist.rows_of_key(key).tolist() if key >= 0 else []
        rows = [row for row in rows if authors.compare(author, self.checklist.authorships[row].as_py()) > authors.UNSAID]
        asked.authorship = author
        return self._settled(asked, self._told_apart(asked, rows), None) if rows else None

    # ---- names that are not ------------------------------------------------------------------------------------------

    def _unknown(self, asked: _Asked) -> Match:
        """Why a name is not there, and what is spelt like it."""
        text = asked.text
        if text is None:
            return Match("unknown", reason=f"the name {asked.parsed.reason}")
        rest, shown = asked.rest, text.split(" ")[0]
        if asked.genus_place is not None and rest:
            close = self.speller.in_genus(asked.genus_place, rest)
            reason = f"the genus {shown} is there, {rest!r} is not in it" + (": is one of the candidates meant?" if close else "")
            return Match("unknown", candidates=self._rows(close), reason=reason)
        keys = self.speller.species(asked.genus, rest)
        what = f"the genus {shown}" if rest else "the name"
        reason = f"{what} is not in the checklist" + (": is one of the candidates meant?" if keys else ", nor one like it")
        return Match("unknown", candidates=self._rows(keys), reason=reason)

    def _rows(self, keys: Sequence[int]) -> tuple[int, ...]:
        rows = [int(row) for key in keys for row in self.checklist.rows_of_key(key)]
        return tuple(rows[:OFFERED])


class _Asked:
    """A query, read."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.parsed: Name = parse(query.name)
        self.authorship = query.authorship or self.parsed.authorship
        self.text = self.parsed.canonical or self.parsed.genus
        self.only_genus: str | None = None
        self.genus, self.rest, self.genus_place = "", "", None  # folded, set where the name is not in the checklist
        self.rank = query.rank
        if self.parsed.canonical is None and self.parsed.genus is not None:
            self.only_genus = f"only the genus: the name {self.parsed.reason or 'says no species'}"
            self.rank, self.authorship = "genus", None
        if self.text is None and self.parsed.kind in ("other", "code", "virus"):
            self.text = query.name.strip() or None  # a checklist may have it, letter by letter


def _same_taxon(one: str, other: str) -> bool:
    a, b = folded_word(one), folded_word(other)
    return SAME_TAXON.get(a, a) == SAME_TAXON.get(b, b)


__all__ = ["Checklist", "Int32", "Match", "Matcher", "Query", "Status"]
