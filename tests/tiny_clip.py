"""A model of images and words so small that a test can make it, with random weights, in the layout of open_clip's downloads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

TINY_CLIP: dict[str, dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic", "resize_mode": "shortest"},
}


def save_tiny_clip(folder: Path, *, seed: int = 0, config: dict[str, dict[str, Any]] = TINY_CLIP) -> Path:
    """Write it into ``folder``, which is made if it is not there."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(**copy.deepcopy(config["model_cfg"]))  # it changes what it is given
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
