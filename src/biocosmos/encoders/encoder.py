"""An encoder: images or texts in, unit vectors out, on whatever device and backend there is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos import machine
from biocosmos.encoders.image_reader import ImageBatch, ImageFiles, ImageReader, ahead
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.spaces import sibling, space_facts
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.images import Decoded

if TYPE_CHECKING:
    from biocosmos.encoders.texts import SpaceTexts
    from biocosmos.specimens.taxon_texts import Wording

Vectors = npt.NDArray[np.float32]
Precision = Literal["float32", "bfloat16", "int8"]
Layout = Literal["channels last", "contiguous"]
TEXT_BATCH = 64
READERS = 4
"""Threads that read query files, when the device computes one batch at a time."""
REFERENCE_BATCH = 8


class Backend(Protocol):
    """Runs the image tower: (n, 3, size, size) uint8 -> (n, dim) float32 unit vectors, on the CPU."""

    name: str
    device: str
    precision: Precision
    layout: Layout | None
    """How maps lie in memory, where there is a choice: it decides the last bits."""
    batch_size: int
    """Rows of the batch it runs fastest."""
    streams: int
    """How many batches may be computed at once, each from its own thread."""

    def __call__(self, batch: torch.Tensor, /) -> torch.Tensor: ...

    def dim(self, size: int) -> int:
        """Length of the vectors of images of size x size pixels."""

    def enter_thread(self) -> None:
        """Called once in each thread of a pool that computes ``streams`` batches at once."""

    def leave_thread(self) -> None:
        """Undo :meth:`enter_thread`."""


class Normalised(nn.Module):
    """uint8 pixels -> normalised floats -> tower -> float32 unit vectors; the part of a model that is common to all.

    projection: of what the tower gives; it stays in float32, as stored vectors are projected.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        tower: nn.Module,
        preprocessing: Preprocessing,
        takes_bytes: bool = False,
        projection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.tower, self.projection = tower, projection
        self.takes_bytes = takes_bytes
        self.dtype = torch.float32
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("scale", (1 / (255 * std))[:, None, None])
        self.register_buffer("shift", (-mean / std)[:, None, None])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """batch: (n, 3, size, size) uint8. Returns: (n, dim) float32 unit vectors."""
        return self.unit(self.tower(self.pixels(batch)))

    def pixels(self, batch: torch.Tensor) -> torch.Tensor:
        """What the tower takes of (n, 3, size, size) uint8."""
        return batch if self.takes_bytes else (batch.float() * self.scale + self.shift).to(self.dtype)

    def unit(self, features: torch.Tensor) -> torch.Tensor:
        """What the tower gave, (n, c), projected and made unit: (n, dim) float32."""
        features = features.float()
        return nn.functional.normalize(features if self.projection is None else self.projection(features), dim=-1)

    def in_precision(self, dtype: torch.dtype) -> Normalised:
        """The tower in ``dtype``; pixels are normalised and vectors made unit in float32 all the same."""
        self.dtype = dtype
        self.tower.to(dtype)
        return self


