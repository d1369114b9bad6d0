"""The neighbour graph: the k nearest others of every row, exactly, streamed, and gone on with where it was killed.

Up to :data:`FEW` rows each pair is multiplied once for both of its rows (:mod:`biocosmos.search.all_pairs`); above that the exact
index, whose compiled scan and bounds leave most pairs out, is faster: see docs/benchmarks.md, "Neighbour graph".
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.progress import progress
from biocosmos.search.all_pairs import all_pairs
from biocosmos.search.exact import ExactIndex
from biocosmos.tables import replacing

Array = npt.NDArray[Any]
FEW = 16_384
BLOCK = 8192
"""Rows asked at once, and kept at once in a folder: 1 MB of 15 neighbours."""
FACTS = "graph.json"


@dataclass(frozen=True)
class Neighbours:
    """rows: (q, k) int32 rows of the vectors searched, best first, -1 where there is none; scores: (q, k) float32 cosine, -inf
    there."""

    rows: Array
    scores: Array


def neighbour_graph(
    vectors: Array, k: int, *, others: Array | None = None, folder: str | Path | None = None, device: str | None = None
) -> Neighbours:
    """The ``k`` nearest rows by cosine of every row of ``vectors`` (n, d), float32 unit rows; equal scores in row order.

    Args:
        others: (m, d) unit rows to find them among; by default the other rows of ``vectors``, never the row itself.
        folder: where finished blocks are kept. Killed and called again with the same arguments it goes on, and ends with the same
            graph; with other ones it begins anew.
        device: where the search runs, by default the CPU.

    Raises BiocosmosError for k below 1, vectors of another dimension, rows that are zero or not finite.
    """
    if k < 1:
        raise BiocosmosError(f"a graph of {k} neighbours has no edge: choose at least 1")
    if others is not None and others.shape[1] != vectors.shape[1]:
        raise BiocosmosError(
            f"vectors of {vectors.shape[1]} and of {others.shape[1]} numbers have no cosine: compare rows of one encoder"
        )
    n = len(vectors)
    found = Neighbours(np.full((n, k), -1, dtype=np.int32), np.full((n, k), -np.inf, dtype=np.float32))
    among = len(vectors if others is None else others)
    if not n or among < (2 if others is None else 1):
        return found
    if others is None and n <= FEW and device in (None, "cpu"):
        rows, scores, unsure = all_pairs(vectors, k)
        found.rows[:], found.scores[:] = rows, scores
        if len(unsure):
            _search(ExactIndex(vectors), vectors, unsure, k, found, without_self=True)
        return found
    blocks = _Blocks(Path(folder), vectors, others, k) if folder is not None else None
    index = ExactIndex(vectors if others is None else others, device=device)
    with progress("neighbours", total=n, unit="specimens") as bar:
        for start in range(0, n, BLOCK):
            part = np.arange(start, min(start + BLOCK, n))
            if blocks is None or not blocks.read(start, part, found):
                _search(index, vectors, part, k, found, without_self=others is None)
                if blocks is not None:
                    blocks.write(start, part, found)
            bar.advance(len(part))
    return found


def _search(index: ExactIndex, x: Array, part: Array, k: int, found: Neighbours, *, without_self: bool) -> None:
    """The neighbours of the rows ``part`` of x, into ``found``."""
    hits = index.search(x[part], k + without_self)
    rows, scores = hits.rows, hits.scores
    if without_self:
        own = rows == part[:, None]
        own[~own.any(axis=1), -1] = True  # it stands behind so many copies of itself that it was not found
        rows, scores = rows[~own].reshape(len(part), k), scores[~own].reshape(len(part), k)
    found.rows[part], found.scores[part] = rows, scores


class _Blocks:
    """Finished blocks of a graph in a folder, a file each, whole or not there."""

    def __init__(self, folder: Path, x: Array, others: Array | None, k: int) -> None:
        self.folder = folder
        digest = hashlib.sha256(np.ascontiguousarray(x).data)
        if others is not None:
            digest.update(np.ascontiguousarray(others).data)
        facts = {"rows": len(x), "among": None if others is None else len(others), "k": k, "vectors": digest.hexdigest()}
        try:
            same = json.loads((folder / FACTS).read_text(encoding="utf-8")) == facts
        except (OSError, ValueError):
            same = False
        if not same:
            for left in folder.glob("*.npz"):
                left.unlink()
            with replacing(folder / FACTS) as temporary:
                temporary.write_text(json.dumps(facts), encoding="utf-8")

    def read(self, start: int, part: Array, found: Neighbours) -> bool:
        """Whether the block is there; then its rows are in ``found``."""
        try:
            with np.load(self._path(start)) as block:
                found.rows[part], found.scores[part] = block["rows"], block["scores"]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, EOFError):  # damaged: made again
            return False
        return True

    def write(self, start: int, part: Array, found: Neighbours) -> None:
        with replacing(self._path(start)) as temporary, temporary.open("wb") as out:
            np.savez(out, rows=found.rows[part], scores=found.scores[part])

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:012d}.npz"
