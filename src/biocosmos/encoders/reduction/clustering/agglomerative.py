"""Agglomerative clustering of tokens, exactly and for whole batches (Haurum et al., Agglomerative Token Clustering, ECCV 2024,
https://arxiv.org/abs/2409.11923)."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from biocosmos.encoders.reduction.clustering import kernel, rounds, steps
from biocosmos.encoders.reduction.clustering.distances import cosine_distances
from biocosmos.encoders.reduction.clustering.linkages import LINKAGES, Linkage
from biocosmos.errors import BiocosmosError

How = Literal["auto", "compiled", "rounds", "steps"]
VALUES = 1 << 26
"""Distances that the torch ways hold at once: images go through them in parts."""


def agglomerate(keys: torch.Tensor, count: int, linkage: Linkage = "average", *, how: How = "auto") -> torch.Tensor:
    """Merge the two closest clusters of an image's tokens again and again until ``count`` are left.

    Distances of tokens are 1 - cos(k_i, k_j) in float32; of clusters the "single" (least), "complete" (largest) or "average" one
    over their pairs of tokens. The partition is that of scikit-learn's AgglomerativeClustering wherever the distances that
    decide are more than 1e-6 apart; of equal distances the lowest pair is merged, clusters being called by their lowest token.
    A zero vector has the distance 1 to every other token. An image's labels do not depend on the others of its batch.

    Args:
        keys: (b, n, d), any float dtype, any device, any strides.
        count: clusters of every image, 1 to n.
        how: "compiled" (CPU, with llvmlite: one image a thread), "rounds" (any device: all pairs at once that are each
            other's nearest), "steps" (the plain definition, slow), or "auto": compiled where that can be, else rounds.

    Returns:
        (b, n) int64 on the device of the keys: labels 0..count - 1, numbered by first appearance.

    Raises BiocosmosError for other counts, linkages, ways and shapes, and for keys that are not finite.
    """
    _check(keys, count, linkage, how)
    if torch.compiler.is_compiling():
        labels: torch.Tensor = _whole(keys.detach(), count, linkage, how)
        return labels
    return _clustered(keys, count, linkage, how)


@torch.no_grad()
def _clustered(keys: torch.Tensor, count: int, linkage: Linkage, how: How) -> torch.Tensor:
    if count == keys.shape[1] or not len(keys):
        _check_finite(keys.isfinite().flatten(1).all(1))
        return torch.arange(keys.shape[1], device=keys.device).repeat(len(keys), 1)
    compiled = kernel.here() if keys.device.type == "cpu" and how in ("auto", "compiled") else None
    if compiled is not None:
        labels, broken = compiled.cluster(_floats(keys), count, linkage)
        _refuse(broken)
        return labels
    if how == "compiled":
        raise BiocosmosError("clustering 'compiled' needs keys on the CPU and the llvmlite package: choose auto or rounds")
    _check_finite(keys.isfinite().flatten(1).all(1))
    part = max(1, VALUES // keys.shape[1] ** 2)
    way = _in_steps if how == "steps" else _in_rounds
    return torch.cat([way(_floats(keys[i : i + part]), count, linkage) for i in range(0, len(keys), part)])


@torch.library.custom_op(
    "biocosmos::agglomerate", mutates_args=(), schema="(Tensor keys, int count, str linkage, str how) -> Tensor"
)
def _whole(keys: torch.Tensor, count: int, linkage: Linkage, how: How) -> torch.Tensor:
    """One operator of a compiled or exported graph, which is not looked into."""
    return _clustered(keys, count, linkage, how)


@_whole.register_fake
def _shape(keys: torch.Tensor, count: int, linkage: Linkage, how: How) -> torch.Tensor:
    return keys.new_empty(keys.shape[:2], dtype=torch.int64)


def _in_steps(keys: torch.Tensor, count: int, linkage: Linkage) -> torch.Tensor:
    return numbered(steps.cluster(cosine_distances(keys), count, linkage))


def _in_rounds(keys: torch.Tensor, count: int, linkage: Linkage) -> torch.Tensor:
    parent, tied = rounds.cluster(cosine_distances(keys), count, linkage)
    if linkage == "single" and tied.any():  # a pair may become the lowest by a merge of equal height
        parent[tied] = steps.cluster(cosine_distances(keys[tied]), count, linkage)
    return numbered(parent)


def numbered(parent: torch.Tensor) -> torch.Tensor:
    """parent: (b, n) int64, a lower token of the same cluster, or itself. Returns: (b, n) labels by first appearance."""
    for _ in range(parent.shape[1].bit_length()):
        parent = parent.gather(1, parent)
    first = parent == torch.arange(parent.shape[1], device=parent.device)
    return (first.cumsum(1) - 1).gather(1, parent)


def _floats(keys: torch.Tensor) -> torch.Tensor:
    """float32 with a dense last dim; what float32 cannot hold is brought into its range first."""
    if keys.dtype == torch.float64:
        peak = torch.linalg.vector_norm(keys, torch.inf, dim=-1, keepdim=True)
        keys = torch.where(peak > 0, keys / peak, keys)
    keys = keys.float()
    return keys if keys.stride(-1) == 1 and min(keys.stride()) >= 0 else keys.contiguous()


def _check(keys: torch.Tensor, count: int, linkage: str, how: str) -> None:
    if linkage not in LINKAGES:
        raise BiocosmosError(f"unknown linkage {linkage!r}: choose {', '.join(LINKAGES)}")
    if how not in get_args(How):
        raise BiocosmosError(f"unknown way {how!r} to cluster tokens: choose {', '.join(get_args(How))}")
    if keys.ndim != 3 or not keys.shape[2] or not keys.is_floating_point():
        raise BiocosmosError(
            f"keys to cluster must be floats of shape (batch, tokens, dims), not {keys.dtype} {tuple(keys.shape)}"
        )
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= keys.shape[1]:
        raise BiocosmosError(
            f"cannot make {count} clusters of {keys.shape[1]} tokens: choose a whole number from 1 to {keys.shape[1]}"
        )


def _check_finite(fine: torch.Tensor) -> None:
    if not fine.all():
        _refuse(int((~fine).nonzero()[0]))


def _refuse(image: int | None) -> None:
    if image is not None:
        raise BiocosmosError(f"keys of image {image} of the batch are not all finite: they cannot be clustered")
