"""What one running server holds: the collection, and everything that is kept in memory about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt
from fastapi import Depends, Request

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection

if TYPE_CHECKING:
    from biocosmos.serve.annotating import Annotations, Queues
    from biocosmos.serve.asking import Asking
    from biocosmos.serve.catalogue import Catalogue, View
    from biocosmos.serve.catalogue.state import Moment
    from biocosmos.serve.clusters import Clusters
    from biocosmos.serve.curation import Curation
    from biocosmos.serve.likeness.likeness import Likeness
    from biocosmos.serve.places.places import Places
    from biocosmos.serve.specimen.looking import Looking
    from biocosmos.serve.thumbnails import Thumbnails
    from biocosmos.serve.work import Work

T = TypeVar("T")
MOST_AT_ONCE = 50_000
"""Specimens that one act may name or tag."""


class once(cached_property[T]):
    """A part that is made when it is first asked for, by one thread while others wait."""

    @overload
    def __get__(self, desk: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, desk: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, desk: Any, owner: type[Any] | None = None) -> Any:
        if desk is None or self.attrname in desk.__dict__:
            return super().__get__(desk, owner)
        with desk._making:
            return super().__get__(desk, owner)


class Desk:
    """Given to every route; made once for a server, used by many threads. Each part is made when it is first asked for."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._making = threading.RLock()
        self._undoers: list[tuple[Callable[[str], str | None], Callable[[str], Any]]] = []

    @once
    def catalogue(self) -> Catalogue:
        """Arrays over all specimens."""
        from biocosmos.serve.catalogue import Catalogue

        return Catalogue(self.collection)

    @once
    def annotations(self) -> Annotations:
        """What people say."""
        from biocosmos.serve.annotating import Annotations

        made = Annotations(self.collection, self.catalogue)
        self.undoes(made.last, made.undo)
        return made

    @once
    def queues(self) -> Queues:
        """Queues of review."""
        from biocosmos.serve.annotating import Queues

        return Queues(self.annotations)

    @once
    def curation(self) -> Curation:
        """Tags and saved views."""
        from biocosmos.serve.curation import Curation

        made = Curation(self.collection, self.catalogue)
        made.join(self)
        return made

    @once
    def clusters(self) -> Clusters:
        """Clusters that are validated, grown and named."""
        from biocosmos.serve.clusters import Clusters

        made = Clusters(self.collection, self.catalogue, lambda: self.annotations)
        made.join(self)
        return made

    @once
    def thumbnails(self) -> Thumbnails:
        """Small pictures."""
        from biocosmos.serve.thumbnails import Thumbnails

        return Thumbnails(self.collection, lambda id_: int(self.catalogue.rows_of_ids([id_])[0]))

    @once
    def looking(self) -> Looking:
        """One specimen looked at closely."""
        from biocosmos.serve.specimen.looking import Looking

        return Looking(self.collection)

    @once
    def work(self) -> Work:
        """Long work."""
        from biocosmos.serve.work import Work

        made = Work(self.collection)
        made.when_over(lambda _: self.take_over())
        return made

    @once
    def asking(self) -> Asking:
        """Search and identification."""
        from biocosmos.serve.asking import Asking

        return Asking(self.collection, self.catalogue)

    @once
    def likeness(self) -> Likeness:
        """The map of likeness."""
        from biocosmos.serve.likeness.likeness import Likeness

        made = Likeness(self)
        made.join()
        return made

    @once
    def places(self) -> Places:
        """The map of places."""
        from biocosmos.serve.places.places import Places

        return Places(self)

    def open(self) -> None:
        """Make what every page needs, before the first one is asked for."""
        for part in ("catalogue", "annotations", "queues", "curation", "thumbnails", "work", "likeness", "places"):
            getattr(self, part)

    def open_late(self) -> None:
        """Make what takes seconds to import; the first page does not wait for it."""
        for part in ("clusters", "asking"):
            getattr(self, part)

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

    def ids_of(self, ids: list[str] | None, view: str | None, *, most: int | None = MOST_AT_ONCE) -> list[str]:
        """Ids of what a selection names, as :meth:`rows_of` has it, even if the collection changes meanwhile."""
        moment = self.catalogue.now
        return self.catalogue.ids_of(self.rows_of(ids, view, most=most, moment=moment), moment)

    def rows_of(
        self, ids: list[str] | None, view: str | None, *, most: int | None = MOST_AT_ONCE, moment: Moment | None = None
    ) -> npt.NDArray[np.int32]:
        """Rows, at a moment of the catalogue (by default now), of what a selection names: ids, or the query string of a view.
        Raises BiocosmosError for neither, both, ids that are not there, and more than ``most``."""
        from urllib.parse import parse_qsl

        if (ids is None) == (view is None):
            raise BiocosmosError("say which specimens: give their ids, or a view")
        if ids is not None:
            rows: npt.NDArray[np.int32] = (moment or self.catalogue.now).stored.rows_of_ids(ids)
            if (rows < 0).any():
                raise BiocosmosError(f"there is no specimen {ids[int(np.argmin(rows))]!r}: reload the page")
        else:
            rows = self.catalogue.rows(self.view(parse_qsl(view or "", keep_blank_values=True)), moment)
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
        _ = self.clusters  # its acts are among them
        found = [(when, place) for place, (last, _) in enumerate(self._undoers) if (when := last(user)) is not None]
        return self._undoers[max(found)[1]][1](user) if found else None


def desk_of(request: Request) -> Desk:
    """The desk of the server that was asked."""
    desk: Desk = request.app.state.desk
    return desk


Here = Annotated[Desk, Depends(desk_of)]
