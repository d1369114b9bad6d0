"""What naming everything costs, as a report: the figures are those of the curve."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.discover.growing import Costs, Simulation, Working
from biocosmos.discover.growing.simulation import ALONE, HARVEST
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.discovery.growing import report_on


def row(strategy, seconds, share, precision, seed=0):
    counts = dict.fromkeys(("by_hand", "grown", "accepted", "taxa", "pages", "clicks", "alone"), 0)
    what = {"encoder": "e", "rank": "label", "specimens": 1000, "strategy": strategy, "seed": seed}
    return {**what, "seconds": seconds, "share": share, "precision": precision, "promised": float("nan"), **counts}


def test_the_hours_lie_on_the_line_between_two_looks():
    costs = Costs(alone=10.0)
    rows = [row(HARVEST, 1000, 0.5, 0.95), row(HARVEST, 3000, 1.0, 0.92)]
    found = report_on(rows, costs, Working(), {}).rows("summary")[0]
    assert found["hours"] == pytest.approx(2600 / 3600)  # 1000 + 2000 * (0.9 - 0.5) / 0.5
    assert found["of_one_by_one"] == pytest.approx(2600 / 9000) and found["an_hour"] == pytest.approx(3600 * 900 / 2600)
    assert found["share_at_sixth"] == 0.5  # 1000 of 10,000 seconds are within a sixth, 3000 are not
    assert found["precision"] == 0.92


def test_what_is_not_precise_enough_does_not_count():
    rows = [row(HARVEST, 1000, 0.95, 0.89), row(HARVEST, 3000, 0.6, 0.95)]
    found = report_on(rows, Costs(), Working(), {}).rows("summary")[0]
    assert found["hours"] is None and found["most"] == 0.6
    one = [row(HARVEST, 1000, 0.95, 0.95), row(HARVEST, 1000, 0.5, 0.95, seed=1)]
    assert report_on(one, Costs(), Working(), {}).rows("summary")[0]["hours"] is None  # one seed never got there
    with pytest.raises(BiocosmosError, match="no curve"):
        report_on([], Costs(), Working(), {})


def test_each_rank_is_judged_by_itself():
    coarse = [{**row(HARVEST, 300, 0.95, 0.95), "rank": "class"}]
    report = report_on([row(HARVEST, 2500, 0.95, 0.95), *coarse], Costs(), Working(), {})
    lead = report.laid_out().lead
    assert "names at label it was missed: the cheapest" in lead and "names at class it was met" in lead
    assert [card["what"] for card in report.headlines()] == ["of one by one, names at label", "of one by one, names at class"]


def test_the_page_has_a_curve_a_table_and_what_an_act_costs(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=200)
    x = np.eye(8, dtype=np.float32)[truth] + 0.1 * rng.normal(size=(200, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rows = []
    for strategy in (ALONE, HARVEST):
        found = Simulation(x, truth, strategy, Working(seeds=10, page=20)).run([100, 300, 1e9])
        rows += [{"encoder": "e", "rank": "label", "specimens": 200, **each} for each in found.to_pylist()]
    report = report_on(rows, Costs(), Working(), {"e": {"encoder": "e", "digest": "0"}})
    page = report.html(tmp_path / "page.html").read_text()
    assert page.count("<svg") == 1 and "Card, Moran and Newell 1980" in page and "one by one" in page
    summary = {each["strategy"]: each for each in report.rows("summary")}
    assert summary[ALONE]["of_one_by_one"] == pytest.approx(1, abs=0.02)
    assert summary[HARVEST]["of_one_by_one"] < 0.7
    assert len(report.rows("curve")) == len(rows)
