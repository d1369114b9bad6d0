"""Stream a collection through an encoder into one more column; kill it at any moment, run it again, and it goes on.

    image files -> threads, each: decode, prepare, a uint8 batch -> model -> part files of fixed blocks of rows
                -> one commit that adds the column

Vectors of a projection over another encoder are computed from that encoder's column where it has one: no image is opened.

The rows of a block and of every batch in it are fixed by the collection alone, so that the vectors do not depend on where
an earlier run was stopped, bit for bit (with the same settings on the same machine).
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from biocosmos.embed.parts import Part, Work, locked_work
from biocosmos.embed.sampling import sample_images
from biocosmos.encoders.agreement import SAMPLE, check_agreement
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.openvino_backend import CALIBRATION_IMAGES, Calibration
from biocosmos.encoders.registry import DEFAULT, load_encoder
from biocosmos.encoders.torch_backend import usable_cores
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.tables import file_stem

PART_ROWS = 1024
"""Rows of a part file: at most so many images are decoded again after a kill."""
READ_ROWS = 64
"""Rows read from the dataset at once: packed photographs of 10 MB take 640 MB."""
_MUST_AGREE = ("digest", "dim", "preprocessing")


@dataclass
class EmbedSummary:
    """What an embedding did.

    Attributes:
        images: vectors made for the column, those of an interrupted run before this one included.
        failed: images that could not be read; each is in ``failures``.
        without_image: specimens that have no image.
        kept: specimens that had a vector before.
        projected: of ``images``, those computed from the vectors of ``base``, which is then set, without opening an image.
        resumed: of ``images``, those that an interrupted run had made.
        seconds, images_per_second: of this run, from the first image to the stored column.
        column: name of the column in the dataset.
    """

    encoder: str
    column: str
    images: int = 0
    failed: int = 0
    without_image: int = 0
    kept: int = 0
    resumed: int = 0
    projected: int = 0
    base: str | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    failures: Failures = field(default_factory=Failures)


def embed(
    collection: Collection | str | Path,
    encoder: str | Encoder = DEFAULT,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    resize: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> EmbedSummary:
    """Add the vectors of every specimen that has an image and no vector yet.

    Args:
        collection: an open collection or its path.
        encoder: a name (see :func:`biocosmos.load_encoder`) or a loaded encoder.
        device, precision, backend, resize: as for :func:`biocosmos.load_encoder`, when ``encoder`` is a name.
        batch_size: images per run of the model; default what the backend runs fastest.
        workers: threads that decode; default one per core.
        overwrite: begin anew, whatever is there from this or another version of the encoder.

    Returns:
        what was done. Images that could not be read have a null vector and are in the collection's failures, stage "embed".

    Raises:
        BiocosmosError: no such encoder; other weights or preprocessing than the column or the interrupted run was made with
            (and not ``overwrite``); another process is embedding with it; the backend does not agree with torch.
    """
    if not isinstance(collection, Collection):
        collection = Collection.open(collection)
    if not isinstance(encoder, Encoder):
        here = collection
        calibration = Calibration(lambda p: sample_images(here, p, CALIBRATION_IMAGES), collection.path / "embeddings")
        encoder = load_encoder(
            encoder, device=device, precision=precision, backend=backend, resize=resize, calibration=calibration
        )
    folder = collection.path / "work" / f"embedding_{file_stem(encoder.name)}"
    with locked_work(folder) as work:
        metadata = _metadata(collection, encoder, overwrite)
        batch = batch_size or encoder.batch_size
        made_with = ("name", "digest", "dim", "preprocessing", "precision", "backend", "device")
        settings = {key: encoder.metadata()[key] for key in made_with} | {"batch size": batch, "part rows": PART_ROWS}
        work.begin(settings, restart=overwrite)
        run = _Run(collection, encoder, work, batch, workers or (encoder.streams if encoder.streams > 1 else usable_cores()))
        return run.finish(metadata, overwrite)


def _metadata(collection: Collection, encoder: Encoder, overwrite: bool) -> dict[str, Any]:
    """What is recorded with the column. Vectors of two precisions may share one; of two models they may not."""
    metadata = encoder.metadata()
    old = collection.encoders.get(encoder.name)
    if old is None or overwrite:
        return metadata
    for key in _MUST_AGREE:
        if old.get(key) != metadata[key]:
            raise BiocosmosError(
                f"{collection.path} has vectors of '{encoder.name}' with {key} {old.get(key)}, this encoder has {metadata[key]}: "
                f"load it under another name, or replace them with overwrite (--overwrite)"
            )
    for key in ("precision", "backend", "device"):
        metadata[key] = ", ".join(sorted({*str(old.get(key)).split(", "), metadata[key]}))
    return metadata


def _base_of(collection: Collection, encoder: Encoder) -> str | None:
    """Whose column holds the vectors that the encoder projects: same weights and preprocessing, under whatever name."""
    if encoder.base is None:
        return None
    wanted = (encoder.base.digest, encoder.preprocessing.as_dict())
    have = collection.encoders.items()
    return next((name for name, facts in have if (facts.get("digest"), facts.get("preprocessing")) == wanted), None)


class _Run:
    """One call of :func:`embed`, with its lock held."""

    def __init__(self, collection: Collection, encoder: Encoder, work: Work, batch_size: int, workers: int) -> None:
        self.collection, self.encoder, self.work = collection, encoder, work
        self.batch_size, self.workers = batch_size, workers
        self.column = collection.embedding_column(encoder.name)
        self.dataset = collection.dataset  # one version of it, whatever is added meanwhile
        base = _base_of(collection, encoder)
        self.base_column = None if base is None else collection.embedding_column(base)
        self.summary = EmbedSummary(encoder.name, self.column, base=base)

    def finish(self, metadata: dict[str, Any], overwrite: bool) -> EmbedSummary:
        has_column = self.column in self.dataset.schema.names and not overwrite
        pending = self._pending(has_column)
        rows = self.dataset.count_rows()
        self.summary.kept = self.dataset.count_rows(filter=f"`{self.column}` IS NOT NULL") if has_column else 0
        self.summary.projected = rows - len(pending) - self.summary.kept
        self.summary.images += self.summary.projected
        if len(pending) and self.encoder.backend != "torch":
            sample = sample_images(self.collection, self.encoder.preprocessing, SAMPLE, offset=0.5)
            metadata["agreement"] = check_agreement(self.encoder, sample).as_dict()
        start = time.monotonic()
        computed = self._compute(pending)
        self._record_failures()
        if self.summary.projected:
            self._describe_projection(metadata)
        if self.summary.images or not has_column:
            self.collection.add_vectors(self.encoder.name, metadata, self._all_vectors(pending, has_column, rows))
        self.summary.seconds = time.monotonic() - start
        self.summary.images_per_second = (computed + self.summary.projected) / max(self.summary.seconds, 1e-9)
        self.work.clear()
        return self.summary

    def _pending(self, has_column: bool) -> npt.NDArray[np.int64]:
        """Positions of the rows whose image must be read, ascending. Images that failed before are tried again."""
        stored = self._stored_columns(has_column)
        if not stored:
            return np.arange(self.dataset.count_rows(), dtype=np.int64)
        missing = self.dataset.to_batches(
            columns=[], filter=" AND ".join(f"`{column}` IS NULL" for column in stored), with_row_id=True
        )
        absent = np.concatenate([np.empty(0, np.uint64), *(batch.column("_rowid").to_numpy() for batch in missing)])
        position, found = 0, [np.empty(0, np.int64)]
        for batch in self.dataset.to_batches(columns=[], with_row_id=True):
            row_ids = batch.column("_rowid").to_numpy()
            found.append(np.flatnonzero(np.isin(row_ids, absent)) + position)
            position += len(row_ids)
        return np.concatenate(found)

    def _stored_columns(self, has_column: bool) -> list[str]:
        """The columns that vectors can be had from: the encoder's own, and its base's."""
        return [self.column] * has_column + ([] if self.base_column is None else [self.base_column])

    def _describe_projection(self, metadata: dict[str, Any]) -> None:
        """What the base's vectors were computed with is what these were computed with."""
        assert self.summary.base is not None
        base = self.collection.encoders[self.summary.base]
        metadata["computed from"] = f"the vectors of {self.summary.base}"
        own = self.summary.kept or self.summary.images > self.summary.projected
        for key in ("precision", "backend", "device"):
            metadata[key] = ", ".join(sorted({*str(base.get(key)).split(", "), *(metadata[key].split(", ") if own else ())}))

    # ------------------------------------------------------------------ compute the missing parts

    def _compute(self, pending: npt.NDArray[np.int64]) -> int:
        """Make the part file of every block that has none; returns how many images went through the model."""
        computed = 0
        running: deque[tuple[_Batch, Future[_Result]]] = deque()
        part: Part | None = None
        with progress(f"embed with {self.encoder.name}", total=len(pending), unit="images") as bar, self._pool() as pool:

            def collect() -> int:
                nonlocal part
                batch, future = running.popleft()
                vectors, valid, failures = future.result()
                if part is None:
                    part = self._empty_part(batch.ids)
                rows = slice(batch.first, batch.first + len(valid))
                part.vectors[rows], part.valid[rows] = vectors, valid
                part.failures += [(batch.first + row, source, reason) for row, source, reason in failures]
                bar.advance(len(valid))
                if rows.stop == len(part.ids):
                    part.save(self.work.part(batch.block))
                    self._count(part)
                    part = None
                return int(valid.sum())

            for batch in self._batches(pending):
                if batch.done is not None:
                    self.summary.resumed += int(batch.done.valid.sum())
                    self._count(batch.done)
                    bar.advance(len(batch.ids))
                    continue
                running.append((batch, pool.submit(self._encode, batch.rows)))
                if len(running) > 2 * self.workers:
                    computed += collect()
            while running:
                computed += collect()
        return computed

    def _batches(self, pending: npt.NDArray[np.int64]) -> Iterator[_Batch]:
        """The batches of every block in order; of a block that is done, its part."""
        read_rows = max(1, READ_ROWS // self.batch_size) * self.batch_size
        for block in range(-(-len(pending) // PART_ROWS)):
            positions = pending[block * PART_ROWS : (block + 1) * PART_ROWS]
            ids = self._take(positions, ["id"]).column("id").to_pylist()
            done = Part.load(self.work.part(block), ids, self.encoder.dim)
            if done is not None:
                yield _Batch(block, ids, done=done)
                continue
            for start in range(0, len(positions), read_rows):
                read = self._take(positions[start : start + read_rows], ["image", "image_path", "crop"])
                crops = read.column("crop").to_pylist()
                rows = [_Image(self.collection.image_source(read, i), crops[i]) for i in range(read.num_rows)]
                for first in range(0, len(rows), self.batch_size):
                    yield _Batch(block, ids, start + first, rows[first : first + self.batch_size])

    def _take(self, positions: npt.NDArray[np.int64], columns: list[str]) -> pa.RecordBatch:
        return self.dataset.take(positions.tolist(), columns=columns).combine_chunks().to_batches()[0]

    def _encode(self, rows: list[_Image]) -> _Result:
        """Decode and encode one batch, in a thread of the pool. An image that fails leaves its place in the batch black."""
        size = self.encoder.preprocessing.size
        batch = torch.zeros(self.batch_size, 3, size, size, dtype=torch.uint8)
        valid = np.zeros(len(rows), np.bool_)
        failures: list[tuple[int, str | None, str]] = []
        for i, row in enumerate(rows):
            if row.source is None:
                continue
            try:
                batch[i] = self.encoder.read(row.source, row.crop)
                valid[i] = True
            except ImageError as error:
                failures.append((i, row.source if isinstance(row.source, str) else None, str(error)))
        vectors = np.zeros((len(rows), self.encoder.dim), np.float32)
        if valid.any():
            vectors[valid] = self.encoder.encode_images(batch)[: len(rows)][valid]
        return vectors, valid, failures

    def _empty_part(self, ids: list[str]) -> Part:
        return Part(ids, np.zeros((len(ids), self.encoder.dim), np.float32), np.zeros(len(ids), np.bool_))

    def _count(self, part: Part) -> None:
        made = int(part.valid.sum())
        self.summary.images += made
        self.summary.failed += len(part.failures)
        self.summary.without_image += len(part.ids) - made - len(part.failures)
        for row, source, reason in part.failures:
            self.summary.failures.add(reason, stage="embed", source=source, id=part.ids[row])

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        pool = ThreadPoolExecutor(self.workers, "embed", initializer=self.encoder.enter_thread)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            self.encoder.leave_thread()

    # ------------------------------------------------------------------ store

    def _record_failures(self) -> None:
        """Record what is not recorded yet: an image that fails again for the same reason is one row, not two."""
        known = {(row["id"], row["reason"]) for row in self.collection.failures.to_pylist() if row["stage"] == "embed"}
        new = Failures()
        for row in self.summary.failures:
            if (row.id, row.reason) not in known:
                new.add(row.reason, stage=row.stage, source=row.source, id=row.id)
        self.collection.record_failures(new)

    def _all_vectors(self, pending: npt.NDArray[np.int64], has_column: bool, rows: int) -> Iterator[pa.FixedSizeListArray]:
        """The whole column in row order, old vectors and new, a part's worth at a time."""
        stored = self._stored_columns(has_column)
        if not stored:
            for start in range(0, len(pending), PART_ROWS):
                whole = self._stored_part(start // PART_ROWS, pending)
                yield _arrow(whole.vectors, whole.valid)
            return
        block, position = -1, 0
        part: Part | None = None
        for batch in self.dataset.to_batches(columns=stored, batch_size=PART_ROWS):
            vectors = np.zeros((batch.num_rows, self.encoder.dim), np.float32)
            valid = np.zeros(batch.num_rows, np.bool_)
            if self.base_column is not None:
                valid, found = _numpy(batch.column(self.base_column))
                vectors[valid] = self.encoder.project(found)
            if has_column:
                here, found = _numpy(batch.column(self.column))
                vectors[here], valid = found, valid | here
            first, last = np.searchsorted(pending, (position, position + batch.num_rows))
            for i in range(first, last):
                if i // PART_ROWS != block:
                    block = i // PART_ROWS
                    part = self._stored_part(block, pending)
                assert part is not None
                at = pending[i] - position
                vectors[at], valid[at] = part.vectors[i % PART_ROWS], part.valid[i % PART_ROWS]
            position += batch.num_rows
            yield _arrow(vectors, valid)

    def _stored_part(self, block: int, pending: npt.NDArray[np.int64]) -> Part:
        positions = pending[block * PART_ROWS : (block + 1) * PART_ROWS]
        ids = self._take(positions, ["id"]).column("id").to_pylist()
        part = Part.load(self.work.part(block), ids, self.encoder.dim)
        if part is None:
            raise BiocosmosError(f"{self.work.part(block)} was damaged after it was written: embed again to make it anew")
        return part


@dataclass(frozen=True)
class _Image:
    """One image to read: bytes, a path or None, and the crop in pixels (x, y, width, height)."""

    source: bytes | str | None
    crop: list[float] | None


@dataclass(frozen=True)
class _Batch:
    """One run of the model: ``rows`` at position ``first`` of a block; or a block that is ``done``."""

    block: int
    ids: list[str]
    first: int = 0
    rows: list[_Image] = field(default_factory=list)
    done: Part | None = None


_Result = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], list[tuple[int, str | None, str]]]


def _numpy(column: pa.FixedSizeListArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """(rows,) bool where there is a vector, and the (n, dim) float32 vectors there are."""
    return np.array(column.is_valid()), column.drop_null().flatten().to_numpy().reshape(-1, column.type.list_size)


def _arrow(vectors: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1], mask=pa.array(~valid))


class _CallableModule(ModuleType):
    """Lets ``biocosmos.embed(...)`` work although importing this module puts it under the same name in the package."""

    def __call__(self, *arguments: Any, **options: Any) -> EmbedSummary:
        return embed(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
