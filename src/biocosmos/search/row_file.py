"""Rows of numbers in a file without a name: what is searched by its compact copies need not lie in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

CAN_BE = hasattr(os, "pread")
"""Whether this system reads at a place of a file without moving in it (all but Windows do)."""
_AT_ONCE = 1 << 20  # bytes of one read


class RowFile:
    """``n`` rows of ``dim`` float32 numbers, written once by :meth:`put` and then read by row number, as of a tensor.

    The file is in ``folder`` and has no name there: it is gone with the process, however that ends. Only what is asked for is in
    memory; the system keeps what is read often in its own cache. before: is called before each piece is read or written, and may
    raise to end long work. Raises OSError where the folder cannot be written or is full.
    """

    device = torch.device("cpu")

    def __init__(self, n: int, dim: int, folder: str | Path | None = None, before: Callable[[], None] = lambda: None) -> None:
        self.shape, self._before = (n, dim), before
        self._row = 4 * dim
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - open as long as this lives
        os.truncate(self._file.fileno(), n * self._row)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<RowFile: {self.shape[0]:,} rows of {self.shape[1]:,} numbers>"

    def put(self, rows: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        """Write ``values`` (k, dim) float32 as the rows with these numbers (k,), each of them once."""
        self._before()
        order = np.argsort(rows, kind="stable")
        data = np.ascontiguousarray(values[order], np.float32).reshape(-1).view(np.uint8)
        for first, start, count in _runs(rows[order]):
            part, at = data[start * self._row : (start + count) * self._row], first * self._row
            while len(part):
                written = os.pwrite(self._file.fileno(), part.data, at)
                part, at = part[written:], at + written

    def __getitem__(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """Rows of a slice without a step, (k, dim), or with the numbers in a tensor of any shape, (..., dim)."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            out = torch.empty(max(0, stop - start), self.shape[1])
            self._read(out, [(start, 0, len(out))])
            return out
        flat = rows.flatten().numpy()
        asked, back = np.unique(flat, return_inverse=True)
        found = torch.empty(len(asked), self.shape[1])
        self._read(found, _runs(asked))
        return found[torch.from_numpy(back.reshape(-1))].view(*rows.shape, self.shape[1])

    def to(self, device: torch.device) -> RowFile:
        """Itself: a file is read by the processor."""
        if device.type != "cpu":
            raise ValueError(f"rows in a file are searched by the processor, not by {device}")
        return self

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _read(self, out: torch.Tensor, runs: list[tuple[int, int, int]]) -> None:
        self._before()
        data = out.numpy().reshape(-1).view(np.uint8)
        for first, start, count in runs:
            part, at = data[start * self._row : (start + count) * self._row], first * self._row
            while len(part):
                read = np.frombuffer(os.pread(self._file.fileno(), min(len(part), _AT_ONCE), at), np.uint8)
                if not len(read):
                    raise OSError("the file of vectors is shorter than it was")
                part[: len(read)] = read
                part, at = part[len(read) :], at + len(read)


def _runs(rows: np.ndarray[Any, Any]) -> list[tuple[int, int, int]]:
    """(first row, place in ``rows``, how many) of the runs of neighbours in ascending ``rows``."""
    if not len(rows):
        return []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(rows) != 1) + 1])
    counts = np.diff(np.append(starts, len(rows)))
    return list(zip(rows[starts].tolist(), starts.tolist(), counts.tolist(), strict=True))


Rows = torch.Tensor | RowFile
"""Vectors that are searched: in memory or in a file."""
