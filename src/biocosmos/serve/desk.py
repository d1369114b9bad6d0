"""What one running server holds: the collection, and everything that is kept in memory about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import Depends, Request

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection

if TYPE_CHECKING:
    from biocosmos.serve.annotating import Annotations, Queues
    from biocosmos.serve.asking import Asking
    from biocosmos.serve.catalogue import Catalogue, View
    from biocosmos.serve.clusters import Clusters
    from biocosmos.serve.curation import Curation
    from biocosmos.serve.likeness.likeness import Likeness
    from biocosmos.serve.places.places import Places
    from biocosmos.serve.specimen import Looking
    from biocosmos.serve.thumbnails import Thumbnails
    from biocosmos.serve.work import Work

MOST_AT_ONCE = 50_000
"""Specimens that one act may name or tag."""


class Desk:
    """Given to every route; made once for a server, used by many threads. Each part is made when it is first asked for."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._making = threading.RLock()
        self._undoers: list[tuple[Callable[[str], str | None], Callable[[str], Any]]] = []

    @cached_property
    def catalogue(self) -> Catalogue:
        """Arrays over all specimens."""
        from biocosmos.serve.catalogue import Catalogue

        return Catalogue(self.collection)

    @cached_property
    def annotations(self) -> Annotations:
        """What people say."""
        from biocosmos.serve.annotating import Annotations

        made = Annotations(self.collection, self.catalogue)
        self.undoes(made.last, made.undo)
        return made

    @cached_property
    def queues(self) -> Queues:
        """Queues of review."""
        from biocosmos.serve.annotating import Queues

        return Queues(self.annotations)

    @cached_property
    def curation(self) -> Curation:
        """Tags and saved views."""
        from biocosmos.serve.curation import Curation

        made = Curation(self.collection, self.catalogue)
        made.join(self)
        return made

    @cached_property
    def clusters(self) -> Clusters:
        """Clusters that are validated, grown and named."""
        from biocosmos.serve.clusters import Clusters

        made = Clusters(self.collection, self.catalogue, lambda: self.annotations)
        made.join(self)
        return made

    @cached_property
    def thumbnails(self) -> Thumbnails:
        """Small pictures."""
        from biocosmos.serve.thumbnails import Thumbnails

        return Thumbnails(self.collection, lambda id_: int(self.catalogue.rows_of_ids([id_])[0]))

    @cached_property
    def looking(self) -> Looking:
        """One specimen looked at closely."""
        from biocosmos.serve.specimen import Looking

        return Looking(self.collection)

    @cached_property
    def work(self) -> Work:
        """Long work."""
        from biocosmos.serve.work import Work

        made = Work(self.collection)
        made.when_over(lambda _: self.take_over())
        return made

    @cached_property
    def asking(self) -> Asking:
        """Search and identification."""
        from biocosmos.serve.asking import Asking

        return Asking(self.collection, self.catalogue)

    @cached_property
    def likeness(self) -> Likeness:
        """The map of likeness."""
        from biocosmos.serve.likeness.likeness import Likeness

        made = Likeness(self)
        made.join()
        return made

    @cached_property
    def places(self) -> Places:
        """The map of places."""
        from biocosmos.serve.places.places import Places

        return Places(self)

    def open(self) -> None:
        """Make what every page needs, before the first one is asked for."""
        parts = ("catalogue", "annotations", "queues", "curation", "clusters", "thumbnails", "work", "asking")
        for part in (*parts, "likeness", "places"):
            getattr(self, part)
        self.catalogue.warm_aside()

    def take_over(self) -> None:
        """Take over what another process, such as a job that is done, changed in the collection."""
        self.collection.reload()
        if "catalogue" in self.__dict__:
            self.catalogue.refresh()

    def hush(self) -> None:
        """End answers that go on for as long as somebody listens, so that the server can stop."""
        if "work" in self.__dict__:
            self.work.hush()

    def close(self) -> None:
        """Let go of files and threads."""
        for part in ("looking", "asking", "work", "thumbnails", "clusters", "curation", "annotations", "catalogue"):
            closing = getattr(self.__dict__.get(part), "close", None)
            if closing is not None:
                closing()

    # ------------------------------------------------------------------ selections

    def view(self, parameters: Any) -> View:
        """The view of a query string's parameters. Raises BiocosmosError for one that does not hold."""
        from biocosmos.serve.catalogue import View

        return View.parse(parameters)

    def rows_of(self, ids: list[str] | None, view: str | None, *, most: int | None = MOST_AT_ONCE) -> npt.NDArray[np.int32]:
        """Rows of what a selection names: ids, or the query string of a view. Raises BiocosmosError for neither, both, ids that
        are not there, and more than ``most``."""
        from urllib.parse import parse_qsl

        if (ids is None) == (view is None):
            raise BiocosmosError("say which specimens: give their ids, or a view")
        if ids is not None:
            rows: npt.NDArray[np.int32] = self.catalogue.rows_of_ids(ids)
            if (rows < 0).any():
                raise BiocosmosError(f"there is no specimen {ids[int(np.argmin(rows))]!r}: reload the page")
        else:
            rows = self.catalogue.rows(self.view(parse_qsl(view or "", keep_blank_values=True)))
        if most is not None and len(rows) > most:
            raise BiocosmosError(f"{len(rows):,} specimens are too many for one act, at most {most:,}: narrow the view")
        return rows

    # ------------------------------------------------------------------ undo

    def undoes(self, last: Callable[[str], str | None], undo: Callable[[str], Any]) -> None:
        """Register a kind of act: ``last(user)`` says when (sortable, UTC) the user's last act that stands was made, None where
        there is none; ``undo(user)`` takes it back and says what it was."""
        self._undoers.append((last, undo))

    def undo(self, user: str) -> Any:
        """Take back the user's last act that stands, of whatever kind; None where there is none."""
        found = [(when, place) for place, (last, _) in enumerate(self._undoers) if (when := last(user)) is not None]
        return self._undoers[max(found)[1]][1](user) if found else None


def desk_of(request: Request) -> Desk:
    """The desk of the server that was asked."""
    desk: Desk = request.app.state.desk
    return desk


Here = Annotated[Desk, Depends(desk_of)]
