"""Hashes of many words at once, and of the same words with one letter left out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

UInt64 = npt.NDArray[np.uint64]

BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
INVERSE = pow(BASE, -1, 1 << 64)
AT_ONCE = 1 << 16


def hashes(words: Sequence[str]) -> UInt64:
    """(n,) uint64: the polynomial sum of a word's letters c_0 + c_1 B + c_2 B^2 ... modulo 2^64."""
    parts = [_terms(words[start : start + AT_ONCE]).sum(axis=1, dtype=np.uint64) for start in range(0, len(words), AT_ONCE)]
    return np.concatenate(parts) if parts else np.array([], np.uint64)


def hashes_without_one(words: Sequence[str]) -> tuple[UInt64, npt.NDArray[np.int32]]:
    """(hashes of the words and of each with one letter left out, the word each belongs to).

    Without letter i the later ones move one place down: the sum before i, and that behind it divided by B.
    """
    found, owners = [hashes(words)], [np.arange(len(words), dtype=np.int32)]
    for start in range(0, len(words), AT_ONCE):
        part = words[start : start + AT_ONCE]
        terms = _terms(part)
        until = np.cumsum(terms, axis=1, dtype=np.uint64)
        without = (until - terms) + (until[:, -1:] - until) * np.uint64(INVERSE)
        inside = np.arange(terms.shape[1]) < np.fromiter(map(len, part), np.int64, len(part))[:, None]
        row, _ = np.nonzero(inside)
        found.append(without[inside])
        owners.append((row + start).astype(np.int32))
    return np.concatenate(found), np.concatenate(owners)


def _terms(words: Sequence[str]) -> UInt64:
    """(n, letters of the longest) uint64: c_i B^i, 0 behind a word's end."""
    array = np.array(words, dtype=np.str_)
    width = max(array.dtype.itemsize // 4, 1)
    letters = np.ascontiguousarray(array).view(np.uint32).reshape(len(words), width).astype(np.uint64)
    return letters * _powers(width)


@lru_cache(maxsize=1024)
def _powers(count: int) -> UInt64:
    return np.array([pow(BASE, i, 1 << 64) for i in range(count)], np.uint64)
