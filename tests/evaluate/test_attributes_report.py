"""Attributes judged: the report's numbers against oracles, weights, caveats, the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.exclusive import exclusive
from biocosmos.evaluate.attributes.importance import read_importance
from biocosmos.evaluate.attributes.intervals import intervals
from biocosmos.evaluate.attributes.multi_label import Rules, multi_label
from biocosmos.evaluate.attributes.report import attributes
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.report import Report
from biocosmos.identify.attributes import AttributePredictions, TaskPredictions
from biocosmos.specimens.attributes import Attribute, Attributes

SEEN = ("Apis", "Bombus", "Osmia", "Vespa")
STAGES = ("adult", "larva", "pupa")
SPECIMENS = 80


def trays(seed: int = 0) -> tuple[Attributes, AttributePredictions]:
    """Trays of several species, some empty, Vespa in none; the stage of most."""
    rng = np.random.default_rng(seed)
    seen = (rng.random((SPECIMENS, 4)) < (0.5, 0.3, 0.2, 0)).astype(np.int8)
    seen[:5, 1] = -1
    stage = np.eye(3, dtype=np.int8)[rng.integers(0, 3, SPECIMENS)]
    stage[0], stage[1] = -1, 0
    p = 1 / (1 + np.exp(-(rng.normal(size=seen.shape) + 3 * seen - 1.5)))
    q = rng.dirichlet((1, 1, 1), SPECIMENS) + 0.3 * np.maximum(stage, 0)
    ids = np.array([f"tray {i}" for i in range(SPECIMENS)], object)
    truth = Attributes(ids, (Attribute("seen", SEEN, True, seen), Attribute("stage", STAGES, False, stage)))
    cuts = np.array([0.5, 0.4, 0.5, 0.6])
    said = (
        TaskPredictions("seen", SEEN, True, p, cuts),
        TaskPredictions("stage", STAGES, False, q / q.sum(axis=1, keepdims=True)),
    )
    return truth, AttributePredictions(ids, said)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.csv"
    path.write_text("class,weight,attribute\nVespa,10,\nApis,2,seen\n*,1,seen\nMoth,3,\n")
    return path


@pytest.fixture
def report(weights: Path) -> Report:
    return attributes(*trays(), importance=read_importance(weights), name="ours", bootstrap=100)


def test_every_measure_is_in_the_summary_with_its_interval(report: Report) -> None:
    truth, said = trays()
    found = multi_label(said.tasks[0].probabilities, truth.tasks[0].values, said.tasks[0].cuts, np.array([2, 1, 1, 10]))
    rows = {row["measure"]: row for row in report.rows("summary", task="seen")}
    assert rows["F2 weighted"]["value"] == pytest.approx(found.averages.weighted)
    f2 = found.counts.f(2)
    assert rows["F2 weighted"]["value"] == pytest.approx((2 * f2[0] + f2[1] + f2[2]) / 4), "Vespa is in no tray: left out"
    assert rows["mean F2"]["value"] == pytest.approx(f2[:3].mean()) and rows["mean F2"]["classes"] == 3
    for measure, value in (
        *(("F1 empty", found.averages.empty), ("OF1", found.averages.of1), ("CF1", found.averages.cf1)),
        *(("mAP", found.mean_ap), ("exact match", found.exact)),
    ):
        assert rows[measure]["value"] == pytest.approx(value)
        assert rows[measure]["low"] <= value <= rows[measure]["high"]
    assert rows["exact match"]["specimens"] == SPECIMENS - 5


def test_one_of_several_classes_as_scikit_learn_says(report: Report) -> None:
    truth, said = trays()
    known = truth.tasks[1].targets >= 0
    true, told = truth.tasks[1].targets[known], said.tasks[1].probabilities[known].argmax(axis=1)
    rows = {row["measure"]: row for row in report.rows("summary", task="stage")}
    assert rows["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(true, told))
    assert rows["balanced accuracy"]["value"] == pytest.approx(metrics.balanced_accuracy_score(true, told))
    assert rows["macro F1"]["value"] == pytest.approx(metrics.f1_score(true, told, average="macro"))
    assert rows["accuracy"]["specimens"] == known.sum() == SPECIMENS - 2, "one is not known, one is none of the classes"
    classes = report.rows("classes", task="stage")
    assert [row["recall"] for row in classes] == pytest.approx(metrics.recall_score(true, told, average=None))
    assert sum(row["count"] for row in report.rows("confused", task="stage")) == (true != told).sum()


def test_weights_count_for_a_task_with_one_class_too() -> None:
    values = np.eye(2, dtype=np.int8)[[0, 0, 0, 1]]
    said = np.eye(2)[[0, 0, 1, 1]]
    found = exclusive(said, values, bootstrap=Bootstrap(10), weights=np.array([1.0, 3.0]))
    assert found.weighted is not None
    f2 = 5 * 2 / (4 * 3 + 2), 5 * 1 / (4 * 1 + 2)
    assert found.weighted.value == pytest.approx((f2[0] + 3 * f2[1]) / 4)


def test_what_cannot_be_concluded_is_said(report: Report) -> None:
    said = " ".join(report.caveats)
    assert "seen: Vespa is true of no specimen here: left out of every mean" in said
    assert "seen: 5 of 320 labels are not known: they are in no number" in said
    assert "stage: 1 specimens have a value that is none of the classes" in said
    assert "weighs Moth, which no attribute here has" in said


def test_the_costliest_specimens_come_first(report: Report) -> None:
    rows = report.rows("costly", task="seen")
    costs = [row["cost"] for row in rows]
    assert costs == sorted(costs, reverse=True)
    weight = {"Apis": 2, "Bombus": 1, "Osmia": 1, "Vespa": 10}
    for row in rows:
        assert row["cost"] == sum(4 * weight[name] for name in row["missed"]) + sum(weight[name] for name in row["wrong"])


def test_the_page_shows_all_of_it(report: Report, tmp_path: Path) -> None:
    text = report.html(tmp_path / "trays.html").read_text()
    for words in (
        "How well is seen answered?",
        "F1 empty",
        "Which classes of stage are hard?",
        "What is taken for what in stage?",
    ):
        assert words in text
    assert [row["what"] for row in report.headlines()][:2] == ["seen: F2 weighted", "seen: F1 empty"]
    report.write(tmp_path / "report", tables="csv")
    assert (tmp_path / "report/tables/classes.csv").read_text().startswith('"task","kind","class"')


def test_intervals_do_not_depend_on_the_order_and_shrink_with_specimens() -> None:
    truth, said = trays()
    task, told = truth.tasks[0], said.tasks[0]

    def of(rows: np.ndarray) -> dict[str, tuple[float, float, float]]:
        return intervals(told.probabilities[rows], task.values[rows], told.cuts, None, Rules(), Bootstrap(200))  # type: ignore[return-value]

    rows = np.arange(SPECIMENS)
    found, turned, more = of(rows), of(rows[::-1]), of(np.tile(rows, 9))
    for measure, interval in found.items():
        assert interval[0] == pytest.approx(turned[measure][0]) and interval[0] == pytest.approx(more[measure][0])
        assert more[measure][2] - more[measure][1] < interval[2] - interval[1]
    assert found["of1"] == turned["of1"]


def test_intervals_are_those_of_drawing_specimens_one_by_one() -> None:
    truth, said = trays()
    task, told = truth.tasks[0], said.tasks[0]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        rows = rng.integers(0, SPECIMENS, SPECIMENS)
        drawn.append(multi_label(told.probabilities[rows], task.values[rows], told.cuts))
    found = intervals(told.probabilities, task.values, told.cuts, None, Rules(), Bootstrap(400))
    for name, values in (("weighted", [one.averages.weighted for one in drawn]), ("mean_ap", [one.mean_ap for one in drawn])):
        low, high = np.quantile(values, (0.025, 0.975))
        assert found[name].low == pytest.approx(low, abs=0.03) and found[name].high == pytest.approx(high, abs=0.03)


def test_weights_of_a_data_set_come_with_the_package() -> None:
    weights = read_importance("sewer-ml").of("defects", ("RB", "OK", "AF"))
    assert weights is not None and weights.tolist() == [1.0, 0.4396, 0.0811]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,value\na,1\n", "has no column 'weight'"),
        ("weight\n1\n", "has no column 'class'"),
        ("class,weight\n", "has no rows"),
        ("", "has no column 'class'"),
        ("class,weight\nApis,heavy\n", "row 1: the weight of 'Apis' is 'heavy'"),
        ("class,weight\nApis,-1\n", "row 1: the weight"),
        ("class,weight\nApis,nan\n", "row 1: the weight"),
        ("class;weight\nApis;1\nApis;2\n", "row 2: the class 'Apis' is there twice"),
        ("class,weight\n,1\n", "row 1: the class is blank"),
    ],
)
def test_tables_of_weights_that_are_none_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(BiocosmosError, match=words):
        read_importance(tmp_path / "w.csv")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="cannot read the weights in"):
        read_importance(tmp_path / "nothing.csv")
    for text, words in (
        ("class,weight\nApis,1\n", "no weight for 'Bombus', 'Osmia', 'Vespa' of the attribute 'seen'"),
        ("class,weight\nMoth,1\n", "weighs no class of seen, stage"),
        ("class,weight\n*,0\nApis,0\n", "gives every class of the attribute 'seen' the weight 0"),
    ):
        (tmp_path / "w.csv").write_text(text)
        with pytest.raises(BiocosmosError, match=words):
            attributes(*trays(), importance=read_importance(tmp_path / "w.csv"), bootstrap=0)


def test_only_ratios_of_weights_matter_however_large_they_are(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("class,weight\na,1e308\nb,1e308\nc,5e307\n", encoding="utf-8")
    weights = read_importance(tmp_path / "w.csv").of("t", ("a", "b", "c"))
    assert weights is not None and np.isfinite(weights.sum())
    assert weights / weights.sum() == pytest.approx([0.4, 0.4, 0.2])


def test_what_does_not_belong_together_is_refused() -> None:
    truth, said = trays()
    with pytest.raises(BiocosmosError, match="not of the same specimens"):
        attributes(truth.take(slice(1, None)), said)
    other = AttributePredictions(
        said.ids, (TaskPredictions("seen", SEEN[::-1], True, said.tasks[0].probabilities), said.tasks[1])
    )
    with pytest.raises(BiocosmosError, match="classes of the attribute 'seen' differ"):
        attributes(truth, other)
    unknown = Attributes(truth.ids, (Attribute("seen", SEEN, True, np.full((SPECIMENS, 4), -1, np.int8)),))
    with pytest.raises(BiocosmosError, match="nothing is known of the attribute 'seen'"):
        attributes(unknown, said)


def test_a_task_with_one_class_and_one_specimen() -> None:
    ids = np.array(["a"], object)
    truth = Attributes(ids, (Attribute("stage", ("adult",), False, np.ones((1, 1), np.int8)),))
    said = AttributePredictions(ids, (TaskPredictions("stage", ("adult",), False, np.ones((1, 1))),))
    report = attributes(truth, said, bootstrap=20)
    assert report.rows("summary", measure="accuracy")[0]["value"] == 1 and report.rows("confused") == []
