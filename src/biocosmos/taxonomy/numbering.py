"""Number the nodes of a tree in depth-first order, all at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biocosmos.taxonomy.columns import NULL

ROOT = 0
UNKNOWN = -1  # "no such node" in every array of ids

Int32 = npt.NDArray[np.int32]


def number(paths: Int32) -> tuple[Int32, Int32]:
    """Number the nodes of distinct paths (rows, ranks) of sorted codes, -1 null, in depth-first order.

    Returns lineage (nodes, ranks) int32, the node at every rank or -1, with a row of -1 for the root, and code (nodes,)
    int32, each node's place in its rank's vocabulary (0 for the root). Sorted with nulls last, the rows that share a path
    up to a rank stand together, and the first of them with a name there starts a node: reading those starts row by row,
    coarse to fine, is the pre-order with children by (rank, name).
    """
    ranks = paths.shape[1]
    last = np.iinfo(np.int32).max
    paths = np.where(paths == NULL, np.int32(last), paths)
    paths = paths[np.lexsort(paths.T[::-1])] if ranks else paths[:0]  # without ranks the root is alone
    named = paths != last
    new = np.ones_like(named)
    if len(paths):
        new[1:] = np.logical_or.accumulate(paths[1:] != paths[:-1], axis=1)
    starts = new & named
    ids = np.cumsum(starts.ravel(), dtype=np.int32).reshape(paths.shape) * starts
    ids = np.where(named, np.maximum.accumulate(ids, axis=0), np.int32(UNKNOWN))
    row, rank = np.nonzero(starts)
    lineage = np.full((len(row) + 1, ranks), UNKNOWN, np.int32)
    lineage[1:] = np.where(np.arange(ranks) <= rank[:, None], ids[row], np.int32(UNKNOWN))
    code = np.zeros(len(row) + 1, np.int32)
    code[1:] = paths[row, rank]
    return lineage, code


def last_named(lineage: Int32) -> npt.NDArray[np.int8]:
    """Index of each node's own rank, -1 for the root: the last rank of its lineage that is not null."""
    ranks = lineage.shape[1]
    if not ranks:
        return np.full(len(lineage), UNKNOWN, np.int8)
    last = ranks - 1 - np.argmax(lineage[:, ::-1] >= 0, axis=1)
    last[ROOT] = -1
    return np.asarray(last, np.int8 if ranks <= np.iinfo(np.int8).max else np.int16)
