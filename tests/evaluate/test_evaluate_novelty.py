"""What the novelty report counts: separation, placement, community distortion."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.novelty.metrics import deepest_known, distortion, lost_at, placement, separation, threshold_at
from biocosmos.evaluate.novelty.protocol import NoveltyRun, measure
from biocosmos.identify.novelty.known_depth import KnownDepth
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.jobs.leave_out import LeftOut, leave_out, leave_out_plan
from predictions_sample import example

LEFT_OUT = ("cyclopoid", "larva", "egg")
QUERY = example(0, 500, left_out=LEFT_OUT)
TAX = QUERY.taxonomy


def test_separation_is_scikit_learn_s_with_both_false_positive_rates() -> None:
    rng = np.random.default_rng(0)
    novel, known = rng.normal(1, 1, 80).round(1), rng.normal(0, 1, 300).round(1)
    found = separation(novel, known)
    score, truth = np.r_[novel, known], np.r_[np.ones(80), np.zeros(300)]
    assert found.auroc == pytest.approx(roc_auc_score(truth, score))
    assert found.aupr_novel == pytest.approx(average_precision_score(truth, score))
    assert found.aupr_known == pytest.approx(average_precision_score(1 - truth, -score))
    for value, positive, sign in ((found.fpr95_novel_positive, truth, 1), (found.fpr95_known_positive, 1 - truth, -1)):
        false, true, _ = roc_curve(positive, sign * score, drop_intermediate=False)
        assert value == pytest.approx(false[true >= 0.95].min())


def test_an_unseen_class_is_lost_at_the_rank_where_its_path_leaves_the_known() -> None:
    lost, deepest = lost_at(QUERY), deepest_known(QUERY)
    expected = {"cyclopoid": ("label", "copepod"), "larva": ("group", "living"), "egg": ("group", "living")}
    for row, node in enumerate(QUERY.truth):
        name = TAX.name(int(node))
        rank, known = expected.get(name, ("known", name))
        assert (lost[row], TAX.name(int(deepest[row]))) == (rank, known), name
    nowhere = QUERY.subset(np.arange(3))
    nowhere.truth[:] = (-1, 0, QUERY.classes[0])
    assert lost_at(nowhere).tolist() == ["far", "untold", "known"]


def test_placement_parts_answers_into_five() -> None:
    true = np.array([TAX.find(f"group:{name}") for name in ["copepod"] * 6 + ["diatom"] * 2] + [0])
    names = [
        "group:copepod",
        "label:calanoid",
        "status:living",
        "group:diatom",
        None,
        "label:harpacticoid",
        "group:diatom",
        "status:living",
    ]
    answers = np.array([0 if name is None else TAX.find(name) for name in names] + [5])
    found = placement(TAX, answers, true)
    assert (found.exact, found.deep, found.shallow, found.wrong, found.none) == (2 / 8, 2 / 8, 2 / 8, 1 / 8, 1 / 8)
    assert found.inside == 4 / 8 and found.specimens == 8
    assert found.depth == pytest.approx((1 + 1 + 0.5 + 0.5 + 0 + 1 + 1 + 0.5) / 8)
    assert np.isnan(placement(TAX, answers[:0], true[:0]).exact)


def test_distortion_counts_what_a_threshold_puts_aside() -> None:
    a, b, c = QUERY.classes[:3]
    truth = np.array([a, a, b, b, c, c])  # c is novel
    novel = truth == c
    answers = np.array([a, b, b, b, a, b])
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.9, 0.4])
    everything, some, nothing = distortion(answers, truth, novel, scores, (1.0, 0.5, -1.0), QUERY.classes)
    # counted a, b, unknown = 2, 4, 0 against 2, 2, 2
    assert (everything.bray_curtis, everything.over, everything.under) == (4 / 12, 2 / 6, 0)
    assert (everything.false_alarms, everything.caught) == (0, 0)
    # aside: the fourth and the fifth; counted 1, 3, 2
    assert (some.bray_curtis, some.over, some.under) == (2 / 12, 1 / 6, 1 / 6)
    assert (some.false_alarms, some.caught) == (1 / 4, 1 / 2)
    assert (nothing.bray_curtis, nothing.under) == (8 / 12, 4 / 6)


def test_threshold_keeps_false_alarms_at_most_at_the_rate_on_average() -> None:
    assert threshold_at(np.arange(1.0, 10), 0.1) == 9 and threshold_at(np.arange(1.0, 10), 0.5) == 5
    assert threshold_at(np.arange(1.0, 10), 0.05) == np.inf
    rng = np.random.default_rng(0)
    alarms = [(rng.random(500) > threshold_at(rng.random(50), 0.1)).mean() for _ in range(400)]
    assert np.mean(alarms) <= 0.1 + 2 * np.std(alarms) / 20


# ---------------------------------------------------------------------------------------------------- the protocol


def pretended(left_out: LeftOut, seed: int = 0) -> NoveltyRun:
    """A run as a training would return it, from one made-up world."""
    whole = example(seed, 1500, noise=0.8, left_out=tuple(name.removeprefix("label:") for name in left_out.taxa))
    train, held_out, test = (whole.subset(np.arange(start, start + 500)) for start in (0, 500, 1000))
    everything = example(seed, 1500, noise=0.8).subset(np.arange(1000, 1500))
    strangers = replace(test.subset(np.arange(60)), features=test.features[:60] * 3, truth=np.full(60, -1, np.int32))
    chimeras = replace(strangers, features=(test.features[:60] + test.features[60:120]) / 2)
    train, held_out = (part.subset(part.answerable) for part in (train, held_out))
    far = {"foreign": strangers, "chimeras": chimeras}
    return NoveltyRun(left_out.name, left_out.taxa, train, held_out, test, strangers.subset(np.arange(30)), far, everything)


def test_a_run_is_measured_in_columns_that_are_never_pooled() -> None:
    run = pretended(LeftOut("two", ("cyclopoid", "larva", "egg")))
    rows = measure(run, ["combined", "knn"])
    columns = {(row["column"], row["taxon"]) for row in rows["separation"]}
    # larva and egg are all the fish there are: their group is unseen
    assert columns == {
        ("near", "cyclopoid"),
        ("middle", "larva"),
        ("middle", "egg"),
        ("known outlier", "all of them"),
        ("far", "foreign"),
        ("far", "chimeras"),
    }
    known = run.test.subset(run.test.answerable)
    detector = make_detector("knn").fit(run.train, run.held_out)
    unseen = run.test.subset(run.test.truth == TAX.find("label:cyclopoid"))
    score = np.concatenate([detector.scores(known), detector.scores(unseen)])
    found = next(row for row in rows["separation"] if (row["detector"], row["taxon"]) == ("knn", "cyclopoid"))
    assert found["auroc"] == pytest.approx(roc_auc_score(np.arange(len(score)) >= len(known), score))
    assert (found["novel"], found["known"]) == (len(unseen), len(known))
    depth = KnownDepth(make_detector().fit(run.train, run.held_out), run.held_out)
    placed = next(row for row in rows["placement"] if (row["taxon"], row["rule"]) == ("cyclopoid", "deepest inside"))
    inside = TAX.is_ancestor(TAX.find("group:copepod"), depth.place(unseen).nodes)
    assert placed["inside"] == pytest.approx(inside.mean())
    nothing = next(row for row in rows["distortion"] if (row["taxon"], row["put_aside"]) == ("cyclopoid", "none"))
    assert (
        nothing["false_alarms"] == 0 and nothing["over"] > 0 and nothing["novel_share"] == pytest.approx(len(unseen) / len(score))
    )
    accuracy = rows["accuracy"][2]
    nodes = known.best_path()[0][:, 2]
    assert accuracy["accuracy"] == pytest.approx((nodes == known.truth)[known.taxonomy.rank[known.truth] == 2].mean())
    assert accuracy["reference"] is not None


def test_leaks_are_refused() -> None:
    run = pretended(LeftOut("one", ("cyclopoid",)))
    with pytest.raises(BiocosmosError, match=r"of the 3 specimens of the test part, 3 .* trained the detectors of run 'one'"):
        measure(replace(run, test=run.train.subset(np.arange(3))))
    with pytest.raises(BiocosmosError, match="leaves 'larva' out, but its head has it as a class"):
        measure(replace(run, taxa=("larva",)))


def test_plans_leave_out_one_taxon_or_folds_that_part_siblings() -> None:
    whole = example(0, 1000)
    every = leave_out_plan(TAX, whole.truth, whole.truth, "label")
    assert [run.taxa for run in every] == [(name,) for name in (TAX.name(int(node)) for node in TAX.at_rank("label"))]
    folds = leave_out_plan(TAX, whole.truth, whole.truth, "label", at_once=3)
    assert sorted(taxon for fold in folds for taxon in fold.taxa) == sorted(run.name for run in every)
    for fold in folds:
        parents = [int(TAX.parent[TAX.find(taxon)]) for taxon in fold.taxa]
        assert len(set(parents)) == len(parents)
    assert len(leave_out_plan(TAX, whole.truth, whole.truth, "label", most=4, seed=1)) == 4
    assert {run.name for run in leave_out_plan(TAX, whole.truth, whole.truth, "group")} == {
        "copepod",
        "diatom",
        "fish",
        "detritus",
    }
    with pytest.raises(BiocosmosError, match="no label has 900 specimens"):
        leave_out_plan(TAX, whole.truth, whole.truth, "label", least=900)


def test_a_killed_protocol_goes_on_and_a_failed_run_is_a_row(tmp_path: Path) -> None:
    plan = [LeftOut(name, (name,)) for name in ("cyclopoid", "chain", "egg")]
    trained: list[str] = []

    def train(left_out: LeftOut, folder: Path) -> NoveltyRun:
        assert folder.is_dir() and folder.parent == tmp_path / "runs"
        trained.append(left_out.name)
        if left_out.name == "chain" and len(trained) < 4:
            raise KeyboardInterrupt
        if left_out.name == "egg":
            raise BiocosmosError("too few images")
        return pretended(left_out)

    with pytest.raises(KeyboardInterrupt):
        leave_out(plan, train, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        leave_out(plan, train, tmp_path)
    report = leave_out(plan, train, tmp_path, provenance={"encoders": {"made up": {}}})
    assert trained == ["cyclopoid", "chain", "chain", "chain", "egg"]
    assert report.rows("failed") == [{"run": "egg", "taxa": "egg", "reason": "too few images"}]
    row = next(row for row in report.rows("summary") if (row["column"], row["detector"]) == ("near", "combined"))
    both = [one["auroc"] for one in report.rows("separation") if (one["column"], one["detector"]) == ("near", "combined")]
    assert len(both) == 2 and row["auroc"] == pytest.approx(np.mean(both))
    assert row["auroc_deviation"] == pytest.approx(np.std(both, ddof=1))
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"provenance.json", "report.html", "results.parquet", "runs.json"}
    page = (tmp_path / "report.html").read_text()
    for words in ("near: AUROC", "unseen class of a known group", "too few images", "Fewer than 30 taxa", "distortion"):
        assert words in page
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    again = leave_out(plan[:2], lambda *_: pytest.fail("measured runs are read"), tmp_path)
    assert again.rows("summary") == [one | {} for one in report.rows("summary")]
    with pytest.raises(BiocosmosError, match="all 1 runs failed; the first, egg: too few images"):
        leave_out(plan[2:], train, tmp_path)
