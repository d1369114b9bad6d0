"""EcoTaxa's exchange format: a zip (or folder) of images and of tables called ecotaxa*.tsv.

Columns keep their names (object_, sample_, acq_, process_ prefixes); the usual ones are there under our names as well. What
EcoTaxa itself refuses on import is looked for and recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.archive import Archive, Member, open_archive
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.readers.encoding import find_encoding
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.names import clean
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder, is_missing
from biocosmos.specimens.records import STANDARD, Source

IMAGE = "img_file_name"
CATEGORY = "object_annotation_category"
STATUS = "object_annotation_status"
HIERARCHY = "object_annotation_hierarchy"
STATES = ("predicted", "validated", "dubious")
OURS = {"object_lat": "latitude", "object_lon": "longitude", CATEGORY: "label"}
LEVEL = "level_{}"
TYPES = {"[t]": pa.string(), "[f]": pa.float64()}


def is_table(name: str) -> bool:
    """Whether a file is one of EcoTaxa's tables by its name."""
    base = PurePosixPath(name).name.lower()
    return base.startswith("ecotaxa") and base.endswith((".tsv", ".txt"))


@dataclass(frozen=True)
class _Table:
    member: Member
    encoding: str
    columns: tuple[str | None, ...]  # None: a column that cannot be kept
    has_types: bool
    folder: str


def read(path: Path, options: Options) -> Source:
    """An EcoTaxa zip or folder. The label is object_annotation_category; its hierarchy becomes the ranks level_1, level_2 ..."""
    with open_archive(path, Failures(), options.max_image_bytes) as archive:
        names = [name for name in archive.names if is_table(name)]
        if not names:
            raise BiocosmosError(f"{path} has no table called ecotaxa*.tsv: is it an EcoTaxa export?")
        finds = _Findings()
        tables = [_inspect(Member(archive, name), options, finds) for name in names]
    if not any(IMAGE in table.columns for table in tables):
        raise BiocosmosError(f"{path}: no table has the column {IMAGE}")
    levels = [LEVEL.format(i + 1) for i in range(finds.depth)]
    kinds = {name: pa.string() for name in ("id", "image", "image_path")}
    ours = {ours for theirs, ours in OURS.items() if theirs in finds.kinds} | (
        {"date"} if "object_date" in finds.kinds else set()
    )
    kinds |= dict.fromkeys(sorted(ours), pa.string()) | dict.fromkeys(levels, pa.string())
    renamed = {name: options.columns.get(name, name) for name in finds.kinds}
    missing = [name for name in options.columns if name not in finds.kinds]
    if missing:
        raise BiocosmosError(f"{path} has no column {missing[0]!r}; it has: {shown(finds.kinds)}")
    kinds |= {renamed[name]: kind for name, kind in finds.kinds.items()}
    ranks = options.ranks if options.ranks is not None else (*levels, "label") if "label" in kinds else tuple(levels)
    shaper = Shaper(kinds, options.failures, ranks=ranks, taxonomy=options.taxonomy, warn_unlabelled=False)
    if options.taxonomy is not None and options.ranks is None:
        shaper = Shaper(kinds, options.failures, taxonomy=options.taxonomy, label_is_rank=True, warn_unlabelled=False)
    rows = _rows(path, tables, finds, len(levels), renamed, options)
    blocks = gather(rows, list(kinds), str(path))
    return Source(path.name, "ecotaxa", shaper.batches(blocks), shaper.rank_columns, options.failures)


class _Findings:
    """What the first pass over the tables learns: the columns, their types, and how deep the hierarchy goes."""

    def __init__(self) -> None:
        self.kinds: dict[str, pa.DataType] = {}
        self.depth = 0

    def add(self, kinds: dict[str, pa.DataType]) -> None:
        for name, kind in kinds.items():
            if self.kinds.setdefault(name, kind) != kind:
                numeric = pa.string() not in (self.kinds[name], kind)
                self.kinds[name] = pa.float64() if numeric else pa.string()


