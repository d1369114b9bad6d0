"""Surveys out, tried on the rules that OBIS, GBIF, EcoTaxa and Camtrap DP publish, and read back by our own readers."""

from __future__ import annotations

import csv
import errno
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.export import export
from biocosmos.settings import SettingError
from biocosmos.specimens.readers import read
from biocosmos.specimens.settings import ExportSettings
from biocosmos.specimens.survey_settings import Measure, Survey
from biocosmos.specimens.writers import write
from biocosmos.specimens.writers.surveys import events, gathering
from biocosmos.specimens.writers.tabular import rows_of

TOLD = Survey(volume=Measure("vol"), share="part", biovolume=Measure("mm3"))
SEEN = [("a", "Oithona", "validated")] * 3 + [
    ("a", "Oithona", "predicted"),
    ("b", "Calanus", "predicted"),
    ("b", "Oithona", "dubious"),
]


def specimens(folder: Path, **more: object) -> pa.Table:
    rows = []
    for i, (sample, name, state) in enumerate(SEEN):
        Image.new("RGB", (20 + i, 10), (i, 0, 0)).save(folder / f"{i}.png")
        row = {"id": f"s{i}", "image_path": str(folder / f"{i}.png"), "sample_id": sample, "label": name, "class": "Copepoda"}
        row |= {"object_annotation_status": state, "latitude": 43.0, "longitude": -7.0, "date": f"2026-06-0{i + 1}T10:00:00Z"}
        rows.append(row | {"depth_min": 50.0, "depth_max": 20.0, "vol": 12.5, "part": 0.25, "mm3": 0.01} | more)
    return pa.Table.from_pylist(rows)


def table(path: Path, delimiter: str = "\t") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.mark.parametrize("format", ["obis", "gbif-event"])
def test_events_keep_the_rules_of_their_validators(tmp_path: Path, format: str) -> None:
    written = write(specimens(tmp_path), tmp_path / "out", format=format, ranks=("class",), survey=TOLD)
    assert written.rows == 5 and any("dubious" in failure.reason for failure in written.failures)
    events, occurrences = table(tmp_path / "out/event.txt"), table(tmp_path / "out/occurrence.txt")
    ids = [event["eventID"] for event in events]
    assert len(set(ids)) == len(ids) == 2
    for event in events:
        for moment in event["eventDate"].split("/"):
            datetime.fromisoformat(moment.replace("Z", "+00:00"))
        assert abs(float(event["decimalLatitude"])) <= 90 and abs(float(event["decimalLongitude"])) <= 180
        assert float(event["minimumDepthInMeters"]) <= float(event["maximumDepthInMeters"])
    own = [row["occurrenceID"] for row in occurrences]
    assert sorted(own) == ["a:Oithona", "a:Oithona_P", "b:Calanus_P"]
    for row in occurrences:
        assert row["eventID"] in ids and row["basisOfRecord"] == "MachineObservation" and row["occurrenceStatus"] == "present"
        assert row["scientificName"] and not row.get("individualCount")
        by_machine = row["identificationVerificationStatus"] == "PredictedByMachine"
        assert row["occurrenceID"].endswith("_P") == by_machine
    if format == "obis":
        measured = table(tmp_path / "out/emof.txt")
        assert {row["occurrenceID"] for row in measured} <= {*own, ""}
        values = {(r["occurrenceID"], r["measurementTypeID"].split("/")[-2]): float(r["measurementValue"]) for r in measured}
        assert values["a:Oithona", "OCOUNT01"] == 3
        assert values["a:Oithona", "SDBIOL01"] == pytest.approx(3 / 0.25 / 12.5)
        assert values["a:Oithona", "CVOLUKNB"] == pytest.approx(3 * 0.01 / 0.25 / 12.5)
        assert all(row["measurementUnitID"].startswith("http://vocab.nerc.ac.uk/collection/P06/") for row in measured)
    else:
        assert {row["isAbundanceReported"] for row in table(tmp_path / "out/humboldt.txt")} == {"true"}
        assert {row["organismQuantityType"] for row in occurrences} == {"individuals per cubic metre"}
    ElementTree.parse(tmp_path / "out/eml.xml")
    back = [row for batch in read(tmp_path / "out", format="darwin-core").batches for row in batch.to_pylist()]
    assert sorted(str(row["id"]) for row in back) == sorted(own)
    assert {row["latitude"] for row in back} == {43.0}


def test_ecotaxas_tables_have_zeros_and_nan(tmp_path: Path) -> None:
    write(specimens(tmp_path, vol=999999.0), tmp_path / "out", format="ecotaxa-summary", ranks=("class",), survey=TOLD)
    counts = {(r["sampleid"], r["status"], r["taxonid"]): r["count"] for r in table(tmp_path / "out/abundances.tsv")}
    assert counts["a", "V", "Oithona"] == "3" and counts["b", "V", "Oithona"] == "0" and len(counts) == 8
    assert {row["concentration"] for row in table(tmp_path / "out/concentrations.tsv")} == {"nan"}


