"""Detectors that look at where a specimen's features lie: class means, neighbours, and what is left outside the known space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, eigh, solve_triangular

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden, Int64, class_columns
from biocosmos.identify.novelty.distances import kth_distance, neighbour_count
from biocosmos.identify.novelty.logits import log_sum_exp
from biocosmos.identify.predictions import Predictions
from biocosmos.search.exact import ExactIndex

Float32 = npt.NDArray[np.float32]
SHRINKAGE = 0.01
"""Share of the mean variance mixed into the shared covariance, so that it can be inverted with fewer specimens than numbers."""
LARGEST_SUBSPACE = 512
"""Most directions that ViM counts as known (the paper takes 512 of 768, 1000 of 2048)."""
MOST_DIRECTIONS = 512
"""Most directions that are whitened, those with the largest variance: beyond them noise is blown up and time is lost."""
BLOCK = 512  # queries whose cosines to all training specimens are in memory at once


class SharedCovariance:
    """Class means and the covariance within classes that all share, as a map into a space where it is the identity.

    S = (1 - a) S_w + a tr(S_w) / d I, S_w = sum over classes of the scatter about their mean, over n.
    features: (n, d) float32, of which the 512 principal directions are kept where there are more; columns: (n,) int64 class of
    each in 0..classes-1. whitened_means: (classes, e) float32, NaN for a class without a specimen.
    """

    def __init__(self, features: Float32, columns: Int64, classes: int, shrinkage: float = SHRINKAGE) -> None:
        self.centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        x = features - self.centre
        directions = _principal(x, MOST_DIRECTIONS)
        x = x if directions is None else x @ directions
        n, d = x.shape
        means = class_means(x, columns, classes)
        within = x - means[columns]
        scatter = (within.T @ within).astype(np.float64) / n
        level = float(np.trace(scatter)) / d
        scatter *= 1 - shrinkage
        scatter[np.diag_indices(d)] += shrinkage * level if level > 0 else 1.0
        inverse = solve_triangular(cholesky(scatter, lower=True), np.eye(d), lower=True).T.astype(np.float32)
        self._map = inverse if directions is None else directions @ inverse
        self.whitened_means = means @ inverse

    def whiten(self, features: Float32) -> Float32:
        """(n, d) features about the centre of all training specimens -> (n, e) with covariance within classes = identity."""
        return np.asarray((features - self.centre) @ self._map)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was learnt."""
        return {"centre": self.centre, "map": self._map, "whitened_means": self.whitened_means}

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> SharedCovariance:
        """From what :meth:`arrays` gave."""
        space = cls.__new__(cls)
        space.centre, space._map, space.whitened_means = (arrays[name] for name in ("centre", "map", "whitened_means"))
        return space


_COVARIANCES: WeakKeyDictionary[Predictions, dict[float, SharedCovariance]] = WeakKeyDictionary()


def shared_covariance(train: Predictions, shrinkage: float) -> SharedCovariance:
    """The covariance of training specimens, computed once while the table is in use: several detectors stand on it."""
    kept = _COVARIANCES.setdefault(train, {})
    if shrinkage not in kept:
        features, columns = known_features(train)
        kept[shrinkage] = SharedCovariance(features, columns, len(train.classes), shrinkage)
    return kept[shrinkage]


