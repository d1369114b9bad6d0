"""Measures of what token reductions keep, against formulas written out, scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from scipy.stats import kendalltau, ortho_group, pearsonr, spearmanr
from sklearn.cross_decomposition import CCA
from sklearn.metrics import homogeneity_completeness_v_measure

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.tokens.depth import depths, likeness, mean_map
from biocosmos.evaluate.tokens.features import cca, cka, distances, procrustes, pwcca, squared_cca
from biocosmos.evaluate.tokens.groups import agreement, compose
from biocosmos.evaluate.tokens.kept import chance, iou, kept_masks, moments
from biocosmos.evaluate.tokens.proxy import _weighted, proxy

SEEDS = st.integers(0, 2**32 - 1)


# ---------------------------------------------------------------------------------------------------- kept sets


@given(SEEDS, st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_iou_is_that_of_pythons_sets(seed: int, patches: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    # -1 stands for EViT's fused token and is no member
    one, two = (rng.integers(-1, patches, (5, size)) for size in (first, second))
    found = iou(kept_masks(one, patches), kept_masks(two, patches))
    for value, a, b in zip(found, one.tolist(), two.tolist()):
        a, b = set(a) - {-1}, set(b) - {-1}
        assert value == pytest.approx(len(a & b) / len(a | b) if a & b else 0.0)


def test_the_mean_and_deviation_over_images_leave_out_what_is_undefined() -> None:
    assert moments(np.array([0.0, 1.0, np.nan])) == (0.5, 0.5, 2)
    assert moments(np.array([])).images == 0


def test_chance_is_what_random_sets_of_these_sizes_share() -> None:
    rng = np.random.default_rng(0)
    one, two = (np.stack([rng.permutation(196) < size for _ in range(4000)]) for size in (98, 49))
    assert chance(one, two).mean() == pytest.approx(iou(one, two).mean(), abs=0.005)


def test_sets_of_other_images_are_refused() -> None:
    with pytest.raises(BiocosmosError, match="same images"):
        iou(np.ones((2, 4), bool), np.ones((3, 4), bool))
    with pytest.raises(BiocosmosError, match="from 0 to 3"):
        kept_masks(np.array([[4]]), 4)


# ---------------------------------------------------------------------------------------------------- merged groups


@given(SEEDS, st.integers(1, 30), st.integers(1, 8), st.integers(1, 8))
def test_groups_agree_as_scikit_learn_says(seed: int, patches: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = (rng.integers(-1, groups, (4, patches)) for groups in (first, second))
    found = np.stack(agreement(one, two), 1)
    expected = [homogeneity_completeness_v_measure(a, b) for a, b in zip(one, two)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_names_of_groups_mean_nothing() -> None:
    one = np.array([[0, 0, 1, 1, 2]])
    assert np.allclose(agreement(one, np.array([[7, 7, 3, 3, 0]])), 1)


@given(SEEDS)
def test_stages_compose_back_to_the_patches(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = [rng.integers(-1, after, (3, before)) for before, after in ((20, 9), (9, 5), (5, 2))]
    found = compose(steps)
    for image in range(3):
        for patch in range(20):
            token = patch
            for step, here in zip(steps, found):
                token = int(step[image, token]) if token >= 0 else -1
                assert here[image, patch] == token


# ---------------------------------------------------------------------------------------------------- features


def _pair(seed: int, images: int = 60, first: int = 5, second: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(images, first)) * rng.uniform(0.2, 3, first) + rng.normal(size=first)
    two = one[:, :second] @ rng.normal(size=(second, second)) + rng.normal(size=(images, second))
    return one, two


def _centred(features: np.ndarray) -> np.ndarray:
    features = features - features.mean(0)
    return features / np.sqrt((features**2).sum())


def _canonical_by_whitening(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Canonical correlations by the covariances, as the papers write them, and the directions of ``one`` in the images."""

    def root(square: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(square)
        return vectors @ np.diag(values**-0.5) @ vectors.T

    left, right = root(one.T @ one), root(two.T @ two)
    turn, found, _ = np.linalg.svd(left @ one.T @ two @ right)
    return found, one @ left @ turn[:, : len(found)]


@pytest.mark.parametrize("seed", range(4))
def test_cka_by_the_kernel_matrices_of_its_paper(seed: int) -> None:
    one, two = _pair(seed)
    n = len(one)
    centre = np.eye(n) - np.ones((n, n)) / n
    kernel, other = (centre @ (side @ side.T) @ centre for side in (one, two))
    expected = 1 - np.trace(kernel @ other) / np.sqrt(np.trace(kernel @ kernel) * np.trace(other @ other))
    assert cka(one, two) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_cca_and_pwcca_by_the_covariances(seed: int) -> None:
    one, two = _pair(seed)
    found, directions = _canonical_by_whitening(_centred(one), _centred(two))
    assert cca(one, two) == pytest.approx(1 - found.mean(), abs=1e-8)
    assert squared_cca(one, two) == pytest.approx(1 - (found**2).mean(), abs=1e-8)
    weights = np.array([sum(abs(h @ x) for x in _centred(one).T) for h in directions.T])
    assert pwcca(one, two) == pytest.approx(1 - (weights * found).sum() / weights.sum(), abs=1e-8)


def test_cca_as_scikit_learn_finds_it() -> None:
    one, two = _pair(7, 200, 3, 3)
    left, right = CCA(3, max_iter=5000, tol=1e-12).fit_transform(one, two)
    assert cca(one, two) == pytest.approx(1 - np.mean([pearsonr(a, b)[0] for a, b in zip(left.T, right.T)]), abs=1e-5)


def test_procrustes_is_what_the_best_rotation_leaves() -> None:
    one, two = (_centred(side) for side in _pair(3, 40, 4, 4))
    left, _, right = np.linalg.svd(one.T @ two)
    assert procrustes(one, two) == pytest.approx(np.linalg.norm(one @ (left @ right) - two) ** 2, abs=1e-10)
    others = [np.linalg.norm(one @ turn - two) ** 2 for turn in ortho_group.rvs(4, 200, random_state=0)]
    assert procrustes(one, two) <= min(others)


@settings(max_examples=25)
@given(SEEDS, st.floats(0.01, 100), st.floats(-5, 5))
def test_what_no_distance_of_features_sees(seed: int, scale: float, shift: float) -> None:
    one, two = _pair(seed % 1000)
    rng = np.random.default_rng(seed)
    turn = ortho_group.rvs(5, random_state=seed % 1000)
    np.testing.assert_allclose(distances(one, one @ turn * scale + shift), 0, atol=1e-6)
    np.testing.assert_allclose(
        distances(one @ turn * scale, two), (*distances(one, two)[:1], *distances(one @ turn, two)[1:]), atol=1e-7
    )
    mixed = one @ (rng.normal(size=(5, 5)) + 4 * np.eye(5))  # CCA does not see any invertible map, CKA does
    assert cca(mixed, two) == pytest.approx(cca(one, two), abs=1e-6)


def test_features_that_are_too_few_or_dead() -> None:
    rng = np.random.default_rng(0)
    short = distances(rng.normal(size=(6, 5)), rng.normal(size=(6, 5)))
    assert np.isnan(short.cca) and np.isnan(short.pwcca) and np.isfinite(short.cka)
    flat = distances(np.ones((9, 3)), rng.normal(size=(9, 3)))
    assert np.isnan(flat.cka) and np.isnan(flat.cca)
    one, two = _pair(0)
    doubled = np.hstack([one, one[:, :2]])  # a feature twice is no new direction
    assert cca(doubled, two) == pytest.approx(cca(one, two), abs=1e-7)
    with pytest.raises(BiocosmosError, match="same images"):
        cka(one, two[:-1])


# ---------------------------------------------------------------------------------------------------- depth


def test_a_patch_is_as_deep_as_the_stage_that_dropped_it() -> None:
    kept = [
        np.array([[True, True, False, True]]),
        np.array([[True, False, False, True]]),
        np.array([[True, False, False, False]]),
    ]
    assert depths(kept, [3, 6, 9], 12).tolist() == [[12, 6, 3, 9]]
    assert mean_map(np.array([[0.0, 2, 4, 6], [2, 2, 4, 6]]), (2, 2)).tolist() == [[1, 2], [4, 6]]


def _moved(one: np.ndarray, two: np.ndarray) -> float:
    """Earth mover's distance by linear programming, written out."""
    from scipy.optimize import linprog

    places = [(r, c) for r in range(one.shape[0]) for c in range(one.shape[1])]
    m = len(places)
    costs = [np.hypot(a - c, b - d) for a, b in places for c, d in places]
    equal = np.zeros((2 * m, m * m))
    for i in range(m):
        equal[i, i * m : (i + 1) * m] = 1
        equal[m + i, i::m] = 1
    p, q = one.ravel() / one.sum(), two.ravel() / two.sum()
    return float(linprog(costs, A_eq=equal[:-1], b_eq=np.concatenate([p, q])[:-1], method="highs").fun)


@pytest.mark.parametrize("seed", range(3))
def test_maps_compare_as_their_formulas_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.uniform(3, 12, (3, 4)), rng.uniform(3, 12, (3, 4))
    p, q = one.ravel() / one.sum(), two.ravel() / two.sum()
    found = likeness(one, two)
    assert found.kl == pytest.approx(scipy_entropy(p, q, base=2), abs=1e-8)
    assert found.js == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-8)
    assert found.emd == pytest.approx(_moved(one, two), abs=1e-7)
    assert found.sim == pytest.approx(sum(min(a, b) for a, b in zip(p, q)))
    assert found.pearson == pytest.approx(pearsonr(one.ravel(), two.ravel())[0])
    assert found.spearman == pytest.approx(spearmanr(one.ravel(), two.ravel())[0])


