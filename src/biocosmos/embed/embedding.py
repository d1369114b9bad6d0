"""Embed a collection: one more column of vectors, resumable, in memory that does not depend on the collection.

    image files -> threads, each: decode, prepare, a uint8 batch -> model -> part files of fixed blocks of rows
                -> one commit that adds the column

Vectors of a projection over another encoder are computed from that encoder's column where it has one: no image is opened.

The rows of a block and of every batch in it are fixed by the collection alone, so that the vectors do not depend on where
an earlier run was stopped, bit for bit (with the same settings on the same machine).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from biocosmos.embed.column import Column
from biocosmos.embed.parts import Work, locked_work
from biocosmos.embed.run import PART_ROWS, Blocks
from biocosmos.embed.sampling import sample_images
from biocosmos.embed.summary import EmbedSummary
from biocosmos.encoders.agreement import SAMPLE, check_agreement
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.openvino_backend import CALIBRATION_IMAGES, Calibration
from biocosmos.encoders.registry import DEFAULT, load_encoder
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.machine import usable_cores
from biocosmos.specimens.collection import Collection
from biocosmos.tables import file_stem

_MUST_AGREE = ("digest", "dim", "preprocessing")
_COMPUTED_WITH = ("precision", "backend", "device")


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
        made_with = ("name", "digest", "dim", "preprocessing", *_COMPUTED_WITH)
        settings = {key: encoder.metadata()[key] for key in made_with} | {"batch size": batch, "part rows": PART_ROWS}
        work.begin(settings, restart=overwrite)
        workers = workers or (encoder.streams if encoder.streams > 1 else usable_cores())
        return _embed(collection, encoder, work, metadata, batch, workers, overwrite)


def _embed(
    collection: Collection,
    encoder: Encoder,
    work: Work,
    metadata: dict[str, Any],
    batch_size: int,
    workers: int,
    overwrite: bool,
) -> EmbedSummary:
    """With the lock held: compute what is missing, and store the column."""
    dataset = collection.dataset  # one version of it, whatever is added meanwhile
    column = Column(collection, dataset, encoder, overwrite=overwrite)
    blocks = Blocks(collection, dataset, column.pending(), encoder, work, batch_size, workers)
    summary = EmbedSummary(encoder.name, column.name, base=column.base, kept=column.kept)
    summary.projected = column.rows - len(blocks.pending) - summary.kept
    summary.images += summary.projected
    if len(blocks.pending) and encoder.backend != "torch":
        sample = sample_images(collection, encoder.preprocessing, SAMPLE, offset=0.5)
        metadata["agreement"] = check_agreement(encoder, sample).as_dict()
    start = time.monotonic()
    computed = blocks.compute(summary)
    _record_failures(collection, summary)
    if summary.projected:
        _describe_projection(collection, summary, metadata)
    if summary.images or not column.exists:
        collection.add_vectors(encoder.name, metadata, column.vectors(blocks))
    summary.seconds = time.monotonic() - start
    summary.images_per_second = (computed + summary.projected) / max(summary.seconds, 1e-9)
    work.clear()
    return summary


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
    for key in _COMPUTED_WITH:
        metadata[key] = ", ".join(sorted({*str(old.get(key)).split(", "), metadata[key]}))
    return metadata


def _describe_projection(collection: Collection, summary: EmbedSummary, metadata: dict[str, Any]) -> None:
    """What the base's vectors were computed with is what these were computed with."""
    assert summary.base is not None
    base = collection.encoders[summary.base]
    metadata["computed from"] = f"the vectors of {summary.base}"
    own = summary.kept or summary.images > summary.projected
    for key in _COMPUTED_WITH:
        metadata[key] = ", ".join(sorted({*str(base.get(key)).split(", "), *(metadata[key].split(", ") if own else ())}))


def _record_failures(collection: Collection, summary: EmbedSummary) -> None:
    """Record what is not recorded yet: an image that fails again for the same reason is one row, not two."""
    known = {(row["id"], row["reason"]) for row in collection.failures.to_pylist() if row["stage"] == "embed"}
    new = Failures()
    for row in summary.failures:
        if (row.id, row.reason) not in known:
            new.add(row.reason, stage=row.stage, source=row.source, id=row.id)
    collection.record_failures(new)
