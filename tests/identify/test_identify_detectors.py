"""Novelty detectors: what each paper's formula says, and how deep inside the known a specimen is placed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.combined import Combined
from biocosmos.identify.novelty.detector import class_columns, hidden_columns
from biocosmos.identify.novelty.features import SHRINKAGE, Mahalanobis, NearestNeighbours, ViM, WhitenedNeighbours
from biocosmos.identify.novelty.known_depth import KnownDepth, winners_by_rank
from biocosmos.identify.novelty.logits import Energy
from biocosmos.identify.novelty.odin import Odin, odin_scores
from biocosmos.identify.novelty.rank_outliers import RankOutliers, winning_scores
from biocosmos.identify.novelty.registry import BY_PREDICTIONS, DETECTORS, make_detector
from biocosmos.identify.predictions import Predictions
from predictions_sample import example

LEFT_OUT = ("cyclopoid", "larva")


def parts(*sizes: int, seed: int = 0, **how: Any) -> list[Predictions]:
    """Parts of one made-up world: features of two examples with different seeds have nothing in common."""
    whole = example(seed, sum(sizes), **how)
    ends = np.cumsum([0, *sizes])
    return [whole.subset(np.arange(start, stop)) for start, stop in pairwise(ends)]


TRAIN, KNOWN, QUERY = parts(500, 300, 60)


def linear(like: Predictions) -> tuple[Predictions, np.ndarray, np.ndarray]:
    """The same specimens with class scores that are linear in their features, and the layer."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(len(like.classes), like.features.shape[1])).astype(np.float32) / 4
    offset = rng.normal(size=len(like.classes)).astype(np.float32)
    return replace(like, logits=like.features @ weights.T + offset), weights, offset


# ---------------------------------------------------------------------------------------------------- the papers' formulas


