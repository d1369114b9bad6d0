"""Heads for several questions at once: plain ones, and CT-GNN, in which the questions help each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes.class_costs import ClassWeights, class_weights
from biocosmos.nn.attributes.co_occurrence import adjacency
from biocosmos.nn.attributes.criterion import AttributeCriterion
from biocosmos.nn.attributes.cross_task import CrossTaskHead
from biocosmos.nn.attributes.plain import PlainHeads
from biocosmos.nn.attributes.tasks import AttributeOutput, TaskShape, probabilities

__all__ = [
    "ATTRIBUTE_HEADS",
    "AttributeCriterion",
    "AttributeOutput",
    "ClassWeights",
    "CrossTaskHead",
    "PlainHeads",
    "TaskShape",
    "adjacency",
    "class_weights",
    "make_attribute_head",
    "probabilities",
]

AttributeHeadKind = Literal["plain", "ctgnn"]
ATTRIBUTE_HEADS = {
    "plain": "a linear classifier for each attribute",
    "ctgnn": "CT-GNN: the classes of all attributes exchange what they see over a graph",
}


def make_attribute_head(
    kind: AttributeHeadKind | str,
    tasks: Sequence[TaskShape],
    width: int,
    adjacency: np.ndarray | Tensor | None = None,
    **options: Any,
) -> PlainHeads:
    """A head of one of the kinds of :data:`ATTRIBUTE_HEADS`.

    tasks: the questions, in the order of the answers. width: of the features. adjacency: of ctgnn, (C, C); None is the dynamic
    graph of GAT. options: the keyword arguments of :class:`PlainHeads` or :class:`CrossTaskHead`.

    Returns a module with ``tasks`` and ``forward(features (b, width)) -> AttributeOutput``.
    Raises BiocosmosError for an unknown kind and for options out of range.
    """
    if kind == "plain":
        if adjacency is not None:
            raise BiocosmosError("head 'plain' has no graph: leave out the adjacency, or take head ctgnn")
        return PlainHeads(tasks, width, **options)
    if kind == "ctgnn":
        return CrossTaskHead(tasks, width, adjacency, **options)
    raise BiocosmosError(f"there is no attribute head '{kind}': choose {', '.join(ATTRIBUTE_HEADS)}")
