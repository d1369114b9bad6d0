"""Dates in equal steps: as many days, months, years or decades as a bar has room for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_STEPS = 320
"""Bars that can be told apart on a screen."""
NONE = np.iinfo(np.int32).min
"""The day of a specimen without one."""
UNITS = (
    ("day", "D", 1),
    ("month", "M", 1),
    ("year", "Y", 1),
    ("decade", "Y", 10),
    ("century", "Y", 100),
    ("millennium", "Y", 1000),
)
"""Name, numpy's letter and how many of these a step has."""

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Timeline:
    """unit: of a step, "" where nothing is dated. firsts, lasts: of each step, as a view's dates want them. steps: (n,) int32 of
    the specimens, -1 where undated or where the date spans more than one step. every: (steps,) all specimens of each. undated,
    vague: specimens of either kind without a step."""

    unit: str
    firsts: list[str]
    lasts: list[str]
    steps: Int32
    every: npt.NDArray[np.int64]
    undated: int
    vague: int

    @classmethod
    def of(cls, first: Int32, last: Int32) -> Timeline:
        """From the first and last day (n,) int32 of each specimen, days since 1970-01-01, NONE where there is none."""
        dated = first != NONE
        undated = int((~dated).sum())
        if not dated.any():
            return cls("", [], [], np.full(len(first), -1, np.int32), np.zeros(0, np.int64), undated, 0)
        spans = (dated & (last - first < longest) for longest in (31, 366))  # a span of centuries must not make the steps coarse
        some = next((each for each in spans if each.any()), dated)
        low, high = int(first[some].min()), int(last[some].max())
        name, letter, each, start, end = *UNITS[-1], 0, 0
        for name, letter, each in UNITS:  # noqa: B007
            start, end = (int(_number(np.array([day]), letter, each)[0]) for day in (low, high))
            if end - start < MOST_STEPS:
                break
        begin, finish = _number(first, letter, each), _number(last, letter, each)
        fits = dated & (begin == finish) & (begin >= start) & (finish <= end)
        steps = np.where(fits, begin - start, -1).astype(np.int32)
        numbers = np.arange(start, end + 1)
        firsts, lasts = _texts(numbers * each, letter), _texts(numbers * each + each - 1, letter)
        every = np.bincount(steps[fits], minlength=len(numbers))
        return cls(name, firsts, lasts, steps, every, undated, int((dated & ~fits).sum()))

    def counts(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """(steps,) specimens of a mask (n,) in each step."""
        return np.bincount(self.steps[mask & (self.steps >= 0)], minlength=len(self.every))


def _number(days: npt.NDArray[np.int32], letter: str, each: int) -> npt.NDArray[np.int64]:
    """In which step since 1970 each day lies, of ``each`` days, months or years; years are counted from 0."""
    numbers = days.astype(np.int64).astype("datetime64[D]").astype(f"datetime64[{letter}]").astype(np.int64)
    return numbers if letter != "Y" else (numbers + 1970) // each


def _texts(numbers: npt.NDArray[np.int64], letter: str) -> list[str]:
    if letter == "Y":
        return [f"{min(max(number, 1), 9999):04d}" for number in numbers]
    return [str(text) for text in numbers.astype(f"datetime64[{letter}]")]
