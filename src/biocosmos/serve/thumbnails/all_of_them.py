"""All thumbnails of a collection, as a job: what is there is left alone, so that a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import lance

from biocosmos.errors import Failures
from biocosmos.machine import usable_cores
from biocosmos.progress import progress
from biocosmos.serve.thumbnails.drawing import SIZES, Made, make
from biocosmos.serve.thumbnails.pictures import NO_IMAGE, Pictures, mark_of, stamp_of
from biocosmos.serve.thumbnails.places import Shelf
from biocosmos.serve.thumbnails.store import Kept
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.damage import reading

STAGE = "thumbnails"
AT_ONCE = 64
"""Images that are read, decoded and kept together: what a kill costs."""
_IN_MEMORY = 8
"""Image files that a thread reads at a time."""
_LOOKED_AT = ["id", "image_path", "crop", "content_hash"]


@dataclass
class MadeAll:
    """made, there: specimens whose thumbnails were made now, and before; without: those that have no image; forgotten: kept ones
    of specimens that are no more; failures: images that cannot be shown, with the reason."""

    made: int = 0
    there: int = 0
    without: int = 0
    forgotten: int = 0
    failures: Failures = field(default_factory=Failures)


def make_all(collection: Collection, sizes: Sequence[int] = SIZES, *, threads: int | None = None) -> MadeAll:
    """Make what is missing or of a picture that has changed since.

    Several processes may do so at once; what one of them has made, the others find. Constant memory.
    """
    dataset = collection.dataset
    shelves = {size: Shelf(collection.path, size) for size in sizes}
    found = MadeAll()
    pool = ThreadPoolExecutor(threads or usable_cores())
    try:
        with progress("thumbnails", total=dataset.count_rows(), unit="images") as bar:
            for places, passed in _missing(collection, dataset, shelves, found):
                _make(collection, dataset, shelves, places, found, pool)
                bar.advance(passed)
        found.forgotten = _forget(collection, dataset, shelves)
    finally:
        pool.shutdown(cancel_futures=True)
        for shelf in shelves.values():
            shelf.close()
    return found


def _missing(
    collection: Collection, dataset: lance.LanceDataset, shelves: dict[int, Shelf], found: MadeAll
) -> Iterator[tuple[list[int], int]]:
    """(places of specimens without all their thumbnails, specimens passed since the last), at most :data:`AT_ONCE` places."""
    position = 0
    with reading(collection.path):
        for batch in dataset.to_batches(columns=_LOOKED_AT, batch_size=1024):
            rows = batch.to_pylist()
            kept = [shelf.store.marks([row["id"] for row in rows]) for shelf in shelves.values()]
            waiting: list[int] = []
            passed = 0
            for row in rows:
                passed += 1
                each = [some.get(row["id"]) for some in kept]
                if row["content_hash"] is None and row["image_path"] is None:
                    found.without += 1
                elif any(not _is_of(one, row) for one in each):
                    waiting.append(position + passed - 1)
                elif each[0] is not None and each[0].jpeg is None:
                    found.failures.add(each[0].reason or "", stage=STAGE, id=row["id"], source=row["image_path"])
                else:
                    found.there += 1
            for start in range(0, len(waiting), AT_ONCE):
                some = waiting[start : start + AT_ONCE]
                yield some, len(some)
            yield [], passed - len(waiting)
            position += passed


def _is_of(kept: Kept | None, row: dict[str, object]) -> bool:
    """Whether what is kept is of the picture as it is now; an image that could not be shown is tried again with its file."""
    if kept is None or kept.mark != mark_of(row["content_hash"], row["crop"]):  # type: ignore[arg-type]
        return False
    return kept.jpeg is not None or kept.stamp == stamp_of(row["image_path"])  # type: ignore[arg-type]


def _make(
    collection: Collection,
    dataset: lance.LanceDataset,
    shelves: dict[int, Shelf],
    places: list[int],
    found: MadeAll,
    pool: ThreadPoolExecutor,
) -> None:
    if not places:
        return
    sizes = tuple(shelves)
    pictures, parts = Pictures(collection), [places[start : start + _IN_MEMORY] for start in range(0, len(places), _IN_MEMORY)]

    def part(some: list[int]) -> list[Made]:
        return [make(picture, sizes) for picture in pictures.at(dataset, some)]

    done = [made for some in pool.map(part, parts) for made in some]
    for size, shelf in shelves.items():
        shelf.store.keep([made.row(size) for made in done if not made.may_pass and made.reason != NO_IMAGE])
    for made in done:
        if made.reason == NO_IMAGE:
            found.without += 1
        elif made.reason:
            source = made.picture.source if isinstance(made.picture.source, str) else None
            found.failures.add(made.reason, stage=STAGE, id=made.picture.id, source=source)
        else:
            found.made += 1


def _forget(collection: Collection, dataset: lance.LanceDataset, shelves: dict[int, Shelf]) -> int:
    """Remove what is kept of specimens that were removed; nothing is looked for where there are none too many."""
    forgotten = 0
    for shelf in shelves.values():
        gone: list[str] = []
        if shelf.store.count() > dataset.count_rows():
            for some in shelf.store.ids():
                there = set(collection.take(some, columns=["id"])["id"].to_pylist())
                gone += [id_ for id_ in some if id_ not in there]
        shelf.store.forget(gone)
        forgotten = max(forgotten, len(gone))
    return forgotten
