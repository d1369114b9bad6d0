"""Vision transformers of every kind that tokens are taken out of, too small to see anything: 64 patches, 4 blocks."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

SIZE, PATCH, DEPTH, WIDTH, HEADS = 64, 8, 4, 48, 3
PATCHES = (SIZE // PATCH) ** 2
_SHAPE = {"img_size": SIZE, "patch_size": PATCH, "depth": DEPTH, "embed_dim": WIDTH, "num_heads": HEADS}
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "class token": ("vit_tiny_patch16_224", {}),
    "registers": ("vit_tiny_patch16_224", {"reg_tokens": 4}),
    "distillation token": ("deit_tiny_distilled_patch16_224", {}),
    "layer scale, normed queries": ("vit_tiny_patch16_224", {"init_values": 0.1, "qk_norm": True}),
    "no class token, mean": ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
    "no class token, pooled by attention": ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "map"}),
    "class token, mean": ("vit_tiny_patch16_224", {"global_pool": "avg"}),
}
KINDS = (*TIMM, "open_clip", "open_clip, mean")
"""Every kind of network."""


@cache
def _small_vit(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind in TIMM:
        import timm

        name, arguments = TIMM[kind]
        return timm.create_model(name, num_classes=0, **_SHAPE, **arguments).eval()
    import open_clip

    vision = {"layers": DEPTH, "width": WIDTH, "head_width": WIDTH // HEADS, "patch_size": PATCH, "image_size": SIZE}
    vision |= {"pool_type": "avg"} if kind.endswith("mean") else {}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    return open_clip.CLIP(32, vision, text).eval().visual


def small_vit(kind: str = "class token") -> nn.Module:
    """A network of one of :data:`KINDS`, always the same weights, in evaluation mode: (n, 3, 64, 64) -> (n, dim)."""
    import copy

    return copy.deepcopy(_small_vit(kind))


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 3, 64, 64) smooth random pictures."""
    coarse = torch.randn(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic")


def write_vit(folder: Path, kind: str = "class token") -> Path:
    """A folder that ``load_encoder`` opens: a timm model of :data:`TIMM`."""
    name, arguments = TIMM[kind]
    folder.mkdir(parents=True, exist_ok=True)
    prepared = {
        "input_size": [3, SIZE, SIZE],
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_mode": "border",
        "crop_pct": 1.0,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    config = {"architecture": name, "num_classes": 0, "model_args": {**_SHAPE, **arguments}, "pretrained_cfg": prepared}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(_small_vit(kind).state_dict(), folder / "model.safetensors")
    return folder
