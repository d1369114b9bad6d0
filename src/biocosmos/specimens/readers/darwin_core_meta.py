"""meta.xml of a Darwin Core Archive: which files there are, and how their text is to be read (TDWG text guide).

https://dwc.tdwg.org/text/ — declared encoding, separators, quotes, header lines and default values are all honoured.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote as percented
from urllib.parse import unquote
from xml.etree import ElementTree

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.archive import Archive, Member
from biocosmos.specimens.readers.encoding import has_surrogate, known_encoding
from biocosmos.specimens.readers.lines import Splitter
from biocosmos.specimens.readers.textfile import open_text

META = "meta.xml"
META_LIMIT = 1 << 20  # bytes; a real one has a few thousand
MOST_COLUMNS = 10_000  # GBIF knows some 250 terms
MOST_HEADER_LINES = 1_000
ESCAPES = {r"\t": "\t", r"\n": "\n", r"\r": "\r", r"\\": "\\"}
RANKS_TERM = "urn:biocosmos:ranks"
"""A constant of the core, written by us: which of its columns are ranks, coarse to fine."""


def join_ranks(ranks: Sequence[str]) -> str:
    """Names of rank columns as the one text that stands in meta.xml."""
    return "|".join(percented(rank, safe="") for rank in ranks)


@dataclass(frozen=True)
class Term:
    """One field: its name without the vocabulary's address, its column (None: constant) and its default."""

    name: str
    address: str
    index: int | None
    default: str | None


@dataclass(frozen=True)
class Table:
    """The core or an extension."""

    row_type: str
    files: tuple[str, ...]
    encoding: str
    separator: str
    line_end: str
    quote: str
    header_lines: int
    id_index: int | None
    terms: tuple[Term, ...]

    @property
    def ranks(self) -> tuple[str, ...] | None:
        """The columns that a writer of ours says are ranks; None where nothing is said."""
        stated = next((term.default for term in self.terms if term.address == RANKS_TERM), None)
        return None if stated is None else tuple(unquote(rank) for rank in stated.split("|"))

    def without_ranks(self) -> Table:
        """The table without what it says of ranks, which is no column of its rows."""
        return replace(self, terms=tuple(term for term in self.terms if term.address != RANKS_TERM))

    @cached_property
    def kind(self) -> str:
        """The row type without its vocabulary's address, in lower case: "occurrence", "multimedia"."""
        return self.shown_kind.lower()

    @property
    def shown_kind(self) -> str:
        """The row type without its vocabulary's address, as it is written."""
        return local_name(self.row_type.strip())

    def rows(self, archive: Archive, failures: Failures) -> Iterator[tuple[int, str | None, dict[str, str | None]]]:
        """(row number from 1, id or core id, value by term); rows that do not fit go to ``failures``."""
        number = 0
        for name in self.files:
            member = Member(archive, name)
            with open_text(member, self.encoding, failures) as stream:
                for fields in self._fit(stream, member, failures, number):
                    number += 1
                    if fields is not None:
                        id = None if self.id_index is None else fields[self.id_index].strip() or None
                        yield number, id, self._row(fields)

    def _row(self, fields: list[str]) -> dict[str, str | None]:
        row: dict[str, str | None] = {}
        for term in self.terms:
            text = "" if term.index is None else fields[term.index]
            row[term.name] = text if text.strip() else term.default
        return row

    def _fit(self, stream: io.TextIOWrapper, member: Member, failures: Failures, before: int) -> Iterator[list[str] | None]:
        """Fields of each row, or None for one that does not fit, which is recorded."""
        needed = 1 + max([term.index for term in self.terms if term.index is not None] + [self.id_index or 0])
        number, splitter = before, Splitter(stream, self.separator, self.quote, self.line_end)
        if not self.header_lines:
            splitter.width = needed
        for skipped, record in enumerate(splitter):
            fields, reason = record.fields, record.problem
            if skipped < self.header_lines:
                if skipped == 0 and reason is None:
                    splitter.width = max(len(fields), needed)
                continue
            if reason is None and not any(cell and not cell.isspace() for cell in fields):
                continue
            if skipped == 0 and reason is None and self._is_header(fields):
                told = f"line {record.line} names the columns though {META} declares no header line: left out"
                failures.add(told, stage="read", source=str(member), severity="warning")
                continue
            number += 1
            if reason is None:
                reason = self._misfit(fields, needed, splitter.width if self.header_lines else None, record.line)
            if reason is not None:
                failures.add(reason, stage="read", source=str(member), row=number)
            yield None if reason is not None else fields
        splitter.tell(failures, str(member))

    def _is_header(self, fields: list[str]) -> bool:
        """Whether a row has the names of the terms in their columns."""
        named = [term for term in self.terms if term.index is not None and term.index != self.id_index]
        cells = [fields[int(term.index or 0)].strip().lower() if int(term.index or 0) < len(fields) else "" for term in named]
        return bool(named) and all(local_name(cell) == term.name.lower() for cell, term in zip(cells, named))

    def _misfit(self, fields: list[str], needed: int, width: int | None, line: int) -> str | None:
        if width is not None and len(fields) > width and not any(cell.strip() for cell in fields[width:]):
            fields = fields[:width]
        if len(fields) < needed or (width is not None and len(fields) > width):
            return f"{len(fields)} fields where {width or needed} are declared (line {line})"
        text = "".join(fields)
        if has_surrogate(text):
            return f"not valid {self.encoding.removesuffix('-sig')}, the encoding that {META} declares (line {line})"
        return f"a NUL character, which no text has (line {line})" if "\0" in text else None