@pytest.mark.parametrize("spoilt", [{"part": 0.0}, {"part": 1.5}, {"vol": 0.0}])
def test_a_taxon_that_was_not_found_has_no_concentration_where_nothing_has_one(tmp_path: Path, spoilt: dict[str, float]) -> None:
    rows = specimens(tmp_path).to_pylist()
    rows = pa.Table.from_pylist([row | spoilt if row["sample_id"] == "b" else row for row in rows])
    write(rows, tmp_path / "summary", format="ecotaxa-summary", ranks=("class",), survey=TOLD)
    for file, value in (("concentrations", "concentration"), ("biovolumes", "biovolume")):
        said = {(r["sampleid"], r["status"], r["taxonid"]): r[value] for r in table(tmp_path / f"summary/{file}.tsv")}
        assert said["a", "V", "Calanus"] == "0" and said["a", "P", "Oithona"] not in ("0", "nan")
        assert {number for (sample, *_), number in said.items() if sample == "b"} == {"nan"}
    survey = replace(TOLD, absences=True)
    write(rows, tmp_path / "obis", format="obis", ranks=("class",), survey=survey)
    measured = {(r["occurrenceID"], r["measurementTypeID"].split("/")[-2]): r for r in table(tmp_path / "obis/emof.txt")}
    assert measured["b:Oithona", "OCOUNT01"]["measurementValue"] == "0"
    assert measured["a:Calanus", "SDBIOL01"]["measurementValue"] == "0"
    assert not {id for id, kind in measured if id.startswith("b:") and kind != "OCOUNT01"}
    write(rows, tmp_path / "gbif", format="gbif-event", ranks=("class",), survey=survey)
    said_of = {row["occurrenceID"]: row["organismQuantityType"] for row in table(tmp_path / "gbif/occurrence.txt")}
    assert said_of["b:Oithona"] == "individuals" and said_of["a:Calanus"] == "individuals per cubic metre"


@pytest.mark.parametrize("last", [True, False])
def test_the_volume_of_an_acquisition_is_known_from_any_of_its_specimens(tmp_path: Path, last: bool) -> None:
    rows = specimens(tmp_path).to_pylist()
    rows[3 if last else 0]["vol"] = None
    write(pa.Table.from_pylist(rows), tmp_path / "out", format="gbif-event", ranks=("class",), survey=TOLD)
    assert {event["sampleSizeValue"] for event in table(tmp_path / "out/event.txt")} == {"12.5"}


@pytest.mark.parametrize(
    ("column", "volumes", "size"),
    [
        ("sample_tot_vol", (12.5, 12.5), 12.5),  # of the sample: its acquisitions are size fractions of it
        ("tot_vol", (12.5, 12.5), 12.5),
        ("tot_vol", (12.5, 3.0), 15.5),
        ("acq_volimage", (0.005, 0.005), 0.01),  # of each acquisition
    ],
)
def test_a_volume_of_the_sample_is_not_added_up_over_its_acquisitions(
    tmp_path: Path, column: str, volumes: tuple[float, float], size: float
) -> None:
    rows = [row | {"acq_id": f"d{i % 2}", column: volumes[i % 2]} for i, row in enumerate(specimens(tmp_path).to_pylist())]
    survey = Survey(volume=Measure(column), share="part")
    write(pa.Table.from_pylist(rows), tmp_path / "out", format="gbif-event", ranks=("class",), survey=survey)
    events = table(tmp_path / "out/event.txt")
    assert {float(event["sampleSizeValue"]) for event in events} == {size}
    assert {float(row["samplingEffortValue"]) for row in table(tmp_path / "out/humboldt.txt")} == {size}


def test_camtrap_dp_is_read_back(tmp_path: Path) -> None:
    write(specimens(tmp_path), tmp_path / "out", format="camtrap-dp", ranks=("class",))
    tables = {name: table(tmp_path / f"out/{name}.csv", ",") for name in ("deployments", "media", "observations")}
    deployments = {row["deploymentID"] for row in tables["deployments"]}
    media = {row["mediaID"] for row in tables["media"]}
    for row in tables["observations"]:
        assert row["deploymentID"] in deployments and row["mediaID"] in media and row["observationLevel"] == "media"
        assert row["observationType"] == "animal" and int(row["count"]) >= 1
        assert row["classificationMethod"] == ("machine" if row["observationID"] in ("s3", "s4") else "human")
    about = json.loads((tmp_path / "out/datapackage.json").read_text())
    assert {"resources", "profile", "created", "contributors", "project", "spatial", "temporal", "taxonomic"} <= set(about)
    back = [row for batch in read(tmp_path / "out").batches for row in batch.to_pylist()]
    assert Counter((row["id"], row["label"]) for row in back) == Counter((f"s{i}", name) for i, (_, name, _) in enumerate(SEEN))


