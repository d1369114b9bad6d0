"""Galleries that stay searchable: one an encoder, read in the background when first asked for, and again when vectors change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TooLong
from contextlib import suppress
from dataclasses import dataclass

import torch

from biocosmos.errors import BiocosmosError
from biocosmos.serve.asking.background import Background
from biocosmos.serve.asking.limits import RESIDENT_NUMBERS
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.resident import Resident, resident_gallery, stored_vectors

LOOK_SECONDS = 1.0
"""Between two looks at whether the collection was changed by another process."""


class NotReady(BiocosmosError):
    """A gallery that is being read: ask again in a moment."""


def compute_alone() -> None:
    """Have torch compute in the calling thread alone, and elsewhere as before: the other cores answer requests meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    other = threading.Thread(target=torch.set_num_threads, args=(threads,))  # what threads begun from now on are given
    other.start()
    other.join()


@dataclass
class _Slot:
    """future: of the gallery, or of the one that will take its place; gallery: the one in use; version: of the collection, last
    looked at; stored: what its vectors were then."""

    future: Future[Resident] | None = None
    gallery: Resident | None = None
    version: int = -1
    began: float = 0.0


class Galleries:
    """Thread-safe. At most :data:`RESIDENT_NUMBERS` are held; the gallery unused longest makes room."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._slots = OrderedDict[str, _Slot]()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._background = Background("galleries", compute_alone)

    def warm(self, encoder: str) -> None:
        """Begin to read it, if nobody has."""
        with suppress(NotReady):
            self.get(encoder, wait=0)

    def ready(self, encoder: str) -> bool:
        """Whether it can be searched now."""
        slot = self._slots.get(encoder)
        return slot is not None and (slot.gallery is not None or (slot.future is not None and slot.future.done()))

    def mark(self, encoder: str) -> tuple[str, str] | None:
        """What tells the gallery in use from another; None while there is none."""
        slot = self._slots.get(encoder)
        return None if slot is None or slot.gallery is None else (encoder, slot.gallery.stored)

    def get(self, encoder: str, *, wait: float) -> Resident:
        """The gallery of an embedding. Raises NotReady after ``wait`` seconds, BiocosmosError where it cannot be read."""
        with self._lock:
            slot = self._slots.setdefault(encoder, _Slot())
            self._slots.move_to_end(encoder)
            if slot.future is None and slot.gallery is None:
                self._begin(encoder, slot)
            future = slot.future
        if future is not None and (slot.gallery is None or future.done()):
            try:
                found = future.result(wait)
            except TooLong:
                seconds = time.monotonic() - slot.began
                raise NotReady(
                    f"the {len(self._collection):,} specimens are getting ready to be searched ({seconds:.0f} s so far): "
                    "ask again in a moment"
                ) from None
            except CancelledError:
                raise BiocosmosError("the server is stopping") from None
            except BaseException:
                with self._lock:  # another try may do better
                    if slot.future is future:
                        slot.future = None
                if slot.gallery is None:
                    raise
                return slot.gallery
            with self._lock:
                if slot.future is future:
                    slot.gallery, slot.future = found, None
                    self._make_room(encoder)
        self._look(encoder, slot)
        assert slot.gallery is not None
        return slot.gallery

    def refresh(self) -> None:
        """Look at once whether vectors changed; the next search does it too, within a second."""
        with self._lock:
            self._looked, slots = 0.0, list(self._slots.items())
        for encoder, slot in slots:
            if slot.gallery is not None:
                self._look(encoder, slot)

    def close(self) -> None:
        """Forget all of them."""
        self._background.close()
        with self._lock:
            self._slots.clear()

    def _begin(self, encoder: str, slot: _Slot) -> None:
        slot.began = time.monotonic()
        slot.version = self._collection.dataset.version
        slot.future = self._background.submit(self._read, encoder)

    def _read(self, encoder: str) -> Resident:
        return resident_gallery(self._collection, encoder, before=self._background.go_on)

    def _look(self, encoder: str, slot: _Slot) -> None:
        """Begin to read the gallery anew where its vectors changed; the old one answers until then."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS or slot.future is not None or slot.gallery is None:
            return
        with self._lock:
            self._looked = now
            version = self._collection.dataset.version
            if version == slot.version or slot.future is not None:
                return
            self._collection.reload()
            if stored_vectors(self._collection, encoder) == slot.gallery.stored:
                slot.version = version
            else:
                self._begin(encoder, slot)

    def _make_room(self, used: str) -> None:
        held = {name: slot.gallery for name, slot in self._slots.items() if slot.gallery is not None}
        numbers = {name: gallery.numbers for name, gallery in held.items()}
        for name in list(self._slots):
            if sum(numbers.values()) <= RESIDENT_NUMBERS or name == used:
                continue
            if name in numbers:
                del self._slots[name], numbers[name]
