"""Hugging Face datasets, with files written out as the library writes them: features in the schema, shards, saved folders."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import detect, read

Rows = list[dict[str, Any]]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["fir", "oak"], "_type": "ClassLabel"},
    "tags": {"feature": {"names": ["wet", "dry"], "_type": "ClassLabel"}, "_type": "List"},
    "height": {"dtype": "float64", "_type": "Value"},
}


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def table(images: list[Any], labels: list[Any], *, marked: bool = True, features: Any = None, **more: Any) -> pa.Table:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, struct), "label": pa.array(labels, pa.int64())} | more
    info = {"info": {"features": FEATURES if features is None else features}}
    return pa.table(columns).replace_schema_metadata({b"huggingface": json.dumps(info).encode()} if marked else None)


def packed(shade: int, path: str | None = None) -> dict[str, Any]:
    return {"bytes": png(shade), "path": path}


def arrow(path: Path, content: pa.Table, rows: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, content.schema) as writer:
        writer.write_table(content, max_chunksize=rows)
    return path


def parquet(path: Path, content: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path)
    return path


def saved(folder: Path, *tables: pa.Table, split: str | None = None, marked: bool = True) -> None:
    names = [f"data-{i:05}-of-{len(tables):05}.arrow" for i in range(len(tables))]
    for name, content in zip(names, tables):
        arrow(folder / name, content if marked else content.replace_schema_metadata(None))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f", "_split": split}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def rows_of(path: Any, **options: Any) -> tuple[Rows, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)
    return [row for batch in source.batches for row in batch.to_pylist()], failures


def test_one_parquet_has_the_names_of_its_classes_and_ids_from_its_paths(tmp_path: Path) -> None:
    content = table(
        [packed(1, "a.png"), packed(2), packed(3, "a.png"), None],
        [0, 1, -1, 7],
        tags=pa.array([[0, 1], [1], None, [5]], pa.list_(pa.int64())),
        height=[1.5, None, 2.0, 3.0],
    )
    file = parquet(tmp_path / "trees.parquet", content)
    rows, failures = rows_of(file)
    assert [(row["id"], row["label"], row["image_path"], row["tags"]) for row in rows] == [
        ("a.png", "fir", None, ["wet", "dry"]),
        ("trees#2", "oak", None, ["dry"]),
        ("a.png#2", None, None, None),
    ]
    assert [row["image"] for row in rows] == [png(1), png(2), png(3)]
    assert [(f.severity, f.row) for f in failures if "names no class" in f.reason] == [("warning", 4), ("warning", 4)]
    assert [f.row for f in failures if f.severity == "error"] == [4]


def test_a_single_column_of_classes_is_the_label_and_further_images_and_sounds_are_told(tmp_path: Path) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {
        "sound": {"_type": "Audio"},
        "photo": {"_type": "Image"},
        "mask": {"_type": "Image"},
        "fine": {"names": ["ash"], "_type": "ClassLabel"},
    }
    columns = {name: pa.array([packed(i)], struct) for i, name in enumerate(["sound", "photo", "mask"])}
    info = json.dumps({"info": {"features": features}}).encode()
    content = pa.table(columns | {"fine": [0]}).replace_schema_metadata({b"huggingface": info})
    (row,), failures = rows_of(parquet(tmp_path / "x.parquet", content))
    assert (row["image"], row["label"]) == (png(1), "ash") and not {"sound", "mask"} & set(row)
    assert len([f for f in failures if "is left out: a specimen has one image" in f.reason]) == 2


def test_images_that_lie_beside_the_file_are_found_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "A.png").write_bytes(png(1))
    file = parquet(tmp_path / "x.parquet", table([{"bytes": None, "path": "pictures\\a.png"}, packed(2, "b.png")], [0, 1]))
    rows, _ = rows_of(file)
    assert [row["image_path"] for row in rows] == [str(tmp_path / "pictures" / "A.png"), None]


def test_shards_of_a_repository_have_their_splits_and_missing_ones_are_told(tmp_path: Path) -> None:
    for i in range(2):
        parquet(tmp_path / f"data/train-{i:05}-of-00003.parquet", table([packed(i), packed(9)], [0, 1]))
    parquet(tmp_path / "data/test-00000-of-00001-0a1b2c.parquet", table([packed(5)], [1]).drop_columns(["label"]))
    (tmp_path / "README.md").write_text("a dataset")
    assert detect(tmp_path) == "hugging-face"
    rows, failures = rows_of(tmp_path)
    assert [(row["id"], row["split"], row["label"]) for row in rows] == [
        ("test-00000-of-00001-0a1b2c#1", "test", None),
        *(("train-00000-of-00003#1", "train", "fir"), ("train-00000-of-00003#2", "train", "oak")),
        *(("train-00001-of-00003#1", "train", "fir"), ("train-00001-of-00003#2", "train", "oak")),
    ]
    assert any("2 of 3 files of the split 'train' are here" in f.reason for f in failures)


def test_configurations_are_told_apart(tmp_path: Path) -> None:
    for config in ("small", "large"):
        parquet(tmp_path / config / "train" / "0000.parquet", table([packed(1, "a.png")], [0]))
    rows, _ = rows_of(tmp_path)
    told = [(row["id"], row["config"], row["split"]) for row in rows]
    assert told == [("a.png", "large", "train"), ("a.png#2", "small", "train")]


@pytest.mark.parametrize("marked", [True, False])
def test_a_saved_dataset_and_a_saved_dictionary_of_splits(tmp_path: Path, marked: bool) -> None:
    first, second = table([packed(i) for i in range(3)], [0, 1, 0]), table([packed(7, "b.png")], [1])
    saved(tmp_path / "one", first, second, split="train", marked=marked)
    assert detect(tmp_path / "one") == "hugging-face"
    rows, failures = rows_of(tmp_path / "one")
    assert [(row["id"], row["label"], row["split"]) for row in rows] == [
        *((f"data-00000-of-00002#{i}", label, "train") for i, label in ((1, "fir"), (2, "oak"), (3, "fir"))),
        ("b.png", "oak", "train"),
    ]
    assert len(failures) == 0
    for split in ("train", "test"):
        saved(tmp_path / "dict" / split, second, marked=marked)
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["train", "test", "gone", "../one"]}')
    rows, failures = rows_of(tmp_path / "dict")
    assert [(row["id"], row["split"], row["label"]) for row in rows] == [("b.png", "train", "oak"), ("b.png#2", "test", "oak")]
    assert [f.severity for f in failures] == ["error"] * 2


def test_a_saved_dataset_goes_into_a_collection_and_again(tmp_path: Path) -> None:
    saved(tmp_path / "set", table([packed(i) for i in range(5)], [0, 1, 0, 1, 0]))
    collection = Collection.create(tmp_path / "x.cosmos")
    assert collection.add(read(tmp_path / "set")).added == 5
    assert collection.add(read(tmp_path / "set")).added == 0
    assert set(collection.table(["label"])["label"].to_pylist()) == {"fir", "oak"}


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "x", table([packed(i) for i in range(6)], [0] * 6), table([packed(9)], [1]))
    files = sorted((tmp_path / "x").glob("*.arrow"))
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[: len(whole) * 2 // 3])
    rows, failures = rows_of(tmp_path / "x")
    assert 1 <= len(rows) < 7 and rows[-1]["label"] == "oak"
    assert any("the file is damaged" in f.reason for f in failures)
    files[1].unlink()
    rows, failures = rows_of(tmp_path / "x")
    assert any("of the dataset is not there" in f.reason for f in failures)
    files[0].unlink()
    with pytest.raises(BiocosmosError, match="no Parquet or Arrow files"):
        rows_of(tmp_path / "x")
    state = json.loads((tmp_path / "x" / "state.json").read_text())
    (tmp_path / "x" / "state.json").write_text(json.dumps(state | {"_indices_data_files": [{"filename": "i.arrow"}]}))
    with pytest.raises(BiocosmosError, match="flatten_indices"):
        rows_of(tmp_path / "x")
    parquet(tmp_path / "y" / "train-00000-of-00002.parquet", table([packed(1)], [0]))
    odd = pa.table({"image": ["a.png"], "label": ["fir"]})
    parquet(tmp_path / "y" / "train-00001-of-00002.parquet", odd)
    with pytest.raises(BiocosmosError, match="do not have the same columns"):
        rows_of(tmp_path / "y")


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_and_metadata_end_in_rows_and_one_line(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder = tmp_path / "x"
    saved(folder, table([packed(i, f"{i}.png") for i in range(6)], [0, 1] * 3))
    victim = rng.choice(sorted(folder.iterdir()))
    content = bytearray(victim.read_bytes())
    odd = [b"", b"{", b"[]", b'"x"', b"[" * 20000, json.dumps({"_data_files": [1, {"filename": 3}]}).encode(), b"\xff\xfe"]
    if rng.random() < 0.3:
        content = bytearray(rng.choice(odd))
    else:
        for _ in range(rng.choice([1, 8])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        content = content[: rng.choice([len(content), len(content) // 2])]
    victim.write_bytes(content)
    try:
        rows, failures = rows_of(folder, format="hugging-face")
    except BiocosmosError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) == 6 or len(failures) >= 1 or victim.suffix == ".arrow"  # a flipped byte of a picture is ingest's