def test_a_map_is_like_itself_and_a_flat_one_correlates_with_nothing() -> None:
    one = np.arange(12.0).reshape(3, 4)
    assert likeness(one, one) == pytest.approx((0, 0, 0, 1, 1, 1), abs=1e-9)
    flat = likeness(one, np.full((3, 4), 12.0))
    assert np.isnan(flat.pearson) and np.isnan(flat.spearman) and flat.emd > 0
    with pytest.raises(BiocosmosError, match="one grid"):
        likeness(one, one.T)


# ---------------------------------------------------------------------------------------------------- proxy


def test_the_proxy_correlates_all_pairs_and_draws_settings() -> None:
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0.3, 0.9, 12)
    distance = np.abs(accuracy[:, None] - accuracy) + rng.normal(size=(12, 12)) * 0.05
    found = proxy(distance, accuracy, Bootstrap(draws=300))
    rows, columns = np.triu_indices(12, 1)
    told, real = distance[rows, columns], np.abs(accuracy[rows] - accuracy[columns])
    assert found.spearman is not None and found.kendall is not None
    assert found.spearman.value == pytest.approx(spearmanr(told, real)[0])
    assert found.kendall.value == pytest.approx(kendalltau(told, real)[0])
    assert (found.settings, found.pairs) == (12, 66)
    assert found.spearman.low < found.spearman.value < found.spearman.high
    # settings are drawn, not pairs: the interval is wider than that of 66 independent pairs
    alone = [spearmanr(told[i], real[i])[0] for i in (rng.integers(0, 66, 66) for _ in range(300))]
    assert found.spearman.high - found.spearman.low > np.quantile(alone, 0.975) - np.quantile(alone, 0.025)


