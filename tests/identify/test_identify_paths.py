"""Paths, roll-back, confidence and novelty on small trees."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.identify.confidence.calibration import Calibration, Curve
from biocosmos.identify.confidence.rollback import lowest_sure_rank
from biocosmos.identify.confidence.temperature import Temperatures, fit_score_temperature
from biocosmos.identify.novelty.distances import kth_distance, neighbour_count, p_values
from biocosmos.identify.paths import CandidateTree, judge, probabilities
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy

ROWS = [
    ("Animalia", "Copepoda", "Calanus", "C. finmarchicus"),
    ("Animalia", "Copepoda", "Calanus", "C. hyperboreus"),
    ("Animalia", "Copepoda", "Calanus", None),
    ("Animalia", "Copepoda", "Oithona", "O. similis"),
    ("Animalia", None, None, "egg"),
    ("Animalia", "Hydrozoa", "Solmaris", "S. rhodoloma"),
    ("Plantae", None, "Calanus", "C. alba"),  # a homonym of the genus
    (None, None, None, "detritus"),
]
RANKS = ("kingdom", "class", "genus", "species")
TABLE = pa.table({rank: pa.array([row[i] for row in ROWS], pa.string()) for i, rank in enumerate(RANKS)})
TAX = Taxonomy.from_table(TABLE)
NODES = TAX.index(TABLE)
CANDIDATES = np.unique(NODES)
TREE = CandidateTree(TAX, CANDIDATES)

masses = st.lists(st.floats(0, 1, width=32), min_size=len(CANDIDATES), max_size=len(CANDIDATES)).filter(lambda w: sum(w) > 1e-3)


def naive_mass(p, node):
    """Sum over the candidates that have the node on their way to the root."""
    total = 0.0
    for candidate, value in zip(CANDIDATES.tolist(), p, strict=True):
        at = candidate
        while at not in (node, 0):
            at = int(TAX.parent[at])
        total += value if at == node else 0.0
    return total


@given(masses)
@settings(max_examples=60, deadline=None)
def test_a_path_is_consistent_and_its_probabilities_are_sums_over_descendants(weights):
    p = np.array([weights]) / sum(weights)
    nodes, mass = TREE.best_path(p)
    path = [int(node) for node in nodes[0] if node >= 0]
    assert path and all(TAX.parent[b] == a for a, b in zip([0, *path], path, strict=False))
    for node, value in zip(nodes[0].tolist(), mass[0], strict=True):
        assert np.isnan(value) if node < 0 else value == pytest.approx(naive_mass(p[0], node), abs=1e-9)
    for node in TREE.nodes[1:].tolist():
        assert node in path or naive_mass(p[0], node) <= 0.5 + 1e-9


def said(scores, truth=None):
    """What a namer with these class scores says."""
    n = len(scores)
    truth = np.zeros(n, np.int32) if truth is None else truth
    return Predictions(
        np.arange(n).astype(object), TAX, CANDIDATES, scores.astype(np.float32), np.zeros((n, 1), np.float32), truth
    )


def crooked_curves():
    """A curve per rank, each fitted on other noise, so that confidences alone would not fall down a path."""
    random, curves = np.random.default_rng(0), []
    for _ in RANKS:
        x = random.random(50)
        curves.append(Curve.fit(x, random.random(50) < x**2))
    return tuple(curves)


CROOKED = crooked_curves()


@given(masses, st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_the_answer_is_the_lowest_rank_that_is_sure(weights, threshold):
    with np.errstate(divide="ignore"):
        scores = np.log(np.array([weights]) / sum(weights))
    nodes, confidence = Calibration(Temperatures.none(RANKS), CROOKED).best_path(said(scores))
    level = int(lowest_sure_rank(confidence, threshold)[0])
    filled = [c for c in confidence[0] if not np.isnan(c)]
    assert filled == sorted(filled, reverse=True)
    assert (np.isnan(confidence[0]) == (nodes[0] < 0)).all()
    if level >= 0:
        assert nodes[0, level] > 0 and confidence[0, level] >= threshold
    assert not any(c >= threshold for c in confidence[0, level + 1 :])


def test_specimens_known_to_genus_only_stop_there_when_that_is_likelier_than_any_species():
    genus = TAX.find("Animalia/Copepoda/Calanus")
    p = np.zeros((1, len(CANDIDATES)))
    p[0, np.searchsorted(CANDIDATES, [genus, TAX.find("C. hyperboreus"), TAX.find("C. finmarchicus")])] = 0.5, 0.3, 0.2
    nodes, mass = TREE.best_path(p)
    assert nodes[0].tolist() == [TAX.find("Animalia"), TAX.find("Copepoda"), genus, -1]
    assert mass[0, :3].tolist() == pytest.approx([1, 1, 1]) and np.isnan(mass[0, 3])


def test_homonyms_are_judged_as_different_taxa():
    plant, animal = TAX.find("Plantae/Calanus"), TAX.find("Animalia/Copepoda/Calanus")
    answers = np.array([[TAX.find("Plantae"), -1, plant, TAX.find("C. alba")]], np.int32)
    assert judge(TAX, answers, np.array([animal], np.int32)).tolist() == [[0, -1, 0, 0]]
    assert judge(TAX, answers, np.array([plant], np.int32)).tolist() == [[1, -1, 1, -1]]
    assert judge(TAX, answers, np.array([0], np.int32)).tolist() == [[-1, -1, -1, -1]]


def test_a_rank_that_nobody_named_speaks_neither_for_nor_against_an_answer():
    ranks = ("status", "order", "genus", "label")
    rows = [
        ("living", "Calanoida", None, "calanoid"),
        ("living", "Calanoida", "Eucalanus", "eucalanus"),
        ("living", "Cyclopoida", "Oithona", "oithona"),
        (None, None, None, "unknown stick"),
    ]
    tree = Taxonomy.from_table({rank: [row[i] for row in rows] for i, rank in enumerate(ranks)}, ranks=ranks)
    calanoid, eucalanus, oithona, stick = (tree.find(row[-1]) for row in rows)
    paths = tree.lineage(np.array([eucalanus, oithona, oithona, stick], np.int32))
    truth = np.array([calanoid, calanoid, stick, oithona], np.int32)
    assert judge(tree, paths, truth).tolist() == [
        [1, 1, -1, 0],  # the genus of "calanoid" is not known: Eucalanus may be right
        [1, 0, 0, 0],  # another order, so another genus
        [-1, -1, -1, 0],  # whether a stick lives, nobody said
        [-1, -1, -1, 0],
    ]


def test_a_truth_that_is_no_candidate_counts_by_its_nearest_known_ancestor():
    tree = CandidateTree(TAX, np.array([TAX.find("C. hyperboreus"), TAX.find("egg")], np.int32))
    position = tree.position(np.array([TAX.find("O. similis"), TAX.find("C. alba"), TAX.find("egg")], np.int32))
    assert tree.nodes[position].tolist() == [TAX.find("Copepoda"), 0, TAX.find("egg")]


def test_probabilities_of_a_class_without_any_member_are_zero():
    p = probabilities(np.array([[0.2, -np.inf, 0.1]], np.float32), 0.1)
    assert p[0].tolist() == pytest.approx([1 / (1 + np.exp(-1)), 0, 1 / (1 + np.exp(1))])


def known_probabilities(n, temperature, seed):
    """Scores whose softmax at ``temperature`` is the true law of the labels."""
    random = np.random.default_rng(seed)
    scores = random.normal(scale=0.3, size=(n, len(CANDIDATES))).astype(np.float32)
    p = probabilities(scores, temperature)
    choice = (random.random(n)[:, None] > np.cumsum(p, axis=1)).sum(1).clip(0, len(CANDIDATES) - 1)
    return scores, CANDIDATES[choice].astype(np.int32)


def expected_calibration_error(confidence, right, bins=10):
    cut = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(
        abs(confidence[cut == b].mean() - right[cut == b].mean()) * (cut == b).mean() for b in range(bins) if (cut == b).any()
    )


@pytest.mark.parametrize("specimens", [100, 800, 4000])
def test_confidence_is_the_share_that_is_right(specimens):
    scores, truth = known_probabilities(specimens, 0.15, 0)
    assert fit_score_temperature(said(scores, truth)) == pytest.approx(0.15, rel=0.35 if specimens < 500 else 0.25)
    fitted = Calibration.fit(said(scores / 0.3, truth))  # half as sure as it may be
    scores, truth = known_probabilities(6000, 0.15, 1)
    nodes, confidence = fitted.best_path(said(scores / 0.3, truth))
    verdict = judge(TAX, nodes, truth)
    for i in range(len(RANKS)):
        known = verdict[:, i] >= 0
        most = 0.1 if specimens == 100 else 0.05
        assert expected_calibration_error(confidence[known, i], verdict[known, i]) < most
    answered = [(lowest_sure_rank(confidence, t) >= 0).mean() for t in (0.5, 0.7, 0.9, 0.99)]
    assert answered == sorted(answered, reverse=True) and answered[0] > answered[-1]


def test_confidence_has_no_steps():
    """Isotonic regression gave 56 distinct confidences to 2,500 specimens, so that a threshold jumped."""
    fitted = Calibration.fit(said(*known_probabilities(4000, 0.15, 0)))
    scores, _ = known_probabilities(1000, 0.15, 1)
    _, confidence = fitted.best_path(said(scores))
    at = confidence[:, 0][~np.isnan(confidence[:, 0])]
    assert len(np.unique(at)) > 0.9 * len(at)
    p = np.linspace(0.01, 0.99, 500)
    assert all((np.diff(curve(p)) > 0).all() and np.diff(curve(p)).max() < 0.02 for curve in fitted.curves)


def test_few_or_one_sided_points_give_a_careful_curve():
    assert Curve.fit(np.empty(0), np.empty(0, bool))(np.array([0.3]))[0] == 0.3
    always = Curve.fit(np.full(20, 0.99), np.ones(20, bool))
    assert 0.9 < always(np.array([0.99]))[0] < 1
    never = Curve.fit(np.full(40, 0.99), np.zeros(40, bool))
    assert never(np.array([0.99]))[0] < 0.2
    many = Curve.fit(np.linspace(0.5, 1, 2000), np.ones(2000, bool))
    assert many(np.array([1.0]))[0] == pytest.approx(2001 / 2002, rel=1e-3)
    assert np.isnan(always(np.array([np.nan]))).all() and np.isnan(many(np.array([np.nan]))).all()


def test_ranks_with_few_points_borrow_the_pooled_curve_and_say_so():
    fitted = Calibration.fit(said(*known_probabilities(25, 0.1, 2)), "25 of them")
    assert set(fitted.borrowed) == set(RANKS) and fitted.describe()["ranks"]["genus"]["borrowed"]
    assert len(set(fitted.curves)) == 1
    assert Calibration.from_dict(fitted.to_dict()) == fitted


def test_temperature_is_found_for_tiny_and_huge_scores():
    for scale in (1e-3, 1e3):
        scores, truth = known_probabilities(2000, 0.1, 5)
        assert fit_score_temperature(said(scores * np.float32(scale), truth)) == pytest.approx(0.1 * scale, rel=0.3)


def test_novelty_counts_neighbours_and_ranks_among_the_known():
    assert neighbour_count(np.array([1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3], np.int32)) == 2
    cosines = np.array([[1.0, 0.5, -1.0], [0.5, -np.inf, -np.inf], [-np.inf] * 3], np.float32)
    assert kth_distance(cosines, 2).tolist() == pytest.approx([1.0, 1.0, np.nan], nan_ok=True)
    assert p_values(np.array([0.1, 0.5, 0.9, np.nan]), np.array([0.2, 0.5, 0.8])).tolist() == pytest.approx(
        [1.0, 0.75, 0.25, np.nan], nan_ok=True
    )
    assert np.isnan(p_values(np.array([0.1]), np.empty(0))).all()
    random = np.random.default_rng(0)
    flagged = (p_values(random.random(20000), random.random(999)) <= 0.05).mean()
    assert flagged == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("specimens", [3, 18, 200])
def test_few_held_out_specimens_cannot_vouch_for_certainty(specimens):
    """Were all of n answers right, the rule of succession puts the next at (n + 1) / (n + 2)."""
    right = np.full((specimens, len(CANDIDATES)), -1.0, np.float32)
    truth = CANDIDATES[np.arange(specimens) % len(CANDIDATES)].astype(np.int32)
    right[np.arange(specimens), np.arange(specimens) % len(CANDIDATES)] = 1.0
    _, confidence = Calibration.fit(said(right, truth)).best_path(said(right))
    assert np.nanmax(confidence) <= (specimens + 1) / (specimens + 2)
