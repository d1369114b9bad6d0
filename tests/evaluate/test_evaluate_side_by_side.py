"""Heads beside each other: the same specimens, the same tree, differences in pairs; and the two pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score
from test_evaluate_page import Checker

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.ranks.report import naming
from biocosmos.evaluate.report import Report, read_tables
from biocosmos.evaluate.side_by_side.report import side_by_side
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.compare_heads import NEAREST, compare_heads, nearest_names
from biocosmos.taxonomy import Taxonomy
from predictions_sample import PATHS, example

MADE = "made"


def noisier(found: Predictions, seed: int, noise: float) -> Predictions:
    """Another head's answers about the same specimens, in another order."""
    rng = np.random.default_rng(seed)
    logits = (found.logits + noise * rng.normal(size=found.logits.shape)).astype(np.float32)
    other = replace(found, logits=logits, facts={**found.facts, "head": f"noise {noise}"})
    return other.subset(rng.permutation(len(found)))


@pytest.fixture(scope="module")
def heads() -> dict[str, Predictions]:
    first = example(n=300, with_levels=False)
    return {"flat": first, "multitask": noisier(example(n=300), 1, 0.5), "worst": noisier(first, 2, 4.0)}


@pytest.fixture(scope="module")
def named(heads: dict[str, Predictions]) -> np.ndarray:
    truth = heads["flat"].truth
    return np.where(np.arange(300) % 2 == 0, truth, np.roll(truth, 1))


@pytest.fixture(scope="module")
def report(heads: dict[str, Predictions], named: np.ndarray) -> Report:
    return side_by_side(heads, named={NEAREST: named}, bootstrap=200)


def row(report: Report, table: str, **where: object) -> dict:
    (one,) = report.rows(table, **where)
    return one


def test_each_head_has_the_numbers_it_has_alone(heads: dict[str, Predictions], report: Report) -> None:
    for name, predictions in heads.items():
        alone = naming(predictions, name=name, bootstrap=200)
        for table in ("summary", "hierarchical", "severity", "consistency", "calibration", "per_taxon"):
            for beside, by_itself in zip(report.rows(table, namer=name), alone.rows(table), strict=True):
                assert beside == pytest.approx(by_itself, nan_ok=True)


def test_differences_are_paired_and_against_the_first(heads: dict[str, Predictions], report: Report) -> None:
    first, other = heads["flat"], heads["worst"]
    place = {id_: i for i, id_ in enumerate(other.ids)}
    other = other.subset(np.array([place[id_] for id_ in first.ids]))
    true = first.taxonomy.ancestor(first.truth, 1)
    keep = true >= 0
    said = [found.best_path()[0][keep, 1] for found in (first, other)]
    right = [answers == true[keep] for answers in said]
    got = row(report, "differences", namer="worst", branch="all", target="group", measure="accuracy")
    assert got["value"] == pytest.approx(right[1].mean() - right[0].mean())
    assert (got["gained"], got["lost"]) == ((right[1] & ~right[0]).sum(), (right[0] & ~right[1]).sum())
    assert got["low"] < got["value"] < got["high"] < 0
    f1 = [f1_score(true[keep], answers, labels=np.unique(true[keep]), average="macro", zero_division=0) for answers in said]
    got = row(report, "differences", namer="worst", branch="all", target="group", measure="F1", average="macro")
    assert got["value"] == pytest.approx(f1[1] - f1[0])
    tree = [row(report, "hierarchical", namer=name, branch="living", over="all") for name in ("flat", "worst")]
    for measure in ("f1", "mistake_severity"):
        got = row(report, "differences", namer="worst", branch="living", target="tree", measure=measure)
        assert got["value"] == pytest.approx(tree[1][measure] - tree[0][measure])


