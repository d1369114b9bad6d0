"""What is there already: skipped where it is the same, told where something differs, found again where it was moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.specimens import appending
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import sample

Run = Callable[..., str]


def source(*rows: dict[str, object], ranks: tuple[str, ...] = (), origin: Path | None = None) -> Source:
    return Source("rows", "test", [pa.RecordBatch.from_pylist(list(rows))], ranks, origin=origin)


def image(row: int) -> bytes:
    return bytes(sample()["image"][row].as_py())


def photos(folder: Path, *names: str) -> Path:
    """One image of the sample a name, in sub-folders as the names say."""
    for row, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image(row))
    return folder


def reasons(collection: bc.Collection) -> dict[str, str]:
    return {str(row["id"]): row["reason"] for row in collection.failures.to_pylist() if row["severity"] == "error"}


@pytest.fixture
def collection(tmp_path: Path) -> bc.Collection:
    return bc.Collection.create(tmp_path / "c.cosmos")


def test_what_differs_in_one_source_is_told_and_what_repeats_is_counted(collection: bc.Collection) -> None:
    done = collection.add(
        source(
            {"id": "a", "image": image(0), "label": "fish", "crop": [0.0, 0.0, 9.0, 9.0], "barcode": "ACGT"},
            {"id": "a", "image": image(0), "label": "crab", "crop": [0.0, 0.0, 9.0, 9.0], "barcode": "ACGT"},
            {"id": "a", "image": image(0), "label": "fish", "crop": [5.0, 0.0, 9.0, 9.0], "barcode": "ACGT"},
            {"id": "a", "image": image(0), "label": "fish", "crop": [0.0, 0.0, 9.0, 9.0], "barcode": "TTTT"},
            {"id": "a", "image": image(1), "label": "fish", "crop": [0.0, 0.0, 9.0, 9.0], "barcode": "ACGT"},
            {"id": "a", "image": image(0), "label": "fish", "crop": [0.0, 0.0, 9.0, 9.0], "barcode": "ACGT"},
            {"id": "a", "image": image(0), "label": None, "crop": [0.0, 0.0, 9.0, 9.0], "barcode": None},  # says nothing else
        )
    )
    assert (done.added, done.known, done.repeated, done.different, done.refused) == (1, 0, 2, 4, 4)
    told = collection.failures["reason"].to_pylist()
    assert "stands earlier in this source, with another label ('fish' is stored, this says 'crab')" in told[0]
    assert "another crop" in told[1] and "another barcode" in told[2] and "another image" in told[3]


def test_a_correction_does_not_vanish(collection: bc.Collection) -> None:
    collection.add(source({"id": "a", "label": "fish", "genus": None}, {"id": "b", "label": "crab"}, ranks=("label",)))
    again = collection.add(
        source({"id": "a", "label": "eel", "genus": "Anguilla"}, {"id": "b", "label": "crab"}, ranks=("label",))
    )
    assert (again.added, again.known, again.different) == (0, 1, 1)
    said = reasons(collection)["a"]
    assert "is there already, with another label ('fish' is stored, this says 'eel')" in said
    assert "another genus (nothing is stored, this says 'Anguilla')" in said and "biocosmos update" in said
    assert collection.ranks == ("label",)  # a source that adds nothing changes no ranks


def test_the_whole_image_is_another_crop(collection: bc.Collection) -> None:
    collection.add(source({"id": "a", "image": image(0), "crop": [0.0, 0.0, 9.0, 9.0]}))
    whole = pa.RecordBatch.from_pylist(
        [{"id": "a", "image": image(0), "crop": None}],
        pa.schema({"id": pa.string(), "image": pa.binary(), "crop": pa.list_(pa.float32())}),
    )
    assert collection.add(Source("s", "test", [whole])).different == 1


def test_repeats_are_seen_across_batches_and_commits(collection: bc.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "COMMIT_ROWS", 4)
    batches = [pa.RecordBatch.from_pylist([{"id": f"{i}", "label": f"{i % 3}"}]) for i in range(11)]
    batches += [pa.RecordBatch.from_pylist([{"id": f"{i}", "label": "9"} for i in (0, 4, 10)] + [{"id": "10", "label": "1"}])]
    done = collection.add(Source("s", "test", batches))
    assert (done.added, done.different, done.repeated) == (11, 3, 1)
    told = collection.failures["reason"].to_pylist()
    assert ["('0' is stored" in told[0], "('1' is stored" in told[1], "('1' is stored" in told[2]] == [True] * 3


def test_a_missing_file_is_called_so_whether_its_id_is_known_or_not(tmp_path: Path, biocosmos: Run) -> None:
    photos(tmp_path, "i0.png", "i1.png")
    (tmp_path / "t.csv").write_text("id,file,label\ns0,i0.png,a\ns1,i1.png,a\n")
    (tmp_path / "moved.csv").write_text("id,file,label\ns0,gone/i0.png,a\ns1,gone/i1.png,a\n")
    biocosmos("ingest", tmp_path / "t.csv", "-o", tmp_path / "c")
    assert "2 x missing file" in biocosmos("ingest", tmp_path / "moved.csv", "-o", tmp_path / "c", fails=1)


def test_same_file_names_in_two_folders_take_a_prefix(tmp_path: Path, biocosmos: Run) -> None:
    photos(tmp_path / "one", "x.jpg")
    (photos(tmp_path / "two") / "").mkdir(exist_ok=True)
    (tmp_path / "two" / "x.jpg").write_bytes(image(7))
    biocosmos("ingest", tmp_path / "one", "-o", tmp_path / "c")
    assert "--id-prefix" in biocosmos("ingest", tmp_path / "two", "-o", tmp_path / "c", fails=1)
    biocosmos("ingest", tmp_path / "two", "-o", tmp_path / "c", "--id-prefix", "two/")
    assert bc.Collection.open(tmp_path / "c").table(["id"])["id"].to_pylist() == ["x.jpg", "two/x.jpg"]


def test_a_run_that_adds_nothing_says_why(tmp_path: Path, biocosmos: Run) -> None:
    folder = photos(tmp_path / "photos", "a/1.jpg", "b/2.jpg")
    biocosmos("ingest", folder, "-o", tmp_path / "c")
    biocosmos("ingest", folder, "-o", tmp_path / "c")  # the same again is well
    (tmp_path / "empty.csv").write_text("id,file,label\n")
    assert "no specimen" in biocosmos("ingest", tmp_path / "empty.csv", "-o", tmp_path / "c", fails=1)


@pytest.mark.parametrize("inside", [False, True])
def test_a_moved_folder_does_not_double_its_specimens(tmp_path: Path, biocosmos: Run, inside: bool) -> None:
    folder = photos(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "b/3.jpg")
    (folder / "b" / "copy.jpg").write_bytes(image(2))  # of b/3.jpg
    biocosmos("ingest", folder, "-o", tmp_path / "c")
    before = bc.Collection.open(tmp_path / "c").table(["id", "label", "content_hash"])
    if inside:  # the files' names below the folder, and so the ids, are others
        shutil.move(folder, tmp_path / "2026" / "photos")
        folder = tmp_path / "2026"
    else:
        folder = folder.rename(tmp_path / "elsewhere")
    for _ in range(2):
        biocosmos("ingest", folder, "-o", tmp_path / "c")
        collection = bc.Collection.open(tmp_path / "c")
        assert collection.table(["id", "label", "content_hash"]).equals(before)
    paths = [Path(path) for path in collection.table(["image_path"])["image_path"].to_pylist()]
    assert all(path.is_file() and path.is_relative_to(folder) for path in paths) and len(set(paths)) == 4
    (entry,) = collection.history()
    assert (entry.verb, entry.counts["specimens"]) == ("moved", 4)
    collection.undo()
    assert not any(Path(path).exists() for path in collection.table(["image_path"])["image_path"].to_pylist())


def test_a_copy_elsewhere_is_a_specimen_of_its_own(tmp_path: Path, biocosmos: Run) -> None:
    folder = photos(tmp_path / "photos", "a/1.jpg")
    biocosmos("ingest", folder, "-o", tmp_path / "c")
    shutil.copytree(folder, tmp_path / "copy" / "more")
    biocosmos("ingest", tmp_path / "copy", "-o", tmp_path / "c")
    collection = bc.Collection.open(tmp_path / "c")
    assert len(collection) == 2 and not collection.history()
    assert "byte-identical" in collection.failures["reason"].to_pylist()[-1]


def test_reading_a_source_again_replaces_what_failed_of_it(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    folder = photos(tmp_path / "photos", "a/1.jpg", "a/2.jpg")
    (folder / "a" / "bad.jpg").write_bytes(b"no image")
    (folder / "a" / "copy.jpg").write_bytes(image(0))
    collection.add(folder)
    first = collection.failures
    assert first["id"].to_pylist() == ["a/bad.jpg", "a/copy.jpg"]
    collection.add(folder)
    assert collection.failures.equals(first)
    (folder / "a" / "bad.jpg").write_bytes(image(5))
    collection.add(folder)
    assert collection.failures["id"].to_pylist() == ["a/copy.jpg"]


def test_names_of_columns_that_the_store_cannot_hold(collection: bc.Collection) -> None:
    row = {"id": "a", "net.mesh": 1, "net_mesh": 2, "a`b": 3, "_rowid": 4, "two words": 5, "embedding/x": 6, "line\nend": 7}
    collection.add(source(row))
    stored = collection.table().to_pylist()[0]
    assert {
        name: stored[name] for name in ("net_mesh_2", "net_mesh", "a_b", "_rowid_", "two words", "embedding/x_") if name in stored
    } == {"net_mesh_2": 1, "net_mesh": 2, "a_b": 3, "_rowid_": 4, "two words": 5}
    assert set(collection.filled_columns()) >= {"two words", "line_end"}


def test_a_crop_that_misses_its_image_is_refused_when_it_comes_not_when_it_is_embedded(collection: bc.Collection) -> None:
    crops = {
        "left": [-50.0, 0.0, 5.0, 5.0],
        "above": [0.0, -9.0, 5.0, 9.0],
        "far": [9000.0, 0.0, 5.0, 5.0],
        "part": [-2.0, -2.0, 9.0, 9.0],
    }
    done = collection.add(
        source(*({"id": name, "image": image(row), "crop": crop} for row, (name, crop) in enumerate(crops.items())))
    )
    assert done.added == 1 and collection.table(["id"])["id"].to_pylist() == ["part"]
    assert all("outside the image" in reasons(collection)[name] for name in ("left", "above", "far"))
