"""Specimens gathered into samples and what was found in them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.places import spanned
from biocosmos.places.days import ends_of
from biocosmos.specimens.biovolumes import COLUMN_PREFIXES, PIXEL, Formula
from biocosmos.specimens.dates import iso_date, moment_of
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.survey_settings import SAMPLES, Measure, Survey
from biocosmos.specimens.writers.naming import PREDICTED, VALIDATED, VERIFICATION, Naming, says
from biocosmos.specimens.writers.surveys.found import Found, Gathered, Sample, absences_of, call
from biocosmos.specimens.writers.tabular import rows_of

MISSING_VOLUME = 999999
"""What EcoTaxa's projects write where a volume is not known."""
LATITUDES, LONGITUDES = ("latitude", "object_lat", "decimalLatitude"), ("longitude", "object_lon", "decimalLongitude")
SHALLOW = ("depth_min", "object_depth_min", "minimumDepthInMeters")
DEEP = ("depth_max", "object_depth_max", "maximumDepthInMeters")
DATES = ("date", "eventDate", "object_date")
PROTOCOLS, STATIONS = ("samplingProtocol", "acq_instrument"), ("locationID", "sample_stationid", "station")
PEOPLE, REFERENCES = ("identifiedBy", "object_annotation_person_name"), ("identificationReferences", "object_predicted_by")
NAME_IDS, APHIA = ("scientificNameID",), ("aphia_id", "AphiaID", "aphiaID")
LSID = "urn:lsid:marinespecies.org:taxname:"
NOT_LIVING = "not-living"
"""Where EcoTaxa's tree has detritus, fibres and bubbles: no occurrences."""
MOST_NAMED = 5
ACQUISITION = "acq_"
VOLUMES_OF = ("sample_", ACQUISITION)
"""How EcoTaxa's columns begin that tell a volume of the sample, or of each of its acquisitions."""


def gather(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str], survey: Survey
) -> Gathered:
    """Everything that is known of the samples and of what was found in them.

    Specimens without a name, and those that a person doubts or discarded, count for their sample and for no taxon: that is told.
    A sample stays where none of its specimens has a name. Raises BiocosmosError for columns that are not there.
    """
    return Gathering(schema, path, failures, ranks, survey).of(batches)


