"""A reduced network cut where a choice is made that no graph of operations can make: segments of fixed shapes, and what is done
between them on the host.

    pixels -> [segment] -> tokens, keys -> clustering -> fewer tokens -> [segment] -> ... -> unit vectors

Every segment is a module that torch can trace and OpenVINO convert; one batch runs through all of them in its thread.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.encoder import Normalised
from biocosmos.encoders.reduction.network import ReducedVit, network_of
from biocosmos.encoders.reduction.tokens import Clues, HostReducer, Tokens


class Segment(nn.Module):
    """The part of a model from one stage to the next.

    Args:
        vit: in the tower of ``model``.
        first: the block whose stage was done before, None at the pixels.
        last: the block whose stage comes after, None to the end.
    """

    def __init__(self, model: Normalised, vit: ReducedVit, first: int | None, last: int | None) -> None:
        super().__init__()
        self.model, self.vit = model, vit
        self.first, self.last = first, last

    def forward(self, x: torch.Tensor, answer: torch.Tensor | None = None, size: torch.Tensor | None = None) -> Any:
        """The tokens up to the next stage.

        Args:
            x: (n, 3, side, side) uint8, or (n, tokens, c) float32.
            answer: of the stage before, of this many tokens; size: (n, tokens) float32, what each stands for.

        Returns: (n, tokens, c) float32, what the next stage asks for, and the sizes if there are some; or (n, dim) unit vectors.
        """
        vit, network = self.vit, network_of(self.vit.dense)
        clues: Clues | None = None
        if self.first is None or answer is None:
            tokens, start, proportional = Tokens(network.embedded(self.model.pixels(x)), network.prefix), 0, False
        else:
            step = host_stages(vit)[self.first]
            tokens, start, proportional = Tokens(x, network.prefix, size), self.first, step.proportional
            tokens = step.applied(tokens, answer, has_class=network.has_class).tokens
            if step.place == "between":
                tokens, start = vit.mlp(start, tokens, network), start + 1
        for number in range(start, len(network.blocks()) if self.last is None else self.last):
            tokens, clues = vit.block(number, tokens, network, proportional)
        if self.last is None:
            return self.model.unit(_behind(self.model.tower, network.pooled(tokens)))
        step = host_stages(vit)[self.last]
        if step.place == "between":
            tokens, clues = vit.attention(self.last, tokens, network, proportional)
        asked = step.asked(tokens, clues)
        return (tokens.x, asked) if tokens.size is None else (tokens.x, asked, tokens.size)

    def answered(self, asked: torch.Tensor) -> torch.Tensor:
        """What the stage after the segment answers."""
        assert self.last is not None
        return host_stages(self.vit)[self.last].answered(asked, has_class=network_of(self.vit.dense).has_class)


def host_stages(vit: ReducedVit) -> dict[int, HostReducer]:
    """block -> the stage in it that is done on the host and reduces something, in order."""
    every = {int(number): step for number, step in vit.steps.items()}
    return {
        number: step for number, step in sorted(every.items()) if isinstance(step, HostReducer) and step.keep < step.shape.before
    }


def segments(model: Normalised) -> list[Segment]:
    """The segments of a model, in order; empty if it need not be cut."""
    vit = reduced_vit(model.tower)
    stages = [] if vit is None else list(host_stages(vit))
    if vit is None or not stages:
        return []
    return [Segment(model, vit, first, last) for first, last in zip([None, *stages], [*stages, None])]


def reduced_vit(tower: nn.Module) -> ReducedVit | None:
    """The reduced network in a tower, which may be followed by a projection; None if it has none."""
    while isinstance(tower, nn.Sequential) and len(tower):
        tower = tower[0]
    return tower if isinstance(tower, ReducedVit) else None


def _behind(tower: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What the tower makes of the features of the network that it begins with."""
    if not isinstance(tower, nn.Sequential):
        return features
    features = _behind(tower[0], features)
    for part in tower[1:]:
        features = part(features)
    return features


def is_adaptive(tower: nn.Module) -> bool:
    """Whether how many tokens are left depends on the image, which no graph of fixed shapes has."""
    vit = reduced_vit(tower)
    return vit is not None and any(getattr(step, "pixels_decide", False) for step in vit.steps.values())


@cache
def code_digest() -> str:
    """Digest of the code of the reductions: what was converted by other code is converted anew."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
