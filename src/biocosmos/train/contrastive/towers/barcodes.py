"""Networks over barcodes that are trained themselves, in full or by LoRA, with a projection on top.

The vector is the mean of the last hidden states, as BarcodeBERT's evaluation has it, or what the network's own pooling says.
CLIBD's LoRA configuration takes the softmax of the token logits, averaged; its authors mean to replace that, and it is not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.barcode_models import (
    BarcodeModel,
    TrainedBarcodes,
    load_barcode_model,
    save_barcode_model,
    says_something,
)
from biocosmos.encoders.modality import KMER, modality_of
from biocosmos.encoders.model_folder import OWN_BASE
from biocosmos.encoders.new_barcode_models import new_bag, new_transformer
from biocosmos.encoders.projected_barcodes import is_projected, save_projected_barcodes
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.chunked import Chunked
from biocosmos.nn.low_rank import add_low_rank, merge_low_rank
from biocosmos.nn.projection import Projection
from biocosmos.train.batches.barcode_changes import BarcodeChanges
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.contrastive.settings import NEW, ContrastiveSettings
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.images import TRAINED_FACTOR
from biocosmos.train.contrastive.towers.own_base import guard_own_base
from biocosmos.train.loop.processes import Processes

NETWORKS = {"bag": new_bag, "transformer": new_transformer}
AT_ONCE = 256
"""Barcodes that go through at once where nothing is asked for."""


class TunedBarcodes:
    """A DNA tower that is trained on barcodes; see :class:`biocosmos.train.contrastive.towers.source.TowerSource`."""

    modality = "dna"

    def __init__(self, rows: ModalRows, settings: ContrastiveSettings, where: Processes, failures: Failures) -> None:
        self.name, how = settings.dna, settings.tune_of("dna")
        self._new = self.name.startswith(NEW)
        self.model = _model(self.name, how)
        network = self.model.network
        if how == "lora":
            add_low_rank(network, rank=settings.lora_rank, what=f"'{self.name}'")
        self._low_rank = how == "lora"
        self.projection = Projection(self.model.dim, settings.width, hidden=settings.hidden or None)
        self.module: nn.Module = Chunked(nn.Sequential(network, self.projection), settings.chunk or AT_ONCE)
        table = rows.collection.take(rows.ids, columns=["id", "barcode"])
        self._barcodes = [(barcode or "").upper().strip("N-") for barcode in table["barcode"].to_pylist()]
        self.there = rows.there["dna"] & says_something(self.model, self._barcodes)
        if without := int((rows.there["dna"] & ~self.there).sum()):
            why = f"{without:,} barcodes have no k-mer of A, C, G and T that '{self.name}' reads"
            failures.add(why, stage="train", severity="warning")
        tokens = self.model.tokens
        frame = 1 if tokens.stride == 1 else tokens.k  # k-mers from every base have no frame
        self._changes = BarcodeChanges(settings.crop, settings.mutate, frame)

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """(m, t) int64 tokens, or letters for a CNN."""
        barcodes = [self._barcodes[row] for row in rows]
        if generator is not None:
            rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
            barcodes = [self._changes(barcode, rng) for barcode in barcodes]
        return torch.from_numpy(self.model.inputs(barcodes))

    def lr_factor(self, name: str) -> float:
        """The projection, a new network and changes of low rank are new; other weights are an encoder's already."""
        old = not self._low_rank and not self._new and name.startswith("module.0.")
        return TRAINED_FACTOR if old else 1.0

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The network in ``base/``, changes of low rank added to it, and the projection over it."""
        merge_low_rank(self.module.cpu().eval())
        guard_own_base(folder, folder / OWN_BASE)
        save_barcode_model(folder / OWN_BASE, self.model, training=facts)
        base = TrainedBarcodes(OWN_BASE, self.model, "cpu")
        return save_projected_barcodes(folder, base, self.projection, training=facts, own_base=True)


def _model(name: str, how: str) -> BarcodeModel:
    """The network to be trained. Raises BiocosmosError for one that cannot be."""
    if name.startswith(NEW):
        kind = name.removeprefix(NEW)
        if kind not in NETWORKS:
            raise BiocosmosError(f"--dna {name} is not known: write {' or '.join(NEW + each for each in NETWORKS)}")
        if how == "lora":
            raise BiocosmosError(f"--dna {name} begins with random weights, which LoRA would leave so: use --tune dna=full")
        return NETWORKS[kind]()
    if name.partition(":")[0] == KMER:
        raise BiocosmosError(
            f"'{name}' counts k-mers, and nothing in it can be trained: use --tune dna=heads, or --dna {NEW}bag, a network that "
            "begins near such counts"
        )
    if is_projected(Path(name)):
        raise BiocosmosError(
            f"'{name}' is a projection already: tune what is beneath ({name}/{OWN_BASE}, or the encoder that it names), or use "
            "--tune dna=heads"
        )
    if modality_of(name) != "dna":
        raise BiocosmosError(
            f"'{name}' is no encoder of barcodes that can be trained: name a folder of 'train barcode' or a BarcodeBERT, or "
            f"write {' or '.join(NEW + each for each in NETWORKS)}"
        )
    model = load_barcode_model(name)
    model.head = model.classes = None
    return model
