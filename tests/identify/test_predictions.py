"""Predictions: the table that everything after a head reads."""

from pathlib import Path

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.identify.predictions import Predictions
from predictions_sample import example


def test_p_of_every_node_is_the_sum_of_its_classes() -> None:
    found = example(n=40)
    p = found.class_probabilities()
    for node in range(len(found.taxonomy)):
        inside = (found.classes >= node) & (found.classes < found.taxonomy.end[node])
        np.testing.assert_allclose(np.exp(found.log_p[:, node]), p[:, inside].sum(axis=1) if node else 1, atol=1e-6)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    found = example(n=30, left_out=("egg",))
    again = Predictions.load(found.save(tmp_path / "p.npz"))
    assert again.taxonomy == found.taxonomy and again.facts == found.facts and again.columns == found.columns
    for name in ("ids", "classes", "log_p", "logits", "features", "truth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert again.rank_scores is not None and len(again.rank_scores) == 3


def test_a_left_out_class_is_unanswerable_and_its_group_is_not() -> None:
    found = example(n=200, left_out=("egg",))
    egg = found.taxonomy.find("label:egg")
    np.testing.assert_array_equal(found.answerable, found.truth != egg)
    assert np.isneginf(found.log_p[:, egg]).all() and np.isfinite(found.log_p[:, found.taxonomy.find("fish")]).all()
    assert len(found.subset(found.truth == egg)) == (found.truth == egg).sum()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(BiocosmosError, match=r"cannot read predictions from .*x\.npz"):
        Predictions.load(tmp_path / "x.npz")
