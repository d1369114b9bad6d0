"""Collections: what is put in comes out, selections select, bad rows are told, kills do no harm."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS, sample, sample_source


def source(rows: list[dict[str, object]], ranks: tuple[str, ...] = ("label",), schema: pa.Schema | None = None) -> Source:
    return Source("rows", "test", [pa.RecordBatch.from_pylist(rows, schema=schema)], ranks)


def one_image(row: int = 0) -> bytes:
    return bytes(sample()["image"][row].as_py())


def test_the_sample_goes_in_whole_and_comes_out_as_it_was(tmp_path: Path, sample_table: pa.Table) -> None:
    collection = bc.Collection.create(tmp_path / "sample.cosmos")
    summary = collection.add(sample_source(), pack=True)
    assert (summary.added, summary.refused, len(collection)) == (sample_table.num_rows, 0, sample_table.num_rows)
    stored = collection.table(["id", "label", "genus", "status", "image", "group", "source_split"])
    assert stored["id"].to_pylist() == sample_table["id"].to_pylist()
    assert stored["image"].cast(pa.binary()).to_pylist() == sample_table["image"].to_pylist()
    assert stored["genus"].to_pylist() == sample_table["genus"].to_pylist()
    assert stored["source_split"].to_pylist() == sample_table["source_split"].to_pylist()
    assert collection.ranks == SAMPLE_RANKS


def test_selection_by_split_taxon_and_sql_agrees_with_plain_python(tiny_collection: bc.Collection) -> None:
    rows = tiny_collection.table().to_pylist()
    split = tiny_collection.make_split(seed=1)
    part_of = dict(zip(split.ids.to_pylist(), split.parts.to_pylist()))
    expected = [r["id"] for r in rows if part_of[r["id"]] == "train" and r["phylum"] == "Arthropoda" and r["group"] == "copepod"]
    found = tiny_collection.table(["id"], split="train", within="phylum:Arthropoda", where="`group` = 'copepod'")
    assert found["id"].to_pylist() == expected
    assert expected
    assert tiny_collection.count(within="living") == sum(r["status"] == "living" for r in rows)


def test_within_a_homonym_asks_which_one(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    ranks = ("kingdom", "genus")
    collection.add(
        source(
            [
                {"id": "gannet", "kingdom": "Animalia", "genus": "Morus"},
                {"id": "mulberry", "kingdom": "Plantae", "genus": "Morus"},
                {"id": "elsewhere", "kingdom": None, "genus": "Ficus"},
            ],
            ranks,
        )
    )
    with pytest.raises(BiocosmosError, match="Morus"):
        collection.count(within="Morus")
    assert collection.table(["id"], within="Plantae/Morus")["id"].to_pylist() == ["mulberry"]
    collection.add(
        source(
            [{"id": "nowhere", "kingdom": None, "genus": "Pica"}, {"id": "magpie", "kingdom": "Animalia", "genus": "Pica"}], ranks
        )
    )
    assert collection.table(["id"], within="Animalia/Pica")["id"].to_pylist() == ["magpie"]
    with pytest.raises(BiocosmosError, match="Moru"):
        collection.count(within="Moru")


def test_a_wrong_sql_condition_is_one_line(tiny_collection: bc.Collection) -> None:
    with pytest.raises(BiocosmosError, match="cannot select where") as caught:
        tiny_collection.count(where="lattitude > 40")
    assert "\n" not in str(caught.value)


def test_duplicate_ids_are_refused_and_identical_images_reported(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    first = source([{"id": "a", "image": one_image(0), "label": "x"}, {"id": "b", "image": one_image(1), "label": "y"}])
    assert collection.add(first, pack=True).added == 2
    second = collection.add(
        source(
            [
                {"id": "a", "image": one_image(2), "label": "x"},  # another image under an id that is taken
                {"id": "b", "image": one_image(1), "label": "y"},  # the same again: an interrupted add that goes on
                {"id": "c", "image": one_image(1), "label": "y"},  # a copy of b
                {"id": "d", "image": one_image(3), "label": "z"},
                {"id": "d", "image": one_image(4), "label": "z"},  # twice in the same source
            ]
        ),
        pack=True,
    )
    assert (second.added, second.known, second.refused, second.identical) == (2, 1, 2, 1)
    assert collection.table(["id"])["id"].to_pylist() == ["a", "b", "c", "d"]
    assert collection.identical_images() == [["b", "c"]]
    told = {(row["id"], row["severity"]): row["reason"] for row in collection.failures.to_pylist()}
    assert "duplicate id" in told["a", "error"]
    assert "duplicate id" in told["d", "error"]
    assert told["c", "warning"] == "byte-identical to the image of 'b'"


def test_crops_of_one_image_are_not_duplicates(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    rows = [{"id": f"box{i}", "image": one_image(), "crop": [float(i), 0.0, 5.0, 5.0]} for i in range(3)]
    assert collection.add(source(rows, ()), pack=True).identical == 0


def test_unknown_columns_are_kept_and_later_sources_may_bring_others(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    collection.add(source([{"id": "a", "label": "x", "object_area": 3.5, "net.mesh": "200 um"}]))
    collection.add(source([{"id": "b", "label": "y", "object_area": "large", "genus": "G", "note": None}], ("genus", "label")))
    rows = collection.table(["id", "object_area", "net_mesh", "genus", "note"]).to_pylist()
    assert rows == [
        {"id": "a", "object_area": 3.5, "net_mesh": "200 um", "genus": None, "note": None},
        {"id": "b", "object_area": None, "net_mesh": None, "genus": "G", "note": None},
    ]
    assert collection.ranks == ("genus", "label")
    assert "'large'" in collection.failures["reason"].to_pylist()[0]


def test_ranks_that_contradict_the_collections_order_are_refused(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    collection.add(source([{"id": "a", "family": "F", "genus": "G"}], ("family", "genus")))
    with pytest.raises(BiocosmosError, match="do not fit"):
        collection.add(source([{"id": "b", "family": "F", "genus": "G"}], ("genus", "family")))
    collection.add(source([{"id": "c", "family": "F", "genus": "G", "tribe": "T"}], ("family", "tribe", "genus")))
    assert collection.ranks == ("family", "tribe", "genus")


def test_specimens_without_images_are_welcome(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    summary = collection.add(source([{"id": "dna", "barcode": "ACGT", "label": "x"}]))
    assert (summary.added, collection.describe()["barcodes"]) == (1, 1)


def test_creating_over_something_is_refused(tmp_path: Path, tiny_collection: bc.Collection) -> None:
    with pytest.raises(BiocosmosError, match="exists already"):
        bc.Collection.create(tiny_collection.path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(one_image())
    with pytest.raises(BiocosmosError, match="not a collection"):
        bc.Collection.create(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").exists()
    with pytest.raises(BiocosmosError, match="biocosmos ingest"):
        bc.Collection.open(tmp_path / "nowhere")


def vectors_of(rows: int, dim: int, missing: set[int]) -> pa.FixedSizeListArray:
    values = np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)
    mask = pa.array([row in missing for row in range(rows)])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dim, mask=mask)


def test_vectors_become_a_gallery_in_taxonomy_order(tiny_collection: bc.Collection) -> None:
    rows = len(tiny_collection)
    vectors = vectors_of(rows, 8, {3})
    tiny_collection.add_vectors("my.encoder", {"dim": 8, "digest": "d"}, iter([vectors.slice(0, 50), vectors.slice(50)]))
    tiny_collection.make_split()
    gallery = tiny_collection.gallery()
    assert len(gallery) == rows - 1
    assert (np.diff(gallery.taxa) >= 0).all()
    raw = dict(zip(tiny_collection.table(["id"])["id"].to_pylist(), vectors.to_pylist()))
    for id_, vector in zip(gallery.ids, gallery.vectors):
        expected = np.array(raw[id_])
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    assert gallery.provenance["digest"] == "d"
    train = tiny_collection.gallery("my.encoder", split="train")
    assert train.provenance["split"]["hash"] == tiny_collection.split().hash
    assert set(train.ids) <= set(tiny_collection.split().part("train").to_pylist())


def test_unlabelled_specimens_can_be_searched_but_not_within_a_taxon(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    collection.add(source([{"id": f"s{i}", "image": one_image(i)} for i in range(6)], ()), pack=True)
    collection.add_vectors("e", {"dim": 8}, iter([vectors_of(6, 8, set())]))
    gallery = collection.gallery()
    hits = gallery.search(gallery, 2, exclude_self=True)
    assert all(query not in found for query, found in zip(gallery.ids, hits.ids))
    for ask in (lambda: collection.count(within="Copepoda"), lambda: collection.taxonomy, lambda: bc.Identifier.fit(gallery)):
        with pytest.raises(BiocosmosError):
            ask()
    assert collection.make_split("random").counts()


def test_an_embedding_is_replaced_whole_or_not_at_all(tiny_collection: bc.Collection) -> None:
    rows = len(tiny_collection)
    tiny_collection.add_vectors("e", {"dim": 8}, iter([vectors_of(rows, 8, set())]))
    with pytest.raises(BiocosmosError, match="embed again"):
        tiny_collection.add_vectors("e", {"dim": 4}, iter([vectors_of(rows - 1, 4, set())]))
    assert bc.Collection.open(tiny_collection.path).gallery("e").dim == 8
    tiny_collection.add_vectors("e", {"dim": 4}, iter([vectors_of(rows, 4, set())]))
    assert bc.Collection.open(tiny_collection.path).gallery("e").dim == 4
    with pytest.raises(BiocosmosError, match="biocosmos embed"):
        tiny_collection.gallery("other")


def test_a_killed_add_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    """Many small commits, killed twice in the middle, then let go on."""
    program = (
        "import sys, time\n"
        "import biocosmos as bc\n"
        "from biocosmos.specimens import appending as c\n"
        "from biocosmos.specimens.sample import sample_source\n"
        "c.COMMIT_ROWS = 64\n"
        "path = sys.argv[1]\n"
        "import pathlib\n"
        "col = bc.Collection.open(path) if pathlib.Path(path, 'collection.json').exists() else bc.Collection.create(path)\n"
        "source = sample_source()\n"
        "parts = [part.slice(i, 64) for part in source.batches for i in range(0, part.num_rows, 64)]\n"
        "source.batches = (time.sleep(0.05) or part for part in parts)\n"
        "print('go', flush=True)\n"
        "print(col.add(source, pack=True).added)\n"
    )
    path = tmp_path / "killed.cosmos"
    for seconds in (0.3, 0.6):
        running = warm.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):  # a machine that stood still for seconds: it was through before
            os.kill(running.pid, signal.SIGKILL)
        running.wait()
    warm.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True)
    collection = bc.Collection.open(path)
    assert collection.table(["id"])["id"].to_pylist() == sample()["id"].to_pylist()
    assert collection.failures.num_rows == 0


def test_values_of_a_wrong_type_are_left_out_with_a_warning(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    summary = collection.add(source([{"id": "a", "latitude": "54.3"}, {"id": "b", "latitude": "north"}], ()))
    assert collection.table(["latitude"])["latitude"].to_pylist() == [54.3, None]
    assert (summary.added, summary.failures.warnings) == (2, 1)


def test_describe_counts(tiny_collection: bc.Collection) -> None:
    facts = tiny_collection.describe()
    json.dumps(facts)
    labels = tiny_collection.table(["label"])["label"]
    assert facts["specimens"] == facts["packed_images"] == 120
    assert facts["ranks"]["label"] == {"taxa": pc.count_distinct(labels).as_py(), "specimens": 120}


def test_failures_count_and_keep_reasons() -> None:
    failures = Failures()
    failures.add("zero bytes", stage="ingest", source="a.jpg")
    failures.add("CMYK\nconverted", stage="ingest", source="b.jpg", severity="warning")
    assert (failures.errors, failures.warnings) == (1, 1)
    assert failures.table()["reason"].to_pylist() == ["zero bytes", "CMYK converted"]


def test_a_file_that_many_specimens_are_cut_from_is_read_once_and_a_large_one_never_whole(tmp_path, monkeypatch):
    from biocosmos.specimens import ingest

    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    boxes = [{"id": f"a.png#{i}", "image_path": str(tmp_path / "a.png"), "crop": [i, 0, 9, 9], "label": "x"} for i in range(50)]
    read, decoded = [], []
    file_bytes, check_image = ingest.file_bytes, ingest.check_image
    monkeypatch.setattr(ingest, "file_bytes", lambda path: read.append(path) or file_bytes(path))
    monkeypatch.setattr(ingest, "check_image", lambda source: decoded.append(source) or check_image(source))
    hashes = []
    for name, large in (("small.cosmos", 1 << 20), ("large.cosmos", 100)):
        monkeypatch.setattr(ingest, "LARGE_FILE", large)
        collection = bc.Collection.create(tmp_path / name)
        assert collection.add(pa.Table.from_pylist(boxes)).added == 50
        hashes.append(set(collection.table(["content_hash"])["content_hash"].to_pylist()))
    assert hashes[0] == hashes[1] and len(hashes[0]) == 1
    assert len(read) == 1 and len(decoded) == 2


def test_files_are_packed_in_parts_that_fit_into_memory(tmp_path, monkeypatch):
    from biocosmos.specimens import ingest

    for i in range(9):
        Image.fromarray(np.full((30, 30, 3), i, np.uint8)).save(tmp_path / f"{i}.bmp")  # 2,754 bytes each
    rows = [{"id": str(i), "image_path": str(tmp_path / f"{i}.bmp"), "label": "x"} for i in range(9)]
    rows.insert(4, {"id": "gone", "image_path": str(tmp_path / "gone.bmp"), "label": "x"})
    monkeypatch.setattr(ingest, "PACKED_BYTES", 6000)
    sizes = [part.num_rows for part in ingest.in_memory(pa.RecordBatch.from_pylist(rows))]
    assert sizes == [3, 4, 3]
    collection = bc.Collection.create(tmp_path / "x.cosmos")
    summary = collection.add(pa.Table.from_pylist(rows), pack=True)
    assert (summary.added, summary.refused) == (9, 1)
    assert collection.image_bytes("8") == (tmp_path / "8.bmp").read_bytes()
