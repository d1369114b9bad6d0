"""An encoder as a trunk with branches: maps of some of its stages, shallow to deep, and the features it gives in the end.

trunk = Trunk(load_towers("efficientnet-lite0"), taps=3)
early, middle, last = trunk(images)          # (n, 40, 12, 12), (n, 112, 6, 6), (n, 1280) at 96 x 96 pixels
front, back = trunk.frozen_prefix(4)         # back(front(images)) are the same three, for stages that are not trained
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.towers import Towers, trainable
from biocosmos.encoders.vit_prefix import is_vit, vit_parts
from biocosmos.errors import BiocosmosError

TOLERANCE = 1e-4
"""Largest relative difference between a model and its two parts; sums in another order give about 1e-6."""


class Trunk(nn.Module):
    """The image side of an encoder, giving the maps of some stages before its pooled features.

    Args:
        towers: the encoder; the weights stay its own, so that training the trunk trains it. ``state_dict()`` has the names of
            :func:`~biocosmos.encoders.towers.trainable`: ``with_weights(towers, trunk.state_dict())`` is the trained encoder.
        taps: how many tensors, the pooled features included; 1 gives these alone. Or the stages whose maps to give, by their
            number in ``trunk.stages``, the pooled features following.
        spatial_last: also give the deepest map, before the pooled features and not counted in ``taps``.

    Of a pyramid (CNN, Swin), the stages just before the deepest are taken: the shallowest ones see texture only, and are
    usually frozen. Of a plain vision transformer, blocks at even distances, their patch tokens laid out as a map.

    Attributes:
        reduction: of the encoder's tokens, None for all of them.
        channels: of each tap. tapped: names of the stages whose maps are given.
        stages, stage_channels, stage_pixels: name, channels and side of a cell (pixels of the image) of each stage that the
            model has, shallow to deep.

    Raises:
        BiocosmosError: a callable of the user's, or maps are asked for and this model has none.
    """

    def __init__(self, towers: Towers, taps: int | Sequence[int] = 3, *, spatial_last: bool = False) -> None:
        super().__init__()
        parts = dict(trainable(towers).named_children())
        self.image = parts["image"]
        self.projection = parts.get("projection")
        self.size, self.reduction = towers.preprocessing.size, towers.reduction
        stages = _stages(_timm_model(self.image))
        self.stages = [name for name, _ in stages]
        self.stage_channels = [int(row["num_chs"]) for _, row in stages]
        self.stage_pixels = [int(row["reduction"]) for _, row in stages]
        chosen = _spread(stages, taps - 1) if isinstance(taps, int) else _checked(taps, len(stages))
        if spatial_last:
            chosen = [i for i in chosen if i != len(stages) - 1] + [len(stages) - 1]
        if (len(chosen) and not stages) or (isinstance(taps, int) and taps > len(chosen) + 1 - spatial_last):
            raise BiocosmosError(
                f"this encoder has {len(stages)} stages that give feature maps, too few for what is asked: "
                "choose a timm model with maps, or a head that takes features alone (flat, marginalised, conditional, multitask)"
            )
        if len(chosen) and towers.reduction is not None:
            raise BiocosmosError(
                f"with fewer tokens ({towers.reduction}) the stages of this encoder give no feature maps: use it with all its "
                "tokens, or a head that takes features alone (flat, marginalised, conditional, multitask)"
            )
        self.tapped = [stages[i][0] for i in chosen]
        self._depths = [self.stage_channels[i] for i in chosen]
        self.channels = [tap.shape[1] for tap in self._probe(torch.zeros(1, 3, self.size, self.size))]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """images: (n, 3, size, size) float32, normalised. Returns: maps (n, c_i, h_i, w_i), shallow to deep, and (n, c)."""
        model = self.backbone
        with _outputs([model.get_submodule(name) for name in self.tapped] if model is not None else []) as found:
            features = self.image(images)
            if self.projection is not None:
                features = self.projection(features)
        maps = [as_map(found[i], depth, model) for i, depth in enumerate(self._depths)]
        return [*maps, features]

    @property
    def backbone(self) -> Any:
        """The timm model inside; None if there is none."""
        return _timm_model(self.image)

    def frozen_prefix(self, stages: int) -> tuple[nn.Module, nn.Module]:
        """The trunk in two parts, after the first ``stages`` groups of layers as ``freeze_stages`` counts them.

        Returns:
            (front, back): images -> activation (n, c, h, w), and activation -> the taps of this trunk. Both share its weights;
            frozen ones no longer ask for gradients. The front stays in evaluation mode: its batch statistics are those
            of the encoder, so that its activations can be kept.

        Raises:
            BiocosmosError: the model does not run its stages one after the other, or a tap lies inside the front.
        """
        model = self.backbone
        if model is None:
            raise BiocosmosError("only timm models are known to be a chain of stages: leave the frozen stages out of the cache")
        image = torch.randn(1, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))
        if is_vit(model):
            return self._vit_prefix(model, image, stages)
        names = _frozen_names(model, stages)
        with _evaluating(self), torch.no_grad():
            calls = _calls(model, names, image)
            inside = [name for name in self.tapped if any(_within(name, unit) for unit, _ in calls) and name != calls[-1][0]]
            if inside:
                raise BiocosmosError(
                    f"the map of '{inside[0]}' is given to the head, and lies inside the {stages} frozen stages: freeze fewer"
                )
            front = Front([module for _, module in calls])
            back = copy.copy(self)
            back._modules = dict(self._modules)
            back.image = _without(self.image, [module for _, module in calls])
            self._check_chain(front, back, image, stages)
        for own, weights in model.named_parameters():
            weights.requires_grad_(weights.requires_grad and own not in names)
        return front.eval(), back

    def _vit_prefix(self, model: Any, image: torch.Tensor, stages: int) -> tuple[nn.Module, nn.Module]:
        if self.tapped:
            raise BiocosmosError("a vision transformer's frozen stages are kept for heads that take features alone: choose flat")
        front, back = vit_parts(self.image, model, self.projection, stages)
        with _evaluating(self), torch.no_grad():
            self._check_chain(front, back, image, stages)
        return front, back

    def _check_chain(self, front: nn.Module, back: nn.Module, image: torch.Tensor, stages: int) -> None:
        reason = f"this model cannot be cut after {stages} stages: it is not a chain of layers there"
        try:
            ours, theirs = back(front(image)), self(image)
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise BiocosmosError(f"{reason} ({' '.join(str(error).split())[:120]})") from error
        for a, b in zip(ours, theirs, strict=True):
            if a.shape != b.shape or float((a - b).abs().max()) > TOLERANCE * float(b.abs().max()):
                raise BiocosmosError(reason)

    def _probe(self, image: torch.Tensor) -> list[torch.Tensor]:
        weights = next(self.parameters(), image)
        with _evaluating(self), torch.no_grad():
            return self(image.to(weights.device, weights.dtype))  # type: ignore[no-any-return]


class Front(nn.Module):
    """The first stages of a model, always in evaluation mode. units: run one after the other."""

    def __init__(self, units: Sequence[nn.Module]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (n, 3, size, size) float32, normalised. Returns: (n, c, h, w)."""
        for unit in self.units:
            images = unit(images)
        return images

    def train(self, mode: bool = True) -> Front:
        """Stays in evaluation mode."""
        return super().train(False)


