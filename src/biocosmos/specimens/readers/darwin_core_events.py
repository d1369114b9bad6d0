"""Events and measurements of a Darwin Core Archive, joined to the occurrences: place, date and depth of the sample that each was
found in, and what was measured of it or of its sample, as columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.readers.archive import Archive
from biocosmos.specimens.readers.darwin_core_meta import Table
from biocosmos.specimens.readers.lookup import Lookup
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed

MEASUREMENTS = ("extendedmeasurementorfact", "measurementorfact")
PARENT, OCCURRENCE_ID = "parentEventID", "occurrenceID"
INHERITED = (
    ("eventDate", "year", "month", "day", "verbatimEventDate"),
    (
        "decimalLatitude",
        "decimalLongitude",
        "geodeticDatum",
        "coordinateUncertaintyInMeters",
        "verbatimLatitude",
        "verbatimLongitude",
    ),
    ("minimumDepthInMeters", "maximumDepthInMeters", "verbatimDepth"),
    ("minimumElevationInMeters", "maximumElevationInMeters"),
    ("country", "countryCode"),
    *((name,) for name in ("locality", "locationID", "waterBody", "samplingProtocol")),
)
"""What a sample has of the cruise or station it is a part of, where it says nothing of that kind itself."""
GENERATIONS = 10
"""Parents of a parent that are asked."""
NAMED = {
    ("OCOUNT01", "UUUU"): "count",
    ("SDBIOL01", "UPMM"): "abundance_per_m3",
    ("CVOLUKNB", "CMCM"): "biovolume_mm3_per_m3",
    ("Q0100015", "UMIC"): "mesh_um",
    ("Q0100017", "UMSQ"): "aperture_m2",
}
"""Codes of NERC of a measurement and its unit, as our own exports have them, and the column each becomes."""
MOST_MEASURED, LONGEST = 200, 80
"""Different measurements that become columns, and letters of such a column's name."""
AT_ONCE = 1024


class Events:
    """The events of an archive by id, each with what it has of those that it is a part of."""

    def __init__(self, table: Table, archive: Archive, failures: Failures) -> None:
        self._lookup, self._last = Lookup(), list[tuple[str, dict[str, str]]]()
        rows = table.rows(archive, failures)
        self._lookup.fill((key or "", number, {n: v for n, v in row.items() if v is not None}) for number, key, row in rows)

    def __enter__(self) -> Events:
        self._lookup.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._lookup.__exit__(*about)

    def line(self, id: str) -> list[tuple[str, dict[str, str]]]:
        """The event and its parents, each with its id; none where it is not there, and no parent that is not."""
        if self._last and self._last[0][0] == id:  # what was found together mostly stands together
            return self._last
        found: list[tuple[str, dict[str, str]]] = []
        while len(found) < GENERATIONS and id and id not in [each for each, _ in found]:
            held = self._lookup.get(id)[:1]
            if not held:
                break
            found.append((id, held[0].value))
            id = str(held[0].value.get(PARENT) or "").strip()
        self._last = found
        return found

    @staticmethod
    def joined(line: Sequence[tuple[str, Mapping[str, str]]]) -> dict[str, str | None]:
        """What is known of the first of a line."""
        row: dict[str, str | None] = dict(line[0][1])
        for group in INHERITED:
            if any(row.get(name) for name in group):
                continue
            for _, said in line[1:]:
                if told := {name: said[name] for name in group if said.get(name)}:
                    row |= told
                    break
        return row


