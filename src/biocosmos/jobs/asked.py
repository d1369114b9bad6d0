"""What is to be named, in numbered blocks of fixed specimens: the same blocks however often the work is broken off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from biocosmos.embed.reader import ImageBatch, ImageFiles, ImageReader, ImageSource, Rows, StoredImages, ahead
from biocosmos.encoders.encoder import Encoder
from biocosmos.errors import BiocosmosError, Failure, Failures
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Namer, Specimens
from biocosmos.identify.namers.trained import TrainedNamer
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.listing import STAGE, AskedFile
from biocosmos.jobs.predict import encoder_of_head, part_blocks, stored_ranks
from biocosmos.jobs.queries import encoder_of_column
from biocosmos.jobs.unlabelled import selection
from biocosmos.jobs.who_names import embedding_of
from biocosmos.machine import usable_cores
from biocosmos.settings import refuse_changed
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

BLOCK = 256
"""Specimens of a block, so many of which at most are named again after a kill."""
IMAGES_TOGETHER = 64
"""Images that are read at once for a namer that looks at images itself."""


def _quietly(count: int) -> None:
    pass


@dataclass
class AskedBlock:
    """One block: its number, how many specimens were asked about, those that are there, and what could not be read."""

    number: int
    asked: int = 0
    specimens: list[Specimens] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class Asked(Protocol):
    """What is to be named; images: whether images are looked at; total: specimens, None where it is not known before; computed:
    what decides the last bits of what namers are given."""

    @property
    def images(self) -> bool: ...

    @property
    def total(self) -> int | None: ...

    @property
    def computed(self) -> dict[str, Any]: ...

    def digests(self) -> Iterator[str]:
        """Of what each block and those before it ask about, by which one that was named before is known again."""

    def blocks(self, done: Callable[[int], bool], advance: Callable[[int], None] = _quietly) -> Iterator[AskedBlock]:
        """The blocks in their order; one that is done comes without its specimens. advance: is told of specimens as they come."""


class AskedImages:
    """Images, for a namer that takes images, or vectors that an encoder makes of them.

    fact: of the image with a number, what it is known again by; told: adds to specimens what else is known of the images with
    some numbers; batch_size: images per run of the model; workers: threads that read and embed, which change no number.
    """

    images = True

    def __init__(
        self,
        source: ImageSource,
        fact: Callable[[int], str],
        namer: Namer,
        encoder: Encoder | None,
        *,
        told: Callable[[Specimens, Rows], Specimens] | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> None:
        self._count, self._fact, self._encoder, self._told = len(source), fact, encoder, told or _as_files
        self._together = batch_size or (IMAGES_TOGETHER if encoder is None else encoder.batch_size)
        rows = BLOCK // 4 if encoder is None else BLOCK  # images wait as pixels for a namer that looks at them itself
        self._rows = max(1, rows // self._together) * self._together
        self._workers = workers or (encoder.streams if encoder is not None and encoder.streams > 1 else usable_cores())
        preprocessing = namer.preprocessing if encoder is None else encoder.preprocessing  # type: ignore[attr-defined]
        self._reader = ImageReader(source, preprocessing, stage=STAGE)

    @property
    def computed(self) -> dict[str, Any]:
        """What decides the last bits of vectors: the encoder and how it computes."""
        facts = {} if self._encoder is None else self._encoder.metadata()
        kept = ("name", "digest", "preprocessing", "precision", "backend", "device", "layout")
        return {name: facts.get(name) for name in kept if facts} | {"images together": self._together}

    @classmethod
    def files(cls, files: Sequence[AskedFile], namer: Namer, encoder: Encoder | None, **how: int | None) -> AskedImages:
        """Image files; ids are their paths."""
        source = ImageFiles(file.path for file in files)
        return cls(source, lambda row: files[row].fact(), namer, encoder, **how)  # type: ignore[arg-type]

    @property
    def total(self) -> int:
        """Images."""
        return self._count

    def digests(self) -> Iterator[str]:
        """Of the facts of images."""
        found = hashlib.sha256()
        for _, first, last in self._spans():
            for row in range(first, last):
                found.update(f"{self._fact(row)};".encode("utf-8", "surrogateescape"))
            yield found.hexdigest()

    def blocks(self, done: Callable[[int], bool], advance: Callable[[int], None] = _quietly) -> Iterator[AskedBlock]:
        """Read ahead, and embedded, by threads; a handful of images by the calling thread, with all cores for the one batch."""
        runs = (
            (number, np.arange(start, min(start + self._together, last)))
            for number, first, last in self._spans()
            for start in (range(first, first + 1) if done(number) else range(first, last, self._together))
        )
        made: Iterable[tuple[int, AskedBlock]]
        if self._count <= self._together:
            made = map(self._run(done), runs)
        else:
            how = (None, None) if self._encoder is None else (self._encoder.enter_thread, self._encoder.leave_thread)
            made = ahead(self._run(done), runs, self._workers, enter=how[0], leave=how[1])
        block: AskedBlock | None = None
        for last, run in made:
            block = run if block is None else _joined(block, run)
            if not done(run.number):
                advance(run.asked)
            if block.asked == last:
                yield block
                block = None

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        for number, first in enumerate(range(0, self._count, self._rows)):
            yield number, first, min(first + self._rows, self._count)

    def _run(self, done: Callable[[int], bool]) -> Callable[[tuple[int, Rows]], tuple[int, AskedBlock]]:
        def run(item: tuple[int, Rows]) -> tuple[int, AskedBlock]:
            number, rows = item
            size = min(self._rows, self._count - number * self._rows)
            if done(number):
                return size, AskedBlock(number, size)
            batch = self._reader.read(rows)
            failures = [Failure(STAGE, "error", one.path, None, one.id, one.reason) for one in batch.unread]
            return size, AskedBlock(number, len(rows), self._specimens(batch), failures)

        return run

    def _specimens(self, batch: ImageBatch) -> list[Specimens]:
        good = np.flatnonzero(batch.good)
        if not len(good):
            return []
        ids, images = np.array(batch.ids, object)[good], batch.images[torch.from_numpy(good)]
        block = self._told(Specimens(ids, sizes=batch.log_sizes[good]), batch.rows[good])
        if self._encoder is None:
            return [replace(block, images=images)]
        return [replace(block, vectors=self._encoder.encode_images(images, together=self._together))]


class AskedVectors:
    """Stored vectors of a part of the collection, as :func:`biocosmos.jobs.predict.part_blocks` gives them, cut into blocks.

    version: of the part, for the digests; those without a vector come into ``failures``.
    """

    images = False
    computed: dict[str, Any] = {}  # noqa: RUF012 - nothing is computed

    def __init__(self, specimens: Iterable[Specimens], failures: Failures, total: int | None, version: str) -> None:
        self.total, self._specimens, self._failures, self._version = total, specimens, failures, version

    def digests(self) -> Iterator[str]:
        """Of the version and the number."""
        return (f"{self._version} {number}" for number in count())

    def blocks(self, done: Callable[[int], bool], advance: Callable[[int], None] = _quietly) -> Iterator[AskedBlock]:
        """Failures are those told until the block was whole."""
        block, told = AskedBlock(0), 0
        for given in self._specimens:
            start = 0
            while start < len(given):
                rows = slice(start, min(len(given), start + BLOCK - block.asked))
                if not done(block.number):
                    block.specimens.append(given.rows(rows))
                    advance(rows.stop - rows.start)
                block.asked, start = block.asked + rows.stop - rows.start, rows.stop
                if block.asked == BLOCK:
                    block.failures, told = list(self._failures)[told:], len(self._failures)
                    yield block
                    block = AskedBlock(block.number + 1)
        block.failures = list(self._failures)[told:]
        if block.asked or block.failures:
            yield block


def asked_files(
    collection: Collection,
    identifier: Identifier,
    settings: IdentifySettings,
    files: Sequence[AskedFile],
    through: Callable[[Encoder], Encoder] | None = None,
) -> AskedImages:
    """Image files as the identifier takes them; through: what stands before the encoder, if there is one. Raises UnusedSetting
    for what its namer leaves without effect."""
    namer, batch_size = identifier.namer, settings.batch_size
    how = {"device": settings.device, "precision": settings.precision, "backend": settings.backend}
    if namer.takes == "images":
        where = "where images are embedded, and this head has a backbone of its own"
        refuse_changed(settings, ("precision", "backend", "batch_size"), where)
        return AskedImages.files(files, namer, None, workers=settings.workers)
    if batch_size and settings.backend == "auto":
        how["backend"] = "torch"  # a model of OpenVINO takes batches of one size only
    if isinstance(namer, TrainedNamer):
        encoder = encoder_of_head(namer, **how)
    else:
        typed = settings.encoder is not None
        encoder = encoder_of_column(collection, embedding_of(collection, settings), typed=typed, **how)
    if batch_size and encoder.backend != "torch" and batch_size != encoder.batch_size:
        raise BiocosmosError(
            f"backend {encoder.backend} computes {encoder.batch_size} images at a time, not {batch_size}: leave the batch size "
            "(--batch-size) out, or use backend torch"
        )
    encoder = encoder if through is None else through(encoder)
    return AskedImages.files(files, namer, encoder, batch_size=batch_size, workers=settings.workers)


def asked_part(
    collection: Collection, identifier: Identifier, settings: IdentifySettings, failures: Failures
) -> AskedImages | AskedVectors:
    """The specimens of a part, or those without a name. Raises BiocosmosError for those that the identifier was fitted or
    calibrated on; one without a name taught it nothing, whatever part it is in."""
    namer = identifier.namer
    part, where = selection(collection, settings, namer.taxonomy.ranks)
    if part is not None and isinstance(namer, TrainedNamer):
        guard.refuse_part(collection, part, *namer.folders)
    ids = collection.table(["id"], split=part, where=where)["id"].to_pylist()
    version = f"version {collection.dataset.version} of {collection.path.resolve()}, where {where}"
    if part is not None:
        identifier.refuse_seen(np.array(ids, object))
        split = collection.split_of(part).describe()["hash"]
        version += f", part {part} of {split}"
    if namer.takes != "images":
        refuse_changed(settings, ["workers"], "where images are looked at, and this head takes stored vectors")
        encoder = None if settings.head is not None else embedding_of(collection, settings)
        others = _not_learnt(ids, identifier) if part is None else None
        blocks = part_blocks(
            collection, namer, part, encoder=encoder, where=where, only=others, columns=["image_path"], failures=failures
        )
        return AskedVectors(blocks, failures, len(ids if others is None else others), version)
    columns = ["id", *stored_ranks(collection, namer), "image_path"]
    table = collection.table(columns, split=part, where=where)
    truth = namer.taxonomy.index(table)

    def told(specimens: Specimens, rows: Rows) -> Specimens:
        return replace(specimens, truth=truth[rows], columns=table.take(pa.array(rows)))

    source = StoredImages(collection, ids)
    return AskedImages(source, lambda row: f"{version}: {ids[row]}", namer, None, told=told, workers=settings.workers)


def _not_learnt(ids: list[str], identifier: Identifier) -> list[str] | None:
    """Those that did not teach the identifier, as those with a name that a person gave in the browser did; None for all."""
    learnt = {*(() if identifier.known is None else identifier.known.ids.tolist()), *identifier.calibrated_on.tolist()}
    others = [id_ for id_ in ids if id_ not in learnt]
    return others if len(others) < len(ids) else None


def _joined(block: AskedBlock, run: AskedBlock) -> AskedBlock:
    return AskedBlock(block.number, block.asked + run.asked, [*block.specimens, *run.specimens], [*block.failures, *run.failures])


def _as_files(specimens: Specimens, rows: Rows) -> Specimens:
    return replace(specimens, columns=pa.table({"image_path": pa.array(specimens.ids, pa.string())}))
