"""The gate tells another community from other images; names by a community; a few labels of a new source; errors by sample."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.quantification import Gate, corrected, corrected_predictions, rolled_up
from biocosmos.identify.quantification.by_sample import errors, made_communities
from biocosmos.identify.quantification.few_labels import refitted
from biocosmos.identify.quantification.names import bootstrapped
from biocosmos.taxonomy import Taxonomy
from quantified_sample import CLASSES, posteriors, specimens


@pytest.fixture(scope="module")
def gate():
    features, truth = specimens(300, 0)
    return Gate(features, truth, posteriors(features), np.full(CLASSES, 1 / CLASSES))


def test_other_communities_open_the_gate_and_other_images_close_it(gate):
    features, truth = specimens(1000, 1)
    for rows in made_communities(truth, count=10, specimens=300, seed=2):
        found = gate.judge(features[rows], posteriors(features[rows]))
        assert found.open and "only the community" in found.sentence()
        away = features[rows] + np.float32(1.0)
        shifted = gate.judge(away, posteriors(away))
        assert not shifted.open and "label 5 specimens" in shifted.sentence()
        assert not shifted.to_dict()["open"]


def test_a_gate_refuses_what_tells_nothing(gate):
    features, _ = specimens(30, 3)
    with pytest.raises(BiocosmosError, match="it takes 20"):
        gate.judge(features[:5], posteriors(features[:5]))
    with pytest.raises(BiocosmosError, match="do not go with"):
        gate.judge(features[:, :3], posteriors(features))
    with pytest.raises(BiocosmosError, match="label more"):
        Gate(features[:8], np.zeros(8, np.int64), posteriors(features[:8]), np.full(CLASSES, 0.25))


@pytest.fixture(scope="module")
def predictions():
    taxonomy = Taxonomy.from_table(pa.table({"genus": ["a", "a", "b"], "species": ["x", "y", "z"]}))
    classes = np.flatnonzero(taxonomy.rank == 1).astype(np.int32)
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], np.float32))
    ids = np.array(["1", "2"], object)
    return Predictions(ids, taxonomy, classes, logits, np.zeros((2, 1), np.float32), np.zeros(2, np.int32))


def test_corrected_predictions_are_the_corrected_posteriors(predictions):
    prior, shares = np.array([0.5, 0.25, 0.25]), np.array([0.1, 0.7, 0.2])
    found = corrected_predictions(predictions, prior, shares)
    assert found.class_probabilities() == pytest.approx(corrected(predictions.class_probabilities(), prior, shares), abs=1e-6)
    assert found.facts["corrected"] == "community"
    with pytest.raises(BiocosmosError, match="do not go with"):
        corrected_predictions(predictions, prior[:2], shares[:2])


def test_shares_add_up_to_any_rank(predictions):
    found = rolled_up(predictions.taxonomy, predictions.classes, [0.2, 0.3, 0.5], "genus")
    assert found == pytest.approx({"a": 0.5, "b": 0.5})
    with pytest.raises(BiocosmosError, match="no rank"):
        rolled_up(predictions.taxonomy, predictions.classes, [0.2, 0.3, 0.5], "order")


def test_homonyms_and_what_has_no_name_keep_their_shares():
    rows = {"family": ["a", "b", "c", "c"], "genus": ["Morus", "Morus", "Rubus", None], "species": ["x", "y", "z", "w"]}
    taxonomy = Taxonomy.from_table(pa.table(rows))
    classes = taxonomy.find_all(["species:x", "species:y", "species:z", "species:w"])
    found = rolled_up(taxonomy, classes, [0.1, 0.2, 0.3, 0.4], "genus")
    assert found == pytest.approx({"a/Morus": 0.1, "b/Morus": 0.2, "Rubus": 0.3, None: 0.4})


def test_a_few_labels_of_the_new_source_recover_more():
    x, y = specimens(400, 4)
    near, names = specimens(5 * CLASSES, 5, 2.0)
    asked, truth = specimens(500, 6, 2.0)
    before = refitted(x, y.astype(np.int32), x[:1], y[:1].astype(np.int32))
    after = refitted(x, y.astype(np.int32), near, names.astype(np.int32))
    right = [(head.candidates[head.scores(asked).argmax(1)] == truth).mean() for head in (before, after)]
    assert right[1] > right[0]
    with pytest.raises(BiocosmosError, match="five specimens"):
        refitted(x, y.astype(np.int32), x[:0], y[:0].astype(np.int32))
    with pytest.raises(BiocosmosError, match="not among those known"):
        refitted(x, y.astype(np.int32), x[:1], np.array([77], np.int32))


def test_errors_by_sample_and_what_few_specimens_leave_open():
    found = errors(np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0, 0.0]))
    assert found == pytest.approx({"bray_curtis": 0.5, "shannon": np.log(2), "richness": 1})
    features, _ = specimens(100, 7)
    drawn = bootstrapped("emq", posteriors(features), np.full(CLASSES, 0.25), draws=10)
    assert drawn.shape == (10, CLASSES) and drawn.sum(1) == pytest.approx(np.ones(10)) and drawn.std(0).max() > 0
