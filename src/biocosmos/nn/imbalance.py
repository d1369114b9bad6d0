"""Learning from classes of very unequal size: weights, margins and priors inside the loss.

Each is one small class with the three steps in which it may differ from plain cross entropy; :func:`imbalance` makes one by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.tree import Tree

FOCUS = 2.0
BETA = 0.9999
LARGEST_MARGIN = 0.5
DEFERRED = 0.8
"""Share of training after which deferred re-weighting begins (LDAM paper: epoch 160 of 200)."""


class Imbalance(nn.Module):
    """Plain cross entropy, and how many specimens each class and each node of a rank has.

    counts: (C,) training specimens of each class of ``tree``; those at or under a node are its sum. Counts of 0 are taken for 1.
    Everywhere ``rank`` is None for the classes, or the rank whose ``tree.nodes_at`` are the columns; ``columns`` (n,) int64 is
    the target's, -1 where it has none.

    Raises BiocosmosError where there is not one finite count of 0 or more for each class.
    """

    def __init__(self, counts: Tensor, tree: Tree) -> None:
        super().__init__()
        counts = counts.double().to(tree.device)
        if counts.shape != tree.classes.shape or not bool((counts >= 0).all()) or not bool(counts.isfinite().all()):
            raise BiocosmosError(
                f"imbalance needs one count, 0 or more, for each of {len(tree.classes)} classes: got {tuple(counts.shape)}"
            )
        self.register_buffer("counts", counts.clamp_min(1).float(), persistent=False)
        for rank, at in enumerate(tree.nodes_at):
            has = tree.known[:, rank]
            total = torch.zeros(len(at), dtype=counts.dtype, device=tree.device)
            total.index_add_(0, tree.paths[has, rank], counts[has])
            self.register_buffer(f"counts_{rank}", total.clamp_min(1).float(), persistent=False)

    def of(self, rank: int | None) -> Tensor:
        """(K,) float32 specimens of each class, or of each node of a rank."""
        return self.get_buffer("counts" if rank is None else f"counts_{rank}")

    def shift(self, scores: Tensor, columns: Tensor, rank: int | None) -> Tensor:
        """(n, K) scores before the softmax; the same object where nothing changes."""
        return scores

    def loss(self, log_p: Tensor) -> Tensor:
        """The loss of a target with log p, any shape."""
        return -log_p

    def weigh(self, columns: Tensor, rank: int | None, progress: float) -> Tensor | None:
        """(n,) factors of the losses, 1 on average over the training specimens; None for none. progress: of training, 0..1."""
        return None


class Focal(Imbalance):
    """-(1 - p)^g log p: what is easy counts little. Lin et al. 2017 (arXiv:1708.02002), equation 4; g = 2."""

    def __init__(self, counts: Tensor, tree: Tree, focus: float = FOCUS) -> None:
        super().__init__(counts, tree)
        self.focus = _in_range("focus", focus, 0, float("inf"))

    def loss(self, log_p: Tensor) -> Tensor:
        """See the class; any shape."""
        # log p of a sum may round to above 0, and a power has no slope at 0
        missing = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        return -(missing**self.focus) * log_p


class ClassBalanced(Imbalance):
    """Weights (1 - b) / (1 - b^n). Cui et al. 2019 (arXiv:1901.05555), equation 5; b in {.99, .999, .9999}."""

    def __init__(self, counts: Tensor, tree: Tree, beta: float = BETA) -> None:
        super().__init__(counts, tree)
        self.beta = _in_range("beta", beta, 0, 1)

    def weigh(self, columns: Tensor, rank: int | None, progress: float) -> Tensor | None:
        """See the class."""
        counts = self.of(rank).double()
        weights = (
            (1 - self.beta) / -torch.expm1(counts * torch.tensor(self.beta, dtype=torch.float64).log())
            if self.beta
            else counts**0
        )
        weights = (weights * counts.sum() / (weights * counts).sum()).float()
        return torch.where(columns >= 0, weights[columns.clamp_min(0)], 1.0)


class LDAM(Imbalance):
    """Label-distribution-aware margin: the own score less C / n^(1/4), the margin of the smallest class being ``largest``.

    Cao et al. 2019 (arXiv:1906.07413), equations 11 to 13. There scores are cosines times 30; ours are the linear layer's own, so
    the scale is 1 unless given. ``deferred``: class-balanced weights from that share of training on (LDAM-DRW).
    """

    def __init__(
        self,
        counts: Tensor,
        tree: Tree,
        *,
        largest: float = LARGEST_MARGIN,
        scale: float = 1.0,
        deferred: float | None = None,
        beta: float = BETA,
    ) -> None:
        super().__init__(counts, tree)
        self.largest, self.scale = _in_range("margin", largest, 0, float("inf")), _in_range("scale", scale, 0, float("inf"))
        self.deferred = deferred
        self.balanced = None if deferred is None else ClassBalanced(counts, tree, beta)

    def shift(self, scores: Tensor, columns: Tensor, rank: int | None) -> Tensor:
        """See the class."""
        margins = self.of(rank) ** -0.25
        margins = (self.largest * margins / margins.max()).to(scores.dtype)
        own = torch.where(columns >= 0, margins[columns.clamp_min(0)], 0)
        return self.scale * scores.scatter_add(1, columns.clamp_min(0)[:, None], -own[:, None])

    def weigh(self, columns: Tensor, rank: int | None, progress: float) -> Tensor | None:
        """See the class."""
        if self.balanced is None or self.deferred is None or progress < self.deferred:
            return None
        return self.balanced.weigh(columns, rank, progress)


class PriorShift(Imbalance):
    """Scores + tau log prior in the loss, the plain scores in use.

    Logit-adjusted loss: Menon et al. 2021 (arXiv:2007.07314), equation 10; at tau = 1, its default, it is what Ren et al. 2020
    (arXiv:2007.10740, equation 4) call balanced softmax, which has no name of its own here. For the same after training see
    :func:`adjusted`.
    """

    def __init__(self, counts: Tensor, tree: Tree, tau: float = 1.0) -> None:
        super().__init__(counts, tree)
        self.tau = _in_range("tau", tau, 0, float("inf"))

    def shift(self, scores: Tensor, columns: Tensor, rank: int | None) -> Tensor:
        """See the class."""
        return scores + self.tau * _log_prior(self.of(rank)).to(scores.dtype)


def adjusted(logits: Tensor, counts: Tensor, tau: float = 1.0) -> Tensor:
    """Scores of a head that was trained plainly, as if all classes were equally frequent: logits - tau log prior.

    Menon et al. 2021, equation 9. logits: (n, C); counts: (C,) training specimens, 0 taken for 1. Returns (n, C).
    """
    return logits - tau * _log_prior(counts.to(logits.device).clamp_min(1)).to(logits.dtype)


IMBALANCE = ("none", "focal", "class-balanced", "ldam", "ldam-drw", "logit-adjusted")


def imbalance(
    name: str,
    counts: Tensor,
    tree: Tree,
    *,
    focus: float = FOCUS,
    beta: float = BETA,
    largest: float = LARGEST_MARGIN,
    scale: float = 1.0,
    tau: float = 1.0,
) -> Imbalance | None:
    """The remedy called ``name``, one of :data:`IMBALANCE`; None for "none". counts: (C,) training specimens of each class.

    Raises BiocosmosError for another name.
    """
    if name == "none":
        return None
    if name == "focal":
        return Focal(counts, tree, focus)
    if name == "class-balanced":
        return ClassBalanced(counts, tree, beta)
    if name in ("ldam", "ldam-drw"):
        return LDAM(counts, tree, largest=largest, scale=scale, deferred=DEFERRED if name == "ldam-drw" else None, beta=beta)
    if name == "logit-adjusted":
        return PriorShift(counts, tree, tau)
    raise BiocosmosError(f"there is no remedy for imbalance called '{name}': choose {', '.join(IMBALANCE)}")


def _log_prior(counts: Tensor) -> Tensor:
    counts = counts.double()
    return (counts / counts.sum()).log()


def _in_range(name: str, value: float, low: float, high: float) -> float:
    if not low <= value < high:
        raise BiocosmosError(f"imbalance: {name} = {value}, but it must be at least {low:g} and below {high:g}")
    return float(value)