def test_ids_are_unique_whatever_taxa_are_called(tmp_path: Path) -> None:
    rows = specimens(tmp_path).to_pylist()
    taxa = [("Oithona", "A", "validated"), ("Oithona", "B", "validated"), ("Oithona-2", "A", "validated")]
    taxa += [("Oithona", "A", "predicted"), ("Oithona_P", "A", "validated"), ("Oithona", "A", "validated")]
    for row, (label, above, state) in zip(rows, taxa):
        row |= {"sample_id": "a", "label": label, "class": above, "object_annotation_status": state}
    write(pa.Table.from_pylist(rows), tmp_path / "out", format="obis", ranks=("class",))
    ids = [row["occurrenceID"] for row in table(tmp_path / "out/occurrence.txt")]
    assert len(set(ids)) == len(ids) == 5 and {"a:Oithona", "a:Oithona_P", "a:Oithona-2"} < set(ids)


def test_the_first_and_the_last_are_so_in_time_and_places_are_numbers(tmp_path: Path) -> None:
    places = {"latitude": math.nan, "longitude": math.nan, "object_lat": 12.0, "object_lon": 3.0}
    rows = specimens(tmp_path, **places, sample_id="a", date="2026-06-02T01:00:00Z").to_pylist()
    rows[2]["date"] = "2026-06-01T23:30:00-05:00"
    write(pa.Table.from_pylist(rows), tmp_path / "out", format="obis", ranks=("class",))
    (event,) = table(tmp_path / "out/event.txt")
    assert event["eventDate"] == "2026-06-02T01:00:00Z/2026-06-01T23:30:00-05:00"
    assert (event["decimalLatitude"], event["decimalLongitude"]) == ("12", "3")


def test_a_package_without_places_claims_none_and_its_ranks_are_ranks(tmp_path: Path) -> None:
    rows = specimens(tmp_path).drop_columns(["latitude", "longitude", "label", "object_annotation_status"]).to_pylist()
    said = {"taxon": "Oithona", "rank": "label", "confidence": 0.9, "method": "linear", "novelty": 0.1}
    write(pa.Table.from_pylist([row | said for row in rows]), tmp_path / "out", format="camtrap-dp", ranks=("class",))
    about = json.loads((tmp_path / "out/datapackage.json").read_text())
    assert about["spatial"]["coordinates"] == [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]
    assert [taxon["scientificName"] for taxon in about["taxonomic"]] == ["Oithona"]
    assert "taxonRank" not in about["taxonomic"][0]


def test_a_box_around_samples_crosses_the_antimeridian_where_that_is_smaller(tmp_path: Path) -> None:
    rows = specimens(tmp_path).to_pylist()
    rows = [row | {"latitude": -17.0, "longitude": 178.0 if row["sample_id"] == "a" else -179.0} for row in rows]
    write(pa.Table.from_pylist(rows), tmp_path / "obis", format="obis", ranks=("class",))
    tree = ElementTree.parse(tmp_path / "obis/eml.xml")
    sides = [next(tree.iter(f"{side}BoundingCoordinate")).text for side in ("west", "east")]
    assert sides == ["178", "-179"]
    write(pa.Table.from_pylist(rows), tmp_path / "traps", format="camtrap-dp", ranks=("class",))
    spatial = json.loads((tmp_path / "traps/datapackage.json").read_text())["spatial"]
    assert spatial["type"] == "MultiPolygon"
    assert [(ring[0][0][0], ring[0][1][0]) for ring in spatial["coordinates"]] == [(178, 180), (-180, -179)]


