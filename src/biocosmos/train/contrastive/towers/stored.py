"""Projections of stored vectors: the encoders stay as they are, nothing is decoded, and minutes are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.modality import Modality
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.projection import Projection
from biocosmos.specimens.stored_vectors import read_stored
from biocosmos.train.batches.base_vectors import embed_base
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.contrastive.settings import FROZEN, ContrastiveSettings
from biocosmos.train.contrastive.specimens import WHAT, ModalRows
from biocosmos.train.loop.processes import Processes


class StoredTower:
    """A projection of the vectors that one encoder left in the collection; see :class:`TowerSource`.

    What both kinds share: the vectors of the specimens that have one, and a module that takes them.
    """

    modality: Modality
    there: npt.NDArray[np.bool_]

    def __init__(self, rows: ModalRows, settings: ContrastiveSettings, failures: Failures, name: str, modality: Modality) -> None:
        self.modality, self.name = modality, name
        collection = rows.collection
        column = collection.embedding_column(name)
        table = collection.take(rows.ids, columns=["id", column])
        self.there = ~np.asarray(table[column].is_null())
        if without := int((rows.there[modality] & ~self.there).sum()):
            why = f"{without:,} specimens with {WHAT[modality]} have no vector of {name}"
            failures.add(why, stage="train", severity="warning")
        self._place = np.cumsum(self.there) - 1
        self._vectors = _read_copy(table[column], collection.encoders[name])
        dim = self._vectors.dim if isinstance(self._vectors, KmerCounts) else self._vectors.shape[1]
        self.module = _projection(dim, settings, modality)

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """(m, dim) float32 unit vectors, as they are stored; counts of k-mers are made dense here."""
        at = self._place[rows]
        found = self._vectors.dense(at) if isinstance(self._vectors, KmerCounts) else self._vectors[at]
        return torch.from_numpy(found)

    def lr_factor(self, name: str) -> float:
        """All of it is new."""
        return 1.0


class StoredImages(StoredTower):
    """A projection of an encoder of pictures, saved as a frozen projection over it."""

    def __init__(self, rows: ModalRows, settings: ContrastiveSettings, where: Processes, failures: Failures) -> None:
        self.towers: Towers = load_towers(settings.image)
        embed_base(rows.collection, settings.image, self.towers.digest, where)
        super().__init__(rows, settings, failures, settings.image, "image")

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """As any trained encoder with a frozen base."""
        projection = self.module.cpu()
        return save_encoder(folder, self.towers, base=self.name, projection=projection, frozen=True, training=facts)


class StoredBarcodes(StoredTower):
    """A projection of an encoder of barcodes; of k-mers it is a network over their counts."""

    def __init__(self, rows: ModalRows, settings: ContrastiveSettings, where: Processes, failures: Failures) -> None:
        from biocosmos.encoders.barcodes import load_barcode_encoder

        self.encoder = load_barcode_encoder(settings.dna, device=str(where.device))
        embed_base(rows.collection, self.encoder.name, self.encoder.digest, where)
        super().__init__(rows, settings, failures, self.encoder.name, "dna")

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The projection, with the name of the encoder beneath."""
        from biocosmos.encoders.projected_barcodes import save_projected_barcodes

        return save_projected_barcodes(folder, self.encoder, self.module.cpu(), training=facts)


def _projection(dim: int, settings: ContrastiveSettings, modality: Modality) -> Projection:
    if settings.tune_of(modality) != FROZEN:
        return Projection(dim, settings.width, hidden=settings.hidden or None)
    if dim != settings.width:
        raise BiocosmosError(
            f"{getattr(settings, modality)} stays as it is, with {dim:,} numbers, and --width is {settings.width:,}: leave "
            f"--width out, or train a projection (--tune {modality}=heads)"
        )
    made = Projection(dim)  # as it begins, it changes nothing
    made.requires_grad_(False)
    return made


def _read_copy(column: pa.ChunkedArray, facts: dict[str, Any]) -> KmerCounts | npt.NDArray[np.float32]:
    found = read_stored(column, facts)
    return found if isinstance(found, KmerCounts) else np.array(found, np.float32)  # arrow's cannot be written