class Encoder:
    """A loaded encoder; made by :func:`biocosmos.load_encoder`.

    Attributes:
        name: the string it was loaded by; names the column of a collection.
        dim: length of its vectors.
        modality: "image" or "image+text"; of a space's tower of images "image+text" where the space has one of texts.
        digest: of the weights, 16 hex digits.
        preprocessing: how images are prepared.
        precision, backend, device, layout: what it computes with.
        chosen: how that was chosen, see :class:`biocosmos.encoders.ways.Chosen`; hint: what it leaves on the table.
        base: the encoder whose unit vectors :meth:`project` takes; None if it is not a projection of such vectors.
    """

    def __init__(
        self,
        name: str,
        towers: Towers,
        backend: Backend,
        preprocessing: Preprocessing,
        chosen: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        self.name, self.digest, self.preprocessing = name, towers.digest, preprocessing
        self.source = towers.source
        self._towers, self._backend = towers, backend
        self.base = towers.base if towers.projection is not None and towers.projection.normalise else None
        self.backend, self.device, self.precision = backend.name, backend.device, backend.precision
        self.layout, self.chosen, self.hint = backend.layout, dict(chosen or {}), hint
        self.batch_size, self.streams = backend.batch_size, backend.streams
        self._texts_by = sibling(name, towers.digest, "text") if towers.text is None else None
        self.modality = "image" if towers.text is None and self._texts_by is None else "image+text"
        self.dim = towers.dim or backend.dim(preprocessing.size)

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
            "layout": self.layout,
            "chosen": self.chosen,
            "source": self.source,
            "processor": machine.processor(),
            **space_facts(self.name, self.digest),
        }

    # ------------------------------------------------------------------ images

    def prepare(self, image: Decoded) -> torch.Tensor:
        """One decoded image as (3, size, size) uint8; call it from decode threads."""
        return self.preprocessing.prepare(image)

    def read(self, source: bytes | str | Path, crop: Sequence[float] | None = None) -> torch.Tensor:
        """Decode and prepare one image file: (3, size, size) uint8. Raises ImageError."""
        return self.preprocessing.read(source, crop)

    def encode_images(self, batch: torch.Tensor, *, together: int | None = None) -> Vectors:
        """batch: (n, 3, size, size) uint8. Returns: (n, dim) float32 unit vectors.

        together: rows of a run of the model; default :attr:`batch_size`. OpenVINO's models take that many and no other.

        Every run of the model has the same number of rows (the last is filled up), so that a vector does not depend on how
        many images are asked for. May be called from ``streams`` threads at once.
        """
        if batch.dtype != torch.uint8 or batch.ndim != 4 or batch.shape[1] != 3:
            raise ValueError(f"expected (n, 3, size, size) uint8, got {tuple(batch.shape)} {batch.dtype}")
        size = together or self.batch_size
        out = np.empty((len(batch), self.dim), np.float32)
        for start in range(0, len(batch), size):
            rows = batch[start : start + size]
            count = len(rows)
            if count < size:
                rows = torch.cat([rows, rows.new_zeros(size - count, *rows.shape[1:])])
            out[start : start + count] = self._backend(rows)[:count].numpy()
        return out

    def reference(self, batch: torch.Tensor) -> torch.Tensor:
        """What torch gives in float32 on the CPU, to measure a faster backend against. Shapes as :meth:`encode_images`."""
        tower = self._towers.whole
        if self.device != "cpu":
            tower = copy.deepcopy(tower)  # the one in use stays where it is
        model = Normalised(tower, self.preprocessing, self._towers.takes_bytes).cpu().eval()
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
        reader = ImageReader(ImageFiles(sources), self.preprocessing, stage=stage)
        if len(reader) <= self.batch_size:  # all cores to the one batch
            done = [self._encoded(reader.read(np.arange(len(reader))))] if len(reader) else []
        else:
            blocks = (
                np.arange(first, min(first + self.batch_size, len(reader))) for first in range(0, len(reader), self.batch_size)
            )
            workers = max(self.streams, READERS)
            done = list(
                ahead(
                    lambda rows: self._encoded(reader.read(rows)),
                    blocks,
                    workers,
                    enter=self.enter_thread,
                    leave=self.leave_thread,
                )
            )
        for batch in (batch for _, batch in done):
            for one in batch.unread:
                if failures is None:
                    raise ImageError(f"{one.id}: {one.reason}")
                failures.add(one.reason, stage=stage, source=one.path, row=int(batch.rows[one.place]) + 1)
        kept = [batch.rows[batch.good] for _, batch in done]
        vectors = np.concatenate([np.empty((0, self.dim), np.float32), *(vectors for vectors, _ in done)])
        return vectors, np.concatenate([np.empty(0, np.int64), *kept])

    def _encoded(self, batch: ImageBatch) -> tuple[Vectors, ImageBatch]:
        """Vectors of the images that could be read; the batch without its pixels."""
        images = batch.images[torch.from_numpy(batch.good)]
        vectors = self.encode_images(images) if len(images) else np.empty((0, self.dim), np.float32)
        return vectors, replace(batch, images=images[:0])

    def project(self, vectors: Vectors) -> Vectors:
        """From the base's vectors to this encoder's, without an image: (n, dim of the base) -> (n, dim) float32 unit vectors.

        Raises:
            BiocosmosError: this encoder is not a projection over a frozen base, or one of features before normalisation.
        """
        projection = self._towers.projection
        if projection is None or self.base is None:
            raise BiocosmosError(f"encoder '{self.name}' is not computed from the vectors of another: give it images")
        with torch.inference_mode():
            return nn.functional.normalize(projection(torch.tensor(vectors)), dim=-1).numpy()

    def enter_thread(self) -> None:
        """Prepare the calling thread to compute one of ``streams`` batches at once."""
        self._backend.enter_thread()

    def leave_thread(self) -> None:
        """Undo :meth:`enter_thread`."""
        self._backend.leave_thread()

    # ------------------------------------------------------------------ texts

    @cached_property
    def _space_texts(self) -> SpaceTexts:
        """What reads names by the tower of texts beside this one."""
        from biocosmos.encoders.texts import texts_beside

        return texts_beside(self.name, self.digest, self.dim, device=self.device)

    @property
    def templates(self) -> tuple[str, ...] | None:
        """Sentences that a taxon is asked for with, where they are not those of models of sentences: names alone, in a space."""
        return None if self._texts_by is None else ("{lineage}",)

    @property
    def text_wording(self) -> Wording | None:
        """How the names of a taxon are written for a tower of texts that reads nothing else; None for models of sentences."""
        return None if self._texts_by is None else self._space_texts.text_wording

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """texts: n strings. Returns: (n, dim) float32 unit vectors.

        Raises BiocosmosError without a text tower, and for a text that a tower of names finds no word in.
        """
        if self._texts_by is not None:
            return self._space_texts.encode_texts(texts)
        text, tokenize = self._towers.text, self._towers.tokenize
        if text is None and tokenize is not None:
            raise BiocosmosError(
                f"encoder '{self.name}' has a projection trained on images, and texts do not live in its space: use its base"
            )
        if text is None or tokenize is None:
            raise BiocosmosError(
                f"encoder '{self.name}' has no text tower: use an open_clip encoder, such as open_clip:ViT-B-32/..., or a "
                "space that was trained with --text"
            )
        parts = []
        where = torch.device(self.device)
        text.to(where)
        with torch.inference_mode():
            for start in range(0, len(texts), TEXT_BATCH):
                tokens = tokenize(list(texts[start : start + TEXT_BATCH])).to(where)
                parts.append(nn.functional.normalize(text(tokens).float(), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)
