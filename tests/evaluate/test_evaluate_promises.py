"""The report that holds promises against what is observed over resplits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.promises import report as promises
from biocosmos.evaluate.promises.report import promise_report
from biocosmos.evaluate.report import Report, read_tables
from biocosmos.identify.confidence.promises import Promise, mean_threshold, roll_back
from predictions_sample import example

POOL = example(21, 1600, noise=2.0)


@pytest.fixture(scope="module")
def report() -> Report:
    return promise_report(POOL, alphas=(0.0005, 0.05, 0.2), resplits=12, groups=("group", "site"))


def test_promises_are_kept_over_resplits(report: Report) -> None:
    for row in report.rows("summary"):
        assert (row["calibration"], row["test"], row["threshold_specimens"]) == (800, 800, 600)
        if row["alpha"] == 0.0005:
            assert row["verdict"] == "impossible" and row["observed"] is None and row["smallest_alpha"] > 0.0005
            continue
        assert row["verdict"] == "kept" and row["resplits"] == 12
        errors = [run["error"] for run in report.rows("resplits", promise=row["promise"], alpha=row["alpha"])]
        assert row["observed"] == pytest.approx(np.mean(errors))
        assert row["standard_error"] == pytest.approx(np.std(errors, ddof=1) / np.sqrt(12))
        shares = report.rows("answered_at", promise=row["promise"], alpha=row["alpha"])
        assert [share["rank"] for share in shares] == ["nothing", "status", "group", "label"]
        assert sum(share["share"] for share in shares) == pytest.approx(1)
        assert row["answered"] == pytest.approx(1 - shares[0]["share"])
    assert any("Impossible: the promise “mean” at 0.0005" in caveat for caveat in report.caveats)
    assert any("exchangeability" in caveat for caveat in report.caveats)


@pytest.mark.parametrize("kind", ["mean", "answered"])
def test_a_resplit_is_what_a_user_would_get(report: Report, kind: str) -> None:
    order = np.random.default_rng(3).permutation(np.argsort(POOL.ids.astype(str)))  # resplit 3 of seed 0
    asked = POOL.subset(order[800:])
    promise = Promise.fit(POOL.subset(order[:800]), kind, 0.05, seed=3)  # type: ignore[arg-type]
    nodes = roll_back(asked, promise).nodes
    lines = asked.taxonomy.lineage(asked.truth)
    wrong = sum(node > 0 and node not in line for node, line in zip(nodes, lines, strict=True))
    (row,) = report.rows("resplits", promise=kind, alpha=0.05, resplit=3)
    assert (row["wrong"], row["answered"], row["queries"]) == (wrong, (nodes > 0).sum(), 800)
    assert row["threshold"] == pytest.approx(promise.threshold)
    assert row["error"] == pytest.approx(wrong / (800 if kind == "mean" else (nodes > 0).sum()))


def test_groups_add_up_to_the_whole(report: Report) -> None:
    found = report.rows("groups", promise="mean", alpha=0.2, by="site")
    whole = sum(row["error"] * row["specimens"] for row in found) / sum(row["specimens"] for row in found)
    (row,) = report.rows("summary", promise="mean", alpha=0.2)
    assert whole == pytest.approx(row["observed"]) and {r["group"] for r in found} == {"site 0", "site 1", "site 2"}
    with pytest.raises(BiocosmosError, match="cannot group by 'depth': there are status, group, label, site"):
        promise_report(POOL, groups=("depth",))


def test_temperatures_and_sets_do_what_they_should(report: Report) -> None:
    assert {row["rank"] for row in report.rows("calibration")} == {"status", "group", "label"}
    for row in report.rows("sets"):
        assert row["covered"] >= 1 - row["alpha"] - 3 * row["standard_error"] and row["mean_size"] >= 1
    loud = promise_report(replace(POOL, logits=POOL.logits * 3), alphas=(0.2,), resplits=3)
    for row in loud.rows("calibration"):
        assert row["temperature"] > 1 and row["after"] < row["before"]


def test_a_method_that_breaks_its_promise_is_called_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(kind: str, alpha: float, delta: float, fitting: object, testing: list[promises.Outcomes]) -> float:
        return mean_threshold(testing[0].wrong, 1.5 * alpha)

    monkeypatch.setattr(promises, "promised_threshold", careless)
    report = promise_report(POOL, alphas=(0.1,), resplits=12)
    assert [row["verdict"] for row in report.rows()] == ["broken", "broken"]
    assert sum("Not kept" in caveat for caveat in report.caveats) == 2


def test_the_page_shows_promised_against_observed(report: Report, tmp_path: Path) -> None:
    page = report.write(tmp_path).read_text(encoding="utf-8")
    for words in (
        "Every promise that could be made was kept",
        "impossible: 0.00167 is the least",
        "Wrong among all by site",
        "resplit 12:",
    ):
        assert words in page
    assert read_tables(tmp_path)["groups"].equals(report.table("groups"))
    again = promise_report(
        POOL.subset(np.arange(1600)[::-1].copy()), alphas=(0.0005, 0.05, 0.2), resplits=12, groups=("group", "site")
    )
    for name in ("summary", "answered_at", "sets"):
        for mine, theirs in zip(report.rows(name), again.rows(name), strict=True):
            assert mine == {key: pytest.approx(value) if isinstance(value, float) else value for key, value in theirs.items()}


def test_too_few_specimens_are_refused() -> None:
    with pytest.raises(BiocosmosError, match="30 specimens with a known taxon are too few"):
        promise_report(POOL.subset(np.arange(30)))
    with pytest.raises(BiocosmosError, match="2 resplits or more"):
        promise_report(POOL, resplits=1)
    with pytest.raises(BiocosmosError, match=r"error rate 1\.5 must be between 0 and 1"):
        promise_report(POOL, alphas=(1.5,))
