"""What a loader hands over: the plain torch modules of a model, its preprocessing and the digest of its weights."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.errors import BiocosmosError
from biocosmos.nn.projection import Projection

DIGEST_LENGTH = 16
"""Hex digits of a weights digest that are kept: 64 bits tell any two checkpoints apart."""


@dataclass(frozen=True)
class Base:
    """The encoder that a frozen projection stands on: its name and the digest of its weights."""

    name: str
    digest: str


@dataclass(frozen=True)
class Towers:
    """A loaded model on the CPU in float32.

    Attributes:
        image: (n, 3, size, size) float32, normalised -> (n, dim) features, not yet unit vectors.
        preprocessing: from the model's own configuration.
        digest: of the weights as they were loaded, see :func:`weights_digest`; training them in place does not change it.
        text: (n, context) int64 tokens -> (n, dim) features; None without a text tower.
        tokenize: texts -> (n, context) int64 tokens.
        takes_bytes: ``image`` takes uint8 and normalises by itself (a callable of the user's).
        source: where the weights came from, for people.
        architecture: what is needed to build ``image`` again. ``kind`` is "timm" (with ``name``, ``arguments``), "open_clip"
            (with ``model``, its configuration) or "none" (a callable of the user's, or a tower with a projection inside).
        projection: applied to what ``image`` gives, if there is one.
        base: set if ``image`` is another encoder that was left as it is while ``projection`` was trained.
        started_from: digest of the encoder that these weights were trained from; None if they are as ``digest`` says.
        facts: what the folder of a trained encoder says about it, see :mod:`biocosmos.encoders.saving`.
        dim: length of the features, where it is known without running the model.
        reduction: of the tokens, where ``image`` is a :class:`~biocosmos.encoders.reduction.network.ReducedVit`.
    """

    image: nn.Module
    preprocessing: Preprocessing
    digest: str
    text: nn.Module | None = None
    tokenize: Callable[[list[str]], torch.Tensor] | None = None
    takes_bytes: bool = False
    source: str = ""
    architecture: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})
    projection: Projection | None = None
    base: Base | None = None
    started_from: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    dim: int | None = None
    reduction: Reduction | None = None

    @property
    def whole(self) -> nn.Module:
        """Images to features, the projection included: (n, 3, size, size) -> (n, dim), not yet unit vectors."""
        return self.image if self.projection is None else nn.Sequential(self.image, self.projection)

    def features(self) -> int:
        """Length of the features of :attr:`whole`, by running it once on a blank image.

        Raises:
            BiocosmosError: the model cannot take images of the size its preprocessing makes.
        """
        size, whole = self.preprocessing.size, self.whole
        blank = torch.zeros(1, 3, size, size, dtype=torch.uint8 if self.takes_bytes else torch.float32)
        weights = next(whole.parameters(), blank)
        training = [module for module in whole.modules() if module.training]
        try:
            with torch.no_grad():
                return int(whole.eval()(blank.to(weights.device, blank.dtype if self.takes_bytes else weights.dtype)).shape[1])
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BiocosmosError(
                f"the encoder cannot take images of {size} x {size} pixels ({reason}): give another size"
            ) from error
        finally:
            for module in training:
                module.training = True


def with_projection(towers: Towers, projection: Projection, *, frozen: str | None = None) -> Towers:
    """An encoder with a projection on top.

    The texts of a text tower do not live in the projected space: the result has none.

    Args:
        projection: takes the encoder's features.
        frozen: what the encoder is loaded by, if it stays as it is and only the projection is trained and saved.

    Raises:
        BiocosmosError: the encoder has a projection already and is not frozen.
    """
    if towers.projection is not None and frozen is None:
        raise BiocosmosError("this encoder has a projection already: train that one, or put the new one on it frozen (--freeze)")
    made = replace(
        towers,
        image=towers.whole,
        architecture=towers.architecture if towers.projection is None else {"kind": "none"},
        text=None,
        projection=projection,
        digest=projected_digest(towers.digest, projection),
        base=None if frozen is None else Base(frozen, towers.digest),
        started_from=towers.started_from or towers.digest,
        facts={},
        dim=None,
        reduction=None if frozen is not None else towers.reduction,  # a frozen base says its own by its name
    )
    return made if made.reduction is None else replace(made, digest=current_digest(made))


def trainable(towers: Towers) -> nn.Sequential:
    """The part of an encoder that training changes, in train mode; the weights are the encoder's own, changed in place.

    Returns:
        a module (n, 3, size, size) float32, normalised -> (n, dim) float features, with children ``image`` and, if the
        encoder has one, ``projection``. A text tower is not in it and stays as it is. With a frozen base, its parameters
        do not ask for gradients and its batch statistics do not move.

    Raises:
        BiocosmosError: a callable of the user's, which takes bytes.
    """
    if towers.takes_bytes:
        raise BiocosmosError("a callable of your own cannot be trained here: freeze it and train a projection (--freeze)")
    parts = OrderedDict[str, nn.Module](image=getattr(towers.image, "trained_part", towers.image))
    if towers.projection is not None:
        parts["projection"] = towers.projection
    module = nn.Sequential(parts).train()
    if towers.base is not None:
        module.image = Frozen(parts["image"])
    return module


class Frozen(nn.Module):
    """A module that gives its features without gradients, and stays in evaluation mode whatever it is told."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        return self

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """batch: (n, 3, size, size). Returns: (n, dim)."""
        with torch.no_grad():
            return self.module(batch)  # type: ignore[no-any-return]


def with_weights(towers: Towers, state: Mapping[str, torch.Tensor]) -> Towers:
    """A copy of the encoder with the weights of a trained module: the way back from :func:`trainable`.

    Args:
        towers: as given to :func:`trainable`; it stays as it is.
        state: ``state_dict()`` of that module (of an average of it, of a checkpoint), on any device.

    Raises:
        BiocosmosError: the names or shapes are not those of this encoder.
    """
    image, text, projection = copy.deepcopy((towers.image, towers.text, towers.projection))  # at once: they share modules
    copied = replace(towers, image=image, text=text, projection=projection)
    try:
        trainable(copied).load_state_dict(dict(state))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BiocosmosError(f"these weights are of another model than the encoder: {reason}") from error
    copied.whole.eval()
    return replace(copied, digest=current_digest(copied), started_from=towers.started_from or towers.digest, facts={})


def current_digest(towers: Towers) -> str:
    """Digest of the weights as they are now, after training; for an encoder that was trained before, that of its folder."""
    digest = towers.base.digest if towers.base is not None else weights_digest(plain_state(whole_model(towers)))
    if towers.projection is not None:
        digest = projected_digest(digest, towers.projection)
    return digest if towers.reduction is None else towers.image.digest_over(digest)  # type: ignore[operator]


def whole_model(towers: Towers) -> nn.Module:
    """The module whose weights are saved: of an open_clip encoder that is both towers."""
    model: Any = towers.image if towers.reduction is None else towers.image.dense
    whole: nn.Module = model.model if towers.architecture["kind"] == "open_clip" else model
    return whole


def projected_digest(digest: str, projection: Projection) -> str:
    """Digest of an encoder with a projection: both their weights, and how the projection computes."""
    settings = json.dumps(projection.settings(), sort_keys=True)
    return hashlib.sha256(f"{digest} {weights_digest(plain_state(projection))} {settings}".encode()).hexdigest()[:DIGEST_LENGTH]


def plain_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's weights on the CPU in float32, contiguous, none sharing memory with another: as safetensors takes them."""
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).contiguous().clone() for name, tensor in state.items()
    }


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the name, type, shape and bytes of every tensor in order, first :data:`DIGEST_LENGTH` hex digits."""
    total = hashlib.sha256()
    for name, tensor in state.items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:DIGEST_LENGTH]
