"""Vectors made elsewhere: in by id, out again, and used as those of any encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyarrow import csv as pa_csv

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.given_vectors import read_vectors


@pytest.fixture
def theirs(tiny_collection: bc.Collection) -> tuple[list[str], np.ndarray]:
    """Vectors of another model for the specimens of the tiny collection, in an order of their own: near within a label."""
    table = tiny_collection.table(["id", "label"]).to_pandas().sample(frac=1, random_state=0)
    rng = np.random.default_rng(0)
    centres = {label: rng.normal(size=24) for label in table["label"].unique()}
    vectors = np.stack([5 * (centres[label] + 0.3 * rng.normal(size=24)) for label in table["label"]])
    return table["id"].tolist(), vectors


def test_each_vector_goes_to_the_specimen_of_its_id(tiny_collection: bc.Collection, theirs: tuple) -> None:
    ids, vectors = theirs
    done = tiny_collection.add_embedding("theirs", ids[:100], vectors[:100])
    assert (done.stored, done.without, len(done.failures)) == (100, 20, 0)
    out = tiny_collection.vectors("theirs")
    assert out.matrix.dtype == np.float32 and out.matrix.shape == (100, 24)
    stored = [id_ for id_ in tiny_collection.table(["id"])["id"].to_pylist() if id_ in set(ids[:100])]
    assert list(out.ids) == stored  # in the collection's order, whatever that of the file was
    for id_, vector in zip(out.ids, out.matrix):
        given = vectors[ids.index(id_)]
        assert np.allclose(vector, given / np.linalg.norm(given), atol=1e-6)
    facts = bc.Collection.open(tiny_collection.path).encoders["theirs"]
    assert facts["backend"] == "given" and facts["dim"] == 24


def test_rows_that_cannot_be_stored_are_told(tiny_collection: bc.Collection, theirs: tuple) -> None:
    ids, vectors = theirs
    vectors = vectors.copy()
    vectors[3], vectors[4, 0] = 0, np.nan
    done = tiny_collection.add_embedding("theirs", [*ids, "nobody", ids[7]], np.vstack([vectors, vectors[:2]]))
    assert done.stored == 118 and done.without == 2
    assert {(row.id, row.reason) for row in done.failures} == {
        (ids[3], "the zero vector has no direction"),
        (ids[4], "the vector is not finite"),
        ("nobody", "no specimen has this id"),
        (ids[7], "the id was given in row 8 before"),
    }
    assert tiny_collection.failures.num_rows == 4

    with pytest.raises(BiocosmosError, match="120 ids for 119 vectors: each vector needs the id of its specimen"):
        tiny_collection.add_embedding("other", ids, vectors[1:])
    with pytest.raises(BiocosmosError, match=r"none of the 2 ids is that of a specimen of .*: 'x', say"):
        tiny_collection.add_embedding("other", ["x", "y"], vectors[:2])
    with pytest.raises(BiocosmosError, match=r"must be a matrix \(rows, dim\), but their shape is \(24,\)"):
        tiny_collection.add_embedding("other", ["x"], vectors[0])
    with pytest.raises(BiocosmosError, match="no matrix of numbers"):
        tiny_collection.add_embedding("other", ["x"], [["a", "b"]])
    with pytest.raises(BiocosmosError, match="has an embedding 'theirs'"):
        tiny_collection.add_embedding("theirs", ids, vectors)
    assert list(tiny_collection.encoders) == ["theirs"]


def test_an_embedding_is_replaced_when_asked(tiny_collection: bc.Collection, theirs: tuple) -> None:
    ids, vectors = theirs
    tiny_collection.add_embedding("theirs", ids, vectors)
    before = tiny_collection.encoders["theirs"]["digest"]
    shuffled = np.random.default_rng(1).permutation(len(ids))
    tiny_collection.add_embedding("theirs", [ids[i] for i in shuffled], vectors[shuffled], overwrite=True)
    assert tiny_collection.encoders["theirs"]["digest"] == before
    tiny_collection.add_embedding("theirs", ids, torch.tensor(vectors[:, :8]).half(), overwrite=True)
    assert tiny_collection.encoders["theirs"]["digest"] != before
    assert tiny_collection.vectors().matrix.shape == (120, 8)


def test_search_names_and_evaluation_use_them(tiny_collection: bc.Collection, theirs: tuple) -> None:
    tiny_collection.add_embedding("theirs", *theirs)
    tiny_collection.make_split(fractions={"train": 0.6, "val": 0.2, "test": 0.2})
    train, test = tiny_collection.gallery(split="train"), tiny_collection.gallery(split="test")
    hits = train.search(test, k=1)
    label_of = dict(zip(*tiny_collection.table(["id", "label"]).to_pydict().values()))
    naive = [train.ids[np.argmax(train.vectors @ query)] for query in test.vectors]
    assert hits.ids[:, 0].tolist() == naive
    report = bc.evaluate.retrieval(train, test)
    right = np.mean([label_of[near] == label_of[id_] for near, id_ in zip(naive, test.ids)])
    assert right > 0.5 and report.rows(target="label", k=1, average="micro", finder="specimens", over="all")[0][
        "value"
    ] == pytest.approx(right)


def test_the_command_line_stores_and_asks_them(
    tiny_collection: bc.Collection, theirs: tuple, tmp_path: Path, biocosmos: Callable[..., str]
) -> None:
    ids, vectors = theirs
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    given = ("--from", tmp_path / "vectors.npy", "--ids", tmp_path / "ids.txt")
    biocosmos("embed", tiny_collection.path, *given, "--encoder", "theirs")
    out = biocosmos("search", tiny_collection.path, "--id", ids[0], "-k", "1")
    others = {id_: vector @ vectors[0] / np.linalg.norm(vector) for id_, vector in zip(ids[1:], vectors[1:])}
    assert out.splitlines()[1].split("\t")[:3] == [ids[0], "1", max(others, key=lambda id_: others[id_])]

    for name in ("out.npz", "out.parquet"):
        biocosmos("export", tiny_collection.path, "-o", tmp_path / name, "--vectors", "theirs", "--where", f"id <> '{ids[0]}'")
        again = read_vectors(tmp_path / name)
        stored = tiny_collection.vectors("theirs", where=f"id <> '{ids[0]}'")
        assert len(again.ids) == 119 and list(again.ids) == list(stored.ids) and np.array_equal(again.matrix, stored.matrix)
    table = ("export", tiny_collection.path, "-o", tmp_path / "out.csv", "--vectors", "theirs")
    assert "the name must end in .npz, .npy or .parquet" in biocosmos(*table, fails=1)
    assert "--format does nothing here: it is used without --vectors" in biocosmos(*table, "--format", "csv", fails=2)

    biocosmos("split", tiny_collection.path)
    biocosmos("identify", tiny_collection.path, "--part", "test", "--method", "nearest", "-o", tmp_path / "names.csv")
    named = pa_csv.read_csv(tmp_path / "names.csv")
    assert len(named) == tiny_collection.count(split="test") and "theirs" in (tmp_path / "names.csv.provenance.json").read_text()
    biocosmos("evaluate", tiny_collection.path, "-o", tmp_path / "report")
    assert "theirs" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")

    refused = {
        "--device does nothing here: it is used without --from": (*given, "--encoder", "x", "--device", "cpu"),
        "say with --encoder what these vectors are to be called": given,
        "--ids does nothing here: it is used with --from": given[2:],
    }
    for why, arguments in refused.items():
        assert why in biocosmos("embed", tiny_collection.path, *arguments, fails=2)
    image = tmp_path / "new.jpg"
    image.write_bytes(tiny_collection.image_bytes(ids[0]) or b"")
    assert "were given, and no model of them is here" in biocosmos("search", tiny_collection.path, image, fails=1)


@pytest.mark.parametrize("kind", [".npy and .txt", ".npy and .csv", ".npz", ".parquet of lists", ".parquet of numbers", ".csv"])
def test_a_file_of_vectors_is_read_with_its_ids(kind: str, tmp_path: Path) -> None:
    ids = ["7", "b", "c d"]
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    path, names = tmp_path / f"vectors{kind.split()[0]}", None
    frame = pd.DataFrame(vectors, columns=[f"v{i}" for i in range(4)]).assign(id=ids)
    if kind.startswith(".npy"):
        names = tmp_path / f"ids{kind.split()[-1]}"
        rows = ids if names.suffix == ".txt" else ["n,id", *[f"{i},{id_}" for i, id_ in enumerate(ids)]]
        names.write_text("\n".join(rows) + "\n")
        np.save(path, vectors)
    elif kind == ".npz":
        np.savez(path, ids=np.array(ids), vectors=vectors)
    elif kind == ".csv":
        frame.to_csv(path, index=False)
    elif kind == ".parquet of numbers":
        frame.to_parquet(path)
    else:
        pq.write_table(pa.table({"id": ids, "embedding": list(vectors)}), path)
    found = read_vectors(path, names)
    assert found.ids.tolist() == ids and np.array_equal(found.matrix, vectors)


def test_a_matrix_without_ids_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 4)))
    with pytest.raises(BiocosmosError, match="rows are not matched by position"):
        read_vectors(tmp_path / "a.npy")
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "ids.txt").write_text("a\n")
    with pytest.raises(BiocosmosError, match="cannot read vectors from"):
        read_vectors(tmp_path / "pickled.npy", tmp_path / "ids.txt")
    (tmp_path / "a.csv").write_text("name,v\nx,1\n")
    with pytest.raises(BiocosmosError, match="no column 'id'; it has: name, v"):
        read_vectors(tmp_path / "a.csv")


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_data_frame_goes_in_and_comes_out(kind: str, tmp_path: Path, sample_table: pa.Table) -> None:
    rows = sample_table.slice(0, 20)
    for row in rows.to_pylist():
        (tmp_path / f"{row['id']}.jpg").write_bytes(row["image"])
    files = pa.array([f"{tmp_path}/{id_}.jpg" for id_ in rows["id"].to_pylist()])
    table = rows.drop_columns(["image"]).append_column("file", files)
    frame = {"pandas": table.to_pandas, "polars": lambda: pl.DataFrame(table), "arrow": lambda: table}[kind]()
    collection = bc.Collection.create(tmp_path / "from.cosmos")
    done = collection.add(bc.read(frame, columns={"file": "image_path"}, ranks=("class", "order", "label")))
    assert done.added == 20 and collection.ranks == ("class", "order", "label")

    out = collection.to_polars() if kind == "polars" else collection.to_pandas()
    assert list(out["id"]) == rows["id"].to_pylist() and list(out["label"]) == rows["label"].to_pylist()
    again = bc.Collection.create(tmp_path / "again.cosmos")
    assert again.add(out).added == 20
    assert again.table(["id", "label", "order", "width"]).equals(collection.table(["id", "label", "order", "width"]))


def test_packed_images_and_a_named_index_of_a_frame(tmp_path: Path, sample_table: pa.Table) -> None:
    frame = sample_table.slice(0, 5).select(["id", "image", "label"]).to_pandas().set_index("id")
    collection = bc.Collection.create(tmp_path / "packed.cosmos")
    collection.add(frame)
    assert collection.table(["id"])["id"].to_pylist() == sample_table["id"].slice(0, 5).to_pylist()
    assert collection.image_bytes(frame.index[0]) == frame["image"].iloc[0]
    with pytest.raises(BiocosmosError, match="the data frame has no column that is surely an image"):
        bc.read(pd.DataFrame({"label": ["a"]}))
    with pytest.raises(BiocosmosError, match="a data frame has no format 'csv'"):
        bc.read(frame, format="csv")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet"])
def test_vectors_that_were_exported_are_their_encoders_again(
    suffix: str, tmp_path: Path, embedded: bc.Collection, tiny_collection: bc.Collection, biocosmos: Callable[..., str]
) -> None:
    path = tmp_path / f"out{suffix}"
    biocosmos("export", embedded.path, "-o", path, "--vectors", "efficientnet-lite0")
    biocosmos("embed", tiny_collection.path, "--from", path)
    again = bc.Collection.open(tiny_collection.path)
    facts, before = again.encoders["efficientnet-lite0"], embedded.encoders["efficientnet-lite0"]
    assert {**facts, "created": 0} == {**before, "created": 0}  # the weights are known: new images may be asked about
    came, went = again.vectors("efficientnet-lite0"), embedded.vectors("efficientnet-lite0")
    row_of = {id_: row for row, id_ in enumerate(went.ids)}
    assert len(came.ids) == 120
    assert np.array_equal(came.matrix, went.matrix[[row_of[id_] for id_ in came.ids]])  # float32, to the last bit
    said = biocosmos("embed", tiny_collection.path, "--from", path, "--encoder", "mine")
    assert bc.Collection.open(tiny_collection.path).encoders["mine"]["backend"] == "given", said
    left = {".npz": 1, ".parquet": 1, ".npy": 3}[suffix]
    assert len([file for file in tmp_path.iterdir() if file.name.startswith("out")]) == left


def test_a_file_that_does_not_say_whose_vectors_it_has_needs_a_name(
    tmp_path: Path, tiny_collection: bc.Collection, theirs: tuple, biocosmos: Callable[..., str]
) -> None:
    ids, vectors = theirs
    np.savez(tmp_path / "v.npz", ids=np.array(ids), vectors=vectors, facts=np.array('{"name": 3}'))
    biocosmos("embed", tiny_collection.path, "--from", tmp_path / "v.npz", fails=2)
    for name, content in (("cut.npz", (tmp_path / "v.npz").read_bytes()[:200]), ("cut.parquet", b"PAR1"), ("cut.npy", b"")):
        (tmp_path / name).write_bytes(content)
        how = ("--ids", tmp_path / "ids.txt") if name.endswith(".npy") else ()
        (tmp_path / "ids.txt").write_text("a\n")
        said = biocosmos("embed", tiny_collection.path, "--from", tmp_path / name, "--encoder", "x", *how, fails=1)
        assert "cannot read vectors" in said and said.count("\n") == 1
