"""What a trained head says of a part of a collection, or of image files; kept beside the head, so that it is computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from biocosmos.embed import embed
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.identify.namers.head_folder import PREDICTIONS, TrainedHead
from biocosmos.identify.predictions import Predictions
from biocosmos.images import image_files, inspect_image
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.images import Images
from biocosmos.train.batches.outlier_images import ImageSource

BLOCK = 64


def predict_part(
    collection: Collection,
    head: TrainedHead,
    part: str,
    *,
    views: int = 1,
    where: str | None = None,
    only: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    failures: Failures | None = None,
) -> Predictions:
    """Predictions of the specimens of a part of a split; their truth is what the collection says at the head's ranks.

    only: ids of those that are wanted, all by default.

    Kept in the head's folder, by collection, split, part and views, and read from there the next time. Specimens whose image
    cannot be read, or that have no vector, are in ``failures``.

    Raises BiocosmosError: the head takes vectors of an encoder whose weights are others here; an unknown part.
    """
    failures = Failures() if failures is None else failures
    place = _kept_at(collection, head, part, views, where, only)
    if place.exists():
        found = Predictions.load(place)
    else:
        found = _predict(collection, head, part, views, where, only, failures)
        if not len(failures):
            place.parent.mkdir(parents=True, exist_ok=True)
            found.save(place)
    if not columns:
        return found
    table = collection.take([str(id_) for id_ in found.ids], columns=["id", *columns])
    return replace(found, columns=table)


def predict_files(
    head: TrainedHead, paths: Sequence[Path], *, views: int = 1, collection: Collection | None = None, failures: Failures
) -> Predictions:
    """Predictions of image files and of the images in folders; their ids are their paths.

    collection: whose encoder a head on stored vectors takes images through. Files that cannot be read are in ``failures``.
    """
    files = [str(file) for file in image_files(list(paths))]
    if head.frozen:
        return _encoded(head, files, collection, failures)
    kept: list[str] = []

    def blocks() -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        with progress("identify", len(files), "images") as bar:
            for start in range(0, len(files), BLOCK):
                images, sizes = [], []
                for file in files[start : start + BLOCK]:
                    try:
                        images.append(head.preprocessing.read(file, None))
                        sizes.append(log_size(file))
                        kept.append(file)
                    except ImageError as error:
                        failures.add(str(error), stage="identify", source=file)
                bar.advance(min(BLOCK, len(files) - start))
                if images:
                    yield (
                        torch.stack([torch.as_tensor(image) for image in images]),
                        torch.tensor(sizes) if head.takes_sizes else None,
                    )

    batches = list(blocks())
    return head.predict(batches, ids=kept, views=views)


def predict_images(
    head: TrainedHead, source: ImageSource, *, sizes: npt.NDArray[np.float32] | None = None, views: int = 1, **facts: Any
) -> Predictions:
    """Predictions of numbered images, such as generated outliers.

    sizes: (n, 2) logarithms of their heights and widths, for a head that takes them; by default they are the size of its input.
    """
    rows = np.arange(len(source))
    good = np.ones(len(source), np.bool_)
    encoder = _encoder_of(head) if head.frozen else None
    given = np.full((len(source), 2), np.log(head.preprocessing.size), np.float32) if sizes is None else sizes

    def blocks() -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            images, fine = source.read(part)
            good[part] = fine
            inputs = images if encoder is None else torch.from_numpy(np.asarray(encoder.encode_images(images), np.float32))
            yield inputs, torch.from_numpy(given[part]) if head.takes_sizes else None

    found = head.predict(blocks(), ids=source.ids, views=views, **facts)
    return found if good.all() else found.subset(good)


def _predict(
    collection: Collection,
    head: TrainedHead,
    part: str,
    views: int,
    where: str | None,
    only: Sequence[str] | None,
    failures: Failures,
) -> Predictions:
    ranks = head.taxonomy.ranks
    for rank in ranks:
        if rank not in collection.stored_columns:
            raise BiocosmosError(
                f"{collection.path} has no column '{rank}', one of the head's ranks: it names {', '.join(ranks)}"
            )
    columns = ["id", *ranks]
    vectors = None
    if head.frozen:
        _embed_alike(collection, head)
        columns.append(collection.embedding_column(head.encoder))
    table = collection.table(columns, split=part, where=where)
    if only is not None:
        table = table.filter(pc.is_in(table["id"], value_set=pa.array([str(id_) for id_ in only], table["id"].type)))
    truth = head.taxonomy.index(table)
    ids = [str(id_) for id_ in table["id"].to_pylist()]
    about: dict[str, Any] = {"part": part, "collection": str(collection.path), "split": _split(collection, part), "where": where}
    if head.frozen:
        there = np.asarray(table[columns[-1]].is_valid())
        dim = int(collection.encoders[head.encoder]["dim"])
        flat = table[columns[-1]].combine_chunks().drop_null().flatten().to_numpy(zero_copy_only=False)
        vectors = torch.from_numpy(np.array(flat, np.float32).reshape(-1, dim))
        kept = [id_ for id_, has in zip(ids, there) if has]
        for id_, has in zip(ids, there):
            if not has:
                failures.add(f"no vector of {head.encoder}", stage="identify", id=id_)
        sizes = torch.from_numpy(image_sizes(collection, kept)) if head.takes_sizes else None
        return head.predict([(vectors, sizes)], ids=kept, truth=truth[there], **about)
    images = Images(collection, ids, head.preprocessing)
    sizes = torch.from_numpy(image_sizes(collection, ids)) if head.takes_sizes else None
    good = np.ones(len(ids), np.bool_)

    def blocks() -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        with progress(f"predict {part}", len(ids), "images") as bar:
            for rows, batch, fine in images.blocks(BLOCK):
                good[rows] = fine
                yield batch, None if sizes is None else sizes[torch.from_numpy(rows)]
                bar.advance(len(rows))

    found = head.predict(blocks(), ids=ids, truth=truth, views=views, **about)
    failures.extend(images.failures)
    return found if good.all() else found.subset(good)


def _embed_alike(collection: Collection, head: TrainedHead) -> None:
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


def _encoder_of(head: TrainedHead) -> Encoder:
    """The encoder whose vectors a frozen head takes, with the same weights."""
    encoder = load_encoder(head.encoder, resize=head.preprocessing.resize)
    if encoder.digest != head.facts["encoder"]["trained"]:
        raise BiocosmosError(
            f"'{head.encoder}' here has weights {encoder.digest}, but the head in {head.folder} was trained on vectors by "
            f"{head.facts['encoder']['trained']}: bring that encoder, or train the head again"
        )
    return encoder


def _encoded(head: TrainedHead, files: list[str], collection: Collection | None, failures: Failures) -> Predictions:
    encoder = _encoder_of(head)
    vectors, kept = encoder.encode_files(files, failures=failures)
    ids = [files[row] for row in kept]
    sizes = torch.tensor([log_size(file) for file in ids]) if head.takes_sizes else None
    return head.predict([(torch.from_numpy(np.asarray(vectors, np.float32)), sizes)], ids=ids)


def log_size(file: str) -> tuple[float, float]:
    """Logarithms of height and width, pixels."""
    info = inspect_image(file)
    return float(np.log(info.height)), float(np.log(info.width))


def _split(collection: Collection, part: str) -> dict[str, Any]:
    described = collection.split(part.rpartition(":")[0] or "default").describe()
    return {key: described[key] for key in ("name", "method", "seed", "hash")}


def _kept_at(
    collection: Collection, head: TrainedHead, part: str, views: int, where: str | None, only: Sequence[str] | None
) -> Path:
    split = _split(collection, part)
    key = f"{collection.path.resolve()} {collection.dataset.version} {split['hash']} {part} {views} {where} {head.digest}"
    if only is not None:
        key += " ".join(sorted(map(str, only)))
    return head.folder / PREDICTIONS / f"{part.replace(':', '-')}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
