"""The clusters of a collection as they stand, and what a page of them shows: in memory, brought up to date by what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.discover.growing.acts import Cluster, History
from biocosmos.discover.growing.called import ByHand, Called, free_of
from biocosmos.discover.growing.spaces import reduced
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]
NEAREST = 20_000
"""Outsiders that a cluster may grow by in one go."""
SHOWN = 4
"""Pictures of a tile: the medoid, and three more from the middle, the outer part and the border."""
GUESSED_FROM, GUESSED_BY = 20_000, 10
"""Named specimens of which the nearest to a cluster are asked, and how many of them."""


@dataclass(frozen=True)
class Tile:
    """What one cluster looks like. size: members without a name; shown: ids of up to four, the medoid first; density: mean cosine
    of the members to their mean; guess: the commonest name among its named members, or else of what a model says of it, or else
    among the named specimens nearest to it; sure: that name's share of them, NaN without any; named: members that have a name;
    looked: members without one that somebody looked at."""

    name: str
    size: int
    shown: tuple[str, ...]
    density: float
    guess: str | None
    sure: float
    named: int
    looked: int
    taxon: str | None


@dataclass(frozen=True)
class _Placed:
    """Members without a name, the centre first. key: by which one sees that it is as it was."""

    key: tuple[int, bytes]
    rows: Array
    mean: Array
    density: float


class Board:
    """What there is; :class:`biocosmos.discover.growing.Session` is who does something about it.

    encoder: which embedding; relabel: labels that the collection has count for nothing; dims: look at so many principal axes of
    the vectors instead of all; called: makes, of the ids, what knows their names, by default the collection's labels and the
    names by hand; history: where acts were read already.

    Raises BiocosmosError where no specimen has a vector.
    """

    def __init__(
        self,
        collection: Collection,
        encoder: str | None = None,
        *,
        relabel: bool = False,
        page: int = 100,
        dims: int | None = None,
        called: Callable[[Sequence[str]], Called] | None = None,
        history: History | None = None,
    ) -> None:
        gallery = collection.gallery(encoder, columns=[])
        if not len(gallery):
            raise BiocosmosError(f"no specimen of {collection.path} has a vector: run biocosmos embed first")
        self.collection, self.page_size = collection, page
        self.ids = gallery.ids
        self.vectors = gallery.vectors if dims is None else reduced(gallery.vectors, dims)
        self._row = {id_: row for row, id_ in enumerate(gallery.ids.tolist())}
        labels = np.full(len(gallery), None, object) if relabel else gallery.labels
        self.called: Called = ByHand(collection, labels, self._row) if called is None else called(gallery.ids.tolist())
        self._history = History(collection) if history is None else history
        self._placed: dict[str, _Placed] = {}
        self._rows: dict[str, tuple[int, Array]] = {}
        self._freed: tuple[int, Array] = (-1, np.empty(0, bool))
        self._asked: tuple[int, Array, Array] = (-1, np.empty(0, np.int64), np.empty((0, 0), np.float32))
        self.refresh()

    def refresh(self) -> None:
        """Take note of what others did since: only what is new is read."""
        self._history.refresh()
        self.called.refresh()

    # ---------------------------------------------------------------- names

    @property
    def names(self) -> Array:
        """(n,) object, what each is called, None for nothing."""
        return self.called.names

    @property
    def unnamed(self) -> Array:
        """(m,) int64 rows of specimens without a name."""
        return np.flatnonzero(self._free())

    @property
    def share(self) -> float:
        """Named, of all."""
        return 1 - float(self._free().mean())

    # ---------------------------------------------------------------- clusters

    def clusters(self) -> list[Cluster]:
        """Those that stand and have members without a name, as they were proposed: the densest of a round first."""
        free = self._free()
        return [each for each in self._history.clusters.values() if not each.dissolved and free[self._all_rows(each)].any()]

    def members(self, cluster: str) -> list[str]:
        """Ids of a cluster that have no name yet, the centre first, the border last."""
        return [str(each) for each in self.ids[self._place(cluster).rows]]

    def everybody(self, cluster: str) -> list[str]:
        """Ids of all members, also of those that have a name."""
        return [str(each) for each in self.ids[self._all_rows(self._cluster(cluster))]]

    def strangers(self, cluster: str) -> list[str]:
        """Ids that somebody looked at and said do not belong."""
        return sorted(self._cluster(cluster).strangers)

    def page(self, cluster: str, number: int = 0, order: Literal["centre", "border"] = "centre") -> list[str]:
        """Ids of a page of the members, from the centre or from the border; none behind the last."""
        ids = self.members(cluster)
        start = number * self.page_size
        return (ids if order == "centre" else ids[::-1])[start : start + self.page_size]

    def outsiders(self, cluster: str) -> list[str]:
        """Ids without a name that are not members and were not called strangers, the nearest first; at most 20,000."""
        return [str(each) for each in self.ids[self._outside(cluster)]]

    def tile(self, cluster: str, guesses: bool = True) -> Tile:
        """What a cluster looks like; guesses: with the name that it may have."""
        one, placed = self._cluster(cluster), self._place(cluster)
        guess, sure, named = self._guess(one, placed) if guesses else (None, float("nan"), 0)
        last = len(placed.rows) - 1
        places = dict.fromkeys([0, last // 3, 2 * last // 3, last][:SHOWN]) if last >= 0 else {}
        shown = tuple(str(self.ids[placed.rows[place]]) for place in places)
        looked = sum(str(id_) in one.looked for id_ in self.ids[placed.rows]) if one.looked else 0
        return Tile(one.name, len(placed.rows), shown, placed.density, guess, sure, named, looked, one.taxon)

    def alike(self, cluster: str, count: int = 6) -> list[str]:
        """The clusters that stand whose means are nearest to a cluster's, nearest first."""
        others = [each.name for each in self.clusters() if each.name != cluster]
        if not others:
            return []
        means = np.stack([self._place(name).mean for name in others])
        lengths = np.maximum(np.linalg.norm(means, axis=1), 1e-9)
        near = means @ self._place(cluster).mean / lengths
        return [others[i] for i in np.argsort(-near, kind="stable")[:count]]

    def order(self, by: Literal["round", "size", "density", "name"] = "density", reverse: bool = False) -> list[str]:
        """Names of the clusters that stand: by "round" as they were proposed, the largest, the densest, or by the name they may
        have; equal ones as they were proposed."""
        names = [each.name for each in self.clusters()]
        if by == "size":
            names.sort(key=lambda name: -len(self._place(name).rows))
        if by == "density":
            names.sort(key=lambda name: -self._place(name).density)
        if by == "name":
            guess = {name: self.tile(name).guess for name in names}
            names.sort(key=lambda name: (guess[name] is None, (guess[name] or "").lower()))
        return names[::-1] if reverse else names

    # ---------------------------------------------------------------- within

    def _free(self) -> Array:
        """(n,) bool, without a name."""
        if self._freed[0] != self.called.version:
            self._freed = self.called.version, free_of(self.called.names)
        return self._freed[1]

    def _cluster(self, name: str) -> Cluster:
        if name not in self._history.clusters:
            raise BiocosmosError(f"there is no cluster '{name}': look at the list of clusters again")
        return self._history.clusters[name]

    def _all_rows(self, one: Cluster) -> Array:
        """(m,) int64 rows of all members, also of those that have a name."""
        kept = self._rows.get(one.name)
        if kept is None or kept[0] != one.version:
            kept = one.version, self._rows_of(list(one.members))
            self._rows[one.name] = kept
        return kept[1]

    def _rows_of(self, ids: Sequence[str]) -> Array:
        return np.array([self._row[id_] for id_ in ids if id_ in self._row], np.int64)

    def _place(self, cluster: str) -> _Placed:
        one = self._cluster(cluster)
        rows = self._all_rows(one)
        free = self._free()[rows]
        key = one.version, free.tobytes()
        kept = self._placed.get(cluster)
        if kept is None or kept.key != key:
            kept = self._placed[cluster] = self._made(key, rows[free], rows)
        return kept

    def _made(self, key: tuple[int, bytes], rows: Array, whole: Array) -> _Placed:
        if not len(rows):  # all have names: it may be grown still
            mean = self.vectors[whole].mean(axis=0) if len(whole) else np.zeros(self.vectors.shape[1], np.float32)
            return _Placed(key, rows, mean, float("nan"))
        x = self.vectors[rows]
        mean = x.mean(axis=0)
        near = x @ mean
        length = float(np.linalg.norm(mean))
        return _Placed(key, rows[np.lexsort((rows, -near))], mean, float(near.mean()) / length if length > 0 else 0.0)

    def _outside(self, cluster: str) -> Array:
        one, placed = self._cluster(cluster), self._place(cluster)
        if not len(one.members):
            return np.empty(0, np.int64)
        free = self._free().copy()
        free[self._all_rows(one)] = False
        free[self._rows_of(list(one.strangers))] = False
        near = np.where(free, self.vectors @ placed.mean, -np.inf)
        count = min(int(free.sum()), NEAREST)
        some = np.argpartition(-near, count - 1)[:count] if 0 < count < len(near) else np.flatnonzero(free)
        some = np.sort(some)  # equal ones by row
        return np.asarray(some[np.argsort(-near[some], kind="stable")], np.int64)

    def _known(self) -> tuple[Array, Array]:
        """(rows of some named specimens, their vectors), kept until names change."""
        if self._asked[0] != self.called.version:
            rows = np.array([row for row in np.flatnonzero(~self._free()) if self.names[row]], np.int64)
            rows = rows[:: max(len(rows) // GUESSED_FROM, 1)]
            self._asked = self.called.version, rows, self.vectors[rows]
        return self._asked[1:]

    def _guess(self, one: Cluster, placed: _Placed) -> tuple[str | None, float, int]:
        """(name that it may have, its share, members that have a name)."""
        rows = self._all_rows(one)
        named = [name for name in self.names[rows] if name]
        if named:
            return *_commonest(named), len(named)
        guessed = [] if self.called.guessed is None else [name for name in self.called.guessed[placed.rows] if name]
        if guessed:
            return *_commonest(guessed), 0
        known, vectors = self._known()
        if not len(known) or not len(placed.rows):
            return None, float("nan"), 0
        near = vectors @ placed.mean
        nearest = known[np.argsort(-near, kind="stable")[:GUESSED_BY]]
        return *_commonest(list(self.names[nearest])), 0


def _commonest(names: Sequence[str]) -> tuple[str, float]:
    kinds, counts = np.unique(np.array(names, str), return_counts=True)
    most = int(counts.argmax())
    return str(kinds[most]), float(counts[most]) / len(names)
