"""Cluster and grow: the loop by which one person names thousands of pictures an hour, on disk after every act.

Propose clusters of what has no name; validate each from its centre and its border; grow it by its nearest outsiders until
strangers appear; name it, at any rank; propose smaller clusters of the rest. After MorphoCluster (Schroeder et al. 2020, Sensors
20:3060).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.discover.growing.acts import GROWN, LOOKED, NAMED, PROPOSED, Cluster, History, Row, act_name, append
from biocosmos.discover.growing.border import grow_to_border
from biocosmos.discover.growing.costs import Costs
from biocosmos.discover.growing.proposals import PARTS, propose
from biocosmos.discover.growing.suggestions import best_page, suggest
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.by_hand import DUBIOUS, Recorded, current, record
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]
FIRST_SIZE, LEAST_SIZE = 128, 4
"""Of the first clusters, as in MorphoCluster; each round halves it."""
HOW = "cluster and grow"
NEAREST = 20_000
"""Outsiders that a cluster may grow by in one go."""


@dataclass(frozen=True)
class SuggestedPage:
    """Specimens that a head fitted on the names so far takes for one taxon, the likeliest first. sure: their probabilities."""

    taxon: str
    ids: list[str]
    sure: list[float]


class Session:
    """Names for a collection, cluster by cluster; any number of sessions may work on one collection at once.

    encoder: which embedding; by: who names, by default the user who is logged in; relabel: labels that the collection has count
    for nothing; page: pictures of a page; tolerance: share of strangers on a page that still belongs.

    Raises BiocosmosError where no specimen has a vector.
    """

    def __init__(
        self,
        collection: Collection,
        encoder: str | None = None,
        *,
        by: str | None = None,
        relabel: bool = False,
        page: int = 100,
        tolerance: float = 0.1,
        seed: int = 0,
    ) -> None:
        if page < 1 or not 0 <= tolerance < 1:
            raise BiocosmosError(f"a page has at least 1 picture and a tolerance of 0 to 1, not {page} and {tolerance}")
        gallery = collection.gallery(encoder, columns=[])
        if not len(gallery):
            raise BiocosmosError(f"no specimen of {collection.path} has a vector: run biocosmos embed first")
        self.collection, self.by, self.page_size, self.tolerance, self.seed = collection, by, page, tolerance, seed
        self.ids, self.vectors = gallery.ids, gallery.vectors
        self._row = {id_: row for row, id_ in enumerate(gallery.ids.tolist())}
        labels = gallery.labels
        self._labels = np.full(len(labels), None, object) if relabel else labels
        self._history = History(collection)
        self.names = self._labels.copy()
        self.refresh()

    # ---------------------------------------------------------------- what there is

    def refresh(self) -> None:
        """Take note of what other sessions did since."""
        self._history.refresh()
        self.names = self._labels.copy()
        said = current(self.collection)
        for id_, taxon, status in zip(*(said[name].to_pylist() for name in ("id", "taxon", "status"))):
            if id_ in self._row and status != DUBIOUS:
                self.names[self._row[id_]] = taxon

    @property
    def unnamed(self) -> Array:
        """(m,) int64 rows of specimens without a name."""
        return np.flatnonzero(self._free())

    @property
    def share(self) -> float:
        """Named, of all."""
        return 1 - len(self.unnamed) / len(self.ids)

    def clusters(self) -> list[Cluster]:
        """Those that have members without a name, as they were proposed: the densest of a round first."""
        return [each for each in self._history.clusters.values() if self.members(each.name)]

    def members(self, cluster: str) -> list[str]:
        """Ids of a cluster that have no name yet, the centre first, the border last."""
        rows = [self._row[id_] for id_ in self._cluster(cluster).members if id_ in self._row]
        free = np.array([row for row in rows if self.names[row] is None], np.int64)
        if not len(free):
            return []
        near = self.vectors[free] @ self.vectors[free].mean(axis=0)
        return [str(each) for each in self.ids[free[np.lexsort((free, -near))]]]

    def page(self, cluster: str, number: int = 0, order: Literal["centre", "border"] = "centre") -> list[str]:
        """Ids of a page of the members, from the centre or from the border; none behind the last."""
        ids = self.members(cluster)
        start = number * self.page_size
        return (ids if order == "centre" else ids[::-1])[start : start + self.page_size]

    def outsiders(self, cluster: str) -> list[str]:
        """Ids without a name that are not members and were not called strangers, the nearest first; at most 20,000."""
        return [str(each) for each in self.ids[self._outside(cluster)]]

    # ---------------------------------------------------------------- acts

    def recluster(self, size: int | None = None, method: str = PARTS[0]) -> list[str]:
        """Propose clusters of everything that has no name; returns their names, the densest first.

        size: about so many specimens each (hdbscan: at least); by default 128, and half of the last round's in every later one.
        Raises BiocosmosError for an unknown method.
        """
        if method not in PARTS:
            raise BiocosmosError(f"clusters are not proposed by {method!r}: choose one of {', '.join(PARTS)}")
        self.refresh()
        if size is None:
            before = [each.size for each in self._history.clusters.values()]
            size = max(before[-1] // 2, LEAST_SIZE) if before else FIRST_SIZE
        if size < 1:
            raise BiocosmosError(f"a cluster has at least 1 specimen, not {size}")
        found = propose(self.vectors, self.unnamed, size, method=method, seed=self.seed)
        act = act_name()
        rows: list[Row] = [
            (PROPOSED, f"{act}.{i}", str(self.ids[row]), True, size, None) for i, part in enumerate(found) for row in part
        ]
        if rows:
            append(self.collection, rows, act)
            self._history.refresh()
        return [f"{act}.{i}" for i in range(len(found))]

    def validate(self, cluster: str, shown: Iterable[str], strangers: Iterable[str] = ()) -> None:
        """Say of a page that was looked at which do not belong; these leave the cluster, all others of the page are its members.

        Raises BiocosmosError for ids that the page or the collection does not have.
        """
        shown, odd = list(shown), set(strangers)
        unknown = [id_ for id_ in (*shown, *odd) if id_ not in self._row] or sorted(odd - {*shown})
        if unknown:
            raise BiocosmosError(f"'{unknown[0]}' is not on this page: give the ids as page() or outsiders() gave them")
        self._cluster(cluster)
        if shown:
            append(self.collection, [(LOOKED, cluster, id_, id_ not in odd, 0, None) for id_ in shown], act_name())
            self._history.refresh()

    def grow(self, cluster: str, strangers_of: Callable[[list[str]], Iterable[str]]) -> tuple[int, int]:
        """Take the nearest outsiders until strangers appear; returns (specimens that joined, pages looked at).

        strangers_of: is shown a page of ids and returns those that do not belong. Every page is kept as it was answered, so that
        a session that ends in between has lost nothing; what lies unseen between good pages joins at the end.
        """
        self.refresh()
        before = len(self.members(cluster))
        if not before:
            raise BiocosmosError(f"cluster '{cluster}' has no member without a name: there is nothing to grow from")

        def judge(rows: Array) -> Array:
            ids = [str(each) for each in self.ids[rows]]
            odd = set(strangers_of(ids))
            self.validate(cluster, ids, odd)
            return np.array([id_ not in odd for id_ in ids], bool)

        grown = grow_to_border(self._outside(cluster), judge, page=self.page_size, tolerance=self.tolerance)
        if len(grown.unseen):
            rows: list[Row] = [(GROWN, cluster, str(id_), True, 0, None) for id_ in self.ids[grown.unseen]]
            append(self.collection, rows, act_name())
        self._history.refresh()
        return len(self.members(cluster)) - before, grown.pages

    def name(self, cluster: str, taxon: str, rank: str | None = None, *, note: str = "") -> Recorded:
        """Give all members of a cluster a name, at any rank: identifications by hand, which overwrite nothing.

        Specimens that somebody named meanwhile keep that name. Raises BiocosmosError for a cluster without members.
        """
        self.refresh()
        ids = self.members(cluster)
        if not ids:
            raise BiocosmosError(f"cluster '{cluster}' has no member without a name: it was named already, or all were strangers")
        said = self._record(ids, taxon, rank, note or f"cluster {cluster}")
        if said.rows:
            append(self.collection, [(NAMED, cluster, None, True, 0, taxon)], act_name())
        self.refresh()
        return said

    # ---------------------------------------------------------------- what a head suggests

    def suggested(self, *, costs: Costs | None = None) -> SuggestedPage | None:
        """The page of one taxon that promises most names a second, by a head fitted on the names so far.

        None where fewer than two taxa have names or nothing is left."""
        self.refresh()
        known = sorted({name for name in self.names if name is not None})
        code = {name: i for i, name in enumerate(known)}
        taxa = np.array([-1 if name is None else code[name] for name in self.names], np.int32)
        found = suggest(self.vectors, taxa, self.unnamed, seed=self.seed) if len(self.unnamed) else None
        if found is None:
            return None
        taxon, places, _ = best_page(found, np.ones(len(found.rows), bool), costs or Costs(), page=self.page_size)
        ids = [str(each) for each in self.ids[found.rows[places]]]
        return SuggestedPage(known[taxon], ids, [float(p) for p in found.p[places]])

    def confirm(self, page: SuggestedPage, strangers: Iterable[str] = (), *, note: str = "") -> Recorded:
        """Give what belongs on a suggested page its name."""
        odd = set(strangers)
        return self._record([id_ for id_ in page.ids if id_ not in odd], page.taxon, None, note or "suggested page")

    def _record(self, ids: list[str], taxon: str, rank: str | None, note: str) -> Recorded:
        said = record(
            self.collection,
            {"id": ids, "taxon": [taxon] * len(ids), "rank": [rank] * len(ids)},
            by=self.by,
            how=HOW,
            note=note,
        )
        self.refresh()
        return said

    def _free(self) -> Array:
        """(n,) bool, without a name."""
        return np.array([name is None for name in self.names], bool)

    def _cluster(self, name: str) -> Cluster:
        if name not in self._history.clusters:
            raise BiocosmosError(f"there is no cluster '{name}': recluster() proposes some, clusters() lists them")
        return self._history.clusters[name]

    def _outside(self, cluster: str) -> Array:
        one = self._cluster(cluster)
        rows = np.array([self._row[id_] for id_ in one.members if id_ in self._row], np.int64)
        if not len(rows):
            return np.empty(0, np.int64)
        free = self._free()
        free[rows] = False
        free[[self._row[id_] for id_ in one.strangers if id_ in self._row]] = False
        outside = np.flatnonzero(free)
        near = self.vectors[outside] @ self.vectors[rows].mean(axis=0)
        return np.asarray(outside[np.lexsort((outside, -near))][:NEAREST], np.int64)
