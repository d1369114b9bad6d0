"""What a namer is given of a part of a collection, or of image files, block by block; and what it says of all of them.

Nothing here holds more than a block of images or vectors; :func:`predict_part` and :func:`predict_files` hold what was said, for
those who need it whole. What a trained head says of a part is kept beside the head, so that it is computed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from biocosmos.embed import embed
from biocosmos.embed.reader import ImageFiles, ImageReader, StoredImages
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import image_files, is_there
from biocosmos.identify.namer import Namer, Specimens
from biocosmos.identify.namers.heads import PREDICTIONS, TrainedHead
from biocosmos.identify.namers.trained import TrainedNamer
from biocosmos.identify.predictions import Predictions
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import read_dense
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.outlier_images import ImageSource

BLOCK = 64
"""Images that are in memory at once, for each thread that reads ahead."""
STAGE = "identify"
BARCODE = "barcode"


def predict_part(
    collection: Collection,
    head: TrainedHead,
    part: str,
    *,
    where: str | None = None,
    only: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    failures: Failures | None = None,
) -> Predictions:
    """Predictions of the specimens of a part of a split; their truth is what the collection says at the head's ranks.

    Args:
        columns: of the collection, to carry along. only: ids, to predict no others.
        failures: specimens without an image that can be read; they are left out.

    Raises BiocosmosError: the collection lacks a rank of the head; the head takes vectors of an encoder whose weights are
    others here; an unknown part.
    """
    failures = Failures() if failures is None else failures
    place = _kept_at(collection, head, part, where, only)
    if is_there(place):
        found = Predictions.load(place)
    else:
        blocks = part_blocks(collection, head, part, where=where, only=only, failures=failures)
        found = Predictions.concatenate(head.stream(blocks, **part_facts(collection, part, where)))
        if not len(failures):
            place.parent.mkdir(parents=True, exist_ok=True)
            found.save(place)
    if not columns:
        return found
    table = collection.take([str(id_) for id_ in found.ids], columns=["id", *columns])
    own = [] if found.columns is None else [name for name in found.columns.column_names if name not in table.column_names]
    for name in own:  # what the head itself said of each, such as what ODIN needs
        assert found.columns is not None
        table = table.append_column(name, found.columns[name])
    return replace(found, columns=table)


def predict_files(
    head: TrainedHead, paths: Sequence[Path], *, collection: Collection | None = None, failures: Failures
) -> Predictions:
    """Predictions of image files and of the images in folders; their ids are their paths.

    Files that cannot be read are in ``failures``.
    """
    return Predictions.concatenate(head.stream(file_blocks(head, image_files(list(paths), failures), failures=failures)))


def predict_images(
    head: TrainedHead, source: ImageSource, *, sizes: npt.NDArray[np.float32] | None = None, **facts: Any
) -> Predictions:
    """Predictions of numbered images, such as generated outliers.

    sizes: (n, 2) logarithms of their heights and widths, for a head that takes them; by default they are the size of its input.
    """
    rows = np.arange(len(source))
    ids = np.array(source.ids, object)
    encoder = encoder_of_head(head) if head.frozen else None
    given = np.full((len(source), 2), np.log(head.preprocessing.size), np.float32) if sizes is None else sizes

    def blocks() -> Iterator[Specimens]:
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            images, good = source.read(part)
            part, images = part[good], images[torch.from_numpy(good)]
            if encoder is None:
                yield Specimens(ids[part], images=images, sizes=given[part])
            else:
                yield Specimens(ids[part], vectors=encoder.encode_images(images), sizes=given[part])

    return Predictions.concatenate(head.stream(blocks(), **facts))


def part_facts(collection: Collection, part: str, where: str | None = None) -> dict[str, Any]:
    """Which specimens predictions of a part are about."""
    return {"part": part, "collection": str(collection.path), "split": _split(collection, part), "where": where}


def part_blocks(
    collection: Collection,
    namer: Namer,
    part: str | None,
    *,
    encoder: str | None = None,
    where: str | None = None,
    only: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    failures: Failures,
) -> Iterator[Specimens]:
    """The specimens of a part, or of all, as blocks of what the namer takes, in the order stored, with their truth.

    encoder: whose vectors, for a namer of vectors; by default the one a trained head was trained on. Those without a vector, or
    whose image cannot be read, are in ``failures``.
    """
    ranks = stored_ranks(collection, namer)
    if namer.takes == "images":
        return _image_blocks(collection, namer, part, where, only, [*ranks, *columns], failures)
    if namer.takes == "barcodes":
        return _barcode_blocks(collection, namer, part, where, only, [*ranks, *columns], failures)
    if isinstance(namer, TrainedNamer):
        embed_alike(collection, namer)
        encoder = namer.encoder
    name = collection.encoder_name(encoder)
    if namer.takes == "both":
        return _blocks_of_both(collection, namer, name, part, where, only, [*ranks, *columns], failures)
    return _vector_blocks(collection, namer, name, part, where, only, [*ranks, *columns], failures)


def stored_ranks(collection: Collection, namer: Namer) -> list[str]:
    """The namer's ranks, all of them columns of the collection. Raises BiocosmosError where one is none."""
    ranks = list(namer.taxonomy.ranks)
    if missing := [rank for rank in ranks if rank not in collection.stored_columns]:
        raise BiocosmosError(
            f"{collection.path} has no column '{missing[0]}', one of the head's ranks: it names {', '.join(ranks)}"
        )
    return ranks


