"""What EcoTaxa's import takes of a table's columns: names, types, lengths, how many; and the ids that it wants beside them.

The rules are those of its published back end (github.com/ecotaxa/ecotaxa_back: py/BO/TSVFile.py, py/BO/Mappings.py and the
tables of py/DB), read on 2026-11-29.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from biocosmos.specimens.dates import read_date, read_time
from biocosmos.specimens.readers.ecotaxa_table import (
    CATEGORY,
    HIERARCHY,
    IMAGE,
    LATITUDE,
    LONGITUDE,
    PREFIXES,
    STATUS,
    VERBATIM_DATE,
    number,
)
from biocosmos.specimens.writers.tabular import text_of

TEXT, NUMBER = "[t]", "[f]"
ID_LENGTH, TEXT_LENGTH = 255, 250
CATEGORY_ID = "object_annotation_category_id"
ANNOTATED = ("object_annotation_date", "object_annotation_time")
ANNOTATION = (*ANNOTATED, "object_annotation_person_name", "object_annotation_person_email")
"""By whom and when a name was given: not that of another name."""
DATE, TIME = "object_date", "object_time"
PREDICTED_BY = "object_predicted_by"
LIMITS = {LATITUDE: 90.0, LONGITUDE: 180.0}
KNOWN: dict[str, tuple[str, int]] = {
    IMAGE: (TEXT, ID_LENGTH),
    "img_rank": (NUMBER, 0),
    "object_id": (TEXT, ID_LENGTH),
    LATITUDE: (NUMBER, 0),
    LONGITUDE: (NUMBER, 0),
    DATE: (TEXT, 8),
    TIME: (TEXT, 6),
    "object_depth_min": (NUMBER, 0),
    "object_depth_max": (NUMBER, 0),
    "object_link": (TEXT, ID_LENGTH),
    CATEGORY: (TEXT, ID_LENGTH),
    CATEGORY_ID: (NUMBER, 0),
    STATUS: (TEXT, ID_LENGTH),
    **dict.fromkeys(ANNOTATION, (TEXT, ID_LENGTH)),
    "sample_id": (TEXT, ID_LENGTH),
    "sample_dataportal_descriptor": (TEXT, 8000),
    "acq_id": (TEXT, ID_LENGTH),
    "acq_instrument": (TEXT, ID_LENGTH),
    "process_id": (TEXT, ID_LENGTH),
}
"""Columns that have a place of their own, with their type and how long their texts may be."""
FREE = {("object", NUMBER): 500, ("object", TEXT): 20, ("sample", TEXT): 30, ("acq", TEXT): 30, ("process", TEXT): 30}
"""How many further columns a project can have."""
UNCUT = ("object_link", HIERARCHY)
"""Half of an address or of a path is worse than none."""
MADE = (IMAGE, "object_id", LATITUDE, LONGITUDE, DATE, TIME, VERBATIM_DATE, CATEGORY, STATUS, HIERARCHY, PREDICTED_BY)
"""Columns whose cells are made from several of ours."""
OURS = {
    "minimumDepthInMeters": "object_depth_min",
    "maximumDepthInMeters": "object_depth_max",
    "depth_min": "object_depth_min",
    "depth_max": "object_depth_max",
}

Tell = Callable[[str], None]
"""Says that something of a row was changed or left out."""


@dataclass(frozen=True)
class Column:
    """name: EcoTaxa's, in small letters; kind: "[t]" or "[f]"; source: our column that is copied, None where it is made."""

    name: str
    kind: str
    source: str | None = None

    @property
    def prefix(self) -> str:
        """ "object", "sample", "acq", "process" or "img"."""
        return self.name.split("_", 1)[0]

    @property
    def is_free(self) -> bool:
        """Whether it takes one of the places that a project has for further columns."""
        return self.name not in KNOWN

    def cell(self, value: Any, tell: Tell) -> str:
        """A value as EcoTaxa takes it; what it does not take is told."""
        if self.kind == NUMBER:
            return _number(self.name, value, tell)
        if self.name in ANNOTATED:
            return _annotated(self.name, value, tell)
        text = text_of(value).strip()
        if "\0" in text:
            text = text.replace("\0", "")
            tell(f"{self.name} has a NUL character: left out")
        most = KNOWN.get(self.name, ("", TEXT_LENGTH))[1]
        if len(text) > most:
            short = "" if self.name in UNCUT else text[:most]
            what = f"cut to its first {most} letters" if short else "left blank"
            tell(f"{self.name} has {len(text):,} letters and EcoTaxa takes {most}: {what}")
            return short
        return text


