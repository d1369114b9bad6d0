"""Embed a collection: one more column of vectors, resumable, in memory that does not depend on the collection.

    image files -> threads, each: decode, prepare, a uint8 batch -> model -> part files of fixed blocks of rows
                -> one commit that adds the column

Vectors of a projection over another encoder are computed from that encoder's column where it has one: no image is opened.

The rows of a block and of every batch in it are fixed by the collection alone, so that the vectors do not depend on where
an earlier run was stopped, bit for bit (with the same settings on the same machine).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from biocosmos.embed.barcodes import Barcodes
from biocosmos.embed.beside import SpecimenFiles
from biocosmos.embed.column import Column
from biocosmos.embed.parts import Work, locked_work
from biocosmos.embed.places import COLUMNS as PLACE_COLUMNS
from biocosmos.embed.places import SpecimenPlaces
from biocosmos.embed.run import PART_ROWS, Blocks
from biocosmos.embed.sampling import sample_images
from biocosmos.embed.strings import Strings, embed_strings
from biocosmos.embed.summary import EmbedSummary
from biocosmos.embed.texts import TaxonNames
from biocosmos.encoders.agreement import SAMPLE, check_agreement
from biocosmos.encoders.barcodes import BarcodeEncoder
from biocosmos.encoders.beside.encoder import COLUMNS as FILE_COLUMNS
from biocosmos.encoders.beside.encoder import FileEncoder
from biocosmos.encoders.encoder import Encoder, Layout
from biocosmos.encoders.modality import TAKES, Modality, modality_of, tower_name, towers_of
from biocosmos.encoders.openvino_backend import CALIBRATION_IMAGES, Calibration
from biocosmos.encoders.places.encoder import PlaceEncoder
from biocosmos.encoders.reduction.spec import split_name
from biocosmos.encoders.registry import DEFAULT, load_encoder
from biocosmos.encoders.strings import StringEncoder, load_string_encoder
from biocosmos.encoders.ways import openvino_is_here
from biocosmos.errors import BiocosmosError
from biocosmos.machine import usable_cores
from biocosmos.provenance import encoder_name
from biocosmos.settings import UnusedSetting, flag
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.description import KMERS, barcodes_alone
from biocosmos.specimens.embedding_columns import COMPUTED_WITH, MUST_AGREE, joined_facts
from biocosmos.tables import file_stem

WORTH_TIMING = 1000
"""Images from which on it pays to time the ways an encoder can be computed: timing costs as much as some hundred images."""


def embed(
    collection: Collection | str | Path,
    encoder: str | Encoder | StringEncoder = DEFAULT,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    resize: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> EmbedSummary:
    """Add the vectors of every specimen that has an image (for other encoders: a barcode, a name, a place) and no vector yet.

    Args:
        collection: an open collection or its path.
        encoder: a name (see :func:`biocosmos.load_encoder`, :mod:`biocosmos.encoders.barcodes`,
            :mod:`biocosmos.encoders.texts`, :mod:`biocosmos.encoders.places.encoder` and
            :mod:`biocosmos.encoders.beside.encoder`) or a loaded encoder; of a space (:mod:`biocosmos.encoders.spaces`) every
            tower that has something to embed is computed, each its own column.
        device, precision, backend, resize: as for :func:`biocosmos.load_encoder`, when ``encoder`` is a name.
        batch_size: images per run of the model; default what the backend runs fastest.
        workers: threads that decode; default one per core.
        overwrite: begin anew, whatever is there from this or another version of the encoder.

    Returns:
        what was done. Images that could not be read have a null vector and are in the collection's failures, stage "embed".

    Raises:
        BiocosmosError: no such encoder; an encoder of images, and nothing but barcodes; other weights or preprocessing than the
            column or the interrupted run was made with (and not ``overwrite``); another process is embedding with it; the
            backend does not agree with torch.
    """
    if not isinstance(collection, Collection):
        collection = Collection.open(collection)
    if isinstance(encoder, str):
        encoder = _spelled(encoder)
    if isinstance(encoder, str) and (towers := towers_of(encoder)):
        asked = {"device": device, "precision": precision, "backend": backend, "resize": resize, "workers": workers}
        return _embed_space(collection, encoder_name(encoder), towers, batch_size=batch_size, overwrite=overwrite, **asked)
    name = encoder_name(encoder) if isinstance(encoder, str) else encoder.name
    if modality_of(encoder) != "image":
        given = {"backend": backend != "auto", "resize": resize is not None, "workers": workers is not None}
        if unused := [option for option, asked in given.items() if asked]:
            raise UnusedSetting(unused[0], flag(unused[0]), "with an encoder of images")
        made = load_string_encoder(encoder, device=device, precision=precision) if isinstance(encoder, str) else encoder
        assert not isinstance(made, Encoder)
        return _embed_strings(collection, made, batch_size, overwrite)
    assert isinstance(encoder, (str, Encoder))
    with locked_work(collection.path / "work" / f"embedding_{file_stem(name)}") as work:
        agreement: dict[str, float] = {}
        if not isinstance(encoder, Encoder):
            # a model of OpenVINO takes batches of one size only
            how = _How(device, precision, "torch" if backend == "auto" and batch_size else backend, resize)
            encoder, agreement = _load(collection, encoder, name, how, None if overwrite else work, overwrite)
        metadata = _metadata(collection, encoder, overwrite)
        if agreement:
            metadata["agreement"] = agreement
        batch = batch_size or encoder.batch_size
        if encoder.backend != "torch" and batch != encoder.batch_size:
            raise BiocosmosError(
                f"backend {encoder.backend} computes {encoder.batch_size} images at a time, not {batch}: leave the batch size "
                "(--batch-size) out, or use backend torch"
            )
        facts = encoder.metadata()
        settings = {key: facts[key] for key in ("name", "digest", "dim", "preprocessing", *COMPUTED_WITH)}
        settings |= {"batch size": batch, "part rows": PART_ROWS, "asked": facts["chosen"].get("asked")}
        work.begin(settings, restart=overwrite, notes={"chosen": encoder.chosen})
        workers = workers or (encoder.streams if encoder.streams > 1 else usable_cores())
        while (done := _embed(collection, encoder, work, metadata, batch, workers, overwrite)) is None:
            pass  # specimens were changed meanwhile: on with those
        return done


def _spelled(name: str) -> str:
    """The name of an encoder whose tokens are reduced as its column has it; others as they are. Raises BiocosmosError where there
    are no tokens of images."""
    base, reduction = split_name(name)
    if reduction is None:
        return name
    tower = tower_name(base)
    if (modality := modality_of(tower)) != "image":
        raise BiocosmosError(
            f"encoder '{base}' takes {TAKES[modality]}, and only tokens of images are reduced: leave {reduction} out"
        )
    return f"{encoder_name(tower)}+{reduction}"


_OF_IMAGES = ("backend", "resize", "workers")
_STORED: dict[Modality, tuple[str, ...]] = {
    "image": ("image", "image_path"),
    "dna": ("barcode",),
    "place": PLACE_COLUMNS,
    "environment": PLACE_COLUMNS,
    "satellite": (FILE_COLUMNS["satellite"],),
    "audio": (FILE_COLUMNS["audio"],),
}


def _embed_space(collection: Collection, name: str, towers: Mapping[Modality, str], **how: Any) -> EmbedSummary:
    """Every tower of which the collection has something to embed; the first's summary, the others' beside it."""
    done: list[EmbedSummary] = []
    for modality, tower in towers.items():
        columns = [column for column in _STORED.get(modality, collection.ranks) if column in collection.dataset.schema.names]
        if not any(collection.dataset.count_rows(filter=f"`{column}` IS NOT NULL") for column in columns):
            continue
        fitting = how if modality == "image" else {key: value for key, value in how.items() if key not in _OF_IMAGES}
        done.append(embed(collection, tower, **fitting))
    if not done:
        raise BiocosmosError(f"{collection.path} has nothing that '{name}' embeds: it takes {', '.join(towers)}")
    done[0].beside = done[1:]
    return done[0]


def _embed_strings(collection: Collection, encoder: StringEncoder, batch_size: int | None, overwrite: bool) -> EmbedSummary:
    if batch_size is not None:
        encoder.batch_size = batch_size
    with locked_work(collection.path / "work" / f"embedding_{file_stem(encoder.name)}") as work:
        metadata = _metadata(collection, encoder, overwrite)
        facts = encoder.metadata()
        settings = {key: facts[key] for key in ("name", "digest", "dim", "preprocessing", "precision", "backend", "device")}
        work.begin(settings, restart=overwrite)
        while True:
            strings = _strings(collection, encoder, metadata)
            if (done := embed_strings(collection, strings, work, overwrite=overwrite)) is not None:
                return done  # else specimens were changed meanwhile: on with those


def _strings(collection: Collection, encoder: StringEncoder, metadata: dict[str, Any]) -> Strings:
    """What is written of specimens for this encoder."""
    if isinstance(encoder, BarcodeEncoder):
        return Barcodes(encoder, metadata)
    if isinstance(encoder, FileEncoder):
        return SpecimenFiles(encoder, metadata)
    return SpecimenPlaces(encoder, metadata) if isinstance(encoder, PlaceEncoder) else TaxonNames(collection, encoder, metadata)


@dataclass(frozen=True)
class _How:
    """How an encoder was asked for, by name."""

    device: str
    precision: str
    backend: str
    resize: str | None


def _load(
    collection: Collection, encoder: str, name: str, how: _How, begun: Work | None, overwrite: bool
) -> tuple[Encoder, dict[str, float]]:
    """The encoder, computed as an interrupted run or the column was, else as is fastest here; and how well ``fast`` agrees.

    What ``fast`` takes is measured on the collection's own images too: if it differs there, float32 is taken.
    """
    before: Mapping[str, Any] | None = None if begun is None else begun.settings()
    if before is None or before.get("asked") != how.precision:
        kept = None if overwrite else collection.encoders.get(name)
        before = kept if how.precision == "auto" else None
    precision, backend = how.precision, how.backend
    layout: Layout | None = None
    if before is not None and _one(before, "precision") and _one(before, "backend") in ("torch", *_openvino()):
        precision = before["precision"] if precision in ("auto", "fast") else precision
        backend = before["backend"] if backend == "auto" else backend
        if backend == before["backend"] and before.get("layout") in get_args(Layout):
            layout = before["layout"]
    calibration = Calibration(lambda p: sample_images(collection, p, CALIBRATION_IMAGES), collection.path / "embeddings")
    load = partial(load_encoder, encoder, device=how.device, resize=how.resize, calibration=calibration, asked=how.precision)
    missing = _missing(collection, name, overwrite)
    measure = missing >= WORTH_TIMING and precision == how.precision
    loaded = load(precision=precision, backend=backend, layout=layout, measure=measure)
    if before is not None and "chosen" in before:
        loaded.chosen = dict(before["chosen"])
    if how.precision != "fast" or not missing or _is_reference(loaded):
        return loaded, {}
    try:
        return loaded, _agreement(collection, loaded)
    except BiocosmosError:
        return load(precision="float32", backend="torch"), {}


def _one(facts: Mapping[str, Any], key: str) -> str | None:
    """A fact of a column, if all of its vectors share it."""
    value = facts.get(key)
    return None if value is None or ", " in str(value) else str(value)


def _openvino() -> tuple[str, ...]:
    return ("openvino",) if openvino_is_here() else ()


def _missing(collection: Collection, name: str, overwrite: bool) -> int:
    """Specimens without a vector."""
    column = collection.embedding_column(name)
    there = column in collection.dataset.schema.names and not overwrite
    return int(collection.dataset.count_rows(filter=f"`{column}` IS NULL" if there else None))


def _is_reference(encoder: Encoder) -> bool:
    """Whether it is what others are measured against."""
    return (encoder.backend, encoder.precision) == ("torch", "float32")


def _agreement(collection: Collection, encoder: Encoder) -> dict[str, float]:
    """How well the encoder agrees with torch in float32 on images of the collection.

    Raises BiocosmosError if it does not, unless it is torch itself in a number type that was asked for by name, or the way that
    the encoder's folder asks for, whose loss was measured when that was written.
    """
    refuse = (encoder.backend != "torch" or encoder.chosen.get("asked") == "fast") and encoder.chosen.get("source") != "folder"
    sample = sample_images(collection, encoder.preprocessing, SAMPLE, offset=0.5)
    return check_agreement(encoder, sample, refuse=refuse).as_dict()


def _embed(
    collection: Collection,
    encoder: Encoder,
    work: Work,
    metadata: dict[str, Any],
    batch_size: int,
    workers: int,
    overwrite: bool,
) -> EmbedSummary | None:
    """With the work's lock held: compute what is missing, and store the column; None if the specimens are others by then."""
    dataset = collection.dataset  # one version of it, whatever is added meanwhile
    column = Column(collection, dataset, encoder, overwrite=overwrite)
    blocks = Blocks(collection, dataset, column.pending(), encoder, work, batch_size, workers)
    summary = EmbedSummary(encoder.name, column.name, base=column.base, kept=column.kept, hint=encoder.hint)
    summary.computed_with = f"{encoder.precision} by {encoder.backend} on {encoder.device}"
    summary.projected = column.rows - len(blocks.pending) - summary.kept
    summary.images += summary.projected
    if len(blocks.pending) == column.rows and barcodes_alone(collection):
        raise BiocosmosError(
            f"{collection.path} has no image for '{encoder.name}'; for its barcodes: biocosmos embed {collection.path} -e {KMERS}"
        )
    if len(blocks.pending) and "agreement" not in metadata and not _is_reference(encoder):
        metadata["agreement"] = _agreement(collection, encoder)
    start = time.monotonic()
    computed = blocks.compute(summary)
    with collection.writing("embed"):
        if not column.is_of(collection.dataset, work):
            return None
        collection.record_failures(summary.failures, whole=False)  # an image that fails again is one row, not two
        if summary.projected:
            _describe_projection(collection, summary, metadata)
        if summary.images or not column.exists:
            collection.add_vectors(encoder.name, metadata, column.vectors(blocks))
    summary.seconds = time.monotonic() - start
    summary.images_per_second = (computed + summary.projected) / max(summary.seconds, 1e-9)
    work.clear()
    return summary


def _metadata(collection: Collection, encoder: Encoder | StringEncoder, overwrite: bool) -> dict[str, Any]:
    """What is recorded with the column. Vectors of two precisions may share one; of two models they may not."""
    metadata = encoder.metadata()
    old = collection.encoders.get(encoder.name)
    if old is None or overwrite:
        return metadata
    for key in MUST_AGREE:
        if old.get(key) != metadata[key]:
            raise BiocosmosError(
                f"{collection.path} has vectors of '{encoder.name}' with {key} {old.get(key)}, this encoder has {metadata[key]}: "
                f"load it under another name, or replace them with overwrite (--overwrite)"
            )
    for key in COMPUTED_WITH:
        metadata[key] = joined_facts([old.get(key), metadata.get(key)])
    return metadata


def _describe_projection(collection: Collection, summary: EmbedSummary, metadata: dict[str, Any]) -> None:
    """What the base's vectors were computed with is what these were computed with."""
    assert summary.base is not None
    base = collection.encoders[summary.base]
    metadata["computed from"] = f"the vectors of {summary.base}"
    own = summary.kept or summary.images > summary.projected
    for key in COMPUTED_WITH:
        metadata[key] = joined_facts([base.get(key), *([metadata[key]] if own else [])])