def file_blocks(
    namer: Namer, files: Sequence[Path], *, encoder: Encoder | None = None, failures: Failures
) -> Iterator[Specimens]:
    """Image files as blocks of what the namer takes; ids are their paths, those that cannot be read are in ``failures``.

    encoder: that made the vectors a namer of vectors was fitted on; by default that of a trained head.
    """
    if namer.takes == "vectors" and encoder is None:
        if not isinstance(namer, TrainedNamer):
            raise BiocosmosError(f"the namer {namer.title!r} takes vectors: say which encoder makes them of images")
        encoder = encoder_of_head(namer)
    preprocessing = namer.preprocessing if encoder is None else encoder.preprocessing  # type: ignore[attr-defined]
    reader = ImageReader(ImageFiles(files), preprocessing, stage=STAGE, failures=failures)
    yield from read_blocks(reader, encoder, "identify")


def read_blocks(reader: ImageReader, encoder: Encoder | None, title: str) -> Iterator[Specimens]:
    """Images that could be read as blocks of images, or of the vectors an encoder makes of them, with their sizes."""
    size = BLOCK if encoder is None else max(BLOCK, encoder.batch_size)
    with progress(title, len(reader), "images") as bar:
        for batch in reader.batches(size):
            bar.advance(len(batch.ids))
            good = np.flatnonzero(batch.good)
            if not len(good):
                continue
            ids, images = np.array(batch.ids, object)[good], batch.images[torch.from_numpy(good)]
            columns = pa.table({"image_path": pa.array(ids, pa.string())})  # of files; of specimens, who reads knows better
            block = Specimens(ids, sizes=batch.log_sizes[good], columns=columns)
            yield replace(block, images=images) if encoder is None else replace(block, vectors=encoder.encode_images(images))


def _barcode_blocks(
    collection: Collection,
    namer: Namer,
    part: str | None,
    where: str | None,
    only: Sequence[str] | None,
    columns: Sequence[str],
    failures: Failures,
) -> Iterator[Specimens]:
    """Stored barcodes; a specimen without one is a failure."""
    if BARCODE not in collection.stored_columns:
        raise BiocosmosError(f"{collection.path} has no barcodes, which the namer {namer.title!r} takes: ingest them first")
    for ids, table in _stored(collection, (BARCODE,), "no barcode", part, where, only, columns, failures):
        barcodes, kept = np.array(table[BARCODE].to_pylist(), object), table.drop_columns([BARCODE])
        yield Specimens(ids, barcodes=barcodes, truth=namer.taxonomy.index(table), columns=kept)


def _image_blocks(
    collection: Collection,
    namer: Namer,
    part: str | None,
    where: str | None,
    only: Sequence[str] | None,
    columns: Sequence[str],
    failures: Failures,
) -> Iterator[Specimens]:
    table = _chosen(collection.table(["id", *columns], split=part, where=where), only)
    truth = namer.taxonomy.index(table)
    ids = [str(id_) for id_ in table["id"].to_pylist()]
    row_of = {id_: row for row, id_ in enumerate(ids)}
    preprocessing = namer.preprocessing  # type: ignore[attr-defined]
    reader = ImageReader(StoredImages(collection, ids), preprocessing, stage=STAGE, failures=failures)
    for block in read_blocks(reader, None, f"predict {part or 'all'}"):
        rows = np.array([row_of[id_] for id_ in block.ids], np.int64)
        yield replace(block, truth=truth[rows], columns=table.take(pa.array(rows)))


def _vector_blocks(
    collection: Collection,
    namer: Namer,
    encoder: str,
    part: str | None,
    where: str | None,
    only: Sequence[str] | None,
    columns: Sequence[str],
    failures: Failures,
) -> Iterator[Specimens]:
    column = collection.embedding_column(encoder)
    facts = collection.encoders[encoder]
    missing = f"no vector of {encoder}: run 'biocosmos embed' first"
    for ids, table in _stored(collection, (column,), missing, part, where, only, columns, failures):
        yield Specimens(
            ids,
            vectors=np.array(read_dense(table[column], facts), np.float32),
            sizes=image_sizes(collection, ids.tolist()) if namer.wants_sizes else None,
            truth=namer.taxonomy.index(table),
            columns=table.drop_columns([column]),
        )


