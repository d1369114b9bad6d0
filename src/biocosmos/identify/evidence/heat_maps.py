"""Where in an image a head's answer comes from: LayerCAM or Grad-CAM for networks with feature maps, roll-out for plain ViTs.

Measured on 32 PlanktonSet images (frozen efficientnet-lite0, 224 pixels; p of the answer 0.78): with the hottest 15 % of the
pixels painted over in the background colour it is 0.05 for LayerCAM on cells of 16 pixels, 0.33 for Grad-CAM on the last map
or on that one; with all others painted over, 0.35, 0.25 and 0.20. So LayerCAM is the default
(benchmarks/bench_heat_maps.py).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from biocosmos.encoders.feature_maps import Trunk, as_map
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.errors import BiocosmosError
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import TrainedHead, torch_tree
from biocosmos.identify.namers.linear import Linear
from biocosmos.nn.heads import HeadOutput
from biocosmos.nn.tree import Tree

LAYER_CAM, GRAD_CAM, ROLL_OUT = "LayerCAM", "Grad-CAM", "attention roll-out"
CELL = 16
"""LayerCAM looks at the deepest map whose cells are at most this many pixels wide."""
LEAST_CELLS = 6
"""Grad-CAM looks at the deepest map with this many cells a side: that of 3 x 3 which 96 pixels leave in the end shows nothing."""
BLOCK = 32
_COOL, _HOT = np.array([255.0, 214.0, 10.0]), np.array([214.0, 40.0, 24.0])
_COVER = 0.62

Float32 = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class HeatMaps:
    """maps: (n, size, size) float32 in 0..1, 1 at the hottest place of each image, 0 everywhere where nothing speaks for the
    answer; method: :data:`LAYER_CAM`, :data:`GRAD_CAM` or :data:`ROLL_OUT`."""

    maps: Float32
    method: str


class HeatMapper:
    """Heat maps of a trained head, or of the linear namer of a collection.

    Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391): map = ReLU(sum_k a_k A_k) where A_k is the k-th channel of a feature
    map and a_k the mean over its positions of the gradient G_k of the answer's score, here the logarithm of the sum of exp(score)
    of the classes at or under the answered taxon. LayerCAM (Jiang et al., IEEE TIP 2021): map = ReLU(sum_k ReLU(G_k) A_k), place
    by place, so that finer maps can be used. Both show what speaks for that taxon.

    Attention roll-out (Abnar & Zuidema, ACL 2020, arXiv 2005.00928): the product over the blocks of (A + I) / 2, A being the
    attention averaged over the heads; the row of the class token, or the mean row without one. It shows what the model looked
    at, whatever it answered. For plain vision transformers; a Swin has maps.

    A namer of stored vectors is given the encoder of these vectors, which must be on this machine.

    Args:
        head: a trained head, or a linear namer.
        method: of these three; by default roll-out where the model is a plain vision transformer, LayerCAM elsewhere.

    Raises:
        BiocosmosError: that encoder is not here or has other weights, or the backbone has not what the method needs.
    """

    def __init__(self, head: TrainedHead | Linear, method: str | None = None) -> None:
        if method not in (None, LAYER_CAM, GRAD_CAM, ROLL_OUT):
            raise BiocosmosError(f"no heat maps by '{method}': choose {LAYER_CAM}, {GRAD_CAM} or {ROLL_OUT}")
        if isinstance(head, Linear):
            self._model, self.preprocessing = _of_linear(head)
            self._device = torch.device("cpu")
        else:
            self._model = head.model if head.model.trunk is not None else _on_vectors(head)
            self.preprocessing, self._device = head.preprocessing, head.device
        self._trunk = self._model.trunk
        if self._model.trunk is not None and self._model.trunk.reduction is not None:
            raise BiocosmosError(
                f"with fewer tokens ({self._model.trunk.reduction}) the patches are not followed through the network: ask the "
                "encoder with all its tokens for a heat map"
            )
        self._size = self.preprocessing.size
        self._under: torch.Tensor = self._model.head.tree.under  # type: ignore[union-attr, assignment]
        assert self._trunk is not None
        self._backbone = self._trunk.backbone
        self._attentions = _attentions(self._backbone)
        self.method = method or (ROLL_OUT if self._attentions else LAYER_CAM)
        if not (self._attentions if self.method == ROLL_OUT else self._trunk.stages):
            needed = "attention over all patches" if self.method == ROLL_OUT else "feature maps"
            raise BiocosmosError(f"this encoder has no {needed}, so that {self.method} can make no heat map")
        self._sizes = bool(head.wants_sizes)
        self._layer, self._depth = self._chosen_layer()

    def __call__(self, images: torch.Tensor, nodes: npt.NDArray[np.int32], extra: torch.Tensor | None = None) -> HeatMaps:
        """images: (n, 3, size, size) uint8, prepared; nodes: (n,) the taxon of each that is asked about, of the head's tree;
        extra: (n, 2) sizes, for a head that takes them (by default, that of its input)."""
        if not len(images):
            return HeatMaps(np.empty((0, self._size, self._size), np.float32), self.method)
        parts = []
        for start in range(0, len(images), BLOCK):
            some = images[start : start + BLOCK].to(self._device)
            sizes = self._input_size(len(some)) if extra is None else extra[start : start + BLOCK].to(self._device)
            asked = torch.as_tensor(np.asarray(nodes[start : start + BLOCK], np.int64), device=self._device)
            small = self._rolled_out(some, sizes) if self.method == ROLL_OUT else self._cam(some, asked, sizes)
            heat = F.interpolate(small[:, None], (self._size, self._size), mode="bilinear", align_corners=False)[:, 0]
            parts.append((heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy())
        return HeatMaps(np.concatenate(parts).astype(np.float32), self.method)

    @torch.no_grad()
    def class_probabilities(self, images: torch.Tensor) -> Float32:
        """What the head says of prepared images, (n, 3, size, size) uint8 -> (n, C), to ask it again of changed ones."""
        parts = [self._model(some.to(self._device), self._input_size(len(some))).logits for some in torch.split(images, BLOCK)]
        return np.asarray(torch.cat(parts).softmax(1).cpu().numpy(), np.float32)

    def _cam(self, images: torch.Tensor, nodes: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
        """(n, h, w), at least 0."""
        kept: list[torch.Tensor] = []

        def begin_here(_module: nn.Module, _given: Any, out: torch.Tensor) -> torch.Tensor:
            kept.append(out.detach().requires_grad_(True))
            return kept[0].clone()  # the next layer may compute in place

        hook = self._backbone.get_submodule(self._layer).register_forward_hook(begin_here)
        try:
            with torch.enable_grad():
                logits = self._model(images, extra).logits
                under = self._under.to(logits.device).bool()[:, nodes].T
                score = logits.masked_fill(~under, -torch.inf).logsumexp(1)
                (slope,) = torch.autograd.grad(score.sum(), kept)
        finally:
            hook.remove()
        activation = as_map(kept[0].detach(), self._depth, self._backbone)
        weight = as_map(slope, self._depth, self._backbone)
        weight = weight.mean((2, 3), keepdim=True) if self.method == GRAD_CAM else F.relu(weight)
        return F.relu((weight * activation).sum(1))

    @torch.no_grad()
    def _rolled_out(self, images: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
        """(n, h, w), at least 0."""
        flow: torch.Tensor | None = None
        with _weights_of(self._attentions) as found:
            self._model(images, extra)
        for attention in found:
            mixed = attention.mean(1) + torch.eye(attention.shape[-1], device=attention.device)
            mixed = mixed / mixed.sum(-1, keepdim=True)
            flow = mixed if flow is None else mixed @ flow
        assert flow is not None
        prefix = int(getattr(self._backbone, "num_prefix_tokens", 0))
        row = flow[:, 0] if prefix and getattr(self._backbone, "global_pool", "token") == "token" else flow[:, prefix:].mean(1)
        return as_map(row[:, :, None], 1, self._backbone)[:, 0]

    def _input_size(self, count: int) -> torch.Tensor | None:
        return torch.full((count, 2), float(np.log(self._size)), device=self._device) if self._sizes else None

    def _chosen_layer(self) -> tuple[str, int]:
        """Name and channels of the deepest stage whose cells are small enough, of the first stage if none has such."""
        assert self._trunk is not None
        stages = list(zip(self._trunk.stages, self._trunk.stage_channels, self._trunk.stage_pixels, strict=True))
        widest = self._size / LEAST_CELLS if self.method == GRAD_CAM else CELL
        fine = [stage for stage in stages if stage[2] <= widest] or stages[:1]
        return fine[-1][:2] if fine else ("", 0)


def overlay(image: torch.Tensor, heat: Float32) -> bytes:
    """The image with its heat over it, from clear through yellow to red, as PNG bytes.

    image: (3, size, size) uint8; heat: (size, size) in 0..1.
    """
    from PIL import Image

    cover = heat[:, :, None].astype(np.float64)
    colour = _COOL + (_HOT - _COOL) * cover
    pixels = image.permute(1, 2, 0).numpy() * (1 - _COVER * cover) + colour * _COVER * cover
    out = io.BytesIO()
    Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


class _UnitFeatures(nn.Module):
    """A trunk whose features are unit vectors, as a collection stores them."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.backbone, self.stages = trunk.backbone, trunk.stages
        self.stage_channels, self.stage_pixels = trunk.stage_channels, trunk.stage_pixels
        self.reduction = trunk.reduction

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """images: (n, 3, size, size) float32, normalised. Returns: [(n, c)]."""
        taps: list[torch.Tensor] = self.trunk(images)
        return [F.normalize(tap) for tap in taps]