def test_boxes_are_shares_of_pictures_that_can_be_read(tmp_path: Path) -> None:
    crops = [
        [2.0, 1.0, 4.0, 5.0],
        [10.0, 5.0, 99.0, 99.0],
        [500.0, 0.0, 5.0, 5.0],
        [0.0, 0.0, 5.0, 5.0],
        None,
        [-1.0, 0.0, 6.0, 5.0],
    ]
    rows = [row | {"crop": crop} for row, crop in zip(specimens(tmp_path).to_pylist(), crops)]
    (tmp_path / "3.png").write_bytes(b"no picture")
    written = write(pa.Table.from_pylist(rows), tmp_path / "out", format="camtrap-dp", ranks=("class",))
    boxes = {
        row["observationID"]: [float(row[side]) for side in ("bboxX", "bboxY", "bboxWidth", "bboxHeight") if row[side]]
        for row in table(tmp_path / "out/observations.csv", ",")
    }
    assert boxes["s0"] == pytest.approx([0.1, 0.1, 0.2, 0.5]) and boxes["s1"] == pytest.approx([10 / 21, 0.5, 11 / 21, 0.5])
    assert boxes["s5"] == pytest.approx([0, 0, 0.2, 0.5])
    assert boxes["s2"] == boxes["s3"] == boxes["s4"] == []
    assert {failure.id for failure in written.failures if "without a box" in failure.reason} == {"s2", "s3"}


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ("2007-11-13/15", "2007-11-13T00:00:00Z", "2007-11-15T00:00:00Z"),
        ("2007-11-13T10:05:00+02", "2007-11-13T10:05:00+02:00", "2007-11-13T10:05:00+02:00"),
        ("2007-11-13T10:05:00.5Z", "2007-11-13T10:05:00Z", "2007-11-13T10:05:00Z"),
        ("2007-11", "2007-11-01T00:00:00Z", "2007-11-01T00:00:00Z"),
        ("13.11.2007 10:05", "2007-11-13T10:05:00Z", "2007-11-13T10:05:00Z"),
        ("2007-11-13T10:05:00+99:00", "2007-11-13T00:00:00Z", "2007-11-13T00:00:00Z"),
    ],
)
def test_every_way_to_write_a_date_becomes_moments(tmp_path: Path, said: str, start: str, end: str) -> None:
    rows = specimens(tmp_path, date=said)
    write(rows, tmp_path / "out", format="camtrap-dp", ranks=("class",))
    for row in table(tmp_path / "out/observations.csv", ","):
        assert (row["eventStart"], row["eventEnd"]) == (start, end)
    for row in table(tmp_path / "out/deployments.csv", ","):
        assert (row["deploymentStart"], row["deploymentEnd"]) == (start, end)
    assert json.loads((tmp_path / "out/datapackage.json").read_text())["temporal"] == {"start": start[:10], "end": end[:10]}


def test_a_span_with_a_short_end_ends_where_it_says(tmp_path: Path) -> None:
    write(specimens(tmp_path, date="2007-11-13/15"), tmp_path / "out", format="obis", ranks=("class",))
    assert {event["eventDate"] for event in table(tmp_path / "out/event.txt")} == {"2007-11-13/2007-11-15"}
    ends = [date.text for date in ElementTree.parse(tmp_path / "out/eml.xml").iter("calendarDate")]
    assert ends == ["2007-11-13", "2007-11-15"]


@pytest.mark.parametrize("current", [True, False])
def test_pictures_of_specimens_that_are_counted_are_not_read(
    tiny_collection: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: bool
) -> None:
    seen: set[str] = set()

    def looked_at(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, object]]:
        for row in rows_of(batches):
            seen.update(row)
            yield row

    monkeypatch.setattr(gathering, "rows_of", looked_at)
    settings = ExportSettings(format="obis", sample="label", current=current)
    assert export(tiny_collection.path, tmp_path / "out", settings).rows == 120
    assert "label" in seen and "image" not in seen


def test_tables_in_a_zip_are_small_and_pictures_as_they_are(tmp_path: Path) -> None:
    write(specimens(tmp_path), tmp_path / "out.zip", format="camtrap-dp", ranks=("class",))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        how = {Path(member.filename).suffix: member.compress_type for member in archive.infolist()}
    assert how == {".csv": zipfile.ZIP_DEFLATED, ".json": zipfile.ZIP_DEFLATED, ".png": zipfile.ZIP_STORED}


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rows, there = specimens(tmp_path), sorted(tmp_path.iterdir())
    monkeypatch.setattr(events, "eml", full)
    with pytest.raises(BiocosmosError, match="the disk is full"):
        write(rows, tmp_path / name, format="obis", ranks=("class",))
    assert sorted(tmp_path.iterdir()) == there


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    rows = specimens(tmp_path)
    for spoilt, survey in ((rows.drop_columns(["sample_id"]), Survey()), (rows, Survey(sample="none"))):
        with pytest.raises(BiocosmosError, match="column"):
            write(spoilt, tmp_path / "out", format="obis", survey=survey)
    nameless = rows.drop_columns(["label", "class", "object_annotation_status"])
    with pytest.raises(BiocosmosError, match="no taxon has a count"):
        write(nameless, tmp_path / "out", format="obis")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SettingError, match="never guessed"):
        ExportSettings(format="obis", volume="vol")
    failures = Failures()
    write(rows.drop_columns(["latitude", "longitude"]), tmp_path / "one", format="obis", ranks=("class",), failures=failures)
    assert any("decimalLatitude" in failure.reason for failure in failures)
