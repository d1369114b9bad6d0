"""Surveys out, tried on the rules that OBIS, GBIF, EcoTaxa and Camtrap DP publish, and read back by our own readers."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.settings import SettingError
from biocosmos.specimens.readers import read
from biocosmos.specimens.settings import ExportSettings
from biocosmos.specimens.writers import write
from biocosmos.specimens.writers.surveys.settings import Measure, Survey

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
