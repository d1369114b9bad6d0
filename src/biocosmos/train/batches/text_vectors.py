"""Vectors of a collection's texts, to be clustered with those of its images or alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.progress import progress

TEXT_ROWS = 256

Array = npt.NDArray[Any]


def text_vectors(name: str, texts: Sequence[str], digest: str | None, facts: dict[str, Any]) -> Array:
    """Vectors of n texts, each distinct one encoded once.

    digest: of the weights that images were embedded with, when both must live in one space. facts: gets the digest of the text
    tower's weights.
    Returns: (n, dim) float32 unit vectors. Raises BiocosmosError for other weights, and without a text tower.
    """
    encoder = load_encoder(name)
    if digest is not None and encoder.digest != digest:
        raise BiocosmosError(f"'{name}' has other weights now ({encoder.digest}) than the stored vectors ({digest}): embed again")
    facts["text_encoder_digest"] = encoder.digest
    distinct, inverse = np.unique(np.array(texts, dtype=str), return_inverse=True)
    parts = []
    with progress(f"encode texts with {name}", total=len(distinct), unit="texts") as bar:
        for start in range(0, len(distinct), TEXT_ROWS):
            rows = [str(text) for text in distinct[start : start + TEXT_ROWS]]
            parts.append(encoder.encode_texts(rows))
            bar.advance(len(rows))
    return np.concatenate(parts)[inverse]
