"""Scores of the BIOSCAN papers against scikit-learn, whose averages they are, and against naive counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from biocosmos.evaluate.open_world.published import PUBLISHED, measured, published_table
from biocosmos.evaluate.open_world.scores import answer_scores, harmonic_mean, hits_within

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=60)


@given(PAIRS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_answers_are_scored_as_scikit_learn_does(pairs: list[tuple[int, int]]) -> None:
    true, said = (np.array(column) for column in zip(*pairs))
    found = answer_scores(np.append(true, -1), np.append(said, 3))
    assert found["accuracy"] == pytest.approx(accuracy_score(true, said))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, said))
    for average in ("micro", "macro", "weighted"):
        assert found[f"f1_{average}"] == pytest.approx(f1_score(true, said, average=average, zero_division=0))


def test_nothing_to_score_is_not_a_number() -> None:
    assert all(math.isnan(value) for value in answer_scores(np.array([-1]), np.array([0])).values())
    assert answer_scores(np.array([0, 1]), np.array([-1, 1]))["f1_macro"] == 0.5


@given(st.lists(st.tuples(st.integers(-1, 3), st.lists(st.integers(-1, 3), min_size=4, max_size=4)), min_size=1, max_size=30))
def test_a_hit_is_the_true_taxon_among_the_nearest(rows: list[tuple[int, list[int]]]) -> None:
    true, found = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    for k in (1, 3, 4):
        assert hits_within(true, found, k).tolist() == [t >= 0 and t in near[:k] for t, near in rows]


def test_the_harmonic_mean_of_seen_and_unseen() -> None:
    assert harmonic_mean(0.956, 0.904) == pytest.approx(0.929, abs=5e-4)
    assert harmonic_mean(0.0, 0.9) == 0.0 and math.isnan(harmonic_mean(float("nan"), 0.9))


def test_published_figures_have_a_source_and_nothing_measured() -> None:
    table = published_table(modalities=("dna", "image"))
    rows = table.to_pylist()
    assert table.schema == PUBLISHED
    named = [(row["task"], row["data"], row["model"], row["measure"]) for row in rows]
    assert len(named) == len(set(named)) > 80, "a figure stands once"
    assert all(0 < row["published"] <= 1 and row["source"] and row["measured_here"] is None for row in rows)
    told = {(row["task"], row["model"], row["measure"]): row["published"] for row in rows}
    assert told["genus of unseen species, 1-NN", "BLAST", "accuracy"] == 0.5874
    assert told["species, fine-tuned", "BarcodeBERT 8-4-4, BIOSCAN-5M", "accuracy"] == 0.9928
    for (task, model, measure), value in told.items():
        if measure == "top-1 macro, harmonic mean":
            parts = [told[task, model, f"top-1 macro, {part}"] for part in ("seen", "unseen")]
            assert harmonic_mean(*parts) == pytest.approx(value, abs=1.1e-3), "the published numbers agree with each other"


def test_what_was_measured_stands_beside_the_same_figure_or_in_a_row_of_its_own() -> None:
    same = measured("species, linear", "BIOSCAN-5M", "DNABERT-2", "accuracy", 0.5)
    other = measured("genus of unseen species, 1-NN", "nltin", "kmer:7", "accuracy", 0.67)
    rows = published_table([same, other]).to_pylist()
    (beside,) = [row for row in rows if row["task"] == "species, linear" and row["model"] == "DNABERT-2"]
    assert (beside["published"], beside["measured_here"]) == (0.6781, 0.5)
    mine = [i for i, row in enumerate(rows) if row["model"] == "kmer:7"]
    assert len(mine) == 1 and rows[mine[0]]["published"] is None and rows[mine[0] - 1]["task"] == other["task"]
