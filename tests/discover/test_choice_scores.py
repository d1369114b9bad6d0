"""Scores that need no label, against what is counted by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from biocosmos.discover.choice.among import Candidate, best_by, score_all
from biocosmos.discover.choice.embeddings import CROSS_SCALE, INFORMATION
from biocosmos.discover.choice.information import mutual_information, neighbour_information


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=60))
def test_mutual_information_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(side) for side in zip(*pairs))
    assert mutual_information(first, second) == pytest.approx(mutual_info_score(first, second), abs=1e-9)


def test_neighbours_of_the_same_cluster_tell_all_there_is_to_tell() -> None:
    labels = np.repeat([0, 1, 2, 3], 100)
    within = (np.arange(400) // 100 * 100)[:, None] + (np.arange(400)[:, None] + np.arange(1, 4)) % 100
    assert neighbour_information(labels, within) == pytest.approx(np.log(4), abs=0.03)
    elsewhere = np.random.default_rng(0).integers(0, 400, (400, 3))
    assert neighbour_information(labels, elsewhere) == pytest.approx(0, abs=0.02)


def test_too_few_and_too_many_clusters_tell_less_than_the_right_number() -> None:
    right = np.repeat(np.arange(20), 20)
    near = (np.arange(400) // 20 * 20)[:, None] + np.random.default_rng(1).integers(0, 20, (400, 5))
    halves, pairs = right // 10, np.arange(400) // 2
    scores = [neighbour_information(labels, near) for labels in (halves, right, pairs)]
    assert scores[1] > scores[0] and scores[1] > scores[2] + 0.5


def test_rows_without_a_neighbour_or_a_cluster_are_no_crash() -> None:
    labels = np.array([0, 0, -1, 1])
    assert neighbour_information(labels, np.full((4, 2), -1)) == 0.0
    assert np.isfinite(neighbour_information(labels, np.array([[1], [0], [-1], [2]])))


def test_the_best_is_the_highest_and_of_equals_the_one_with_fewest_clusters() -> None:
    rows = [
        {"name": "a", "clusters": 9, "x": 1.0},
        {"name": "b", "clusters": 3, "x": 1.0},
        {"name": "c", "clusters": 2, "x": 0.5},
    ]
    assert best_by(rows, "x") == rows[1]
    assert best_by([{"name": "base", "clusters": None, "x": 2.0}, {"name": "a", "clusters": 2, "x": np.nan}], "x") is None


def test_candidates_are_scored_alike_and_what_is_only_shown_is_not() -> None:
    rng = np.random.default_rng(0)
    first, near = rng.integers(0, 30, 30), rng.integers(0, 30, (30, 2))
    partitions = {str(k): rng.integers(0, k, 30) for k in (2, 3, 5)}
    candidates = [Candidate("base", first=first, scores={"x": 1.0})]
    candidates += [Candidate(name, labels, first) for name, labels in partitions.items()]
    rows = {row["name"]: row for row in score_all(candidates, near)}
    assert rows["base"] == {"name": "base", "clusters": None, "x": 1.0}
    assert {name: rows[name]["clusters"] for name in partitions} == {"2": 2, "3": 3, "5": 5}
    assert all(rows[name][INFORMATION] == neighbour_information(labels, near) for name, labels in partitions.items())
    assert all(rows[name][CROSS_SCALE] == pytest.approx(1) for name in partitions), "all have the same neighbours"
    with pytest.raises(ValueError, match="two candidates have one name"):
        score_all([*candidates, candidates[-1]])
