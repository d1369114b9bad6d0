"""Events and measurements of a Darwin Core Archive: joined to what was found, our own survey exports among them."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.jobs.export import export
from biocosmos.specimens.readers import read
from biocosmos.specimens.records import Source
from biocosmos.specimens.settings import ExportSettings
from biocosmos.tables import write_table

DWC, OBIS = "http://rs.tdwg.org/dwc/terms/", "http://rs.iobis.org/obis/terms/"
NERC = "http://vocab.nerc.ac.uk/collection/"


def rows_of(path: Path) -> tuple[list[dict[str, object]], list[str]]:
    source = read(path)
    rows = [row for batch in source.batches for row in batch.to_pylist()]
    return rows, [failure.reason for failure in source.failures]


def table(kind: str, file: str, terms: tuple[str, ...], rows: list[str], *, core: bool = False) -> tuple[str, str, str]:
    """(part of meta.xml, file, its text); the first column is the id of the event."""
    tag, id_ = ("core", "id") if core else ("extension", "coreid")
    named = "".join(f'<field index="{i}" term="{DWC}{term}"/>' for i, term in enumerate(terms, 1))
    about = (
        f'<{tag} encoding="UTF-8" fieldsTerminatedBy="," linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1" '
        f'rowType="{kind}"><files><location>{file}</location></files><{id_} index="0"/>{named}</{tag}>'
    )
    return about, file, "\n".join([",".join(["id", *terms]), *rows]) + "\n"


def archive(folder: Path, *tables: tuple[str, str, str]) -> Path:
    folder.mkdir()
    for _, file, text in tables:
        (folder / file).write_text(text)
    (folder / "meta.xml").write_text(
        f'<archive xmlns="http://rs.tdwg.org/dwc/text/">{"".join(about for about, _, _ in tables)}</archive>'
    )
    return folder


EVENTS = ("parentEventID", "eventDate", "decimalLatitude", "decimalLongitude", "minimumDepthInMeters", "maximumDepthInMeters")
OCCURRENCES = ("occurrenceID", "scientificName", "occurrenceStatus")
FACTS = ("occurrenceID", "measurementType", "measurementTypeID", "measurementValue", "measurementUnit", "measurementUnitID")


def test_a_sample_has_of_its_cruise_what_it_does_not_say(tmp_path: Path) -> None:
    events = [
        "cruise,,2019-05-01/2019-05-20,,,,",
        "st1,cruise,,54.5,3.25,,",
        "st1-deep,st1,2019-05-03,,,50,100",
        "loop,loop,,,,,",
    ]
    found = [
        "st1-deep,o1,Calanus finmarchicus,present",
        "st1,o2,Oithona similis,",
        "st1,o3,Pica pica,absent",
        "loop,o4,Pica pica,",
    ]
    path = archive(
        tmp_path / "a",
        table(f"{DWC}Event", "event.txt", EVENTS, events, core=True),
        table(f"{DWC}Occurrence", "occ.txt", OCCURRENCES, found),
    )
    rows, said = rows_of(path)
    by_id = {row["id"]: row for row in rows}
    assert sorted(by_id) == ["o1", "o2", "o4"] and "1 occurrences are absent: no specimens, left out" in said
    deep, station = by_id["o1"], by_id["o2"]
    assert (deep["latitude"], deep["longitude"], deep["date"]) == (54.5, 3.25, "2019-05-03")
    assert (deep["depth_min"], deep["depth_max"]) == (50, 100) and deep["parentEventID"] == "st1"
    assert station["date"] == "2019-05-01/2019-05-20" and station.get("depth_min") is None, "nothing comes from below"


def test_measurements_are_columns_of_what_they_were_made_of(tmp_path: Path) -> None:
    events = ["e1,,2019-05-01,54,3,,", "e2,,2019-05-02,54,3,,"]
    found = ["e1,o1,Calanus finmarchicus,", "e1,o2,Oithona similis,", "e2,o3,Pica pica,"]
    count = f"{NERC}P01/current/OCOUNT01/"
    facts = [
        f"e1,o1,Count of something,{count},12,Dimensionless,{NERC}P06/current/UUUU/",
        f"e1,o1,Count of something,{count},13,Dimensionless,{NERC}P06/current/UUUU/",
        "e1,o2,Wet weight,,1.5,g,",
        "e1,,Water temperature,,8.25,°C,",
        "e1,o2,Water temperature,,9.5,°C,",
        "e2,,Sea state,,calm,,",
        "e2,gone,Wet weight,,2,g,",
        "e2,o3,,,4,,",
        "e2,o3,Wet weight,,,g,",
    ]
    path = archive(
        tmp_path / "a",
        table(f"{DWC}Event", "event.txt", EVENTS, events, core=True),
        table(f"{DWC}Occurrence", "occ.txt", OCCURRENCES, found),
        table(f"{OBIS}ExtendedMeasurementOrFact", "emof.txt", FACTS, facts),
    )
    rows, said = rows_of(path)
    names = ("count", "wet_weight_g", "water_temperature_c", "sea_state")
    assert {row["id"]: tuple(row[name] for name in names) for row in rows} == {
        "o1": (12, None, 8.25, None),
        "o2": (None, 1.5, 9.5, None),
        "o3": (None, None, None, "calm"),
    }
    assert said == [
        "is of the occurrence 'gone', which is not there or is absent",
        "1 measurements come again for one occurrence: the first counts",
    ]


def test_measurements_of_a_core_of_occurrences_are_columns_too(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a",
        table(f"{DWC}Occurrence", "occ.txt", ("scientificName",), ["o1,Pica pica", "o2,Pica pica"], core=True),
        table(f"{DWC}MeasurementOrFact", "mof.txt", FACTS[1:], ["o2,Wing,,12.5,cm,"]),
    )
    rows, said = rows_of(path)
    assert [(row["id"], row["wing_cm"]) for row in rows] == [("o1", None), ("o2", 12.5)] and not said


def cruise(folder: Path) -> bc.Collection:
    rows = [
        {"id": f"s{i}", "sample_id": "a" if i < 3 else "b", "label": "Oithona" if i % 2 else "Copepoda", "class": "Copepoda"}
        | {"latitude": -17.0, "longitude": 178.0 if i < 3 else -179.0, "date": "2026-06-01" if i < 3 else "2026-06-02/2026-06-03"}
        | {"depth_min": 20.0, "depth_max": 50.0, "vol": 12.5, "barcode": "ACGT"}
        for i in range(5)
    ]
    made = bc.Collection.create(folder / "cruise.cosmos")
    made.add(Source("cruise", "table", pa.Table.from_pylist(rows).to_batches(), ("class",)))
    return made


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_our_own_export_for_obis_is_taken_in_again(tmp_path: Path, name: str) -> None:
    export(cruise(tmp_path).path, tmp_path / name, ExportSettings(format="obis", volume="vol=m3", absences=True))
    again = bc.Collection.create(tmp_path / "again.cosmos")
    again.add(read(tmp_path / name))
    columns = ["id", "eventID", "label", "class", "latitude", "longitude", "date", "depth_min", "depth_max"]
    rows = {row["id"]: row for row in again.table([*columns, "count", "abundance_per_m3"]).to_pylist()}
    assert {id_: (row["eventID"], row["count"], row["abundance_per_m3"]) for id_, row in rows.items()} == {
        "a:Copepoda": ("a", 2, pytest.approx(2 / 12.5)),
        "a:Oithona": ("a", 1, pytest.approx(1 / 12.5)),
        "b:Copepoda": ("b", 1, pytest.approx(1 / 12.5)),
        "b:Oithona": ("b", 1, pytest.approx(1 / 12.5)),
    }
    for row in rows.values():
        first = row["eventID"] == "a"
        assert (row["latitude"], row["longitude"]) == (-17.0, 178.0 if first else -179.0)
        assert row["date"] == ("2026-06-01" if first else "2026-06-02/2026-06-03")
        assert (row["depth_min"], row["depth_max"], row["class"]) == (20.0, 50.0, "Copepoda")
        assert row["label"] == row["id"][2:]


@pytest.mark.parametrize("format", ["obis", "ecotaxa-summary"])
def test_a_survey_of_a_table_of_names_has_samples_and_places_of_its_collection(tmp_path: Path, format: str) -> None:
    collection = cruise(tmp_path)
    names = {
        "id": [f"s{i}" for i in range(4)],
        "taxon": ["Copepoda", "Copepoda", "Copepoda", None],
        "rank": ["class"] * 3 + [None],
    }
    names |= {"class": ["Copepoda"] * 3 + [None], "class_confidence": [0.9, 0.8, 0.7, 0.2]}
    told = {"confidence": [0.9, 0.8, 0.7, 0.2], "novelty": [0.1] * 4, "method": ["linear"] * 4, "encoder": ["x"] * 4}
    file = tmp_path / "names.parquet"
    write_table(pa.table(names | told), file, {"queries": {"collection": str(collection.path)}})
    written = export(file, tmp_path / "out", ExportSettings(format=format, volume="vol=m3"))
    assert written.rows == 3
    first = tmp_path / "out" / ("event.txt" if format == "obis" else "concentrations.tsv")
    with first.open(newline="") as text:
        rows = list(csv.DictReader(text, delimiter="\t"))
    if format == "obis":
        assert {row["eventID"]: row["decimalLongitude"] for row in rows} == {"a": "178", "b": "-179"}
    else:
        assert {(row["sampleid"], row["concentration"]) for row in rows} == {("a", "0.24"), ("b", "0")}