def _on_vectors(head: TrainedHead) -> HeadModel:
    of = f"the vectors the head in {head.folder} was trained on"
    trunk = _trunk(head.encoder, head.facts["encoder"]["trained"], head.folder, of)
    model = HeadModel(None, head.model.head, head.preprocessing)
    model.trunk = _UnitFeatures(trunk)  # type: ignore[assignment]
    return model.to(head.device).eval()


def _of_linear(namer: Linear) -> tuple[HeadModel, Preprocessing]:
    facts = encoder_of(namer.about())
    if not isinstance(facts.get("preprocessing"), dict) or not facts.get("digest"):
        raise BiocosmosError("no model is known that made these vectors, so that no image can be looked at through it")
    name = str(facts.get("name"))
    preprocessing = Preprocessing.from_dict(facts["preprocessing"])
    model = HeadModel(None, _LinearOnVectors(namer), preprocessing)
    trunk = _trunk(name, str(facts["digest"]), "the collection", "the vectors of the collection")
    model.trunk = _UnitFeatures(trunk)  # type: ignore[assignment]
    return model.eval(), preprocessing


def _trunk(encoder: str, digest: str, named_by: Path | str, of: str) -> Trunk:
    towers = load_towers(encoder, named_by=named_by)
    if towers.digest != digest:
        raise BiocosmosError(f"'{encoder}' has other weights here than {of}")
    trunk = Trunk(towers, taps=1).eval()
    for weights in trunk.parameters():
        weights.requires_grad_(False)
    return trunk


