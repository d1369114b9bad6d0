"""Attribute heads on what a backbone gives, alone or beside a head over the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.nn.attributes import AttributeOutput, TaskShape, make_attribute_head
from biocosmos.nn.heads import HeadOutput
from biocosmos.nn.heads.features import pooled, standardise


class AttributesOnTaps(nn.Module):
    """The last tap of a backbone, pooled, standardised and with ``dropout``, to the answers of an attribute head.

    tasks, kind, options, adjacency: see :func:`biocosmos.nn.attributes.make_attribute_head`; channels: of the taps.
    """

    def __init__(
        self,
        kind: str,
        tasks: Sequence[TaskShape],
        channels: Sequence[int],
        *,
        dropout: float = 0.0,
        adjacency: Any = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.norm, self.drop = standardise(channels[-1]), nn.Dropout(dropout)
        self.head = make_attribute_head(kind, tasks, channels[-1], adjacency, **{"standardised": False, **(options or {})})

    @property
    def tasks(self) -> Sequence[TaskShape]:
        """The questions, in the order of the answers."""
        return self.head.tasks

    def forward(self, taps: list[Tensor], extra: Tensor | None = None) -> AttributeOutput:
        """taps: shallow to deep, the last (n, c) or (n, c, h, w) is used."""
        answers: AttributeOutput = self.head(self.drop(self.norm(pooled(taps[-1]))))
        return answers


@dataclass(eq=False)
class OutputWithAttributes(HeadOutput):
    """attributes: what the attribute heads say of the same specimens."""

    attributes: AttributeOutput


class HeadsModel(HeadModel):
    """A backbone, a head over the ranks, and attribute heads beside it, which see the same features."""

    def __init__(
        self,
        trunk: Trunk | None,
        head: nn.Module,
        attributes: AttributesOnTaps,
        preprocessing: Preprocessing | None = None,
        *,
        norms_still: bool = True,
    ) -> None:
        super().__init__(trunk, head, preprocessing, norms_still=norms_still)
        self.attributes = attributes

    def answer(self, taps: list[torch.Tensor], extra: torch.Tensor | None) -> OutputWithAttributes:
        """What both say of what the trunk gave."""
        output = super().answer(taps, extra)
        of_attributes = self.attributes(taps)
        return OutputWithAttributes(output.log_p, output.logits, output.rank_scores, output.features, of_attributes)
