"""The arrays of a large JSON object, one element at a time; and what a value of such a file may be taken for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, readable

CHUNK = 1 << 20
BLANK = " \t\r\n"
MOST_LETTERS = 256 << 20
"""Of one element: a larger one is no annotation."""
MOST_DIGITS = 4000  # Python itself refuses to read whole numbers of more


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) < MOST_DIGITS else digits


class _Text:
    """A window on the file that grows when a value does not end in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if not is_file(path):
                raise BiocosmosError(f"{path} is not a regular file")
            self._file = path.open(encoding="utf-8-sig")
        except OSError as error:
            raise BiocosmosError(f"cannot open {path}: {error.strerror}") from error
        self._decoder = json.JSONDecoder()
        self._lenient = json.JSONDecoder(parse_int=_whole_number)
        self._held, self._at, self._ended = "", 0, False

    def _grow(self) -> bool:
        if len(self._held) - self._at > MOST_LETTERS:
            raise BiocosmosError(f"{self._path}: one value has more than {MOST_LETTERS:,} letters: refused")
        more = self._file.read(max(CHUNK, len(self._held) - self._at))
        self._held, self._at = self._held[self._at :] + more, 0
        self._ended = not more
        return bool(more)

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in BLANK:
                self._at += 1
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._grow():
                return ""

    def take(self, expected: str) -> str:
        """Step over one of the characters ``expected``."""
        found = self.peek()
        if not found or found not in expected:
            raise BiocosmosError(
                f"{self._path} is not a JSON object of arrays: {found or 'its end'!r} where {expected!r} should be"
            )
        self._at += 1
        return found

    def value(self) -> Any:
        """Decode one value."""
        self.peek()
        while True:
            try:
                value, end = self._decode()
            except json.JSONDecodeError as error:
                if self._ended or not self._grow():
                    raise BiocosmosError(f"{self._path} is damaged JSON: {error.msg}") from error
                continue
            except RecursionError:
                raise BiocosmosError(f"{self._path} is nested too deep, brackets in brackets in brackets: refused") from None
            if end == len(self._held) and not self._ended and self._grow():  # a number may go on
                continue
            self._at = end if end <= len(self._held) else len(self._held)
            return value

    def _decode(self) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(self._held, self._at)
        except json.JSONDecodeError:
            raise
        except ValueError:  # thousands of digits: kept as text
            return self._lenient.raw_decode(self._held, self._at)

    def close(self) -> None:
        self._file.close()


def elements(path: Path, wanted: set[str]) -> Iterator[tuple[str, Any]]:
    """(key, element) for every element of the arrays under ``wanted`` keys of the object in a file, in file order.

    Raises BiocosmosError for a file that is not JSON, or not an object, or nested thousands deep.
    """
    for key, value in parts(path, wanted):
        if key in wanted:
            yield key, value


def parts(path: Path, arrays: set[str], *, listed: str | None = None) -> Iterator[tuple[str, Any]]:
    """As :func:`elements`, and (key, value) for every other key of the object too, arrays excepted.

    listed: the key under which the elements come of a file that is an array and no object.
    """
    text = _Text(path)
    try:
        if listed is not None and text.peek() == "[":
            for element in _array(text):
                yield listed, element
            return
        text.take("{")
        while text.peek() != "}":
            key = text.value()
            text.take(":")
            if text.peek() == "[" and key in arrays:
                for element in _array(text):
                    yield key, element
            elif text.peek() == "[":
                for _ in _array(text):  # one at a time: nobody asked for them
                    pass
            else:
                value = text.value()
                if key not in arrays:
                    yield key, value
            if text.peek() != "}":
                text.take(",")
    except UnicodeDecodeError as error:
        raise BiocosmosError(f"{path} is not UTF-8: {error.reason}") from error
    except OSError as error:
        raise BiocosmosError(f"cannot read {path}: {error.strerror}") from error
    finally:
        text.close()


def _array(text: _Text) -> Iterator[Any]:
    text.take("[")
    while text.peek() != "]":
        yield text.value()
        if text.peek() != "]":
            text.take(",")
    text.take("]")


def as_number(value: Any) -> float | None:
    """A number, or text that is one; None for all else. It may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")
    except ValueError:
        return None


def as_key(value: Any) -> str | None:
    """What an id is joined by: 7, 7.0 and "7" are the same; None for what can be no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value != value:
        return None
    return as_text(value)


def as_text(value: Any) -> str | None:
    """Text that can be stored: text as it is, anything else as JSON; what is no Unicode is written out; None for null, ""."""
    if value is None:
        return None
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (RecursionError, ValueError):  # thousands of digits or of brackets
            value = "a value too large to be shown"
    return readable(value) or None
