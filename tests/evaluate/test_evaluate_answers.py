"""Identifications judged query by query in plain loops."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.svg import percent
from biocosmos.identify.answers import BestPaths, answer_table
from biocosmos.identify.confidence.promises import Promise
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy
from predictions_sample import example

RANKS = ("class", "genus", "species")
TREE = Taxonomy.from_table(
    {
        "class": ["A", "A", "A", "B", "B"],
        "genus": ["g", "g", "h", "k", None],
        "species": ["g one", "g two", "h one", "k one", None],
    }
)


def answers(rows: list[tuple[tuple[str | None, ...], tuple[float | None, ...], str | None]]) -> pa.Table:
    """A table of identifications from (path, confidence per rank, rank of the answer)."""
    columns: dict[str, list] = {"id": [f"q{i}" for i in range(len(rows))]}
    for i, rank in enumerate(RANKS):
        columns[rank] = [path[i] for path, _, _ in rows]
        columns[f"{rank}_confidence"] = [said[i] for _, said, _ in rows]
    columns["rank"] = [rank for _, _, rank in rows]
    columns["novelty"] = [0.1 * i for i in range(len(rows))]
    columns["novel"] = [i > 3 for i in range(len(rows))]
    return pa.table(columns)


TABLE = answers(
    [
        (("A", "g", "g one"), (0.99, 0.95, 0.9), "species"),  # right
        (("A", "g", "g one"), (0.9, 0.8, 0.4), "genus"),  # truth g two: right at genus
        (("A", "h", "h one"), (0.9, 0.5, 0.5), "class"),  # truth B: wrong
        (("B", "k", "k one"), (0.9, 0.9, 0.9), "species"),  # truth known only to genus: cannot be judged
        (("B", "k", "k one"), (0.4, 0.3, 0.2), None),  # no answer
        (("A", "g", "g two"), (0.9, 0.8, 0.7), "species"),  # no truth
    ]
)
TRUTH = pa.table(
    {
        "id": ["q5", "q4", "q3", "q2", "q1", "q0"],
        "class": [None, "A", "B", "B", "A", "A"],
        "genus": [None, "h", "k", None, "g", "g"],
        "species": [None, "h one", None, None, "g two", "g one"],
    }
)


def test_verdicts_roll_back_and_forced_accuracy():
    report = evaluate.naming(answers=TABLE, truth=TRUTH, taxonomy=TREE, bootstrap=0)
    verdict = {row["id"]: row["verdict"] for row in report.rows("specimens")}
    assert verdict == {"q0": "right", "q1": "right", "q2": "wrong", "q3": "undecided", "q4": "no answer", "q5": "no truth"}
    forced = report.rows(over="all", branch="all", measure="accuracy")
    right = {row["target"]: (round(row["value"] * row["specimens"]), row["specimens"]) for row in forced}
    assert right == {"class": (3, 5), "genus": (3, 4), "species": (1, 3)}
    rolled = {row["target"]: (row["asked"], row["answered"], row["right"]) for row in report.rows("rollback")}
    assert rolled == {"class": (5, 4, 3), "genus": (4, 3, 3), "species": (3, 1, 1)}
    stops = {row["rank"]: (row["specimens"], row["right"], row["wrong"], row["undecided"]) for row in report.rows("answers")}
    assert stops == {None: (1, 0, 0, 0), "class": (1, 0, 1, 0), "genus": (1, 1, 0, 0), "species": (3, 1, 0, 1)}
    near = {row["answers"]: row for row in report.rows("hierarchical", branch="all", over="all")}
    # At ranks where the truth is known. Best path: shared 3+2+0+2+0 of 3+3+1+2+3 named; rolled back: of 3+2+1+2+0 named.
    assert near["best path"]["precision"] == pytest.approx(7 / 12)
    assert near["best path"]["recall"] == pytest.approx(7 / 12)
    assert near["rolled back"]["precision"] == pytest.approx(7 / 8)
    assert near["rolled back"]["tree_distance"] == pytest.approx((0 + 1 + 2 + 1 + 3) / 5)
    assert any("neither right nor wrong" in caveat for caveat in report.caveats)


def test_truth_may_be_nodes_or_a_gallery():
    nodes = TREE.index(TRUTH)[::-1]
    gallery = Gallery.build(TRUTH.column("id"), np.ones((6, 2)), taxa=TREE.index(TRUTH), taxonomy=TREE)
    first, *others = (
        evaluate.naming(answers=TABLE, truth=truth, taxonomy=TREE, bootstrap=9).rows() for truth in (TRUTH, nodes, gallery)
    )
    assert all(other == first for other in others)


def test_a_sibling_confusion_names_its_parent():
    report = evaluate.naming(answers=TABLE, truth=TRUTH, taxonomy=TREE, bootstrap=0)
    pairs = {(row["target"], row["true"], row["found"]): (row["siblings"], row["parent"]) for row in report.rows("confusion")}
    assert pairs[("species", "g two", "g one")] == (True, "g")
    assert pairs[("species", "h one", "k one")] == (False, None)
    assert pairs[("class", "B", "A")] == (True, "Life")


def test_errors_say_what_is_missing():
    with pytest.raises(BiocosmosError, match="1 identified ids have no truth"):
        evaluate.naming(answers=TABLE, truth=TRUTH.slice(1), taxonomy=TREE)
    with pytest.raises(BiocosmosError, match="needs a taxonomy"):
        evaluate.naming(answers=TABLE, truth=TRUTH)
    with pytest.raises(BiocosmosError, match="pass one for each row"):
        evaluate.naming(answers=TABLE, truth=[1, 2], taxonomy=TREE)
    with pytest.raises(BiocosmosError, match="empty"):
        evaluate.naming(answers=TABLE.slice(0, 0), truth=TRUTH, taxonomy=TREE)
    seen = Gallery.build(["q0"], np.ones((1, 2)), taxa=[1], taxonomy=TREE)
    with pytest.raises(BiocosmosError, match="1 identified ids are in the gallery"):
        evaluate.naming(answers=TABLE, truth=TRUTH, taxonomy=TREE, gallery=seen)


def specimens(n: int, seed: int, prefix: str, taxonomy: Taxonomy | None = None, leave_out: int = -1) -> Gallery:
    rng = np.random.default_rng(seed)
    species = rng.integers(0, 8, n)
    species = species[species != leave_out]
    table = pa.table({"genus": [f"G{s // 2}" for s in species], "species": [f"G{s // 2} s{s}" for s in species]})
    centres = np.random.default_rng(7).normal(size=(8, 12))
    vectors = centres[species] + 0.9 * rng.normal(size=(len(species), 12))
    provenance = {"encoder": "toy", "digest": "ab12", "split": {"name": "default", "hash": "h1"}}
    ids = [f"{prefix}{i}" for i in range(len(species))]
    return Gallery.build(ids, vectors, table=table, taxonomy=taxonomy, provenance=provenance)


@pytest.fixture(scope="module")
def open_world() -> tuple[pa.Table, Gallery, Gallery]:
    everything = specimens(400, 0, "all")
    gallery = specimens(300, 1, "g", everything.taxonomy, leave_out=3)
    queries = specimens(120, 2, "q", everything.taxonomy)
    return Identifier.fit(gallery, threshold=0.7).identify(queries), queries, gallery


def test_an_open_world_is_judged_apart(open_world):
    table, queries, gallery = open_world
    report = evaluate.naming(answers=table, truth=queries, gallery=gallery)
    truth = {name: queries.taxonomy.path(int(t)) for name, t in zip(queries.ids, queries.taxa)}
    rows = table.to_pylist()
    novel = [truth[row["id"]][1] == "G1 s3" for row in rows]
    assert [row["novel"] for row in report.rows("specimens")] == novel
    (found,) = report.rows("novelty")
    assert (found["novel"], found["known"]) == (sum(novel), len(novel) - sum(novel))
    assert found["flagged_of_novel"] == pytest.approx(np.mean([row["novel"] for row, n in zip(rows, novel) if n]))
    row = report.rows("answerable", target="species")[0]
    assert row["unanswerable"] == sum(novel) and report.rows("answerable", target="genus")[0]["unanswerable"] == 0
    for over, kept in (("all", rows), ("answerable", [row for row, n in zip(rows, novel) if not n])):
        expected = np.mean([row["species"] == truth[row["id"]][1] for row in kept])
        (value,) = report.rows(target="species", over=over, branch="all", measure="accuracy")
        assert value["value"] == pytest.approx(expected)
    assert report.provenance["split_hash"] == "h1"
    assert json.loads(report.table().schema.metadata[b"biocosmos.provenance"])["answers"]["gallery"]["digest"] == "ab12"


def test_without_a_gallery_novelty_is_not_judged(open_world):
    table, queries, _ = open_world
    report = evaluate.naming(answers=table, truth=queries)
    assert report.rows("novelty") == []
    assert any("gallery was not given" in caveat for caveat in report.caveats)


def test_reliability_and_coverage_come_from_the_confidence_at_each_rank(open_world):
    table, queries, gallery = open_world
    report = evaluate.naming(answers=table, truth=queries, gallery=gallery)
    truth = {name: queries.taxonomy.path(int(t)) for name, t in zip(queries.ids, queries.taxa)}
    for i, rank in enumerate(("genus", "species")):
        said = [(row[f"{rank}_confidence"], row[rank] == truth[row["id"]][i]) for row in table.to_pylist()]
        best = max(c for c, _ in said)
        first = report.rows("coverage", target=rank)[0]
        assert first["threshold"] == best
        assert first["accuracy"] == pytest.approx(np.mean([r for c, r in said if c == best]))
        assert sum(row["count"] for row in report.rows("reliability", target=rank, branch="all", over="all")) == len(said)


@pytest.fixture(scope="module")
def both() -> tuple[Predictions, pa.Table]:
    """What a namer says of 400 specimens and what it told whoever asked: tempered, rolled back, withheld where it looks novel."""
    found = example(5, 400, noise=2.0, left_out=("egg",))
    promise = Promise.fit(example(6, 400, noise=2.0, left_out=("egg",)), "answered", 0.3)
    nodes, confidence = promise.calibration.best_path(found)
    strange = np.random.default_rng(0).random(len(found))
    deepest = np.where(strange > 0.9, 0, len(found.ranks) - 1)
    answers = BestPaths(found.ids.tolist(), [None] * len(found), nodes, confidence, strange, 1 - strange, None, deepest)
    facts = {"promise": promise.to_dict(), "method": "made up"}
    return found, answer_table(
        answers,
        found.taxonomy,
        threshold=promise.threshold,
        false_alarm_rate=0.05,
        method="made up",
        provenance=facts,
    )


def test_confidence_is_judged_as_it_is_told_and_what_it_was_before_stands_beside_it(both):
    found, table = both
    order = np.random.default_rng(1).permutation(len(found))
    report = evaluate.naming(found, table.take(pa.array(order)), bootstrap=0)
    told = {row["id"]: row for row in table.to_pylist()}
    path, p = found.best_path()
    for rank, name in enumerate(found.ranks):
        (row,) = report.rows("calibration", target=name, branch="all", over="all")
        true = found.taxonomy.ancestor(found.truth, rank)
        keep = (true >= 0) & (path[:, rank] >= 0)
        assert row["mean_p"] == pytest.approx(np.mean([told[i][f"{name}_confidence"] for i in found.ids[keep]]))
        assert row["raw_mean_p"] == pytest.approx(p[keep, rank].mean(), abs=1e-6)
        assert row["ece"] != row["raw_ece"]
    card = next(card for card in report.headlines() if card["what"].startswith("calibration error"))
    (main,) = report.rows("calibration", target=report.provenance["main_target"], branch="all", over="all")
    assert card["value"] == percent(main["ece"]) and f"{percent(main['raw_ece'])} before calibration" in card["detail"]


def test_a_promise_about_answers_is_not_repeated_for_those_that_novelty_left(both, tmp_path):
    found, table = both
    report = evaluate.naming(found, table, bootstrap=0)
    moved = report.provenance["withheld_as_novel"]
    threshold = json.loads(table.schema.metadata[b"biocosmos.provenance"])["promise"]["threshold"]
    before = [[row[f"{rank}_confidence"] for rank in found.ranks] for row in table.to_pylist()]
    depth = [max((i for i, c in enumerate(line) if c is not None and c >= threshold), default=-1) for line in before]
    stopped = [found.ranks.index(row["rank"]) if row["rank"] else -1 for row in table.to_pylist()]
    assert moved["moved"] == sum(a != b for a, b in zip(depth, stopped)) > 0
    assert any("no promise about those that remain" in caveat for caveat in report.caveats)
    assert f"that moved {moved['moved']} answers" in report.html(tmp_path / "page.html").read_text()


def test_a_stream_is_judged_as_the_whole(both):
    found, table = both
    blocks = (found.subset(np.arange(start, min(start + 64, len(found)))) for start in range(0, len(found), 64))
    streamed, whole = evaluate.naming(blocks, table, bootstrap=20), evaluate.naming(found, table, bootstrap=20)
    assert {name: str(t.to_pylist()) for name, t in streamed.tables.items()} == {
        name: str(t.to_pylist()) for name, t in whole.tables.items()
    }


def test_answers_about_other_specimens_are_refused(both):
    found, table = both
    with pytest.raises(BiocosmosError, match="1 identified ids are not in the table of answers"):
        evaluate.naming(found, table.slice(1))
    with pytest.raises(BiocosmosError, match="nothing to judge: pass predictions"):
        evaluate.naming()
    with pytest.raises(BiocosmosError, match="holds the best path alone"):
        evaluate.naming(answers=table, taxonomy=found.taxonomy, truth=found.truth, decoding="best class")
