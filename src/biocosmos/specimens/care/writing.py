"""The right to change a collection: its lock, and what an earlier change left is finished first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from biocosmos.specimens.care.apply import finish_pending
from biocosmos.specimens.care.entry import Entry
from biocosmos.specimens.care.log import Log
from biocosmos.specimens.checksums import Checksums
from biocosmos.specimens.lock import Held, locked
from biocosmos.specimens.recovery import MERGER, refuse_links, sweep_up

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


@contextmanager
def writing(collection: Collection, verb: str = "change", *, wait: float | None = None, dry_run: bool = False) -> Iterator[None]:
    """Hold the collection's lock (see :func:`biocosmos.specimens.lock.locked`); what another process did meanwhile is seen.

    ``verb`` is what others who wait are told. Within another ``writing`` of the same thread it does nothing, nor does a dry run,
    which may look at a collection that may only be read.
    """
    if dry_run:
        yield
        return
    with locked(collection.path, verb, wait=wait) as held:
        if held.first:
            refuse_links(collection.path)
            collection.reload()
            finished = finish_pending(collection) or _made_by(collection, held)
            if finished is not None:
                collection.interrupted = finished
            collection.finish_embeddings()
            if held.after_a_crash:  # last: what a pending change had written beforehand is in no version until it is finished
                planned = (collection.path / MERGER).is_dir()
                sweep_up(collection.path, None if planned else collection.dataset.uri)
            collection.reload()
        yield
        if held.first:
            Checksums(collection.path).record(collection.dataset)


def _made_by(collection: Collection, held: Held) -> Entry | None:
    """The last change, if the process made it that ended without giving the lock back."""
    if held.since is None:
        return None
    entries = Log(collection.path).entries()
    try:
        late = bool(entries) and datetime.fromisoformat(entries[-1].time).astimezone() >= held.since
    except ValueError:
        return None
    return entries[-1] if late else None


def done_already(collection: Collection, verb: str, arguments: Mapping[str, Any] | None = None) -> Entry | None:
    """The change that a run which was interrupted had begun, and that was finished since, if it is the one that is asked for."""
    entry = collection.interrupted
    if entry is None or entry.verb != verb:
        return None
    said = json.loads(json.dumps(dict(arguments or {}), default=str))
    return entry if arguments is None or said == dict(entry.arguments) else None