def _inspect(member: Member, options: Options, finds: _Findings) -> _Table:
    encoding = options.encoding
    if encoding is None:
        with member.open() as raw:
            encoding, warning = find_encoding(raw)
        if encoding == "utf-8" and warning is None and not _is_ascii(member):
            _warn(options, member, "UTF-8 without a byte-order mark: EcoTaxa itself would take it for latin-1; read as UTF-8")
    with open_table(member, encoding=encoding, separator="\t") as table:
        columns: list[str | None] = []
        for i, name in enumerate(table.header):
            if not name:
                _fail(options, member, f"column {i + 1} has no name: left out")
            elif name in columns:
                _fail(options, member, f"the column {name!r} occurs twice: the second is left out")
            columns.append(name if name and name not in columns else None)
        kept = [i for i, name in enumerate(columns) if name is not None]
        names = [str(columns[i]) for i in kept]
        finder, declared, rows = TypeFinder(names), None, 0
        at = table.header.index(HIERARCHY) if HIERARCHY in table.header else None

        def data() -> Iterator[list[str]]:
            nonlocal declared, rows
            for number, fields in table.rows():
                if number == 1 and (declared := _declared(fields)) is not None:
                    continue
                rows += 1
                if at is not None:
                    finds.depth = max(finds.depth, len(split_hierarchy(fields[at])))
                yield [fields[i] for i in kept]

        finder.add_all(data())
    kinds = finder.types() if declared is None else {name: declared[i] or pa.string() for i, name in zip(kept, names)}
    for name in (
        IMAGE,
        CATEGORY,
        STATUS,
        HIERARCHY,
        "object_id",
        "object_date",
        "object_time",
        "sample_id",
        "acq_id",
        "process_id",
    ):
        if name in kinds:
            kinds[name] = pa.string()
    if not rows:
        _warn(options, member, "the table has no rows")
    finds.add({name: kind for name, kind in kinds.items() if name not in STANDARD})
    folder = str(PurePosixPath(member.name).parent)
    return _Table(member, encoding, tuple(columns), declared is not None, "" if folder == "." else folder)


def _is_ascii(member: Member) -> bool:
    with member.open() as raw:
        return all(chunk.isascii() for chunk in iter(lambda: raw.read(1 << 20), b""))


def _declared(fields: Sequence[str]) -> list[pa.DataType | None] | None:
    """The types of the second line, if it is one: nothing but [t], [f] and blanks."""
    cells = [cell.strip().lower() for cell in fields]
    if not any(cells) or any(cell not in TYPES for cell in cells if cell):
        return None
    return [TYPES.get(cell) for cell in cells]


def split_hierarchy(text: str) -> list[str]:
    """ "living>Eukaryota>Copepoda" -> its parts; a broken one still gives its parts, blank ones too."""
    return [" ".join(part.split()) for part in text.split(">")] if text.strip() else []


