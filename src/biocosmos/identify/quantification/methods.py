"""Shares of the classes in a sample from what a classifier says of its specimens.

Counting what a classifier answers is biased wherever it errs more often in one direction than in the other, and the more so the
further a sample's shares lie from the training's. The methods, by their names in the literature:

* cc: classify and count, the share of specimens whose best class is c.
* pcc: probabilistic classify and count, the mean posterior (Bella et al. 2010, Quantification via probability estimators).
* acc, pacc: adjusted (Forman 2008; Bella et al. 2010): the shares q whose expected count M q is nearest to the counted one, on
  the simplex, M[i, j] = P(answer i | truth j) of validation specimens (pacc: the mean posterior of i over specimens of j).
* emq: expectation maximisation (Saerens, Latinne, Decaestecker 2002, Adjusting the outputs of a classifier to new a priori
  probabilities): w ∝ p q / π, q <- mean w; the maximum of the likelihood of q where only the shares have changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.share_methods import METHODS

FLOOR = 1e-6
"""Posteriors are at least this before they are divided by shares: a class that a classifier rules out may come back."""
CLOSE = 1e-7
"""EM ends when no share moves by more in a step."""
MOST_STEPS = 10_000

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """values: (C,) float64, at least 0, sum 1; method; steps: of EM, else 1; converged: whether EM came to rest."""

    values: Float64
    method: str
    steps: int = 1
    converged: bool = True


def quantify(
    method: str,
    posteriors: npt.ArrayLike,
    prior: npt.ArrayLike | None = None,
    *,
    confusion: npt.ArrayLike | None = None,
    close: float = CLOSE,
    most_steps: int = MOST_STEPS,
) -> Shares:
    """The shares of C classes among n specimens.

    Args:
        method: one of :data:`METHODS`.
        posteriors: (n, C) of the specimens, rows sum to 1; calibrated ones for pcc, pacc and emq.
        prior: (C,) shares of the specimens that the classifier was fitted on (emq).
        confusion: (C, C), column j: what is answered (acc) or the mean posterior (pacc) of validation specimens of class j.

    Raises:
        BiocosmosError: unknown method, no specimens, rows that are no distribution, a class without a share in ``prior``.
    """
    if method not in METHODS:
        raise BiocosmosError(f"unknown quantification method {method!r}: choose {', '.join(METHODS)}")
    said = _distributions(posteriors)
    classes = said.shape[1]
    if method == "emq":
        old = _prior(prior, classes)
        shares, steps, rested = _em(_likely(said, old), np.full((1, len(said)), 1 / len(said)), old, close, most_steps)
        return Shares(shares[0], "emq", steps, rested)
    counted = said.mean(0) if method in ("pcc", "pacc") else np.bincount(said.argmax(1), minlength=classes) / len(said)
    if method in ("cc", "pcc"):
        return Shares(np.asarray(counted), method)
    matrix = np.asarray(confusion if confusion is not None else np.empty((0, 0)), np.float64)
    if matrix.shape != (classes, classes):
        raise BiocosmosError(f"{method} needs the confusion of validation specimens, {classes} by {classes}")
    return Shares(on_simplex(matrix, counted), method)


def corrected(posteriors: npt.ArrayLike, prior: npt.ArrayLike, shares: npt.ArrayLike) -> Float64:
    """(n, C) posteriors as they are where the shares of the classes are ``shares`` in place of ``prior``: w ∝ p q / π."""
    said = _distributions(posteriors)
    weights = said * (np.asarray(shares, np.float64) / _prior(prior, said.shape[1]))
    total = weights.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0, weights / np.where(total > 0, total, 1), said))


def confusion_of(posteriors: npt.ArrayLike, truth: npt.ArrayLike, *, soft: bool) -> Float64:
    """(C, C) float64: column j is what is said of specimens of class j: shares of best classes, or (soft) the mean posterior.

    A class without any specimen is taken as always answered rightly: nothing is known of its errors.
    """
    said, classes = _distributions(posteriors), np.asarray(truth)
    answers = said if soft else np.eye(said.shape[1])[said.argmax(1)]
    matrix = np.eye(said.shape[1])
    for j in np.unique(classes):
        matrix[:, j] = answers[classes == j].mean(0)
    return matrix


def on_simplex(matrix: npt.ArrayLike, counted: npt.ArrayLike, *, most_steps: int = 5000) -> Float64:
    """The q on the simplex for which M q lies nearest to ``counted``: min ‖M q - c‖², q >= 0, Σ q = 1.

    By the accelerated projected gradient (FISTA, Beck and Teboulle 2009) with restarts: convex, so that its end is the minimum.
    """
    m, c = np.asarray(matrix, np.float64), np.asarray(counted, np.float64)
    square, linear = m.T @ m, m.T @ c
    step = 1 / max(float(np.linalg.norm(square, 2)), 1e-12)
    q = np.full(m.shape[1], 1 / m.shape[1])
    ahead, speed = q, 1.0
    for _ in range(most_steps):
        moved = _projected(ahead - step * (square @ ahead - linear))
        faster = (1 + np.sqrt(1 + 4 * speed * speed)) / 2
        if (ahead - moved) @ (moved - q) > 0:  # it overshot: begin the momentum anew
            faster, ahead = 1.0, moved
        else:
            ahead = moved + (speed - 1) / faster * (moved - q)
        if np.abs(moved - q).max() < 1e-12:
            return np.asarray(moved)
        q, speed = moved, faster
    return q


def _projected(vector: Float64) -> Float64:
    """The point of the simplex nearest to a vector (Held, Wolfe, Crowder 1974)."""
    falling = np.sort(vector)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(vector) + 1)
    return np.asarray(np.maximum(vector - excess[np.flatnonzero(falling > excess)[-1]], 0))


def em_draws(
    posteriors: npt.ArrayLike, prior: npt.ArrayLike, counts: npt.ArrayLike, *, close: float = 1e-4, most_steps: int = 500
) -> Float64:
    """(B, C) shares by EM of B samples that are drawn from the same n specimens, all at once: products of whole matrices.

    posteriors: (n, C); counts: (B, n), how often each specimen is in each sample. Raises BiocosmosError as :func:`quantify` does.
    """
    said = _distributions(posteriors)
    likely, taken = _likely(said, _prior(prior, said.shape[1])), np.asarray(counts, np.float64)
    if taken.ndim != 2 or taken.shape[1] != len(said) or not (taken.sum(1) > 0).all():
        raise BiocosmosError(f"counts of shape {taken.shape} are no samples of {len(said)} specimens")
    taken = taken / taken.sum(1, keepdims=True)
    return _em(likely, taken, _prior(prior, said.shape[1]), close, most_steps)[0]


def _em(likely: Float64, taken: Float64, prior: Float64, close: float, most_steps: int) -> tuple[Float64, int, bool]:
    """((B, C) shares, steps, whether they came to rest) of samples of n specimens, taken (B, n) the weight of each, of sum 1.

    w ∝ p q / π, q <- mean w, as two products: q <- q · Lᵀ(t / L q) with L = p / π (n, C).
    """
    shares = np.tile(prior, (len(taken), 1))
    for step in range(1, most_steps + 1):
        moved = shares * ((taken / (shares @ likely.T)) @ likely)
        if np.abs(moved - shares).max() < close:
            return moved, step, True
        shares = moved
    return shares, most_steps, False


def _likely(said: Float64, prior: Float64) -> Float64:
    kept = np.maximum(said, FLOOR)
    return np.asarray(kept / kept.sum(1, keepdims=True) / prior)


def _distributions(posteriors: npt.ArrayLike) -> Float64:
    said = np.asarray(posteriors, np.float64)
    if said.ndim != 2 or not said.size:
        raise BiocosmosError("no specimens to quantify: their shares cannot be told")
    if not np.isfinite(said).all() or (said < 0).any() or np.abs(said.sum(1) - 1).max() > 1e-3:
        raise BiocosmosError("posteriors are no distributions: every row must be at least 0 and sum to 1")
    return said


def _prior(prior: npt.ArrayLike | None, classes: int) -> Float64:
    if prior is None:
        raise BiocosmosError("emq needs the shares of the specimens that the classifier was fitted on")
    shares = np.asarray(prior, np.float64)
    if shares.shape != (classes,) or not (shares > 0).all():
        raise BiocosmosError(f"emq needs a share above 0 of each of {classes} classes in training")
    return np.asarray(shares / shares.sum())
