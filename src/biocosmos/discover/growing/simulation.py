"""What naming a whole collection costs by different ways of working, with a simulated annotator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.clusters.representatives import medoids
from biocosmos.discover.growing.acceptance import accept, to_audit
from biocosmos.discover.growing.annotator import SimulatedAnnotator
from biocosmos.discover.growing.border import grow_to_border
from biocosmos.discover.growing.costs import Costs
from biocosmos.discover.growing.pool import GROWN, Pool
from biocosmos.discover.growing.proposals import propose
from biocosmos.discover.growing.spaces import reduced
from biocosmos.discover.growing.suggestions import Suggested, best_page, suggest
from biocosmos.errors import BiocosmosError
from biocosmos.search.kmeans import kmeans
from biocosmos.settings import check, setting

Array = npt.NDArray[Any]
ALONE, UNCERTAIN, SUGGESTED = "one by one", "uncertain", "uncertain, nine suggested"
CLUSTERS, PAGES, NAMED_STRANGERS, HARVEST = "clusters grown", "pages", "pages, strangers named", "uncertain, then pages"
STRATEGIES = (ALONE, UNCERTAIN, SUGGESTED, CLUSTERS, PAGES, NAMED_STRANGERS, HARVEST)
SAYS = {
    ALONE: "every picture by itself, in any order",
    UNCERTAIN: "by itself what a head is least sure of; what it is sure of is accepted",
    SUGGESTED: "the same, and nine likely taxa to choose from by a key",
    CLUSTERS: "clusters validated from centre and border, named and grown; smaller ones of the rest",
    PAGES: "pages of what the head says is one taxon, strangers unticked",
    NAMED_STRANGERS: "the same, and some of the strangers are named at once",
    HARVEST: "first what is uncertain, alone with suggestions; then pages of what is neither sure nor hopeless; then as above",
}
CANDIDATES_EACH = 8
PRIOR = 2
SPARE = 0.03
"""Beyond the share that is wanted: the audit finds some wrong, and these are not taken."""
SCHEMA = pa.schema(
    [
        ("strategy", pa.string()),
        ("seed", pa.int32()),
        ("seconds", pa.float64()),
        ("share", pa.float64()),
        ("precision", pa.float64()),
        ("promised", pa.float64()),
        ("by_hand", pa.int64()),
        ("grown", pa.int64()),
        ("accepted", pa.int64()),
        ("taxa", pa.int64()),
        ("pages", pa.int64()),
        ("clicks", pa.int64()),
        ("alone", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Working:
    """How the simulated person works."""

    page: int = setting(100, "Pictures of a page.", low=2)
    centre: int = setting(50, "Pictures of a cluster looked at from its centre, and as many from its border.", low=2)
    size: int = setting(128, "The least size of the first clusters; each round halves it.", low=2)
    least: int = setting(8, "The size of the last round.", low=2)
    seeds: int = setting(500, "Pictures named alone to begin with, one from each part of the collection.", low=2)
    tolerance: float = setting(0.1, "Strangers of a page that still belongs.", low=0, high=1)
    refit: float = setting(1.15, "The head is fitted again when there are so many times as many names.", above=1)
    queue: float = setting(0.3, "Share of the names between two fits given alone, to what the head is unsure of.", low=0, high=1)
    learn: float = setting(0.15, "Pages begin when so many are named alone, in the way that has both.", low=0, high=1)
    named_strangers: float = setting(0.3, "Share of the strangers of a page that are named at once.", low=0, high=1)
    sure: float = setting(0.8, "Suggestions above this probability are not looked at.", above=0, high=1)
    precision: float = setting(0.9, "Promised precision of all names.", above=0, below=1)
    share: float = setting(0.9, "It ends when so many are named.", above=0, high=1)
    error: float = setting(0.0, "How often the person errs.", low=0, below=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(eq=False)
class Simulation:
    """One person, one way of working, one collection.

    vectors: (n, d) float32 unit rows; truth: (n,) int codes of the true taxa, read by the annotator alone.
    """

    vectors: Array
    truth: Array
    strategy: str
    working: Working = field(default_factory=Working)
    costs: Costs = field(default_factory=Costs)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise BiocosmosError(f"no way of working {self.strategy!r}: choose one of {', '.join(STRATEGIES)}")
        if len(self.vectors) != len(self.truth):
            raise BiocosmosError(f"{len(self.vectors):,} vectors need as many true taxa, not {len(self.truth):,}")
        self.person = SimulatedAnnotator(self.truth, self.costs, error=self.working.error, seed=self.seed)
        self.pool = Pool(self.vectors)
        self.space = reduced(self.vectors)
        self.found: Suggested | None = None

    def run(self, seconds: list[float]) -> pa.Table:
        """The curve: rows of SCHEMA, one as each of ``seconds`` is passed, and the last. Each says what one has if one stops
        then: suggestions are accepted as far as an audit bears them out; its seconds are added to the row, not to the run."""
        waiting, rows = sorted(seconds), []
        steps: dict[str, Callable[[], Iterator[None]]] = {
            ALONE: self._alone,
            CLUSTERS: self._clusters,
            UNCERTAIN: self._queued,
            SUGGESTED: self._queued,
        }
        for _ in steps.get(self.strategy, self._pages)():
            if waiting and self.person.seconds >= waiting[0]:
                rows.append(self._stopped())
                waiting = [each for each in waiting if each > self.person.seconds]
                if not waiting or rows[-1]["share"] >= self.working.share:
                    break
        else:
            rows.append(self._stopped())
        return pa.Table.from_pylist(rows, SCHEMA)

    # ---------------------------------------------------------------- ways of working

    def _alone(self) -> Iterator[None]:
        """One by one, in any order."""
        for row in np.random.default_rng(self.seed).permutation(len(self.pool)):
            self._name_alone(row)
            yield

    def _clusters(self) -> Iterator[None]:
        """Clusters, validated from centre and border, named, grown; then smaller ones of the rest."""
        size = self.working.size
        while size >= self.working.least and len(self.pool.unnamed):
            for members in propose(self.space, self.pool.unnamed, size, seed=self.seed):
                self._cluster(members)
                yield
            size //= 2

    def _cluster(self, members: Array) -> None:
        members = members[self.pool.taxa[members] < 0]
        if len(members) < self.working.least:
            return
        count = self.working.centre
        centre, border = members[:count], members[count:][-count:]
        said = self.person.sort(centre)
        if said.taxon is None:
            return
        self.pool.name(centre[said.belong], said.taxon)
        if (~said.belong).mean() > self.working.tolerance:
            return
        whole = True
        if len(border):
            edge = self.person.sort(border, said.taxon)
            self.pool.name(border[edge.belong], said.taxon)
            whole = bool((~edge.belong).mean() <= self.working.tolerance)
            if whole:
                self.pool.name(np.setdiff1d(members[count:], border), said.taxon, GROWN)
        if whole:
            self._grow(members, said.taxon)

    def _grow(self, members: Array, taxon: int) -> None:
        outside = np.setdiff1d(self.pool.unnamed, members)
        mean = self.space[members[self.pool.taxa[members] == taxon]].mean(axis=0)
        nearest = outside[np.argsort(-(self.space[outside] @ mean), kind="stable")]
        judge = lambda page: self.person.sort(page, taxon).belong  # noqa: E731
        grown = grow_to_border(nearest, judge, page=self.working.centre, tolerance=self.working.tolerance)
        self.pool.name(grown.belong, taxon)
        self.pool.name(grown.unseen, taxon, GROWN)

    def _queued(self) -> Iterator[None]:
        """Seeds, then whatever the head is least sure of, each alone."""
        yield from self._seeds()
        while len(self.pool.unnamed):
            if not self._fit():
                return
            named = len(self.pool) - len(self.pool.unnamed)
            for row in self._unsure(max(int((self.working.refit - 1) * named), 1)):
                self._name_alone(row)
                yield

    def _pages(self) -> Iterator[None]:
        """Seeds; then, between two fits, some of what the head is least sure of, alone, and pages of what it suggests."""
        yield from self._seeds()
        learn = self.working.learn if self.strategy == HARVEST else 0.0
        while len(self.pool.unnamed):
            if not self._fit():
                return
            named = len(self.pool) - len(self.pool.unnamed)
            wanted = max(int((self.working.refit - 1) * named), 1)
            alone = wanted if self.pool.share < learn else int(self.working.queue * wanted)
            for row in self._unsure(alone):
                self._name_alone(row)
                yield
            for _ in self._turned(named + wanted):
                yield
            if len(self.pool) - len(self.pool.unnamed) == named:  # no page is worth it, and no time was for pictures alone
                for row in self._unsure(wanted):
                    self._name_alone(row)
                    yield

    def _turned(self, until: int) -> Iterator[None]:
        """Pages, the most promising first, until so many are named or pictures alone are quicker."""
        assert self.found is not None
        found, limit = self.found, self.working.sure if self.strategy == HARVEST else 1.0
        open_ = (self.pool.taxa[found.rows] < 0) & (found.p <= limit)
        most = int(found.taxa.max(initial=0)) + 1
        gave, promised = np.zeros(most), np.zeros(most)
        while len(self.pool) - len(self.pool.unnamed) < until:
            likely = replace(found, p=_corrected(found, gave, promised))
            taxon, places, rate = best_page(likely, open_, self.costs, page=self.working.page)
            if rate <= 1 / self._each:
                return
            gave[taxon] += self._page(taxon, found.rows[places])
            promised[taxon] += found.p[places].sum()
            open_[places] = False
            yield

    def _page(self, taxon: int, rows: Array) -> int:
        """Look at a page; how many belonged."""
        belong = self.person.sort(rows, taxon).belong
        self.pool.name(rows[belong], taxon)
        if self.strategy in (NAMED_STRANGERS, HARVEST):
            strangers = rows[~belong]
            for row in strangers[: round(self.working.named_strangers * len(strangers))]:
                self._name_alone(row)
        return int(belong.sum())

    @property
    def _each(self) -> float:
        """Seconds for a picture alone, as far as one knows before."""
        return self.costs.suggested if self.strategy in (SUGGESTED, HARVEST) else self.costs.alone

    # ---------------------------------------------------------------- steps

    def _seeds(self) -> Iterator[None]:
        """One picture from the middle of each of k parts, alone (TypiClust: Hacohen et al. 2022, arXiv:2202.02794)."""
        count = min(self.working.seeds, len(self.pool))
        parts = kmeans(self.space, count, iterations=20, seed=self.seed).labels
        middles = medoids(self.space, parts)
        for row in middles[middles >= 0]:
            self._name_alone(row)
            yield

    def _name_alone(self, row: int) -> None:
        suggested = None
        if self.found is not None and self.strategy in (SUGGESTED, HARVEST):
            suggested = self.found.nearest[np.searchsorted(self.found.rows, row)]
        self.pool.name(np.array([row]), self.person.alone(int(row), suggested))

    def _fit(self) -> bool:
        self.found = suggest(self.space, self.pool.taxa, self.pool.unnamed, seed=self.seed)
        return self.found is not None

    def _unsure(self, count: int) -> Array:
        """So many rows of the smallest margins, far from one another: the middles of parts of eight times as many."""
        if not count or self.found is None:
            return np.empty(0, np.int64)
        able = np.flatnonzero(self.pool.taxa[self.found.rows] < 0)
        rows = self.found.rows[able[np.argsort(self.found.margin[able], kind="stable")[: count * CANDIDATES_EACH]]]
        if len(rows) <= count:
            return rows
        middles = medoids(self.space[rows], kmeans(self.space[rows], count, iterations=8, seed=self.seed).labels)
        return rows[middles[middles >= 0]]

    def _stopped(self) -> dict[str, Any]:
        """What one has, and at what cost, if one stops here."""
        taxa, how, seconds = self.pool.taxa.copy(), self.pool.how, self.person.seconds
        promised, taken = float("nan"), 0
        if self.found is not None and self.strategy not in (ALONE, CLUSTERS):
            taken, promised, cost = self._accepted(taxa)
            seconds += cost
        named = taxa >= 0
        return {
            "strategy": self.strategy,
            "seed": self.seed,
            "seconds": seconds,
            "share": float(named.mean()),
            "precision": float((taxa == self.truth)[named].mean()) if named.any() else float("nan"),
            "promised": promised,
            "by_hand": int((how == 1).sum()),
            "grown": int((how == GROWN).sum()),
            "accepted": taken,
            "taxa": len(np.unique(taxa[named])),
            "pages": self.person.pages,
            "clicks": self.person.clicks,
            "alone": self.person.named_alone,
        }

    def _accepted(self, taxa: Array) -> tuple[int, float, float]:
        """(suggestions taken, precision borne out, seconds of the audit); writes them into ``taxa``."""
        found = suggest(self.space, taxa, np.flatnonzero(taxa < 0), seed=self.seed)
        named = int((taxa >= 0).sum())
        most = int(np.ceil(min(self.working.share + SPARE, 1) * len(taxa))) - named
        if found is None or most <= 0:
            return 0, float("nan"), 0.0
        auditor = SimulatedAnnotator(self.truth, self.costs, error=self.working.error, seed=self.seed + 1)
        audit = to_audit(found, most=most, seed=self.seed)
        right = np.zeros(len(audit.places), bool)
        for taxon in np.unique(found.taxa[audit.places]):
            mine = found.taxa[audit.places] == taxon
            right[mine] = auditor.sort(found.rows[audit.places[mine]], int(taxon)).belong
        taken = accept(found, audit, right, named=named, precision=self.working.precision)
        places = taken.places
        taxa[found.rows[places]] = found.taxa[places]
        return len(places), taken.precision, auditor.seconds


def _corrected(found: Suggested, gave: Array, promised: Array) -> Array:
    """Probabilities times what pages of the taxon gave, of what they promised, and two pictures that kept their word."""
    factor = np.clip((gave + PRIOR) / (promised + PRIOR), 0, 1)
    return np.asarray(found.p * factor[found.taxa], np.float32)
