"""Corrections by id: what a table says of specimens that are there, and the ranks that belong to it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care.undo import history_table
from biocosmos.specimens.records import Source

RANKS = ("class", "order", "genus", "label")


@pytest.fixture
def flies(tmp_path: Path) -> bc.Collection:
    """Six specimens with ranks, one photograph as a file, one packed, and vectors."""
    rows = [
        {"id": "1", "class": "Insecta", "order": "Diptera", "genus": "Musca", "label": "Musca", "count": 3},
        {"id": "2", "class": "Insecta", "order": "Diptera", "genus": "Musca", "label": "Musca", "count": 4},
        {"id": "3", "class": "Insecta", "order": "Diptera", "genus": "Culex", "label": "Culex", "count": None},
        {"id": "4", "class": "Insecta", "order": "Coleoptera", "genus": None, "label": "a beetle", "count": 1},
        {"id": "file", "class": None, "order": None, "genus": None, "label": None, "image_path": str(tmp_path / "a.png")},
        {"id": "packed", "class": None, "order": None, "genus": None, "label": None, "image": png(1)},
    ]
    (tmp_path / "a.png").write_bytes(png(0))
    collection = bc.Collection.create(tmp_path / "flies.cosmos")
    collection.add(Source("flies", "test", [pa.RecordBatch.from_pylist(part) for part in (rows[:4], rows[4:5], rows[5:])], RANKS))
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    collection.add_embedding("mine", [row["id"] for row in rows], vectors)
    return collection


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 10), (shade * 40, 90, 120)).save(out, "png")
    return out.getvalue()


def write(tmp_path: Path, text: str, name: str = "corrections.csv") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def row(collection: bc.Collection, id_: str) -> dict[str, object]:
    (found,) = collection.take([id_], collection.dataset.schema.names).to_pylist()
    return dict(found)


def path_of(collection: bc.Collection, id_: str) -> list[object]:
    return [row(collection, id_)[rank] for rank in RANKS]


def test_a_corrected_label_brings_the_ranks_that_the_collection_knows_of_it(flies: bc.Collection, tmp_path: Path) -> None:
    summary = flies.update(write(tmp_path, "id,label\n1,Culex\n4,Musca\n2,Musca\n3,Coleoptera\n"))
    assert path_of(flies, "1") == ["Insecta", "Diptera", "Culex", "Culex"]
    assert path_of(flies, "4") == ["Insecta", "Diptera", "Musca", "Musca"]
    assert path_of(flies, "3") == ["Insecta", "Coleoptera", None, "Coleoptera"], "a taxon of the tree, though no label so far"
    assert (summary.specimens, summary.unchanged) == (3, 1)
    assert flies.taxonomy.find("genus:Culex") and "mine" in flies.encoders
    assert all(one["embedding/mine"] is not None for one in flies.dataset.to_table().to_pylist())


def test_a_label_that_nobody_knows_is_told_and_ranks_of_the_table_go_before(flies: bc.Collection, tmp_path: Path) -> None:
    summary = flies.update(write(tmp_path, "id,label,genus\n1,Aedes,\n2,Aedes aegypti,Aedes\n"))
    assert path_of(flies, "1") == ["Insecta", "Diptera", "Musca", "Aedes"]
    assert path_of(flies, "2") == ["Insecta", "Diptera", "Aedes", "Aedes aegypti"]
    (told,) = summary.failures
    assert (told.id, told.severity) == ("1", "warning") and "knows no ranks of the label 'Aedes'" in told.reason
    assert flies.failures["reason"].to_pylist()[-1] == told.reason


def test_blank_cells_leave_alone_unless_they_are_to_clear_and_types_are_kept(flies: bc.Collection, tmp_path: Path) -> None:
    table = write(tmp_path, "id;count;note\n1;;seen twice\n2;many;\n", "corrections.csv")
    summary = flies.update(table)
    assert [row(flies, id_)["count"] for id_ in ("1", "2")] == [3, 4]
    assert [row(flies, id_)["note"] for id_ in ("1", "2")] == ["seen twice", None]
    assert [told.reason for told in summary.failures] == ["column 'count' holds int64: the value 'many' was left out"]
    flies.update(write(tmp_path, "id\tcount\n1\t\n", "corrections.tsv"), clear=True)
    assert row(flies, "1")["count"] is None


def test_any_table_and_any_names_of_columns(flies: bc.Collection, tmp_path: Path) -> None:
    frame = pd.DataFrame({"Nr": [1, 2], "Gattung": pd.Categorical(["Fannia", "Fannia"])})
    flies.update(frame, columns={"Nr": "id", "Gattung": "genus"}, by="Ada")
    assert row(flies, "2")["genus"] == "Fannia"
    flies.update(pd.DataFrame({"id": [1.0, np.nan], "genus": ["Hydrotaea", "x"]}))
    assert row(flies, "1")["genus"] == "Hydrotaea"
    with pytest.raises(BiocosmosError, match=r"none.csv has no row: nothing was changed"):
        flies.update(write(tmp_path, "id,genus\n", "none.csv"))
    pq.write_table(pa.table({"id": ["1"], "genus": ["Muscina"]}), tmp_path / "c.parquet")
    flies.update(tmp_path / "c.parquet")
    assert row(flies, "1")["genus"] == "Muscina"
    assert next(entry.by for entry in flies.history()) == "Ada"
    with pytest.raises(BiocosmosError, match="has no column of ids: say which, as in --column id=NAME; its columns: Nr"):
        flies.update(frame)
    odd = {"id": ["1"], "class": [7], "net.mesh": [[1, 2]], "_rowid": ["x"], "box": [{"a": 1}], "embedding/mine": ["y"]}
    flies.update(odd)
    found = row(flies, "1")
    assert (found["class"], found["net_mesh"], found["box"]) == ("7", "[1, 2]", '{"a": 1}') and "x" in found.values()
    flies.update({"id": ["packed"], "image": [png(3)]})
    assert flies.image_bytes("packed") == png(3)
    with pytest.raises(BiocosmosError, match="is no table"):
        flies.update(write(tmp_path, "x", "notes.docx"))


def test_a_taxonomy_gives_ranks_to_a_collection_that_exists(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    collection.add(pa.table({"id": ["1", "2", "3"], "label": ["Musca", "Culex", "stone"], "text": ["a", "b", "c"]}))
    tree = write(
        tmp_path, "label,order,family\nMusca,Diptera,Muscidae\nCulex,Diptera,Culicidae\nApis,Hymenoptera,Apidae\n", "tree.csv"
    )
    summary = collection.update(taxonomy=tree)
    assert collection.ranks == ("order", "family", "label")
    assert collection.table(["family"])["family"].to_pylist() == ["Muscidae", "Culicidae", None]
    assert collection.count(within="Diptera") == 2
    assert summary.specimens == 2 and len(summary.notes) == 2 and "'stone'" in summary.notes[0] and "'Apis'" in summary.notes[1]
    collection.undo()
    assert "family" not in collection.stored_columns


def test_a_checklist_in_a_zip_gives_ranks_as_it_does_at_ingest(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    labels = ["Musca domestica Linnaeus, 1758", "Musca vulgaris", "stone"]
    collection.add(pa.table({"id": ["1", "2", "3"], "label": labels, "text": ["a", "b", "c"]}))
    usages = (
        "ID\tparentID\tstatus\trank\tscientificName\nf\t\taccepted\tfamily\tMuscidae\ng\tf\taccepted\tgenus\tMusca\n"
        "s\tg\taccepted\tspecies\tMusca domestica\nv\ts\tsynonym\tspecies\tMusca vulgaris\n"
    )
    with zipfile.ZipFile(tmp_path / "coldp.zip", "w") as archive:
        archive.writestr("NameUsage.tsv", usages)
    summary = collection.update(taxonomy=tmp_path / "coldp.zip")
    assert collection.table(["family"])["family"].to_pylist() == ["Muscidae", "Muscidae", None]
    assert collection.table(["species"])["species"].to_pylist() == ["Musca domestica", "Musca domestica", None]
    assert any("'Musca vulgaris' is a synonym of Musca domestica" in failure.reason for failure in summary.failures)
    assert len(summary.notes) == 1 and "1 labels are not in the taxonomy" in summary.notes[0] and "'stone'" in summary.notes[0]
    with pytest.raises(BiocosmosError, match="gives no rank"):
        collection.update(taxonomy=write(tmp_path, "Name;Oberbegriff\nMusca;Tier\n", "own.csv"))


def test_a_column_that_is_new_is_told_with_what_was_perhaps_meant(flies: bc.Collection, tmp_path: Path) -> None:
    table = write(tmp_path, "Nummer,Bestimmung\n1,Musca domestica\n", "corrections.csv")
    note = "makes a new column 'Bestimmung': --column label=Bestimmung if it corrects the label"
    summary = flies.update(table, columns={"Nummer": "id"})
    assert summary.notes == [note] and "Bestimmung" in flies.stored_columns
    assert flies.update(table, columns={"Nummer": "id"}).notes == []  # it is there now
    assert flies.update(table, columns={"Nummer": "id", "Bestimmung": "label"}).notes == []


def test_columns_that_are_there_become_ranks(flies: bc.Collection, tmp_path: Path) -> None:
    flies.update(write(tmp_path, "id,habit\n1,flying\n2,flying\n"))
    assert "habit" not in flies.ranks
    flies.update(ranks=["habit", "class"])
    assert flies.ranks[:2] == ("habit", "class") and flies.count(within="habit:flying") == 2
    for ranks, problem in (
        (["tribe"], "no column for the rank 'tribe'"),
        (["count"], "holds int64"),
        (["genus", "class"], "do not fit"),
    ):
        with pytest.raises(BiocosmosError, match=problem):
            flies.update(ranks=ranks)
    with pytest.raises(BiocosmosError, match="say what to correct"):
        flies.update()


def test_another_image_takes_the_vectors_of_its_specimen_and_the_same_image_does_not(
    flies: bc.Collection, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "moved.png").write_bytes(png(0))
    (tmp_path / "new" / "same.png").write_bytes(png(1))
    summary = flies.update(write(tmp_path, "id,file\nfile,new/moved.png\npacked,new/same.png\n1,new/none.png\n"))
    assert summary.columns == {"image_path": 1} and summary.vectors == 0, "the same bytes elsewhere: only the path"
    assert row(flies, "file")["image_path"] == str(tmp_path / "new" / "moved.png")
    assert [(told.id, told.reason) for told in summary.failures] == [("1", "missing file: the specimen keeps its image")]
    for id_, name in (("file", "other.png"), ("packed", "third.png")):
        (tmp_path / "new" / name).write_bytes(png(4))
        before = row(flies, id_)
        assert flies.update(write(tmp_path, f"id,file\n{id_},new/{name}\n")).vectors == 1
        now = row(flies, id_)
        assert now["embedding/mine"] is None and now["content_hash"] != before["content_hash"]
        assert flies.image_bytes(id_) == png(4) and (now["image"] is not None) == (id_ == "packed")
        flies.undo()
        assert row(flies, id_) == before
    assert flies.update(write(tmp_path, 'id,crop\n2,"[1, 2, 3, 4]"\n3,"[1, 2]"\n')).vectors == 1
    assert row(flies, "2")["crop"] == [1.0, 2.0, 3.0, 4.0]


def test_the_table_that_export_wrote_comes_back_as_it_was_but_for_what_was_edited(flies: bc.Collection, tmp_path: Path) -> None:
    from biocosmos.specimens.writers import write as export

    export(flies.scan(flies.filled_columns()), tmp_path / "out.csv", ranks=flies.ranks)
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert flies.update(tmp_path / "out.csv").entry is None
    summary = flies.update(write(tmp_path, text.replace("a beetle", "Culex"), "out.csv"))
    assert path_of(flies, "4") == ["Insecta", "Diptera", "Culex", "Culex"]
    assert summary.specimens == 1 and not len(summary.failures)


def test_a_table_without_ids_is_about_the_files_it_names(tmp_path: Path) -> None:
    for name in ("fir/a.png", "fir/b.png", "oak/b.png", "oak/c.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(png(len(name) + ord(name[-5])))
    collection = bc.Collection.create(tmp_path / "trees.cosmos")
    collection.add(tmp_path / "photos")
    text = f"file,label\na.png,spruce\nb.png,pine\noak/b.png,ash\n{tmp_path}/photos/oak/c.png,elm\n"
    summary = collection.update(write(tmp_path, text))
    paths = collection.table(["image_path", "label"]).to_pylist()
    labels = {str(Path(one["image_path"]).relative_to(tmp_path / "photos")): one["label"] for one in paths}
    assert labels == {"fir/a.png": "spruce", "fir/b.png": "fir", "oak/b.png": "ash", "oak/c.png": "elm"}
    assert [(told.id, told.reason) for told in summary.failures if told.severity == "error"] == [
        ("b.png", "several specimens have an image file of this name: say which by id, or by its folder"),
    ]


def test_a_scientific_name_corrects_genus_and_label(flies: bc.Collection, tmp_path: Path) -> None:
    flies.update(write(tmp_path, "id,scientificName\n1,Aedes aegypti\n"))
    found = row(flies, "1")
    assert (found["genus"], found["species"], found["label"]) == ("Aedes", "Aedes aegypti", "Aedes aegypti")


def test_what_is_removed_is_kept_and_comes_back_with_its_vectors(flies: bc.Collection) -> None:
    before = {one["id"]: one for one in flies.dataset.to_table().to_pylist()}
    with pytest.raises(BiocosmosError, match="say which specimens"):
        flies.remove()
    with pytest.raises(BiocosmosError, match="nothing was removed"):
        flies.remove(where="label = 'Bombus'")
    would = flies.remove(["packed", "nobody"], dry_run=True)
    assert (would.specimens, len(flies)) == (1, 6)
    flies.remove(["packed", "1"])
    flies.remove(within="genus:Culex", where="class = 'Insecta'")
    assert flies.table(["id"])["id"].to_pylist() == ["2", "4", "file"]
    flies.undo()
    with pytest.raises(BiocosmosError, match=r"change 2 of .* was undone by change 3"):
        flies.undo(2)
    flies.undo()
    assert {one["id"]: one for one in flies.dataset.to_table().to_pylist()} == before, "images and vectors too"
    summary = flies.remove(where="id IS NOT NULL")
    assert summary.specimens == 6 and len(flies) == 0
    flies.undo()
    assert {one["id"]: one for one in flies.dataset.to_table().to_pylist()} == before
    flies.add(pa.table({"id": ["new"], "text": ["x"]}))
    flies.remove(["new"])
    flies.add(pa.table({"id": ["new"], "text": ["x"]}))
    with pytest.raises(BiocosmosError, match=r"is there again since \('new'\)"):
        flies.undo()


class Person(io.StringIO):
    """Somebody at the keyboard."""

    def isatty(self) -> bool:
        return True


def test_remove_asks_whoever_can_be_asked(
    flies: bc.Collection, biocosmos: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("remove", flies.path, "--within", "genus:Musca")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "say --yes to do it" in biocosmos(*command, fails=2)
    monkeypatch.setattr("sys.stdin", Person("n\n"))
    assert "nothing was done" in biocosmos(*command, fails=1)
    assert len(flies) == 6
    monkeypatch.setattr("sys.stdin", Person("y\n"))
    biocosmos(*command)
    assert flies.table(["id"])["id"].to_pylist() == ["3", "4", "file", "packed"]


def test_what_cannot_be_read_keeps_what_is_there_and_says_so(tmp_path: Path) -> None:
    made = bc.Collection.create(tmp_path / "c.cosmos")
    made.add(pa.table({"id": ["a", "b"], "label": ["x", "y"], "barcode": ["ACGT" * 30, "ACGT" * 30], "latitude": [1.0, 2.0]}))
    table = tmp_path / "t.csv"
    table.write_text("id,latitude\na,123\nb,3\n")
    reasons = [failure.reason for failure in made.update(table).failures]
    assert len(reasons) == 1 and reasons[0].endswith(": kept as it was")
    assert made.table(["id", "latitude"])["latitude"].to_pylist() == [1.0, 3.0]
    made.remove(["a"])
    assert made.history()[-1].arguments == {}
    assert history_table(made)["what"].to_pylist()[-1] == "specimens named by their ids"
    other = bc.Collection.create(tmp_path / "d.cosmos")
    other.add(pa.table({"id": ["b"], "label": ["z"], "barcode": ["ACGG" * 30]}))
    whole, _ = bc.Collection.merged([made.path, other.path], tmp_path / "e.cosmos", id_prefix={"d.cosmos": "south-"})
    said = "c.cosmos and d.cosmos put together; ids of d.cosmos begin with 'south-'"
    assert history_table(whole)["what"].to_pylist()[-1] == said


def test_a_dry_run_says_how_many_cells_it_does_not_list(
    tmp_path: Path, biocosmos: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bc.Collection.create(tmp_path / "c.cosmos")
    ids = [f"s{i:02}" for i in range(25)]
    made.add(pa.table({"id": ids, "label": ["x"] * 25, "barcode": ["ACGT" * 30] * 25}))
    table = tmp_path / "t.csv"
    table.write_text("id,label\n" + "".join(f"{id_},y\n" for id_ in ids))
    said: list[str] = []
    monkeypatch.setattr("biocosmos.cli.care.say", said.append)
    biocosmos("update", made.path, table, "--dry-run")
    assert "and 13 more (-o FILE has all)" in said
    assert re.search(r"size on disk\t[\d.]+ kB", biocosmos("info", made.path))
    biocosmos("remove", made.path, "--where", "label = 'x'", "--dry-run")
    assert "s11 and 13 more" in said[-1]