def test_scores_that_need_no_features_are_the_formulas() -> None:
    z = KNOWN.logits.astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = {"msp": 1 - p.max(1), "max-logit": -z.max(1), "energy": -np.log(np.exp(z).sum(1))}
    for name, scores in expected.items():
        np.testing.assert_allclose(make_detector(name).fit(TRAIN).scores(KNOWN), scores, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(Energy(2.0).fit(TRAIN).scores(KNOWN), -2 * np.log(np.exp(z / 2).sum(1)), rtol=1e-6)


def test_mahalanobis_is_the_smallest_squared_distance_under_one_covariance() -> None:
    columns, f = class_columns(TRAIN), TRAIN.features.astype(np.float64)
    means = np.stack([f[columns == c].mean(0) for c in range(len(TRAIN.classes))])
    scatter = (f - means[columns]).T @ (f - means[columns]) / len(f)
    d = len(scatter)
    inverse = np.linalg.inv((1 - SHRINKAGE) * scatter + SHRINKAGE * np.trace(scatter) / d * np.eye(d))
    naive = [min((x - m) @ inverse @ (x - m) for m in means) for x in KNOWN.features.astype(np.float64)]
    np.testing.assert_allclose(Mahalanobis().fit(TRAIN).scores(KNOWN), naive, rtol=1e-3)


def test_neighbours_are_the_kth_distance_of_unit_vectors_also_whitened() -> None:
    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    sizes = np.bincount(class_columns(TRAIN))
    for k, given in ((7, 7), (round(np.sqrt(np.median(sizes))), None)):
        naive = np.sort(cdist(unit(KNOWN.features), unit(TRAIN.features)), axis=1)[:, k - 1]
        np.testing.assert_allclose(NearestNeighbours(given).fit(TRAIN).scores(KNOWN), naive, atol=2e-3)
    detector = WhitenedNeighbours(3).fit(TRAIN)
    white = detector._shared.whiten(TRAIN.features)
    columns = class_columns(TRAIN)
    within = white - np.stack([white[columns == c].mean(0) for c in range(columns.max() + 1)])[columns]
    np.testing.assert_allclose(within.T @ within / len(white), np.eye(white.shape[1]), atol=0.05)
    naive = np.sort(cdist(unit(detector._shared.whiten(KNOWN.features)), unit(white)), axis=1)[:, 2]
    np.testing.assert_allclose(detector.scores(KNOWN), naive, atol=2e-3)


def test_pytorch_ood_agrees() -> None:
    ood = pytest.importorskip("pytorch_ood.detector")
    train, weights, offset = linear(TRAIN)
    known = replace(KNOWN, logits=KNOWN.features @ weights.T + offset)
    columns = torch.from_numpy(class_columns(train))
    x, query = torch.from_numpy(train.features), torch.from_numpy(known.features)
    z = torch.from_numpy(known.logits)
    ours = {name: make_detector(name).fit(train).scores(known) for name in ("msp", "max-logit", "energy")}
    np.testing.assert_allclose(ours["msp"] - 1, ood.MaxSoftmax(None).predict_logits(z), rtol=1e-5)
    np.testing.assert_allclose(ours["max-logit"], ood.MaxLogit(None).predict_logits(z), rtol=1e-5)
    np.testing.assert_allclose(ours["energy"], ood.EnergyBased(None).predict_logits(z), rtol=1e-5)
    knn = ood.KNN(None, k=5).fit_features(x, columns).predict_features(query)
    np.testing.assert_allclose(NearestNeighbours(5).fit(train).scores(known), knn, atol=2e-3)
    # half the squared distance, under the scatter that is not divided by n
    scatter = ood.Mahalanobis(None).fit_features(x, columns).predict_features(query)
    np.testing.assert_allclose(Mahalanobis(0.0).fit(train).scores(known), 2 * len(train) * scatter, rtol=2e-3)
    vim = ood.ViM(None, d=6, w=torch.from_numpy(weights), b=torch.from_numpy(offset)).fit_features(x, columns)
    mine = ViM(6).fit(train)
    assert mine.alpha == pytest.approx(vim.alpha, rel=1e-3)
    np.testing.assert_allclose(mine.scores(known), vim.predict_features(query), rtol=1e-3, atol=1e-3)


def test_odin_agrees_with_pytorch_ood_and_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 20), torch.nn.Tanh(), torch.nn.Linear(20, 5)
    ).eval()
    images = torch.randn(6, 3, 8, 8)
    with torch.inference_mode():
        scores = odin_scores(model, images, deviation=(0.2, 0.3, 0.4))
    assert all(parameter.grad is None for parameter in model.parameters())
    x = images.clone().requires_grad_()
    (-(model(x) / 1000).log_softmax(1).max(1).values.sum()).backward()
    assert x.grad is not None
    nudged = images - 0.0014 * x.grad.sign() / torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)
    np.testing.assert_allclose(scores, -(model(nudged) / 1000).softmax(1).max(1).values.detach(), rtol=1e-6)
    ood = pytest.importorskip("pytorch_ood.detector")
    np.testing.assert_allclose(scores, ood.ODIN(model, norm_std=[0.2, 0.3, 0.4]).predict(images), rtol=1e-5)
    columns = pa.table({"odin": np.arange(len(KNOWN), dtype=np.float32)})
    assert Odin().fit(TRAIN).scores(replace(KNOWN, columns=columns))[3] == 3
    with pytest.raises(BiocosmosError, match="gradient through the model"):
        Odin().fit(TRAIN).scores(KNOWN)


def test_rank_outliers_count_deviations_below_the_mean_of_the_winning_taxon() -> None:
    detector = RankOutliers().fit(TRAIN, KNOWN)
    won, raw = winning_scores(KNOWN)
    z, tax = KNOWN.logits.astype(np.float64), KNOWN.taxonomy
    for row in (0, 5, 77):  # the raw score of a taxon: log sum exp of its classes
        for level in range(3):
            if won[row, level] >= 0:
                under = [c for c, node in enumerate(KNOWN.classes) if tax.is_ancestor(won[row, level], node)]
                assert raw[row, level] == pytest.approx(logsumexp(z[row, under]), rel=1e-5)
    level, node = 1, tax.find("group:diatom")
    rows = won[:, level] == node
    every = won[:, level] >= 0
    own, n = raw[rows, level], rows.sum()
    pooled = sum(((raw[won[:, 1] == v, 1] - raw[won[:, 1] == v, 1].mean()) ** 2).sum() for v in np.unique(won[every, 1]))
    pooled /= every.sum() - len(np.unique(won[every, 1]))
    mean = (own.sum() + 5 * raw[every, 1].mean()) / (n + 5)
    sigma = np.sqrt((((own - own.mean()) ** 2).sum() + 5 * pooled) / (n - 1 + 5))
    short = detector.by_rank(KNOWN)
    np.testing.assert_allclose(short[rows, 1], (mean - own) / sigma, rtol=1e-4)
    answers = detector.deepest_sure(KNOWN)
    for row in range(len(KNOWN)):
        expected = 0
        for rank in range(3):
            if won[row, rank] < 0:
                continue
            if short[row, rank] > 2.5:
                break
            expected = won[row, rank]
        assert answers[row] == expected


