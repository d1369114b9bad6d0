"""ODIN: the largest softmax of an image that was nudged towards its own answer. It needs the model, for a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden
from biocosmos.identify.predictions import Predictions

TEMPERATURE, STEP = 1000.0, 0.0014
COLUMN = "odin"


def odin_scores(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    temperature: float = TEMPERATURE,
    step: float = STEP,
    deviation: Sequence[float] = (),
) -> Tensor:
    """-max_c softmax(z(x') / T), x' = x - step * sign(grad_x of -log max_c softmax(z(x) / T)): (n,) float32, higher more novel.

    Liang, Li, Srikant: Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks, ICLR 2018,
    arXiv:1706.02690, equations 1 and 2; T = 1000 and step = 0.0014 are its choice for the scale of images in [0, 1].

    logits: from images (n, 3, h, w) to class scores (n, C), the model in evaluation mode; images: normalised, float.
    deviation: per channel, what the preprocessing divided by; the step is divided by it, so that it is meant before normalising.
    """
    if temperature <= 0:
        raise BiocosmosError(f"ODIN needs a temperature above 0, not {temperature}")
    with torch.inference_mode(False), torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        scores = logits(x) / temperature
        surprise = -scores.log_softmax(dim=1).max(dim=1).values
        (gradient,) = torch.autograd.grad(surprise.sum(), x)
    direction = gradient.sign()
    if len(deviation):
        direction = direction / torch.tensor(list(deviation), dtype=direction.dtype, device=direction.device).view(1, -1, 1, 1)
    with torch.no_grad():
        return -(logits(images - step * direction) / temperature).softmax(dim=1).max(dim=1).values.float()


class Odin(Detector):
    """Reads the column ``odin`` of the predictions, which whoever has the model fills with :func:`odin_scores`."""

    name = "odin"
    needs_gradient = True
    says = "minus the largest softmax at a high temperature, after a step towards the answer; needs images and the model"

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        if predictions.columns is None or COLUMN not in predictions.columns.column_names:
            raise BiocosmosError("ODIN needs a gradient through the model, and these predictions have none: use another detector")
        return np.asarray(predictions.columns[COLUMN].to_numpy(), np.float64)
