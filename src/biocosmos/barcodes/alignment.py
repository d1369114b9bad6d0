"""Two barcodes laid over each other: identity over what they share, whatever their ends.

Barcodes of 145 to 749 bases overlap in part, so the ends that stick out are free on both sides. Edit distance alone cannot say
where the overlap is (none at all has distance 0), so it is found first: every word of eight bases that both have votes for a
diagonal, and the best one is followed from end to end. Only where words also agree on another diagonal near it is there a gap
to be placed: then the longest match on the diagonal is the anchor, and from there edlib (Sosic and Sikic 2017,
https://doi.org/10.1093/bioinformatics/btw753) aligns to the left and to the right until one of the two ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

WORD = 8
BAND = 40
"""A gap moves the rest by at most so many bases; further off, words agree by chance or by repeats."""
WORDS_OFF = 4
"""So many words on another diagonal of the band are a gap, not chance."""
_N = 4
_LETTERS = np.full(256, _N, np.uint8)
for _number, _letter in enumerate("ACGT"):
    _LETTERS[ord(_letter)] = _LETTERS[ord(_letter.lower())] = _number
_NAMES = np.frombuffer(b"ACGTN", np.uint8)
_EQUAL = [("N", letter) for letter in "ACGT"]

Numbers = npt.NDArray[np.int32]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Alignment:
    """One pair. matches, mismatches, gaps: columns of the overlap by kind, gap columns counted one by one; a column with N is
    none of them. query_span and target_span: (start, stop) of the overlap in each."""

    matches: int
    mismatches: int
    gaps: int
    query_span: tuple[int, int]
    target_span: tuple[int, int]

    @property
    def length(self) -> int:
        """Columns of the overlap, without those of N."""
        return self.matches + self.mismatches + self.gaps

    @property
    def identity(self) -> float:
        """Share of the columns that match, 0 without any."""
        return self.matches / self.length if self.length else 0.0


@dataclass(frozen=True, eq=False)
class Alignments:
    """Many pairs, an int32 array of each part of :class:`Alignment`."""

    matches: Numbers
    mismatches: Numbers
    gaps: Numbers
    query_start: Numbers
    query_stop: Numbers
    target_start: Numbers
    target_stop: Numbers

    @classmethod
    def empty(cls, count: int) -> Alignments:
        """For ``count`` pairs, nothing aligned yet."""
        return cls(*(np.zeros(count, np.int32) for _ in fields(cls)))

    def __len__(self) -> int:
        return len(self.matches)

    def __getitem__(self, i: int) -> Alignment:
        m, x, g, a, b, c, d = (int(getattr(self, part.name)[i]) for part in fields(self))
        return Alignment(m, x, g, (a, b), (c, d))

    def __iter__(self) -> Iterator[Alignment]:
        return (self[i] for i in range(len(self)))

    @property
    def length(self) -> Numbers:
        """(pairs,) columns of the overlap, without those of N."""
        return self.matches + self.mismatches + self.gaps

    @property
    def identity(self) -> npt.NDArray[np.float64]:
        """(pairs,) share of the columns that match, 0 without any."""
        return np.asarray(self.matches / np.maximum(self.length, 1))

    def put(self, i: int, found: Alignment) -> None:
        """Write one pair."""
        values = (found.matches, found.mismatches, found.gaps, *found.query_span, *found.target_span)
        for part, value in zip(fields(self), values):
            getattr(self, part.name)[i] = value


class Letters:
    """Barcodes as numbers, one after another, a byte a base.

    letters: (total,) uint8, A 0, C 1, G 2, T 3, others 4; starts: (n + 1,) int64.
    """

    def __init__(self, barcodes: Sequence[str]) -> None:
        lengths = np.fromiter(map(len, barcodes), np.int64, len(barcodes))
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self.letters = _LETTERS[np.frombuffer("".join(barcodes).encode("ascii", "replace"), np.uint8)]

    @cached_property
    def words(self) -> npt.NDArray[np.int32]:
        """(total,) the word that begins at each base, -1 where it holds another letter or ends behind the barcode."""
        total = len(self.letters)
        found = np.full(total, -1, np.int32)
        counted = total - WORD + 1
        if counted > 0:
            words, good = np.zeros(counted, np.int32), np.ones(counted, np.bool_)
            for i in range(WORD):
                words = (words << 2) | self.letters[i : i + counted]
                good &= self.letters[i : i + counted] < _N
            found[:counted] = np.where(good, words, -1)
            for i in range(1, WORD):  # not from one barcode into the next
                ends = self.starts[1:] - i
                found[ends[ends >= 0]] = -1
        return found

    def __len__(self) -> int:
        return len(self.starts) - 1

    def text(self, row: int) -> str:
        """A barcode in the letters A, C, G, T and N."""
        return _NAMES[self.letters[self.starts[row] : self.starts[row + 1]]].tobytes().decode("ascii")


def align(query: str, target: str) -> Alignment:
    """Lay two barcodes over each other; lower case counts as upper case, letters other than A, C, G, T as N."""
    return align_many([query], [target], np.zeros((1, 2), np.int64))[0]


def align_many(queries: Sequence[str] | Letters, targets: Sequence[str] | Letters, pairs: Any) -> Alignments:
    """Lay many pairs over each other; pairs: (p, 2) int64, numbers of a query and a target. Fastest where the pairs of a query
    stand together."""
    q = queries if isinstance(queries, Letters) else Letters(queries)
    t = targets if isinstance(targets, Letters) else Letters(targets)
    pairs = np.asarray(pairs, np.int64).reshape(-1, 2)
    out = Alignments.empty(len(pairs))
    place_of = np.full(4**WORD, -1, np.int32)
    cuts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1)) if len(pairs) else np.empty(0, np.int64)
    for first, last in zip(cuts.tolist(), [*cuts[1:].tolist(), len(pairs)]):
        _align_one(q, int(pairs[first, 0]), t, pairs[first:last, 1], place_of, out, first)
    return out


def _align_one(q: Letters, query: int, t: Letters, others: Array, place_of: Array, out: Alignments, first: int) -> None:
    """A query with some targets, into ``out`` from ``first`` on; place_of: all -1, and so again afterwards."""
    begin, end = q.starts[query], q.starts[query + 1]
    length = int(end - begin)
    starts, sizes = t.starts[others], np.diff(t.starts)[others]
    pair = np.repeat(np.arange(len(others)), sizes)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    at = within + np.repeat(starts, sizes)
    words = q.words[begin:end]
    known = words[words >= 0]
    place_of[known] = np.flatnonzero(words >= 0)
    theirs = t.words[at]
    place = place_of[theirs]
    place[theirs < 0] = -1
    place_of[known] = -1
    shared = place >= 0
    diagonals = length + int(sizes.max(initial=0)) + 1
    vote = within[shared] - place[shared] + length  # the target's base under the query's first, plus the length
    votes = np.bincount(pair[shared] * diagonals + vote, minlength=len(others) * diagonals).reshape(len(others), diagonals)
    best = votes.argmax(1)
    shift = best - length
    _follow(q.letters[begin:end], t.letters[at], pair, within, shift, sizes, out, first)
    near = best[:, None] + np.arange(-BAND, BAND + 1)
    around = np.take_along_axis(votes, np.clip(near, 0, diagonals - 1), 1)
    around[:, BAND] = 0
    for i in np.flatnonzero((around.max(1) >= WORDS_OFF) | (votes.max(1) == 0)).tolist():
        out.put(first + i, _gapped(q.text(query), t.text(int(others[i])), int(shift[i]), bool(votes[i].any())))


def _follow(
    query: Array, letters: Array, pair: Array, within: Array, shift: Array, sizes: Array, out: Alignments, first: int
) -> None:
    """Count along the diagonal ``shift`` of every pair; letters: of all the targets, ``within`` the place of each in its own."""
    place = within - shift[pair]
    inside = (place >= 0) & (place < len(query))
    pair, mine, other = pair[inside], query[place[inside]], letters[inside]
    known = (mine < _N) & (other < _N)
    n, at = len(sizes), slice(first, first + len(sizes))
    out.matches[at] = np.bincount(pair[known & (mine == other)], minlength=n)
    out.mismatches[at] = np.bincount(pair[known], minlength=n) - out.matches[at]
    out.query_start[at], out.target_start[at] = np.maximum(-shift, 0), np.maximum(shift, 0)
    out.query_stop[at] = np.minimum(len(query), sizes - shift)
    out.target_stop[at] = out.query_stop[at] + shift


def _gapped(query: str, target: str, shift: int, anchored: bool) -> Alignment:
    """Align from the longest match on the diagonal to both sides; without one, the shorter within the longer."""
    if not anchored or not query or not target:
        return _infix(query, target)
    start = max(0, -shift)
    stop = min(len(query), len(target) - shift)
    same = np.zeros(stop - start + 2, np.bool_)
    letters = (np.frombuffer(text.encode("ascii", "replace"), np.uint8) for text in (query[start:stop], target[start + shift :]))
    mine, other = letters
    same[1:-1] = mine == other[: stop - start]
    edges = np.flatnonzero(np.diff(same.astype(np.int8)))
    runs = edges.reshape(-1, 2)
    longest = int(np.argmax(runs[:, 1] - runs[:, 0]))
    middle = start + int(runs[longest].sum()) // 2
    left = _extend(query[:middle][::-1], target[: middle + shift][::-1])
    right = _extend(query[middle:], target[middle + shift :])
    matches, mismatches, gaps = (a + b for a, b in zip(left[:3], right[:3]))
    return Alignment(
        matches,
        mismatches,
        gaps,
        (middle - left[3], middle + right[3]),
        (middle + shift - left[4], middle + shift + right[4]),
    )


def _extend(query: str, target: str) -> tuple[int, int, int, int, int]:
    """(matches, mismatches, gaps, bases of the query, of the target) from the beginning of both until one of them ends."""
    import edlib

    if not query or not target:
        return 0, 0, 0, 0, 0
    swapped = len(query) > len(target)
    short, long = (target, query) if swapped else (query, target)
    found = edlib.align(short, long[: len(short) + BAND], mode="SHW", task="path", additionalEqualities=_EQUAL)
    matches, mismatches, gaps, i, j = _count(found["cigar"], short, long, 0)
    return (matches, mismatches, gaps, j, i) if swapped else (matches, mismatches, gaps, i, j)


def _infix(query: str, target: str) -> Alignment:
    import edlib

    if not query or not target:
        return Alignment(0, 0, 0, (0, 0), (0, 0))
    swapped = len(query) > len(target)
    short, long = (target, query) if swapped else (query, target)
    found = edlib.align(short, long, mode="HW", task="path", additionalEqualities=_EQUAL)
    start = found["locations"][0][0] or 0
    matches, mismatches, gaps, i, j = _count(found["cigar"], short, long, start)
    spans = ((0, i), (start, start + j))
    return Alignment(matches, mismatches, gaps, *(spans[::-1] if swapped else spans))


def _count(cigar: str, short: str, long: str, start: int) -> tuple[int, int, int, int, int]:
    """Columns of an extended cigar by kind, and the bases of either; what hangs over behind the end of ``long`` is no column."""
    steps = [(int(number), kind) for number, kind in _STEP.findall(cigar)]
    ended = start + sum(number for number, kind in steps if kind != "I") >= len(long)
    while steps and (steps[-1][1] == "D" or (steps[-1][1] == "I" and ended)):
        steps.pop()
    gone = {kind: sum(number for number, each in steps if each == kind) for kind in "=XID"}
    i, j, matches, mismatches = 0, start, gone["="], gone["X"]
    if "N" in short or "N" in long:  # which edlib took to equal everything
        for number, kind in steps:
            if kind in "=X":
                unknown = sum(a == "N" or b == "N" for a, b in zip(short[i : i + number], long[j : j + number]))
                matches -= unknown if kind == "=" else 0
            i, j = i + number * (kind != "D"), j + number * (kind != "I")
    aligned = gone["="] + gone["X"]
    return matches, mismatches, gone["I"] + gone["D"], aligned + gone["I"], aligned + gone["D"]


_STEP = re.compile(r"(\d+)([=XID])")
