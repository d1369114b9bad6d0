"""The network within an encoder of texts, to be tuned: what it takes, and how it is written as an encoder again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.texts import ClipTexts, TextEncoder
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError
from biocosmos.nn.low_rank import add_low_rank


@dataclass(frozen=True)
class TextNetwork:
    """network: what :attr:`inputs` gives of texts -> (n, dim), not unit; save: (folder, network) writes the encoder; read: the
    part of the network that reads texts, where it has others too."""

    network: nn.Module
    inputs: Callable[[Sequence[str]], npt.NDArray[np.int64]]
    save: Callable[[Path, nn.Module], Any]
    read: nn.Module | None = None

    def add_low_rank(self, rank: int, name: str) -> None:
        """LoRA on what reads texts; all else stays as it is. Raises BiocosmosError where nothing can have it."""
        self.network.requires_grad_(False)
        add_low_rank(self.network if self.read is None else self.read, rank=rank, what=f"'{name}'")


def network_of(encoder: TextEncoder) -> TextNetwork:
    """A copy of an encoder's network, that it may be changed. Raises BiocosmosError for a projection over another encoder."""
    from biocosmos.encoders.bert_texts import BertText
    from biocosmos.encoders.text_models import BertTexts, TransformerTexts, save_transformer

    if isinstance(encoder, TransformerTexts):
        tokens, wording = encoder.tokens, encoder.wording
        return TextNetwork(
            copy.deepcopy(encoder.network),
            tokens.of,
            lambda folder, network: save_transformer(folder, network, tokens, wording, training={}),  # type: ignore[arg-type]
        )
    if isinstance(encoder, BertTexts):
        model = encoder.model
        return TextNetwork(
            copy.deepcopy(model.network),
            model.inputs,
            lambda folder, network: BertText(network, model.tokens, model.config).save(folder),  # type: ignore[arg-type]
        )
    if isinstance(encoder, ClipTexts):
        return _clip(encoder.name)
    raise BiocosmosError(f"'{encoder.name}' is a projection over another encoder: tune a head on its vectors (--tune heads)")


class _ClipText(nn.Module):
    """The text half of an open_clip model; the other half is beside it, and stays."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        assert towers.text is not None
        self.text = towers.text
        visual = getattr(self.text.model, "visual", None)
        if isinstance(visual, nn.Module):
            visual.requires_grad_(False)
        for name, weight in self.text.named_parameters():
            if name.endswith(("logit_scale", "logit_bias")):  # they are of the loss
                weight.requires_grad_(False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.text(tokens)  # type: ignore[no-any-return]


def _clip(name: str) -> TextNetwork:
    towers = load_towers(name)
    if towers.tokenize is None or towers.architecture["kind"] != "open_clip" or towers.projection is not None:
        raise BiocosmosError(f"'{name}' cannot be written as an encoder again: tune a head on its vectors (--tune heads)")
    tokenize = towers.tokenize

    def save(folder: Path, network: nn.Module) -> None:
        from dataclasses import replace

        from biocosmos.encoders.open_clip_models import write_folder

        folder.mkdir(parents=True, exist_ok=True)
        assert isinstance(network, _ClipText)
        image = copy.copy(towers.image)
        image.model = network.text.model
        write_folder(folder, replace(towers, image=image), towers.preprocessing)

    network = _ClipText(towers)
    model = network.text.model
    read = getattr(model, "text", None) or getattr(model, "transformer", None)  # a tower of its own, or the model's
    return TextNetwork(network, lambda texts: tokenize(list(texts)).numpy(), save, read if isinstance(read, nn.Module) else None)
