"""What every tower of a space gives the training: a module, its inputs, and the folder it is saved in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.modality import Modality
from biocosmos.train.batches.drawing import Rows


class TowerSource(Protocol):
    """One modality of the specimens of a :class:`biocosmos.train.contrastive.specimens.ModalRows`, of n rows.

    A source is made by ``(rows: ModalRows, settings: ContrastiveSettings, where: Processes, failures: Failures)``; what cannot be
    trained is refused there, with BiocosmosError. It learns nothing (no vocabulary, no mean) from rows that are only watched.

    modality: what it takes. module: inputs -> (m, settings.width) float, not unit vectors; on the CPU when it is made; weights
    that do not ask for gradients stay as they are. there: (n,) bool, which specimens have something to give.
    """

    modality: Modality
    module: nn.Module
    there: npt.NDArray[np.bool_]

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """What the module takes of m rows that are ``there``: (m, ...) on the CPU.

        generator: of every random change of them in training, so that a batch is the same whenever it is asked for; None: as they
        are, for evaluation.
        """

    def lr_factor(self, name: str) -> float:
        """How many times the learning rate of the run the weight ``name`` of the module learns with."""

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """Write the tower as an encoder into ``folder``, from the module as it is now. Returns the digest that loading it gives.

        facts: for the model card and the description: "what", "collection", "split", "settings", "metrics" ...
        """