class Mahalanobis(Detector):
    """min_c (f - mu_c)' S^-1 (f - mu_c) with one covariance S for all classes, shrunk (:class:`SharedCovariance`).

    Lee et al.: A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks, NeurIPS 2018,
    arXiv:1807.03888, equation 2 (without its input perturbation and its layers).
    """

    name = "mahalanobis"
    says = "squared distance to the nearest class mean, in units of the spread within classes"

    def __init__(self, shrinkage: float = SHRINKAGE) -> None:
        if not 0 <= shrinkage <= 1:
            raise BiocosmosError(f"shrinkage {shrinkage} is not a share: choose 0 to 1")
        self.shrinkage = shrinkage

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        self.space = shared_covariance(train, self.shrinkage)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The shared covariance."""
        return self.space.arrays()

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.space = SharedCovariance.restored(arrays)

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        x, means = self.space.whiten(predictions.features), self.space.whitened_means
        nearest = _smallest((means**2).sum(axis=1) - 2 * (x @ means.T), hidden)
        return np.asarray(np.maximum(nearest + (x.astype(np.float64) ** 2).sum(axis=1), 0))


class ClassAngle(Mahalanobis):
    """1 - max_c cos(f', mu_c'), in [0, 2], of features and class means whitened as for Mahalanobis.

    Mahalanobis distances grow with the length of the whitened features, which says how much there is to see in an image rather
    than what; the angle does not.
    """

    name = "class-angle"
    says = "one minus the cosine to the nearest class mean, after whitening by the spread within classes"

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        x, means = _unit(self.space.whiten(predictions.features)), _unit(self.space.whitened_means)
        return 1 + _smallest(-(x @ means.T), hidden)


class NearestNeighbours(Detector):
    """Euclidean distance to the k-th nearest training specimen among unit vectors, in [0, 2].

    Sun et al.: Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, arXiv:2204.06507. k: None takes the square
    root of the median class size (:func:`biocosmos.identify.novelty.distances.neighbour_count`).
    """

    name = "knn"
    says = "distance to the k-th nearest training specimen"

    def __init__(self, k: int | None = None) -> None:
        if k is not None and k < 1:
            raise BiocosmosError(f"the k-th neighbour needs k of at least 1, not {k}")
        self.k = k

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        features, columns = known_features(train)
        self._neighbours = self.k or neighbour_count(columns.astype(np.int32))
        self._learn(train)
        vectors = _unit(self._space(features))
        there = np.isfinite(vectors).all(axis=1)
        self._index, self._columns = ExactIndex(vectors[there]), columns[there]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The unit vectors of the training specimens and their classes."""
        return {"k": np.array(self._neighbours), "vectors": self._index.vectors[:].numpy(), "columns": self._columns}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._neighbours, self._columns = int(arrays["k"]), arrays["columns"]
        self._index = ExactIndex(arrays["vectors"])

    def _learn(self, train: Predictions) -> None:
        pass

    def _space(self, features: Float32) -> Float32:
        return features

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        vectors = _unit(self._space(predictions.features))
        seen = np.isfinite(vectors).all(axis=1)
        scores = np.full(len(vectors), np.nan)
        if seen.any():
            k = min(self._neighbours, len(self._index))
            found = (
                self._index.search(vectors[seen], k).scores if hidden is None else self._search(vectors[seen], k, hidden[seen])
            )
            scores[seen] = kth_distance(found, k)
        return scores

    def _search(self, queries: Float32, k: int, hidden: Hidden) -> Float32:
        """Cosines (n, k) best first to the training specimens each query knows, -inf where there are fewer."""
        rows, columns, found = self._index.vectors[:].numpy(), self._columns, []
        for start in range(0, len(queries), BLOCK):
            part, of = queries[start : start + BLOCK], hidden[start : start + BLOCK]
            cosines = part @ rows.T
            cosines[(columns >= of[:, :1]) & (columns < of[:, 1:])] = -np.inf
            found.append(-np.sort(-np.partition(cosines, -k, axis=1)[:, -k:], axis=1))
        return np.concatenate(found)


