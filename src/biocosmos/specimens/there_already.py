"""The one judge of what is there already: a row is, if its id is and nothing that it says is otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.specimens.appending import Appending
from biocosmos.specimens.differing import Mask, distinct
from biocosmos.specimens.records import PLACED

NOT_COMPARED = ("id", "image", "image_path", "width", "height")
"""Of an image its bytes count, not where they lie."""
FIRST = ("content_hash", "crop", "label", "barcode")
"""What is named first where much differs."""
SHOWN = 2
SHOWN_LETTERS = 40
WORDS = {"content_hash": "image"}


class Again:
    """Rows of a batch whose specimen is there: in the dataset, among the rows that wait for it, or earlier in the batch.

    Attributes:
        positions: (rows,) place of the specimen of each row, -1 where it is none of the stored ones.
    """

    def __init__(self, positions: npt.NDArray[np.int64]) -> None:
        self.positions = positions
        self._earlier: dict[int, int | None] = {}

    def add(self, row: int, earlier: int | None) -> None:
        """Count a row; ``earlier``: the row of the same batch that it may repeat."""
        self._earlier[row] = earlier

    def __contains__(self, row: int) -> bool:
        return row in self._earlier

    @property
    def rows(self) -> list[int]:
        """All of them, ascending."""
        return list(self._earlier)

    def specimens(self, batch: pa.RecordBatch, dataset: Appending) -> pa.Table:
        """What is there, row by row of :attr:`rows`: the columns that are compared, and what names the image."""
        columns = [*compared(batch), *(name for name in ("id", "image_path") if name in batch.schema.names)]
        rows = np.array(self.rows, np.int64)
        inside = np.array([self._earlier[row] is not None for row in self.rows], bool)
        stored = dataset.rows(self.positions[rows[~inside]], columns)
        if not inside.any():
            return stored
        within = pa.Table.from_batches([batch.select(columns)]).take(pa.array([self._earlier[row] for row in rows[inside]]))
        order = np.empty(len(rows), np.int64)
        order[np.concatenate([np.flatnonzero(~inside), np.flatnonzero(inside)])] = np.arange(len(rows))
        return pa.concat_tables([stored, within], promote_options="permissive").take(pa.array(order)).combine_chunks()

    def named(self, there: pa.Table) -> dict[int, dict[str, Any]]:
        """Of what :meth:`specimens` gave, by row of the batch: ``id``, ``content_hash`` and ``image_path``."""
        names = [name for name in ("id", "content_hash", "image_path") if name in there.column_names]
        return dict(zip(self.rows, there.select(names).to_pylist()))


def compared(batch: pa.RecordBatch) -> list[str]:
    """The columns in which a row may differ from what is there, those first that are named first."""
    columns = [name for name in batch.schema.names if name not in NOT_COMPARED]
    return sorted(columns, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def differences(batch: pa.RecordBatch, again: Again, there: pa.Table) -> dict[int, str]:
    """Of the rows whose specimen is there, those that say something else: "another label ('crab' is stored, this says 'fish')".

    A cell that is empty says nothing, but the crop: then it is the whole image.

    Args:
        batch: fitted, with what is known of its images.
        there: of :meth:`Again.specimens`.
    """
    rows = again.rows
    new = batch.take(pa.array(rows))
    pictured = np.asarray(new.column("content_hash").is_valid())
    found: dict[int, list[str]] = {}
    for name in compared(batch):
        values, stored = new.column(name), there[name].combine_chunks()
        said = pictured if name == "crop" else np.asarray(values.is_valid())
        if name in PLACED:  # a collection made before had no such columns, and its source says the same as then
            said &= np.asarray(stored.is_valid())
        for at in np.flatnonzero(_differ(stored, values) & said):
            found.setdefault(rows[int(at)], []).append(_words(name, stored[int(at)].as_py(), values[int(at)].as_py()))
    return {row: _listed(told) for row, told in found.items()}


def _differ(stored: pa.Array, values: pa.Array) -> Mask:
    if stored.type != values.type:
        return np.asarray(values.is_valid()) if stored.null_count == len(stored) else distinct(stored.cast(values.type), values)
    return distinct(stored, values)


def _words(name: str, stored: Any, given: Any) -> str:
    if name == "content_hash":
        return "another image" if stored is not None else "an image, where the one that is there has none"
    return f"another {name} ({_shown(stored)} is stored, this says {_shown(given)})"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value) if not isinstance(value, list) else str([round(each, 1) for each in value if each is not None])
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def _listed(told: list[str]) -> str:
    more = len(told) - SHOWN
    return ", ".join(told[:SHOWN]) + (f", and {more} more that differ" if more > 0 else "")
