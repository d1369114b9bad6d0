"""The clusters of a collection for all users of a server: opened when first asked for, one act at a time, on disk after each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.discover import kept
from biocosmos.discover.growing.acts import History
from biocosmos.discover.growing.border import Border
from biocosmos.discover.growing.undoing import take_back
from biocosmos.errors import BiocosmosError
from biocosmos.serve.clusters.called import OfCatalogue

if TYPE_CHECKING:
    from biocosmos.discover.growing import Session
    from biocosmos.discover.growing.board import Tile
    from biocosmos.serve.annotating import Annotations
    from biocosmos.serve.annotating.annotations import Named
    from biocosmos.serve.catalogue import Catalogue
    from biocosmos.specimens.collection import Collection

PAGE = 60
"""Pictures of a page when a cluster grows."""
TOLERANCE = 0.1
MOST_AT_ONCE = 120_000
"""Specimens that are clustered while one waits; more are a job."""
MANY, DIMS, FEWER = 100_000, 256, 96
"""Of more specimens than MANY fewer axes are kept in memory."""
MOST_OPEN = 64
"""Searches for a border that are remembered."""
SAID = {
    "propose": "new clusters",
    "look": "a page that was looked at",
    "grow": "what joined a cluster",
    "merge": "a merger",
    "split": "a split",
    "dissolve": "a cluster put aside",
    "name": "the name of a cluster",
}
Sort = Literal["density", "size", "name", "round"]


class NothingToCluster(BiocosmosError):
    """There are no vectors yet."""


@dataclass(frozen=True)
class Grown:
    """A page that is proposed to a cluster: ids, nearest first; number: which look it is; reach: how many of the nearest are
    taken if all of it belongs. Without ids the border is found, and ``joined`` specimens came unseen."""

    ids: tuple[str, ...]
    number: int
    reach: int
    joined: int = 0


class Clusters:
    """annotations: asked for when something is named. Every method takes the name of who does it."""

    def __init__(self, collection: Collection, catalogue: Catalogue, annotations: Callable[[], Annotations]) -> None:
        self.collection, self.catalogue = collection, catalogue
        self._annotations = annotations
        self._lock = threading.RLock()
        self._history = History(collection)
        self._made: Session | None = None
        self._growing: dict[tuple[str, str], tuple[Border, int]] = {}

    def join(self, desk: Any) -> None:
        """Have views filter by clusters, and the desk's undo know of these acts."""
        self.catalogue.register("cluster", self.rows, lambda: (self.version, self.catalogue.version))
        desk.undoes(self._last_time, self._taken_back)

    # ---------------------------------------------------------------- what there is

    @property
    def version(self) -> int:
        """Grows with every act on clusters."""
        with self._lock:
            self._history.refresh()
            return len(self._history.acts)

    def rows(self, cluster: str) -> npt.NDArray[np.int32]:
        """(m,) int32 rows of the catalogue of a cluster's members, named ones too. Raises BiocosmosError where there is none."""
        with self._lock:
            session = self._session()
            return self.catalogue.rows_of_ids(session.everybody(cluster))

    def names(self, sort: Sort = "density", reverse: bool = False) -> list[str]:
        """The clusters that stand and have members without a name."""
        with self._lock:
            return self._session().order(sort, reverse)

    def tile(self, cluster: str) -> Tile:
        """What a cluster looks like."""
        with self._lock:
            return self._session().tile(cluster)

    def members(self, cluster: str, order: Literal["centre", "border"] = "centre") -> list[str]:
        """Ids without a name."""
        with self._lock:
            found = self._session().members(cluster)
            return found if order == "centre" else found[::-1]

    def alike(self, cluster: str, count: int = 6) -> list[str]:
        """The clusters most like one."""
        with self._lock:
            return self._session().alike(cluster, count)

    def strangers(self, cluster: str) -> list[str]:
        """Ids that were looked at and do not belong."""
        with self._lock:
            return self._session().strangers(cluster)

    def share(self) -> tuple[int, int]:
        """(specimens with a vector that have a name, all of these)."""
        with self._lock:
            session = self._session()
            return len(session.ids) - len(session.unnamed), len(session.ids)

    def next_size(self) -> int:
        """Of the clusters that are proposed next."""
        with self._lock:
            return self._session().next_size

    def newer(self) -> kept.Discovery | None:
        """Clusters kept with the collection that nobody has taken over yet."""
        with self._lock:
            there = kept.kept(self.collection, "clusters")
            return there[-1] if there and there[-1].name != self._session().taken else None

    # ---------------------------------------------------------------- acts

    def too_many(self) -> int:
        """How many specimens are without a name, if these are too many to cluster while one waits; else 0."""
        with self._lock:
            left = len(self._session().unnamed)
        return left if left > MOST_AT_ONCE else 0

    def propose(self, by: str, size: int | None = None) -> list[str]:
        """Cluster everything that has no name; what was proposed before and is left is dissolved."""
        with self._lock:
            return self._session(by).recluster(size, instead=True)

    def take_kept(self, by: str) -> list[str]:
        """Begin with the clusters that a job found last."""
        with self._lock:
            return self._session(by).take_kept()

    def look(self, by: str, cluster: str, shown: Sequence[str], strangers: Sequence[str]) -> None:
        """Say of some members which do not belong."""
        with self._lock:
            self._session(by).validate(cluster, shown, strangers)

    def name(
        self, by: str, cluster: str, taxon: str, rank: str | None, shown: Sequence[str], strangers: Sequence[str]
    ) -> tuple[Named, int]:
        """Name all members but the strangers, in one act; (what was said, members of before)."""
        with self._lock:
            session = self._session(by)
            if strangers:
                session.validate(cluster, shown, strangers)
            ids = session.members(cluster)
            if not ids:
                raise BiocosmosError("this cluster has no member without a name: go on with the next")
            said = self._annotations().name(ids, taxon, rank, by=by, how="cluster and grow")
            session.refresh()
            return said, len(ids)

    def grow(self, by: str, cluster: str, shown: Sequence[str] | None = None, strangers: Sequence[str] = ()) -> Grown:
        """Without ``shown`` the first page of the nearest outsiders; with it, what was said of the page, and the next one.

        Pages are 1, 2, 4, 8, ... of the nearest; when one has strangers, the border is halved, and what lies unseen before the
        last good page joins at the end. After a restart the search begins anew; what was said of pages is kept."""
        with self._lock:
            session, key = self._session(by), (by, cluster)
            if shown is None:
                session.page_size, session.tolerance = PAGE, TOLERANCE
                self._growing[key] = session.border(cluster), 1
                while len(self._growing) > MOST_OPEN:
                    self._growing.pop(next(iter(self._growing)))
            else:
                session.validate(cluster, shown, strangers)
                self._went_on(session, key, shown, strangers)
            return self._page(session, key)

    def stop_growing(self, by: str, cluster: str) -> int:
        """Have what lies unseen before the last good page join; how many these are."""
        with self._lock:
            border, _ = self._growing.pop((by, cluster), (None, 0))
            return 0 if border is None else self._joined(self._session(by), cluster, border)

    def merge(self, by: str, clusters: Sequence[str]) -> str:
        """Make several one; its name."""
        with self._lock:
            return self._session(by).merge(clusters)

    def split(self, by: str, cluster: str, parts: int) -> list[str]:
        """Cluster the members of one anew; the names of the parts."""
        with self._lock:
            return self._session(by).split(cluster, parts)

    def dissolve(self, by: str, cluster: str) -> None:
        """Put one aside."""
        with self._lock:
            self._session(by).dissolve(cluster)

    # ---------------------------------------------------------------- within

    def _session(self, by: str | None = None) -> Session:
        if self._made is None:
            if not self.collection.encoders:
                raise NothingToCluster("no specimen has a vector yet: start the job that computes them")
            from biocosmos.discover.growing import Session  # torch is in it

            dims = DIMS if len(self.catalogue) <= MANY else FEWER
            self._made = Session(
                self.collection, dims=dims, page=PAGE, tolerance=TOLERANCE, called=self._called, history=self._history
            )
        self._made.refresh()
        return self._made if by is None else self._made.as_user(by)

    def _called(self, ids: Sequence[str]) -> OfCatalogue:
        return OfCatalogue(self.catalogue, ids)

    def _went_on(self, session: Session, key: tuple[str, str], shown: Sequence[str], strangers: Sequence[str]) -> None:
        border, number = self._growing.get(key, (None, 0))
        if border is None or border.page is None:
            return
        ids = [str(id_) for id_ in session.ids[border.page]]
        if set(ids) != set(shown):  # another window went on meanwhile
            return
        odd = set(strangers)
        border.say(np.array([id_ not in odd for id_ in ids], bool))
        self._growing[key] = border, number + 1

    def _page(self, session: Session, key: tuple[str, str]) -> Grown:
        border, number = self._growing.get(key, (None, 0))
        if border is None:
            return self.grow(key[0], key[1])
        free = set(session.unnamed.tolist())
        while border.page is not None and not any(int(row) in free for row in border.page):
            border.say(np.ones(len(border.page), bool))  # others named all of it meanwhile
        if border.page is None:
            del self._growing[key]
            return Grown((), number, 0, self._joined(session, key[1], border))
        ids = tuple(str(id_) for id_ in session.ids[border.page])
        return Grown(ids, number, (int(border.number or 0) + 1) * session.page_size)

    def _joined(self, session: Session, cluster: str, border: Border) -> int:
        free = set(session.unnamed.tolist())
        unseen = [str(session.ids[row]) for row in border.unseen() if int(row) in free]
        session.join(cluster, unseen)
        return len(unseen)

    def _last_time(self, by: str) -> str | None:
        with self._lock:
            self._history.refresh()
            done = self._history.last(by)
            return None if done is None else done.at

    def _taken_back(self, by: str) -> dict[str, Any] | None:
        with self._lock:
            self._history.refresh()
            done = self._history.last(by)
            if done is None:
                return None
            take_back(self.collection, self._history, done, by)
            self._growing.clear()
            return {
                "kind": "clusters",
                "what": SAID.get(done.what, done.what),
                "count": done.count,
                "clusters": list(done.clusters),
            }
