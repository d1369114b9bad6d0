"""Text to rows: the one place where lines end and quotes open, for every table whatever its format.

A quote that never ends its field swallows the rows after it in most readers. Here a field may span lines only where it ends well
and does not hold what look like whole rows; otherwise the quote is a letter (tab-separated tables, which mostly know no quotes)
or the lines are named in an error.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from biocosmos.errors import BiocosmosError, Failures

CHUNK = 1 << 20
FIELD_LIMIT = 16 << 20  # characters of one field or line; an unclosed quote must not swallow a file of any size
DROPPED_LIMIT = 16 * FIELD_LIMIT  # characters of one line that are read only to be dropped
NEW_LINES = ("\n", "\r\n", "\r")
MARK = "\ufeff"  # a byte-order mark; in the middle of a text where files were put together
NARROW = 3  # a table of no more columns has rows that prose may look like


class Record(NamedTuple):
    """One row: the line it begins in, from 1, and its fields, or the reason why they cannot be told."""

    line: int
    fields: list[str]
    problem: str | None = None


class _NeverClosed(Exception):
    pass


class Splitter:
    """The rows of an open text stream (``newline=""``), once.

    separator: may have several characters where there is no quote. quote: "" for none. line_end: as declared; any of the three
    usual ones is taken, and one that is not the declared one is told. ``width``: how many fields a row has, set once known.
    Blank lines are records without fields.
    """

    def __init__(self, stream: IO[str], separator: str, quote: str = '"', line_end: str | None = None) -> None:
        self._stream, self.separator, self.quote, self.line_end = stream, separator, quote, line_end
        self.width: int | None = None
        self._ahead: deque[tuple[int, str | None]] = deque()
        self._letters = self._first_letter = self._breaks = self._marks = self._first_mark = 0
        self._other_end: str | None = None
        self._line = 0
        self._stray = "\r"  # what may end lines, but does not end those of the first rows
        self._physical = self._lines()
        if quote:
            csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT + 1))
            self._feed = _Feed(self)
            self._reader = csv.reader(self._feed, delimiter=separator, quotechar=quote, strict=True)

    @property
    def line_num(self) -> int:
        """The line read last."""
        return self._line

    def __iter__(self) -> Iterator[Record]:
        separator, quote = self.separator, self.quote
        while (line := self._next()) is not None:
            number, text = line
            if text is None:
                yield Record(number, [], f"line {number} has more than {FIELD_LIMIT:,} characters: is a quote left open?")
                continue
            if quote and quote in text:
                yield from self._quoted(number, text)
                continue
            if text.endswith("\r"):
                text = text[:-1]
            if not text:
                yield Record(number, [])
            else:
                fields = text.split(separator)
                if self.width is not None and len(fields) != self.width and self._stray in text:
                    yield from self._broken(number, text, fields)
                else:
                    yield Record(number, fields)

    def tell(self, failures: Failures, source: str | Path) -> None:
        """Add a warning for each thing that was read otherwise than declared, with its number; then forget them."""
        if self._letters:
            lines = "a quote in line" if self._letters == 1 else f"quotes in {self._letters} lines, first in line"
            reason = f"{lines} {self._first_letter} that enclose no field: taken as letters"
            failures.add(reason, stage="read", source=source, severity="warning")
        if self._other_end is not None:
            names = {"\n": "\\n", "\r": "\\r", "\r\n": "\\r\\n"}
            declared = names.get(str(self.line_end), repr(self.line_end))
            reason = f"lines end with {names[self._other_end]}, not with {declared} as declared: read as they are"
            failures.add(reason, stage="read", source=source, severity="warning")
        if self._breaks:
            other = repr(self._stray).strip("'")
            lines = "1 line ends" if self._breaks == 1 else f"{self._breaks} lines end"
            reason = f"{lines} with {other} where the others do not: read as lines"
            failures.add(reason, stage="read", source=source, severity="warning")
        if self._marks:
            lines = "1 line begins" if self._marks == 1 else f"{self._marks} lines begin"
            reason = f"{lines} or has cells that begin with a byte-order mark (first line {self._first_mark}): left out"
            failures.add(reason, stage="read", source=source, severity="warning")
        self._letters = self._breaks = self._marks = 0
        self._other_end = None

    # Lines.

    def _next(self) -> tuple[int, str | None] | None:
        line = self._ahead.popleft() if self._ahead else next(self._physical, None)
        if line is not None:
            self._line = line[0]
        return line

    def _lines(self) -> Iterator[tuple[int, str | None]]:
        """(line from 1, its text without the end, or with half of a double one); the text is None over FIELD_LIMIT."""
        rest, number, end, dropped = "", 0, None, 0
        while chunk := self._stream.read(CHUNK):
            rest = chunk if not rest else rest + chunk
            if end is None:
                end = self._end_of(rest)
                self._stray = "\n" if end == "\r" else "\r"
            *lines, rest = rest.split(end)
            for line in lines:
                number += 1
                if dropped or len(line) > FIELD_LIMIT:
                    dropped = 0
                    yield number, None
                else:
                    yield number, line if MARK not in line else self._without_marks(number, line)
            if len(rest) > FIELD_LIMIT:
                dropped += len(rest)
                rest = ""
                if dropped > DROPPED_LIMIT:
                    raise BiocosmosError(f"line {number + 1} has more than {DROPPED_LIMIT:,} characters: this is no table")
        if dropped:
            yield number + 1, None
        elif rest:
            yield number + 1, rest if MARK not in rest else self._without_marks(number + 1, rest)

    def _without_marks(self, number: int, line: str) -> str:
        """The line without byte-order marks at the start of its cells; that of the whole text goes without saying."""
        bare = line.lstrip(MARK)
        clean = bare.replace(self.separator + MARK, self.separator)
        if clean != line and (number > 1 or clean != bare):
            self._marks += 1
            self._first_mark = self._first_mark or number
        return clean

    def _end_of(self, sample: str) -> str:
        """The line end of a text by its first characters: as declared where that occurs, else what does."""
        feeds, pairs = sample.count("\n"), sample.count("\r\n")
        returns = sample.count("\r") - pairs
        found = "\r" if returns > feeds else "\n"
        if self.line_end is None:
            return found
        if self.line_end not in NEW_LINES:  # such as "|" before the new line
            if self.line_end in sample or not feeds + returns:
                return self.line_end
        elif (self.line_end == "\r") == (found == "\r") and (self.line_end != "\r\n" or pairs or not feeds):
            return found
        elif not feeds + returns:
            return self.line_end
        self._other_end = "\r\n" if found == "\n" and pairs else found
        return found

    def _broken(self, number: int, text: str, fields: list[str]) -> Iterator[Record]:
        """A line of the wrong width: rows with another line end than the rest, if all of them are whole; else as it is."""
        pieces = [piece for piece in text.split(self._stray) if piece]
        rows = [piece.split(self.separator) for piece in pieces]
        if len(rows) > 1 and all(len(row) == self.width for row in rows):
            self._breaks += len(rows) - 1
            yield from (Record(number, row) for row in rows)
        else:
            yield Record(number, fields)

    # Quotes.

    def _quoted(self, number: int, raw: str) -> Iterator[Record]:
        text = raw.removesuffix("\r")
        try:
            fields, taken = self._parse(raw)
        except _NeverClosed:
            yield from self._not_closed(number, text, self._feed.taken)
        except csv.Error:
            taken = self._feed.taken
            yield from [self._careless(number, text)] if len(taken) == 1 else self._not_closed(number, text, taken)
        else:
            if len(taken) > 1 and self._holds_rows([str(line).removesuffix("\r") for _, line in taken[1:]], text):
                yield from self._not_closed(number, text, taken, fields)
            elif len(taken) == 1 and self.width not in (None, len(fields)):
                yield self._careless(number, text)
            else:
                yield Record(number, fields)

    def _parse(self, text: str) -> tuple[list[str], list[tuple[int, str | None]]]:
        self._feed.begin(self._line, text)
        return next(self._reader), self._feed.taken

    def _not_closed(
        self, number: int, text: str, taken: list[tuple[int, str | None]], held: list[str] | None = None
    ) -> Iterator[Record]:
        """A quote that took in other lines than it should have. held: the fields, if the quote ends its field well."""
        last = taken[-1][0]
        if self.separator == "\t":
            self._ahead.extendleft(reversed(taken[1:]))
            yield self._literal(number, text)
        elif held is None:
            self._ahead.extendleft(reversed(taken[1:]))
            self._line = number
            reason = f"the quote opened in line {number} does not end its field: close it, or double it if it is a letter"
            yield Record(number, [], reason)
        else:
            reason = f"lines {number} to {last} are one quoted field that holds whole rows: double the quote in line {number}"
            yield from (Record(line, [], reason) for line, _ in taken)

    def _holds_rows(self, swallowed: list[str], first: str) -> bool:
        """Whether every line of a field over several lines is a row by itself."""
        width = self.width
        if width is None or width < 2:
            return False
        rows = [line.split(self.separator) for line in [first, *swallowed]]
        if self.separator == "\t":
            return len(rows[0]) == len(rows[-1]) == width
        if not all(len(row) == width and sum(map(self._is_open, row)) <= 1 for row in rows):
            return False
        if width > NARROW:
            return True
        words = [i for i, cell in enumerate(rows[0]) if cell and " " not in cell]  # where rows have no blanks
        return all(row[i] and " " not in row[i] for row in rows[1:] for i in words)

    def _is_open(self, cell: str) -> bool:
        """Whether a quote opens in a cell that does not enclose it."""
        quote = self.quote
        whole = len(cell) > 1 and cell.endswith(quote) and quote not in cell[1:-1].replace(quote + quote, "")
        return cell.startswith(quote) and not whole

    def _careless(self, number: int, text: str) -> Record:
        """A single line whose quotes do not enclose fields: the reading that gives as many fields as a row has, if any."""
        literal = text.split(self.separator)
        if len(literal) == self.width or (self.width is None and self.separator == "\t"):
            return self._literal(number, text)
        line = [text.replace("\r", " ").replace("\n", " ")]
        for after_blanks in (False, True):
            reader = csv.reader(line, delimiter=self.separator, quotechar=self.quote, skipinitialspace=after_blanks)
            fields = next(reader, [])
            if self.width is None or len(fields) == self.width:
                return Record(number, fields)
        return Record(number, literal)

    def _literal(self, number: int, text: str) -> Record:
        self._letters += 1
        self._first_letter = self._first_letter or number
        return Record(number, text.split(self.separator))


class _Feed:
    """Gives the csv reader one line, and the following ones only where a quoted field is still open."""

    def __init__(self, splitter: Splitter) -> None:
        self._splitter = splitter
        self.taken: list[tuple[int, str | None]] = []
        self._first: str | None = None
        self._size = 0

    def begin(self, number: int, text: str) -> None:
        self.taken, self._first, self._size = [(number, text)], text, len(text)

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self._first is not None:
            text, self._first = self._first, None
            return text + "\n"
        line = self._splitter._next()
        if line is None:
            raise _NeverClosed
        self.taken.append(line)
        if line[1] is None:
            raise _NeverClosed
        self._size += len(line[1])
        if self._size > FIELD_LIMIT:
            raise _NeverClosed
        return line[1] + "\n"