@given(SEEDS)
def test_drawn_pairs_are_counted_as_if_they_were_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    told, real = rng.integers(0, 6, 15).astype(float), rng.integers(0, 6, 15).astype(float)  # with ties
    weights = rng.integers(0, 4, (3, 15)).astype(float)
    rho, tau = _weighted(told, real, weights)
    for row in range(3):
        one, two = (side.repeat(weights[row].astype(int)) for side in (told, real))
        if len(set(one)) < 2 or len(set(two)) < 2:
            continue
        assert rho[row] == pytest.approx(spearmanr(one, two)[0], abs=1e-9)
        assert tau[row] == pytest.approx(kendalltau(one, two)[0], abs=1e-9)


def test_a_proxy_of_too_few_or_equal_settings_says_nothing() -> None:
    assert proxy(np.ones((2, 2)), np.array([0.1, 0.2]), Bootstrap(draws=10)).spearman is None
    assert proxy(np.ones((5, 5)), np.arange(5.0), Bootstrap(draws=10)).spearman is None
    holes = np.full((5, 5), np.nan)
    holes[0, 1], holes[0, 2], holes[1, 2] = 1, 2, 3
    found = proxy(holes, np.array([0.0, 1, 3, 9, 9]), Bootstrap(draws=10))
    assert (found.settings, found.pairs) == (3, 3)