class _LinearOnVectors(nn.Module):
    """A linear namer as a head: its logits over its temperature."""

    def __init__(self, namer: Linear) -> None:
        super().__init__()
        self.tree: Tree = torch_tree(namer.taxonomy, namer.classes)
        stored = namer.arrays()
        scale = float(stored["scale"]) * namer.temperature
        weight = torch.from_numpy(np.asarray(stored["weight"], np.float32)) / scale
        bias = torch.from_numpy(np.asarray(stored["bias"], np.float32)) / namer.temperature
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias - weight @ torch.from_numpy(np.asarray(stored["mean"], np.float32)))

    def forward(self, taps: list[torch.Tensor], extra: torch.Tensor | None = None) -> HeadOutput:
        """taps: [(n, d)] unit vectors."""
        logits = F.linear(taps[-1], self.weight, self.bias)  # type: ignore[arg-type]
        return HeadOutput(self.tree.sum_up(logits.log_softmax(1)), logits, None, taps[-1])


def _attentions(backbone: Any) -> list[nn.Module]:
    """The attention of each block of a plain vision transformer, first to last."""
    blocks = getattr(backbone, "blocks", None)
    if blocks is None or not hasattr(backbone, "num_prefix_tokens"):
        return []
    found: list[nn.Module] = [block.attn for block in blocks if hasattr(block, "attn")]
    plain = all(hasattr(attention, "attn_drop") and hasattr(attention, "fused_attn") for attention in found)
    return found if plain and len(found) == len(blocks) else []


@contextmanager
def _weights_of(attentions: list[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """The attention (n, heads, tokens, tokens) of each block that runs in the context; its fused form would not show it."""
    found: list[torch.Tensor] = []
    fused = [module.fused_attn for module in attentions]
    hooks = [
        module.attn_drop.register_forward_pre_hook(lambda _m, given: found.append(given[0]))  # type: ignore[union-attr]
        for module in attentions
    ]
    for module in attentions:
        module.fused_attn = False  # type: ignore[assignment]
    try:
        yield found
    finally:
        for module, was, hook in zip(attentions, fused, hooks, strict=True):
            module.fused_attn = was
            hook.remove()