def _rows(
    path: Path, tables: Sequence[_Table], finds: _Findings, depth: int, renamed: dict[str, str], options: Options
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    with open_archive(path, options.failures, options.max_image_bytes) as archive, Seen() as seen, Seen() as objects:
        for table in tables:
            member = Member(archive, table.member.name)
            with open_table(member, encoding=table.encoding, separator="\t", failures=options.failures) as opened:
                opened.preamble = int(table.has_types)
                for number, fields in opened.rows():
                    if number < 1:
                        continue
                    cells = {name: cell.strip() for name, cell in zip(table.columns, fields) if name is not None}
                    row = _Row(cells, member, number, options)
                    values = row.values(archive, table.folder, seen, objects, finds, depth, renamed)
                    if values is not None:
                        yield row.number, row.fallback, values


class _Row:
    def __init__(self, cells: dict[str, str], member: Member, number: int, options: Options) -> None:
        self.cells, self.member, self.number, self.options = cells, member, number, options
        self.id = clean(cells.get("object_id"))
        self.fallback = clean(cells.get(IMAGE))

    def values(
        self,
        archive: Archive,
        folder: str,
        seen: Seen,
        objects: Seen,
        finds: _Findings,
        depth: int,
        renamed: dict[str, str],
    ) -> dict[str, Any] | None:
        """Everything the row says, or None when it has to be left out (which is then recorded)."""
        name = self.cells.get(IMAGE, "")
        if not name:
            return self._refused("no image: img_file_name is blank")
        if seen.count(f"{folder}\t{name}\t{self.id or ''}") > 1:
            return self._refused(f"a duplicate row: {name!r} of object {self.id or '(no id)'!r} came before")
        found, reason = archive.find(name, folder)
        if found is None:
            return self._refused(str(reason))
        image, image_path, reason = archive.image(found)
        if reason is not None:
            return self._refused(f"{name}: {reason}")
        values: dict[str, Any] = {renamed[n]: self._typed(n, finds.kinds[n]) for n in self.cells if n in renamed}
        for theirs, ours in OURS.items():
            values.setdefault(ours, self.cells.get(theirs) or None)
        values["date"] = iso_date(self.cells.get("object_date", ""), self.cells.get("object_time", ""))
        values |= {"image": image, "image_path": image_path} | self._levels(depth)
        if self.id is not None:
            times = objects.count(self.id)
            values["id"] = self.id if times == 1 else f"{self.id}#{times}"
            if times > 1:
                self._warn(f"image {times} of the object {self.id!r}: kept as a specimen of its own")
        self._check_state()
        return values

    def _typed(self, name: str, kind: pa.DataType) -> Any:
        text = self.cells[name]
        if not text:
            return None
        if pa.types.is_string(kind):
            return text
        if is_missing(text):
            return None
        try:
            return int(text) if pa.types.is_integer(kind) else float(text.replace(",", "."))
        except ValueError:
            self._warn(f"{name} is declared a number [f], but is {text!r}: left blank")
            return None

    def _check_state(self) -> None:
        category, state = self.cells.get(CATEGORY), self.cells.get(STATUS, "").lower()
        if category and not state:
            self._warn(f"classified as {category!r} without a state (predicted, validated or dubious): EcoTaxa refuses that")
        elif state and state not in STATES:
            self._warn(f"the state {state!r} is not predicted, validated or dubious")

    def _levels(self, depth: int) -> dict[str, str]:
        parts = split_hierarchy(self.cells.get(HIERARCHY, ""))
        if not parts:
            return {}
        category = (self.cells.get(CATEGORY) or parts[-1]).split("<")[0].strip()
        if not all(parts):
            self._warn(f"a broken hierarchy, with a blank level: {self.cells[HIERARCHY]!r} is not used")
            return {}
        if parts[-1].split("<")[0].strip() != category:
            self._warn(f"a broken hierarchy: {self.cells[HIERARCHY]!r} does not end in {category!r}, and is not used")
            return {}
        return {LEVEL.format(i + 1): part for i, part in enumerate(parts[:depth])}

    def _refused(self, reason: str) -> dict[str, Any] | None:
        _fail(self.options, self.member, reason, self.number, self.id)
        return None

    def _warn(self, reason: str) -> None:
        _warn(self.options, self.member, reason, self.number, self.id)


def iso_date(date: str, time: str) -> str | None:
    """EcoTaxa's 20140523 and 92530 as 2014-05-23T09:25:30; what is not of that form stays as it is."""
    if not date:
        return None
    digits = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", date)
    if digits is None:
        return date
    day = "-".join(digits.groups())
    clock = time.replace(":", "")
    if not re.fullmatch(r"\d{3,6}", clock):
        return day
    clock = clock.zfill(4) + "00" if len(clock) <= 4 else clock.zfill(6)
    return f"{day}T{clock[:2]}:{clock[2:4]}:{clock[4:]}"


def _fail(options: Options, member: Member, reason: str, row: int | None = None, id: str | None = None) -> None:
    options.failures.add(reason, stage="read", source=str(member), row=row, id=id)


def _warn(options: Options, member: Member, reason: str, row: int | None = None, id: str | None = None) -> None:
    options.failures.add(reason, stage="read", source=str(member), row=row, id=id, severity="warning")
