"""How much each number counts: a choice among the taxa near a barcode and, above them, "none of the known", by likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from biocosmos.identify.namers.barcodes.evidence import WIDTH, Said
from biocosmos.identify.namers.barcodes.references import Int64

Float64 = npt.NDArray[np.float64]

PULL = 1.0
"""Strength of the pull of all weights towards 0."""
ITERATIONS = 120


@dataclass(frozen=True, eq=False)
class Choices:
    """Barcodes, each with the taxa near it, and which is right.

    kinds: (m,) int64 kind of each taxon, in [0, number of kinds); numbers: (m, WIDTH) float32; starts: (n + 1,) int64; right:
    (n,) int64 place of the right one among its taxa, -1 where it is none of them; weight: (n,) float64.
    """

    kinds: Int64
    numbers: npt.NDArray[np.float32]
    starts: Int64
    right: Int64
    weight: Float64

    @classmethod
    def of(cls, said: Sequence[Said], kinds: npt.NDArray[np.int64], truth: Sequence[int], weight: Sequence[float]) -> Choices:
        """kinds: (nodes,) of every node of the taxonomy; truth: the node that is right of each."""
        starts = np.concatenate([[0], np.cumsum([len(one.nodes) for one in said])]).astype(np.int64)
        right = [np.flatnonzero(one.nodes == node) for one, node in zip(said, truth, strict=True)]
        place = np.array([found[0] if len(found) else -1 for found in right], np.int64)
        numbers = np.concatenate([one.numbers for one in said]) if said else np.empty((0, WIDTH), np.float32)
        nodes = np.concatenate([one.nodes for one in said]) if said else np.empty(0, np.int32)
        return cls(kinds[nodes], numbers, starts, place, np.array(weight, np.float64))


def fit_weights(choices: Choices, kinds: int) -> npt.NDArray[np.float32]:
    """Conditional logit (McFadden 1974): the weights (kinds, WIDTH) float32 with the largest sum of weight * log p(right), where
    p is the softmax over the taxa of each barcode of  weights[kind] . numbers; pulled towards 0.
    """
    told = choices.right >= 0
    starts, weight = choices.starts[:-1], np.where(told, choices.weight, 0.0)
    barcode = np.repeat(np.arange(len(starts)), np.diff(choices.starts))
    right = starts + np.maximum(choices.right, 0)
    rows = [np.flatnonzero(choices.kinds == kind) for kind in range(kinds)]
    parts = [choices.numbers[mine] for mine in rows]

    def loss(flat: Float64) -> tuple[float, Float64]:
        weights, score = flat.reshape(kinds, WIDTH), np.empty(len(choices.kinds))
        for mine, part, row in zip(rows, parts, weights.astype(np.float32), strict=True):
            score[mine] = part @ row
        top = np.maximum.reduceat(score, starts)
        p = np.exp(score - top[barcode])
        total = np.add.reduceat(p, starts)
        value = -(weight * (score[right] - top - np.log(total))).sum()
        p *= (weight / total)[barcode]
        np.subtract.at(p, right, weight)
        gradient = np.stack([part.T @ p[mine].astype(np.float32) for mine, part in zip(rows, parts, strict=True)])
        return float(value + PULL / 2 * flat @ flat), gradient.ravel() + PULL * flat

    if not len(starts):
        raise ValueError("weights need at least one barcode")
    found = minimize(loss, np.zeros(kinds * WIDTH), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    return np.asarray(found.x.reshape(kinds, WIDTH), np.float32)