def local_name(address: str) -> str:
    """ "http://rs.tdwg.org/dwc/terms/genus" -> "genus"; percent signs of our own terms are undone."""
    return unquote(address.rstrip("/").rsplit("/", 1)[-1].rsplit("#", 1)[-1].rsplit(":", 1)[-1])


def parse_meta(archive: Archive) -> tuple[Table, tuple[Table, ...]]:
    """(core, extensions). Raises BiocosmosError when meta.xml is missing, damaged, or names files that are not there."""
    found = [name for name in archive.names if name.rsplit("/", 1)[-1].lower() == META]
    if len(found) > 1:
        named = " and ".join(repr(name) for name in found[:2])
        raise BiocosmosError(f"{archive.path} has {len(found)} Darwin Core Archives in it, such as {named}: read each by itself")
    where = found[0] if found else None
    if where is None:
        raise BiocosmosError(f"{archive.path} has no meta.xml: it is no Darwin Core Archive (a plain table can be read as csv)")
    with archive.open(where) as file:
        content = file.read(META_LIMIT + 1)
    if len(content) > META_LIMIT or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BiocosmosError(f"{archive.path}: meta.xml is too large or declares entities: refused")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter for encodings that expat does not know
        raise BiocosmosError(f"{archive.path}: meta.xml is not XML: {error}") from error
    folder = where[: -len(META)]
    tables: dict[str, list[Table]] = {"core": [], "extension": []}
    for element in root:
        kind = element.tag.rsplit("}", 1)[-1]
        if kind in tables:
            tables[kind].append(_table(element, archive, folder))
    if len(tables["core"]) != 1:
        raise BiocosmosError(f"{archive.path}: meta.xml must have one core, not {len(tables['core'])}")
    return tables["core"][0], tuple(tables["extension"])


def _table(element: ElementTree.Element, archive: Archive, folder: str) -> Table:
    def text(name: str, default: str) -> str:
        value = element.get(name, default)
        for escape, character in ESCAPES.items():
            value = value.replace(escape, character)
        return value

    def whole(element: ElementTree.Element, name: str, most: int) -> int | None:
        value = (element.get(name) or "").strip()
        if not value:
            return None
        number = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else -1
        if not 0 <= number <= most:
            raise BiocosmosError(
                f"{archive.path}: meta.xml gives {name}={value[:40]!r} in <{element.tag.rsplit('}', 1)[-1]}>, "
                f"where a whole number from 0 to {most:,} belongs: mend it there"
            )
        return number

    files, terms, id_index, used = [], [], None, set()
    for child in element:
        tag = child.tag.rsplit("}", 1)[-1]
        if tag == "files":
            files = [(location.text or "").strip() for location in child]
        elif tag in ("id", "coreid"):
            id_index = whole(child, "index", MOST_COLUMNS) or 0
        elif tag == "field" and child.get("term"):
            address = str(child.get("term"))
            name = local_name(address)
            if name in used:  # dc:type beside dcterms:type
                name = f"{local_name(address.rstrip('/').rsplit('/', 1)[0])}:{name}"
            used.add(name)
            terms.append(Term(name, address, whole(child, "index", MOST_COLUMNS), child.get("default")))
    found = [archive.find(name, folder.rstrip("/"))[0] for name in files]
    if None in found or not found:
        missing = files[found.index(None)] if found else "(none)"
        raise BiocosmosError(f"{archive.path}: meta.xml names the file {missing[:200]!r}, which is not in the archive")
    try:
        encoding = known_encoding((element.get("encoding") or "UTF-8").strip())
    except BiocosmosError as error:
        reason = str(error).split(":")[0]
        raise BiocosmosError(f"{archive.path}: the encoding that meta.xml declares: {reason}") from error
    separator, quote = text("fieldsTerminatedBy", ","), text("fieldsEnclosedBy", '"')
    if not separator or (quote and len(separator) > 1) or len(quote) > 1 or set(separator + quote) & set("\r\n"):
        raise BiocosmosError(
            f"{archive.path}: meta.xml declares the separator {separator[:40]!r} and quote {quote[:40]!r}: not supported"
        )
    return Table(
        row_type=element.get("rowType", ""),
        files=tuple(name for name in found if name is not None),
        encoding=encoding,
        separator=separator,
        line_end=text("linesTerminatedBy", "\n") or "\n",
        quote=quote,
        header_lines=whole(element, "ignoreHeaderLines", MOST_HEADER_LINES) or 0,
        id_index=id_index,
        terms=tuple(terms),
    )
