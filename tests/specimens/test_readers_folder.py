"""A folder of images: labels, ranks, metadata, and all that lies about in real folders."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import read
from reading import rows_of


def picture(path: Path, colour: tuple[int, int, int] = (90, 120, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), colour).save(path)
    return path


def test_sub_folders_are_labels_and_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    for name in ("oithona/b.JPG", "oithona/a.png", "calanus/z.tif"):
        picture(tmp_path / name)
    rows, failures, ranks = rows_of(tmp_path)
    assert [(row["id"], row["label"]) for row in rows] == [
        ("calanus/z.tif", "calanus"),
        ("oithona/a.png", "oithona"),
        ("oithona/b.JPG", "oithona"),
    ]
    assert [row["image_path"] for row in rows] == [str(tmp_path / str(row["id"])) for row in rows]
    assert ranks == ("label",)
    assert len(failures) == 0


def test_nested_folders_are_ranks(tmp_path: Path) -> None:
    picture(tmp_path / "Corvidae/Pica/Pica hudsonia/1.jpg")
    picture(tmp_path / "Corvidae/Pica/2.jpg")
    picture(tmp_path / "Corvidae/Corvus/Corvus corax/juvenile/3.jpg")
    rows, failures, ranks = rows_of(tmp_path, ranks=("family", "genus", "species"))
    by_id = {str(row["id"]).rsplit("/", 1)[1]: row for row in rows}
    assert ranks == ("family", "genus", "species")
    assert [by_id["1.jpg"][r] for r in ranks] == ["Corvidae", "Pica", "Pica hudsonia"]
    assert [by_id["2.jpg"][r] for r in ranks] == ["Corvidae", "Pica", None]
    assert [by_id["3.jpg"][r] for r in ranks] == ["Corvidae", "Corvus", "Corvus corax"]
    assert [f.severity for f in failures] == ["warning"]
    assert "4 folders deep" in next(iter(failures)).reason


def test_a_flat_folder_has_no_labels_and_no_complaints(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    rows, failures, ranks = rows_of(tmp_path)
    assert [row["id"] for row in rows] == ["a.jpg"]
    assert "label" not in rows[0] and ranks == () and len(failures) == 0


def test_an_image_beside_labelled_folders_is_kept_unlabelled_with_a_warning(tmp_path: Path) -> None:
    picture(tmp_path / "loose.jpg")
    picture(tmp_path / "copepod/a.jpg")
    rows, failures, _ = rows_of(tmp_path)
    assert {row["id"]: row["label"] for row in rows} == {"copepod/a.jpg": "copepod", "loose.jpg": None}
    assert [(f.severity, f.id) for f in failures] == [("warning", "loose.jpg")]


def test_train_and_test_folders_become_the_split(tmp_path: Path) -> None:
    picture(tmp_path / "train/copepod/a.jpg")
    picture(tmp_path / "test/copepod/b.jpg")
    rows, _, _ = rows_of(tmp_path)
    assert [(row["split"], row["label"]) for row in rows] == [("test", "copepod"), ("train", "copepod")]


def test_junk_is_ignored_and_other_files_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "copepod/a.jpg")
    for junk in (".DS_Store", "copepod/Thumbs.db", "copepod/._a.jpg", "__MACOSX/a.jpg", ".git/x.jpg"):
        (tmp_path / junk).parent.mkdir(exist_ok=True)
        (tmp_path / junk).write_bytes(b"junk")
    for other in ("notes.txt", "copepod/more.txt", "LICENSE"):
        (tmp_path / other).write_text("text")
    rows, failures, _ = rows_of(tmp_path)
    assert [row["id"] for row in rows] == ["copepod/a.jpg"]
    assert sorted(f.reason for f in failures) == [
        "1 file without a suffix: not images, left out",
        "1 hidden folder: left out",
        "2 files ending in .txt: not images, left out",
    ]
    assert failures.errors == 0


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_are_followed_and_a_loop_is_not(tmp_path: Path) -> None:
    picture(tmp_path / "data/copepod/a.jpg")
    picture(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "data/krill").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/copepod/again").symlink_to(tmp_path / "data")
    (tmp_path / "data/copepod/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    rows, failures, _ = rows_of(tmp_path / "data")
    assert [row["id"] for row in rows] == ["copepod/a.jpg", "krill/b.jpg"]
    assert [(f.severity, "link back" in f.reason) for f in failures] == [("warning", True), ("error", False)]


def test_a_file_name_that_is_not_utf8_is_a_failure(tmp_path: Path) -> None:
    picture(tmp_path / "ok.jpg")
    try:
        (Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9.jpg"))).write_bytes((tmp_path / "ok.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system has Unicode names only")
    rows, failures, _ = rows_of(tmp_path)
    assert [row["id"] for row in rows] == ["ok.jpg"]
    assert failures.table().column("reason").to_pylist() == ["the file name is not valid UTF-8: rename it"]


def test_metadata_is_joined_by_path_by_name_and_by_stem(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"):
        picture(tmp_path / "images" / name)
    (tmp_path / "labels.csv").write_text(
        "file,label,decimalLatitude,depth,catalog\n"
        "a/1.jpg,copepod,45.5,12,007\n"
        "2.jpg,krill,,13.5,008\n"
        "3,,91,,\n"
        "gone.jpg,krill,1,1,1\n"
        ",krill,1,1,1\n",
        encoding="utf-8",
    )
    rows, failures, _ = rows_of(tmp_path / "images", metadata=tmp_path / "labels.csv")
    assert [(r["id"], r["label"], r["latitude"], r["depth"], r["catalog"]) for r in rows] == [
        ("a/1.jpg", "copepod", 45.5, 12.0, "007"),
        ("a/2.jpg", "krill", None, 13.5, "008"),
        ("b/3.jpg", "b", None, None, None),
        ("b/4.jpg", "b", None, None, None),
    ]
    assert sorted((f.severity, f.row, f.reason) for f in failures) == [
        ("error", 4, "no image called 'gone.jpg' in the folder"),
        ("error", 5, "the name of the image is blank"),
        ("warning", 3, "latitude '91' is not a number of degrees within 90: left blank"),
        ("warning", 4, "no row in labels.csv: kept without metadata"),
    ]


def test_the_taxonomy_table_gives_ranks_and_names_labels_it_lacks_once(tmp_path: Path) -> None:
    for name in ("copepod_a/1.jpg", "detritus/2.jpg", "other/3.jpg", "other/4.jpg"):
        picture(tmp_path / "images" / name)
    (tmp_path / "taxonomy.csv").write_text(
        "label,status,group,kingdom,class,genus,scientificName\n"
        "copepod_a,living,copepod,Animalia,Copepoda,,Copepoda\n"
        "detritus,non-living,detritus,,,,\n"
    )
    rows, failures, ranks = rows_of(tmp_path / "images", taxonomy=tmp_path / "taxonomy.csv")
    assert ranks == ("status", "kingdom", "class", "genus", "label")
    assert [(r["label"], r["status"], r["class"], r["group"]) for r in rows] == [
        ("copepod_a", "living", "Copepoda", "copepod"),
        ("detritus", "non-living", None, "detritus"),
        ("other", None, None, None),
        ("other", None, None, None),
    ]
    assert [f.reason for f in failures] == ["the label 'other' is not in the taxonomy: kept without ranks"]


def test_batches_are_small_and_lazy(tmp_path: Path) -> None:
    one = picture(tmp_path / "one.jpg").read_bytes()
    for i in range(1030):
        (tmp_path / f"{i:04}.jpg").write_bytes(one)
    batches = list(read(tmp_path).batches)
    assert [batch.num_rows for batch in batches] == [1024, 7]
    assert len({batch.schema for batch in batches}) == 1
    assert batches[0].schema.field("id").type == pa.string()


def test_what_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="there is no file or folder"):
        read(tmp_path / "missing")
    (tmp_path / "x.bin").write_bytes(b"?")
    with pytest.raises(BiocosmosError, match="--format with one of folder, csv"):
        read(tmp_path / "x.bin")
    with pytest.raises(BiocosmosError, match="unknown format 'jpg'"):
        read(tmp_path, format="jpg")


def test_the_table_may_spell_names_otherwise(tmp_path: Path) -> None:
    for name in ("Fir/A.JPG", "fir/b  b.jpg", "fir/cafe\u0301.jpg", "fir/x.jpg", "fir/X.jpg"):
        picture(tmp_path / "data" / name)
    labels = "file,station\nfir\\a.jpg,1\nb b.jpg,2\nfir/CAF\u00c9.jpg,3\nfir/X.JPG,4\n"
    (tmp_path / "labels.csv").write_text(labels, encoding="utf-8")
    rows, failures, _ = rows_of(tmp_path / "data", metadata=tmp_path / "labels.csv")
    assert {row["id"]: row["station"] for row in rows} == {
        "Fir/A.JPG": 1,
        "fir/b  b.jpg": 2,
        "fir/caf\u00e9.jpg": 3,
        "fir/x.jpg": 4,
        "fir/X.jpg": 4,
    }
    assert any("shares the metadata of another image" in f.reason for f in failures)
