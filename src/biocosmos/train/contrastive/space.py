"""The towers of a space and the loss between them as one module, so that all of it is replicated, averaged and kept together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from biocosmos.nn.bound_pairs import BoundPairs
from biocosmos.nn.modal_pairs import ModalPairs

ROWS = " rows"
"""Behind the name of a modality among the inputs of a batch: which of its specimens the inputs are of."""


class ModalTowers(nn.Module):
    """Towers by modality, and the loss of a batch of specimens.

    towers: inputs of a modality -> (m, width) vectors of any length. A batch may hold more inputs than rows of a modality: those
    behind the last row stand in where a process has none, so that every weight takes part in every step of all processes.
    """

    def __init__(self, towers: Mapping[str, nn.Module], pairs: ModalPairs | BoundPairs) -> None:
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        self.pairs: ModalPairs | BoundPairs = pairs

    def forward(self, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """inputs: modality -> what its tower takes, and "<modality> rows" -> (m,) int64; labels: (n,) int64. The loss."""
        rows = {name: inputs[name + ROWS] for name in self.towers}
        vectors = {name: tower(inputs[name])[: len(rows[name])] for name, tower in self.towers.items()}
        return self.pairs(vectors, rows, labels)  # type: ignore[no-any-return]

    @property
    def modalities(self) -> Sequence[str]:
        """Of the towers."""
        return list(self.towers)
