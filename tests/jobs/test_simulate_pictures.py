"""simulate pictures: from a table, a collection or nothing, to a collection or a table, and what it refuses."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.cli.app import app
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.simulate_pictures import SimulatePicturesSettings, simulate_pictures

SMALL = SimulatePicturesSettings(size=32, seed=4)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 barcodes of 12 species."""
    path = tmp_path_factory.mktemp("table") / "barcodes.parquet"
    pq.write_table(simulate_barcodes(seed=1, species=12, genera=4, specimens=60), path)
    return path


@pytest.fixture(scope="module")
def drawn(table: Path) -> bc.Collection:
    simulate_pictures(table, table.parent / "both.cosmos", SMALL, facts=table.parent / "facts.csv")
    return bc.Collection.open(table.parent / "both.cosmos")


def files_of(collection: bc.Collection) -> dict[str, bytes]:
    rows = collection.dataset.to_table(columns=["id", "image"]).to_pylist()
    return {row["id"]: row["image"] for row in rows}


def test_a_collection_has_pictures_barcodes_names_and_a_split(drawn: bc.Collection) -> None:
    rows = drawn.dataset.to_table(columns=["id", "image", "barcode", "species", "part", "look", "picture", "width"]).to_pylist()
    assert len(rows) == 60 and all(row["image"] and row["barcode"] and row["species"] for row in rows)
    assert {row["width"] for row in rows} == {32} and {row["picture"] for row in rows} == {"synthetic"}
    split = drawn.split()
    assert dict(zip(split.ids.to_pylist(), split.parts.to_pylist())) == {row["id"]: row["part"] for row in rows if row["part"]}
    assert {"train", "test", "val"} <= set(split.counts())


def test_facts_say_which_species_no_eye_can_tell(drawn: bc.Collection) -> None:
    with (drawn.path.parent / "facts.csv").open(newline="") as file:
        facts = list(csv.DictReader(file))
    assert len(facts) == 12 and sum(int(row["specimens"]) for row in facts) == 60
    looks = {row["species"]: row["look"] for row in drawn.dataset.to_table(columns=["species", "look"]).to_pylist()}
    assert all((row["cryptic"] == "true") == (looks[row["species"]] == "cryptic") for row in facts)


def test_some_of_them_and_those_of_a_collection_get_the_same_pictures(drawn: bc.Collection, table: Path, tmp_path: Path) -> None:
    simulate_pictures(table, tmp_path / "some.cosmos", SimulatePicturesSettings(size=32, seed=4, specimens=7))
    some = files_of(bc.Collection.open(tmp_path / "some.cosmos"))
    everything = files_of(drawn)
    assert len(some) == 7 and some.items() <= everything.items()
    again = simulate_pictures(drawn.path, tmp_path / "again.cosmos", SMALL)
    assert files_of(bc.Collection.open(tmp_path / "again.cosmos")) == everything
    assert again.parts == dict(drawn.split().counts())


def test_nothing_is_needed(tmp_path: Path) -> None:
    done = simulate_pictures(None, tmp_path / "both.cosmos", SimulatePicturesSettings(size=32, specimens=5))
    assert (done.specimens, done.pictures, done.barcodes) == (5, 5, 5)


def test_a_table_with_its_files_is_read_by_ingest(table: Path, tmp_path: Path) -> None:
    done = simulate_pictures(table, tmp_path / "p.csv", SimulatePicturesSettings(size=32, seed=4, specimens=9))
    assert done.pictures == 9 and len(list((tmp_path / "p").glob("*.jpg"))) == 9
    collection = bc.Collection.create(tmp_path / "p.cosmos")
    added = collection.add(bc.read(tmp_path / "p.csv"))
    assert added.added == 9 and not added.failures.errors
    rows = collection.dataset.to_table(columns=["image_path", "barcode"]).to_pylist()
    assert all(Path(row["image_path"]).is_file() and row["barcode"] for row in rows)


def test_some_lack_a_modality_and_none_lacks_both(table: Path, tmp_path: Path) -> None:
    told = SimulatePicturesSettings(size=32, missing_dna=0.4, missing_image=0.4)
    done = simulate_pictures(table, tmp_path / "both.cosmos", told, images=tmp_path / "files")
    rows = bc.Collection.open(tmp_path / "both.cosmos").dataset.to_table(columns=["barcode", "image_path"]).to_pylist()
    assert all(row["barcode"] or row["image_path"] for row in rows)
    assert 10 < sum(row["barcode"] is None for row in rows) == 60 - done.barcodes < 40
    assert 10 < sum(row["image_path"] is None for row in rows) == 60 - done.pictures < 40