def test_names_without_probabilities_stand_beside_the_heads(
    heads: dict[str, Predictions], named: np.ndarray, report: Report
) -> None:
    got = row(report, "summary", namer=NEAREST, branch="all", over="all", target="label", measure="accuracy")
    assert got["value"] == pytest.approx((named == heads["flat"].truth).mean())
    assert not report.rows("calibration", namer=NEAREST) and not report.rows("consistency", namer=NEAREST)
    assert {r["measure"] for r in report.rows("summary", namer=NEAREST)} == {"accuracy", "precision", "recall", "F1"}


def test_a_specimen_is_answerable_when_every_head_can_answer_it() -> None:
    first, second = example(n=300), example(n=300, left_out=("egg",))
    report = side_by_side({"all": first, "without eggs": second}, bootstrap=0)
    eggs = (first.truth == first.taxonomy.find("label:egg")).sum()
    assert row(report, "answerable", target="label")["unanswerable"] == eggs
    sizes = {
        r["namer"]: r["specimens"]
        for r in report.rows("summary", over="answerable", branch="all", target="label", measure="accuracy")
    }
    assert sizes == {"all": 300 - eggs, "without eggs": 300 - eggs}


def refusals(first: Predictions) -> Iterator[tuple[dict[str, Predictions], str]]:
    yield {}, "no namer to judge"
    yield {"a": first, "b": first.subset(np.arange(10))}, "answer different specimens"
    yield {"a": first, "b": replace(first, ids=np.append(first.ids[:-1], "new"))}, "new is not among those of a"
    yield {"a": first, "b": replace(first, truth=np.roll(first.truth, 1))}, "different true taxa"
    yield {"a": first.described(split={"hash": "1"}), "b": first.described(split={"hash": "2"})}, "come from two splits"


def test_what_cannot_be_compared_is_refused(heads: dict[str, Predictions]) -> None:
    for asked, words in refusals(heads["flat"]):
        with pytest.raises(BiocosmosError, match=words):
            side_by_side(asked, bootstrap=0)
    with pytest.raises(BiocosmosError, match="needs one node of the tree for each of 300"):
        side_by_side({"a": heads["flat"]}, named={"b": np.zeros(3, int)})
    with pytest.raises(BiocosmosError, match="two namers are called a"):
        side_by_side({"a": heads["flat"]}, named={"a": np.zeros(300, int)})


@pytest.mark.parametrize("kind", ["one", "several"])
def test_the_pages_can_be_read_by_a_stranger(kind: str, heads: dict[str, Predictions], report: Report, tmp_path: Path) -> None:
    shown = report if kind == "several" else naming(heads["multitask"], bootstrap=50)
    html = shown.write(tmp_path).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(html)
    assert not checker.open and all(address.startswith("#") for address in checker.addresses)
    for words in ("Who was judged?", "How bad are the mistakes?", "null rank", "unanswerable", "What cannot be concluded"):
        assert words in checker.words
    assert "nan" not in checker.words.lower().replace("unans", "").split()
    assert html == shown.html(tmp_path / "again.html", beside="results.parquet").read_text(encoding="utf-8")
    stored = read_tables(tmp_path)
    for name, table in shown.tables.items():
        assert str(stored[name].to_pylist()) == str(table.to_pylist())
    assert shown.headlines()


def test_the_page_of_a_single_head_without_intervals_is_whole(heads: dict[str, Predictions], tmp_path: Path) -> None:
    assert side_by_side({"flat": heads["flat"]}, bootstrap=0).write(tmp_path).exists()


@pytest.fixture
def stored(tiny_collection: bc.Collection) -> bc.Collection:
    """A small collection with a split and made-up vectors, which need no encoder; one specimen has none."""
    tiny_collection.make_split("stratified", seed=0)
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4)).astype(np.float32).tolist()
    vectors[ids.index(str(tiny_collection.split("default").part("test")[0]))] = None
    tiny_collection.add_vectors(MADE, {"dim": 4, "digest": "d"}, iter([pa.array(vectors, pa.list_(pa.float32(), 4))]))
    return tiny_collection


