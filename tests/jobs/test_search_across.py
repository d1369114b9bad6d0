"""search across modalities: by the vectors of one tower of a space among those of another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.registry import load_encoder
from biocosmos.encoders.texts import load_text_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.discover.labels import discover_labels
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.jobs.who_names import identifier_of
from biocosmos.settings import SettingError, told
from space_sample import both as paired
from worded_space import worded_space

DIM = 8
SPECIES = ("Aedes", "Aedes", "Culex", "Culex", "Anax", "Anax")


def unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def add_column(
    collection: bc.Collection, name: str, vectors: Mapping[str, npt.NDArray[np.float32]], space: str = "abc", dim: int = DIM
) -> None:
    """A column as embed makes it, of an encoder that is not on this machine."""
    ids = [id_ for batch in collection.dataset.to_batches(columns=["id"]) for id_ in batch.column("id").to_pylist()]
    rows = [vectors[id_].tolist() if id_ in vectors else None for id_ in ids]
    facts = {"digest": name, "dim": dim, "modality": name.rpartition("/")[2], "backend": "torch", "precision": "float32"}
    facts["space"] = space
    collection.add_vectors(name, facts, iter([pa.array(rows, pa.list_(pa.float32(), dim))]))


@pytest.fixture
def both(tmp_path: Path) -> bc.Collection:
    """Six specimens of three genera; s5 has no barcode's vector, and nobody a text's."""
    made = bc.Collection.create(tmp_path / "both.cosmos")
    made.add(pa.table({"id": [f"s{i}" for i in range(6)], "genus": SPECIES, "text": list("abcdef")}))
    rng = np.random.default_rng(0)
    images, dna = unit(rng.normal(size=(6, DIM))), unit(rng.normal(size=(6, DIM)))
    add_column(made, "run/image", {f"s{i}": images[i] for i in range(6)})
    add_column(made, "run/dna", {f"s{i}": dna[i] for i in range(5)})
    return made


def expected(queries: bc.Collection, asker: str, column: str, own: str) -> list[str]:
    """The others by falling cosine, worked out in float64."""
    ids, vectors = queries.vectors(column)
    asking = queries.vectors(f"run/{asker}")
    asked = asking.matrix[asking.ids.tolist().index(own)].astype(np.float64)
    order = np.argsort(-(vectors.astype(np.float64) @ asked), kind="stable")
    return [str(ids[i]) for i in order if ids[i] != own]


@pytest.mark.parametrize("ask_with, among", [("image", "dna"), ("dna", "image"), (None, "dna"), ("image", "image")])
def test_a_specimen_asks_by_one_vector_among_those_of_another_tower(
    both: bc.Collection, ask_with: str | None, among: str
) -> None:
    table, failures, provenance = search_collection(both, SearchSettings(id=("s1",), among=among, ask_with=ask_with, k=5))
    asker = ask_with or "image"
    assert table["id"].to_pylist() == expected(both, asker, f"run/{among}", "s1") and not len(failures)
    assert set(table["among"].to_pylist()) == {among} and set(table["asked_with"].to_pylist()) == {asker}
    assert table.column_names[:7] == ["query", "position", "id", "score", "among", "asked_with", "label"]
    assert provenance["space"] == {"name": "run", "digest": "abc"} and list(provenance["among"]) == [among]


def test_all_towers_are_one_gallery_that_says_whose_vector_was_found(both: bc.Collection) -> None:
    table, _, _ = search_collection(both, SearchSettings(id=("s0", "s4"), among="all", k=7, encoder="run/"))
    for own in ("s0", "s4"):
        rows = [row for row in table.to_pylist() if row["query"] == own]
        cosines = {}
        asked = dict(zip(*both.vectors("run/image"), strict=True))[own].astype(np.float64)
        for modality in ("image", "dna"):
            for id_, vector in zip(*both.vectors(f"run/{modality}"), strict=True):
                if id_ != own:
                    cosines[id_, modality] = float(vector.astype(np.float64) @ asked)
        best = sorted(cosines, key=lambda key: -cosines[key])[:7]
        assert [(row["id"], row["among"]) for row in rows] == best
        assert [row["position"] for row in rows] == list(range(1, 8))


def test_where_it_is_looked_can_be_narrowed(both: bc.Collection) -> None:
    table, _, _ = search_collection(both, SearchSettings(id=("s0",), among="dna", within="Culex"))
    assert sorted(table["id"].to_pylist()) == ["s2", "s3"]
    table, _, _ = search_collection(both, SearchSettings(id=("s0",), among="dna", where="genus = 'Anax'"))
    assert table["id"].to_pylist() == ["s4"]  # s5 has no barcode
    exact, _, _ = search_collection(both, SearchSettings(id=("s0",), among="dna", k=3))
    rough, _, _ = search_collection(both, SearchSettings(id=("s0",), among="dna", k=3, approximate=True))
    assert rough["id"].to_pylist() == exact["id"].to_pylist()
    with pytest.raises(BiocosmosError, match="nothing to search"):
        search_collection(both, SearchSettings(id=("s0",), among="dna", where="id = 's5'"))


def test_what_cannot_be_compared_is_refused_in_one_line(both: bc.Collection) -> None:
    def refusal(**asked: Any) -> str:
        with pytest.raises(BiocosmosError) as told_so:
            search_collection(both, SearchSettings(**asked))
        assert "\n" not in str(told_so.value)
        return str(told_so.value)

    assert "-e run" in refusal(id=("s0",), among="text")  # the command that makes them
    assert "s5" in refusal(id=("s5",), among="image", ask_with="dna")
    assert "no specimen 'who'" in refusal(id=("who",), among="dna")
    assert "is not here" in refusal(dna=("ACGT" * 40,), among="image")
    assert "search twice" in refusal(dna=("ACGT" * 40,), text=("Diptera",), among="image")
    assert "nothing to ask" in refusal(among="image")
    assert "--fold" in refusal(id=("s0",), among="dna", fold=True)
    assert "--no-align" in refusal(id=("s0",), among="dna", align=False)
    assert "--ask-with" in refusal(id=("s0",), ask_with="dna")
    both.add_embedding("mine", ["s0", "s1"], np.eye(DIM)[:2])
    assert "'mine' is no tower of a space" in refusal(id=("s0",), among="dna", encoder="mine")
    with pytest.raises(SettingError, match="--ask-with does nothing here"):
        told(SearchSettings, text=("a",), ask_with="dna")


def test_vectors_of_an_older_training_are_not_compared(both: bc.Collection) -> None:
    ids, vectors = both.vectors("run/dna")
    add_column(both, "run/dna", dict(zip(ids, vectors, strict=True)), space="of yesterday")
    for among, ask_with in (("dna", "image"), ("image", "dna")):
        with pytest.raises(BiocosmosError, match=r"embed .*both.cosmos -e run"):
            search_collection(both, SearchSettings(id=("s0",), among=among, ask_with=ask_with))


def test_one_of_two_spaces_is_named(both: bc.Collection) -> None:
    ids, vectors = both.vectors("run/dna")
    flipped = dict(zip(ids, -vectors, strict=True))
    add_column(both, "other/dna", flipped, space="other")
    add_column(both, "other/image", flipped, space="other")
    with pytest.raises(BiocosmosError, match=r"several spaces .*--encoder"):
        search_collection(both, SearchSettings(id=("s0",), among="dna"))
    table, _, provenance = search_collection(both, SearchSettings(id=("s0",), among="dna", encoder="other/image", k=2))
    assert provenance["space"]["name"] == "other" and table.num_rows == 2


def test_without_a_space_it_is_said_how_one_is_made(tmp_path: Path) -> None:
    bare = bc.Collection.create(tmp_path / "bare.cosmos")
    bare.add(pa.table({"id": ["a", "b"], "genus": ["A", "B"], "text": ["a", "b"]}))
    with pytest.raises(BiocosmosError, match="train contrastive"):
        search_collection(bare, SearchSettings(id=("a",), among="dna"))
    bare.add_embedding("mine", ["a", "b"], np.eye(2))
    with pytest.raises(BiocosmosError, match="train contrastive"):
        search_collection(bare, SearchSettings(id=("a",), among="dna", encoder="mine"))


# ---------------------------------------------------------------------- with towers on this machine


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """Pictures, barcodes and names of 48 specimens; ``run`` beside it is their space, of which names are not embedded."""
    folder = tmp_path_factory.mktemp("worded")
    made = paired(folder)
    worded_space(folder / "run", made)
    for tower in ("image", "dna"):
        bc.embed(made, f"{folder}/run/{tower}")
    return made


def best(collection: bc.Collection, column: str, asked: npt.NDArray[np.float32], k: int) -> list[str]:
    """The ids of the nearest, worked out in float64."""
    gallery = collection.gallery(column)
    return [str(id_) for id_ in gallery.ids[np.argsort(-(gallery.vectors.astype(np.float64) @ asked), kind="stable")[:k]]]


def test_a_picture_finds_barcodes_and_a_barcode_pictures(worded: bc.Collection, tmp_path: Path) -> None:
    run = next(iter(worded.spaces()))
    photo = sorted((worded.path.parent / "pictures").glob("*.png"))[3]
    seen, _ = load_encoder(f"{run}/image").encode_files([photo])
    table, _, _ = search_collection(worded, SearchSettings(images=(photo,), among="dna", k=5))
    assert table["id"].to_pylist() == best(worded, f"{run}/dna", seen[0], 5)

    letters = worded.table(["barcode"])["barcode"][9].as_py()
    read = load_barcode_encoder(f"{run}/dna").encode_barcodes([letters])
    fasta = tmp_path / "asked.fasta"
    fasta.write_text(f">one\n{letters}\n>protein\nMKVLAAGGTREWQ\n")
    table, failures, _ = search_collection(worded, SearchSettings(fasta=(fasta,), among="image", k=5))
    assert table["id"].to_pylist() == best(worded, f"{run}/image", np.asarray(read)[0], 5) and failures.errors == 1
    assert set(table["query"].to_pylist()) == {"one"}
    aligned, _, _ = search_collection(worded, SearchSettings(dna=(letters,), among="dna", k=3))
    assert aligned["identity"][0].as_py() == 100 and aligned["among"].to_pylist() == ["dna"] * 3


def test_words_find_pictures_where_names_are_not_embedded(worded: bc.Collection) -> None:
    run = next(iter(worded.spaces()))
    tower = load_text_encoder(f"{run}/text")
    genus = worded.table(["genus"])["genus"][0].as_py()
    path = worded.take(["SIM0-000001"], list(worded.ranks)).to_pylist()[0]
    written = " ".join(path[rank] for rank in worded.ranks[: worded.ranks.index("genus") + 1])
    vector = tower.encode_texts([written])[0]
    for asked in (genus, f"genus {genus}", f"genus:{genus}", genus.lower(), written):
        table, failures, _ = search_collection(worded, SearchSettings(text=(asked,), k=4))
        assert table["id"].to_pylist() == best(worded, f"{run}/image", vector, 4) and not len(failures)
        assert set(table["among"].to_pylist()) == {"image"} and set(table["query"].to_pylist()) == {asked}
    table, _, _ = search_collection(worded, SearchSettings(text=("blue wings",), encoder=f"{run}/dna", k=4))
    assert table["id"].to_pylist() == best(worded, f"{run}/dna", tower.encode_texts(["blue wings"])[0], 4)
    table, failures, _ = search_collection(worded, SearchSettings(text=("", genus), k=4))
    assert failures.errors == 1 and set(table["query"].to_pylist()) == {genus}
    with pytest.raises(BiocosmosError, match=r"embed .* -e"):
        search_collection(worded, SearchSettings(text=(genus,), among="text"))


def test_a_folder_that_was_trained_again_is_refused(worded: bc.Collection, tmp_path: Path) -> None:
    copy = bc.Collection.open(shutil.copytree(worded.path, tmp_path / "both.cosmos"))
    worded_space(tmp_path / "run", copy, seed=1)
    for modality in ("image", "dna"):
        name = f"{next(iter(worded.spaces()))}/{modality}"
        ids, vectors = copy.vectors(name)
        facts = copy.encoders[name]
        add_column(copy, f"{tmp_path}/run/{modality}", dict(zip(ids, vectors, strict=True)), facts["space"], facts["dim"])
    with pytest.raises(BiocosmosError, match="not of the training that embedded"):
        search_collection(copy, SearchSettings(text=("Diptera",), among="image", encoder=f"{tmp_path}/run"))


def test_nothing_is_named_or_judged_by_the_specimens_own_names(worded: bc.Collection, tmp_path: Path) -> None:
    copy = bc.Collection.open(shutil.copytree(worded.path, tmp_path / "both.cosmos"))
    run = next(iter(worded.spaces()))
    bc.embed(copy, f"{run}/text")
    for refused in (
        lambda: identifier_of(copy, part="test", encoder=f"{run}/text"),
        lambda: evaluate_collection(copy, encoder=(f"{run}/text",)),
        lambda: discover_labels(copy, encoder=f"{run}/text"),
    ):
        with pytest.raises(BiocosmosError, match="own names"):
            refused()
    table, _, _ = search_collection(copy, SearchSettings(text=("Babalus",), among="text", k=3))
    assert all(label.startswith("Babalus") for label in table["label"].to_pylist())
