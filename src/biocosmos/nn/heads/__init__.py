"""Heads over one taxonomy: from a backbone's features to log p of every node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.heads.attention import AttentionFeatures
from biocosmos.nn.heads.bilinear import BilinearFeatures
from biocosmos.nn.heads.branches import BranchFeatures
from biocosmos.nn.heads.conditional import ConditionalHead
from biocosmos.nn.heads.flat import FlatHead
from biocosmos.nn.heads.multitask import RankHead, SharedFeatures
from biocosmos.nn.heads.output import HeadOutput
from biocosmos.nn.heads.segregated import SegregatedHead
from biocosmos.nn.tree import OnTree, Tree

__all__ = ["HEADS", "NEEDS_MAPS", "HeadOutput", "make_head"]

HEADS = {
    "flat": "one softmax over the classes, summed up the tree",
    "marginalised": "the flat softmax, learnt from every rank's sums",
    "conditional": "a softmax among siblings, multiplied down the path",
    "multitask": "a softmax for each rank on shared features",
    "bcnn": "B-CNN: each rank leaves the backbone at its own depth",
    "hbcnn": "HB-CNN: bilinear fusion of the features of neighbouring ranks",
    "bacnn": "BA-CNN: each rank attends to the features of all",
    "sbacnn": "SBA-CNN: a branch of its own for each taxon of a rank",
}
NEEDS_MAPS = frozenset({"bcnn", "hbcnn", "bacnn"})
FEATURES: dict[str, Callable[..., nn.Module]] = {
    "multitask": SharedFeatures,
    "bcnn": BranchFeatures,
    "hbcnn": BilinearFeatures,
    "bacnn": AttentionFeatures,
}
BRANCHED = NEEDS_MAPS | {"sbacnn"}
BRANCH_DROPOUT = 0.5
"""B-CNN's, in every branch."""


def make_head(
    kind: str,
    tree: Tree,
    channels: Sequence[int],
    *,
    hidden: int = 0,
    dropout: float | None = None,
    extra: int = 0,
    split_rank: int = 0,
) -> OnTree:
    """A head of one of the kinds of :data:`HEADS`.

    channels: of the taps, shallow to deep; one number for a stored vector or a single map. hidden: width of the dense layer
    before the scores (0: none; in branches: 256, and 512 for the finest rank). dropout: share dropped
    before the scores; None is 0, and 0.5 in branch heads, as published.
    extra: further features of a specimen, appended before the scores. split_rank: the rank whose taxa have branches (sbacnn).

    Returns a module with ``tree`` and ``forward(taps, extra) -> HeadOutput``.
    Raises BiocosmosError for an unknown kind, numbers out of range, and branch heads where there is nothing to branch from.
    """
    dropout = (BRANCH_DROPOUT if kind in BRANCHED else 0.0) if dropout is None else dropout
    _check(kind, channels, hidden, dropout, extra)
    how: dict[str, Any] = {"hidden": hidden, "dropout": dropout, "extra": extra}
    if kind in ("flat", "marginalised"):
        return FlatHead(tree, channels, **how)
    if kind == "conditional":
        return ConditionalHead(tree, channels, **how)
    if kind == "sbacnn":
        return SegregatedHead(tree, channels, split_rank=split_rank, **how)
    return RankHead(tree, FEATURES[kind](tree.ranks, channels, **how))


def _check(kind: str, channels: Sequence[int], hidden: int, dropout: float, extra: int) -> None:
    if kind not in HEADS:
        raise BiocosmosError(f"there is no head '{kind}': choose {', '.join(HEADS)}")
    if not channels or min(channels) < 1 or hidden < 0 or extra < 0 or not 0 <= dropout < 1:
        raise BiocosmosError(
            f"head '{kind}': channels {list(channels)}, hidden {hidden} and extra {extra} must be sizes, "
            f"dropout {dropout} from 0 to below 1"
        )
    if kind in NEEDS_MAPS and len(channels) < 2:
        raise BiocosmosError(
            f"head '{kind}' branches off inside the backbone and needs its feature maps: on vectors it is 'multitask', take that"
        )
