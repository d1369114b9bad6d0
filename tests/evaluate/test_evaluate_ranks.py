"""Numbers at every rank of a tree: against scikit-learn, hiclass, loops, and a small tree worked out by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, top_k_accuracy_score

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.hierarchy import consistent, path_overlap, place_of_truth, severity
from biocosmos.evaluate.numbers.rank_scores import agreement_differences, agreement_intervals
from biocosmos.evaluate.ranks.names import BEST_CLASS, BEST_PATH, DECODINGS, EACH_RANK, RAW, decode
from biocosmos.evaluate.ranks.report import naming
from biocosmos.evaluate.report import Report
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy
from predictions_sample import example

RANKS = ("status", "group", "label")
DRAWS = 200


@pytest.fixture(scope="module")
def found() -> Predictions:
    return example(n=400, left_out=("egg",))


@pytest.fixture(scope="module")
def report(found: Predictions) -> Report:
    return naming(found, ks=(1, 3), bootstrap=DRAWS)


def small_tree() -> Taxonomy:
    return Taxonomy.from_table(
        {
            "status": ["living", "living", "living", "dead", None],
            "group": ["copepod", "copepod", "fish", "fluff", None],
            "label": ["calanoid", "cyclopoid", "larva", "grey", "blob"],
        },
        RANKS,
    )


def nodes(tax: Taxonomy, *names: str) -> np.ndarray:
    return np.array([tax.find(name) for name in names])


# ---- worked out by hand ----------------------------------------------------------------------------------------------


def test_severity_is_the_number_of_ranks_to_climb() -> None:
    tax = small_tree()
    cases = [
        ("label:calanoid", "label:calanoid", 0),
        ("label:calanoid", "label:cyclopoid", 1),
        ("label:calanoid", "label:larva", 2),
        ("label:calanoid", "label:grey", 3),
        ("label:calanoid", "label:blob", 3),  # a taxon without status shares nothing known
        ("label:blob", "label:calanoid", 3),
        ("copepod", "label:calanoid", 0),  # nobody said which label: no mistake
        ("copepod", "label:larva", 1),
        ("label:calanoid", "copepod", 1),  # stopped too early
    ]
    truth, said, expected = zip(*cases)
    np.testing.assert_array_equal(severity(tax, nodes(tax, *said), nodes(tax, *truth)), expected)
    np.testing.assert_array_equal(severity(tax, nodes(tax, "copepod"), np.array([0])), [-1])
    np.testing.assert_array_equal(severity(tax, np.array([0]), nodes(tax, "label:larva")), [3])


def test_without_null_ranks_severity_is_the_height_of_the_lowest_common_ancestor() -> None:
    full = {"status": list("aaaabbb"), "group": list("ccddeff"), "label": [f"l{i}" for i in range(7)]}
    tax = Taxonomy.from_table(full, RANKS)
    height = np.zeros(len(tax), int)  # edges to the deepest leaf below
    for node in range(len(tax) - 1, 0, -1):
        height[tax.parent[node]] = max(height[tax.parent[node]], height[node] + 1)
    for truth in tax.leaves:
        for said in tax.leaves:
            assert severity(tax, np.array([said]), np.array([truth]))[0] == height[tax.lowest_common(said, truth)]


def test_hierarchical_scores_count_only_ranks_where_the_truth_has_a_name() -> None:
    tax = small_tree()
    truth = nodes(tax, "label:calanoid", "label:blob", "copepod")
    said = nodes(tax, "label:larva", "label:calanoid", "label:calanoid")
    overlap = path_overlap(tax.lineage(said), tax.lineage(truth))
    np.testing.assert_array_equal(overlap, [[1, 3, 3], [0, 1, 1], [2, 2, 2]])


def test_answers_are_consistent_when_they_stand_on_one_path() -> None:
    tax = small_tree()
    living, copepod, fluff, calanoid, blob = nodes(tax, "living", "copepod", "fluff", "label:calanoid", "label:blob")
    said = np.array(
        [[living, copepod, calanoid], [living, fluff, calanoid], [living, fluff, blob], [living, -1, blob], [-1, -1, -1]]
    )
    np.testing.assert_array_equal(consistent(tax, said), [True, False, False, True, True])


# ---- against other people's code and loops ---------------------------------------------------------------------------


def row(report: Report, table: str, **where: object) -> dict:
    (one,) = report.rows(table, **where)
    return one


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_precision_recall_f1_and_accuracy_are_scikit_learns(found: Predictions, report: Report, rank: int) -> None:
    true = found.taxonomy.ancestor(found.truth, rank)
    said = found.best_path()[0][:, rank]
    named = true >= 0  # a null rank judges nothing
    true, said = true[named], said[named]
    where = {"branch": "all", "over": "all", "target": RANKS[rank]}
    accuracy = row(report, "summary", measure="accuracy", **where)
    assert accuracy["value"] == pytest.approx(accuracy_score(true, said))
    assert (accuracy["specimens"], accuracy["taxa"]) == (len(true), len(set(true)))
    for average in ("weighted", "macro"):
        expected = precision_recall_fscore_support(true, said, labels=np.unique(true), average=average, zero_division=0)
        for measure, value in zip(("precision", "recall", "F1"), expected):
            got = row(report, "summary", measure=measure, average=average, **where)
            assert got["value"] == pytest.approx(value)
            assert got["low"] <= got["value"] <= got["high"] and got["low"] < got["high"]


def test_top_k_is_scikit_learns_over_the_taxa_of_the_rank() -> None:
    found = example(n=300, seed=3)
    report = naming(found, ks=(1, 3), bootstrap=0)
    for rank in (1, 2):
        columns = found.tree.nodes[found.tree.ranks == rank]
        true = found.taxonomy.ancestor(found.truth, rank)
        named = true >= 0
        for k in (1, 3):
            expected = top_k_accuracy_score(true[named], found.log_p[named][:, columns], k=k, labels=columns)
            got = row(report, "summary", measure=f"top-{k}", average="micro", branch="all", over="all", target=RANKS[rank])
            assert got["value"] == pytest.approx(expected)


def test_hierarchical_scores_are_hiclass(found: Predictions, report: Report) -> None:
    metrics = pytest.importorskip("hiclass.metrics")
    paths = found.best_path()[0]
    true = found.taxonomy.lineage(found.truth)
    # hiclass drops empty names from its sets: ranks without a true name are emptied on both sides.
    said = np.array([[str(a) if t >= 0 and a >= 0 else "" for a, t in zip(*both)] for both in zip(paths, true)])
    names = np.array([[str(t) if t >= 0 else "" for t in line] for line in true])
    got = row(report, "hierarchical", branch="all", over="all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert got["precision"] == pytest.approx(metrics.precision(names, said))
        assert got["recall"] == pytest.approx(metrics.recall(names, said))
        assert got["f1"] == pytest.approx(metrics.f1(names, said))


def test_severity_and_branches_are_those_of_a_loop(found: Predictions, report: Report) -> None:
    tax = found.taxonomy
    answer = [max([node for node in path if node >= 0], default=0) for path in found.best_path()[0].tolist()]
    climbed = []
    for truth, said in zip(found.truth.tolist(), answer):
        above = {truth, 0}
        node = truth
        while node > 0:
            node = int(tax.parent[node])
            above.add(node)
        while said not in above:
            said = int(tax.parent[said])
        climbed.append(int(tax.rank[truth]) - int(tax.rank[said]))
    climbed = np.array(climbed)
    status = tax.ancestor(found.truth, 0)
    masks = {"all": status >= -1, "status unknown": status < 0}
    masks |= {name: status == tax.find(name) for name in ("living", "non-living")}
    for branch, mask in masks.items():
        got = row(report, "hierarchical", branch=branch, over="all")
        assert got["specimens"] == mask.sum() and got["mistakes"] == (climbed[mask] > 0).sum()
        assert got["mistake_severity"] == pytest.approx(climbed[mask & (climbed > 0)].mean())
        assert got["mean_severity"] == pytest.approx(climbed[mask].mean())
        for ranks in range(4):
            assert row(report, "severity", branch=branch, severity=ranks)["specimens"] == (climbed[mask] == ranks).sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**31))
def test_place_of_truth_is_that_in_a_stable_sort(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, true = rng.integers(0, 4, (n, m)).astype(float), rng.integers(-1, m, n)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [m if t < 0 else list(line).index(t) for line, t in zip(order, true)]
    np.testing.assert_array_equal(place_of_truth(scores, true), expected)


def test_expected_calibration_error_is_that_of_a_loop(found: Predictions, report: Report) -> None:
    path, p = found.best_path()
    for rank, name in enumerate(RANKS):
        true = found.taxonomy.ancestor(found.truth, rank)
        keep = (true >= 0) & (path[:, rank] >= 0)
        said, right = p[keep, rank], (path[:, rank] == true)[keep]
        expected = 0.0
        for i in range(10):
            inside = (said > i / 10) & (said <= (i + 1) / 10)
            if inside.any():
                expected += inside.sum() / len(said) * abs(right[inside].mean() - said[inside].mean())
        assert row(report, "calibration", branch="all", over="all", target=name)["ece"] == pytest.approx(expected)


def test_intervals_are_those_of_resampled_rows() -> None:
    rng = np.random.default_rng(0)
    true = rng.choice(4, 300, p=[0.6, 0.25, 0.1, 0.05])
    said = np.where(rng.random(300) < 0.7, true, rng.integers(-1, 4, 300))
    better = np.where(rng.random(300) < 0.5, true, said)

    def scores(rows: np.ndarray, answers: np.ndarray, average: str) -> float:
        t, a = true[rows], answers[rows]
        f1 = np.array([2 * ((t == c) & (a == c)).sum() / ((t == c).sum() + (a == c).sum()) for c in range(4)])
        return float(np.average(f1, weights=np.bincount(t, minlength=4) if average == "weighted" else None))

    among_all = [rng.integers(0, 300, 300) for _ in range(500)]
    within = [np.concatenate([rng.choice(np.flatnonzero(true == t), (true == t).sum()) for t in range(4)]) for _ in range(500)]
    boot = Bootstrap(4000)
    alone, pairs = agreement_intervals(true, said, 4, boot), agreement_differences(true, said, better, 4, boot)
    for average, draws in (("weighted", among_all), ("macro", within)):
        (one,) = (v for measure, a, v in alone if (measure, a) == ("F1", average))
        np.testing.assert_allclose(
            [one.low, one.high], np.quantile([scores(d, said, average) for d in draws], [0.025, 0.975]), atol=0.012
        )
        (two,) = (v for measure, a, v in pairs if (measure, a) == ("F1", average))
        differences = [scores(d, better, average) - scores(d, said, average) for d in draws]
        np.testing.assert_allclose([two.low, two.high], np.quantile(differences, [0.025, 0.975]), atol=0.012)
        whole = np.arange(300)
        assert two.value == pytest.approx(scores(whole, better, average) - scores(whole, said, average))


# ---- what a reader relies on -----------------------------------------------------------------------------------------


def test_the_best_path_is_consistent_and_what_that_costs_is_said(found: Predictions, report: Report) -> None:
    for way in DECODINGS:
        said = decode(found, way)
        assert said is not None
        agreed = consistent(found.taxonomy, said)
        assert way not in (BEST_PATH, BEST_CLASS) or agreed.all()
        for rank, name in enumerate(RANKS):
            got = row(report, "consistency", answers=way, target=name)
            true = found.taxonomy.ancestor(found.truth, rank)
            right = (said[:, rank] == true)[true >= 0]
            assert got["accuracy"] == pytest.approx(right.mean()) and got["consistent"] == pytest.approx(agreed.mean())
            assert got["difference"] == pytest.approx(got["accuracy"] - got["best_path_accuracy"])
    raw = decode(found, RAW)
    assert found.rank_scores is not None and not consistent(found.taxonomy, raw).all()
    np.testing.assert_array_equal(raw[:, 2], found.rank_nodes[2][found.rank_scores[2].argmax(axis=1)])


@pytest.mark.parametrize("way", DECODINGS)
def test_the_whole_report_can_be_read_in_any_way(found: Predictions, report: Report, way: str) -> None:
    read = naming(found, decoding=way, bootstrap=0)
    for rank in RANKS:
        expected = row(report, "consistency", answers=way, target=rank)
        assert row(read, "summary", target=rank, measure="accuracy", branch="all", over="all")["value"] == expected["accuracy"]
        said = row(read, "calibration", target=rank, branch="all", over="all")
        assert 0 < said["mean_p"] <= 1
    assert str(read.rows("consistency", answers=BEST_CLASS)) == str(
        naming(found, bootstrap=0).rows("consistency", answers=BEST_CLASS)
    )


def test_a_namer_without_raw_ranks_has_no_such_row() -> None:
    report = naming(example(n=60, with_levels=False), bootstrap=0)
    assert {r["answers"] for r in report.rows("consistency")} == {BEST_PATH, BEST_CLASS, EACH_RANK}
    with pytest.raises(BiocosmosError, match="made up has no raw ranks"):
        naming(example(n=60, with_levels=False), decoding=RAW)


def test_unanswerable_specimens_are_counted_and_shown_apart(found: Predictions, report: Report) -> None:
    eggs = int((found.truth == found.taxonomy.find("label:egg")).sum())
    label, group = row(report, "answerable", target="label"), row(report, "answerable", target="group")
    assert (label["unanswerable"], label["unanswerable_taxa"], group["unanswerable"]) == (eggs, 1, 0)
    assert group["null"] == (found.taxonomy.ancestor(found.truth, 1) < 0).sum()
    where = {"measure": "accuracy", "branch": "all", "target": "label"}
    every, able = row(report, "summary", over="all", **where), row(report, "summary", over="answerable", **where)
    assert every["specimens"] - able["specimens"] == eggs
    assert every["value"] * every["specimens"] == pytest.approx(able["value"] * able["specimens"])  # none of the eggs is right
    assert any(f"{eggs:,} of 400 at label" in caveat for caveat in report.caveats)


def test_truths_outside_the_tree_and_missing_truths_judge_nothing(found: Predictions) -> None:
    truth = found.truth.copy()
    truth[:5], truth[5:8] = -1, 0
    report = naming(Predictions(**{**vars_of(found), "truth": truth}), bootstrap=0)
    rest = naming(found.subset(np.arange(8, len(found))), bootstrap=0)
    assert str(report.rows("summary")) == str(rest.rows("summary"))
    assert row(report, "answerable", target="label") | {"not_in_tree": 5, "nothing_known": 3} == row(
        report, "answerable", target="label"
    )


def vars_of(found: Predictions) -> dict:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_nothing_to_judge_is_said(found: Predictions) -> None:
    with pytest.raises(BiocosmosError, match="nothing to judge: none of 400 specimens"):
        naming(Predictions(**{**vars_of(found), "truth": np.zeros(len(found), np.int32)}))
    with pytest.raises(BiocosmosError, match="no rank 'genus'"):
        naming(found, branch="genus")
    with pytest.raises(BiocosmosError, match="top-k needs whole numbers"):
        naming(found, ks=(0,))


def test_a_taxon_row_says_what_it_is_taken_for(found: Predictions, report: Report) -> None:
    tax, said = found.taxonomy, found.best_path()[0][:, 2]
    centric = tax.find("label:centric")
    got = row(report, "per_taxon", target="label", taxon="centric")
    right = ((said == centric) & (found.truth == centric)).sum()
    assert got["recall"] == pytest.approx(right / (found.truth == centric).sum())
    assert got["precision"] == pytest.approx(right / (said == centric).sum())
    wrong = [str(tax.names[s]) for s, t in zip(said, found.truth) if t == centric and s not in (-1, centric)]
    assert wrong.count(got["mostly_taken_for"]) == max(map(wrong.count, set(wrong))) == got["taken_for"]


def test_the_tables_are_the_same_every_time(found: Predictions, report: Report, tmp_path: Path) -> None:
    again = naming(found, ks=(1, 3), bootstrap=DRAWS)
    assert {name: table.to_pylist() for name, table in again.tables.items()} == {
        name: table.to_pylist() for name, table in report.tables.items()
    }
