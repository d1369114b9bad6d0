"""The arrays of a large JSON object, one element at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError

CHUNK = 1 << 20
BLANK = " \t\r\n"


class _Text:
    """A window on the file that grows when a value does not end in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open(encoding="utf-8-sig")
        self._decoder = json.JSONDecoder()
        self._held, self._at, self._ended = "", 0, False

    def _grow(self) -> bool:
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
                value, end = self._decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._grow():
                    raise BiocosmosError(f"{self._path} is damaged JSON: {error.msg}") from error
                continue
            if end == len(self._held) and not self._ended and self._grow():  # a number may go on
                continue
            self._at = end if end <= len(self._held) else len(self._held)
            return value

    def close(self) -> None:
        self._file.close()


def elements(path: Path, wanted: set[str]) -> Iterator[tuple[str, Any]]:
    """(key, element) for every element of the arrays under ``wanted`` keys of the object in a file, in file order.

    Raises BiocosmosError for a file that is not JSON, or not an object.
    """
    text = _Text(path)
    try:
        text.take("{")
        while text.peek() != "}":
            key = text.value()
            text.take(":")
            if text.peek() == "[":
                text.take("[")
                while text.peek() != "]":
                    element = text.value()
                    if key in wanted:
                        yield key, element
                    if text.peek() != "]":
                        text.take(",")
                text.take("]")
            else:
                text.value()
            if text.peek() != "}":
                text.take(",")
    except UnicodeDecodeError as error:
        raise BiocosmosError(f"{path} is not UTF-8: {error.reason}") from error
    finally:
        text.close()
