"""An encoder: images or texts in, unit vectors out, on whatever device and backend there is."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.images import Decoded

Vectors = npt.NDArray[np.float32]
Precision = Literal["float32", "bfloat16", "int8"]
TEXT_BATCH = 64
REFERENCE_BATCH = 8


class Backend(Protocol):
    """Runs the image tower: (n, 3, size, size) uint8 -> (n, dim) float32 unit vectors, on the CPU."""

    name: str
    device: str
    precision: Precision
    batch_size: int
    """Rows of the batch it runs fastest."""
    streams: int
    """How many batches may be computed at once, each from its own thread."""

    def __call__(self, batch: torch.Tensor, /) -> torch.Tensor: ...

    def enter_thread(self) -> None:
        """Called once in each thread of a pool that computes ``streams`` batches at once."""

    def leave_thread(self) -> None:
        """Undo :meth:`enter_thread`."""


class Normalised(nn.Module):
    """uint8 pixels -> normalised floats -> tower -> float32 unit vectors; the part of a model that is common to all."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, tower: nn.Module, preprocessing: Preprocessing, takes_bytes: bool = False) -> None:
        super().__init__()
        self.tower = tower
        self.takes_bytes = takes_bytes
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("scale", (1 / (255 * std))[:, None, None])
        self.register_buffer("shift", (-mean / std)[:, None, None])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """batch: (n, 3, size, size) uint8. Returns: (n, dim) float32 unit vectors."""
        x = batch if self.takes_bytes else batch.to(self.scale.dtype) * self.scale + self.shift
        return nn.functional.normalize(self.tower(x).float(), dim=-1)


class Encoder:
    """A loaded encoder; made by :func:`biocosmos.load_encoder`.

    Attributes:
        name: the string it was loaded by; names the column of a collection.
        dim: length of its vectors.
        modality: "image" or "image+text".
        digest: of the weights, 16 hex digits.
        preprocessing: how images are prepared.
        precision, backend, device: what it computes with.
    """

    def __init__(self, name: str, towers: Towers, backend: Backend, preprocessing: Preprocessing) -> None:
        self.name, self.digest, self.preprocessing = name, towers.digest, preprocessing
        self.source = towers.source
        self._towers, self._backend = towers, backend
        self.backend, self.device, self.precision = backend.name, backend.device, backend.precision
        self.batch_size, self.streams = backend.batch_size, backend.streams
        self.modality = "image" if towers.text is None else "image+text"
        blank = torch.zeros(self.batch_size, 3, preprocessing.size, preprocessing.size, dtype=torch.uint8)
        self.dim = int(self._backend(blank).shape[1])

    def __repr__(self) -> str:
        return f"<Encoder {self.name}: {self.dim} numbers, {self.backend} {self.precision} on {self.device}>"

    def metadata(self) -> dict[str, Any]:
        """What must be known to compare vectors: name, digest, dimension, preprocessing, precision, backend, device."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": self.preprocessing.as_dict(),
            "precision": self.precision,
            "backend": self.backend,
            "device": self.device,
            "source": self.source,
            "processor": platform.machine(),
        }

    # ------------------------------------------------------------------ images

    def prepare(self, image: Decoded) -> torch.Tensor:
        """One decoded image as (3, size, size) uint8; call it from decode threads."""
        return self.preprocessing.prepare(image)

    def read(self, source: bytes | str | Path, crop: Sequence[float] | None = None) -> torch.Tensor:
        """Decode and prepare one image file: (3, size, size) uint8. Raises ImageError."""
        return self.preprocessing.read(source, crop)

    def encode_images(self, batch: torch.Tensor) -> Vectors:
        """batch: (n, 3, size, size) uint8. Returns: (n, dim) float32 unit vectors.

        Every run of the model has the same number of rows (the last is filled up), so that a vector does not depend on how
        many images are asked for. May be called from ``streams`` threads at once.
        """
        if batch.dtype != torch.uint8 or batch.ndim != 4 or batch.shape[1] != 3:
            raise ValueError(f"expected (n, 3, size, size) uint8, got {tuple(batch.shape)} {batch.dtype}")
        out = np.empty((len(batch), self.dim), np.float32)
        for start in range(0, len(batch), self.batch_size):
            rows = batch[start : start + self.batch_size]
            count = len(rows)
            if count < self.batch_size:
                rows = torch.cat([rows, rows.new_zeros(self.batch_size - count, *rows.shape[1:])])
            out[start : start + count] = self._backend(rows)[:count].numpy()
        return out

    def reference(self, batch: torch.Tensor) -> torch.Tensor:
        """What torch gives in float32 on the CPU, to measure a faster backend against. Shapes as :meth:`encode_images`."""
        model = Normalised(self._towers.image, self.preprocessing, self._towers.takes_bytes).float().cpu().eval()
        with torch.inference_mode():
            return torch.cat([model(batch[start : start + REFERENCE_BATCH]) for start in range(0, len(batch), REFERENCE_BATCH)])

    def encode_files(
        self, sources: Iterable[bytes | str | Path], *, failures: Failures | None = None, stage: str = "encode"
    ) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """Vectors of image files, for queries.

        Args:
            sources: paths or the bytes of files.
            failures: images that cannot be read become rows here; without it the first one raises ImageError.

        Returns:
            ((n, dim) float32 unit vectors, (n,) int64 positions in ``sources`` of the images that were read).
        """
        kept: list[int] = []
        parts: list[Vectors] = []

        def safely(source: bytes | str | Path) -> torch.Tensor | ImageError:
            try:
                return self.read(source)
            except ImageError as error:
                return error

        with ThreadPoolExecutor() as pool:
            for batch in _batches(enumerate(sources), self.batch_size * self.streams):
                images = []
                for (row, source), image in zip(batch, pool.map(safely, [source for _, source in batch]), strict=True):
                    if isinstance(image, ImageError):
                        path = None if isinstance(source, bytes) else str(source)
                        if failures is None:
                            raise ImageError(f"{path or f'image {row + 1}'}: {image}")
                        failures.add(str(image), stage=stage, source=path, row=row + 1)
                    else:
                        images.append(image)
                        kept.append(row)
                if images:
                    parts.append(self.encode_images(torch.stack(images)))
        vectors = np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)
        return vectors, np.array(kept, np.int64)

    def enter_thread(self) -> None:
        """Prepare the calling thread to compute one of ``streams`` batches at once."""
        self._backend.enter_thread()

    def leave_thread(self) -> None:
        """Undo :meth:`enter_thread`."""
        self._backend.leave_thread()

    # ------------------------------------------------------------------ texts

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """texts: n strings. Returns: (n, dim) float32 unit vectors. Raises BiocosmosError without a text tower."""
        text, tokenize = self._towers.text, self._towers.tokenize
        if text is None or tokenize is None:
            raise BiocosmosError(
                f"encoder '{self.name}' has no text tower: use an open_clip encoder, such as open_clip:ViT-B-32/..."
            )
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), TEXT_BATCH):
                features = text(tokenize(list(texts[start : start + TEXT_BATCH]))).float()
                parts.append(nn.functional.normalize(features, dim=-1).numpy())
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
