"""LoRA: a whole encoder is tuned by a few thousand numbers, and is an ordinary encoder again when they are added to its weights.

    W' = W + alpha / r * B A        A: (r, inputs), random; B: (outputs, r), zero at the start

Hu et al., LoRA, 2021 (arXiv:2106.09685). By torch's parametrisations, which compute W' in each pass: one mechanism for linear
layers, slices of a fused one, the weights of torch's own attention, and convolutions of one pixel. W' itself is dense, so that
what is saved is the memory and the state of the optimiser, not time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from biocosmos.errors import BiocosmosError

RANK = 4
"""Of CLIBD (Gong et al., ICLR 2025, arXiv:2405.17537), on queries and values of every block."""
_FUSED = 3
"""Query, key and value lie in one weight, in this order."""
_QUERY, _KEY, _VALUE = range(_FUSED)
_FUSED_NAMES = ("qkv", "in_proj", "Wqkv")
_SEPARATE_NAMES = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "to_q", "to_v", "q", "v")


class LowRank(nn.Module):
    """A weight with a change of low rank: (outputs, inputs, ...) -> the same shape.

    weight: that is changed, of which everything after the first dimension is inputs; rank: r; alpha: the change is scaled by
    alpha / r; parts: equal parts of the outputs that the weight holds; chosen: those that are changed.
    """

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float, parts: int = 1, chosen: tuple[int, ...] = (0,)) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0] // parts, weight[0].numel()
        self.scale, self.parts, self.chosen = alpha / rank, parts, chosen
        self.order: tuple[str, ...] = ()
        self.down = nn.ParameterList(weight.new_empty(rank, inputs) for _ in chosen)
        self.up = nn.ParameterList(weight.new_zeros(outputs, rank) for _ in chosen)
        for down in self.down:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """weight: as it was. Returns: as it acts."""
        changes = [self.scale * up @ down for up, down in zip(self.up, self.down)]
        still = changes[0].new_zeros(changes[0].shape)
        whole = [changes[self.chosen.index(part)] if part in self.chosen else still for part in range(self.parts)]
        return weight + torch.cat(whole).view(weight.shape).to(weight.dtype)


@dataclass(frozen=True)
class _Place:
    """A weight to be changed: of ``module``, called ``weight``, the ``chosen`` of its ``parts``."""

    module: nn.Module
    weight: str = "weight"
    parts: int = 1
    chosen: tuple[int, ...] = (0,)


def add_low_rank(model: nn.Module, *, rank: int = RANK, alpha: float | None = None, what: str = "this encoder") -> int:
    """Leave every weight of ``model`` as it is, and lay changes of low rank on some, which alone are trained; in place.

    With attention they lie on queries and values of every block, as in CLIBD. Without it, in a convolutional network, on
    every convolution of one pixel, which is a linear layer over channels, and on linear layers; convolutions over a
    neighbourhood, norms and biases stay.

    Args:
        rank: r; where a layer has fewer inputs or outputs, that many.
        alpha: default ``rank``, a scale of 1, as in CLIBD's code.
        what: the model's name, for the error.

    Returns:
        how many weights have a change.

    Raises:
        BiocosmosError: nothing in the model can have one; changes lie on it already.
    """
    if has_low_rank(model):
        raise BiocosmosError(f"{what} has changes of low rank already: merge them first")
    places = list(_attention(model)) or list(_pointwise(model))
    if not places:
        raise BiocosmosError(
            f"{what} has no attention, no linear layer and no 1x1 convolution, so nothing that LoRA changes: tune it in full "
            "(--tune full), or train a head on its vectors (--tune heads)"
        )
    model.requires_grad_(False)
    orders = {id(place.module): tuple(place.module._parameters) for place in places}
    for place in places:
        weight = getattr(place.module, place.weight)
        of = min(rank, weight.shape[0] // place.parts, weight[0].numel())
        change = LowRank(weight, of, of if alpha is None else alpha * of / rank, place.parts, place.chosen)
        change.order = orders[id(place.module)]
        parametrize.register_parametrization(place.module, place.weight, change)
    return len(places)


def merge_low_rank(model: nn.Module) -> nn.Module:
    """Add every change to its weight and take it away, in place: the model computes as before, and is an ordinary one again."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name, changes in list(module.parametrizations.items()):  # type: ignore[union-attr, operator]
                change = next((each for each in changes if isinstance(each, LowRank)), None)
                if change is not None:
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
                    _put_in_order(module, change.order)
    return model


def _put_in_order(module: nn.Module, order: tuple[str, ...]) -> None:
    """Its weights in the order they had: digests of an encoder go by it, and a weight that was changed comes back last."""
    weights = {name: module._parameters[name] for name in order if name in module._parameters}
    module._parameters.clear()
    module._parameters.update(weights)


def has_low_rank(model: nn.Module) -> bool:
    """Whether changes of low rank lie on the model."""
    return any(isinstance(module, LowRank) for module in model.modules())


def _attention(model: nn.Module) -> Iterator[_Place]:
    for name, module in model.named_modules():
        leaf = name.rpartition(".")[2]
        if isinstance(module, nn.MultiheadAttention):
            if module.in_proj_weight is not None:
                yield _Place(module, "in_proj_weight", _FUSED, (_QUERY, _VALUE))
            else:
                yield from (_Place(module, weight) for weight in ("q_proj_weight", "v_proj_weight"))
        elif isinstance(module, nn.Linear):
            if leaf in _FUSED_NAMES and module.out_features % _FUSED == 0:
                yield _Place(module, parts=_FUSED, chosen=(_QUERY, _VALUE))
            elif leaf in _SEPARATE_NAMES:
                yield _Place(module)


def _pointwise(model: nn.Module) -> Iterator[_Place]:
    for module in model.modules():
        pixel = isinstance(module, nn.Conv2d) and set(module.kernel_size) == {1} and module.groups == 1
        if pixel or type(module) is nn.Linear:
            yield _Place(module)
