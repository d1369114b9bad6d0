"""The head of an EcoTaxa table: its names in any case, its line of types, and the type each column is read as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa

from biocosmos.errors import Severity
from biocosmos.specimens.readers.archive import Member
from biocosmos.specimens.readers.columns import SOURCE_SUFFIX
from biocosmos.specimens.readers.encoding import find_encoding
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder
from biocosmos.specimens.records import ADDED_BY_COLLECTION, STANDARD

IMAGE = "img_file_name"
CATEGORY = "object_annotation_category"
STATUS = "object_annotation_status"
HIERARCHY = "object_annotation_hierarchy"
STATES = ("predicted", "validated", "dubious", "discarded")
VERBATIM_DATE = "object_verbatim_date"
"""A column of our own: a date that names no whole day, for which EcoTaxa has no place."""
LATITUDE, LONGITUDE = "object_lat", "object_lon"
LEVEL = "level_{}"
PREFIXES = ("object_", "sample_", "acq_", "process_", "img_")
TYPES = {"[t]": pa.string(), "[f]": pa.float64()}
TOKEN = re.compile(r"\[[^\[\]]{0,20}\]")
BARE = {"t": "[t]", "f": "[f]", "n": "[n]"}
"""Types as some write them: only where the whole line is nothing else."""
TEXTS = (
    *(IMAGE, CATEGORY, STATUS, HIERARCHY, "object_id", "object_date", "object_time"),
    *("object_annotation_date", "object_annotation_time", "object_annotation_person_name", "object_annotation_person_email"),
    *("object_link", "sample_id", "acq_id", "process_id"),
)
NUMBERS = (LATITUDE, LONGITUDE, "object_depth_min", "object_depth_max")
"""Columns whose type EcoTaxa knows, whatever the second line says of them."""
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")
DEGREES_MINUTES = re.compile(r"(-?)(\d+)°(\d+) (\d+)")
"""How some instruments write places: 43°40 30."""


@dataclass(frozen=True)
class Table:
    """A table as the first pass found it.

    columns: our name of each of its columns, None for one that cannot be kept; kinds: our name -> Arrow type; depth: levels of
    the deepest hierarchy; folder: where it lies in the archive, which its image names start from.
    """

    member: Member
    encoding: str
    columns: tuple[str | None, ...]
    kinds: dict[str, pa.DataType]
    has_types: bool
    depth: int
    folder: str


def split_hierarchy(text: str) -> list[str]:
    """ "living>Eukaryota>Copepoda" -> its parts; a broken one still gives its parts, blank ones too."""
    return [" ".join(part.split()) for part in text.split(">")] if text.strip() else []


def number(text: str) -> float:
    """A number with a point or a comma, with thousands set apart or not, or degrees and minutes. Raises ValueError."""
    if found := DEGREES_MINUTES.fullmatch(text.strip()):
        sign, degrees, minutes, seconds = found.groups()
        return float(f"{sign}1") * (int(degrees) + (int(minutes) + int(seconds) / 60) / 60)
    text = re.sub(r"(?<=\d)[ \u00a0\u202f'](?=\d{3})", "", text.strip())
    comma, point = text.rfind(","), text.rfind(".")
    if comma > point:
        text = text.replace(".", "").replace(",", ".") if text.count(",") == 1 else text.replace(",", "")
    elif comma >= 0:
        text = text.replace(",", "")
    if "_" in text:
        raise ValueError(text)
    return float(text)


def inspect(member: Member, options: Options) -> Table:
    """Read a table once, for the names and types of its columns; what is odd about them is in ``options.failures``."""
    encoding = options.encoding
    if encoding is None:
        with member.open() as raw:
            encoding, warning = find_encoding(raw)
        if encoding == "utf-8" and warning is None and not _is_ascii(member):
            reason = "UTF-8 without a byte-order mark: EcoTaxa itself would take it for latin-1; read as UTF-8"
            tell(options, member, reason, severity="warning")
    with open_table(member, encoding=encoding, separator="\t") as table:
        scan = _Scan(table.header)
        for number_of_row, fields in table.rows():
            scan.take(number_of_row, fields)
    scan.finish()
    columns = _names(table.header, scan, member, options)
    kinds = {name: scan.kind(i) for i, name in enumerate(columns) if name is not None}
    for i, token in sorted(scan.unknown.items()):
        if columns[i] is not None:
            reason = f"the type {token} of {columns[i]} is none of EcoTaxa's ([t], [f]): found from its values"
            tell(options, member, reason, severity="warning")
    commas = [name for i, name in enumerate(columns) if name and scan.commas[i] and not pa.types.is_string(kinds[name])]
    if commas:
        reason = f"numbers with a decimal comma, which EcoTaxa refuses, are read as numbers: {', '.join(commas)}"
        tell(options, member, reason, severity="warning")
    if not scan.rows:
        tell(options, member, "the table has no rows", severity="warning")
    folder = str(PurePosixPath(member.name).parent)
    return Table(member, encoding, tuple(columns), kinds, scan.has_types, scan.depth, "" if folder == "." else folder)


@dataclass
class _Scan:
    """What one pass over the rows learns."""

    header: Sequence[str]
    rows: int = 0
    depth: int = 0
    has_types: bool = False
    unknown: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        width = len(self.header)
        self.names = [name.lower() for name in self.header]
        self.filled, self.commas = [False] * width, [0] * width
        self._declared: list[pa.DataType | None] = [None] * width
        self._hierarchy = self.names.index(HIERARCHY) if HIERARCHY in self.names else None
        self._finder, self._comma_finder = TypeFinder(range(width)), TypeFinder(range(width))  # type: ignore[arg-type]
        self._held: list[list[str]] = []

    def take(self, number_of_row: int, fields: list[str]) -> None:
        """Look at one row, the first of which may be the line of types."""
        if number_of_row == 1 and self._is_types(fields):
            return
        self.rows += 1
        if self._hierarchy is not None:
            self.depth = max(self.depth, len(split_hierarchy(fields[self._hierarchy])))
        self._held.append(fields)
        if len(self._held) == 1024:
            self._look()

    def finish(self) -> None:
        """Look at what is still held."""
        if self._held:
            self._look()

    def kind(self, i: int) -> pa.DataType:
        """The Arrow type of a column: EcoTaxa's own, the declared one, or what its values are."""
        if self.names[i] in TEXTS:
            return pa.string()
        if self.names[i] in NUMBERS:
            return pa.float64()
        declared = self._declared[i]
        if declared is not None:
            return declared
        if self.has_types and i not in self.unknown:
            return pa.string()  # a blank in the line of types
        return (self._comma_finder if self._comma_style() else self._finder).types()[i]  # type: ignore[index]

    def _comma_style(self) -> bool:
        """Whether columns that surely are numbers have decimal commas: "3,4" may be a pair elsewhere."""
        sure = (i for i, name in enumerate(self.names) if name in NUMBERS or pa.float64() == self._declared[i])
        return any(self.commas[i] for i in sure)

    def _look(self) -> None:
        pointed = []
        for fields in self._held:
            cells = list(fields)
            for i, cell in enumerate(fields):
                if cell and not self.filled[i] and cell.strip():
                    self.filled[i] = True
                if "," in cell and DECIMAL_COMMA.fullmatch(cell):
                    self.commas[i] += 1
                    cells[i] = cell.replace(",", ".")
            pointed.append(cells)
        self._finder.add(self._held)
        self._comma_finder.add(pointed)
        self._held = []

    def _is_types(self, fields: Sequence[str]) -> bool:
        """Whether a first row is the line of types: most of what it says is in brackets, the image's cell at any rate."""
        cells = ["".join(cell.split()).lower() for cell in fields]
        if any(cells) and all(cell in BARE or TOKEN.fullmatch(cell) for cell in cells if cell):
            cells = [BARE.get(cell, cell) for cell in cells]
        tokens = {i: cell for i, cell in enumerate(cells) if TOKEN.fullmatch(cell)}
        image = cells[self.names.index(IMAGE)] if IMAGE in self.names else ""
        if 2 * len(tokens) <= sum(map(bool, cells)) or (image and not TOKEN.fullmatch(image)):
            return False
        self.has_types = True
        self._declared = [TYPES.get(cell) for cell in cells]
        self.unknown = {i: fields[i].strip() for i, cell in enumerate(cells) if cell and cell not in TYPES}
        return True


