"""Geofences and checklists: which taxa may be the answer where, applied to what was said, and what each rule did.

A rule is about a taxon and all below it. Blocked somewhere, it is no answer there; with rules that allow it, it is no answer
anywhere else. A taxon without a rule, and a specimen of which the country (the place, for a polygon) is not known, are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from biocosmos.errors import Failures
from biocosmos.identify.places.polygons import Polygons
from biocosmos.identify.predictions import Predictions
from biocosmos.places import Places
from biocosmos.taxonomy import Taxonomy

Mask = npt.NDArray[np.bool_]
Int32 = npt.NDArray[np.int32]
Does = Literal["allow", "block"]
FenceWay = Literal["renormalise", "roll-up"]
STAGE = "fence"
GONE = np.float32(1e4)
"""What is taken from the logit of a taxon that may not be the answer: exp of it is 0, and no infinity comes into sums."""
SKIPPED = ("genus", "subgenus")
"""Ranks at which SpeciesNet does not stop."""
SAID = 0.005
"""A rule is evidence where it took away this much p or more, or the best name."""


@dataclass(frozen=True, eq=False)
class Rule:
    """does: allow or block; taxon: as the file has it; country: ISO 3166-1 alpha-2 or None; region: the part of it after the
    hyphen of ISO 3166-2, or None; polygon: or None; with none of the three it holds everywhere. where: file and line."""

    does: Does
    taxon: str
    country: str | None = None
    region: str | None = None
    polygon: Polygons | None = None
    where: str = ""

    def reaches(self, places: Places, regions: Sequence[str | None]) -> tuple[Mask, Mask]:
        """(n,) whether a place lies in it, and whether that can be told."""
        inside, told = np.ones(len(places), np.bool_), np.ones(len(places), np.bool_)
        if self.country is not None:
            known = np.array([country is not None for country in places.country], np.bool_)
            inside &= known & (places.country == self.country)
            told &= known
        if self.region is not None:
            named = np.array([region is not None for region in regions], np.bool_)
            inside &= np.array([region == self.region for region in regions], np.bool_) | ~named
            if self.does == "block":  # a part of the country that nobody named is not said to be this one
                inside &= named
        if self.polygon is not None:
            inside &= self.polygon.holds(places.latitude, places.longitude)
            told &= places.has_place
        return inside & told, told

    def scope(self) -> str:
        """Where it holds, in words."""
        named = self.country if self.region is None else f"{self.country}-{self.region}"
        return " ".join(part for part in (named, None if self.polygon is None else "the polygon") if part) or "all places"


@dataclass(frozen=True, eq=False)
class Checklist:
    """Only the taxa of its rules (all "allow") may be the answer where it holds: in countries that it names, or everywhere."""

    rules: tuple[Rule, ...]
    where: str


@dataclass(frozen=True, eq=False)
class Fences:
    """Rules of files and checklists; way: "renormalise", ours: p of what is left is made 1; "roll-up", SpeciesNet's: where the
    best name is blocked, p of all names is summed up to family, order, class and so on, and the likeliest is said."""

    rules: tuple[Rule, ...] = ()
    checklists: tuple[Checklist, ...] = ()
    way: FenceWay = "renormalise"
    files: dict[str, str] = field(default_factory=dict)
    """By path the SHA-256 of what was read, for provenance."""

    def bound(self, taxonomy: Taxonomy, failures: Failures) -> BoundFences:
        """With the nodes of a tree; names that it has not, or several of, go to ``failures``."""
        from biocosmos.identify.namers.candidates import find_all

        known: dict[str, int | None] = {}

        def node(rule: Rule) -> int | None:
            if rule.taxon not in known:
                told = Failures()
                nodes = find_all(taxonomy, [rule.taxon], told)
                known[rule.taxon] = nodes[0] if nodes else None
                for row in told:
                    failures.add(row.reason, stage=STAGE, source=rule.where, severity="warning")
            return known[rule.taxon]

        rules = [(rule, found) for rule in self.rules if (found := node(rule)) is not None]
        lists = [
            (listed, [(rule, found) for rule in listed.rules if (found := node(rule)) is not None]) for listed in self.checklists
        ]
        return BoundFences(self, taxonomy, tuple(rules), tuple((listed, tuple(own)) for listed, own in lists))


@dataclass(frozen=True, eq=False)
class Fenced:
    """predictions: what is left; said: (n,) of each specimen what rules did; nothing: (n,) no class is allowed at all; cut: (n,)
    the rank index below which there is no answer (the number of ranks: no bound); through: (n,) int32 the taxon that is said in
    place of the likeliest one, -1: none."""

    predictions: Predictions
    said: list[list[str]]
    nothing: Mask
    cut: npt.NDArray[np.int64]
    through: Int32


@dataclass(frozen=True, eq=False)
class BoundFences:
    """Fences over one tree. Make one with :meth:`Fences.bound`."""

    fences: Fences
    taxonomy: Taxonomy
    rules: tuple[tuple[Rule, int], ...]
    checklists: tuple[tuple[Checklist, tuple[tuple[Rule, int], ...]], ...]

    def blocked(self, places: Places, regions: Sequence[str | None]) -> list[tuple[str, Mask, Mask]]:
        """What takes taxa away: (what is said of it, (n,) at which places, (nodes,) which), one after the other."""
        found = []
        by_taxon: dict[int, list[Rule]] = {}
        for rule, node in self.rules:
            by_taxon.setdefault(node, []).append(rule)
        for node, rules in by_taxon.items():
            below = np.zeros(len(self.taxonomy), np.bool_)
            below[self.taxonomy.slice(node)] = True
            allows = [rule for rule in rules if rule.does == "allow"]
            for rule in rules:
                if rule.does == "block":
                    found.append(
                        (f"{rule.where}: {rule.taxon} blocked in {rule.scope()}", rule.reaches(places, regions)[0], below)
                    )
            if allows:
                inside, told = zip(*(rule.reaches(places, regions) for rule in allows), strict=True)
                where, scopes = allows[0].where, ", ".join(dict.fromkeys(rule.scope() for rule in allows))
                outside = ~np.logical_or.reduce(inside) & np.logical_and.reduce(told)
                found.append((f"{where}: {allows[0].taxon} allowed only in {scopes}", outside, below))
        for listed, own in self.checklists:
            found += _unlisted(listed, own, self.taxonomy, places, regions)
        return found

    def apply(self, predictions: Predictions, places: Places, regions: Sequence[str | None]) -> Fenced:
        """What is left of the answers at these places; rows that no rule touches keep their very logits."""
        n, classes = len(predictions), predictions.classes
        gone, said = np.zeros((n, len(classes)), np.bool_), [list[str]() for _ in range(n)]
        p = predictions.class_probabilities()
        best = p.argmax(axis=1) if n else np.zeros(0, np.int64)
        for what, rows, nodes in self.blocked(places, regions):
            columns = nodes[classes]
            taken = p[:, columns].sum(axis=1)
            for row in np.flatnonzero(rows):
                if taken[row] >= SAID or columns[best[row]]:
                    said[row].append(f"{what} (p {taken[row]:.3f})")
            gone |= rows[:, None] & columns[None, :]
        nothing: Mask = gone.sum(axis=1) == len(classes)
        ranks = len(self.taxonomy.ranks)
        cut, through = np.where(nothing, -1, ranks).astype(np.int64), np.full(n, -1, np.int32)
        if self.fences.way == "roll-up":
            through = self._rolled_up(predictions, gone)
            lost = gone[np.arange(n), best] & (through < 0) if n else nothing
            for row in np.flatnonzero(through >= 0):
                said[row].append(f"rolled up to {self.taxonomy.name(int(through[row]))}")
            return Fenced(predictions, said, nothing, np.where(lost, -1, cut), through)
        touched = gone.any(axis=1) & ~nothing
        if not touched.any():
            return Fenced(predictions, said, nothing, cut, through)
        logits = predictions.logits.copy()
        logits[touched] -= np.where(gone[touched], GONE, np.float32(0))
        return Fenced(replace(predictions, logits=logits), said, nothing, cut, through)

    def _rolled_up(self, predictions: Predictions, gone: Mask) -> Int32:
        """(n,) where the best name is blocked, the taxon that SpeciesNet says instead: p of all names is summed up rank by rank,
        genus left out, until the taxon of the highest sum, not itself blocked, has as much as the blocked name; -1: none.
        """
        tree, p = self.taxonomy, predictions.class_probabilities()
        through = np.full(len(p), -1, np.int32)
        if not len(p):
            return through
        best = p.argmax(axis=1)
        lineage = tree.lineage(predictions.classes)
        ranks = [number for number, rank in enumerate(tree.ranks) if rank not in SKIPPED]
        for row in np.flatnonzero(gone[np.arange(len(p)), best]):
            for rank in reversed([number for number in ranks if number < int(tree.rank[predictions.classes[best[row]]])]):
                members = lineage[:, rank]
                sums = np.bincount(members[members >= 0], p[row][members >= 0], minlength=len(tree))
                sums[np.setdiff1d(np.arange(len(tree)), members[~gone[row] & (members >= 0)])] = -1
                if sums.max() >= p[row, best[row]]:
                    through[row] = sums.argmax()
                    break
        return through


def _unlisted(
    listed: Checklist, own: tuple[tuple[Rule, int], ...], taxonomy: Taxonomy, places: Places, regions: Sequence[str | None]
) -> list[tuple[str, Mask, Mask]]:
    """Places with the same taxa on the list together."""
    reached = [(rule.reaches(places, regions)[0], node) for rule, node in own]
    # a list holds where one of its rows does, whether or not the tree knows that row's taxon
    holds = np.logical_or.reduce([rule.reaches(places, regions)[0] for rule in listed.rules] or [np.zeros(len(places), np.bool_)])
    if not holds.any():
        return []
    table = np.stack([rows for rows, _ in reached], 1) if reached else np.zeros((len(places), 0), np.bool_)
    kinds, which = np.unique(table, axis=0, return_inverse=True)
    found = []
    for number, kind in enumerate(kinds):
        absent = np.ones(len(taxonomy), np.bool_)
        for on, (_, node) in zip(kind, reached, strict=True):
            if on:
                absent[taxonomy.slice(node)] = False
                above = taxonomy.lineage(np.array([node]))[0]
                absent[above[above >= 0]] = False  # a specimen known to its family only may be of the species on the list
        rows = holds & (which.reshape(-1) == number)
        found.append((f"{listed.where}: not on this checklist", rows, absent))
    return found
