"""The right to change a collection: its lock, and what an earlier change left is finished first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from biocosmos.specimens.care.apply import finish_pending

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


@contextmanager
def writing(collection: Collection) -> Iterator[None]:
    """Hold the collection's lock; what another process did meanwhile is seen."""
    finish_pending(collection)
    collection.reload()
    yield