@dataclass
class Measured:
    """Columns of measurements: of_key: which column a measurement (what, unit) is; kinds: Arrow type by column; left: different
    measurements that are no columns, since there are too many."""

    of_key: dict[tuple[str, str], str] = field(default_factory=dict)
    kinds: dict[str, pa.DataType] = field(default_factory=dict)
    left: int = 0

    @classmethod
    def scan(cls, tables: Sequence[Table], archive: Archive, taken: set[str]) -> Measured:
        """One pass over the measurements; taken: columns of other meanings."""
        found, finders, waiting = cls(), dict[str, TypeFinder](), dict[str, list[list[str]]]()
        others = set[tuple[str, str]]()
        for table in tables:
            for _, _, row in table.rows(archive, Failures()):
                key, value = _key(row), (row.get("measurementValue") or "").strip()
                if key is None or not value:
                    continue
                if key not in found.of_key:
                    if len(found.of_key) >= MOST_MEASURED:
                        others.add(key)
                        continue
                    name = found.of_key[key] = free_name(_name(key), taken | {*found.of_key.values()})
                    finders[name], waiting[name] = TypeFinder([name]), []
                name = found.of_key[key]
                waiting[name].append([value])
                if len(waiting[name]) >= AT_ONCE:
                    finders[name].add(waiting[name])
                    waiting[name] = []
        for name, finder in finders.items():
            finder.add(waiting[name])
            found.kinds |= finder.types()
        found.left = len(others)
        return found


class Facts:
    """Measurements by what they are of: an occurrence, or an event and thereby all that was found in it."""

    def __init__(
        self, tables: Sequence[Table], archive: Archive, measured: Measured, failures: Failures, of_events: bool
    ) -> None:
        self._lookup, self._measured, self._of_events, self.again = Lookup(), measured, of_events, 0
        self._lookup.fill(self._entries(tables, archive, failures))

    def __enter__(self) -> Facts:
        self._lookup.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._lookup.__exit__(*about)

    def _entries(self, tables: Sequence[Table], archive: Archive, failures: Failures) -> Iterator[tuple[str, int, list[str]]]:
        for table in tables:
            for number, core_id, row in table.rows(archive, failures):
                key, value = _key(row), (row.get("measurementValue") or "").strip()
                name = self._measured.of_key.get(key) if key is not None else None
                of = (row.get(OCCURRENCE_ID) or "").strip() if self._of_events else ""
                if name is not None and value and (of or core_id):
                    yield f"occurrence {of}" if of else f"core {core_id}", number, [name, value]

    def of(self, occurrence: str | None, cores: Sequence[str]) -> dict[str, Any]:
        """Values by column, the occurrence's own first, then of each core in turn; of one that comes again the first."""
        found: dict[str, str] = {}
        for at, key in enumerate([f"occurrence {occurrence}", *(f"core {core}" for core in cores)]):
            entries = self._lookup.get(key)
            self._lookup.use(entries)
            here = set[str]()
            for entry in entries:
                name, value = entry.value
                self.again += name in here and at == 0
                here.add(name)
                found.setdefault(name, value)
        return {name: typed([value], self._measured.kinds[name])[0] for name, value in found.items()}

    def unused(self) -> Iterator[tuple[str, int | None]]:
        """(occurrence, row) of measurements whose occurrence is not there."""
        for key, line in self._lookup.unused():
            kind, _, id = key.partition(" ")
            if kind == "occurrence":
                yield id, line


def _key(row: Mapping[str, str | None]) -> tuple[str, str] | None:
    """(what, unit) of a measurement, by the codes of the vocabularies where these are known to us."""
    what, unit = ((row.get(name) or "").strip() for name in ("measurementType", "measurementUnit"))
    codes = _code(row.get("measurementTypeID")), _code(row.get("measurementUnitID"))
    if codes in NAMED:
        return codes
    what = what or codes[0]
    return (what, unit or codes[1]) if what else None


def _code(address: str | None) -> str:
    """ "http://vocab.nerc.ac.uk/collection/P01/current/OCOUNT01/" -> "OCOUNT01"."""
    return (address or "").strip().rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def _name(key: tuple[str, str]) -> str:
    """A column for a measurement and its unit: ("Wet weight", "g") -> "wet_weight_g"."""
    if key in NAMED:
        return NAMED[key]
    unit = "" if key[1].lower() in ("dimensionless", "not applicable", "uuuu", "xxxx") else key[1]
    return re.sub(r"\W+", "_", f"{key[0]} {unit}".lower()).strip("_")[:LONGEST] or "measurement"


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


__all__ = ["MEASUREMENTS", "Events", "Facts", "Measured", "free_name"]
