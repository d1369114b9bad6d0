"""The loss that brings the pictures, barcodes and names of specimens into one space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError
from biocosmos.nn.distributed import gather_embeddings, gather_labels, place

TEMPERATURE = 0.07
"""The softmax begins with it, as in CLIP."""
LARGEST_SCALE = 100.0
"""Of the cosines. CLIP keeps it below, section 2.4: larger logits made the training unstable."""
NOWHERE = -1e9
"""In place of a logit whose column is empty: its probability is 0, and a row without any column is still a number."""


class ModalPairs(nn.Module):
    """L = mean over ordered pairs of modalities (a, b) of the mean over rows i of CE(s A_i B^T, Y_i), Y_ij = [label i = label j].

    A, B: unit vectors of the same specimens in two modalities; s: learnt, ln s begins at ln(1 / temperature). Gong et al., CLIBD,
    ICLR 2025 (arXiv:2405.17537), section 3.3, with the labels of its code; for one pair and labels all different it is CLIP's
    (Radford et al. 2021, arXiv:2103.00020). Deviations: a row with several positives shares one unit of probability among them
    (as_published leaves the unit to each); a specimen that lacks a modality has neither row nor column there, a row without a
    positive column has no term, and a pair without a term none in the mean.

    Beside it, weighted, may stand the mean over modalities of the same loss of each with itself, where a specimen is no column of
    its own row: supervised contrastive (Khosla et al. 2020, arXiv:2004.11362, equation 2). It is ours, not CLIBD's.

    Args:
        pairs: of names of modalities, each pair once; both directions count.
        temperature: above 0.
        as_published: the rows of Y do not sum to 1.
        within: modalities that are compared with themselves too; weight: of that, 0 or more.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        temperature: float = TEMPERATURE,
        as_published: bool = False,
        within: Sequence[str] = (),
        weight: float = 0.0,
    ) -> None:
        super().__init__()
        if not pairs or any(a == b for a, b in pairs) or len({frozenset(pair) for pair in pairs}) < len(pairs):
            raise BiocosmosError(f"a loss between modalities needs pairs of two, each once, not {list(pairs)}")
        self.directions = [direction for a, b in pairs for direction in ((a, b), (b, a))]
        self.modalities = tuple(dict.fromkeys(name for pair in pairs for name in pair))
        if not set(within) <= set(self.modalities) or not weight >= 0:
            raise BiocosmosError(f"modalities with a pair are compared with themselves, not {list(within)} by {weight:g}")
        self.within, self.weight = [(name, name) for name in within], weight
        self.as_published = as_published
        self.log_scale = new_scale(temperature)

    def forward(
        self, vectors: Mapping[str, torch.Tensor], rows: Mapping[str, torch.Tensor], labels: torch.Tensor
    ) -> torch.Tensor:
        """The loss over the batch of all processes, equal on all; 0 with a gradient of 0 where no pair has a term.

        Args:
            vectors: modality -> (m, d) floats of any length, of the specimens of this process that have it; m may be 0.
            rows: modality -> (m,) int64, which of the n specimens these are.
            labels: (n,) int64; specimens of one label belong together. n is the same in every process.

        Gradients are those that DistributedDataParallel averages to the gradient of the loss.
        """
        with torch.autocast(labels.device.type, enabled=False):
            return self._loss(vectors, rows, labels)

    def temperatures(self) -> float:
        """What the softmax has now."""
        return temperature_of(self.log_scale)

    def _loss(self, vectors: Mapping[str, torch.Tensor], rows: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        own, unit, there, alike, itself = of_everyone(self.modalities, vectors, rows, labels)
        others = ~itself
        scale = learnt_scale(self.log_scale)
        sums, counts = [], []
        for a, b in (*self.directions, *self.within):
            columns = there[b][None] & others if a == b else there[b][None]
            right = alike & columns
            asked = right.any(1) & there[a][own]
            logits = (scale * unit[a][own] @ unit[b].T).masked_fill(~columns, NOWHERE)
            sums.append(row_costs(logits.log_softmax(1), right, asked, share=not self.as_published or a == b).sum())
            counts.append(asked.sum())
        total = gather_labels(torch.stack(counts)[None]).sum(0)
        has, between = (total > 0).float(), len(self.directions)
        shares = [each / each.sum().clamp_min(1) for each in (has[:between], has[between:])]
        return over_processes((torch.stack(sums) * torch.cat([shares[0], self.weight * shares[1]]) / total.clamp_min(1)).sum())

    def extra_repr(self) -> str:
        """What is shown of it."""
        pairs = ", ".join("-".join(pair) for pair in (*self.directions[::2], *self.within))
        return f"{pairs}, as_published={self.as_published}, weight={self.weight:g}"


class Everyone(NamedTuple):
    """A batch of all N specimens of all processes, of which n are of this one.

    own: where these n stand; unit: modality -> (N, d) unit vectors, zeros where the specimen has none; there: modality -> (N,)
    bool; alike: (n, N) bool, of one label; itself: (n, N) bool, one and the same specimen.
    """

    own: slice
    unit: dict[str, torch.Tensor]
    there: dict[str, torch.Tensor]
    alike: torch.Tensor
    itself: torch.Tensor


def of_everyone(
    modalities: Sequence[str], vectors: Mapping[str, torch.Tensor], rows: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> Everyone:
    """The batches of all processes as one; the arguments are those of :meth:`ModalPairs.forward`."""
    rank, _ = place()
    own = slice(rank * len(labels), (rank + 1) * len(labels))
    everyone = gather_labels(labels)
    unit, there = {}, {}
    for name in modalities:
        mine = vectors[name].new_zeros(len(labels), vectors[name].shape[1], dtype=torch.float32)
        mine = mine.index_copy(0, rows[name], F.normalize(vectors[name].float(), dim=1))
        unit[name] = gather_embeddings(mine)
        there[name] = gather_labels(torch.zeros_like(labels).index_fill(0, rows[name], 1)) > 0
    numbers = torch.arange(len(everyone), device=labels.device)
    return Everyone(own, unit, there, labels[:, None] == everyone[None], numbers[own, None] == numbers[None])


def row_costs(logs: torch.Tensor, right: torch.Tensor, asked: torch.Tensor, *, share: bool) -> torch.Tensor:
    """(n,) what each row costs, 0 for one that is not asked: cross entropy against its positives, which share one unit or not.

    logs: (n, N) log probabilities; right: (n, N) bool, the positives; asked: (n,) bool.
    """
    costs = -torch.where(right, logs, 0.0).sum(1)
    return torch.where(asked, costs / right.sum(1).clamp_min(1) if share else costs, 0.0)


def over_processes(loss: torch.Tensor) -> torch.Tensor:
    """The sum of what each process has of a loss, with the gradient of its own part."""
    return loss + (gather_labels(loss.detach()[None]).sum() - loss.detach()) if place()[1] > 1 else loss


def new_scale(temperature: float) -> nn.Parameter:
    """ln(1 / temperature). Raises BiocosmosError for one that is not above 0."""
    if not temperature > 0:
        raise BiocosmosError(f"the temperature of a contrastive loss must be above 0, not {temperature:g}")
    return nn.Parameter(torch.tensor(math.log(1 / temperature)))


def temperature_of(log_scale: nn.Parameter) -> float:
    """What the softmax has now."""
    return round(float((-log_scale.detach()).exp()), 4)


def learnt_scale(log_scale: nn.Parameter) -> torch.Tensor:
    """exp of a weight, at most :data:`LARGEST_SCALE`, with the gradient that DistributedDataParallel averages rightly."""
    processes = place()[1]
    with torch.no_grad():  # the weight itself: a clamp in the graph would never let it come back
        log_scale.clamp_(max=math.log(LARGEST_SCALE))
    scale = log_scale.exp()
    if processes > 1 and scale.requires_grad:
        # as gather_embeddings does for the vectors
        scale.register_hook(lambda gradient: gradient * processes)  # type: ignore[no-untyped-call]
    return scale
