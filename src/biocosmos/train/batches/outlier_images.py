"""Images whose answer is to be flat, numbered like those of specimens: made from the training images, or foreign ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.embed.reader import ImageFiles, ImageReader
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import image_files
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.batches.images import Images
from biocosmos.train.batches.outliers import make
from biocosmos.train.loop.loop import derived_seed

Array = npt.NDArray[Any]


class ImageSource(Protocol):
    """What batches of images are drawn from."""

    ids: list[str]
    preprocessing: Preprocessing
    failures: Failures

    def __len__(self) -> int: ...

    def read(self, rows: Rows) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """((k, 3, size, size) uint8, (k,) whether the image could be read)."""


class OutlierSource(ImageSource, Protocol):
    """Images of outliers, some of which are made of training images."""

    def made_of(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(len,) whether an outlier is made of images among the ``allowed`` ones only."""


class GeneratedOutliers:
    """Outliers number 0..count-1, each made of two training images of different taxa; the same ones for the same seed.

    images: of the training; nodes: (n,) their taxa, below 0 for outliers, which are not used; kinds: of
    :mod:`biocosmos.train.batches.outliers`, in turn.
    """

    def __init__(self, images: Images, nodes: npt.NDArray[np.int64], kinds: Sequence[str], count: int, seed: int) -> None:
        self._images, self._kinds, self._seed = images, tuple(kinds), seed
        self.preprocessing, self.failures = images.preprocessing, images.failures
        self._pairs = _pairs(nodes, count, seed)
        self.ids = [
            f"{self._kinds[i % len(self._kinds)]} of {images.ids[a]} and {images.ids[b]}" for i, (a, b) in enumerate(self._pairs)
        ]

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def places(self) -> Rows:
        """(count,) the training image whose place and background each has."""
        return self._pairs[:, 0]

    def made_of(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(count,) whether both parents of an outlier are among the ``allowed`` (n,) images."""
        return np.asarray(allowed[self._pairs].all(axis=1))

    def read(self, rows: Rows) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """Make the outliers ``rows``; one of whose parents cannot be read is not good."""
        parents, good = self._images.read(self._pairs[rows].ravel())
        both: npt.NDArray[np.bool_] = np.asarray(good.reshape(-1, 2).all(1))
        out = torch.zeros(len(rows), *parents.shape[1:], dtype=torch.uint8)
        for place, row in enumerate(rows):
            if both[place]:
                pair = parents[2 * place : 2 * place + 2]
                generator = torch.Generator().manual_seed(derived_seed(self._seed, int(row), 3))
                made, _ = make(self._kinds[int(row) % len(self._kinds)], pair, torch.tensor([0, 1]), generator, 1)
                out[place] = made[0]
        return out, both


class ForeignImages:
    """The images in a folder, prepared like the training's; ``most``: so many at most, drawn by the seed."""

    def __init__(self, folder: str | Path, preprocessing: Preprocessing, *, most: int | None = None, seed: int = 0) -> None:
        self.failures = Failures()
        files = image_files([Path(folder)], self.failures, stage="train")
        kept = np.sort(np.random.default_rng(seed).permutation(len(files))[:most])
        self.files = [files[row] for row in kept]
        self.ids = [f"foreign {file}" for file in self.files]
        self.preprocessing = preprocessing
        self._reader = ImageReader(ImageFiles(self.files), preprocessing, stage="train", failures=self.failures)

    def __len__(self) -> int:
        return len(self.files)

    def made_of(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(n,) all of them: they are made of no specimen."""
        return np.ones(len(self), np.bool_)

    def read(self, rows: Rows) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """Read the images ``rows``; one that cannot be is a row of ``failures``, once."""
        batch = self._reader.read(rows)
        return batch.images, batch.good


class Several:
    """Some sources as one, one after another."""

    def __init__(self, parts: Sequence[OutlierSource]) -> None:
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self.ids = [id_ for part in parts for id_ in part.ids]
        self.preprocessing, self.failures = parts[0].preprocessing, parts[0].failures

    def __len__(self) -> int:
        return int(self._ends[-1])

    def made_of(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(n,) those whose parents, if they have any, are all among the ``allowed`` training images."""
        return np.concatenate([part.made_of(allowed) for part in self._parts])

    def read(self, rows: Rows) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """Read the images ``rows``, each by the source it belongs to."""
        which = np.searchsorted(self._ends, rows, side="right")
        size = self.preprocessing.size
        out, good = torch.zeros(len(rows), 3, size, size, dtype=torch.uint8), np.zeros(len(rows), np.bool_)
        for number, part in enumerate(self._parts):
            mine = np.flatnonzero(which == number)
            if len(mine):
                images, fine = part.read(rows[mine] - (self._ends[number] - len(part)))
                out[mine], good[mine] = images, fine
        return out, good


def outlier_source(
    images: Images, nodes: npt.NDArray[np.int64], kinds: Sequence[str], folder: str | None, *, share: float, seed: int
) -> OutlierSource | None:
    """Generated outliers, ``share`` for each training image, and the foreign images in ``folder``; None without either."""
    parts: list[OutlierSource] = []
    if kinds:
        parts.append(GeneratedOutliers(images, nodes, kinds, max(2, round(share * len(images))), seed))
    if folder is not None:
        parts.append(ForeignImages(folder, images.preprocessing))
    return Several(parts) if len(parts) > 1 else parts[0] if parts else None


def _pairs(nodes: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """(count, 2) rows of specimens of different taxa."""
    known = np.flatnonzero(nodes > 0)
    if len(np.unique(nodes[known])) < 2:
        raise BiocosmosError("outliers are made of images of two taxa: the training part has one")
    rng = np.random.default_rng([seed, 3])
    first = rng.choice(known, count)
    second = rng.choice(known, count)
    while len(same := np.flatnonzero(nodes[first] == nodes[second])):
        second[same] = rng.choice(known, len(same))
    return np.stack([first, second], 1).astype(np.int64)
