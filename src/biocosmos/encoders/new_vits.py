"""Vision transformers with random weights, to be trained: ``new:vit_tiny_patch8_96``, the same ones every time.

new:vit_{tiny,small,base}_patch{P}_{SIZE}          192, 384 or 768 numbers a token, patches of P pixels, images of SIZE pixels
new:vit_{tiny,small,base}_patch{P}_{SIZE}.reg4     with four registers (Darcet et al., ICLR 2024, arXiv:2309.16588)
"""

from __future__ import annotations

import re
from typing import Any

import timm
import torch

from biocosmos.encoders.preprocess import MOST_PIXELS, Preprocessing
from biocosmos.encoders.registry import UNTRAINED
from biocosmos.encoders.towers import Towers, plain_state, weights_digest
from biocosmos.errors import BiocosmosError

NAME = re.compile(r"vit_(tiny|small|base)_patch(\d{1,4})_(\d{1,4})(?:\.reg(\d{1,2}))?")
SEED = 0
_MOST_PATCHES = 1 << 14
_GREY = (0.5, 0.5, 0.5)


def new_vit(name: str) -> Towers:
    """An untrained vision transformer of timm, by the part of its name after "new:".

    Its weights are drawn by the seed :data:`SEED`; images are padded to a square on their own background, since specimens are
    rarely square, and brought to -1..1. Raises BiocosmosError for another name, and a size that is no multiple of the patch.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise BiocosmosError(
            f"there is no new model '{name[:80]}': write new:vit_tiny_patch8_96, of tiny, small or base, "
            "with the pixels of a patch and of an image"
        )
    width, patch, size, registers = found[1], int(found[2]), int(found[3]), int(found[4] or 0)
    if not 0 < patch <= size <= MOST_PIXELS or size % patch or (size // patch) ** 2 > _MOST_PATCHES:
        raise BiocosmosError(f"new:{name}: images of {size} pixels are not cut into patches of {patch}: choose a multiple")
    architecture = f"vit_{width}_patch16_224"
    arguments: dict[str, Any] = {"img_size": size, "patch_size": patch, **({"reg_tokens": registers} if registers else {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **arguments)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, size, size), "mean": _GREY, "std": _GREY, "num_classes": 0}
    return Towers(
        model.eval(),
        Preprocessing(size=size, resize="pad", mean=_GREY, std=_GREY),
        weights_digest(plain_state(model)),
        source=f"{UNTRAINED}, seed {SEED}",
        architecture={"kind": "timm", "name": architecture, "arguments": arguments},
    )
