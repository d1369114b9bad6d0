"""An encoder of your own: any callable from a batch of pixels to vectors."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import DIGEST_LENGTH, Towers, weights_digest
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.plugins import PlugIn

DEFAULT_SIZE = 224


class _Called(nn.Module):
    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call  # registered as a submodule if it is one, so that it moves to the device

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        try:
            out = self.call(batch)
        except RuntimeError as error:
            if not isinstance(self.call, nn.Module) or not any(kind in str(error).lower() for kind in ("byte", "unsigned char")):
                raise
            raise BiocosmosError(
                f"the module {_name(self.call)} does not take pixels as they come, (n, 3, size, size) uint8: "
                f"wrap it in one that begins with batch.float() / 255 and its normalisation ({first_line(error)})"
            ) from error
        vectors = torch.as_tensor(out)
        if vectors.ndim != 2 or len(vectors) != len(batch):
            raise BiocosmosError(f"the custom encoder returned {tuple(vectors.shape)} for {len(batch)} images: expected (n, dim)")
        return vectors


def load_callable(call: Callable[..., Any]) -> Towers:
    """A callable: (n, 3, size, size) uint8 tensor -> (n, dim) tensor or array.

    Attributes that are read if it has them: ``preprocessing`` (a :class:`Preprocessing`), or ``size`` alone; ``digest``, which
    must change when the vectors do. Without one the digest is that of its weights (a torch module) or of its source text.
    """
    preprocessing = getattr(call, "preprocessing", None)
    if preprocessing is None:
        preprocessing = Preprocessing(size=int(getattr(call, "size", DEFAULT_SIZE)), resize="pad")
    return Towers(_Called(call).eval(), preprocessing, _digest(call), takes_bytes=True, source=_name(call))


def import_callable(place: str) -> Callable[..., Any]:
    """ "package.module:name" -> what it names; a class is called without arguments first."""
    module, _, name = place.partition(":")
    if not module or not name:
        raise BiocosmosError(f"'python:{place}' is not of the form python:package.module:name")
    try:
        found = getattr(importlib.import_module(module), name)
        if inspect.isclass(found):
            found = found()
    except Exception as error:  # the user's code may raise anything
        raise BiocosmosError(f"cannot import 'python:{place}': {type(error).__name__}: {error}") from error
    if not callable(found):
        raise BiocosmosError(f"'python:{place}' is not callable: it is a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def load_added(plug_in: PlugIn, rest: str) -> Towers:
    """The encoder of an installed package that was asked for as "NAME" or "NAME:rest".

    The entry point names what makes it, a class or a function: called with ``rest`` if there is one, else without arguments, it
    gives a callable as :func:`load_callable` takes it, or whole :class:`Towers` (for text, or number types of its own).
    """
    make = plug_in.load()
    try:
        found = make(rest) if rest else make()
    except BiocosmosError:
        raise
    except Exception as error:  # another's code may raise anything
        raise plug_in.broken(f"{type(error).__name__}: {first_line(error)}") from error
    if isinstance(found, Towers):
        return found
    if not callable(found):
        raise plug_in.broken(f"it makes a {type(found).__name__}, neither callable nor Towers")
    return load_callable(found)


def callable_name(call: Callable[..., Any]) -> str:
    """The name its column gets when the object itself is given: its ``name``, or where it is defined."""
    return str(getattr(call, "name", None) or f"python:{_name(call)}")


def _name(call: Callable[..., Any]) -> str:
    thing = call if hasattr(call, "__qualname__") else type(call)
    return f"{thing.__module__}:{thing.__qualname__}"


def _digest(call: Callable[..., Any]) -> str:
    given = getattr(call, "digest", None)
    if isinstance(given, str):
        return given
    if isinstance(call, nn.Module) and call.state_dict():
        return weights_digest(call.state_dict())
    try:
        text = inspect.getsource(call if hasattr(call, "__qualname__") else type(call))
    except (OSError, TypeError):
        raise BiocosmosError(f"give {_name(call)} an attribute 'digest' (a text that changes when its vectors do)") from None
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