def _blocks_of_both(
    collection: Collection,
    namer: Namer,
    encoder: str,
    part: str | None,
    where: str | None,
    only: Sequence[str] | None,
    columns: Sequence[str],
    failures: Failures,
) -> Iterator[Specimens]:
    """Stored vectors and barcodes; a specimen without either is a failure."""
    if BARCODE not in collection.stored_columns:
        raise BiocosmosError(f"{collection.path} has no barcodes, which the namer {namer.title!r} takes: ingest them first")
    column, facts = collection.embedding_column(encoder), collection.encoders[encoder]
    missing = f"neither a vector of {encoder} nor a barcode"
    for ids, table in _stored(collection, (column, BARCODE), missing, part, where, only, columns, failures):
        image = table[column].is_valid().to_numpy()
        vectors = np.zeros((len(table), int(facts["dim"])), np.float32)
        vectors[image] = read_dense(table[column].filter(pa.array(image)), facts)
        yield Specimens(
            ids,
            vectors=vectors,
            barcodes=np.array([each or "" for each in table[BARCODE].to_pylist()], object),
            truth=namer.taxonomy.index(table),
            columns=table.drop_columns([column] if BARCODE in columns else [column, BARCODE]),
        )


def _stored(
    collection: Collection,
    wanted: Sequence[str],
    missing: str,
    part: str | None,
    where: str | None,
    only: Sequence[str] | None,
    columns: Sequence[str],
    failures: Failures,
) -> Iterator[tuple[npt.NDArray[np.object_], pa.Table]]:
    """(ids, id and columns and ``wanted``) of specimens with something in one of ``wanted``; the others are failures."""
    for batch in collection.scan([*dict.fromkeys(["id", *columns, *wanted])], split=part, where=where):
        table = _chosen(pa.Table.from_batches([batch]), only)
        there = reduce(pc.or_, (table[column].is_valid() for column in wanted))
        for id_ in table["id"].filter(pc.invert(there)).to_pylist():
            failures.add(missing, stage=STAGE, id=str(id_))
        table = table.filter(there)
        yield np.array([str(id_) for id_ in table["id"].to_pylist()], object), table


def _chosen(table: pa.Table, only: Sequence[str] | None) -> pa.Table:
    if only is None:
        return table
    return table.filter(pc.is_in(table["id"], value_set=pa.array([str(id_) for id_ in only], table["id"].type)))


def embed_alike(collection: Collection, head: TrainedNamer) -> None:
    """The collection's vectors of the head's encoder, made now if there are none. Refuses those of other weights."""
    name = head.encoder
    if name not in collection.encoders:
        embed(collection, name)
    stored = collection.encoders[name].get("digest")
    if stored != head.facts["encoder"]["trained"]:
        raise BiocosmosError(
            f"the head in {head.folder} takes vectors of '{name}' with weights {head.facts['encoder']['trained']}, and "
            f"{collection.path} has vectors with weights {stored}: embed again with the encoder it was trained on"
        )
    mine, theirs = head.facts["preprocessing"], collection.encoders[name].get("preprocessing")
    if theirs is not None and theirs != mine:
        raise BiocosmosError(
            f"the head in {head.folder} takes vectors of '{name}' whose images were prepared otherwise than those of "
            f"{collection.path}: embed again as it was trained ({mine})"
        )


def encoder_of_head(head: TrainedNamer, **how: Any) -> Encoder:
    """The encoder whose vectors a frozen head takes, with the same weights; how: device, precision and backend."""
    encoder = load_encoder(head.encoder, resize=head.preprocessing.resize, named_by=head.folder, **how)
    if encoder.digest != head.facts["encoder"]["trained"]:
        raise BiocosmosError(
            f"'{head.encoder}' here has weights {encoder.digest}, but the head in {head.folder} was trained on vectors by "
            f"{head.facts['encoder']['trained']}: bring that encoder, or train the head again"
        )
    return encoder


def _split(collection: Collection, part: str) -> dict[str, Any]:
    return collection.split_of(part).identity()


def _kept_at(collection: Collection, head: TrainedHead, part: str, where: str | None, only: Iterable[str] | None) -> Path:
    split = _split(collection, part)
    key = f"{collection.path.resolve()} {collection.dataset.version} {split['hash']} {part} {head.views} {where} {head.digest}"
    if head.gradient:
        key += " with what a gradient tells"
    if only is not None:
        key += " ".join(sorted(map(str, only)))
    return head.folder / PREDICTIONS / f"{part.replace(':', '-')}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
