"""Camtrap DP 1.0 out: samples as deployments, pictures as media, specimens as observations (https://camtrap-dp.tdwg.org)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.images import oriented
from biocosmos.places.days import ends_of
from biocosmos.specimens.dates import iso_date, moment_of
from biocosmos.specimens.readers.boxes import to_crop, upright_size
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.survey_settings import Survey
from biocosmos.specimens.writers.darwin_core_terms import MISSING
from biocosmos.specimens.writers.naming import says
from biocosmos.specimens.writers.pictures import MEDIA_TYPES, archive_name, image_of, suffix_of
from biocosmos.specimens.writers.surveys.found import Sample
from biocosmos.specimens.writers.surveys.gathering import DATES, PEOPLE, REFERENCES, Gathering, box_of, few
from biocosmos.specimens.writers.surveys.tables import files_of, write_rows
from biocosmos.specimens.writers.tabular import rows_of
from biocosmos.taxonomy.ranks import KNOWN_RANKS

STANDARD = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0/"
DEPLOYMENTS = (
    *("deploymentID", "locationID", "latitude", "longitude", "coordinateUncertainty"),
    *("deploymentStart", "deploymentEnd", "cameraModel", "timestampIssues"),
)
MEDIA = ("mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "fileName", "fileMediatype")
OBSERVATIONS = (
    *("observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationLevel", "observationType"),
    *("scientificName", "count", "lifeStage", "sex", "bboxX", "bboxY", "bboxWidth", "bboxHeight"),
    *("classificationMethod", "classifiedBy", "classificationTimestamp", "classificationProbability"),
)
WORDS = {"lifeStage": ("adult", "subadult", "juvenile"), "sex": ("female", "male")}
COUNTS = ("count", "individualCount")
IDENTIFIED = ("dateIdentified", "object_annotation_date")
BLANK = "blank"
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species", "subspecies")
"""Those that taxonRank takes."""
WORLD = (-180.0, -90.0, 180.0, 90.0)
"""Where deployments without a place are: west, south, east, north."""
Row = dict[str, Any]


def write(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    failures: Failures,
    ranks: Sequence[str],
    survey: Survey,
    software: str,
    said_on: str = "",
) -> int:
    """Write datapackage.json, deployments.csv, media.csv, observations.csv and the pictures into a folder or a zip.

    A specimen is an observation of one picture, with its crop as the box; a machine's name has classificationMethod "machine", by
    which software, when (said_on, where the answer does not say it) and how sure. A specimen without a picture or a date is left
    out, which the standard has no place for. Returns the observations written.
    """
    with files_of(path) as folder, Seen() as used:
        package = _Package(folder, path, failures, Gathering(schema, path, failures, ranks, survey), used, software, said_on)
        for row in rows_of(batches):
            package.add(row)
        package.finish()
        return len(package.observations)


class _Package:
    def __init__(
        self, folder: Path, path: Path, failures: Failures, gathering: Gathering, used: Seen, software: str, said_on: str
    ) -> None:
        self.folder, self.path, self.failures, self.gathering, self.used = folder, path, failures, gathering, used
        self.software, self.said_on = software, said_on
        self.media: dict[tuple[str, str], Row] = {}
        self.observations: list[Row] = []
        self.spans: dict[str, list[datetime]] = {}
        self.taxa: dict[str, Row] = {}
        self.unclear: set[str] = set()
        (folder / "media").mkdir()

    def add(self, row: Row) -> None:
        """One specimen."""
        sample = self.gathering.sample_of(row)
        if sample is None:
            return
        id = str(row["id"])
        start, end, certain = _moments(row)
        if start is None or end is None:
            self._error("no date: Camtrap DP takes no medium without", id)
            return
        if not certain:
            self.unclear.add(sample.id)
        content, reason = image_of(row)
        address = str(row["image_url"]) if content is None and says(row.get("image_url")) else None
        if content is None and address is None:
            self._error(reason or "no picture: Camtrap DP takes no observation of a medium without", id)
            return
        medium = self._medium(id, sample, start, content, str(address))
        self.spans.setdefault(sample.id, []).extend((start, end))
        named = self.gathering.naming.of(row)
        answer = self.gathering.naming.is_answer(row)
        name = None if named.name == BLANK else named.name
        observation: Row = {
            "observationID": id,
            "deploymentID": sample.id,
            "mediaID": medium["mediaID"],
            "eventID": row.get("sequence"),
            "eventStart": _stamp(start),
            "eventEnd": _stamp(end),
            "observationLevel": "media",
            "observationType": "animal" if name else BLANK if named.name == BLANK else "unclassified",
            "scientificName": name,
            "count": self._count(row) if name else None,
            **{term: said for term, words in WORDS.items() if (said := str(row.get(term) or "").lower()) in words},
            **self._box(row.get("crop"), content, id),
        }
        if named.name is not None:
            by = next((str(row[n]) for n in (REFERENCES if named.by_machine else PEOPLE) if says(row.get(n))), None)
            when = next((str(row[n]) for n in IDENTIFIED if says(row.get(n))), self.said_on if answer else "")
            said_on = moment_of(str(when))[0] if when else None
            sure = row.get("confidence")
            observation |= {
                "classificationMethod": "machine" if named.by_machine else "human",
                "classifiedBy": by or (self.software if named.by_machine else None),
                "classificationTimestamp": None if said_on is None else _stamp(said_on),
                "classificationProbability": sure if answer and isinstance(sure, float) and 0 <= sure <= 1 else None,
            }
        if name:
            ranked = {rank: str(row[rank]) for rank in self.gathering.ranks if rank in KNOWN_RANKS and says(row.get(rank))}
            rank = {"taxonRank": named.rank} if named.rank in RANKS else {}
            self.taxa.setdefault(name, {"scientificName": name, **rank, **ranked})
        self.observations.append(observation)

    def finish(self) -> None:
        """Write the tables."""
        self.gathering.tell()
        if not self.observations:
            raise BiocosmosError(f"nothing to write to {self.path}: no specimen has a picture, a date and a sample")
        samples = [sample for sample in self.gathering.samples.values() if sample.id in self.spans]
        nowhere = [sample.id for sample in samples if math.isnan(sample.latitude)]
        if nowhere:
            self._warn(
                f"{len(nowhere):,} deployments have no latitude and longitude, which Camtrap DP asks for "
                f"({few(nowhere)}): left blank"
            )
        if self.unclear:
            self._warn(
                f"{len(self.unclear):,} deployments have times without a zone or a time of day: taken as UTC, timestampIssues"
            )
        deployments = [self._deployment(sample) for sample in samples]
        media = list(self.media.values())
        for name, columns, rows in (("deployments", DEPLOYMENTS, deployments), ("media", MEDIA, media)):
            write_rows(self.folder / f"{name}.csv", columns, rows, tabs=False)
        write_rows(self.folder / "observations.csv", OBSERVATIONS, self.observations, tabs=False)
        about = json.dumps(self._about(samples), indent=1, ensure_ascii=False)
        (self.folder / "datapackage.json").write_text(about + "\n", encoding="utf-8")
        self._warn(
            "datapackage.json: contributors, samplingDesign and captureMethod are assumed: complete them before publishing"
        )

    def _deployment(self, sample: Sample) -> Row:
        return {
            "deploymentID": sample.id,
            "locationID": sample.station,
            "latitude": sample.latitude,
            "longitude": sample.longitude,
            "coordinateUncertainty": max(1, round(sample.uncertainty)) if math.isfinite(sample.uncertainty) else None,
            "deploymentStart": _stamp(min(self.spans[sample.id])),
            "deploymentEnd": _stamp(max(self.spans[sample.id])),
            "cameraModel": sample.protocol,
            "timestampIssues": sample.id in self.unclear,
        }

    def _medium(self, id: str, sample: Sample, start: datetime, content: bytes | None, address: str) -> Row:
        """The row of its picture, or of its address without, which several specimens may share."""
        key = hashlib.blake2b(address.encode() if content is None else content, digest_size=12).hexdigest()
        known = self.media.get((sample.id, key))
        if known is None:
            if content is None:
                name, suffix = None, Path(address).suffix.lower().replace("jpeg", "jpg")
            else:
                # no path of the standard has two points one after the other
                plain = re.sub(r"\.{2,}", ".", id)
                name, suffix = archive_name(None, plain, content, self.used, "media/"), suffix_of(content)
                (self.folder / name).write_bytes(content)
            known = {
                "mediaID": f"{sample.id}:{key}",
                "deploymentID": sample.id,
                "timestamp": _stamp(start),
                "filePath": name or address,
                "filePublic": name is None,
                "fileName": Path(name).name if name else None,
                "fileMediatype": MEDIA_TYPES.get(suffix, "image/jpeg"),
            }
            self.media[sample.id, key] = known
        return known

    def _box(self, crop: Any, content: bytes | None, id: str) -> Row:
        """The crop as shares of the upright picture."""
        if crop is None or content is None:
            return {}
        try:
            info = oriented(content)
        except ImageError as error:
            self._error(f"{error}: written without a box", id, warning=True)
            return {}
        inside, _, _ = to_crop(crop, info, None)
        if inside is None:
            self._error("its crop lies outside of its picture: written without a box", id, warning=True)
            return {}
        wide, high = upright_size(info)
        x, y, w, h = inside
        return {"bboxX": x / wide, "bboxY": y / high, "bboxWidth": w / wide, "bboxHeight": h / high}

    def _count(self, row: Row) -> int:
        for name in COUNTS:
            try:
                number = float(row.get(name) or 0)
            except (TypeError, ValueError):
                continue
            if number >= 1 and number.is_integer():
                return int(number)
        return 1

    def _about(self, samples: Sequence[Sample]) -> Row:
        placed = [sample for sample in samples if math.isfinite(sample.latitude)]
        moments = [moment for span in self.spans.values() for moment in span]
        name = re.sub(r"[^a-z0-9._-]+", "-", (self.path.stem or self.path.name).lower()) or "biocosmos"
        return {
            "name": name,
            "profile": f"{STANDARD}camtrap-dp-profile.json",
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "title": self.path.stem,
            "contributors": [{"title": MISSING}],
            "project": {
                "title": self.path.stem,
                "samplingDesign": "opportunistic",
                "captureMethod": ["activityDetection"],
                "individualAnimals": False,
                "observationLevel": ["media"],
            },
            "spatial": _polygon(*(box_of(placed) if placed else WORLD)),
            "temporal": {"start": min(moments).date().isoformat(), "end": max(moments).date().isoformat()},
            "taxonomic": list(self.taxa.values()),
            "resources": [
                {
                    "name": table,
                    "path": f"{table}.csv",
                    "profile": "tabular-data-resource",
                    "format": "csv",
                    "mediatype": "text/csv",
                    "encoding": "utf-8",
                    "schema": f"{STANDARD}{quote(table)}-table-schema.json",
                }
                for table in ("deployments", "media", "observations")
            ],
        }

    def _error(self, reason: str, id: str, *, warning: bool = False) -> None:
        self.failures.add(reason, stage="write", source=self.path, id=id, severity="warning" if warning else "error")

    def _warn(self, reason: str) -> None:
        self.failures.add(reason, stage="write", source=self.path, severity="warning")


def _polygon(west: float, south: float, east: float, north: float) -> Row:
    """A box as GeoJSON, cut in two where it crosses the antimeridian (RFC 7946, 3.1.9)."""
    sides = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    rings = [[[[a, south], [b, south], [b, north], [a, north], [a, south]]] for a, b in sides]
    return {"type": "Polygon", "coordinates": rings[0]} if len(rings) == 1 else {"type": "MultiPolygon", "coordinates": rings}


def _moments(row: Row) -> tuple[datetime | None, datetime | None, bool]:
    """(first, last, whether both have a zone) of when it was seen."""
    text = next((str(row[name]) for name in DATES if says(row.get(name))), "")
    date, _ = iso_date(text)
    (start, certain), (end, sure) = (moment_of(part) for part in ends_of(date or ""))
    return start, end, certain and sure


def _stamp(moment: datetime) -> str:
    """As Camtrap DP has it: seconds, with the zone."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
