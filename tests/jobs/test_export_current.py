"""Specimens written as they are called now: who said it, a person or a machine, in every format, read back by two readers."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.export_current import export_current
from biocosmos.specimens import by_hand
from biocosmos.tables import write_table


@pytest.fixture
def named(tiny_collection):
    """The collection; ids of specimens that: have only their label, only a machine named, ada named over a machine, bob doubts,
    and nobody named."""
    collection = tiny_collection
    ids = collection.table(["id"])["id"].to_pylist()
    part = ids[40:80]
    none = pa.nulls(len(part), pa.string())
    table = pa.table({"id": part, **dict.fromkeys(dict.fromkeys(["label", *collection.ranks]), none)})
    collection.change(table, verb="update", clear=True)
    answers = pa.table(
        {
            "id": part[:20],
            "taxon": ["Copepoda"] * 19 + [None],
            "rank": ["class"] * 19 + [None],
            "kingdom": ["Animalia"] * 20,
            "kingdom_confidence": [0.99] * 20,
            "class": ["Copepoda"] * 20,
            "class_confidence": [0.9] * 20,
            "genus": ["Calanus"] * 20,
            "genus_confidence": [0.1] * 20,
            "confidence": [0.9] * 20,
            "best_guess": ["Calanus"] * 20,
            "novelty": [0.5] * 20,
            "method": ["linear"] * 20,
        }
    )
    said = {"encoder": {"name": "some-encoder", "digest": "abc"}, "software": {"biocosmos": "0.1.0"}, "method": "linear"}
    write_table(answers, collection.path / "identifications" / "20261129T101500000000Z.parquet", said)
    by_hand.record(collection, {"id": part[:2], "taxon": ["Hydrozoa"] * 2}, by="=ada", note="seen twice")
    by_hand.record(collection, {"id": ids[:2], "taxon": ["Copepoda"] * 2}, by="bob", status="dubious")
    return bc.Collection.open(collection.path), {
        "stored": ids[10],
        "machine": part[5],
        "ada": part[0],
        "dubious": ids[0],
        "nobody": part[30],
        "unsure": part[19],
    }


def rows_of(text, **how):
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text), **how)}


def test_csv_says_who_and_is_read_back(named, tmp_path):
    collection, who = named
    path = tmp_path / "now.csv"
    written = export_current(collection, path, ids=[*who.values(), "gone"], images=False, spreadsheet=True)
    assert written.rows == 6 and "1 ids that no specimen has" in next(iter(written.failures)).reason
    rows = rows_of(path.read_text(encoding="utf-8-sig"))
    assert list(rows) == list(who.values())  # in the order in which they were asked for
    ada, machine, stored = rows[who["ada"]], rows[who["machine"]], rows[who["stored"]]
    assert (ada["taxon"], ada["identificationVerificationStatus"]) == ("Hydrozoa", "ValidatedByHuman")
    assert ada["identifiedBy"] == "'=ada" and ada["dateIdentified"].endswith("Z")  # no spreadsheet runs it
    assert ada["identificationRemarks"] == "seen twice" and ada["object_annotation_status"] == "validated"
    assert (machine["taxon"], machine["rank"], machine["genus"]) == ("Copepoda", "class", "")  # what was not sure is no name
    assert (machine["identificationVerificationStatus"], machine["identifiedBy"]) == ("PredictedByMachine", "biocosmos")
    assert machine["identificationReferences"] == "biocosmos 0.1.0, encoder some-encoder (weights abc)"
    assert stored["label"] and not stored["identifiedBy"] and not stored["identificationVerificationStatus"]
    doubted = rows[who["dubious"]]
    assert doubted["object_annotation_status"] == "dubious" and not doubted["identificationVerificationStatus"]
    assert doubted["own_label"] and doubted["own_label"] != "Copepoda" and "bob doubts it" in doubted["identificationRemarks"]
    assert not rows[who["nobody"]]["taxon"] and not rows[who["unsure"]]["taxon"]
    again = bc.Collection.create(tmp_path / "again.cosmos")
    export_current(collection, tmp_path / "pictures.csv", ids=list(who.values()), spreadsheet=True)
    again.add(tmp_path / "pictures.csv")
    assert again.table(["id"])["id"].to_pylist() == list(who.values())
    assert again.table(["identifiedBy"])["identifiedBy"].to_pylist()[2] == "=ada"


def test_parquet_keeps_types_and_pictures(named, tmp_path):
    collection, who = named
    path = tmp_path / "now.parquet"
    export_current(collection, path, ids=list(who.values()))
    table = pq.read_table(path)
    assert table["id"].to_pylist() == list(who.values()) and table["image"].null_count == 0
    assert pa.types.is_floating(table.schema.field("confidence").type)
    bare = tmp_path / "bare.parquet"
    export_current(collection, bare, ids=list(who.values()), images=False)
    assert not {"image", "image_path"} & set(pq.read_table(bare).column_names)
    again = bc.Collection.create(tmp_path / "again.cosmos")
    assert again.add(path).added == 6


def test_darwin_core_tells_people_from_machines(named, tmp_path):
    collection, who = named
    path = tmp_path / "now.zip"
    export_current(collection, path, ids=list(who.values()), format="darwin-core")
    with zipfile.ZipFile(path) as archive:
        core = rows_of(archive.read("occurrence.txt").decode(), delimiter="\t")
        history = list(csv.DictReader(io.StringIO(archive.read("identification.txt").decode()), delimiter="\t"))
        assert archive.testzip() is None and "occurrence.txt" in archive.read("meta.xml").decode()
    ada, machine, doubted = core[who["ada"]], core[who["machine"]], core[who["dubious"]]
    status = "identificationVerificationStatus"
    assert (ada["scientificName"], ada[status], ada["identifiedBy"]) == ("Hydrozoa", "ValidatedByHuman", "=ada")
    assert ada["basisOfRecord"] != "MachineObservation" and ada["taxonRank"] == "class"
    assert (machine["scientificName"], machine[status], machine["basisOfRecord"]) == (
        "Copepoda",
        "PredictedByMachine",
        "MachineObservation",
    )
    assert "some-encoder" in machine["identificationReferences"] and machine["identifiedBy"] == "biocosmos"
    assert not doubted[status] and doubted["identifiedBy"] == "bob"
    of_ada = [row for row in history if row["coreid"] == who["ada"]]
    assert {(row["scientificName"], row[status]) for row in of_ada} == {
        ("Hydrozoa", "ValidatedByHuman"),
        ("Copepoda", "PredictedByMachine"),
    }
    of_bob = [row["scientificName"] for row in history if row["coreid"] == who["dubious"]]
    assert len(of_bob) == 2 and of_bob[1] == "Copepoda"  # what it was called before, and what he says
    again = bc.Collection.create(tmp_path / "again.cosmos")
    added = again.add(path)
    assert added.added == 6 and not added.failures.errors
    read = {row["id"]: row for row in again.table(["id", status, "identifiedBy"]).to_pylist()}
    assert read[who["ada"]][status] == "ValidatedByHuman" and read[who["machine"]][status] == "PredictedByMachine"


def test_ecotaxa_has_states_and_annotators(named, tmp_path):
    collection, who = named
    path = tmp_path / "now.zip"
    export_current(collection, path, ids=list(who.values()), format="ecotaxa")
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("ecotaxa_export.tsv").decode("utf-8-sig").splitlines()
        names = archive.namelist()
    rows = {row["object_id"]: row for row in csv.DictReader([lines[0], *lines[2:]], delimiter="\t")}
    assert set(lines[1].split("\t")) <= {"[t]", "[f]"} and len(rows) == 6
    state, category = "object_annotation_status", "object_annotation_category"
    ada, machine = rows[who["ada"]], rows[who["machine"]]
    assert (ada[category], ada[state], ada["object_annotation_person_name"]) == ("Hydrozoa", "validated", "=ada")
    assert len(ada["object_annotation_date"]) == 8 and len(ada["object_annotation_time"]) == 6
    assert (machine[category], machine[state]) == ("Copepoda", "predicted") and not machine["object_annotation_person_name"]
    assert "some-encoder" in machine["object_predicted_by"]
    assert rows[who["dubious"]][state] == "dubious" and not rows[who["nobody"]][category] and not rows[who["nobody"]][state]
    assert all(row["img_file_name"] in names for row in rows.values())
    again = bc.Collection.create(tmp_path / "again.cosmos")
    assert again.add(path).added == 6
    read = {row["id"]: row[state] for row in again.table(["id", state]).to_pylist()}
    assert read[who["ada"]] == "validated" and read[who["machine"]] == "predicted" and read[who["dubious"]] == "dubious"
    with pytest.raises(BiocosmosError, match="made of pictures"):
        export_current(collection, path, format="ecotaxa", images=False)


def test_on_the_command_line(named, tmp_path, biocosmos):
    collection, who = named
    listed = tmp_path / "ids.txt"
    listed.write_text("\r\n".join(who.values()) + "\n")
    biocosmos("export", collection.path, "-o", tmp_path / "a.csv", "--current", "--ids", listed, "--without-images")
    assert list(rows_of((tmp_path / "a.csv").read_text())) == list(who.values())
    listed = tmp_path / "ids.json"
    listed.write_text(json.dumps([who["ada"]]))
    biocosmos("export", collection.path, "-o", tmp_path / "b.csv", "--current", "--ids", listed, "--without-images")
    assert list(rows_of((tmp_path / "b.csv").read_text())) == [who["ada"]]
    biocosmos("export", collection.path, "-o", tmp_path / "c.csv", "--current", "--within", "Copepoda", "--without-images")
    assert all(
        row["class"] == "Copepoda" for row in rows_of((tmp_path / "c.csv").read_text()).values() if not row.get("own_label")
    )
    assert "--current" in biocosmos("export", collection.path, "-o", tmp_path / "d.csv", "--ids", listed, fails=2)
    listed.write_text("{}")
    assert "no list of ids" in biocosmos(
        "export", collection.path, "-o", tmp_path / "d.csv", "--current", "--ids", listed, fails=1
    )
    with pytest.raises(BiocosmosError, match="no specimen is selected"):
        export_current(collection, tmp_path / "e.csv", ids=["nobody"])


def test_without_names_of_anybody_it_is_what_is_stored(tiny_collection, tmp_path):
    written = export_current(tiny_collection, tmp_path / "a.csv", images=False)
    rows = rows_of((tmp_path / "a.csv").read_text())
    assert written.rows == len(rows) == 120 and "identifiedBy" not in next(iter(rows.values()))
    labels = dict(zip(*(tiny_collection.table([name])[name].to_pylist() for name in ("id", "label"))))
    assert {id_: row["label"] for id_, row in rows.items()} == labels
