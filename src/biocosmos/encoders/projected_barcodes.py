"""An encoder of barcodes under a projection: counts of k-mers, or a trained model, led into another space.

A folder holds ``biocosmos.json`` (kind "barcode", network "projection"), ``projection.safetensors``, a model card, and, where the
encoder beneath was tuned with it, that one in ``base/``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.encoders.modality import BARCODE, TRAINED
from biocosmos.encoders.spaces import space_of
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.encoders.weights import fill, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, read_facts
from biocosmos.nn.projection import Projection
from biocosmos.provenance import encoder_name, now, package_version
from biocosmos.tables import replacing

FORMAT = 1
NETWORK, OWN_BASE = "projection", "base"
PROJECTION, CARD = "projection.safetensors", "README.md"
BATCH = 1024
_WIDTH = Number(1, 1 << 20, whole=True)
_SHAPE = {
    "format": FORMAT,
    "kind": BARCODE,
    "network": NETWORK,
    "digest": str,
    "base": {"name": str, "digest": str},
    "projection": {"dim_in": _WIDTH, "dim_out": _WIDTH, "hidden": (None, _WIDTH), "normalise": bool},
    "files": [FILE_NAME],
    "training": {},
}


class ProjectedBarcodes:
    """See :class:`biocosmos.encoders.barcodes.BarcodeEncoder`."""

    modality: Literal["dna"] = "dna"
    stored: Literal["k-mers", "vectors"] = "vectors"

    def __init__(self, name: str, base: BarcodeEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        if projection.dim_in != base.dim:
            raise BiocosmosError(f"{name} projects {projection.dim_in} numbers, and '{base.name}' gives {base.dim}")
        self.name, self.base, self.device, self.source = encoder_name(name), base, torch.device(choose_device(device)), source
        self.projection = projection.eval().to(self.device)
        self.dim, self.digest = projection.dim_out, projected_digest(base.digest, projection)
        self.batch_size = min(BATCH, base.batch_size)

    def metadata(self) -> dict[str, Any]:
        """What a collection keeps beside the vectors."""
        beneath = self.base.metadata()
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "stored": self.stored,
            "preprocessing": beneath["preprocessing"],
            "base": {"name": self.base.name, "digest": self.base.digest},
            "source": self.source,
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
            **({} if (space := space_of(self.name, self.digest)) is None else {"space": space}),
        }

    @torch.no_grad()
    def encode_barcodes(self, barcodes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 unit rows; a barcode that the encoder beneath can say nothing of is a row of zeros."""
        rows = self.base.encode_barcodes(barcodes)
        dense = rows.dense() if isinstance(rows, KmerCounts) else rows
        says = np.asarray(dense.any(axis=1))
        vectors: npt.NDArray[np.float32] = self.projection(torch.from_numpy(dense).to(self.device)).float().cpu().numpy()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1.0)
        vectors[~says] = 0.0
        return vectors


def projected_digest(base: str, projection: Projection) -> str:
    """Of the encoder beneath and of the projection: 16 hex digits."""
    settings = json.dumps(projection.settings(), sort_keys=True)
    return hashlib.sha256(f"{base} {weights_digest(plain_state(projection))} {settings}".encode()).hexdigest()[:DIGEST_LENGTH]


def save_projected_barcodes(
    folder: str | Path, base: BarcodeEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
) -> str:
    """Write a projection over ``base``, which is named, or stands in the sub-folder ``base`` already (own_base).

    Returns its digest. Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = plain_state(projection)
    for key, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BiocosmosError(f"the trained weights {key} hold values that are no number: nothing was saved in {folder}")
    with replacing(folder / PROJECTION) as temporary:
        save_file(state, temporary)
    facts = {
        "format": FORMAT,
        "kind": BARCODE,
        "network": NETWORK,
        "digest": projected_digest(base.digest, projection),
        "dim": projection.dim_out,
        "base": {"name": OWN_BASE if own_base else base.name, "digest": base.digest},
        "projection": projection.settings(),
        "files": [PROJECTION, CARD],
        "training": dict(training),
        "biocosmos": package_version(),
        "created": now(),
    }
    with replacing(folder / CARD) as temporary:
        temporary.write_text(_card(folder.name, facts), encoding="utf-8")
    with replacing(folder / TRAINED) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
    return str(facts["digest"])


def load_projected_barcodes(name: str, *, device: str = "auto") -> ProjectedBarcodes:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    folder = Path(name).expanduser()
    told = {"what": "the description of an encoder of barcodes", "remedy": "restore it, or train the encoder again"}
    facts = read_facts(folder / TRAINED, _SHAPE, **told)
    beneath = facts["base"]["name"]
    own = folder / OWN_BASE
    if beneath != OWN_BASE and Path(beneath).resolve() == folder.resolve():
        raise BiocosmosError(f"{folder} is a projection over itself: restore {TRAINED}, or train the encoder again")
    base = load_barcode_encoder(str(own) if beneath == OWN_BASE else beneath, device=device)
    if base.digest != facts["base"]["digest"]:
        raise BiocosmosError(
            f"{folder} is a projection over '{beneath}' with weights {facts['base']['digest']}, and here it has {base.digest}: "
            "bring the one it was trained on, or train it again"
        )
    weights = read_weights(folder / PROJECTION)
    with torch.device("meta"):  # what the JSON claims costs nothing until the file has it
        projection = Projection(**{key: facts["projection"][key] for key in ("dim_in", "dim_out", "hidden", "normalise")})
    fill(projection, weights, folder / PROJECTION)
    made = ProjectedBarcodes(name, base, projection, device, str(facts["training"].get("what") or ""))
    if made.digest != facts["digest"]:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its weights have the digest {made.digest}, {TRAINED} says "
            f"{facts['digest']}; train it again, or restore the file"
        )
    return made


def is_projected(folder: Path) -> bool:
    """Whether a folder says that it holds such an encoder."""
    try:
        facts = json.loads((folder / TRAINED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and facts.get("network") == NETWORK


def _card(name: str, facts: Mapping[str, Any]) -> str:
    training = facts["training"]
    lines = [
        "---",
        "library_name: biocosmos",
        "tags:",
        "- dna",
        "- biocosmos",
        "---",
        "",
        f"# {name}",
        "",
        str(training.get("what") or "An encoder of DNA barcodes trained with biocosmos."),
        "",
        f"- weights: {facts['digest']}, vectors of {facts['dim']} numbers, over '{facts['base']['name']}'",
        f"- saved: {facts['created']} by biocosmos {facts['biocosmos']}",
        *(f"- {key}: {value}" for key, value in training.items() if key not in ("what", "metrics", "settings")),
        "",
        "Use: `biocosmos embed COLLECTION -e PATH/OF/THIS/FOLDER`. Similar vectors are a reason to look, not an identification.",
        "",
    ]
    return "\n".join(lines)


__all__ = ["ProjectedBarcodes", "is_projected", "load_projected_barcodes", "projected_digest", "save_projected_barcodes"]
