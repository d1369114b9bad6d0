"""One step from a machine's names to what EcoTaxa, GBIF and spreadsheets take, for names in files and names that were kept."""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.export import export
from biocosmos.settings import SettingError, UnusedSetting
from biocosmos.specimens.identifications import kept, read_kept, read_names
from biocosmos.specimens.settings import ExportSettings
from biocosmos.specimens.writers import Written
from biocosmos.tables import PROVENANCE_KEY, write_table

sys.path.append(str(Path(__file__).parents[1] / "specimens"))
from ecotaxa_rules import validate

SOFTWARE = {"biocosmos": "0.9", "time": "2026-02-03T04:05:06+00:00"}
ABOUT = {"method": "linear", "encoder": {"name": "efficientnet-lite0", "digest": "abc"}, "software": SOFTWARE}


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (6, 5), shade).save(out, "PNG")
    return out.getvalue()


def answers(ids: list[str], paths: list[str | None] | None = None) -> pa.Table:
    """What identify says of three: sure of the genus, of the family, of nothing."""
    rows = len(ids)

    def some(*values: Any) -> list[Any]:
        return [values[i % 3] for i in range(rows)]

    return pa.table(
        {
            "id": ids,
            "image_path": pa.array(paths or [None] * rows, pa.string()),
            "family": some("Oithonidae", "Oithonidae", "Acartiidae"),
            "genus": some("Oithona", "Oithona", "Acartia"),
            "family_confidence": some(0.99, 0.8, 0.3),
            "genus_confidence": some(0.95, 0.4, 0.2),
            "genus_2": some("Acartia", "Acartia", "Oithona"),
            "genus_2_confidence": some(0.01, 0.3, 0.1),
            "taxon": some("Oithona", "Oithonidae", None),
            "rank": some("genus", "family", None),
            "confidence": some(0.95, 0.8, None),
            "best_guess": some("Oithona", "Oithona", "Acartia"),
            "best_guess_confidence": some(0.95, 0.4, 0.2),
            "novelty": some(0.1, 0.2, 0.9),
            "novel": some(False, False, True),
            "neighbours": [[{"id": "x", "score": 0.5}]] * rows,
            "method": ["linear"] * rows,
        },
        metadata={PROVENANCE_KEY: json.dumps(ABOUT).encode()},
    )


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three image files, named as identify was asked with them."""
    (tmp_path / "new").mkdir()
    for i in range(3):
        (tmp_path / "new" / f"{i}.png").write_bytes(png(i))
    return [f"new/{i}.png" for i in range(3)]


@pytest.fixture
def collection(tmp_path: Path) -> bc.Collection:
    """Four objects of an EcoTaxa project: predicted, validated, unnamed, and one that nobody asked about."""
    made = bc.Collection.create(tmp_path / "mine.cosmos")
    made.add(
        pa.table(
            {
                "id": ["a", "b", "c", "d"],
                "image": pa.array([png(i) for i in range(10, 14)], pa.large_binary()),
                "label": ["egg<other", "Calanus", None, "egg<other"],
                "family": ["other", "Calanidae", None, "other"],
                "genus": ["egg", "Calanus", None, "egg"],
                "object_annotation_category": ["egg<other", "Calanus", None, "egg<other"],
                "object_annotation_status": ["predicted", "validated", None, "predicted"],
                "object_annotation_category_id": [7.0, 8.0, None, 7.0],
                "sample_id": ["s1", "s1", "s2", "s2"],
                "date": ["2020-06-13"] * 4,
            }
        )
    )
    return made


def sent(source: Path, output: Path, **how: Any) -> tuple[list[dict[str, str]], Written]:
    done = export(source, output, ExportSettings(format="ecotaxa", **how))
    verdict = validate(output)
    assert verdict.errors == []
    return verdict.rows, done


def table_in(path: Path, name: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(path) as archive:
        text = archive.read(name).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".json", ".jsonl"])
def test_names_in_a_file_go_back_to_ecotaxa_in_one_step(tmp_path: Path, files: list[str], suffix: str) -> None:
    path = write_table(answers(files, files), tmp_path / f"names{suffix}", ABOUT)
    rows, done = sent(path, tmp_path / "back.zip")
    assert done.rows == 3 and [row["object_id"] for row in rows] == files
    assert [row["object_annotation_category"] for row in rows] == ["Oithona", "Oithonidae", ""]
    assert [row["object_annotation_status"] for row in rows] == ["predicted", "predicted", ""]
    assert [row["object_annotation_hierarchy"] for row in rows] == ["Oithonidae>Oithona", "Oithonidae", ""]
    assert [row["object_genus"] for row in rows] == ["Oithona", "", ""]  # nothing below what was sure
    assert rows[0]["object_predicted_by"] == "biocosmos 0.9, encoder efficientnet-lite0 (weights abc)"
    assert any("1 rows have no answer" in failure.reason for failure in done.failures)


def test_names_in_a_file_become_machine_observations(tmp_path: Path, files: list[str]) -> None:
    path = write_table(answers(files, files), tmp_path / "names.csv", ABOUT)
    done = export(path, tmp_path / "published.zip", ExportSettings(format="darwin-core"))
    assert [failure.id for failure in done.failures] == [files[2]]  # no name, and no collection that has it as a specimen
    rows = table_in(tmp_path / "published.zip", "occurrence.txt")
    assert [row["basisOfRecord"] for row in rows] == ["MachineObservation"] * 2
    assert [row["identificationVerificationStatus"] for row in rows] == ["PredictedByMachine"] * 2
    assert {row["identificationReferences"] for row in rows} == {"biocosmos 0.9, encoder efficientnet-lite0 (weights abc)"}
    assert [(row["scientificName"], row["taxonRank"], row["genus"]) for row in rows] == [
        ("Oithona", "genus", "Oithona"),
        ("Oithonidae", "family", ""),
    ]
    history = table_in(tmp_path / "published.zip", "identification.txt")
    assert [row["dateIdentified"] for row in history] == ["2026-02-03"] * 2  # when it was said, not when it was written
    export(path, tmp_path / "sheet.csv", ExportSettings(spreadsheet=True))
    assert (tmp_path / "sheet.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    nobody = answers(files, files).slice(2)
    with pytest.raises(BiocosmosError, match="no name was sure enough"):
        export(write_table(nobody, tmp_path / "no.csv", ABOUT), tmp_path / "no.zip", ExportSettings(format="darwin-core"))
    assert not (tmp_path / "no.zip").exists()


def test_export_does_not_write_over_a_table_of_names(tmp_path: Path, files: list[str], collection: bc.Collection) -> None:
    names = write_table(answers(files, files), tmp_path / "names.csv", ABOUT)
    before = names.read_bytes()
    for source, how in (
        (names, ExportSettings()),
        (collection.path, ExportSettings()),
        (collection.path, ExportSettings(format="coco")),
    ):
        with pytest.raises(SettingError, match=r"names\.csv holds names that 'biocosmos identify' wrote.*--overwrite"):
            export(source, names, how)
    assert names.read_bytes() == before
    export(collection.path, names, ExportSettings(overwrite=True))
    assert names.read_bytes() != before
    export(collection.path, names, ExportSettings())  # what lies there now is an export, which may be made again
    packed = write_table(answers(files, files), tmp_path / "names.parquet", ABOUT)
    with pytest.raises(SettingError, match="--overwrite"):
        export(collection.path, packed, ExportSettings())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("sure", [0, 1])
def test_names_that_were_ingested_are_a_machines_still(tmp_path: Path, files: list[str], suffix: str, sure: int) -> None:
    """Also where none of them was sure: empty columns, by which answers are known, are not there then."""
    table = answers(files, [str(tmp_path / name) for name in files])
    if not sure:
        for name in ("taxon", "rank", "confidence"):
            table = table.set_column(table.column_names.index(name), name, pa.nulls(3, table.schema.field(name).type))
    path = write_table(table, tmp_path / f"names{suffix}")
    made = bc.Collection.create(tmp_path / "p.cosmos")
    made.add(bc.read(path))
    rows, _ = sent(made.path, tmp_path / "back.zip")
    want = [("Oithona", "predicted"), ("Oithonidae", "predicted"), ("", "")] if sure else [("", "")] * 3
    told = [(row.get("object_annotation_category", ""), row.get("object_annotation_status", "")) for row in rows]
    assert told == want
    assert [row.get("object_genus", "") for row in rows] == (["Oithona", "", ""] if sure else [""] * 3)
    export(made.path, tmp_path / "published.zip", ExportSettings(format="darwin-core"))
    records = table_in(tmp_path / "published.zip", "occurrence.txt")
    assert [row["scientificName"] for row in records] == [name for name, _ in want]
    assert {row["basisOfRecord"] for row in records} == {"MachineObservation"}


def test_a_table_that_went_through_a_spreadsheet_is_understood(tmp_path: Path, files: list[str]) -> None:
    write_table(answers(files, files).drop_columns(["neighbours"]), tmp_path / "names.csv", ABOUT)
    text = (tmp_path / "names.csv").read_text().replace(",", ";").replace(".", ",").replace(",png", ".png")
    (tmp_path / "excel.csv").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    table = read_names(tmp_path / "excel.csv")
    assert table["confidence"].to_pylist() == [0.95, 0.8, None] and table["novel"].to_pylist() == [False, False, True]
    rows, _ = sent(tmp_path / "excel.csv", tmp_path / "back.zip")
    assert [row["object_annotation_status"] for row in rows] == ["predicted", "predicted", ""]


def test_what_is_no_table_of_names_is_said_and_options_of_collections_are_refused(tmp_path: Path, files: list[str]) -> None:
    (tmp_path / "specimens.csv").write_text("id,file,label\na,new/0.png,x\n")
    with pytest.raises(BiocosmosError, match=r"no table of names .* ingest"):
        export(tmp_path / "specimens.csv", tmp_path / "x.zip", ExportSettings(format="ecotaxa"))
    nobody = answers(files, files).set_column(0, "id", pa.array([None, "b", "c"], pa.string()))
    with pytest.raises(BiocosmosError, match="1 rows have no id"):
        read_names(write_table(nobody, tmp_path / "nobody.parquet"))
    for name, content in (
        ("cut.parquet", b"PAR1"),
        ("cut.json", b'{"rows": ['),
        ("cut.csv", b"id,taxon\n1\n"),
        ("empty.csv", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BiocosmosError, match=name):
            read_names(tmp_path / name)
    path = write_table(answers(files, files), tmp_path / "names.csv")
    with pytest.raises(UnusedSetting, match="--where does nothing here"):
        export(path, tmp_path / "x.zip", ExportSettings(format="ecotaxa", where="1 = 1"))
    with pytest.raises(BiocosmosError, match="no collection"):
        export(tmp_path / "gone.cosmos", tmp_path / "x.csv")


def test_kept_names_are_listed_and_go_back_with_all_that_is_known_of_the_specimens(
    tmp_path: Path, collection: bc.Collection
) -> None:
    assert kept(collection) == []
    with pytest.raises(BiocosmosError, match=r"no identifications 'latest' .* \(kept: none\)"):
        read_kept(collection, "latest")
    collection.add_identifications(answers(["a", "b"]))
    collection.add_identifications(answers(["a", "b", "c"]))
    first, last = kept(collection)
    assert (first.specimens, last.specimens, last.named, last.method, last.encoder) == (2, 3, 2, "linear", "efficientnet-lite0")
    assert last.kept.startswith("20") and len(read_kept(collection, first.name)) == 2
    rows, done = sent(collection.path, tmp_path / "back.zip", identifications="latest")
    assert [row["object_id"] for row in rows] == ["a", "b", "c"]
    assert [row["object_annotation_category"] for row in rows] == ["Oithona", "Calanus", ""]
    # what a person validated in EcoTaxa stays as it is; ids and paths of the old name go
    assert [row["object_annotation_status"] for row in rows] == ["predicted", "validated", ""]
    assert [float(row["object_annotation_category_id"] or 0) for row in rows] == [0, 8, 0]
    assert [row["sample_id"] for row in rows] == ["s1", "s1", "s2"] and rows[0]["object_date"] == "20200613"
    assert rows[0]["object_own_label"] == "egg<other"
    assert [failure.id for failure in done.failures if "a person has named it" in failure.reason] == ["b"]


def test_a_taxon_with_homonyms_goes_back_as_ecotaxa_spells_it(tmp_path: Path, collection: bc.Collection) -> None:
    table = answers(["a", "c"])
    columns = {"family": ["other", "other"], "genus": ["egg", "egg"], "taxon": ["egg", "egg"], "rank": ["genus", "genus"]}
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    collection.add_identifications(table)
    rows, _ = sent(collection.path, tmp_path / "known.zip", identifications="latest")
    assert [row["object_annotation_category"] for row in rows] == ["egg<other", "egg<other"]
    homonyms = table.set_column(table.column_names.index("family"), "family", pa.array(["fish", "krill"]))
    rows, _ = sent(
        collection.path,
        tmp_path / "new.zip",
        identifications=str(write_table(homonyms, tmp_path / "homonyms.parquet", ABOUT)),
    )
    assert [row["object_annotation_category"] for row in rows] == ["egg<fish", "egg<krill"]


def test_in_darwin_core_a_specimens_own_name_stays_and_the_machines_is_history(tmp_path: Path, collection: bc.Collection) -> None:
    collection.add_identifications(answers(["a", "b", "c"]))
    how = ExportSettings(format="darwin-core", identifications="latest")
    export(collection.path, tmp_path / "published.zip", how)
    rows = table_in(tmp_path / "published.zip", "occurrence.txt")
    named = [(row["id"], row["scientificName"], row["basisOfRecord"]) for row in rows]
    assert named == [("a", "Oithona", "MachineObservation"), ("b", "Calanus", "Occurrence"), ("c", "", "MachineObservation")]
    said = table_in(tmp_path / "published.zip", "identification.txt")
    assert [(row["coreid"], row["scientificName"]) for row in said] == [("a", "Oithona"), ("b", "Oithonidae")]


def test_names_of_files_are_written_beside_those_of_specimens_and_a_selection_leaves_them_out(
    tmp_path: Path, collection: bc.Collection, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    collection.add_identifications(answers(["a", files[0], "a"], [None, files[0], None]))
    rows, done = sent(collection.path, tmp_path / "all.zip", identifications="latest")
    assert [row["object_id"] for row in rows] == ["a", files[0]]
    assert any("1 rows name an id that comes again" in failure.reason for failure in done.failures)
    rows, _ = sent(collection.path, tmp_path / "some.zip", identifications="latest", where="sample_id = 's1'")
    assert [row["object_id"] for row in rows] == ["a"]


def test_a_selection_is_written_without_its_empty_columns(tmp_path: Path, collection: bc.Collection) -> None:
    for name in ("x.csv", "x.parquet"):
        export(collection.path, tmp_path / name, ExportSettings(where="id = 'c'"))
        back = bc.read(tmp_path / name)
        table = pa.Table.from_batches(list(back.batches))
        assert {"label", "genus", "object_annotation_category"}.isdisjoint(
            table.column_names
        ) and "sample_id" in table.column_names


def test_the_failures_of_an_earlier_run_do_not_stand_beside_a_run_without(
    tmp_path: Path, collection: bc.Collection, biocosmos: Callable[..., str]
) -> None:
    beside = tmp_path / "up.failures.csv"
    collection.add(pa.table({"id": ["bare"], "barcode": ["ACGT" * 30]}))
    biocosmos("export", collection.path, "-o", tmp_path / "up.zip", "--format", "ecotaxa")
    assert "no image" in beside.read_text()
    biocosmos("export", collection.path, "-o", tmp_path / "up.zip", "--format", "ecotaxa", "--where", "id <> 'bare'")
    assert not beside.exists()
    beside.write_text("somebody's own\n")
    biocosmos("export", collection.path, "-o", tmp_path / "up.zip", "--format", "ecotaxa", "--where", "id <> 'bare'")
    assert beside.read_text() == "somebody's own\n"
