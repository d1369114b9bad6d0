"""What the frozen first stages of a backbone give, computed once for some augmented views of every image and kept on disk.

The first stages see large maps and cost most of a training step's forward pass; frozen, they give the same for the same view.
Several trainings over the same images share a cache.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.arrays import read_array
from biocosmos.encoders.folding import folded
from biocosmos.errors import BiocosmosError
from biocosmos.progress import progress
from biocosmos.tables import replacing, write_facts
from biocosmos.train.batches.augment import Augment
from biocosmos.train.batches.drawing import Drawing, Rows
from biocosmos.train.batches.images import image_blocks
from biocosmos.train.batches.outlier_images import ImageSource
from biocosmos.train.loop.loop import Batch, derived_seed

BLOCK = 64
"""Images that are read together, and whose views are drawn from one seed."""
CPU_IMAGES = 16
"""Images that go through the front together on a CPU: 384 images/s a core, against 291 for 64 (96 pixels, 4 stages of lite0)."""
KEPT_EVERY = 50
"""Blocks after which a killed start has lost nothing."""
_FACTS, _GOOD = "cache.json", "good.npy"
Activations = npt.NDArray[np.float16]

_REMEDY = "remove the folder it lies in, and run the same command again"


class StageCache:
    """Activations of n images in V views: ``view(v)`` is a float16 memory map (n, h, w, c).

    Made by :meth:`open`. ids: of the images; good: (n,) whether the image could be read.
    """

    def __init__(self, folder: Path, ids: list[str], views: int, good: npt.NDArray[np.bool_]) -> None:
        self.folder, self.ids, self.views, self.good = folder, ids, views, good

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        images: ImageSource,
        augment: Augment,
        front: nn.Module,
        views: int,
        seed: int,
        digest: str,
        stages: int,
        workers: int | None = None,
        device: torch.device | str = "cpu",
    ) -> StageCache:
        """The cache of these images under ``folder``, computed now where it is not; a killed start goes on.

        front: pixels (m, 3, s, s) 0..255 to activations (m, c, h, w), in evaluation mode; digest: of its weights;
        stages: how many of its stages the front is. The view v of an image depends on seed, v and the image's number alone.
        """
        facts = {
            "digest": digest,
            "stages": stages,
            "preprocessing": images.preprocessing.as_dict(),
            "augment": asdict(augment),
            "seed": seed,
            "images": hashlib.sha256("\x1f".join(images.ids).encode()).hexdigest()[:16],
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
        place = folder / f"stages-{key}"
        place.mkdir(parents=True, exist_ok=True)
        write_facts(place / _FACTS, facts)
        with _alone(place):
            missing = [view for view in range(views) if not (place / _name(view)).exists()]
            if missing:
                _fill(place, missing, images, augment, _fast(front, images.preprocessing.size, device), seed, workers)
        good: npt.NDArray[np.bool_] = _good(place)
        return cls(place, list(images.ids), views, good)

    def __len__(self) -> int:
        return len(self.ids)

    def view(self, number: int) -> Activations:
        """(n, h, w, c) float16, read as it is needed."""
        return read_array(self.folder / _name(number), ("f", 4), mapped=True, what="kept activations", remedy=_REMEDY)


class CacheBatches:
    """Shuffled batches of cached activations; epoch e sees view e modulo their number. See :class:`ImageBatches`.

    rows: (m,) images of the cache that are drawn from, all by default; targets: (m,) of theirs. An image that could
    not be read is stood in for by another of its batch.
    """

    def __init__(
        self,
        cache: StageCache,
        targets: torch.Tensor,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        size: int = 1,
        order: Callable[[int], Rows] | None = None,
        rows: Rows | None = None,
    ) -> None:
        self._cache, self._targets = cache, targets
        self._rows = np.arange(len(cache)) if rows is None else rows
        self._drawing = Drawing(len(self._rows), batch_size, seed=seed, rank=rank, size=size, order=order)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch: inputs (b, c, h, w) float32, channels last in memory."""
        order, view = self._drawing.order(epoch), self._cache.view(epoch % self._cache.views)
        for number in range(start, self.count):
            drawn = self._drawing.rows(order, number)
            good = self._cache.good[self._rows[drawn]]
            if not good.any():
                raise BiocosmosError(
                    f"none of {len(drawn)} images can be read, '{self._cache.ids[self._rows[drawn[0]]]}' among them: "
                    "see the failures"
                )
            if not good.all():
                drawn[~good] = drawn[np.flatnonzero(good)[np.arange((~good).sum()) % good.sum()]]
            rows = self._rows[drawn]
            inputs = torch.from_numpy(view[rows].astype(np.float32)).permute(0, 3, 1, 2)
            yield Batch(inputs, self._targets[drawn], [self._cache.ids[row] for row in rows])