def test_hostile_ids_and_names_are_drawn_and_stay_in_their_folder(tmp_path: Path) -> None:
    ids = ["../../up", "a/b", "A", "a", ".hidden", "-rf", "名前", "x" * 300, "=1+1", "con"]
    rows = pa.table({"id": ids, "barcode": ["ACGT" * 150] * 10, "genus": ["../x"] * 10, "species": ["../x\ny"] * 10})
    pq.write_table(rows, tmp_path / "odd.parquet")
    done = simulate_pictures(tmp_path / "odd.parquet", tmp_path / "out" / "odd.csv", SMALL)
    assert done.pictures == done.specimens == len(list((tmp_path / "out" / "odd").iterdir())) > 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["odd.parquet", "out"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"barcode": ["ACGT" * 150]}, "has no names at any rank"),
        ({"genus": ["Aedes"], "species": ["Aedes vexans"]}, "has no barcodes|no column|neither"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(columns: dict[str, list[str]], said: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], **columns}), tmp_path / "odd.parquet")
    with pytest.raises(BiocosmosError, match=said) as caught:
        simulate_pictures(tmp_path / "odd.parquet", tmp_path / "out.cosmos", SMALL)
    assert "\n" not in str(caught.value) and not (tmp_path / "out.cosmos").exists()


def test_a_taken_output_stays_as_it_is(table: Path, drawn: bc.Collection, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "mine.txt").write_text("mine")
    for output in (drawn.path, tmp_path / "p.csv", tmp_path / "p"):
        with pytest.raises(BiocosmosError, match=r"exists already|is not a collection"):
            simulate_pictures(table, output, SMALL)
    assert len(bc.Collection.open(drawn.path).dataset.to_table(columns=["id"])) == 60
    assert [p.name for p in (tmp_path / "p").iterdir()] == ["mine.txt"]


def test_what_is_read_and_what_lies_in_a_folder_is_never_written_over(table: Path, drawn: bc.Collection, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "SIM1-000001.jpg").write_text("mine")
    for output, images in ((table, tmp_path / "new"), (drawn.path, None), (tmp_path / "p.csv", tmp_path / "mine")):
        with pytest.raises(BiocosmosError, match=r"it is what is read|exists already"):
            simulate_pictures(drawn.path if output == drawn.path else table, output, SMALL, images=images, overwrite=True)
    assert (tmp_path / "mine" / "SIM1-000001.jpg").read_text() == "mine"
    with pytest.raises(BiocosmosError, match="lies inside the collection"):
        simulate_pictures(table, drawn.path / "more.cosmos", SMALL)


def test_parts_that_lack_everything_are_refused() -> None:
    with pytest.raises(BiocosmosError, match="may add up to 1"):
        SimulatePicturesSettings(missing_dna=0.7, missing_image=0.7)


def test_simulate_without_a_word_is_simulate_barcodes_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (
        ["simulate", "a.fasta", "--seed", "1"],
        ["simulate", "--seed", "1", "b.fasta"],
        ["simulate", "barcodes", "c.fasta", "--seed", "1"],
    ):
        assert CliRunner().invoke(app, line).exit_code == 0
    assert Path("a.fasta").read_bytes() == Path("b.fasta").read_bytes() == Path("c.fasta").read_bytes()
    assert "pictures" in CliRunner().invoke(app, ["simulate", "--help"]).output


MAKE = """
import hashlib, sys
from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.images.invented import with_pictures
from biocosmos.specimens.seen_unseen_split import seen_unseen_parts
table = simulate_barcodes(seed=1, species=30, genera=8, specimens=120)
parts, _ = seen_unseen_parts(*(table[name].to_pylist() for name in ("barcode", "species", "genus")))
files = with_pictures(table.slice(0, 3), RANKS, size=48)["image"].to_pylist()
print(parts.tolist(), [hashlib.sha256(file).hexdigest() for file in files])
"""


def test_another_process_makes_the_same_pictures_and_parts() -> None:
    said = [
        subprocess.run([sys.executable, "-c", MAKE], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("1", "2")
    ]
    assert said[0].stdout == said[1].stdout and b"train" in said[0].stdout
