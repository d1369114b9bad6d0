"""What every head says, and the step all of them share: from class scores to the nodes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from biocosmos.nn.tree import Tree


@dataclass
class HeadOutput:
    """Answers about n specimens, over a tree with N nodes, C classes and L ranks.

    log_p: (n, N) log p of every node: the root is 0, a node the sum of the classes at or under it, -inf without any.
    logits: (n, C) class scores; their softmax is the distribution over the classes. What is common to a row is kept where it
        means something, so that energies can be taken: see the head.
    rank_scores: per rank l, (n, n_l) log p over ``tree.nodes_at[l]`` as that rank says it, before it is made consistent; None if
        the head has no such thing.
    features: (n, d) what the last linear of the finest rank sees.
    """

    log_p: Tensor
    logits: Tensor
    rank_scores: list[Tensor] | None
    features: Tensor


def answer(tree: Tree, logits: Tensor, features: Tensor, rank_scores: list[Tensor] | None = None) -> HeadOutput:
    """The output of a head from its class scores (n, C), in float32 at least."""
    logits = full_precision(logits)
    return HeadOutput(tree.sum_up(logits.log_softmax(1)), logits, rank_scores, full_precision(features))


def full_precision(x: Tensor) -> Tensor:
    """At least float32: softmax and sums of probabilities need it under autocast."""
    return x.float() if x.element_size() < 4 else x
