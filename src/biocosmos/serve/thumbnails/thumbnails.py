"""Thumbnails as they are asked for: looked up, or made once for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from biocosmos.errors import BiocosmosError
from biocosmos.machine import usable_cores
from biocosmos.serve.thumbnails.drawing import SIZES, make
from biocosmos.serve.thumbnails.full_size import Full, full
from biocosmos.serve.thumbnails.pictures import NO_IMAGE, NOTHING, Find, Picture, Pictures
from biocosmos.serve.thumbnails.places import Shelf
from biocosmos.specimens.collection import Collection

LOOKERS = 2
MAKERS = 4
"""Threads: a file that takes long to decode never keeps others from seeing what is there already."""
TRY_AGAIN_SECONDS = 20.0
"""How long a file that could not be reached is not tried again."""
MOST_REMEMBERED = 10_000


class NoSpecimen(BiocosmosError):
    """The collection has no specimen of this id."""


@dataclass(frozen=True)
class Thumbnail:
    """jpeg: None where there is nothing to show, for ``reason``; mark: of what is seen, see :func:`.pictures.mark_of`."""

    jpeg: bytes | None
    mark: str
    reason: str = ""


class Thumbnails:
    """The thumbnails of one collection; safe to use from any thread.

    find: where a specimen is stored, as the catalogue knows; it also says which specimens are there.
    """

    def __init__(self, collection: Collection, find: Find | None = None) -> None:
        self.collection = collection
        self._find = find
        self._pictures = Pictures(collection, find)
        self._shelves = {size: Shelf(collection.path, size) for size in SIZES}
        self._lookers = ThreadPoolExecutor(LOOKERS, "thumbnails-look")
        self._makers = ThreadPoolExecutor(min(MAKERS, usable_cores()), "thumbnails-make")
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int, str], Future[Thumbnail]] = {}
        self._out_of_reach: dict[tuple[str, str], tuple[float, str]] = {}

    def get(self, id_: str, size: int) -> bytes | None:
        """The JPEG of a specimen, at most ``size`` (one of :data:`SIZES`) pixels a side; None where there is nothing to show.

        Raises NoSpecimen, and BiocosmosError for another size.
        """
        return self.ask(id_, size).result().jpeg

    def reason(self, id_: str) -> str:
        """Why there is nothing to show of a specimen; "" where there is something. Raises NoSpecimen."""
        return self.ask(id_, SIZES[0]).result().reason

    def ask(self, id_: str, size: int, mark: str = "") -> Future[Thumbnail]:
        """A thumbnail, to be waited for; whoever asks meanwhile for the same one waits for the same work.

        mark: what is wanted, if known: a thumbnail that is kept with this mark is given without a look into the collection.
        """
        if size not in self._shelves:
            raise BiocosmosError(f"thumbnails have {' or '.join(map(str, SIZES))} pixels a side, not {size}")
        key = (id_, size, mark)
        with self._lock:
            waiting = self._asked.get(key)
            if waiting is not None:
                return waiting
            wanted: Future[Thumbnail] = Future()
            wanted.set_running_or_notify_cancel()  # one who goes away must not take it from the others
            self._asked[key] = wanted
        self._submit(self._lookers, key, wanted, lambda: self._look(key, wanted))
        return wanted

    def barcode(self, id_: str) -> str | None:
        """The barcode of a specimen, which may stand where there is no image; None where it has none or there is no specimen."""
        return self._pictures.barcode(id_)

    def full(self, id_: str) -> Future[Full]:
        """What a browser is shown of the whole picture; ImageError says why it cannot be, NoSpecimen that there is none."""
        return self._makers.submit(self._full, id_)

    def close(self) -> None:
        """End the threads and let go of the files."""
        self._lookers.shutdown(cancel_futures=True)
        self._makers.shutdown(cancel_futures=True)
        with self._lock:
            left, self._asked = list(self._asked.values()), {}
        for future in left:
            future.set_exception(BiocosmosError("the server is stopping"))
        for shelf in self._shelves.values():
            shelf.close()

    # ------------------------------------------------------------------ in the threads

    def _submit(
        self, pool: ThreadPoolExecutor, key: tuple[str, int, str], wanted: Future[Thumbnail], work: Callable[[], Thumbnail | None]
    ) -> None:
        def run() -> None:
            try:
                found = work()
            except BaseException as error:
                self._done(key)
                wanted.set_exception(error)
            else:
                if found is not None:
                    self._done(key)
                    wanted.set_result(found)

        try:
            pool.submit(run)
        except RuntimeError:  # closed meanwhile
            self._done(key)
            wanted.set_exception(BiocosmosError("the server is stopping"))

    def _done(self, key: tuple[str, int, str]) -> None:
        with self._lock:
            self._asked.pop(key, None)

    def _look(self, key: tuple[str, int, str], wanted: Future[Thumbnail]) -> Thumbnail | None:
        """What is kept; otherwise None, and the work is handed to those who make it."""
        id_, size, mark = key
        if mark == NOTHING and self._find is not None and self._find(id_) >= 0:
            return Thumbnail(None, mark, NO_IMAGE)
        kept = self._shelves[size].find(id_)
        if mark and (self._find is None or self._find(id_) >= 0):
            for one in kept:
                if one.jpeg is not None and one.mark == mark:
                    return Thumbnail(one.jpeg, mark)
        picture = self._picture(id_)
        for one in kept:
            if one.mark == picture.mark and (one.jpeg is not None or one.stamp == picture.stamp()):
                return Thumbnail(one.jpeg, one.mark, one.reason or "")
        if picture.source is None:
            return Thumbnail(None, picture.mark, NO_IMAGE)
        self._submit(self._makers, key, wanted, lambda: self._make(picture, size))
        return None

    def _make(self, picture: Picture, size: int) -> Thumbnail:
        gone = self._gone(picture)
        if gone:
            return Thumbnail(None, picture.mark, gone)
        made = make(picture, (size,))
        if made.may_pass:
            self._remember_gone(picture, made.reason)
        else:
            self._shelves[size].store.keep([made.row(size)])
        return Thumbnail(made.jpegs.get(size), picture.mark, made.reason)

    def _full(self, id_: str) -> Full:
        return full(self._picture(id_))

    def _picture(self, id_: str) -> Picture:
        picture = self._pictures.of(id_)
        if picture is None:
            raise NoSpecimen("there is no such specimen: reload the page")
        return picture

    def _gone(self, picture: Picture) -> str:
        with self._lock:
            until, reason = self._out_of_reach.get((picture.id, picture.mark), (0.0, ""))
        return reason if time.monotonic() < until else ""

    def _remember_gone(self, picture: Picture, reason: str) -> None:
        with self._lock:
            if len(self._out_of_reach) >= MOST_REMEMBERED:
                self._out_of_reach.clear()
            self._out_of_reach[picture.id, picture.mark] = (time.monotonic() + TRY_AGAIN_SECONDS, reason)
