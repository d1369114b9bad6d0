"""The names of specimens, as :mod:`biocosmos.embed.strings` embeds them: each distinct text is encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.embed.strings import rows_of
from biocosmos.encoders.texts import NO_WORDS, TextEncoder
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.embedding_columns import WRITTEN_FROM

MOST_KEPT = 1 << 26
"""Numbers of vectors of texts that are kept, to be used again in later blocks of specimens."""


class TaxonNames:
    """See :class:`biocosmos.embed.strings.Strings`; texts are written as the encoder says."""

    unit = "texts"
    lacking = "a name"
    part_rows: int | None = None

    def __init__(self, collection: Collection, encoder: TextEncoder, metadata: dict[str, Any]) -> None:
        self._encoder, self.name = encoder, encoder.name
        self._ranks, self._wording = collection.ranks, encoder.wording
        self.columns: Sequence[str] = self._wording.columns(collection.ranks, collection.stored_columns)
        self.metadata = {**metadata, WRITTEN_FROM: list(self.columns)}
        self.how = f"{metadata['precision']} by {metadata['backend']}"
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """The texts of specimens that have a name."""
        return pa.array(self._wording.texts(batch, self._ranks), pa.string())

    def encode(self, strings: list[str]) -> pa.Array:
        """Vectors."""
        new = [text for text in dict.fromkeys(strings) if text not in self._known]
        if (len(self._known) + len(new)) * self._encoder.dim > MOST_KEPT:
            self._known.clear()
            new = list(dict.fromkeys(strings))
        size = self._encoder.batch_size
        for start in range(0, len(new), size):
            batch = new[start : start + size]
            self._known.update(zip(batch, self._encoder.encode_texts(batch)))
        return rows_of(np.stack([self._known[text] for text in strings]))

    def reason(self, string: str) -> str:
        """See :class:`biocosmos.embed.strings.Strings`."""
        return NO_WORDS
