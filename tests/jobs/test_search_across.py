"""search across modalities: by the vectors of one tower of a space among those of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.settings import SettingError, told

DIM = 8
SPECIES = ("Aedes", "Aedes", "Culex", "Culex", "Anax", "Anax")


def unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def add_column(collection: bc.Collection, name: str, vectors: Mapping[str, npt.NDArray[np.float32]], space: str = "abc") -> None:
    """A column as embed makes it, of an encoder that is not on this machine."""
    ids = [id_ for batch in collection.dataset.to_batches(columns=["id"]) for id_ in batch.column("id").to_pylist()]
    rows = [vectors[id_].tolist() if id_ in vectors else None for id_ in ids]
    facts = {"digest": name, "dim": DIM, "modality": name.rpartition("/")[2], "backend": "torch", "precision": "float32"}
    facts["space"] = space
    collection.add_vectors(name, facts, iter([pa.array(rows, pa.list_(pa.float32(), DIM))]))


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
