"""Dates of specimens as whole days, fit for comparing a million of them."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.places.days import ends_of
from biocosmos.serve.catalogue.view import span_of_day
from biocosmos.specimens.dates import read_date

NONE = np.iinfo(np.int32).min
"""The day of a specimen without one."""
_EPOCH = date(1970, 1, 1).toordinal()
_ISO_DAY = r"^\d{4}-\d{2}-\d{2}([T ][0-9:.,]+(Z|[+-]\d{2}:?\d{2})?)?$"
FEW = 8192
Int32 = npt.NDArray[np.int32]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def day_text(number: int) -> str:
    """The ISO day of :func:`day_number`."""
    return date.fromordinal(int(number) + _EPOCH).isoformat()


def span_of(text: str) -> tuple[int, int]:
    """First and last day (:func:`day_number`) of what is certain of a date: a day with or without a time, a month, a year, a
    span of these, or what :func:`biocosmos.specimens.dates.read_date` understands; NONE twice otherwise.

    >>> [day_text(day) for day in span_of("2019-05/2019-06-02")]
    ['2019-05-01', '2019-06-02']
    """
    text = text.strip()
    first, last = (span_of_day(re.split("[T ]", part, maxsplit=1)[0]) for part in ends_of(text))
    if first is not None and last is not None and first[0] <= last[1]:
        return day_number(first[0]), day_number(last[1])
    day = read_date(text).day
    return (NONE, NONE) if day is None else (day_number(day), day_number(day))


def spans_of(texts: Any, known: dict[str, tuple[int, int]]) -> tuple[Int32, Int32]:
    """:func:`span_of` of an Arrow array of dates: two (n,) int32. ``known`` is filled with what was understood already, so that
    each distinct day is read once; times of day are cut off by the column."""
    encoded = texts.dictionary_encode()
    if len(encoded.dictionary) > FEW:  # times of day tell them apart
        plain = pc.match_substring_regex(texts, _ISO_DAY)
        encoded = pc.if_else(plain, pc.utf8_slice_codeunits(texts, 0, 10), texts).dictionary_encode()
    spans = np.full((len(encoded.dictionary) + 1, 2), NONE, np.int32)
    for i, text in enumerate(encoded.dictionary.to_pylist()):
        if text not in known:
            known[text] = span_of(text)
        spans[i] = known[text]
    codes = pc.fill_null(pc.cast(encoded.indices, pa.int32()), -1).to_numpy(zero_copy_only=False)
    return spans[codes, 0], spans[codes, 1]
