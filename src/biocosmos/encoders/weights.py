"""Weights in files: read as data, and put into a model only where every tensor fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import nn

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.files import is_file

M = TypeVar("M", bound=nn.Module)
_ROOM, _SPARE = 4, 1 << 24
"""A model may have so many times the numbers of its file, which is then refused by the names that are missing."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises BiocosmosError for a file that is missing, cut or garbled."""
    try:
        if not is_file(path):
            raise OSError("it is missing, or no file")
        return load_file(path)
    except Exception as error:  # safetensors, torch and the file system each raise their own
        raise BiocosmosError(f"cannot read {path}: {first_line(error)}; restore the file, or train again") from error


def check_room(build: Callable[[], nn.Module], weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Build a model without memory first, so that a description that claims more weights than there are is refused before it
    takes them. Raises BiocosmosError; a model that cannot be built so is let pass."""
    try:
        with torch.device("meta"):
            wanted = sum(tensor.numel() for tensor in build().parameters())
    except (RuntimeError, NotImplementedError):  # its building reads values of its tensors
        return
    there = sum(tensor.numel() for tensor in weights.values())
    if wanted > _ROOM * there + _SPARE:
        raise BiocosmosError(
            f"{path} holds {there:,} numbers and the model that is described beside it {wanted:,}: restore both, or save it again"
        )


def filled(build: Callable[[], M], weights: Mapping[str, torch.Tensor], path: Path) -> M:
    """A model built and given its weights. Raises BiocosmosError as :func:`check_room` and :func:`fill` do."""
    check_room(build, weights, path)
    model = build()
    fill(model, weights, path)
    return model


def fill(model: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Give a model its weights in place, also one that was built on the device "meta", without memory.

    Raises BiocosmosError if a tensor is missing, of another shape, or does not belong to it.
    """
    wanted = model.state_dict()
    for name in (*wanted, *weights):
        if name not in weights:
            raise BiocosmosError(f"{path} does not fit its description: it lacks {name}; restore the file, or train again")
        if name not in wanted:
            raise BiocosmosError(f"{path} does not fit its description: {name} is not of it; restore the file, or train again")
        if wanted[name].shape != weights[name].shape:
            raise BiocosmosError(
                f"{path} does not fit its description: {name} is {tuple(weights[name].shape)}, "
                f"not {tuple(wanted[name].shape)}; restore the file, or train again"
            )
    typed = {name: weights[name].to(wanted[name].dtype) for name in wanted}
    model.load_state_dict(typed, assign=any(tensor.is_meta for tensor in wanted.values()))
