"""Types of text columns: a column is numbers only when every value of the whole file is one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice

import pyarrow as pa

# "007" and "12e4" are codes, not numbers; an exponent counts only beside a point or with a sign, as software writes it.
INTEGER = re.compile(r"\s*-?(?:0|[1-9][0-9]{0,18})\s*")
NUMBER = re.compile(r"\s*-?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:(?<=[.0-9])[eE][+-]?[0-9]{1,3})?\s*")
CODE = re.compile(r"\s*-?[0-9]+[eE][0-9]+\s*")
DIGITS = re.compile(r"\s*-?[0-9]+\s*")
EXACT_DIGITS = 15  # a float keeps so many; a longer number is a code unless all of its column are integers
ROWS_AT_ONCE = 1024
MISSING = {"", "na", "nan"}


def is_missing(text: str) -> bool:
    """Whether a cell of a numeric column stands for no value."""
    return text.strip().lower() in MISSING


def is_integer(text: str) -> bool:
    """Whether a cell is an integer that 64 bits hold, written without leading zeros."""
    return INTEGER.fullmatch(text) is not None and (len(text) <= 18 or -(2**63) <= int(text) < 2**63)


class TypeFinder:
    """Looks at every row once and says the Arrow type of each column: int64, float64 or string."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._integer = [True] * len(names)
        self._long = [False] * len(names)
        self._seen = [False] * len(names)
        self._open = list(range(len(names)))

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Take in some rows, each with as many cells as there are names."""
        columns = list(zip(*rows))
        for i in list(self._open) if columns else []:
            for text in columns[i]:
                if is_missing(text):
                    continue
                self._seen[i] = True
                if len(text) > EXACT_DIGITS and DIGITS.fullmatch(text):
                    self._long[i] = True
                if self._integer[i] and is_integer(text):
                    continue
                self._integer[i] = False
                if self._long[i] or not any(ch.isdigit() for ch in text) or not NUMBER.fullmatch(text) or CODE.fullmatch(text):
                    self._open.remove(i)
                    break

    def add_all(self, rows: Iterable[Sequence[str]]) -> None:
        """Take in any number of rows, a thousand at a time."""
        rows = iter(rows)
        while held := list(islice(rows, ROWS_AT_ONCE)):
            self.add(held)

    def types(self) -> dict[str, pa.DataType]:
        """Arrow type by name; a column without a single value is a string."""
        numeric = {i for i in self._open if self._seen[i] and (self._integer[i] or not self._long[i])}
        return {
            name: (pa.int64() if self._integer[i] else pa.float64()) if i in numeric else pa.string()
            for i, name in enumerate(self._names)
        }


def typed(values: Sequence[str], kind: pa.DataType) -> list[object]:
    """Cells as Python values of the column's type; blank is None."""
    if pa.types.is_int64(kind):
        return [None if is_missing(text) else int(text) for text in values]
    if pa.types.is_float64(kind):
        return [None if is_missing(text) else float(text) for text in values]
    return [text if text.strip() else None for text in values]
