"""What the frozen first stages of a backbone give, computed once for some augmented views of every image and kept on disk.

The first stages see large maps and cost most of a training step's forward pass; frozen, they give the same for the same view.
Several trainings over the same images share a cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.errors import BiocosmosError
from biocosmos.progress import progress
from biocosmos.tables import replacing
from biocosmos.train.augment import Augment
from biocosmos.train.images import Rows, fitting_batch, image_blocks, shuffled
from biocosmos.train.loop import Batch, derived_seed
from biocosmos.train.outlier_images import ImageSource

BLOCK = 64
_FACTS, _GOOD = "cache.json", "good.npy"
Activations = npt.NDArray[np.float16]


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

        front: pixels (m, 3, s, s) 0..255 to activations (m, c, h, w), in evaluation mode; digest: of the encoder's weights;
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
        with replacing(place / _FACTS) as temporary:
            temporary.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
        front = front.to(device).eval()
        for view in range(views):
            if not (place / _name(view)).exists():
                _fill(place, view, images, augment, front, seed, workers, torch.device(device))
        good: npt.NDArray[np.bool_] = np.load(place / _GOOD)
        return cls(place, list(images.ids), views, good)

    def __len__(self) -> int:
        return len(self.ids)

    def view(self, number: int) -> Activations:
        """(n, h, w, c) float16, read as it is needed."""
        return np.load(self.folder / _name(number), mmap_mode="r")  # type: ignore[no-any-return]


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
        self._cache, self._targets, self._rank, self._size = cache, targets, rank, size
        self._rows = np.arange(len(cache)) if rows is None else rows
        self.batch_size = fitting_batch(batch_size, len(self._rows), size)
        self.count = len(self._rows) // (self.batch_size * size)
        self._order = order or (lambda epoch: shuffled(len(self._rows), seed, epoch))

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch: inputs (b, c, h, w) float32, channels last in memory."""
        order, view = self._order(epoch), self._cache.view(epoch % self._cache.views)
        for number in range(start, self.count):
            first = (number * self._size + self._rank) * self.batch_size
            drawn = order[first : first + self.batch_size]
            good = self._cache.good[self._rows[drawn]]
            if not good.any():
                raise BiocosmosError(
                    f"none of {len(drawn)} images can be read, '{self._cache.ids[self._rows[drawn[0]]]}' among them: "
                    "see the failures"
                )
            if not good.all():
                drawn = drawn.copy()
                drawn[~good] = drawn[np.flatnonzero(good)[np.arange((~good).sum()) % good.sum()]]
            rows = self._rows[drawn]
            inputs = torch.from_numpy(view[rows].astype(np.float32)).permute(0, 3, 1, 2)
            yield Batch(inputs, self._targets[drawn], [self._cache.ids[row] for row in rows])


@torch.no_grad()
def _fill(
    place: Path,
    view: int,
    images: ImageSource,
    augment: Augment,
    front: nn.Module,
    seed: int,
    workers: int | None,
    device: torch.device,
) -> None:
    """Compute a view into a file beside its place, a block at a time; what is there of a killed start is kept."""
    unfinished, done_file = place / f".{_name(view)}", place / f".{_name(view)}.done"
    kept: Any = None
    done = int(done_file.read_text()) if done_file.exists() and unfinished.exists() else 0
    if done:
        kept = np.lib.format.open_memmap(unfinished, mode="r+")
    good = np.load(place / _GOOD) if (place / _GOOD).exists() else np.ones(len(images), np.bool_)
    with progress(f"frozen stages, view {view + 1}", len(images), "images") as bar:
        bar.advance(done)
        for rows, pixels, fine in image_blocks(images, BLOCK, workers, start=done):
            good[rows] = fine
            generator = torch.Generator().manual_seed(derived_seed(seed, view, int(rows[0]), 4))
            found = front(augment(pixels, generator).to(device)).permute(0, 2, 3, 1).half().cpu().numpy()
            if kept is None:
                kept = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=(len(images), *found.shape[1:]))
            kept[rows] = found
            bar.advance(len(rows))
            if rows[-1] // BLOCK % 50 == 49:
                kept.flush()
                with replacing(done_file) as temporary:
                    temporary.write_text(str(int(rows[-1]) + 1))
    kept.flush()
    with replacing(place / _GOOD) as temporary, temporary.open("wb") as file:
        np.save(file, good)
    unfinished.replace(place / _name(view))
    done_file.unlink(missing_ok=True)


def _name(view: int) -> str:
    return f"view-{view:02d}.npy"
