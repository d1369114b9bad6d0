"""Darwin Core with events as its core: samples, what was found in them, and measurements, for OBIS and GBIF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.survey_settings import Survey
from biocosmos.specimens.writers.darwin_core_terms import DWC, MISSING, eml_xml, meta_xml, rank_term
from biocosmos.specimens.writers.naming import BY_HUMAN, BY_MACHINE, PREDICTED, VALIDATED
from biocosmos.specimens.writers.surveys.found import Found, Gathered, Sample
from biocosmos.specimens.writers.surveys.gathering import NOT_LIVING, box_of, few, gather, in_time
from biocosmos.specimens.writers.surveys.tables import files_of, write_rows
from biocosmos.specimens.writers.surveys.vocabulary import (
    ABUNDANCE,
    APERTURE,
    BIOVOLUME,
    COUNT,
    ECO,
    EVENT,
    HUMBOLDT,
    MEASUREMENT,
    MESH,
    OBIS,
    OCCURRENCE,
    Measured,
)
from biocosmos.taxonomy import DARWIN_CORE

EVENT_TERMS = (
    *("eventID", "eventType", "eventDate", "decimalLatitude", "decimalLongitude", "geodeticDatum"),
    *("coordinateUncertaintyInMeters", "minimumDepthInMeters", "maximumDepthInMeters", "country", "locationID"),
    *("samplingProtocol", "sampleSizeValue", "sampleSizeUnit"),
)
NAMES = tuple(rank for rank in DARWIN_CORE if rank in ("kingdom", "phylum", "class", "order", "family", "genus"))
OCCURRENCE_TERMS = (
    *("eventID", "occurrenceID", "basisOfRecord", "occurrenceStatus", "scientificName", "scientificNameID", "taxonRank"),
    *NAMES,
    *("verbatimIdentification", "organismQuantity", "organismQuantityType"),
    *("identifiedBy", "identificationVerificationStatus", "identificationReferences", "identificationRemarks"),
)
MEASUREMENT_TERMS = (
    *("eventID", "occurrenceID", "measurementID", "measurementType", "measurementTypeID", "measurementValue"),
    *("measurementUnit", "measurementUnitID"),
)
FROM_OBIS = ("measurementTypeID", "measurementUnitID")
HUMBOLDT_TERMS = (
    *("eventID", "inventoryTypes", "protocolNames", "isAbundanceReported", "isAbundanceCapReported", "isAbsenceReported"),
    *("isTaxonomicScopeFullyReported", "isLeastSpecificTargetCategoryQuantityInclusive", "isSamplingEffortReported"),
    *("samplingEffortProtocol", "samplingEffortValue", "samplingEffortUnit"),
)
Row = dict[str, Any]


def write(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    failures: Failures,
    ranks: Sequence[str],
    survey: Survey,
    software: str,
    *,
    gbif: bool = False,
) -> int:
    """Write event.txt, occurrence.txt, meta.xml and eml.xml, and emof.txt (OBIS) or humboldt.txt (GBIF, where quantities stand in
    the occurrences), into a folder or a zip. Returns the specimens that were counted.

    One occurrence for each sample, taxon and who named it: what a machine alone named is PredictedByMachine and its id ends in
    _P. There is no individualCount: counts are of a part of a sample, and stand in emof.txt with their vocabulary. What a
    validator asks for and is not known is told. Raises BiocosmosError where nothing living has a count.
    """
    survey_of = gather(batches, schema, path, failures, ranks, survey)
    living = [found for found in survey_of.found if not _not_living(found)]
    if not living:
        raise BiocosmosError(f"nothing to write to {path}: all that was named is {NOT_LIVING}, which is no occurrence")
    if dead := sum(found.n for found in survey_of.found) - sum(found.n for found in living):
        _say(failures, path, f"{dead:,} specimens are {NOT_LIVING}: no occurrences, left out")
    samples = list(survey_of.samples.values())
    _blanks(samples, living, path, failures, gbif)
    events = [_event(sample, gbif) for sample in samples]
    occurrences = [_occurrence(found, survey_of, software, gbif) for found in living]
    with files_of(path) as folder:
        core = write_rows(folder / "event.txt", EVENT_TERMS, events)
        extensions = {
            "occurrence.txt": (OCCURRENCE, _terms(write_rows(folder / "occurrence.txt", OCCURRENCE_TERMS, occurrences)))
        }
        if gbif:
            rows = [_humboldt(sample, survey) for sample in samples]
            extensions["humboldt.txt"] = (
                HUMBOLDT,
                [ECO + n for n in write_rows(folder / "humboldt.txt", HUMBOLDT_TERMS, rows)[1:]],
            )
        else:
            measurements = [row for sample in samples for row in _of_event(sample)]
            measurements += [row for found in living for row in _of_occurrence(found, survey_of)]
            names = write_rows(folder / "emof.txt", MEASUREMENT_TERMS, measurements)
            extensions["emof.txt"] = (MEASUREMENT, _terms(names))
        meta = meta_xml([DWC + name for name in core], extensions, core_file="event.txt", core_type=EVENT)
        (folder / "meta.xml").write_text(meta, encoding="utf-8")
        (folder / "eml.xml").write_text(eml(path.stem or path.name, samples, living, software), encoding="utf-8")
    return survey_of.specimens


def _terms(names: Sequence[str]) -> list[str]:
    return [(OBIS if name in FROM_OBIS else DWC) + name for name in names[1:]]


def _say(failures: Failures, path: Path, reason: str) -> None:
    failures.add(reason, stage="write", source=path, severity="warning")


def _not_living(found: Found) -> bool:
    return NOT_LIVING in (found.label.lower(), *(name.lower() for _, name in found.path))


def _blanks(samples: Sequence[Sample], living: Sequence[Found], path: Path, failures: Failures, gbif: bool) -> None:
    """Say what a validator asks for and is not known."""
    whose = "GBIF" if gbif else "OBIS"
    gone = {
        "eventDate": [s.id for s in samples if not s.first],
        "decimalLatitude and decimalLongitude": [s.id for s in samples if math.isnan(s.latitude)],
    }
    if gbif:
        gone["samplingProtocol"] = [s.id for s in samples if not s.protocol]
        gone["sampleSizeValue"] = [s.id for s in samples if math.isnan(s.volume)]
    for what, ids in gone.items():
        if ids:
            _say(
                failures,
                path,
                f"{len(ids):,} of {len(samples):,} samples have no {what}, which {whose} asks for ({few(ids)}): left blank",
            )
    today = datetime.now(timezone.utc).date().isoformat()
    if late := [s.id for s in samples if s.last[:10] > today[: len(s.last[:10])]]:
        _say(
            failures,
            path,
            f"{len(late):,} of {len(samples):,} samples lie in the future, which {whose} takes for a mistake ({few(late)})",
        )
    if not gbif and (without := len({found.name for found in living if not found.name_id})):
        reason = "OBIS asks for the LSID of WoRMS: a column scientificNameID or aphia_id gives it"
        _say(failures, path, f"{without:,} taxa have no scientificNameID; {reason}")


def _event(sample: Sample, gbif: bool) -> Row:
    volume = sample.volume if gbif else math.nan  # OBIS: beside a concentration it would suggest raw counts
    located = math.isfinite(sample.latitude)
    return {
        "eventID": sample.id,
        "eventType": "sample",
        "eventDate": sample.date,
        "decimalLatitude": sample.latitude,
        "decimalLongitude": sample.longitude,
        "geodeticDatum": "EPSG:4326" if located else None,
        "coordinateUncertaintyInMeters": sample.uncertainty if located and sample.uncertainty > 0 else None,
        "minimumDepthInMeters": sample.shallow,
        "maximumDepthInMeters": sample.deep,
        "country": sample.country,
        "locationID": sample.station,
        "samplingProtocol": sample.protocol,
        "sampleSizeValue": volume,
        "sampleSizeUnit": "cubic metre" if math.isfinite(volume) else None,
    }


def _occurrence(found: Found, survey_of: Gathered, software: str, gbif: bool) -> Row:
    row: Row = {
        "eventID": found.sample,
        "occurrenceID": found.id,
        "basisOfRecord": "MachineObservation",
        "occurrenceStatus": "absent" if found.absent else "present",
        "scientificName": found.scientific_name,
        "scientificNameID": found.name_id,
        "taxonRank": rank_term(found.rank),
        "verbatimIdentification": found.label,
        "identifiedBy": " | ".join(sorted(found.people)),
        "identificationVerificationStatus": {PREDICTED: BY_MACHINE, VALIDATED: BY_HUMAN}.get(found.state),
        "identificationReferences": " | ".join(sorted(found.references)) or (software if found.state == PREDICTED else None),
    }
    row |= {rank: name for rank, name in found.path if rank in NAMES}
    if found.confident:
        row["identificationRemarks"] = (
            f"mean confidence {found.confidence / found.confident:.3g} of {found.confident:,} specimens"
        )
    if gbif:
        dense = survey_of.has_volume and math.isfinite(found.per_volume)
        row["organismQuantity"] = found.per_volume if dense else found.n
        row["organismQuantityType"] = "individuals per cubic metre" if dense else "individuals"
    return row


def _of_event(sample: Sample) -> list[Row]:
    found = [("mesh", MESH, sample.mesh), ("aperture", APERTURE, sample.aperture)]
    return [_measurement(sample.id, None, name, kind, value) for name, kind, value in found if math.isfinite(value)]


def _of_occurrence(found: Found, survey_of: Gathered) -> list[Row]:
    values = [("count", COUNT, float(found.n))]
    if survey_of.has_volume:
        values.append(("abundance", ABUNDANCE, found.per_volume))
    if survey_of.has_biovolume:
        values.append(("biovolume", BIOVOLUME, found.biovolume))
    return [_measurement(found.sample, found.id, name, kind, value) for name, kind, value in values if math.isfinite(value)]


def _measurement(event: str, occurrence: str | None, name: str, kind: Measured, value: float) -> Row:
    return {
        "eventID": event,
        "occurrenceID": occurrence,
        "measurementID": f"{occurrence or event}:{name}",
        "measurementType": kind.type,
        "measurementTypeID": kind.type_id,
        "measurementValue": value,
        "measurementUnit": kind.unit,
        "measurementUnitID": kind.unit_id,
    }


def _humboldt(sample: Sample, survey: Survey) -> Row:
    """What the Humboldt Extension asks of an inventory and these data say: no more than that."""
    known = math.isfinite(sample.volume)
    return {
        "eventID": sample.id,
        "inventoryTypes": "trap or sample",
        "protocolNames": sample.protocol,
        "isAbundanceReported": True,
        "isAbundanceCapReported": False,
        "isAbsenceReported": survey.absences,
        "isTaxonomicScopeFullyReported": False,
        # the count of a taxon is without what was named more finely
        "isLeastSpecificTargetCategoryQuantityInclusive": False,
        "isSamplingEffortReported": known,
        "samplingEffortProtocol": sample.protocol if known else None,
        "samplingEffortValue": sample.volume,
        "samplingEffortUnit": "cubic metre" if known else None,
    }


def eml(title: str, samples: Sequence[Sample], found: Sequence[Found], software: str) -> str:
    """eml.xml (EML 2.2.0): what the samples say of place, time and taxa; what only the publisher knows is said to be missing."""
    today = datetime.now(timezone.utc).date().isoformat()
    placed = [sample for sample in samples if math.isfinite(sample.latitude)]
    dated = [sample for sample in samples if sample.first]
    coverage = []
    if placed:
        west, south, east, north = box_of(placed)
        sides = (("west", west), ("east", east), ("north", north), ("south", south))
        box = "".join(f"<{side}BoundingCoordinate>{value:.6g}</{side}BoundingCoordinate>" for side, value in sides)
        said = f"{len(placed)} of {len(samples)} samples have a place"
        coverage.append(
            f"<geographicCoverage><geographicDescription>{said}</geographicDescription>"
            f"<boundingCoordinates>{box}</boundingCoordinates></geographicCoverage>"
        )
    if dated:
        first, last = min((s.first for s in dated), key=in_time)[:10], max((s.last for s in dated), key=in_time)[:10]
        coverage.append(
            f"<temporalCoverage><rangeOfDates><beginDate><calendarDate>{first}</calendarDate></beginDate>"
            f"<endDate><calendarDate>{last}</calendarDate></endDate></rangeOfDates></temporalCoverage>"
        )
    names = sorted({each.scientific_name for each in found})
    taxa = "".join(
        f"<taxonomicClassification><taxonRankValue>{escape(name)}</taxonRankValue></taxonomicClassification>" for name in names
    )
    coverage.append(f"<taxonomicCoverage>{taxa}</taxonomicCoverage>")
    count = sum(each.n for each in found)
    abstract = f"{count} specimens of {len(names)} taxa in {len(samples)} samples, exported by {software}."
    rights = f"<intellectualRights><para>{MISSING}: a licence</para></intellectualRights>"
    after = (rights, f"<coverage>{''.join(coverage)}</coverage>")
    return eml_xml(title, abstract, today, before=("<language>en</language>",), after=after)
