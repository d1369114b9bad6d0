"""The places of specimens, as :mod:`biocosmos.embed.strings` embeds them: four numbers written out, which change when they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.embed.strings import rows_of
from biocosmos.encoders.places.encoder import DAY, DEPTH, PLACE, PlaceEncoder, known, vectors_and_reasons
from biocosmos.places import Places
from biocosmos.specimens.embedding_columns import WRITTEN_FROM

_OF = {PLACE: ("latitude", "longitude"), DAY: ("date",), DEPTH: ("depth_min", "depth_max")}
COLUMNS = tuple(column for columns in _OF.values() for column in columns)
"""Stored columns that say where and when a specimen was found, as far as encoders take it."""


class SpecimenPlaces:
    """See :class:`biocosmos.embed.strings.Strings`."""

    unit = "places"
    columns: Sequence[str] = COLUMNS
    part_rows: int | None = None

    def __init__(self, encoder: PlaceEncoder, metadata: dict[str, Any]) -> None:
        self._encoder, self.name = encoder, encoder.name
        self.metadata = {**metadata, WRITTEN_FROM: [column for what in encoder.takes for column in _OF[what]]}
        self.how = f"{metadata['precision']} by {metadata['backend']}"
        self.lacking = " and ".join(f"a {what}" for what in encoder.takes)
        self._reasons: dict[str, str] = {}

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """Latitude, longitude, day and depth of specimens of which all is known that the encoder takes."""
        places = Places.of_table(pa.Table.from_batches([batch]))
        there = known(places, self._encoder.takes)
        return pa.array([_written(row) if good else None for row, good in zip(places.numbers, there)], pa.string())

    def encode(self, strings: list[str]) -> pa.Array:
        """Vectors."""
        size, parts = self._encoder.batch_size, []
        self._reasons = {}
        for start in range(0, len(strings), size):
            block = strings[start : start + size]
            places = Places.of_numbers(np.array([[float(number) for number in string.split()] for string in block]))
            vectors, why = vectors_and_reasons(self._encoder, places)
            self._reasons.update({block[row]: reason for row, reason in why.items()})
            parts.append(vectors)
        return rows_of(np.concatenate(parts))

    def reason(self, string: str) -> str:
        """See :class:`biocosmos.embed.strings.Strings`."""
        return self._reasons[string]


def _written(numbers: npt.NDArray[np.float64]) -> str:
    """Latitude, longitude, day and depth as one string."""
    return " ".join(repr(float(number)) for number in numbers)
