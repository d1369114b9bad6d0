"""An encoder under a projection, whatever it is of: what a training leaves of one that it did not tune, or tuned beneath it.

A folder holds ``biocosmos.json`` (network "projection"), ``projection.safetensors``, a model card, and, where the encoder beneath
was tuned with it, that one in ``base/``. What kind it is of, and how its inputs are encoded, is said beside each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.modality import TRAINED
from biocosmos.encoders.model_folder import (
    CARD,
    OF_PROJECTION,
    OWN_BASE,
    PROJECTION,
    base_beneath,
    describe,
    read_projection,
    refuse_changed_weights,
    save_weights,
)
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import projected_digest
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Shape, read_facts
from biocosmos.nn.projection import Projection
from biocosmos.provenance import encoder_name

FORMAT, NETWORK = 1, "projection"
Vectors = npt.NDArray[np.float32]


class Beneath(Protocol):
    """What lies beneath a projection: any encoder."""

    name: str
    dim: int
    digest: str
    batch_size: int

    def metadata(self) -> dict[str, Any]:
        """What must be known to compare rows, "preprocessing" among it."""


B = TypeVar("B", bound=Beneath)
P = TypeVar("P", bound="Projected[Any]")


class Projected(Generic[B]):
    """A projection over ``base``; a child says what its modality is and encodes.

    Raises BiocosmosError for a projection of vectors of another length.
    """

    modality: Any

    @property
    def kind(self) -> str:
        """As its description calls it."""
        return str(self.modality)

    def __init__(self, name: str, base: B, projection: Projection, device: str = "auto", source: str = "") -> None:
        if projection.dim_in != base.dim:
            raise BiocosmosError(f"{name} projects {projection.dim_in} numbers, and '{base.name}' gives {base.dim}")
        self.name, self.base, self.source = encoder_name(name), base, source
        self.device = torch.device(choose_device(device))
        self.projection = projection.eval().to(self.device)
        self.dim, self.digest, self.batch_size = projection.dim_out, projected_digest(base.digest, projection), base.batch_size

    def metadata(self) -> dict[str, Any]:
        """What a collection keeps beside the vectors."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": self.base.metadata()["preprocessing"],
            "base": {"name": self.base.name, "digest": self.base.digest},
            "source": self.source,
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
            **space_facts(self.name, self.digest),
        }

    @torch.no_grad()
    def project(self, rows: Vectors) -> Vectors:
        """(n, dim) float32 unit vectors of what the encoder beneath gives, (n, dim_in); a row of zeros stays one."""
        vectors = unit_rows(self.projection, torch.from_numpy(rows).to(self.device))
        vectors[~rows.any(axis=1)] = 0.0
        return vectors


def unit_rows(network: nn.Module, inputs: torch.Tensor) -> Vectors:
    """What a network gives of its inputs, as (n, dim) float32 unit vectors; a row of zeros where it gives nothing but zeros."""
    vectors: Vectors = network(inputs).float().cpu().numpy()
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)


def save_projected(
    folder: str | Path,
    kind: str,
    base: Beneath,
    projection: Projection,
    card: Callable[[str, Mapping[str, Any]], str],
    *,
    training: Mapping[str, Any],
    own_base: bool = False,
) -> str:
    """Write a projection over ``base``, which is named, or stands in the sub-folder ``base`` already (own_base).

    kind: of the description; card: see :func:`biocosmos.encoders.model_folder.describe`. Returns its digest.
    Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, PROJECTION, projection)
    facts = {
        "format": FORMAT,
        "kind": kind,
        "network": NETWORK,
        "digest": projected_digest(base.digest, projection),
        "dim": projection.dim_out,
        "base": {"name": OWN_BASE if own_base else base.name, "digest": base.digest},
        "projection": projection.settings(),
        "files": [PROJECTION, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, card)


def load_projected(
    name: str,
    kinds: Shape,
    load: Callable[[str, str], B],
    make: Callable[[str, B, Projection, str, str], P],
    *,
    device: str,
    what: str,
    remedy: str,
) -> P:
    """The encoder in a folder.

    kinds: that its description may say; load: the encoder beneath, of a kind and its name; make: the encoder of its name, what is
    beneath, projection, device and source; what, remedy: for messages. Raises BiocosmosError where it, or the encoder beneath, is
    missing, damaged or was changed.
    """
    folder = Path(name).expanduser()
    shape = {
        "format": FORMAT,
        "kind": kinds,
        "network": NETWORK,
        "digest": str,
        "base": {"name": str, "digest": str},
        "projection": OF_PROJECTION,
        "files": [FILE_NAME],
        "training": {},
    }
    facts = read_facts(folder / TRAINED, shape, what=what, remedy=remedy)
    kind = str(facts["kind"])
    base = base_beneath(folder, facts["base"], lambda place: load(kind, place))
    projection = read_projection(folder / PROJECTION, facts["projection"])
    made = make(name, base, projection, device, str(facts["training"].get("what") or ""))
    refuse_changed_weights(folder, made.digest, facts)
    if made.kind != kind:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: {TRAINED} says that it is of kind {kind}, and '{base.name}' is of "
            f"{made.kind}; train it again, or restore the file"
        )
    return made
