"""Class scores against loops written out."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.identify.namers import rules
from biocosmos.identify.namers.linear import LinearHead
from biocosmos.identify.namers.prototypes import SimpleShot


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def data():
    random = np.random.default_rng(3)
    taxa = np.sort(random.choice([2, 5, 6, 9, 11], 60)).astype(np.int32)
    taxa[-1] = 13  # alone in its class
    vectors = unit(random.normal(size=(60, 12)))
    return vectors, taxa, unit(random.normal(size=(17, 12)))


def naive(rule, vectors, taxa, queries):
    classes = sorted(set(taxa.tolist()))
    out = np.full((len(queries), len(classes)), -np.inf)
    for i, q in enumerate(queries.astype(np.float64)):
        for j, c in enumerate(classes):
            members = [x for x, t in zip(vectors.astype(np.float64), taxa, strict=True) if t == c]
            cosines = [float(q @ x) for x in members]
            distances = [float(np.sqrt(((q - x) ** 2).sum())) for x in members]
            mean = sum(members) / len(members)
            out[i, j] = {
                "nearest": max(cosines),
                "class-mean": sum(cosines) / len(cosines),
                "nearest-euclidean": -min(distances),
                "class-mean-euclidean": -sum(distances) / len(distances),
                "centroid": float(q @ mean) / np.linalg.norm(mean),
            }[rule]
    return out


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("block", [7, 8192])
def test_each_rule_equals_a_loop_over_queries_and_members(rule, block, data, monkeypatch):
    monkeypatch.setattr(rules, "_BLOCK_ROWS", block)
    vectors, taxa, queries = data
    found = rules.NeighbourRule(rule, vectors, taxa)
    assert found.candidates.tolist() == sorted(set(taxa.tolist()))
    np.testing.assert_allclose(found.scores(queries), naive(rule, vectors, taxa, queries), atol=2e-6)


def test_on_unit_vectors_both_nearest_rules_rank_classes_alike(data):
    vectors, taxa, queries = data
    cosine = rules.NeighbourRule("nearest", vectors, taxa).scores(queries)
    euclid = rules.NeighbourRule("nearest-euclidean", vectors, taxa).scores(queries)
    assert (cosine.argmax(1) == euclid.argmax(1)).all()


def test_simpleshot_equals_its_definition(data):
    vectors, taxa, queries = data
    order = np.random.default_rng(0).permutation(len(taxa))
    model = SimpleShot.fit(vectors[order], taxa[order])
    mean = sum(vectors.astype(np.float64)) / len(vectors)
    z = [(x - mean) / np.linalg.norm(x - mean) for x in vectors.astype(np.float64)]
    expected = np.empty((len(queries), len(set(taxa.tolist()))))
    for i, q in enumerate(queries.astype(np.float64)):
        q = (q - mean) / np.linalg.norm(q - mean)
        for j, c in enumerate(sorted(set(taxa.tolist()))):
            members = [v for v, t in zip(z, taxa, strict=True) if t == c]
            expected[i, j] = -(((q - sum(members) / len(members)) ** 2).sum())
    np.testing.assert_allclose(model.scores(queries), expected, atol=1e-5)


def test_the_linear_head_finds_the_optimum_that_scikit_learn_finds(data):
    from sklearn.linear_model import LogisticRegression

    vectors, taxa, queries = data
    l2 = 0.05
    ours = LinearHead.fit(vectors, taxa, l2=l2, iterations=500)
    z = (vectors - ours.mean) / ours.scale
    theirs = LogisticRegression(C=1 / (l2 * len(taxa)), tol=1e-8, max_iter=5000).fit(z.astype(np.float64), taxa)
    logits = theirs.decision_function((queries - ours.mean) / ours.scale)
    ours_logits = ours.scores(queries)
    np.testing.assert_allclose(
        ours_logits - ours_logits.mean(1, keepdims=True), logits - logits.mean(1, keepdims=True), atol=0.02
    )


def test_balanced_weights_favour_the_rare_class():
    random = np.random.default_rng(1)
    x = unit(np.concatenate([random.normal(size=(95, 6)), random.normal(size=(5, 6)) + 0.5]))
    taxa = np.array([1] * 95 + [2] * 5, np.int32)
    rare = [LinearHead.fit(x, taxa, class_weight=w).scores(x).argmax(1).sum() for w in (None, "balanced")]
    assert rare[1] > rare[0]