def made_up(collection: bc.Collection) -> Predictions:
    ranks = [rank for rank in collection.ranks if rank in collection.stored_columns][:3]
    everything, table = collection.table(["id", *ranks]), collection.table(["id", *ranks], split="test")
    tree = Taxonomy.from_table(everything, ranks)
    classes = np.unique(tree.index(everything))
    classes = classes[classes > 0].astype(np.int32)
    logits = np.random.default_rng(0).normal(size=(len(table), len(classes))).astype(np.float32)
    return Predictions(
        ids=np.array(table["id"].to_pylist(), object),
        taxonomy=tree,
        classes=classes,
        logits=logits,
        features=np.zeros((len(table), 1), np.float32),
        truth=tree.index(table),
        facts={"head": "made up", "encoder": {"name": MADE}},
    )


def test_the_nearest_training_specimen_stands_beside_the_heads(stored: bc.Collection) -> None:
    found = made_up(stored)
    test, train = (stored.gallery(MADE, split=part, columns=found.ranks) for part in ("test", "train"))
    nodes = found.taxonomy.index(train.columns)
    similar = test.vectors @ train.vectors.T
    similar[:, nodes <= 0] = -2
    expected = dict(zip(test.ids, nodes[similar.argmax(axis=1)]))
    assert len(expected) == len(found) - 1
    np.testing.assert_array_equal(nearest_names(stored, MADE, found), [expected.get(id_, 0) for id_ in found.ids])
    with pytest.raises(BiocosmosError, match=r"of the specimens asked about are in part .test. .* ask about another part"):
        nearest_names(stored, MADE, found, "test")
    report = compare_heads(stored, {"made up": found}, bootstrap=0)
    assert [row["namer"] for row in report.rows("namers")] == ["made up", NEAREST]
    assert any(f"highest cosine by {MADE}" in caveat for caveat in report.caveats)
    without = compare_heads(stored, {"made up": found.described(encoder={"name": "another"})}, bootstrap=0)
    assert any("No nearest neighbours by another" in caveat for caveat in without.caveats)


def test_namers_over_two_trees_are_compared_at_the_ranks_that_both_have(heads: dict[str, Predictions]) -> None:
    full = heads["flat"]
    cut = Taxonomy.from_table({rank: PATHS[rank] for rank in ("group", "label")}, ("group", "label"))
    nodes = {node: cut.find(path) for node in range(1, len(full.taxonomy)) if (path := _path(full.taxonomy, node))}
    moved = np.array([nodes[int(node)] for node in full.classes], np.int32)
    order = np.argsort(moved)
    other = Predictions(
        full.ids,
        cut,
        moved[order],
        full.logits[:, order],
        full.features,
        np.array([nodes[int(node)] for node in full.truth], np.int32),
        facts={"head": "cut"},
    )
    report = side_by_side({"full": full, "cut": other}, bootstrap=0)
    assert {row["target"] for row in report.rows("summary")} == {"group", "label"}
    for rank in ("group", "label"):
        for name, found in (("full", full), ("cut", other)):
            tree = found.taxonomy
            true, said = tree.ancestor(found.truth, rank), found.best_path()[0][:, tree.rank_index(rank)]
            got = row(report, "summary", namer=name, target=rank, branch="all", over="all", measure="accuracy")
            assert got["value"] == pytest.approx((said == true)[true >= 0].mean()) and got["specimens"] == (true >= 0).sum()
            assert got["taxa"] == len(set(true[true >= 0]))
    with pytest.raises(BiocosmosError, match="name no rank in common"):
        lonely = Taxonomy.from_table({"depth": ["deep", "shallow"]}, ("depth",))
        strange = replace(full, taxonomy=lonely, classes=np.array([1, 2], np.int32), logits=full.logits[:, :2])
        side_by_side({"full": full, "strange": replace(strange, truth=np.ones(300, np.int32))}, bootstrap=0)


def _path(tree: Taxonomy, node: int) -> str:
    """The node of a tree by its finest name below the first rank, as Taxonomy.find takes it."""
    named = [(rank, name) for rank, name in zip(tree.ranks, tree.path(node)) if name is not None and rank != "status"]
    return f"{named[-1][0]}:{named[-1][1]}" if named else ""
