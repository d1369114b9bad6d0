"""A backbone and a head over a taxonomy as one module."""

from __future__ import annotations

import torch
from torch import nn

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.nn.heads import HeadOutput
from biocosmos.nn.still import hold_still


class HeadModel(nn.Module):
    """Pixels, or what a part of the backbone made of them, to log p of every node.

    trunk: the backbone, or None for a head on stored vectors; head: of :func:`biocosmos.nn.heads.make_head`; preprocessing: of
    the images; norms_still: the trunk's batch norms keep their statistics in training.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self, trunk: Trunk | None, head: nn.Module, preprocessing: Preprocessing | None = None, *, norms_still: bool = True
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.norms_still = trunk, head, norms_still
        self._back: tuple[nn.Module, ...] = ()
        if preprocessing is not None:
            mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
            self.register_buffer("scale", (1 / (255 * std))[:, None, None], persistent=False)
            self.register_buffer("shift", (-mean / std)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> HeadModel:
        """Training mode for the head, and for what of the trunk is trained."""
        super().train(mode)
        if self.trunk is not None:
            hold_still(self.trunk, norms=self.norms_still)
        return self

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, s, s) uint8, or floats 0..255, to normalised floats."""
        return images.float() * self.scale + self.shift

    def forward(
        self, inputs: torch.Tensor, extra: torch.Tensor | None = None, *, activations: bool = False, head_only: bool = False
    ) -> HeadOutput:
        """inputs: (n, 3, s, s) pixels 0..255; stored vectors (n, d) without a trunk; with ``activations``, what the frozen
        front of the trunk gave. extra: (n, k) further features. head_only: no gradient reaches the trunk.
        Returns the head's output for n specimens."""
        if self.trunk is None:
            taps = [inputs]
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not head_only):
                taps = self._taps(inputs, activations)
        return self.answer(taps, extra)

    def answer(self, taps: list[torch.Tensor], extra: torch.Tensor | None) -> HeadOutput:
        """What the head says of what the trunk gave."""
        output: HeadOutput = self.head(taps, extra)
        return output

    def _taps(self, inputs: torch.Tensor, activations: bool) -> list[torch.Tensor]:
        if not activations:
            found: list[torch.Tensor] = self.trunk(self.pixels(inputs))  # type: ignore[misc]
            return found
        return self._back[0](inputs)  # type: ignore[no-any-return]

    def split_after(self, stages: int) -> nn.Module:
        """The frozen front of the trunk, whose activations ``forward`` takes from now on; see :meth:`Trunk.frozen_prefix`."""
        assert self.trunk is not None
        front, back = self.trunk.frozen_prefix(stages)
        self._back = (back,)  # in a tuple, so that its weights are not listed twice
        return front