# ---------------------------------------------------------------------------------------------------- what a user relies on


@pytest.mark.parametrize("name", BY_PREDICTIONS)
def test_unseen_classes_score_higher_and_order_of_specimens_does_not_matter(name: str) -> None:
    train, held_out, query = parts(600, 400, 600, left_out=LEFT_OUT)
    detector = make_detector(name).fit(train.subset(train.answerable), held_out.subset(held_out.answerable))
    scores = detector.scores(query)
    assert scores.shape == (600,) and np.isfinite(scores).all()
    assert roc_auc_score(~query.answerable, scores) > 0.55
    order = np.random.default_rng(0).permutation(600)
    np.testing.assert_allclose(detector.scores(query.subset(order)), scores[order], rtol=1e-5, atol=1e-6)


def test_combined_is_the_mean_in_units_of_the_spread_over_held_out_specimens() -> None:
    both = Combined((Energy, NearestNeighbours)).fit(TRAIN, KNOWN)
    expected = []
    for kind in (Energy, NearestNeighbours):
        one = kind().fit(TRAIN)
        held = one.scores(KNOWN)
        expected.append((one.scores(QUERY) - held.mean()) / held.std())
    np.testing.assert_allclose(both.scores(QUERY), np.mean(expected, axis=0), rtol=1e-6)


def test_normalised_scores_have_no_energy_and_the_combination_does_without() -> None:
    z = TRAIN.logits - logsumexp(TRAIN.logits, axis=1, keepdims=True)
    train = replace(TRAIN, logits=z.astype(np.float32))
    with pytest.raises(BiocosmosError, match="normalised"):
        Energy().fit(train)
    assert [member.name for member in Combined().fit(train).members] == ["msp", "whitened-knn", "class-angle"]


@pytest.mark.parametrize("name", [n for n in BY_PREDICTIONS if n != "rank-outliers"])
def test_hiding_a_taxon_is_fitting_without_it(name: str) -> None:
    """For a score without scale, with a space that the hidden class does not shape."""
    if name not in ("msp", "max-logit", "energy", "knn"):
        detector = make_detector(name).fit(TRAIN, KNOWN)
        assert (detector.scores(KNOWN, without=KNOWN.truth) >= detector.scores(KNOWN) - 1e-6).all()
        return
    node = KNOWN.taxonomy.find("group:copepod")
    start, stop = hidden_columns(KNOWN, np.array([node], np.int32))[0]
    keep = np.ones(len(KNOWN.classes), bool)
    keep[start:stop] = False
    rest = (class_columns(TRAIN) < start) | (class_columns(TRAIN) >= stop)
    train = TRAIN.subset(rest)
    train, fresh = (replace(part, classes=part.classes[keep], logits=part.logits[:, keep]) for part in (train, KNOWN))
    hidden = make_detector(name).fit(TRAIN).scores(KNOWN, without=np.full(len(KNOWN), node, np.int32))
    detector = make_detector(name) if name != "knn" else NearestNeighbours(make_detector(name).fit(TRAIN)._neighbours)
    np.testing.assert_allclose(detector.fit(train).scores(fresh), hidden, rtol=1e-5, atol=1e-6)