# ---------------------------------------------------------------------- what timm says of a model


def _timm_model(image: nn.Module) -> Any:
    """The timm model in an image tower; None if there is none."""
    return next((part for part in image.modules() if hasattr(part, "group_matcher") and hasattr(part, "feature_info")), None)


def _stages(model: Any) -> list[tuple[str, dict[str, Any]]]:
    """(name, what timm says) of the modules whose outputs are feature maps, shallow to deep."""
    if model is None:
        return []
    listed = model.feature_info if isinstance(model.feature_info, list) else model.feature_info.get_dicts()
    there = {name for name, _ in model.named_modules()}
    return [(row["module"], row) for row in listed if row["module"] in there]


def _spread(stages: list[tuple[str, dict[str, Any]]], count: int) -> list[int]:
    """Which stages to give, when only their number is asked for."""
    last = len(stages) - 1
    if count < 1 or last < 1:
        return []
    if stages[0][1]["reduction"] == stages[-1][1]["reduction"]:  # no pyramid
        return sorted({round((i + 1) * (last + 1) / (count + 1)) - 1 for i in range(count)} - {-1})
    return list(range(max(last - count, 0), last))


def _checked(stages: Sequence[int], count: int) -> list[int]:
    if wrong := [i for i in stages if not 0 <= i < count]:
        raise BiocosmosError(
            f"there is no stage {wrong[0]}: this encoder has the stages 0 to {count - 1}"
            if count
            else "this encoder has no feature maps"
        )
    return sorted(set(stages))


