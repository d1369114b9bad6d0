"""A collection whose files are not what was written: one line says which and what to do, nothing wrong in silence."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.checking import check
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

Run = Callable[..., str]
ROWS = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> Path:
    """A collection with images, vectors, a split, a history, identifications and failures."""
    collection = bc.Collection.create(tmp_path_factory.mktemp("whole") / "c.cosmos")
    rows = sample_table.slice(0, ROWS)
    collection.add(Source("sample", "sample", rows.to_batches(), SAMPLE_RANKS), pack=True)
    collection.add(Source("sample", "sample", [pa.RecordBatch.from_pylist([{"id": ""}])], ()))
    collection.add_embedding("own", rows["id"].to_pylist(), np.random.default_rng(0).normal(size=(ROWS, 16)))
    collection.make_split(seed=0)
    collection.change(pa.table({"id": rows["id"].slice(0, 3), "note": ["a", "b", "c"]}), verb="update")
    collection.add_identifications(pa.table({"id": rows["id"].slice(0, 3)}))
    return collection.path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "c.cosmos"))


def use(path: Path) -> None:
    """What a reader does."""
    collection = bc.Collection.open(path)
    collection.table(with_row=False)
    collection.gallery("own", split="train").search(collection.gallery("own").vectors[:2], k=2)
    collection.describe()
    collection.history()


def harmed(file: Path) -> Iterator[tuple[str, bytes]]:
    content = file.read_bytes()
    middle = len(content) // 2
    yield "empty", b""
    yield "cut", content[:middle]
    yield "flipped", content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]
    yield "garbled", random.Random(0).randbytes(len(content))
    yield "no object", b"[1, 2]"
    yield "nested", b"[" * 10_000


def files_of(path: Path) -> list[str]:
    current = min(path.glob("specimens.lance/_versions/1*.manifest"), key=lambda p: int(p.stem))  # of the latest version
    used = {str(f.path) for part in bc.Collection.open(path).dataset.get_fragments() for f in part.metadata.files}
    others = [path / "collection.json", path / "failures.parquet", path / "checksums.json", *path.glob("splits/*")]
    return [str(p.relative_to(path)) for p in [*others, current, *(path / "specimens.lance" / "data" / name for name in used)]]


def test_every_file_harmed_in_every_way_is_one_line_that_names_it(whole: Path, copy: Path) -> None:
    before = bc.Collection.open(whole).gallery("own").vectors
    use(copy)
    for name in files_of(whole):
        content = (copy / name).read_bytes()
        for how, harm in [*harmed(copy / name), ("missing", None)]:
            (copy / name).unlink()
            if harm is not None:
                (copy / name).write_bytes(harm)
            try:
                use(copy)
            except BiocosmosError as error:
                said = str(error)
                assert "\n" not in said and ".rs:" not in said, (name, how, said)
                assert Path(name).name in said or "specimens.lance" in said or "split" in said, (name, how, said)
            else:  # it is not needed, or the harm makes no difference to what is in it
                assert (name in ("failures.parquet", "checksums.json") and how == "missing") or how == "flipped", (name, how)
                assert np.array_equal(bc.Collection.open(copy).gallery("own").vectors, before)
            (copy / name).write_bytes(content)
    use(copy)


def test_a_flipped_byte_in_vectors_is_found_when_they_are_loaded_and_mended_by_embedding_anew(copy: Path, biocosmos: Run) -> None:
    collection = bc.Collection.open(copy)
    (name,) = {
        str(file.path)
        for part in collection.dataset.get_fragments()
        for file in part.metadata.files
        if list(file.fields)
        == [field.id() for field in collection.dataset.lance_schema.fields() if field.name() == "embedding/own"]
    }
    file = copy / "specimens.lance" / "data" / name
    content = bytearray(file.read_bytes())
    vector = collection.gallery("own").vectors[0]
    place = bytes(content).find(vector.tobytes())
    assert place >= 0
    content[place + 2] ^= 1
    file.write_bytes(content)
    opened = bc.Collection.open(copy)  # labels and ids are well
    with pytest.raises(BiocosmosError, match=f"{name} was changed .*biocosmos embed .* --encoder own --overwrite"):
        opened.gallery("own")
    with pytest.raises(BiocosmosError, match=name):
        opened.vectors("own")
    assert name in biocosmos("check", copy, fails=1)
    ids = opened.table(["id"])["id"].to_pylist()
    opened.add_embedding("own", ids, np.random.default_rng(0).normal(size=(ROWS, 16)), overwrite=True)
    biocosmos("check", copy)


def test_a_check_reads_everything_and_finds_doubled_ids(copy: Path) -> None:
    found = {each.what: each for each in check(copy)}
    assert all(each.well for each in found.values())
    assert found["ids"].said == f"{ROWS}, each once" and found["split default"].said == f"{ROWS} specimens"
    row = bc.Collection.open(copy).dataset.to_table(limit=1)
    import lance

    lance.write_dataset(row, copy / "specimens.lance", mode="append")
    found = {each.what: each for each in check(copy)}
    assert not found["ids"].well and "twice" in found["ids"].said
    assert "had no checksum" in found["data"].said
    assert "had no checksum" not in {each.what: each for each in check(copy)}["data"].said


def test_specimens_that_came_after_the_vectors_are_no_damage(copy: Path, sample_table: pa.Table) -> None:
    later = sample_table.slice(ROWS, 5)
    bc.Collection.open(copy).add(Source("later", "sample", later.to_batches(), SAMPLE_RANKS), pack=True)
    found = {each.what: each for each in check(copy)}
    assert found["embedding own"].well and found["embedding own"].said == f"{ROWS} vectors, 5 specimens without"


@pytest.mark.parametrize("facts", ["", "{", "[]", '{"format": 99, "ranks": []}', '{"format": "1", "ranks": []}', '{"format": 1}'])
def test_facts_that_are_none(copy: Path, facts: str) -> None:
    (copy / "collection.json").write_text(facts)
    with pytest.raises(BiocosmosError, match=r"collection\.json|newer biocosmos"):
        bc.Collection.open(copy)


def test_older_descriptions_of_embeddings_are_read_with_care(copy: Path) -> None:
    (copy / "embeddings").mkdir(exist_ok=True)
    (copy / "embeddings" / "x.json").write_text(json.dumps({"name": ["no text"]}))
    with pytest.raises(BiocosmosError, match=r"x\.json is not the description of an embedding"):
        _ = bc.Collection.open(copy).encoders


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a\\b", "a:b", "a\0b", "x" * 300, "all", "NUL", "com1", " a", "a\nb", "\ud800"]
)
def test_names_that_no_split_can_have(copy: Path, name: str) -> None:
    collection = bc.Collection.open(copy)
    with pytest.raises(BiocosmosError, match="cannot be called") as caught:
        collection.make_split(name=name)
    assert "\n" not in str(caught.value)
    with pytest.raises(BiocosmosError, match="no split"):
        collection.split(name)


def test_a_seed_below_zero(copy: Path) -> None:
    with pytest.raises(BiocosmosError, match="whole number from 0 on"):
        bc.Collection.open(copy).make_split(seed=-1)


@pytest.mark.parametrize(
    "where",
    ["(" * 10_000, "(" * 10_000 + "1=1" + ")" * 10_000, "latitude > ", "nothing = 1", "id LIKE", "1+" * 5000 + "1 = 1", "\0", "",
     "CASE WHEN " * 50, "id = 1 / 0", "NOT " * 10_000 + "true", "'" * 999, "`a", "sleep(9)", "id = " * 500 + "1"],
)  # fmt: skip
def test_conditions_that_make_no_sense(copy: Path, where: str) -> None:
    with pytest.raises(BiocosmosError, match="cannot select where") as caught:
        bc.Collection.open(copy).count(where=where)
    said = str(caught.value)
    assert "\n" not in said and ".rs" not in said and "/home" not in said and len(said) < 500


def test_conditions_that_are_long_but_sound(copy: Path) -> None:
    collection = bc.Collection.open(copy)
    many = " OR ".join(f"id = 'x-{i}+({i}'" for i in range(1000))
    assert collection.count(where=f"{many} OR id IS NOT NULL") == ROWS
