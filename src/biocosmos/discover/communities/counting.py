"""Specimens gathered into the samples of a community: the gathering of the exports, so that both say the same numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.settings import SettingError
from biocosmos.specimens.dates import iso_date
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.survey_settings import SAMPLES, Survey
from biocosmos.specimens.writers.naming import PREDICTED, says
from biocosmos.specimens.writers.surveys.found import Found, Sample
from biocosmos.specimens.writers.surveys.gathering import DATES, DEEP, SHALLOW, STATIONS, Gathering, few, number_in, number_of

SAMPLE, STATION, DEPTH = "sample", "station", "depth"
PERIODS = {"year": 4, "month": 7, "day": 10}
"""Letters of an ISO date that say it."""
OF_THE_TABLE = ("", "taxon", "rank", "n", "samples", "id", "image")
BETWEEN = " · "
"""Between the parts of a name of several."""
Key = tuple[str | None, ...]
Path_ = tuple[tuple[str, str], ...]


@dataclass
class Cell:
    """A sample, or what of it has one station, depth, month ...: the least that is counted by itself. key: its values in the
    order of ``by``; known: whether a taxon that was not found in it has 0 per m³."""

    sample: Sample
    name: str
    key: Key


@dataclass
class Counted:
    """Specimens that count, n of them, in c cells.

    cell, taxon: (n,) int64; weight: (n,) float64, individuals per m³ that each stands for; volume: (n,) float64 mm³; nan where
    not known. machine: (n,) bool, no person has confirmed the name. names: (label, path) of each taxon number; ranks:
    of the paths, coarse to fine; layers: name of a depth -> metres of its top and bottom.
    """

    cells: list[Cell]
    by: tuple[str, ...]
    names: list[tuple[str, Path_]]
    cell: npt.NDArray[np.int64]
    taxon: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]
    machine: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.object_]
    ranks: tuple[str, ...]
    layers: dict[str, tuple[float, float]]
    has_volume: bool
    has_biovolume: bool
    not_zero: npt.NDArray[np.bool_]
    """(c,) what was not found there is not known to be 0 per m³, since the volume or share of a specimen is not known."""
    unnamed: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
    """Cells, weights and volumes of the specimens that a machine had no name for."""


class Counting(Gathering):
    """Takes every specimen of a survey, as an export does, and keeps what each stands for.

    by: "sample", "station", "depth", "year", "month", "day" or columns; layers: edges of depths in metres, ascending.
    Raises BiocosmosError for columns that are not there.
    """

    def __init__(
        self,
        schema: pa.Schema,
        path: Path,
        failures: Failures,
        ranks: Sequence[str],
        survey: Survey,
        by: Sequence[str] = (SAMPLE,),
        layers: Sequence[float] = (),
    ) -> None:
        super().__init__(schema, path, failures, ranks, survey)
        self.by, self.layers = tuple(by), tuple(layers)
        self._check_by(schema.names)
        self.cells: dict[str, Cell] = {}
        self._number: dict[str, int] = {}
        self._taxa: dict[tuple[str, Path_], int] = {}
        self._rows: tuple[array[Any], ...] = (array("q"), array("q"), array("d"), array("d"), array("b"))
        self._ids: list[str] = []
        self._open: list[tuple[int, float, float]] = []
        self._layers: dict[str, tuple[float, float]] = {}
        self._volumes: dict[tuple[str, str], dict[str, float]] = {}

    def _check_by(self, there: Sequence[str]) -> None:
        twice = next((name for i, name in enumerate(self.by) if name in self.by[:i]), None)
        taken = next((name for name in self.by if name in OF_THE_TABLE), None)
        if not self.by or twice or taken:
            wrong = f"{twice} stands twice" if twice else "name what tells samples apart, as sample,depth"
            raise SettingError(f"--by {','.join(self.by)!r}: {wrong}")
        wanted = {DEPTH: (*SHALLOW, *DEEP), STATION: STATIONS} | dict.fromkeys(PERIODS, DATES)
        for name in self.by:
            columns = wanted.get(name, (name,))
            if name != SAMPLE and not set(columns) & {*there}:
                raise BiocosmosError(
                    f"--by {name} needs a column {' or '.join(columns)}: the specimens have {shown(list(there))}"
                )

    def name_of(self, row: Mapping[str, Any]) -> str | None:
        """The cell of a row: its sample, and of that its station, depth ..."""
        sample = super().name_of(row)
        if sample is None:
            return None
        values: Key = tuple(sample if name == SAMPLE else self._value(name, row) for name in self.by)
        others = [value or "?" for name, value in zip(self.by, values) if name != SAMPLE]
        id = BETWEEN.join([sample, *others])
        if id not in self.cells:
            self.cells[id] = Cell(self.samples.setdefault(id, Sample(id)), sample, values)
            self._number[id] = len(self._number)
        return id

    def _value(self, name: str, row: Mapping[str, Any]) -> str | None:
        if name == DEPTH:
            return self._depth(row)
        columns = {STATION: STATIONS}.get(name, DATES if name in PERIODS else (name,))
        said = next((str(row[column]).strip() for column in columns if says(row.get(column))), None)
        if name not in PERIODS or said is None:
            return said
        date, _ = iso_date(said)
        return date[: PERIODS[name]] if date and len(date) >= PERIODS[name] and "/" not in date[: PERIODS[name] + 1] else None

    def _depth(self, row: Mapping[str, Any]) -> str | None:
        ends = [number_in(row, SHALLOW), number_in(row, DEEP)]
        there = [end for end in ends if math.isfinite(end)]
        if not there:
            return None
        top, bottom = min(there), max(there)
        if self.layers:
            at = int(np.searchsorted(self.layers, (top + bottom) / 2, side="right")) - 1
            if not 0 <= at < len(self.layers) - 1:
                return None
            top, bottom = self.layers[at], self.layers[at + 1]
        text = f"{top:g} m" if top == bottom else f"{top:g}-{bottom:g} m"
        self._layers[text] = (top, bottom)
        return text

    def counted(self, row: Mapping[str, Any], found: Found, weight: float, volume: float) -> None:
        """Keep a specimen that counts."""
        taxon = self._taxa.setdefault((found.label, found.path), len(self._taxa))
        machine = found.state == PREDICTED
        for column, value in zip(self._rows, (self._number[found.sample], taxon, weight, volume, machine)):
            column.append(value)
        self._ids.append(str(row.get("id")))
        if self.survey.volume is not None:
            told = number_of(row.get(self.survey.volume.column))
            whose = (self.cells[found.sample].name, self.volume_of(row)[1])
            self._volumes.setdefault(whose, {})[found.sample] = told

    def unnamed(self, row: Mapping[str, Any], sample: Sample, weight: float) -> None:
        """Keep a specimen that a machine had no name for: which taxa it hides is known from the machine's confusion."""
        self._open.append((self._number[sample.id], weight, self._biovolume(sample, row)))

    def register(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Samples that are there whether or not anything was found in them, told once the specimens were taken; returns how many
        are new. A row that says no more than the name of a sample that is known adds nothing."""
        known, new, nameless = {cell.name for cell in self.cells.values()}, 0, 0
        for row in rows:
            name = super().name_of(row)
            if name is None:
                nameless += 1
                continue
            others = [self._value(each, row) for each in self.by if each != SAMPLE]
            if name in known and others and not any(others):
                continue
            before = len(self.cells)
            sample = self.cells[str(self.name_of(row))].sample
            self._place(sample, row)
            told = self.survey.volume is not None and self.survey.volume.column in row
            if told and math.isnan(self._weight(sample, row)):
                sample.none = math.nan
            new += len(self.cells) > before
        if nameless:
            self._say(f"{nameless:,} rows of the table of samples do not say which sample they are: left out")
        return new

    def only_sample(self, row: Mapping[str, Any]) -> None:
        """A specimen that is not counted: its sample is there all the same."""
        sample = self.sample_of(row)
        if sample is not None and math.isnan(self._weight(sample, row)):
            sample.none = math.nan

    def take(self, row: dict[str, Any]) -> None:
        """One specimen."""
        self._take(row)

    def result(self) -> Counted:
        """Everything that counts. Raises BiocosmosError where there is no sample."""
        parts = self._parts()
        self._tell_parts(parts)
        self.tell()
        if not self.cells:
            raise BiocosmosError(f"no specimen says which sample it is of (column {self.sample!r}): nothing to count")
        kept = list(self.cells.values())
        cell, taxon, weight, volume, machine = (np.array(column) for column in self._rows)
        open_cell = np.array([each[0] for each in self._open], np.int64)
        open_weight, open_volume = (np.array([each[i] for each in self._open], np.float64) for i in (1, 2))
        unknown = np.array([math.isnan(each.sample.none) for each in kept], bool)
        for at in parts:
            weight[cell == at] = np.nan
            open_weight[open_cell == at] = np.nan
            unknown[at] = True
        ids = np.empty(len(cell), object)
        ids[:] = self._ids
        volumes = self.survey.volume is not None
        return Counted(
            cells=kept,
            by=self.by,
            names=list(self._taxa),
            cell=cell,
            taxon=taxon,
            weight=weight,
            volume=volume,
            machine=machine.astype(bool),
            ids=ids,
            ranks=self.ranks,
            layers=self._layers,
            has_volume=volumes,
            has_biovolume=volumes and self.survey.biovolume is not None,
            not_zero=unknown,
            unnamed=(open_cell, open_weight, open_volume),
        )

    def _parts(self) -> list[int]:
        """Cells that are parts of one acquisition, whose volume is that of the whole: no concentrations of these."""
        found = set()
        for told in self._volumes.values():
            values = list(told.values())
            found |= {self._number[id] for id, value in told.items() if values.count(value) > 1}
        return sorted(found)

    def _tell_parts(self, parts: Sequence[int]) -> None:
        ids = list(self.cells)
        names = list(dict.fromkeys(self.cells[ids[at]].name for at in parts))
        if names:
            split = ", ".join(name for name in self.by if name != SAMPLE)
            self._say(
                f"{len(names):,} samples have specimens of several {split} and one volume: no concentrations of their parts "
                f"({few(names)})"
            )


def sample_column(names: Sequence[str], told: str | None) -> str | None:
    """The column that says which sample a row is of."""
    return told or next((name for name in SAMPLES if name in names), None)


__all__ = ["BETWEEN", "DEPTH", "SAMPLE", "STATION", "Cell", "Counted", "Counting", "sample_column"]
