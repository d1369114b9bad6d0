"""Images prepared once and kept in files, so that every way to compute them reads them without decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.arrays import read_array
from biocosmos.embed.reader import ImageReader, StoredImages
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import Failures
from biocosmos.files import is_there
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing

Array = npt.NDArray[Any]
TOGETHER = 64
_REMEDY = "remove the file and run again"


@dataclass(frozen=True)
class Prepared:
    """Those that could be read: pixels (n, 3, size, size) uint8; log_sizes (n, 2) float32, as an ImageBatch has them."""

    pixels: Array
    log_sizes: Array


def prepare(
    collection: Collection, ids: Sequence[str], preprocessing: Preprocessing, stem: Path, *, stage: str, failures: Failures
) -> tuple[Prepared, Array]:
    """Read and prepare images, and keep them in files that begin with ``stem``; what is there whole is taken as it is.

    stage: of the rows in ``failures``. Returns: the images that could be read, and (ids,) bool which these are.
    """
    pixels, sizes, good = files(stem)
    if not all(is_there(path) for path in (pixels, sizes, good)):
        _write(ImageReader(StoredImages(collection, list(ids)), preprocessing, stage=stage, failures=failures), stem)
    kept = read_array(good, ("b", 1), what="which images were read", remedy=_REMEDY)
    count = int(kept.sum())
    images = read_array(pixels, ("u", 4), what="prepared images", remedy=_REMEDY, mapped=True)
    return Prepared(images[:count], read_array(sizes, ("f", 2), what="sizes of images", remedy=_REMEDY)[:count]), kept


def files(stem: Path) -> tuple[Path, Path, Path]:
    """Where pixels, sizes and which could be read are kept."""
    pixels, sizes, good = (stem.with_name(f"{stem.name}.{what}.npy") for what in ("pixels", "sizes", "good"))
    return pixels, sizes, good


def save_array(place: Path, array: Array) -> None:
    """Write an array whole or not at all."""
    with replacing(place) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def _write(reader: ImageReader, stem: Path) -> None:
    places, count, size = files(stem), len(reader), reader.preprocessing.size
    good, sizes = np.zeros(count, np.bool_), np.zeros((count, 2), np.float32)
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, size, size)}
    counted = progress("read images", total=count, unit="images")
    # not written as a mapped array: there a full disk ends the process
    with counted as bar, replacing(places[0]) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        done = 0
        for batch in reader.batches(TOGETHER):
            there = batch.images.numpy()[batch.good]
            file.write(there.tobytes())
            sizes[done : done + len(there)] = batch.log_sizes[batch.good]
            good[batch.rows] = batch.good
            done += len(there)
            bar.advance(len(batch.rows))
        blank = bytes(3 * size * size)
        for _ in range(count - done):  # the file is as long as its header says
            file.write(blank)
    save_array(places[1], sizes)
    save_array(places[2], good)  # last: with it the images are whole
