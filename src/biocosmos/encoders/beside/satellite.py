"""An encoder of images over satellite images: any that is loaded by a name, such as a CLIP of an open_clip folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from biocosmos.encoders.beside.encoder import Vectors
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import Failures


class SatelliteEncoder:
    """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`; base: the name of the encoder of images."""

    modality: Literal["satellite", "audio"] = "satellite"

    def __init__(self, name: str, base: str, *, device: str = "auto") -> None:
        self.base = load_encoder(base, device=device, precision="float32", backend="torch")
        self.name, self.dim, self.digest = name, self.base.dim, self.base.digest
        self.batch_size = self.base.batch_size

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
        facts = self.base.metadata()
        kept = ("digest", "dim", "preprocessing", "precision", "backend", "device", "source")
        return {"name": self.name, "modality": self.modality, **{key: facts[key] for key in kept}}

    def encode_paths(self, paths: Sequence[str]) -> tuple[Vectors, dict[int, str]]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
        failures = Failures()
        found, rows = self.base.encode_files(list(paths), failures=failures)
        vectors = np.zeros((len(paths), self.dim), np.float32)
        vectors[rows] = found
        table = failures.table()
        return vectors, {int(row) - 1: why for row, why in zip(table["row"].to_pylist(), table["reason"].to_pylist())}
