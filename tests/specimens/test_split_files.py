"""Splits that come as text files with an id on each line, as CLIBD's do."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.split_files import read_parts

CLIBD = {
    "train_seen": "a b",
    "seen_keys": "c",
    "val_unseen_keys": "d",
    "test_unseen_keys": "e",
    "all_keys": "c d e",
    "no_split": "f",
    "no_split_and_seen_train": "f a b",
}


def folder_of(tmp_path: Path, files: dict[str, str], suffix: str = ".txt") -> Path:
    folder = tmp_path / "split"
    folder.mkdir()
    for name, ids in files.items():
        (folder / f"{name}{suffix}").write_text("\n".join(ids.split()) + "\n\n")
    return folder


def test_files_are_parts_and_unions_of_them_are_not(tmp_path: Path) -> None:
    parts, notes = read_parts(folder_of(tmp_path, CLIBD))
    assert parts == {
        "a": "train_seen",
        "b": "train_seen",
        "c": "seen_keys",
        "d": "val_unseen_keys",
        "e": "test_unseen_keys",
        "f": "no_split",
    }
    assert notes[0] == (
        "'all_keys' is seen_keys and test_unseen_keys and val_unseen_keys together, and no part of its own: "
        "ask for seen_keys+test_unseen_keys+val_unseen_keys"
    )
    assert len(notes) == 2


def test_an_id_in_two_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match=r"b is in one\.txt and in two\.txt: a specimen has one part"):
        read_parts(folder_of(tmp_path, {"one": "a b", "two": "b c"}))


@pytest.mark.parametrize("files", [{}, {"one": ""}])
def test_nothing_to_read_is_told(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(BiocosmosError, match=r"has no file \.txt with an id on each line"):
        read_parts(folder_of(tmp_path, files))


def test_lines_may_name_another_column(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    collection.add(
        pa.table(
            {
                "id": [f"P{i}" for i in range(7)],
                "sampleid": [*"abcdefg"],
                "species": ["Apis mellifera"] * 7,
                "barcode": ["ACGTTGCA" * 80] * 7,
            }
        )
    )
    folder = folder_of(tmp_path, CLIBD | {"more": "x y"})
    made = collection.make_split("files", files=folder, column="sampleid")
    assert made.part("train_seen").to_pylist() == ["P0", "P1"]
    assert len(made.ids) == 6
    told = " ".join(made.notes)
    assert "2 lines of the files are no 'sampleid' of the collection: x, y" in told
    assert "1 specimens in none of the files belong to no part" in told and "'all_keys' is" in told
    with pytest.raises(BiocosmosError, match="no 'id' of the collection is in the files"):
        collection.make_split("files", files=folder)


def test_the_command_line(tmp_path: Path, biocosmos) -> None:  # type: ignore[no-untyped-def]
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    collection.add(pa.table({"id": [*"abcdef"], "species": ["Apis mellifera"] * 6, "barcode": ["ACGTTGCA" * 80] * 6}))
    folder = folder_of(tmp_path, CLIBD)
    assert "train_seen" in biocosmos("split", collection.path, "--method", "files", "--files", folder)
    assert "--files" in biocosmos("split", collection.path, "--method", "files", fails=2)
    assert "does nothing here" in biocosmos("split", collection.path, "--files", folder, fails=2)
    assert "does nothing here" in biocosmos("split", collection.path, "--method", "bioscan", "--fractions", "train=1", fails=2)
