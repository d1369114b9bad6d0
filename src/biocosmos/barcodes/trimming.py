"""Primers cut off the ends of barcodes, on either strand and with some mismatches."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.primers import BITS, Primer

Masks = npt.NDArray[np.uint8]

_COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNI", "TGCAAYRSWMKVHDBNN")
_OF_PRIMER, _OF_BARCODE = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
for _letter, _bits in BITS.items():
    _OF_PRIMER[ord(_letter)] = _bits
    _OF_BARCODE[ord(_letter)] = _bits if _letter in "ACGT" else 0  # an unknown base of a barcode proves no primer

WITHIN = 60
"""Bases at either end of a barcode in which a primer is looked for: adapters and tags of that length may stand outside it."""
LEAST_PART = 12
"""Bases of a primer that was itself cut: fewer would be found by chance."""


@lru_cache(maxsize=256)
def _masks(sequence: str) -> tuple[Masks, Masks]:
    """(a primer as it is, its reverse complement), one byte of bits a base."""
    turned = sequence.translate(_COMPLEMENT)[::-1]
    as_it_is, other = (_OF_PRIMER[np.frombuffer(text.encode(), np.uint8)] for text in (sequence, turned))
    return as_it_is, other


def without_primers(barcode: str, primers: Iterable[Primer], errors: float) -> str:
    """The barcode without the primers at its ends, on whichever strand, and without what stands outside them.

    barcode: upper case ACGTN. errors: share of a primer's bases that may differ; no gaps are thought of, as primers bind without.
    A primer that is itself cut short is found from :data:`LEAST_PART` bases on where it stands at the very end.
    """
    masks = [mask for primer in primers for mask in _masks(primer.sequence)]
    while barcode:
        bits = _OF_BARCODE[np.frombuffer(barcode.encode(), np.uint8)]
        start = max((_end_of(mask, bits[:WITHIN], errors) for mask in masks), default=0)
        stop = len(bits) - max((_end_of(mask[::-1], bits[::-1][:WITHIN], errors) for mask in masks), default=0)
        if stop - start == len(bits):
            break
        barcode = barcode[start:stop] if start < stop else ""  # and again: one primer may stand outside another
    return barcode


def _end_of(mask: Masks, bits: Masks, errors: float) -> int:
    """Where a primer ends in the first bases of a barcode: the place after it with the fewest mismatches, 0 for none."""
    size = len(mask)
    best, end = int(errors * size) + 1, 0
    if len(bits) >= size:
        windows = np.lib.stride_tricks.sliding_window_view(bits, size)
        wrong = ((windows & mask) == 0).sum(axis=1)
        at = int(wrong.argmin())
        if wrong[at] < best:
            return at + size
    for part in range(min(size - 1, len(bits)), LEAST_PART - 1, -1):
        if int(((bits[:part] & mask[size - part :]) == 0).sum()) <= int(errors * part):
            return part
    return end


__all__ = ["without_primers"]