def _annotated(name: str, value: Any, tell: Tell) -> str:
    """When a person gave the name: a day or a time of day that is certain."""
    text = text_of(value).strip()
    said = read_date(text) if name == ANNOTATED[0] else read_time(text)
    if said.problem is not None:
        tell(f"{name} {text!r}: {said.problem}; left blank")
        return ""
    if name == ANNOTATED[0]:
        return f"{said.day:%Y%m%d}" if said.day is not None else ""
    return f"{said.clock:%H%M%S}" if said.clock is not None else ""


def _number(name: str, value: Any, tell: Tell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value == "":
        return ""
    try:
        found = number(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        tell(f"{name} {value!r} is no number: left blank")
        return ""
    if math.isinf(found):
        tell(f"{name} is {found}: left blank")
        return ""
    if abs(found) > LIMITS.get(name, math.inf):
        tell(f"{name} {found:g} is outside ±{LIMITS[name]:g}°: left blank")
        return ""
    return text_of(value) if not isinstance(value, str | bool) else text_of(found)


def columns_of(schema: pa.Schema, leave_out: set[str], last: Sequence[str], note: Tell) -> list[Column]:
    """EcoTaxa's columns for a table of ours, in EcoTaxa's customary order; names that differ in case only get numbers.

    leave_out: columns of ours that are not copied. last: columns that go first where there are too many.
    """
    columns = {name: Column(name, KNOWN.get(name, (TEXT, 0))[0]) for name in MADE}
    spelt = spellings(schema.names)
    later = [field for field in schema if field.name in last]
    for field in [*(field for field in schema if field.name not in last), *later]:
        ours = field.name
        if ours in ("depth_min", "depth_max") and _said_already(ours, schema.names):
            continue
        if ours in leave_out or (ours.lower() in columns and ours.lower() in MADE):
            continue
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            note(f"the column {ours!r} is a list or binary: EcoTaxa has no place for it")
            continue
        name = _name(OURS[ours] if ours in OURS and OURS[ours] not in spelt else ours)
        if name in columns:
            numbered = next(f"{name}_{n}" for n in range(2, len(schema) + 3) if f"{name}_{n}" not in columns)
            note(
                f"the column {ours!r} would be {name!r} for EcoTaxa, as {columns[name].source or name!r} is: called {numbered!r}"
            )
            name = numbered
        columns[name] = Column(name, _kind(name, field.type), ours)
    for prefix in ("sample", "acq", "process"):
        columns.setdefault(f"{prefix}_id", Column(f"{prefix}_id", TEXT))
    order = ["img", "object", "sample", "acq", "process"]
    return sorted(columns.values(), key=lambda column: order.index(column.prefix))


def _said_already(ours: str, names: Sequence[str]) -> bool:
    """Whether the source's own column says what ours was made of."""
    return any(OURS[ours] in (name.lower(), OURS.get(name)) for name in names if name != ours)


def spellings(names: Sequence[str]) -> dict[str, str]:
    """The columns that have a place of their own as a table spells them: in small letters -> the first that is so called."""
    return {name.lower(): name for name in reversed(names) if name.lower() in KNOWN}


def _name(ours: str) -> str:
    """A name with one of EcoTaxa's prefixes, in small letters: it reads names in any case."""
    name = "_".join(ours.strip().lower().split())
    if name.startswith("img_") and name not in KNOWN:
        return f"object_{name}"  # EcoTaxa has no further columns of images
    return name if name.startswith(PREFIXES) and name.split("_", 1)[1] else f"object_{name}"


def _kind(name: str, kind: pa.DataType) -> str:
    if name in KNOWN:
        return KNOWN[name][0]
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return NUMBER if is_number and name.startswith("object_") else TEXT


def chosen(columns: Sequence[Column], filled_rows: Sequence[int], note: Tell) -> list[int]:
    """Places of the columns that are written: those that say something, and no more than EcoTaxa has room for.

    The ids stay where a column of their prefix does.
    """
    room, keep = dict(FREE), set[int]()
    for i, column in enumerate(columns):
        if not filled_rows[i]:
            continue
        if column.is_free:
            place = (column.prefix, column.kind)
            room[place] -= 1
            if room[place] < 0:
                kind = "of numbers" if column.kind == NUMBER else "of text"
                most = f"EcoTaxa takes {FREE[place]} further columns {kind} for {column.prefix}_"
                note(f"the column {column.name!r}, which {filled_rows[i]:,} rows fill, is left out: {most}")
                continue
        keep.add(i)
    ids = {f"{columns[i].prefix}_id" for i in keep} or {IMAGE, "object_id"}
    return [i for i, column in enumerate(columns) if i in keep or column.name in ids]


class Parents:
    """Ids of samples, acquisitions and processes: EcoTaxa takes no column of theirs without, and one set of values an id."""

    def __init__(self, columns: Sequence[Column], note: Tell) -> None:
        self._own = {
            prefix: [c.name for c in columns if c.prefix == prefix and c.name != f"{prefix}_id"]
            for prefix in ("sample", "acq", "process")
        }
        self._note, self._said = note, set[str]()
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}
        self._sample_of: dict[str, str] = {}

    def fill(self, cells: dict[str, str]) -> None:
        """Set the ids of one row that has none, one for each set of values; tell where one id has several."""
        values = {prefix: tuple(cells.get(name, "") for name in names) for prefix, names in self._own.items()}
        sample = self._id("sample", cells, values["sample"])
        of_process = (cells.get("process_id", ""), *values["process"])  # a process is the twin of its acquisition
        acquisition = self._id("acq", cells, (*values["acq"], *(of_process if not cells.get("acq_id") else ())), sample)
        if acquisition:
            self._one_sample(cells, acquisition, sample)
        acquisition = cells.get("acq_id", "")
        twin = (self._id("process", cells, values["process"], acquisition), *values["process"])
        if acquisition and self._values.setdefault(("twin", acquisition), twin) != twin:
            self._tell_once(f"one acq_id ({acquisition}) has several processes: EcoTaxa keeps the first")

    def _id(self, prefix: str, cells: dict[str, str], values: tuple[str, ...], above: str = "") -> str:
        name = f"{prefix}_id"
        given = cells.get(name, "")
        if not given and any(values):
            digest = hashlib.blake2b("\0".join((above, *values)).encode(), digest_size=4).hexdigest()
            given = cells[name] = f"{prefix}_{digest}"
            self._tell_once(
                f"rows without {name} get one for each set of their {prefix}_ values, as in {given}: EcoTaxa wants it"
            )
        if given and self._values.setdefault((prefix, given), values) != values:
            self._tell_once(f"rows of one {name} ({given}) have several {prefix}_ values: EcoTaxa keeps those of the first")
        return given

    def _one_sample(self, cells: dict[str, str], acquisition: str, sample: str) -> None:
        """An acquisition belongs to one sample: another sample's of the same name gets a name of its own."""
        if self._sample_of.setdefault(acquisition, sample) == sample:
            return
        own = f"{acquisition}_{sample or 'no_sample'}"
        self._tell_once(f"the acq_id {acquisition} is that of several samples, which EcoTaxa refuses: called {own} in the other")
        cells["acq_id"] = own
        self._sample_of.setdefault(own, sample)

    def _tell_once(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._note(what)
