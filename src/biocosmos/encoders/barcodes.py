"""Encoders of DNA barcodes: letters in, rows of a gallery out. One string names them, as it names encoders of images.

    kmer:7                  counts of overlapping k-mers, k from 5 to 8: nothing is learnt, and nothing need be fetched
    run/                    a folder that 'biocosmos train barcode' wrote, or 'biocosmos train contrastive': its tower of barcodes
    ./BarcodeBERT           a folder with a checkpoint of BarcodeBERT, as its authors publish it

Nothing heavy is imported until a model is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import K, KmerCounts
from biocosmos.encoders.modality import KMER, is_barcode_folder, tower_name
from biocosmos.errors import BiocosmosError

BARCODES_AT_ONCE = 1024
NOT_COMPARED = "nothing to compare: no k-mer of A, C, G and T"
"""Why a row of an encoder says nothing."""
Rows = KmerCounts | npt.NDArray[np.float32]
"""What an encoder makes of n barcodes: counts of k-mers, or (n, dim) float32 unit vectors."""


@runtime_checkable
class BarcodeEncoder(Protocol):
    """What :func:`load_barcode_encoder` gives.

    name: the string it was loaded by; dim: numbers of a vector; modality: "dna"; digest: of what it computes with, 16 hex digits;
    stored: what a column of it holds; batch_size: barcodes of a call.
    """

    name: str
    dim: int
    modality: Literal["dna"]
    digest: str
    stored: Literal["k-mers", "vectors"]
    batch_size: int

    def metadata(self) -> dict[str, Any]:
        """What must be known to compare rows: name, digest, dim, modality, preprocessing, precision, backend, device, stored."""

    def encode_barcodes(self, barcodes: Sequence[str]) -> Rows:
        """barcodes: n strings of A, C, G, T and N. Returns n rows; a barcode from which nothing can be computed is a row without
        codes, or of zeros: :func:`comparable` tells."""


class KmerEncoder:
    """Counts of overlapping k-mers; see :class:`biocosmos.barcodes.kmers.KmerCounts`."""

    modality: Literal["dna"] = "dna"
    stored: Literal["k-mers", "vectors"] = "k-mers"
    batch_size = BARCODES_AT_ONCE

    def __init__(self, k: int) -> None:
        self.k, self.name, self.dim = k, f"{KMER}:{k}", 4**k
        self.digest = hashlib.sha256(f"overlapping k-mers of A C G T, counted, k = {k}".encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"<KmerEncoder {self.name}: {self.dim:,} numbers>"

    def metadata(self) -> dict[str, Any]:
        """See :class:`BarcodeEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": {"k": self.k},
            "precision": "exact",
            "backend": "k-mers",
            "device": "cpu",
            "stored": self.stored,
            "source": "counts of k-mers",
        }

    def encode_barcodes(self, barcodes: Sequence[str]) -> KmerCounts:
        """See :class:`BarcodeEncoder`."""
        return KmerCounts.of(barcodes, self.k)


def comparable(rows: Rows) -> npt.NDArray[np.bool_]:
    """(n,) whether there is anything in a row to compare."""
    return ~rows.empty if isinstance(rows, KmerCounts) else np.asarray(rows.any(axis=1))


def load_barcode_encoder(name: str, *, device: str = "auto", precision: str = "auto") -> BarcodeEncoder:
    """Load an encoder of barcodes; device: of a model, as for images; precision: "auto" or "float32", in which models compute.

    Raises BiocosmosError: an unknown name, a folder without such a model, a k that is not counted, another precision.
    """
    if precision not in ("auto", "float32"):
        raise BiocosmosError(f"encoders of barcodes compute in float32, not in {precision}: leave --precision out")
    name = tower_name(name, "dna")
    kind, _, rest = name.partition(":")
    if kind == KMER:
        if rest not in map(str, K):  # kmer:07 would be another name of the same
            raise BiocosmosError(f"encoder '{name}' is not known: write kmer:5, kmer:6, kmer:7 or kmer:8")
        return KmerEncoder(int(rest))
    if not is_barcode_folder(Path(name)):
        raise BiocosmosError(f"encoder '{name}' is no encoder of barcodes: write kmer:7, or the folder of a trained one")
    from biocosmos.encoders.projected_barcodes import is_projected, load_projected_barcodes

    if is_projected(Path(name)):
        return load_projected_barcodes(name, device=device)
    from biocosmos.encoders.barcode_models import load_barcode_folder

    return load_barcode_folder(name, device=device)
