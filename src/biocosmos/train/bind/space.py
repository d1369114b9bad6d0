"""Towers bound to an anchor as one module: beside the batch it takes negatives that are no specimen of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from biocosmos.train.contrastive.space import ROWS, ModalTowers

NEGATIVES, WHOSE = " negatives", " negatives whose"
"""Behind the name of a modality among the inputs of a batch: what its tower takes of the negatives, and their labels."""


class BoundTowers(ModalTowers):
    """See :class:`biocosmos.train.contrastive.space.ModalTowers`."""

    def forward(self, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """inputs: as of its parent, and of modalities with negatives what their tower takes of q of them, and (q,) int64."""
        rows = {name: inputs[name + ROWS] for name in self.towers}
        vectors, negatives = {}, {}
        for name, tower in self.towers.items():
            more = inputs.get(name + NEGATIVES)
            if more is None:
                vectors[name] = tower(inputs[name])[: len(rows[name])]
                continue
            both = tower(torch.cat([inputs[name], more]))  # once: its gradient is gathered once
            vectors[name] = both[: len(rows[name])]
            negatives[name] = both[len(inputs[name]) :], inputs[name + WHOSE]
        return self.pairs(vectors, rows, labels, negatives)  # type: ignore[no-any-return]
