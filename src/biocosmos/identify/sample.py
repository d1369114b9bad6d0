"""A uniform sample of a stream of specimens that comes in numbered blocks, the same wherever the stream was broken off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Part = Any
"""An array or an Arrow table of one row a specimen."""


@dataclass
class Sample:
    """The ``most`` specimens with the least priority: a number drawn for each by the seed, its block and its row alone.

    So what a block adds can be kept with the block and offered again. Parts of the sample stand in the order of the stream.
    """

    most: int
    seed: int
    _priority: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    _parts: tuple[Part, ...] = ()

    def entering(self, block: int, rows: int) -> Int64:
        """The rows, ascending, of a block of so many that are in the sample of all blocks up to this one."""
        if not self.most:
            return np.empty(0, np.int64)
        drawn = self._drawn(block, rows)
        merged = np.concatenate([self._priority, drawn])
        if len(merged) <= self.most:
            return np.arange(rows)
        return np.flatnonzero(drawn <= np.partition(merged, self.most - 1)[self.most - 1])

    def offer(self, block: int, rows: int, entering: Int64, *parts: Part) -> None:
        """Take what :meth:`entering` said of a block of ``rows``; parts: of those rows alone, of the same kinds each time."""
        if not len(entering):
            return
        priority = np.concatenate([self._priority, self._drawn(block, rows)[entering]])
        joined = parts if not self._parts else tuple(_joined(old, new) for old, new in zip(self._parts, parts, strict=True))
        if len(priority) > self.most:
            kept = np.sort(np.argsort(priority, kind="stable")[: self.most])
            priority = priority[kept]
            joined = tuple(part.take(pa.array(kept)) if isinstance(part, pa.Table) else part[kept] for part in joined)
        self._priority, self._parts = priority, joined

    def __len__(self) -> int:
        return len(self._priority)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Of the specimens in the sample; none where nothing was offered."""
        return self._parts

    def _drawn(self, block: int, rows: int) -> NDArray[np.float64]:
        return np.random.default_rng([self.seed, block]).random(rows)


def _joined(old: Part, new: Part) -> Part:
    if isinstance(old, pa.Table):
        return pa.concat_tables([old, new]).combine_chunks()
    return np.concatenate([old, np.asarray(new)])
