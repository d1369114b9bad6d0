"""meta.xml of a Darwin Core Archive: which files there are, and how their text is to be read (TDWG text guide).

https://dwc.tdwg.org/text/ — declared encoding, separators, quotes, header lines and default values are all honoured.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote as percented
from urllib.parse import unquote
from xml.etree import ElementTree

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.archive import Archive, Member
from biocosmos.specimens.readers.textfile import CHUNK, FIELD_LIMIT, has_surrogate, open_text

META = "meta.xml"
META_LIMIT = 1 << 20  # bytes; a real one has a few thousand
NEW_LINES = ("\n", "\r\n", "\r")
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
        """The row type without its vocabulary's address: "Occurrence", "Multimedia"."""
        return local_name(self.row_type)

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
        width, number = None, before
        records = self._records(stream)
        for line in range(self.header_lines):
            header = next(records, None)
            if line == 0 and isinstance(header, list):
                width = len(header)
        for fields in records:
            if isinstance(fields, list) and (not fields or (len(fields) == 1 and not fields[0].strip())):
                continue
            number += 1
            reason = None
            if isinstance(fields, str):
                reason = fields
            elif len(fields) < needed or (width is not None and len(fields) > width):
                reason = f"{len(fields)} fields where {width or needed} are declared"
            elif has_surrogate("".join(fields)):
                reason = f"not valid {self.encoding}, the encoding that {META} declares"
            if reason is not None:
                failures.add(reason, stage="read", source=str(member), row=number)
            yield None if reason is not None or isinstance(fields, str) else fields

    def _records(self, stream: io.TextIOWrapper) -> Iterator[list[str] | str]:
        """Fields of each record as declared, or the reason why one cannot be told."""
        if not self.quote:
            for text in _lines(stream, self.line_end):
                yield text.split(self.separator)
            return
        csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT))
        lines = iter(stream) if self.line_end in NEW_LINES else _quoted_lines(stream, self.line_end, self.quote)
        reader = csv.reader(lines, delimiter=self.separator, quotechar=self.quote, doublequote=True)
        while True:
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"cannot be read: {error}"


def _lines(stream: io.TextIOWrapper, end: str) -> Iterator[str]:
    rest = ""
    while chunk := stream.read(CHUNK):
        *lines, rest = (rest + chunk).split(end)
        # A declared "\n" often meets files with "\r\n".
        yield from (line.removesuffix("\r") for line in lines) if end == "\n" else lines
    if rest:
        yield rest.removesuffix("\r") if end == "\n" else rest


def _quoted_lines(stream: io.TextIOWrapper, end: str, quote: str) -> Iterator[str]:
    held = ""
    for piece in _lines(stream, end):
        held = held + end + piece if held else piece
        if held.count(quote) % 2 == 0:
            yield held
            held = ""
    if held:
        yield held


def local_name(address: str) -> str:
    """ "http://rs.tdwg.org/dwc/terms/genus" -> "genus"; percent signs of our own terms are undone."""
    return unquote(address.rstrip("/").rsplit("/", 1)[-1].rsplit("#", 1)[-1].rsplit(":", 1)[-1])


def parse_meta(archive: Archive) -> tuple[Table, tuple[Table, ...]]:
    """(core, extensions). Raises BiocosmosError when meta.xml is missing, damaged, or names files that are not there."""
    where = next((name for name in archive.names if name == META or name.endswith("/" + META)), None)
    if where is None:
        raise BiocosmosError(f"{archive.path} has no meta.xml: it is no Darwin Core Archive (a plain table can be read as csv)")
    with archive.open(where) as file:
        content = file.read(META_LIMIT + 1)
    if len(content) > META_LIMIT or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BiocosmosError(f"{archive.path}: meta.xml is too large or declares entities: refused")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
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

    files, terms, id_index, used = [], [], None, set()
    for child in element:
        tag = child.tag.rsplit("}", 1)[-1]
        if tag == "files":
            files = [folder + (location.text or "").strip() for location in child]
        elif tag in ("id", "coreid"):
            id_index = int(child.get("index") or 0)
        elif tag == "field" and child.get("term"):
            address = str(child.get("term"))
            name = local_name(address)
            if name in used:  # dc:type beside dcterms:type
                name = f"{local_name(address.rstrip('/').rsplit('/', 1)[0])}:{name}"
            used.add(name)
            index = child.get("index")
            terms.append(Term(name, address, None if index is None else int(index), child.get("default")))
    missing = [name for name in files if name not in archive]
    if missing or not files:
        raise BiocosmosError(
            f"{archive.path}: meta.xml names the file {(missing or ['(none)'])[0]!r}, which is not in the archive"
        )
    encoding = element.get("encoding", "UTF-8")
    encoding = "utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding
    separator, quote = text("fieldsTerminatedBy", ","), text("fieldsEnclosedBy", '"')
    if not separator or (quote and len(separator) > 1) or len(quote) > 1:
        raise BiocosmosError(f"{archive.path}: meta.xml declares the separator {separator!r} and quote {quote!r}: not supported")
    return Table(
        row_type=element.get("rowType", ""),
        files=tuple(files),
        encoding=encoding,
        separator=separator,
        line_end=text("linesTerminatedBy", "\n") or "\n",
        quote=quote,
        header_lines=int(element.get("ignoreHeaderLines") or 0),
        id_index=id_index,
        terms=tuple(terms),
    )
