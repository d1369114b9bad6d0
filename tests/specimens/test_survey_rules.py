"""Surveys out of data that are as bad as data get, against the rules that validators publish, written out here.

OBIS: the checks of iobis/obis-qc and obistools; GBIF: what a sampling event needs; Camtrap DP 1.0: its table schemas and profile.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from PIL import Image

from biocosmos.errors import Failures
from biocosmos.specimens.survey_settings import Measure, Survey
from biocosmos.specimens.writers import write

STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})")
DAY = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?)?)?")
BASES = {"PreservedSpecimen", "FossilSpecimen", "LivingSpecimen", "MaterialSample", "HumanObservation", "MachineObservation"}


def number(low: float, high: float, whole: bool = False) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        return low <= float(text) <= high and (not whole or text.isdigit())

    return fits


def one_of(*words: str) -> Callable[[str], bool]:
    return lambda text: text in words


def like(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def any_(text: str) -> bool:
    return bool(text.strip())


STAMPED = like(STAMP.pattern)
TRUTH = one_of("true", "false")
CAMTRAP: dict[str, dict[str, tuple[bool, Callable[[str], bool]]]] = {
    "deployments": {
        "deploymentID": (True, any_),
        "latitude": (False, number(-90, 90)),
        "longitude": (False, number(-180, 180)),
        "coordinateUncertainty": (False, number(1, 1e9, whole=True)),
        "deploymentStart": (True, STAMPED),
        "deploymentEnd": (True, STAMPED),
        "timestampIssues": (False, TRUTH),
    },
    "media": {
        "mediaID": (True, any_),
        "deploymentID": (True, any_),
        "timestamp": (True, STAMPED),
        "filePath": (True, like(r"^(?=^[^./~])(^((?!\.{2}).)*$).*$")),
        "filePublic": (True, TRUTH),
        "fileMediatype": (True, like(r"(image|video|audio)/.*")),
    },
    "observations": {
        "observationID": (True, any_),
        "deploymentID": (True, any_),
        "mediaID": (True, any_),
        "eventStart": (True, STAMPED),
        "eventEnd": (True, STAMPED),
        "observationLevel": (True, one_of("media", "event")),
        "observationType": (True, one_of("animal", "human", "vehicle", "blank", "unknown", "unclassified")),
        "count": (False, number(1, 1e9, whole=True)),
        "lifeStage": (False, one_of("adult", "subadult", "juvenile")),
        "sex": (False, one_of("female", "male")),
        **{name: (False, number(0, 1)) for name in ("bboxX", "bboxY")},
        **{name: (False, number(1e-15, 1)) for name in ("bboxWidth", "bboxHeight")},
        "classificationMethod": (False, one_of("human", "machine")),
        "classificationTimestamp": (False, STAMPED),
        "classificationProbability": (False, number(0, 1)),
    },
}
RANKS = {"kingdom", "phylum", "class", "order", "family", "genus", "species", "subspecies"}


def bad_rows(folder: Path, seed: int) -> pa.Table:
    """60 specimens whose every field is sometimes blank, sometimes absurd."""
    rng = random.Random(seed)
    pick = rng.choice
    rows = []
    for i in range(60):
        file = folder / f"{i % 7}.png"
        if not file.exists():
            Image.new("RGB", (20, 10), (i, 0, 0)).save(file)
        rows.append(
            {
                "id": pick([f"s{i}", f"a..b/{i}", f"ü {i}", f"../../{i}"]),
                "image_path": pick([str(file)] * 4 + [str(folder / "gone.png"), None]),
                "sample_id": pick(["a", "b", " c ", "d/ü", None, ""]),
                "label": pick(["Oithona", "Calanus", "egg", "not-living", None, "Oithona <f>", "blank"]),
                "class": pick(["Copepoda", None]),
                "suborder": pick(["Ergasilida", None]),
                "taxon_rank": "x",
                "latitude": pick([54.5, 0.0, None, 91.0, -89.9, float("nan")]),
                "longitude": pick([3.25, 0.0, None, 179.9, -179.9, 200.0]),
                "uncertainty": pick([0.0, 0.4, 12.6, None, -5.0, float("inf")]),
                "date": pick(
                    ["2019-05-01", "2019-05-01T10:00:00Z", "2019-05/06", "1.5.2019", "2999-01-01", "soon", None, "2019"]
                ),
                "depth_min": pick([0.0, 100.0, None, float("nan")]),
                "depth_max": pick([50.0, None]),
                "vol": pick([12.5, 0.0, 999999.0, None, -1.0]),
                "part": pick([1.0, 0.25, 0.0, 2.0, None]),
                "object_annotation_status": pick(["validated", "predicted", "dubious", None]),
                "identifiedBy": pick(["A, B", None]),
                "dateIdentified": pick(["2020-01-01", "never", None]),
                "sex": pick(["female", "hermaphrodite", None]),
                "lifeStage": pick(["adult", "copepodite", None]),
                "count": pick([0, 3, None]),
                "crop": pick([[0.0, 0.0, 5.0, 5.0], [15.0, 5.0, 50.0, 50.0], [90.0, 0.0, 5.0, 5.0], None]),
                "samplingProtocol": pick(["net", None]),
                "mesh": pick([200.0, None]),
            }
        )
    return pa.Table.from_pylist(rows)


def table(path: Path, delimiter: str = "\t") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


SURVEY = Survey(volume=Measure("vol"), share="part", mesh=Measure("mesh"), absences=True)


@pytest.mark.parametrize("seed", range(3))
def test_camtrap_dp_keeps_its_schemas(tmp_path: Path, seed: int) -> None:
    write(bad_rows(tmp_path, seed), tmp_path / "out", format="camtrap-dp", ranks=("class", "suborder"))
    tables = {name: table(tmp_path / f"out/{name}.csv", ",") for name in CAMTRAP}
    for name, rules in CAMTRAP.items():
        first = next(iter(rules))
        assert len({row[first] for row in tables[name]}) == len(tables[name]) > 0
        for row in tables[name]:
            for column, (required, fits) in rules.items():
                said = row.get(column, "")
                assert fits(said) if said else not required, (name, column, said)
    for name in ("media", "observations"):
        assert {row["deploymentID"] for row in tables[name]} <= {row["deploymentID"] for row in tables["deployments"]}
    assert {row["mediaID"] for row in tables["observations"]} <= {row["mediaID"] for row in tables["media"]}
    for row in tables["deployments"]:
        assert row["deploymentStart"] <= row["deploymentEnd"] and (row["latitude"], row["longitude"]) != ("0", "0")
    for row in tables["media"]:
        assert (tmp_path / "out" / row["filePath"]).is_file()
    about = json.loads((tmp_path / "out/datapackage.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[-a-z0-9._/]+", about["name"]) and {each["name"] for each in about["resources"]} == set(CAMTRAP)
    assert all("1.0" in each["schema"] and each["profile"] == "tabular-data-resource" for each in about["resources"])
    assert all(each.get("taxonRank", "class") in RANKS and each["scientificName"] for each in about["taxonomic"])
    assert {each["scientificName"] for each in about["taxonomic"]} == {
        row["scientificName"] for row in tables["observations"] if row["scientificName"]
    }
    assert about["temporal"]["start"] <= about["temporal"]["end"] and about["contributors"][0]["title"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("format", ["obis", "gbif-event"])
def test_events_keep_the_checks_of_obis_and_gbif(tmp_path: Path, seed: int, format: str) -> None:
    failures = Failures()
    write(
        bad_rows(tmp_path, seed), tmp_path / "out", format=format, ranks=("class", "suborder"), survey=SURVEY, failures=failures
    )
    events, occurrences = table(tmp_path / "out/event.txt"), table(tmp_path / "out/occurrence.txt")
    ids, said = {event["eventID"] for event in events}, " ".join(failure.reason for failure in failures)
    assert len(ids) == len(events) and all(id_ == id_.strip() != "" for id_ in ids)
    for event in events:
        dates = [part for part in event.get("eventDate", "").split("/") if part]
        assert all(DAY.fullmatch(date) for date in dates)
        if any(date > datetime.now().date().isoformat() for date in dates):
            assert "lie in the future" in said
        place = [event.get(name, "") for name in ("decimalLatitude", "decimalLongitude")]
        assert all(place) or not any(place)
        if all(place):
            assert abs(float(place[0])) <= 90 and abs(float(place[1])) <= 180 and place != ["0", "0"]
            assert event["geodeticDatum"] == "EPSG:4326"
        assert not event.get("coordinateUncertaintyInMeters") or float(event["coordinateUncertaintyInMeters"]) > 0
        depths = [float(event[name]) for name in ("minimumDepthInMeters", "maximumDepthInMeters") if event.get(name)]
        assert depths == sorted(depths)
        assert bool(event.get("sampleSizeValue")) == bool(event.get("sampleSizeUnit"))
        assert not event.get("sampleSizeValue") or float(event["sampleSizeValue"]) > 0
    for gone in ("eventDate", "decimalLatitude", *(["samplingProtocol", "sampleSizeValue"] if format == "gbif-event" else [])):
        if any(not event.get(gone) for event in events):
            assert f"no {gone}" in said, "what a validator asks for and is not known is told"
    own = [row["occurrenceID"] for row in occurrences]
    assert len(set(own)) == len(own) > 0
    for row in occurrences:
        assert row["eventID"] in ids and row["scientificName"].strip() and row["basisOfRecord"] in BASES
        assert row["occurrenceStatus"] in ("present", "absent") and row["scientificName"] != "not-living"
        assert not row.get("individualCount")
    if format == "obis":
        facts = table(tmp_path / "out/emof.txt")
        assert len({row["measurementID"] for row in facts}) == len(facts)
        for row in facts:
            assert row["eventID"] in ids and row["occurrenceID"] in {*own, ""} and float(row["measurementValue"]) >= 0
            for name, letters in (("Type", "P01|Q01"), ("Unit", "P06")):
                assert re.fullmatch(
                    rf"http://vocab\.nerc\.ac\.uk/collection/({letters})/current/\w+/", row[f"measurement{name}ID"]
                )
    else:
        for row in table(tmp_path / "out/humboldt.txt"):
            assert row["eventID"] in ids and row["isAbundanceReported"] == "true" and row["isAbsenceReported"] == "true"
            assert row["isLeastSpecificTargetCategoryQuantityInclusive"] == "false"
            assert bool(row.get("samplingEffortValue")) == bool(row.get("samplingEffortUnit"))
        assert all(float(row["organismQuantity"]) >= 0 and row["organismQuantityType"] for row in occurrences)
    meta = ElementTree.parse(tmp_path / "out/meta.xml").getroot()
    for part in meta:  # every column of every file is declared once, and by an address
        files = [location.text for location in part.iter("{http://rs.tdwg.org/dwc/text/}location")]
        with (tmp_path / "out" / str(files[0])).open(encoding="utf-8") as file:
            header = file.readline().rstrip("\r\n").split("\t")
        fields = {int(f.get("index", -1)): str(f.get("term")) for f in part if f.tag.endswith("field")}
        for i, name in enumerate(header):
            assert fields.get(i, name if i == 0 else "").rsplit("/", 1)[-1] == name
    ElementTree.parse(tmp_path / "out/eml.xml")


def test_a_place_at_zero_is_none_and_that_is_told(tmp_path: Path) -> None:
    rows = [{"id": str(i), "sample_id": "a", "label": "Pica", "latitude": 0.0, "longitude": 0.0} for i in range(2)]
    written: Any = write(pa.Table.from_pylist(rows), tmp_path / "out", format="obis", survey=Survey())
    assert "decimalLatitude" not in table(tmp_path / "out/event.txt")[0]
    assert any("stands for no place" in failure.reason for failure in written.failures)
