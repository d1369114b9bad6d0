"""Cluster and grow: the loop by which one person names thousands of pictures an hour, on disk after every act.

Propose clusters of what has no name; validate each from its centre and its border; grow it by its nearest outsiders until
strangers appear; name it, at any rank; propose smaller clusters of the rest. After MorphoCluster (Schroeder et al. 2020, Sensors
20:3060). Every act is a row more; a user takes back the own ones, the last first, in this session or in a later one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.discover import kept
from biocosmos.discover.growing.acts import (
    DISSOLVED,
    GROWN,
    LOOKED,
    MERGED,
    NAMED,
    PROPOSED,
    Done,
    History,
    Row,
    act_name,
    append,
)
from biocosmos.discover.growing.board import Board
from biocosmos.discover.growing.border import Border, grow_to_border
from biocosmos.discover.growing.called import Called
from biocosmos.discover.growing.costs import Costs
from biocosmos.discover.growing.proposals import PARTS, propose
from biocosmos.discover.growing.suggestions import best_page, suggest
from biocosmos.discover.growing.undoing import HOW, take_back
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.by_hand import Recorded
from biocosmos.specimens.care.entry import who
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[np.int64]
FIRST_SIZE, LEAST_SIZE = 128, 4
"""Of the first clusters, as in MorphoCluster; each round halves it."""
SPLIT_INTO = 4


@dataclass(frozen=True)
class SuggestedPage:
    """Specimens that a head fitted on the names so far takes for one taxon, the likeliest first. sure: their probabilities."""

    taxon: str
    ids: list[str]
    sure: list[float]


class Session(Board):
    """Names for a collection, cluster by cluster; any number of sessions may work on one collection at once.

    encoder: which embedding; by: who names, by default the user who is logged in; relabel: labels that the collection has count
    for nothing; page: pictures of a page; tolerance: share of strangers on a page that still belongs; dims, called, history: as
    of :class:`Board`.

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
        dims: int | None = None,
        called: Callable[[Sequence[str]], Called] | None = None,
        history: History | None = None,
    ) -> None:
        if page < 1 or not 0 <= tolerance < 1:
            raise BiocosmosError(f"a page has at least 1 picture and a tolerance of 0 to 1, not {page} and {tolerance}")
        super().__init__(collection, encoder, relabel=relabel, page=page, dims=dims, called=called, history=history)
        self.by, self.tolerance, self.seed = by, tolerance, seed

    def as_user(self, by: str) -> Session:
        """The same session, whose acts are those of another user: all that is in memory is shared."""
        other = copy.copy(self)
        other.by = by
        return other

    # ---------------------------------------------------------------- proposals

    def recluster(self, size: int | None = None, method: str = PARTS[0], *, instead: bool = False) -> list[str]:
        """Propose clusters of everything that has no name; returns their names, the densest first.

        size: about so many specimens each (hdbscan: at least); by default 128, and half of the last round's in every later one.
        instead: clusters that stand are dissolved, so that no specimen is asked about twice. Raises BiocosmosError for an
        unknown method.
        """
        if method not in PARTS:
            raise BiocosmosError(f"clusters are not proposed by {method!r}: choose one of {', '.join(PARTS)}")
        self.refresh()
        if size is None:
            size = self.next_size
        if size < 1:
            raise BiocosmosError(f"a cluster has at least 1 specimen, not {size}")
        found = propose(self.vectors, self.unnamed, size, method=method, seed=self.seed)
        return self._propose(found, size, "propose", [each.name for each in self.clusters()] if instead and found else [])

    @property
    def next_size(self) -> int:
        """Of the clusters that :meth:`recluster` proposes next."""
        before = [each.size for each in self._history.clusters.values() if each.size]
        return max(before[-1] // 2, LEAST_SIZE) if before else FIRST_SIZE

    def take_kept(self, which: str = kept.LATEST, *, instead: bool = True) -> list[str]:
        """Propose the clusters that ``biocosmos discover clusters`` kept; returns the names of those with members without a name.

        Raises BiocosmosError where there are none.
        """
        self.refresh()
        discovery = kept.read_kept(self.collection, "clusters", which)
        table = discovery.table()
        rows = np.array([self._row.get(str(id_), -1) for id_ in table["id"].to_pylist()], np.int64)
        labels = np.array([-1 if each is None else int(each) for each in table["cluster"].to_pylist()], np.int64)
        typical = np.nan_to_num(np.array(table["typicality"].to_pylist(), np.float64), nan=-1.0)
        able = np.flatnonzero((rows >= 0) & (labels >= 0))
        able = able[self._free()[rows[able]]]
        order = able[np.lexsort((rows[able], -typical[able], labels[able]))]
        if not len(order):
            return []
        found = np.split(rows[order], np.flatnonzero(np.diff(labels[order])) + 1)
        size = int(np.median([len(part) for part in found]))
        gone = [each.name for each in self.clusters()] if instead else []
        return self._propose(found, size, "propose", gone, kept=discovery.name)

    @property
    def taken(self) -> str | None:
        """Name of the kept clusters that were proposed last and stand, None where none were."""
        acts = self._history.acts
        return next((act.kept for act in reversed(acts) if act.kept and act.name not in self._history.undone), None)

    # ---------------------------------------------------------------- acts

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
            self._act([(LOOKED, cluster, id_, id_ not in odd, 0, None) for id_ in shown], "look")

    def grow(self, cluster: str, strangers_of: Callable[[list[str]], Iterable[str]]) -> tuple[int, int]:
        """Take the nearest outsiders until strangers appear; returns (specimens that joined, pages looked at).

        strangers_of: is shown a page of ids and returns those that do not belong. Every page is kept as it was answered, so that
        a session that ends in between has lost nothing; what lies unseen between good pages joins at the end.
        """
        self.refresh()
        before = len(self.members(cluster))
        self._grows(cluster)

        def judge(rows: Array) -> Array:
            ids = [str(each) for each in self.ids[rows]]
            odd = set(strangers_of(ids))
            self.validate(cluster, ids, odd)
            return np.array([id_ not in odd for id_ in ids], bool)

        grown = grow_to_border(self._outside(cluster), judge, page=self.page_size, tolerance=self.tolerance)
        self.join(cluster, [str(id_) for id_ in self.ids[grown.unseen]])
        return len(self.members(cluster)) - before, grown.pages

    def border(self, cluster: str) -> Border:
        """The search for the border of a cluster, a page of rows of ``ids`` at a time, for who does not want to be called back:
        show ``border.page``, say it to :meth:`validate` and to the border, and :meth:`join` what is ``border.unseen()`` at the
        end. Raises BiocosmosError for a cluster without members."""
        self.refresh()
        self._grows(cluster)
        return Border(self._outside(cluster), page=self.page_size, tolerance=self.tolerance)

    def join(self, cluster: str, ids: Sequence[str]) -> None:
        """Have specimens join a cluster that nobody looked at: they lie between pages that belong."""
        self._cluster(cluster)
        if ids:
            self._act([(GROWN, cluster, id_, True, 0, None) for id_ in ids], "grow")

    def merge(self, clusters: Sequence[str]) -> str:
        """Make several clusters one, the first; returns its name. What is a stranger to one and a member of none is one to all.

        Raises BiocosmosError for fewer than two.
        """
        self.refresh()
        found = [self._cluster(name) for name in dict.fromkeys(clusters)]
        if len(found) < 2:
            raise BiocosmosError("two clusters or more are merged: choose another beside this one")
        first, others = found[0], found[1:]
        new = dict.fromkeys(id_ for one in others for id_ in one.members if id_ not in first.members)
        odd = {id_ for one in others for id_ in one.strangers} - {*first.members, *new, *first.strangers}
        rows: list[Row] = [(MERGED, first.name, id_, True, 0, None) for id_ in new]
        rows += [(MERGED, first.name, id_, False, 0, None) for id_ in sorted(odd)]
        rows += [(DISSOLVED, one.name, None, False, 0, None) for one in others]
        self._act(rows, "merge")
        return first.name

    def split(self, cluster: str, parts: int = SPLIT_INTO) -> list[str]:
        """Cluster the members of one anew, into about so many; returns the names of what took its place.

        Raises BiocosmosError for a cluster that is too small.
        """
        self.refresh()
        rows = np.sort(self._place(cluster).rows)
        if parts < 2 or len(rows) < parts:
            raise BiocosmosError(
                f"a cluster of {len(rows):,} is not split into {parts}: two parts or more, of a specimen at least"
            )
        found = propose(self.vectors, rows, len(rows) // parts, seed=self.seed)
        return self._propose(found, self._cluster(cluster).size, "split", [cluster])

    def dissolve(self, cluster: str) -> None:
        """Put a cluster aside: nothing is said of its members, which the next proposals may have."""
        self._cluster(cluster)
        self._act([(DISSOLVED, cluster, None, False, 0, None)], "dissolve")

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
            refused = {failure.id for failure in said.failures}
            self._act([(NAMED, cluster, id_, True, 0, taxon) for id_ in ids if id_ not in refused], "name")
        return said

    # ---------------------------------------------------------------- undo

    @property
    def acts(self) -> int:
        """How many acts were read: another number whenever the clusters may be others."""
        return len(self._history.acts)

    def last(self) -> Done | None:
        """The user's last act that stands."""
        self._history.refresh()
        return self._history.last(who(self.by))

    def undo(self) -> Done | None:
        """Take back the user's last act that stands, by an act more; returns the act that was taken back, None without one.

        From the files alone: acts of earlier sessions too. Names that an act gave are taken back with it."""
        done = self.last()
        if done is not None:
            take_back(self.collection, self._history, done, who(self.by))
            self.refresh()
        return done

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

    # ---------------------------------------------------------------- within

    def _record(self, ids: list[str], taxon: str, rank: str | None, note: str) -> Recorded:
        said = self.called.record(ids, taxon, rank, by=self.by, how=HOW, note=note)
        self.refresh()
        return said

    def _act(self, rows: list[Row], what: str, **more: str) -> str:
        name = act_name()
        append(self.collection, rows, name, what, who(self.by), **more)
        self.refresh()
        return name

    def _propose(self, found: Sequence[Array], size: int, what: str, gone: Sequence[str], **more: str) -> list[str]:
        """One act: clusters of rows, from the centre to the border, and those that they take the place of."""
        act = act_name()
        rows: list[Row] = [
            (PROPOSED, f"{act}.{i}", str(self.ids[row]), True, size, None) for i, part in enumerate(found) for row in part
        ]
        rows += [(DISSOLVED, name, None, False, 0, None) for name in gone]
        if rows:
            append(self.collection, rows, act, what, who(self.by), **more)
            self.refresh()
        return [f"{act}.{i}" for i in range(len(found))]

    def _grows(self, cluster: str) -> None:
        if not self._cluster(cluster).members:
            raise BiocosmosError(f"cluster '{cluster}' has no member: there is nothing to grow from")
