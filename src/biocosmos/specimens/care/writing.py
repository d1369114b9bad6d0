"""The right to change a collection: its lock, and what an earlier change left is finished first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from biocosmos.specimens.care.apply import finish_pending
from biocosmos.specimens.checksums import Checksums
from biocosmos.specimens.lock import locked
from biocosmos.specimens.recovery import MERGER, refuse_links, sweep_up

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


@contextmanager
def writing(collection: Collection, verb: str = "change", *, wait: float | None = None) -> Iterator[None]:
    """Hold the collection's lock (see :func:`biocosmos.specimens.lock.locked`); what another process did meanwhile is seen.

    ``verb`` is what others who wait are told. Within another ``writing`` of the same thread it does nothing.
    """
    with locked(collection.path, verb, wait=wait) as held:
        if held.first:
            refuse_links(collection.path)
            collection.reload()
            finish_pending(collection)
            collection.finish_embeddings()
            if held.after_a_crash:  # last: what a pending change had written beforehand is in no version until it is finished
                planned = (collection.path / MERGER).is_dir()
                sweep_up(collection.path, None if planned else collection.dataset.uri)
            collection.reload()
        yield
        if held.first:
            Checksums(collection.path).record(collection.dataset)
