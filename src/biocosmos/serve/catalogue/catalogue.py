"""The catalogue: all specimens in memory as arrays, asked by views."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import facets as by
from biocosmos.serve.catalogue.answers import load_answers
from biocosmos.serve.catalogue.marks import Marks, exact_of, marks_of
from biocosmos.serve.catalogue.masks import Kind, Plugs, mask_of
from biocosmos.serve.catalogue.orders import order_of
from biocosmos.serve.catalogue.parts import Parts
from biocosmos.serve.catalogue.people import People
from biocosmos.serve.catalogue.reading import give_back_memory, load_both
from biocosmos.serve.catalogue.state import Moment, follow, join
from biocosmos.serve.catalogue.stored import Stored
from biocosmos.serve.catalogue.taxa import Found, find_taxa, resolve
from biocosmos.serve.catalogue.tree import Branch, branches
from biocosmos.serve.catalogue.view import View
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    from biocosmos.specimens.by_hand import Ledger
    from biocosmos.specimens.collection import Collection as Specimens

MOST = 1000
"""Specimens of a page."""
Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Page:
    """Some of a view's specimens. rows: int32, in order; total: of the view; next: the id to go on after, None at the end."""

    rows: Int32
    total: int
    next: str | None


class Catalogue:
    """What one running server knows of its specimens; row = place in the collection's order of storage. Thread-safe.

    Each answer is from one moment; who asks twice and must have the same takes :attr:`now` once and asks that. The attributes are
    those of the present moment: ``ids`` (n,) Arrow strings, ``nodes`` int32, ``states`` uint8 (places in ``view.STATES``),
    ``predicted`` int32, ``confidence`` and ``novelty`` float32, ``taxonomy``; see :class:`Moment`.
    """

    def __init__(self, collection: Specimens) -> None:
        self.collection = collection
        self.parts = Parts(collection)
        self.plugs = Plugs()
        self._tag_names: Callable[[], Sequence[str]] = tuple
        self._writing = threading.RLock()
        self._exact, self._marks = exact_of(collection), cast(Marks | None, None)
        self._people = People(collection.path)
        self._people.read_new()
        self._now = join(0, *load_both(collection), self._people)
        give_back_memory()
        self._reading: threading.Thread | None = None
        self._closed = False

    # ------------------------------------------------------------------ the present moment

    @property
    def now(self) -> Moment:
        """Everything as it is at this moment; nothing in it changes."""
        return self._now

    @property
    def version(self) -> int:
        """Another number whenever anything changed."""
        return self._now.number

    @property
    def ids(self) -> pa.StringArray:
        return self._now.stored.ids

    @property
    def nodes(self) -> Int32:
        return self._now.nodes

    @property
    def states(self) -> npt.NDArray[np.uint8]:
        return self._now.states

    @property
    def predicted(self) -> Int32:
        return self._now.predicted

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        return self._now.confidence

    @property
    def novelty(self) -> npt.NDArray[np.float32]:
        return self._now.novelty

    @property
    def taxonomy(self) -> Taxonomy:
        return self._now.taxonomy

    def __len__(self) -> int:
        return len(self._now)

    @property
    def ledger(self) -> Ledger:
        """What people said, in memory."""
        return self._people.ledger

    # ------------------------------------------------------------------ changes

    def register(self, kind: Kind, ask: Callable[[Any], Any], version: Callable[[], Hashable] | None = None) -> None:
        """Let another room answer a filter ("tag", "cluster", "region": value -> mask or rows) or a likeness ("like": id ->
        float32 of all). version: see :meth:`Plugs.register`."""
        self.plugs.register(kind, ask, version)

    def tell_tags(self, names: Callable[[], Sequence[str]]) -> None:
        """Let the room of tags say which there are, for the facets."""
        self._tag_names = names

    def apply(self, rows: npt.ArrayLike, nodes: npt.ArrayLike, states: npt.ArrayLike) -> None:
        """Take over what a person just said of these rows, before it is read from the files. :meth:`refresh` finds the same,
        names that the taxonomy lacks included, in a few milliseconds."""
        with self._writing:
            self._now = self._now.changed(np.asarray(rows, np.int32), np.asarray(nodes, np.int32), np.asarray(states, np.uint8))

    def refresh(self, *, wait: bool = False) -> bool:
        """Take over what changed on disk: the collection, kept answers, what people said. Whether anything did.

        Costs a few looks at folders where nothing did. A new version of the collection is read by a thread of its own, unless
        ``wait``, and takes its place when it is ready; requests go on with the old one.
        """
        with self._writing:
            about = self._people.read_new()
            if about:
                self._now = follow(self._now, self._people, about)
        if not self._stored_changed():
            return bool(about)
        if wait:
            self._read_again()
        else:
            self._read_aside()
        return True

    def _stored_changed(self) -> bool:
        marks = marks_of(self.collection.path)
        if marks == self._marks:
            return False
        if exact_of(self.collection) != self._exact:
            return True
        if marks.settled:
            self._marks = marks
        return False

    def _read_aside(self) -> None:
        with self._writing:
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self._read_or_tell, name="catalogue")
                self._reading.start()

    def _read_or_tell(self) -> None:
        try:
            self._read_again()
        except BiocosmosError as error:
            print(f"warning: {error}; what was read before is shown", file=sys.stderr)
            self._exact = exact_of(self.collection)

    def _read_again(self) -> None:
        exact, old = exact_of(self.collection), self._exact
        same = (exact.version, exact.facts) == (old.version, old.facts)
        now = self._now.stored
        stored, answers = (now, load_answers(self.collection, now)) if same else load_both(self.collection)
        with self._writing:
            self._people.read_new()
            self._now = join(self._now.number + 1, stored, answers, self._people)
            self._exact = exact
        give_back_memory()

    def warm_aside(self) -> None:
        """:meth:`warm` by a thread of its own; a process that ends waits for it."""
        threading.Thread(target=self.warm, name="warm").start()

    def warm(self) -> None:
        """Work out what the first questions need, so that no person waits for it."""
        stored, parts = self._now.stored, self.parts
        steps: list[Callable[[], object]] = [
            lambda: stored.id_order,
            lambda: stored.days,
            lambda: self.find_taxa("a", 1),
            *(partial(parts.split, stored, split) for split in parts.splits),
            lambda: stored.folded_ids,
        ]
        for step in steps:
            if self._closed:
                return
            step()

    def close(self) -> None:
        """Begin nothing that takes long any more."""
        self._closed = True

    # ------------------------------------------------------------------ views

    def view(self, params: Any, also: Collection[str] = ()) -> View:
        """The view of an address, checked. Raises BiocosmosError for what :meth:`View.parse` refuses, and for a taxon, part,
        column or id that is not there."""
        view = View.parse(params, also)
        self.check(view)
        return view

    def check(self, view: View) -> None:
        """Raises BiocosmosError for a view that names a taxon, part, column or id that is not there."""
        moment = self._now
        if view.taxon is not None:
            resolve(moment.taxonomy, view.taxon)
        if view.part is not None:
            self.parts.of(moment.stored, view.part)
        known = set(moment.stored.columns) if view.columns else set()
        for name, _ in view.columns:
            if name not in known:
                moment.stored.column(name)
        if view.like is not None:
            self.row_of(view.like)

    def mask(self, view: View, moment: Moment | None = None) -> Bool:
        """(n,) which specimens a view leaves."""
        moment = moment or self._now
        found = mask_of(moment, self.plugs, self.parts, view)
        return np.ones(len(moment), bool) if found is None else found

    def rows(self, view: View, moment: Moment | None = None) -> Int32:
        """(m,) int32 rows of a view in its order."""
        moment = moment or self._now
        versions = tuple(self.plugs.version(kind) for kind, used in _used(view) if used)
        made = moment.rows.get((view, versions, self._part_mark(moment, view)), lambda: self._rows(view, moment))
        return made

    def _rows(self, view: View, moment: Moment) -> Int32:
        rows = order_of(moment, self.plugs, view).sorted(mask_of(moment, self.plugs, self.parts, view), len(moment))
        rows.setflags(write=False)
        return rows

    def _part_mark(self, moment: Moment, view: View) -> int:
        return 0 if view.part is None else id(self.parts.of(moment.stored, view.part)[0])

    def count(self, view: View) -> int:
        """How many specimens a view has."""
        return len(self.rows(view))

    def page(self, view: View, after: str | None = None, count: int = 120, moment: Moment | None = None) -> Page:
        """Up to ``count`` specimens of a view, from the beginning or from behind the specimen ``after``, which need not be in the
        view any more. Raises BiocosmosError for an id that no specimen has, and a count that is none."""
        if not 1 <= count <= MOST:
            raise BiocosmosError(f"a page has from 1 to {MOST:,} specimens, not {count:,}")
        moment = moment or self._now
        rows = self.rows(view, moment)
        start = 0
        if after is not None:
            start = order_of(moment, self.plugs, view).after(rows, self.row_of(after, moment))
        page = rows[start : start + count]
        more = start + count < len(rows)
        return Page(page, len(rows), str(moment.stored.ids[int(page[-1])]) if more else None)

    # ------------------------------------------------------------------ what a view holds

    def tree(self, node: int | str = 0, view: View | None = None, moment: Moment | None = None) -> list[Branch]:
        """The taxa right below a node (or an address, "" for all) that have specimens under the view without its own taxon."""
        moment = moment or self._now
        at = node if isinstance(node, int) else resolve(moment.taxonomy, node) if node else 0
        return branches(moment, at, self.counts(view or View(), moment))

    def counts(self, view: View, moment: Moment | None = None) -> npt.NDArray[np.int64]:
        """(nodes,) specimens at and below each taxon under the view without its own taxon."""
        moment = moment or self._now
        bare = replace(view, taxon=None, sort="stored", like=None, reverse=False)
        versions = tuple(self.plugs.version(kind) for kind, used in _used(bare) if used)

        def make() -> npt.NDArray[np.int64]:
            mask = mask_of(moment, self.plugs, self.parts, bare)
            return moment.taxonomy.count(moment.nodes if mask is None else moment.nodes[mask])

        return moment.kept.get(("counts", bare, versions, self._part_mark(moment, bare)), make)

    def facets(self, view: View, columns: Sequence[str] = (), moment: Moment | None = None) -> by.Facets:
        """Counts of the view by state, part, tag, values of ``columns``, date and place, each without the filter of its own."""
        moment = moment or self._now

        def masked(*without: str) -> Bool | None:
            return mask_of(moment, self.plugs, self.parts, view, without)

        whole = masked()
        places, box = by.places(moment, masked("box"))
        return by.Facets(
            total=len(moment) if whole is None else int(np.count_nonzero(whole)),
            states=by.state_counts(moment, masked("states")),
            parts=by.part_counts(moment, self.parts, masked("part")),
            tags=self._tag_counts(moment, masked("tags")),
            columns=tuple(self._values(moment, view, name) for name in by.chosen(columns, view.columns)),
            dates=by.date_bars(moment, masked("dates")),
            places=places,
            box=box,
        )

    def _tag_counts(self, moment: Moment, rest: Bool | None) -> dict[str, int]:
        counts = {}
        for tag in self._tag_names():
            mine = self.mask(View(tags=(tag,)), moment)
            counts[tag] = int(np.count_nonzero(mine if rest is None else mine & rest))
        return counts

    def _values(self, moment: Moment, view: View, column: str) -> by.Values:
        others = tuple((name, value) for name, value in view.columns if name != column)
        return by.value_counts(moment, column, mask_of(moment, self.plugs, self.parts, replace(view, columns=others)))

    def find_taxa(self, words: str, limit: int = 20) -> list[Found]:
        """Taxa with names like ``words``, best first; see :func:`biocosmos.serve.catalogue.taxa.find_taxa`."""
        return find_taxa(self._now, words, limit)

    # ------------------------------------------------------------------ specimens

    def rows_of_ids(self, ids: Sequence[str] | pa.Array) -> Int32:
        """(m,) int32 row of each id, -1 for one that no specimen has."""
        return self._now.stored.rows_of_ids(ids)

    def row_of(self, id_: str, moment: Moment | None = None) -> int:
        """The row of a specimen. Raises BiocosmosError for an id that none has."""
        row = int((moment or self._now).stored.rows_of_ids([id_])[0])
        if row < 0:
            raise BiocosmosError(f"no specimen has the id {id_[:200]!r}: it may have been removed, load the page again")
        return row

    def ids_of(self, rows: npt.ArrayLike, moment: Moment | None = None) -> list[str]:
        """Ids of rows."""
        ids: list[str] = (moment or self._now).stored.ids.take(pa.array(np.asarray(rows, np.int32))).to_pylist()
        return ids

    def table(self, rows: npt.ArrayLike, columns: Sequence[str]) -> pa.Table:
        """Stored cells of these rows, in their order."""
        return self._now.stored.table(rows, columns)


def _used(view: View) -> tuple[tuple[Kind, bool], ...]:
    used = (("tag", bool(view.tags)), ("cluster", view.cluster), ("region", view.region), ("like", view.like))
    return tuple((kind, bool(each)) for kind, each in used)  # type: ignore[misc]


__all__ = ["Catalogue", "Page", "Stored", "View"]
