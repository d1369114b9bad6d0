"""Perceptual hashes of images, and which of many are nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.extras import load

Array = npt.NDArray[Any]
BITS, FINE_BITS = 64, 256
COARSE = 4
"""Bits of the coarse hash in which candidates may differ: few enough that they can be looked up, see :func:`near_hashes`."""
ASPECT = 0.1
"""Difference of the logarithms of width / height above which two pictures are not one: a hash squashes to a square."""
RECORD = np.dtype([("coarse", np.uint64), ("fine", np.uint64, (4,)), ("aspect", np.float32)])
_AT_ONCE = 1 << 22


def perceptual_hash(pixels: Array) -> Array:
    """A :data:`RECORD` of an image (h, w, 3) uint8: imagehash's ``phash`` of 64 and of 256 bits (the lowest frequencies of the
    grey picture, each against their median: Zauner 2010, Implementation and benchmarking of perceptual image hash functions) and
    the logarithm of width / height. Raises BiocosmosError where imagehash is not installed."""
    imagehash = load("imagehash", "a perceptual hash")
    from PIL import Image

    picture = Image.fromarray(pixels)
    found = np.zeros((), RECORD)
    found["coarse"], found["fine"] = _words(imagehash.phash(picture))[0], _words(imagehash.phash(picture, hash_size=16))
    found["aspect"] = np.log(pixels.shape[1] / pixels.shape[0])
    return found


def _words(found: Any) -> Array:
    return np.packbits(found.hash.ravel()).view(">u8").astype(np.uint64)


def near_hashes(records: Array, known: Array, bits: int) -> tuple[Array, Array, Array]:
    """((m,) rows, (m,) other rows, (m,) fine bits they differ in) of pictures that look the same.

    records: (n,) of :data:`RECORD`; known: (n,) bool, where there is one. Two are one when their coarse hashes differ in at most
    :data:`COARSE` bits, their fine ones in at most ``bits`` of 256, and they are as wide for their height.

    Of those with the same coarse hash the first stands for all that are one with it, then the first of the rest, and so on: each
    is linked to the one that stands for it, so that a thousand nearly white pictures are a thousand links. Between different
    coarse hashes those that stand are compared: two that differ in at most b bits agree in one of b + 1 parts whole (the
    pigeonhole principle), so that only those that share a part are (Norouzi, Punjani & Fleet 2012, Fast search in Hamming space
    with multi-index hashing).
    """
    one, other, apart, stand = _led(records, np.flatnonzero(known), bits)
    coarse = records["coarse"][stand]
    found = np.unique(np.concatenate([_near_in_part(coarse, part) for part in _parts(COARSE + 1)]))
    first, second = stand[found // max(len(stand), 1)], stand[found % max(len(stand), 1)]
    bits_apart, near = _same(records, first, second, bits)
    near &= records["coarse"][first] != records["coarse"][second]
    ones, others = np.concatenate([one, first[near]]), np.concatenate([other, second[near]])
    return ones, others, np.concatenate([apart, bits_apart[near]])


def _led(records: Array, rows: Array, bits: int) -> tuple[Array, Array, Array, Array]:
    """Links of rows with equal coarse hashes to those that stand for them: ((m,) who stands, (m,) the other, (m,) bits apart) and
    (s,) all that stand."""
    order = rows[np.argsort(records["coarse"][rows], kind="stable")]
    _, starts, counts = np.unique(records["coarse"][order], return_index=True, return_counts=True)
    ones, others, aparts = [rows[:0]], [rows[:0]], [np.empty(0, np.int64)]
    stand = [order[starts[counts == 1]]]  # nearly all of them
    for start, count in zip(starts[counts > 1], counts[counts > 1]):
        rest = order[start : start + count]
        while len(rest):
            leader, rest = rest[:1], rest[1:]
            apart, near = _same(records, np.repeat(leader, len(rest)), rest, bits)
            ones.append(np.repeat(leader, int(near.sum())))
            others.append(rest[near])
            aparts.append(apart[near])
            stand.append(leader)
            rest = rest[~near]
    return np.concatenate(ones), np.concatenate(others), np.concatenate(aparts), np.sort(np.concatenate(stand))


def _same(records: Array, one: Array, other: Array, bits: int) -> tuple[Array, Array]:
    """((m,) fine bits that pairs differ in, (m,) bool whether these are few and the shapes alike)."""
    apart = np.bitwise_count(records["fine"][one] ^ records["fine"][other]).sum(axis=1, dtype=np.int64)
    return apart, (apart <= bits) & (np.abs(records["aspect"][one] - records["aspect"][other]) <= ASPECT)


def _parts(count: int) -> list[tuple[int, int]]:
    """``count`` runs of bits (start, length) that cover all 64."""
    edges = [round(i * BITS / count) for i in range(count + 1)]
    return [(start, stop - start) for start, stop in pairwise(edges)]


def _near_in_part(hashes: Array, part: tuple[int, int]) -> Array:
    """(m,) int64 pairs of hashes that agree in a part and differ in at most :data:`COARSE` bits: place of the one * n + of the
    other, the lower first."""
    start, length = part
    key = (hashes >> np.uint64(start)) & np.uint64((1 << length) - 1)
    order = np.argsort(key, kind="stable")
    found = [np.empty(0, np.int64)]
    for one, other in _pairs_of_runs(key[order]):
        a, b = order[one], order[other]
        near = np.bitwise_count(hashes[a] ^ hashes[b]) <= COARSE
        found.append(np.minimum(a, b)[near] * len(hashes) + np.maximum(a, b)[near])
    return np.concatenate(found)


def _pairs_of_runs(keys: Array) -> Iterator[tuple[Array, Array]]:
    """All pairs of places within runs of equal ``keys``, a bounded number at a time: first those one apart, then two, ..."""
    ends = np.searchsorted(keys, keys, side="right")
    alive = np.arange(len(keys))
    step = 1
    waiting: list[tuple[Array, Array]] = []
    size = 0
    while len(alive):
        alive = alive[alive + step < ends[alive]]
        waiting.append((alive, alive + step))
        size += len(alive)
        if size >= _AT_ONCE:
            yield tuple(np.concatenate(side) for side in zip(*waiting))  # type: ignore[misc]
            waiting, size = [], 0
        step += 1
    if waiting:
        yield tuple(np.concatenate(side) for side in zip(*waiting))  # type: ignore[misc]
