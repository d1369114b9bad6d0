"""Whether a faster backend still gives the same vectors: measured on the user's own images, and refused if not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from biocosmos.encoders.encoder import Encoder
from biocosmos.errors import BiocosmosError

LEAST_MEAN_COSINE = {"float32": 0.999, "bfloat16": 0.999, "int8": 0.99}
"""Mean cosine with torch in float32 below which a backend is refused."""
SAMPLE = 32


@dataclass(frozen=True)
class Agreement:
    """Cosines between the encoder's vectors and torch's in float32, over ``images`` images."""

    images: int
    mean: float
    least: float

    def as_dict(self) -> dict[str, float]:
        """For the metadata of an embedding."""
        return {"images": self.images, "mean cosine": round(self.mean, 6), "least cosine": round(self.least, 6)}


def check_agreement(encoder: Encoder, images: torch.Tensor, *, refuse: bool = True) -> Agreement:
    """Measure, and refuse a backend that differs.

    Args:
        images: (n, 3, size, size) uint8, n > 0, prepared by the encoder.
        refuse: False for what the user asked torch for by name, where the number is recorded only.

    Raises:
        BiocosmosError: the mean cosine is below :data:`LEAST_MEAN_COSINE`, with the number.
    """
    cosines = (torch.from_numpy(encoder.encode_images(images)) * encoder.reference(images)).sum(dim=1)
    found = Agreement(len(images), float(cosines.mean()), float(cosines.min()))
    least = LEAST_MEAN_COSINE[encoder.precision]
    if refuse and not found.mean >= least:  # NaN is refused too
        raise BiocosmosError(
            f"{encoder.backend} {encoder.precision} agrees with torch float32 only to a mean cosine of {found.mean:.4f} on "
            f"{found.images} of these images ({least} is asked): use --precision float32 or --backend torch"
        )
    return found
