"""The files beside specimens, sounds and satellite images, as :mod:`biocosmos.embed.strings` embeds them: by their paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from biocosmos.embed.strings import rows_of
from biocosmos.encoders.beside.encoder import COLUMNS, FileEncoder
from biocosmos.specimens.embedding_columns import WRITTEN_FROM

_SAID = {"satellite": ("satellite images", "a satellite image"), "audio": ("sounds", "a sound")}
_PART_ROWS = 128
"""A sound takes a third of a second."""


class SpecimenFiles:
    """See :class:`biocosmos.embed.strings.Strings`."""

    part_rows: int | None = _PART_ROWS

    def __init__(self, encoder: FileEncoder, metadata: dict[str, Any]) -> None:
        self._encoder, self.name = encoder, encoder.name
        self._column = COLUMNS[encoder.modality]
        self.columns: Sequence[str] = (self._column,)
        self.metadata = {**metadata, WRITTEN_FROM: list(self.columns)}
        self.unit, self.lacking = _SAID[encoder.modality]
        self.how = f"{metadata['precision']} by {metadata['backend']}"
        self._reasons: dict[str, str] = {}

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """The paths as they are stored."""
        return batch.column(self._column)

    def encode(self, strings: list[str]) -> pa.Array:
        """Vectors."""
        vectors, why = self._encoder.encode_paths(strings)
        self._reasons = {strings[row]: reason for row, reason in why.items()}
        return rows_of(vectors)

    def reason(self, string: str) -> str:
        """See :class:`biocosmos.embed.strings.Strings`."""
        return self._reasons.get(string, f"{string}: nothing can be computed from the file")
