"""Losses of a student that has a teacher: its soft labels (Hinton et al. 2015, arXiv:1503.02531), and its features.

soft labels    T^2 KL(softmax(teacher / T) || softmax(student / T)), so that its gradient stays as large whatever T is
features       1 - cosine, or smooth L1, between the student's features through a linear layer and standardised vectors
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError

Matching = Literal["cosine", "smooth-l1"]
MATCHINGS: tuple[Matching, ...] = ("cosine", "smooth-l1")


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float, there: Tensor | None = None) -> Tensor:
    """T^2 KL(teacher || student) at temperature T, its mean over the rows that are ``there``; 0 where none is.

    student, teacher: (n, C) scores of the same classes; there: (n,) bool, None for all. Raises BiocosmosError for T of 0 or less.
    """
    if not temperature > 0:
        raise BiocosmosError(f"the temperature of soft labels must be above 0, not {temperature}")
    each = divergence(student.float() / temperature, teacher.float() / temperature)
    return temperature**2 * _mean(each, there)


def divergence(scores: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(scores)) over the last dimension, in nats, float32."""
    ours, theirs = scores.float().log_softmax(-1), teacher.float().log_softmax(-1)
    return F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)


def matching_loss(found: Tensor, wanted: Tensor, kind: Matching = "cosine", there: Tensor | None = None) -> Tensor:
    """How far (n, d) features are from those wanted, the mean over the rows that are ``there``; 0 where none is.

    kind: "cosine" is 1 - their cosine, 0..2; "smooth-l1" the mean over d of torch's smooth L1 with beta 1.
    """
    found, wanted = found.float(), wanted.float()
    if kind == "cosine":
        each = 1 - F.cosine_similarity(found, wanted, dim=1)
    elif kind == "smooth-l1":
        each = F.smooth_l1_loss(found, wanted, reduction="none").mean(1)
    else:
        raise BiocosmosError(f"matching '{kind}' is not known: choose {' or '.join(MATCHINGS)}")
    return _mean(each, there)


class Standardised(nn.Module):
    """Vectors less their mean, divided by their spread, number by number: what features are matched to.

    Stored vectors are of length 1 and mostly alike in what all specimens share: a cosine between them would teach that first.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, vectors: Tensor) -> None:
        """vectors: (n, d), of which mean and spread are taken; a number without spread is divided by 1."""
        super().__init__()
        spread = vectors.std(0, correction=0) if len(vectors) else torch.ones(vectors.shape[1])
        self.register_buffer("mean", vectors.mean(0) if len(vectors) else torch.zeros(vectors.shape[1]))
        self.register_buffer("spread", torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, d) -> (n, d)."""
        return (vectors - self.mean) / self.spread


def _mean(each: Tensor, there: Tensor | None) -> Tensor:
    if there is None:
        return each.mean()
    return (each * there).sum() / there.sum().clamp_min(1)