def _names(header: Sequence[str], scan: _Scan, member: Member, options: Options) -> list[str | None]:
    """Our name of each column: EcoTaxa's in small letters; None for one without a name, or one that came before."""
    columns: list[str | None] = []
    for i, (name, given) in enumerate(zip(scan.names, header)):
        ours: str | None = name
        if not name:
            ours = None
            if scan.filled[i]:  # spreadsheets leave empty columns behind, which nobody misses
                tell(options, member, f"column {i + 1} has no name: left out")
        elif name in columns and given in header[:i]:
            ours = None
            tell(options, member, f"the column {given!r} occurs twice: the second is left out")
        elif name in columns:
            ours = next(f"{name}_{n}" for n in range(2, len(header) + 2) if f"{name}_{n}" not in (*columns, *scan.names))
            reason = f"the column {given!r} is {name!r} for EcoTaxa, which came before: kept as {ours!r}"
            tell(options, member, reason, severity="warning")
        elif not name.startswith(PREFIXES) and _is_ours(name):
            ours = name + SOURCE_SUFFIX
            reason = f"the column {given!r} has none of EcoTaxa's prefixes: kept as {ours!r}"
            tell(options, member, reason, severity="warning")
        columns.append(ours)
    return columns


def _is_ours(name: str) -> bool:
    return name in STANDARD or name in ADDED_BY_COLLECTION or re.fullmatch(LEVEL.format(r"\d+"), name) is not None


def _is_ascii(member: Member) -> bool:
    with member.open() as raw:
        return all(chunk.isascii() for chunk in iter(lambda: raw.read(1 << 20), b""))


def tell(
    options: Options, member: Member, reason: str, row: int | None = None, id: str | None = None, severity: Severity = "error"
) -> None:
    """Record what is wrong with a table, or with a row of it."""
    options.failures.add(reason, stage="read", source=str(member), row=row, id=id, severity=severity)


def rows_of(table: Table, member: Member, options: Options) -> Iterator[tuple[int, dict[str, str]]]:
    """(row number, our name -> text) of every row; those that do not fit the header go to ``options.failures``."""
    with open_table(member, encoding=table.encoding, separator="\t", failures=options.failures) as opened:
        opened.preamble = int(table.has_types)
        for row, fields in opened.rows():
            if row >= 1:
                yield row, {name: cell.strip() for name, cell in zip(table.columns, fields) if name is not None}
