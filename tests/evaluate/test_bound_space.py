"""Spaces of places, barcodes and names judged: own counterparts by cells, names, sums, parts without unseen species."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import biocosmos as bc
from biocosmos.encoders.modality import BOUND
from biocosmos.evaluate import Report
from biocosmos.evaluate.cross_modal.counterparts import answers, counterpart_scores, ranks_of_own
from biocosmos.evaluate.cross_modal.scores import retrieval_scores
from biocosmos.evaluate.cross_modal.sides import Side, unit
from biocosmos.evaluate.cross_modal.sums import WEIGHTS, sum_scores
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.train.bind.settings import bind_settings
from biocosmos.train.bind.training import train_bind
from space_sample import both


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bc.Collection, str]:
    """Barcodes, places and names in one space; the split has no species that was not seen."""
    folder = tmp_path_factory.mktemp("bound")
    collection = both(folder, specimens=60, embedded=False, unseen_parts=("val",))
    told = {"modalities": "dna,place,text", "anchor": "dna", "dna": "kmer:5", "queue": 8, "batch_size": 16, "device": "cpu"}
    train_bind(collection, bind_settings(epochs=1, **told), folder / "run")
    bc.embed(collection, str(folder / "run"))
    return bc.Collection.open(collection.path), str(folder / "run")


@pytest.fixture(scope="module")
def report(made: tuple[bc.Collection, str]) -> Report:
    return evaluate_collection(made[0], encoder=(made[1],), protocol="cross-modal")


def test_every_ordered_pair_is_asked_for_its_own_counterpart(made: tuple[bc.Collection, str], report: Report) -> None:
    collection, run = made
    rows = report.rows("counterparts", k=1, average="micro")
    three = ("dna", "place", "text")
    assert {(row["query"], row["key"]) for row in rows} == {(a, b) for a in three for b in three if a != b}
    dna, place = (collection.gallery(f"{run}/{each}", split="test", columns=["latitude", "longitude"]) for each in three[:2])
    assert dna.ids.tolist() == place.ids.tolist()
    where = zip(*(place.columns[name].to_pylist() for name in ("latitude", "longitude")))
    squares = [(int((north + 90) / 0.1 + 1e-9), int((east + 180) / 0.1 + 1e-9)) for north, east in where]
    right = 0
    for vector, own in zip(dna.vectors, squares):
        best = {square: max(vector @ place.vectors[i] for i, each in enumerate(squares) if each == square) for square in squares}
        right += all(score < best[own] for square, score in best.items() if square != own)
    (row,) = report.rows("counterparts", query="dna", key="place", k=1, average="micro")
    assert row["value"] == pytest.approx(right / len(squares)) and row["answers"] == len(set(squares))
    assert row["chance"] == pytest.approx(1 / len(set(squares))) and row["low"] <= row["value"] <= row["high"]
    assert row["commonest"] == pytest.approx(max(map(squares.count, squares)) / len(squares))


def test_names_of_all_taxa_answer_every_modality_and_their_sum(made: tuple[bc.Collection, str], report: Report) -> None:
    rows = report.rows("names", k=1, average="micro", rank="species")
    assert {row["query"] for row in rows} == {"dna", "place", "fused"} and {row["key"] for row in rows} == {"name"}
    species = {name for name in made[0].table(["species"])["species"].to_pylist() if name}
    assert all(row["seen_chance"] == pytest.approx(1 / len(species)) for row in rows), "each species answers once"
    assert any("no part 'test_unseen': nothing is said of unseen species" in caveat for caveat in report.caveats)
    assert all(row["unseen"] is None or np.isnan(row["unseen"]) for row in report.rows())


def test_the_weight_of_a_second_modality_is_chosen_on_validation_specimens(report: Report) -> None:
    rows = report.rows("sums")
    assert {(row["query"], row["key"]) for row in rows} == {("dna+place", "sum"), ("dna+place", "name")}
    for row in rows:
        assert row["weight"] in WEIGHTS and row["low"] <= row["value"] <= row["high"]
    plain = {row["rank"]: row["seen"] for row in report.rows(query="fused", key="fused", k=1, average="micro")}
    assert all(row["plain"] == pytest.approx(plain[row["rank"]]) for row in rows if row["key"] == "sum")


def test_a_second_modality_that_misleads_gets_no_weight() -> None:
    rng = np.random.default_rng(3)
    taxa = {"species": np.arange(40) % 4}
    good = unit(np.eye(4, 8, dtype=np.float32)[taxa["species"]] + rng.normal(0, 0.05, (40, 8)).astype(np.float32))
    noise = unit(rng.normal(size=(40, 8)).astype(np.float32))
    keys, validation, asked = (Side({"image": good, "place": noise}, taxa).subset(np.arange(start, 40, 3)) for start in range(3))
    (row,) = sum_scores(keys, validation, asked, [("image", "place")], bootstrap=Bootstrap(0))
    assert row["weight"] == 0 and row["value"] == row["alone"] == 1 and row["plain"] < 1
    (row,) = sum_scores(keys, validation, asked, [("place", "image")], bootstrap=Bootstrap(0))
    assert row["weight"] > 0 and row["value"] > row["alone"]


def test_specimens_from_cells_of_the_keys_are_told(report: Report) -> None:
    assert any("rows of one table leak" in caveat for caveat in report.caveats)


def test_the_page_says_it(made: tuple[bc.Collection, str], biocosmos: Callable[..., str], tmp_path: Path) -> None:
    page = tmp_path / "bound.html"
    said = biocosmos("evaluate", made[0].path, "-e", made[1], "--protocol", "cross-modal", "--report", page)
    assert "DNA to its own place, R@10" in said
    text = page.read_text()
    assert "Does it find its own counterpart?" in text and "Which name does each modality find?" in text and ">nan" not in text


def test_specimens_of_one_cell_are_one_answer_and_ties_are_wrong() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    assert answers(vectors, np.array([5, 5, -1, 7, -1, 7])).tolist() in ([2, 2, 0, 3, 1, 3], [2, 2, 1, 3, 0, 3])
    assert answers(vectors[[0, 1, 0]], None).max() == 1
    codes = np.array([0, 0, 1, 1, 2, 2])
    assert (ranks_of_own(vectors, vectors, codes) == 1).all()
    same = np.repeat(vectors[:1], 6, axis=0)
    assert (ranks_of_own(same, same, codes) == 3).all(), "what tells nothing apart finds nothing"
    side = Side({"dna": vectors, "place": same}, {})
    rows = counterpart_scores(side, codes, ks=(1,), bootstrap=Bootstrap(0))
    row = next(row for row in rows if row["key"] == "place")
    assert row["value"] == 0 and row["answers"] == 3


def test_sums_of_two_are_those_of_unit_vectors() -> None:
    rng = np.random.default_rng(1)
    three = {name: unit(rng.normal(size=(5, 3)).astype(np.float32)) for name in ("image", "place", "audio")}
    three["audio"][2] = 0
    side = Side(three, {"species": np.arange(5)})
    assert side.rows("image+place").tolist() == [0, 1, 2, 3, 4] and side.rows("image+audio").tolist() == [0, 1, 3, 4]
    total = three["image"] + three["place"]
    assert np.allclose(side.matrix("image+place"), total / np.linalg.norm(total, axis=1, keepdims=True), atol=1e-6)
    asked = {(row["query"], row["key"]) for row in retrieval_scores(side, {"seen": side}, bootstrap=Bootstrap(0))}
    assert ("image+place", "image+place") in asked and ("image", "image+place") not in asked
    two = Side({name: three[name] for name in ("image", "place")}, {"species": np.arange(5)})
    assert "image+place" not in two.kinds() and "fused" in two.kinds(), "of two, their sum is the sum of all"
    assert set(BOUND) == {"place", "environment", "satellite", "audio"}