class Gathering:
    """Takes one specimen after the other."""

    def __init__(self, schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str], survey: Survey) -> None:
        self.path, self.failures, self.survey = path, failures, survey
        self.ranks = tuple(rank for rank in ranks if rank != "label")
        there = set(schema.names)
        missing = next((name for name in survey.columns if name not in there), None)
        if missing is not None:
            raise BiocosmosError(f"there is no column {missing!r}: the specimens have {shown(schema.names)}")
        self.sample = survey.sample or next((name for name in SAMPLES if name in there), None)
        if self.sample is None:
            raise BiocosmosError(
                f"no column says which sample a specimen is of: name it with --sample; there are {shown(schema.names)}"
            )
        self.of_formula = self._formula_columns(there)
        self.naming = Naming(schema.names, ranks)
        self.verified = VERIFICATION in there or "object_annotation_status" in there
        self.samples: dict[str, Sample] = {}
        self.found: dict[tuple[str, str, tuple[tuple[str, str], ...], str], Found] = {}
        self.told: Counter[str] = Counter()
        self.about: dict[str, dict[str, None]] = {}
        self.specimens = 0

    def _formula_columns(self, there: set[str]) -> dict[str, str]:
        """Name in the formula of the biovolume -> column. Raises BiocosmosError for one that is not there."""
        if not isinstance(self.survey.biovolume, Formula):
            return {}
        found = {}
        for name in self.survey.biovolume.column_names:
            columns = [prefix + name for prefix in COLUMN_PREFIXES]
            found[name] = next((column for column in columns if column in there), "")
            if not found[name]:
                raise BiocosmosError(f"--biovolume {self.survey.biovolume.text!r} needs a column {' or '.join(columns)}")
        return found

    def of(self, batches: Iterable[pa.RecordBatch]) -> Gathered:
        """All that is known once every row was taken. Raises BiocosmosError where nothing has a count."""
        for row in rows_of(batches):
            self._take(row)
        self.tell()
        return self._gathered()

    def tell(self) -> None:
        """Say what holds for several samples or specimens."""
        for what, samples in self.about.items():
            self._say(f"{len(samples):,} samples {what} ({few(list(samples))})")
        for what, count in self.told.items():
            self._say(f"{count:,} specimens {what}")

    def _gathered(self) -> Gathered:
        if not self.samples:
            raise BiocosmosError(
                f"nothing to write to {self.path}: no specimen says which sample it is of (column {self.sample!r})"
            )
        found = list(self.found.values())
        if not found:
            raise BiocosmosError(f"nothing to write to {self.path}: no specimen has a name, so that no taxon has a count")
        call(found)
        if self.survey.absences:
            found += absences_of(self.samples, found)
        order = {id: i for i, id in enumerate(self.samples)}
        found.sort(key=lambda each: (order[each.sample], each.name, each.state == PREDICTED))
        volumes, biovolumes = self.survey.volume is not None, self.survey.biovolume is not None
        return Gathered(self.samples, found, volumes, volumes and biovolumes, self.specimens)

    def _say(self, reason: str) -> None:
        self.failures.add(reason, stage="write", source=self.path, severity="warning")

    def _of_sample(self, sample: Sample, what: str) -> None:
        self.about.setdefault(what, {})[sample.id] = None

    def sample_of(self, row: Mapping[str, Any]) -> Sample | None:
        """The sample of a specimen, with what this row says of it; None where it names none, which is counted."""
        id = self.name_of(row)
        if id is None:
            self.told[f"do not say which sample they are of (column {self.sample!r}): left out"] += 1
            return None
        sample = self.samples.setdefault(id, Sample(id))
        sample.n += 1
        self._place(sample, row)
        return sample

    def name_of(self, row: Mapping[str, Any]) -> str | None:
        """The sample that a row names."""
        id = row.get(str(self.sample))
        return str(id).strip() if says(id) else None

    def counted(self, row: Mapping[str, Any], found: Found, weight: float, volume: float) -> None:
        """Called for every specimen that counts. weight: individuals per m³ that it stands for; volume: mm³; nan: not known."""

    def unnamed(self, row: Mapping[str, Any], sample: Sample, weight: float) -> None:
        """Called for every specimen that a machine had no name for."""

    def _take(self, row: dict[str, Any]) -> None:
        sample = self.sample_of(row)
        if sample is None:
            return
        weight = self._weight(sample, row)
        if math.isnan(weight):
            sample.none = math.nan
        named = self.naming.of(row)
        if named.name is None and self.naming.is_answer(row):
            self.unnamed(row, sample, weight)
        if named.name is None:
            self.told["have no name: they count for no taxon"] += 1
            return
        if named.state not in (PREDICTED, VALIDATED):
            self.told[f"are {named.state}: they count for no taxon"] += 1
            return
        state = named.state if named.by_machine or self.verified else ""
        path = tuple((rank, str(row[rank])) for rank in self.ranks if says(row.get(rank)))
        found = self.found.setdefault((sample.id, named.name, path, state), Found(sample.id, named.name, path, state))
        found.n += 1
        found.rank = named.rank or (path[-1][0] if path else None)
        found.per_volume += weight
        volume = self._biovolume(sample, row)
        found.biovolume += weight * volume
        self.counted(row, found, weight, volume)
        confidence = number_of(row.get("confidence"))
        if self.naming.is_answer(row) and math.isfinite(confidence):
            found.confidence, found.confident = found.confidence + confidence, found.confident + 1
        found.people |= {str(row[name]).strip() for name in PEOPLE if state != PREDICTED and says(row.get(name))}
        found.references |= {str(row[name]).strip() for name in REFERENCES if says(row.get(name))}
        aphia = _first(row, APHIA)
        found.name_id = found.name_id or str(_first(row, NAME_IDS) or (f"{LSID}{int(aphia)}" if _whole(aphia) else ""))
        self.specimens += 1

    # ------------------------------------------------------------------ samples

    def _place(self, sample: Sample, row: Mapping[str, Any]) -> None:
        latitude, longitude = number_in(row, LATITUDES), number_in(row, LONGITUDES)
        if math.isfinite(latitude) and math.isfinite(longitude):
            if abs(latitude) > 90 or abs(longitude) > 180:
                self._of_sample(sample, "have coordinates outside of -90..90 and -180..180: left blank")
            elif latitude == longitude == 0:
                self._of_sample(sample, "have latitude and longitude 0, which stands for no place: left blank")
            elif math.isnan(sample.latitude):
                sample.latitude, sample.longitude = latitude, longitude
            elif abs(sample.latitude - latitude) > 1e-6 or abs(sample.longitude - longitude) > 1e-6:
                self._of_sample(sample, "have specimens of several places: the first one is written")
        shallow, deep = sorted_pair(number_in(row, SHALLOW), number_in(row, DEEP))
        sample.shallow, sample.deep = _least(sample.shallow, shallow), -_least(-sample.deep, -deep)
        if says(text := _first(row, DATES)):
            date, problem = iso_date(str(text))
            if date is None:
                self._of_sample(sample, f"have a date that is not understood ({str(text)[:40]!r} {problem})")
            else:
                first, last = ends_of(date)
                sample.first = min(sample.first or first, first, key=in_time)
                sample.last = max(sample.last or last, last, key=in_time)
        sample.uncertainty = _first_number(sample.uncertainty, number_of(row.get("uncertainty")))
        for name, columns in (("country", ("country",)), ("protocol", PROTOCOLS), ("station", STATIONS)):
            if not getattr(sample, name) and says(said := _first(row, columns)):
                setattr(sample, name, str(said))
        sample.mesh = _first_number(sample.mesh, _measured(row, self.survey.mesh))
        sample.aperture = _first_number(sample.aperture, _measured(row, self.survey.aperture))

    def _biovolume(self, sample: Sample, row: Mapping[str, Any]) -> float:
        """mm³ of a specimen, nan where nobody says it."""
        told = self.survey.biovolume
        if told is None:
            return math.nan
        if not isinstance(told, Formula):
            volume = _measured(row, told)
        else:
            pixel = self.survey.pixel
            side = _measured(row, pixel) if isinstance(pixel, Measure) else pixel or math.nan
            volume = told.of(lambda name: side if name == PIXEL else number_of(row.get(self.of_formula[name])))
        if not 0 < volume < math.inf:
            self._of_sample(sample, "have specimens without a biovolume above 0: their biovolumes are not known")
            return math.nan
        return volume

    def _weight(self, sample: Sample, row: Mapping[str, Any]) -> float:
        """Individuals per m³ that a specimen stands for: 1 / share / volume; nan where either cannot be."""
        if self.survey.volume is None:
            return math.nan
        raw = number_of(row.get(self.survey.volume.column))
        volume = raw * self.survey.volume.factor
        if not (0 < volume < math.inf and raw != MISSING_VOLUME):
            self._of_sample(
                sample, f"have a {self.survey.volume.column} that is missing, 0 or {MISSING_VOLUME}: no concentrations"
            )
            volume = math.nan
        share = self._share(sample, row)
        sample.apart, whose = self.volume_of(row)
        sample.volumes[whose] = _first_number(sample.volumes.get(whose, math.nan), volume)
        return 1 / share / volume

    def volume_of(self, row: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether a volume is told of something by name, as EcoTaxa's columns of a sample (sample_tot_vol, the same in all its
        acquisitions, which are fractions of it) and of an acquisition (acq_volimage) are; and that name, else the acquisition."""
        column = "" if self.survey.volume is None else self.survey.volume.column.lower()
        whose = next((whose for whose in VOLUMES_OF if column.startswith(whose)), "")
        return whose != "", str(row.get(f"{whose or ACQUISITION}id") or "")

    def _share(self, sample: Sample, row: Mapping[str, Any]) -> float:
        """Of an acquisition that was looked at, above 0 to 1; nan where it cannot be."""
        if self.survey.parts is not None:
            parts = number_of(row.get(self.survey.parts))
            if 1 <= parts < math.inf:
                return 1 / parts
            self._of_sample(sample, f"have a {self.survey.parts} that is missing or below 1: no concentrations")
            return math.nan
        share = 1.0 if self.survey.share is None else number_of(row.get(self.survey.share))
        if 0 < share <= 1:
            return share
        more = " (a number of parts, as EcoTaxa's acq_sub_part is, is told with --parts)" if share > 1 else ""
        self._of_sample(sample, f"have a {self.survey.share} that is not above 0 and at most 1{more}: no concentrations")
        return math.nan


def few(ids: Sequence[str]) -> str:
    """The first of them, for a message."""
    return ", ".join(ids[:MOST_NAMED]) + (" …" if len(ids) > MOST_NAMED else "")


def box_of(placed: Sequence[Sample]) -> tuple[float, float, float, float]:
    """West, south, east and north of the smallest box around samples that have a place; west above east where it crosses the
    antimeridian, as EML and GeoJSON have it."""
    latitudes = [sample.latitude for sample in placed]
    west, east = spanned([sample.longitude for sample in placed])
    return west, min(latitudes), east - 360 if east > 180 else east, max(latitudes)


def sorted_pair(shallow: float, deep: float) -> tuple[float, float]:
    """(shallow, deep), either of which stands for both, the lesser first."""
    shallow, deep = deep if math.isnan(shallow) else shallow, shallow if math.isnan(deep) else deep
    return (deep, shallow) if deep < shallow else (shallow, deep)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if says(row.get(name))), None)


def number_in(row: Mapping[str, Any], names: Sequence[str]) -> float:
    """The first of the columns that holds a number; nan where none does."""
    return next((number for name in names if math.isfinite(number := number_of(row.get(name)))), math.nan)


def in_time(date: str) -> tuple[Any, str]:
    """To sort dates by, whatever their zones."""
    return moment_of(date)[0], date


def number_of(value: Any) -> float:
    """Of a cell; nan where it holds none."""
    try:
        return math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _whole(value: Any) -> bool:
    return math.isfinite(number := number_of(value)) and number == int(number)


def _measured(row: Mapping[str, Any], measure: Measure | None) -> float:
    return math.nan if measure is None else number_of(row.get(measure.column)) * measure.factor


def _least(a: float, b: float) -> float:
    return b if math.isnan(a) else a if math.isnan(b) else min(a, b)


def _first_number(old: float, new: float) -> float:
    return new if math.isnan(old) else old