def _fast(front: nn.Module, size: int, device: torch.device | str) -> Callable[[torch.Tensor], Activations]:
    """Images (m, 3, size, size) uint8 -> (m, h, w, c): batch norms folded, a few images at a time, so that maps stay in cache."""
    noise = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    folds = folded(front, noise).to(device)
    together = CPU_IMAGES if torch.device(device).type == "cpu" else BLOCK

    @torch.inference_mode()
    def run(images: torch.Tensor) -> Activations:
        found = [folds(some).permute(0, 2, 3, 1).half().cpu() for some in torch.split(images.to(device), together)]
        return torch.cat(found).numpy()

    return run


def _good(place: Path) -> npt.NDArray[np.bool_]:
    return read_array(place / _GOOD, ("b", 1), what="kept activations", remedy=_REMEDY)


def _fill(
    place: Path,
    views: list[int],
    images: ImageSource,
    augment: Augment,
    front: Callable[[torch.Tensor], Activations],
    seed: int,
    workers: int | None,
) -> None:
    """Compute views, each into a file beside its place; an image is read once for all. What a killed start left is kept."""
    good = _good(place) if (place / _GOOD).exists() else np.ones(len(images), np.bool_)
    parts = {view: _Part(place, view, len(images)) for view in views}
    start = min(part.done for part in parts.values())
    with progress("frozen stages", len(images) * len(views), "views of images") as bar:
        bar.advance(sum(part.done for part in parts.values()))
        for rows, pixels, fine in image_blocks(images, BLOCK, workers, start=start):
            good[rows] = fine
            for view, part in parts.items():
                if rows[0] < part.done:
                    continue
                generator = torch.Generator().manual_seed(derived_seed(seed, view, int(rows[0]), 4))
                part.write(rows, front(augment(pixels, generator)))
                bar.advance(len(rows))
            if rows[-1] // BLOCK % KEPT_EVERY == KEPT_EVERY - 1:
                _keep(place, good)  # before the views, which count on it
                for part in parts.values():
                    part.keep()
    _keep(place, good)
    for part in parts.values():
        part.finish()


class _Part:
    """One view while it is being written: the file, and how many images of it are there for certain."""

    def __init__(self, place: Path, view: int, images: int) -> None:
        self._file, self._finished = place / f".{_name(view)}", place / _name(view)
        self._count, self._images = place / f".{_name(view)}.done", images
        there = self._count.exists() and self._file.exists()
        self.done = int(self._count.read_text()) if there else 0
        self._kept: Any = np.lib.format.open_memmap(self._file, mode="r+") if self.done else None

    def write(self, rows: Rows, found: Activations) -> None:
        """The activations of some images, (m, h, w, c), following those that are there."""
        if self._kept is None:
            shape = (self._images, *found.shape[1:])
            self._kept = np.lib.format.open_memmap(self._file, mode="w+", dtype=np.float16, shape=shape)
        self._kept[rows] = found
        self.done = int(rows[-1]) + 1

    def keep(self) -> None:
        """A start after a kill goes on from here."""
        if self._kept is not None:
            self._kept.flush()
            with replacing(self._count) as temporary:
                temporary.write_text(str(self.done))

    def finish(self) -> None:
        """All images are there."""
        self._kept.flush()
        self._file.replace(self._finished)
        self._count.unlink(missing_ok=True)


def _keep(place: Path, good: npt.NDArray[np.bool_]) -> None:
    with replacing(place / _GOOD) as temporary, temporary.open("wb") as file:
        np.save(file, good)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Other processes of a run, and other runs, wait while one fills the cache."""
    with (place / ".lock").open("w") as file:
        try:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that fills {place}", file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):  # not on this system, or not on this file system: each fills it with the same numbers
            pass
        yield


def _name(view: int) -> str:
    return f"view-{view:02d}.npy"