def test_specimens_without_a_direction_have_no_score_and_harm_none() -> None:
    features = KNOWN.features.copy()
    features[3], features[4] = 0, np.nan
    for name in ("knn", "combined", "mahalanobis", "class-angle"):
        detector = make_detector(name).fit(TRAIN, KNOWN)
        scores = detector.scores(replace(KNOWN, features=features))
        assert np.isnan(scores[4])
        np.testing.assert_allclose(np.delete(scores, [3, 4]), np.delete(detector.scores(KNOWN), [3, 4]), rtol=1e-5, atol=1e-5)


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(BiocosmosError, match="no novelty detector 'nope': choose one of combined, msp"):
        make_detector("nope")
    with pytest.raises(BiocosmosError, match="call fit"):
        make_detector("knn").scores(KNOWN)
    nobody = replace(TRAIN, truth=np.zeros(len(TRAIN), np.int32))
    for name in DETECTORS:
        with pytest.raises(BiocosmosError, match="needs training specimens"):
            make_detector(name).fit(nobody)
    with pytest.raises(BiocosmosError, match="use one head for both"):
        make_detector("msp").fit(TRAIN).scores(KNOWN.described(encoder="another"))
    with pytest.raises(BiocosmosError, match="use one head for both"):
        make_detector("msp").fit(TRAIN).scores(example(1, 20, left_out=LEFT_OUT))


# ---------------------------------------------------------------------------------------------------- deepest rank inside


def test_a_specimen_is_placed_above_a_known_rank_no_more_often_than_said() -> None:
    train, held_out, *pairs = parts(400, 200, *[200] * 20)
    detector = Combined().fit(train, held_out)
    shares = [KnownDepth(detector, here, 0.1).place(there).novel.mean() for here, there in zip(pairs[::2], pairs[1::2])]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02)


def test_unseen_classes_go_to_their_group_and_strangers_to_the_root() -> None:
    train, calibration, query = parts(600, 600, 600, noise=0.7, left_out=LEFT_OUT)
    train, calibration = (part.subset(part.answerable) for part in (train, calibration))
    depth = KnownDepth(Combined().fit(train, calibration), calibration, 0.05)
    assert depth.calibrated["group"] > 100 and depth.calibrated["label"] == 0
    placed = depth.place(query)
    novel = ~query.answerable
    path, tax = query.best_path()[0], query.taxonomy
    # the answer of a known one is on its best path, p-values fall with the rank, and the level is that of the node
    for row in range(0, 600, 37):
        assert placed.nodes[row] in (0, *path[row]) or placed.novel[row]
        assert tax.rank[placed.nodes[row]] == placed.level[row]
        assert (np.diff(placed.p_values[row]) <= 0).all()
    assert placed.novel[novel].mean() > 2 * placed.novel[~novel].mean()
    # a stranger: features far from all, class scores that say nothing
    far = replace(query, features=query.features[::-1] * 0 - 50, logits=query.logits * 0 - 20)
    assert (depth.place(far).nodes == 0).all() and depth.place(far).novel.all()


def test_the_winner_of_a_rank_is_not_swayed_by_finer_ranks() -> None:
    tax, levels = QUERY.taxonomy, QUERY.rank_scores
    assert levels is not None
    winners = winners_by_rank(QUERY)
    for row in range(10):
        best, score = -1, -np.inf
        for at, node in enumerate(QUERY.rank_nodes[1]):
            status = int(tax.lineage(node)[0])
            said = [levels[1][row, at]] + ([levels[0][row, list(QUERY.rank_nodes[0]).index(status)]] if status >= 0 else [])
            if np.mean(said) > score:
                best, score = int(node), np.mean(said)
        assert winners[row, 1] == best
    flat = winners_by_rank(replace(QUERY, rank_scores=None, rank_nodes=()))
    groups = tax.at_rank("group")
    np.testing.assert_array_equal(flat[:, 1], groups[QUERY.log_p[:, groups].argmax(axis=1)])


def test_depth_refuses_what_so_few_specimens_cannot_promise() -> None:
    detector = Combined().fit(TRAIN, KNOWN)
    with pytest.raises(BiocosmosError, match="smallest possible with them is"):
        KnownDepth(detector, KNOWN.subset(np.arange(10)), 0.05)
    with pytest.raises(BiocosmosError, match="not a share"):
        KnownDepth(detector, KNOWN, 1.5)
    with pytest.raises(BiocosmosError, match="no specimen of a known taxon"):
        KnownDepth(detector, replace(KNOWN, truth=np.zeros(len(KNOWN), np.int32)))