class WhitenedNeighbours(NearestNeighbours):
    """The same where directions count by the spread within classes: features are whitened by the covariance that classes share,
    about the centre of all training specimens, before they are made unit.

    A direction in which specimens of one class differ much (how an animal is turned) then weighs little, one in which they
    hardly differ weighs much.
    """

    name = "whitened-knn"
    says = "distance to the k-th nearest training specimen, after whitening by the spread within classes"

    def _learn(self, train: Predictions) -> None:
        self._shared = shared_covariance(train, SHRINKAGE)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Those, whitened, and the covariance."""
        return {**super().arrays(), **self._shared.arrays()}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        self._shared = SharedCovariance.restored(arrays)

    def _space(self, features: Float32) -> Float32:
        return self._shared.whiten(features)


class ViM(Detector):
    """alpha |x outside the principal space| - log sum_c exp z_c, x = f - u, u = -W^+ b.

    Wang et al.: ViM: Out-Of-Distribution with Virtual-logit Matching, CVPR 2022, arXiv:2203.10807, section 4. alpha = mean of the
    training specimens' largest logits over the mean of their residual norms. W and b are not asked for but solved by least
    squares from the training specimens' features and class scores: exact for a head whose scores are linear in its features, the
    nearest such head otherwise. dim: width of the principal space; None takes half the features, at most 512.
    """

    name = "vim"
    says = "how much of the features lies outside the space of the known, against the energy of the class scores"

    def __init__(self, dim: int | None = None) -> None:
        if dim is not None and dim < 1:
            raise BiocosmosError(f"the principal space of ViM needs a width of at least 1, not {dim}")
        self.dim = dim

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        features, _ = known_features(train)
        logits = train.logits[class_columns(train) >= 0]
        d = features.shape[1]
        dim = min(self.dim or min(d // 2, LARGEST_SUBSPACE), d - 1)
        if dim < 1:
            raise BiocosmosError(f"ViM needs at least two features, not {d}")
        weights, offset = linear_layer(features, logits)
        self._origin = (-np.linalg.pinv(weights) @ offset).astype(np.float32)
        x = features - self._origin
        self._outside = eigh((x.T @ x).astype(np.float64) / len(x), subset_by_index=[0, d - dim - 1])[1].astype(np.float32)
        self.alpha = float(logits.max(axis=1).mean() / max(self._residual(features).mean(), np.finfo(np.float32).tiny))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Origin and axes of what is outside, and alpha."""
        return {"origin": self._origin, "outside": self._outside, "alpha": np.array(self.alpha)}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._origin, self._outside, self.alpha = arrays["origin"], arrays["outside"], float(arrays["alpha"])

    def _residual(self, features: Float32) -> Float64:
        return np.asarray(np.linalg.norm((features - self._origin) @ self._outside, axis=1).astype(np.float64))

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        return self.alpha * self._residual(predictions.features) - log_sum_exp(predictions.logits.astype(np.float64))


def linear_layer(features: Float32, logits: Float32) -> tuple[Float64, Float64]:
    """W (C, d) and b (C,) with logits = features W' + b by least squares, the smallest W where several fit."""
    middle, level = features.mean(axis=0, dtype=np.float64), logits.mean(axis=0, dtype=np.float64)
    x, z = (features - middle).astype(np.float32), (logits - level).astype(np.float32)
    gram, cross = (x.T @ x).astype(np.float64), (x.T @ z).astype(np.float64)
    weights = np.linalg.pinv(gram, rcond=len(gram) * float(np.finfo(np.float32).eps), hermitian=True) @ cross
    return weights.T, level - middle @ weights


def class_means(features: Float32, columns: Int64, classes: int) -> Float32:
    """(classes, d) float32 means of features (n, d) by class, NaN for a class without a specimen."""
    order = np.argsort(columns, kind="stable")
    there, first = np.unique(columns[order], return_index=True)
    means = np.full((classes, features.shape[1]), np.nan, np.float32)
    means[there] = np.add.reduceat(features[order], first, axis=0) / np.diff(np.append(first, len(order)))[:, None]
    return means


def _principal(centred: Float32, most: int) -> Float32 | None:
    """The ``most`` directions (d, most) of largest variance, None where there are no more than that."""
    d = centred.shape[1]
    if d <= most:
        return None
    gram = (centred.T @ centred).astype(np.float64)
    return np.ascontiguousarray(eigh(gram, subset_by_index=[d - most, d - 1])[1][:, ::-1], np.float32)


def _smallest(distances: npt.NDArray[Any], hidden: Hidden | None) -> Float64:
    """The smallest of each row (n, C), NaN where all are; hidden and undefined ones do not count: (n,) float64."""
    column = np.arange(distances.shape[1])
    gone = np.isnan(distances)
    if hidden is not None:
        gone |= (column >= hidden[:, :1]) & (column < hidden[:, 1:])
    least = np.where(gone, np.inf, distances).min(axis=1).astype(np.float64)
    return np.where(np.isinf(least), np.nan, least)


def known_features(train: Predictions) -> tuple[Float32, Int64]:
    """Features (m, d) and class columns (m,) of the training specimens of a known class whose features are finite."""
    columns = class_columns(train)
    keep = (columns >= 0) & np.isfinite(train.features).all(axis=1)
    if not keep.any():
        raise BiocosmosError("no training specimen of a known class has finite features: the head's training went wrong")
    return train.features[keep], columns[keep]


def _unit(vectors: Float32) -> Float32:
    """Rows of length 1; a zero row becomes NaN: it has no direction."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