def as_map(found: torch.Tensor, channels: int, model: Any) -> torch.Tensor:
    """What a stage of a timm model gave as (n, channels, h, w), be it that, (n, h, w, channels) or (n, tokens, channels).

    Raises BiocosmosError for tokens of which the model does not say how they lie.
    """
    if found.ndim == 4:
        if getattr(model, "output_fmt", "NCHW") == "NHWC" or (found.shape[1] != channels and found.shape[-1] == channels):
            return found.permute(0, 3, 1, 2)
        return found
    tokens = found[:, getattr(model, "num_prefix_tokens", 0) :]
    grid = tuple(getattr(getattr(model, "patch_embed", None), "grid_size", None) or ())
    side = math.isqrt(tokens.shape[1])
    if len(grid) != 2 or math.prod(grid) != tokens.shape[1]:
        grid = (side, side)
    if math.prod(grid) != tokens.shape[1]:
        raise BiocosmosError(f"{tokens.shape[1]} tokens of this encoder make no map: it does not say how its patches lie")
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)


def _frozen_names(model: Any, stages: int) -> set[str]:
    import timm.models  # here, because it takes seconds

    groups = timm.models.group_parameters(model, model.group_matcher(coarse=True))
    if not 0 < stages < len(groups):
        raise BiocosmosError(
            f"frozen stages must be 1 to {len(groups) - 1} for this model, not {stages}: it has {len(groups)} stages"
        )
    return {name for group in sorted(groups)[:stages] for name in groups[group]}


# ---------------------------------------------------------------------- taking a model apart


def _calls(model: nn.Module, frozen: set[str], image: torch.Tensor) -> list[tuple[str, nn.Module]]:
    """(name, module) of what runs, in order, up to the last module whose weights are all among ``frozen``."""
    units = dict(_units(model, "", frozen))
    order: list[str] = []
    hooks = [module.register_forward_hook(lambda *_, name=name: order.append(name)) for name, module in units.items()]
    try:
        model(image)
    finally:
        for hook in hooks:
            hook.remove()
    mine = [
        i
        for i, name in enumerate(order)
        if any(True for _ in units[name].parameters()) and _all_frozen(name, units[name], frozen)
    ]
    if not mine:
        raise BiocosmosError("this model cannot be cut: its frozen weights are not in modules of their own")
    return [(name, units[name]) for name in order[: mine[-1] + 1]]


def _units(module: nn.Module, name: str, frozen: set[str]) -> Iterator[tuple[str, nn.Module]]:
    """The largest modules that are frozen whole, or trained whole."""
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}" if name else child_name
        weights = [f"{full}.{own}" for own, _ in child.named_parameters()]
        mixed = any(own in frozen for own in weights) and not all(own in frozen for own in weights)
        if mixed or isinstance(child, nn.ModuleList):
            yield from _units(child, full, frozen)
        else:
            yield full, child


def _all_frozen(name: str, module: nn.Module, frozen: set[str]) -> bool:
    return all(f"{name}.{own}" in frozen for own, _ in module.named_parameters())


def _within(name: str, unit: str) -> bool:
    return name == unit or name.startswith(f"{unit}.") or unit.startswith(f"{name}.")


def _without(module: nn.Module, gone: list[nn.Module]) -> nn.Module:
    """A copy that shares all its weights with ``module``; the modules ``gone`` are passed through."""
    if any(module is one for one in gone):
        return nn.Identity()
    if not any(part is one for part in module.modules() for one in gone):
        return module
    copied = copy.copy(module)
    copied._modules = {name: child if child is None else _without(child, gone) for name, child in module._modules.items()}
    return copied


# ---------------------------------------------------------------------- looking inside while it runs


@contextmanager
def _outputs(modules: Sequence[nn.Module]) -> Iterator[dict[int, torch.Tensor]]:
    """What each module gives while the context is open, by its number."""
    found: dict[int, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _given, out, i=i: found.__setitem__(i, out)) for i, module in enumerate(modules)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the context; afterwards every part is as it was."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
