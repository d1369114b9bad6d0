"""The objectives on barcodes, as tasks of the one training loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcode_models import BarcodeModel, save_barcode_model
from biocosmos.encoders.new_barcode_models import new_bag, new_cnn, new_transformer
from biocosmos.errors import Failures
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.barcode.objectives import (
    AutoencodedTokens,
    MaskedTokens,
    Naming,
    NeighbourDistillation,
    SupervisedContrastive,
    hide,
    token_loss,
)
from biocosmos.nn.distributed import gather_labels
from biocosmos.train.barcode.batches import BarcodeBatches, relatives_together
from biocosmos.train.barcode.settings import TOKENWISE, BarcodeSettings
from biocosmos.train.barcode.specimens import BarcodeRows
from biocosmos.train.barcode.validation import Neighbours
from biocosmos.train.batches.drawing import suited_batch
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.loop.loop import Batch
from biocosmos.train.loop.processes import Processes

LARGEST_BATCH = 128
TABLE_FACTOR = 2.0
"""How many times as fast the vectors of tokens learn where they begin as a bag, with numbers of size 1."""
BLOCK = 64

Array = npt.NDArray[Any]


def new_model(settings: BarcodeSettings) -> BarcodeModel:
    """The network the settings describe, with random weights."""
    s = settings
    if s.network == "cnn":
        return new_cnn()
    assert s.stride is not None and s.width is not None
    shared = (s.k, s.stride, s.vocabulary, s.width)
    if s.network == "bag":
        return new_bag(*shared, dropout=s.dropout)
    return new_transformer(
        *shared, layers=s.layers, heads=s.heads, dropout=s.dropout, pooling=s.pooling, window=s.window, bag=s.bag
    )


class BarcodeTask(DrawnTask):
    """What all objectives share. ``classes``: names of what "species" tells apart, for the folder."""

    model: nn.Module
    classes: tuple[str, ...] | None = None

    def __init__(
        self,
        settings: BarcodeSettings,
        where: Processes,
        made: BarcodeModel,
        rows: BarcodeRows,
        held: BarcodeRows | None,
        targets: Array | None = None,
        order: Callable[[int], Array] | None = None,
    ) -> None:
        s = self.settings = settings
        self.where, self.made, self.rows, self.held = where, made, rows, held
        self.name = f"{s.objective} on {len(rows):,} barcodes"
        self.failures = Failures()
        self._objective: nn.Module = nn.Identity()
        whole = s.objective not in TOKENWISE
        self._batches = BarcodeBatches(
            rows.ids.tolist(),
            rows.barcodes,
            torch.from_numpy(np.arange(len(rows)) if targets is None else targets),
            made.inputs,
            made.tokens,
            frame=s.frame,
            crop=s.crop if whole else 0.0,
            mutate=s.mutate if whole else 0.0,
            batch_size=suited_batch(s.batch_size, len(rows), where.size, LARGEST_BATCH),
            seed=s.seed,
            rank=where.rank,
            size=where.size,
            order=order,
        )

    @property
    def objective(self) -> nn.Module:
        """The loss; none here has weights of its own."""
        return self._objective

    def lr_factor(self, name: str) -> float:
        """The table of tokens learns faster where it is a bag."""
        network = self.made.network
        bag = isinstance(network, BarcodeEmbedder) and network.bag
        return TABLE_FACTOR if bag and name.endswith("embeddings.tokens.weight") else 1.0

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch."""
        raise NotImplementedError

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures on the validation part."""
        raise NotImplementedError

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """The trained encoder, and a head of species where there is one, as a folder."""
        self.model.cpu()
        if isinstance(self.model, Naming):
            self.made.head, self.made.classes = self.model.linear, self.classes
        save_barcode_model(folder, self.made, training=facts)

    @torch.no_grad()
    def through(self, model: nn.Module, barcodes: list[str]) -> Array:
        """(n, ...) float32 what a model gives for barcodes as they are."""
        parts = []
        for start in range(0, len(barcodes), BLOCK):
            inputs = torch.from_numpy(self.made.inputs(barcodes[start : start + BLOCK]))
            parts.append(model(inputs.to(self.where.device)).float().cpu().numpy())
        return np.concatenate(parts)


class TokenTask(BarcodeTask):
    """Hidden tokens: BarcodeBERT's pre-training, or BarcodeMAE's."""

    model: MaskedTokens | AutoencodedTokens

    def __init__(
        self, settings: BarcodeSettings, where: Processes, made: BarcodeModel, rows: BarcodeRows, held: BarcodeRows | None
    ) -> None:
        super().__init__(settings, where, made, rows, held)
        assert isinstance(made.network, BarcodeEmbedder)
        tokens = made.tokens
        if settings.objective == "mae":
            heads = made.network.shape()["heads"]
            self.model = AutoencodedTokens(made.network, tokens.special, settings.decoder_layers, heads)
        else:
            self.model = MaskedTokens(made.network, tokens.mask, tokens.special)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross entropy of the tokens; which are hidden is drawn by torch's generator, which the loop seeds for each batch."""
        hidden = hide(batch.inputs, self.made.tokens.special, self.settings.mask_ratio)
        logits = model(batch.inputs, hidden)
        return token_loss(logits, batch.inputs, hidden, self.made.tokens.special, over=self.settings.loss_over)

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Share of the hidden tokens of the validation part that are told right, and minus their cross entropy."""
        if self.held is None:
            return {}
        generator = torch.random.get_rng_state()
        torch.manual_seed(self.settings.seed)
        right, total, loss = 0, 0, 0.0
        special = self.made.tokens.special
        for start in range(0, len(self.held), BLOCK):
            tokens = torch.from_numpy(self.made.inputs(self.held.barcodes[start : start + BLOCK]))
            hidden = hide(tokens, special, self.settings.mask_ratio)
            logits = model(tokens.to(self.where.device), hidden.to(self.where.device)).float().cpu()
            count = int(hidden.sum())
            right += int((logits[hidden].argmax(1) == tokens[hidden] - special).sum())
            loss += float(token_loss(logits, tokens, hidden, special, over="masked")) * count
            total += count
        torch.random.set_rng_state(generator)
        return {"hidden tokens right": right / total, "minus their cross entropy": -loss / total} if total else {}


class VectorTask(BarcodeTask):
    """Objectives over vectors of barcodes: contrastive, distilled, or both."""

    def __init__(
        self, settings: BarcodeSettings, where: Processes, made: BarcodeModel, rows: BarcodeRows, held: BarcodeRows | None
    ) -> None:
        weights = settings.rank_weights()
        labels = np.stack([rows.labels(rank) for rank in weights], 1) if settings.objective == "contrastive" else None
        targets = np.arange(len(rows))[:, None]
        if labels is not None:
            targets = np.concatenate([targets, labels], 1)
        known = {
            rank: rows.labels(rank) if rank in rows.taxonomy.ranks else targets[:, 0] for rank in ("species", "genus", "family")
        }
        order = relatives_together(known["species"], known["genus"], known["family"], settings.seed)
        super().__init__(settings, where, made, rows, held, targets, order)
        self.model = made.network
        self.contrast = SupervisedContrastive(settings.temperature, tuple(weights.values()))
        self.distil = NeighbourDistillation()
        self.teacher_weight = 1.0 if labels is None else settings.teacher_weight
        self.teacher = KmerCounts.of(rows.barcodes, settings.teacher_k) if self.teacher_weight else None
        both = {"species", "genus"} <= set(rows.taxonomy.ranks)
        self.neighbours = Neighbours(held, rows, settings.seed) if held is not None and both else None

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The contrastive loss, the teacher's, or their weighted sum."""
        vectors = model(batch.inputs)
        total = torch.zeros((), device=vectors.device)
        if self.settings.objective == "contrastive":
            total = total + self.contrast(vectors, batch.targets[:, 1:])
        if self.teacher is not None:
            rows = gather_labels(batch.targets[:, 0]).cpu().numpy()
            counts = torch.from_numpy(self.teacher.dense(rows))
            total = total + self.teacher_weight * self.distil(vectors, (counts @ counts.T).to(vectors.device))
        return total

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of :class:`Neighbours`."""
        if self.neighbours is None:
            return {}
        asked, gallery = (self._unit(model, side.barcodes) for side in (self.neighbours.held, self.neighbours.gallery))
        return self.neighbours.figures(asked, gallery)

    def _unit(self, model: nn.Module, barcodes: list[str]) -> Array:
        vectors = self.through(model, barcodes)
        unit: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit


class SpeciesTask(BarcodeTask):
    """Fine-tuning to the taxa of a rank."""

    def __init__(
        self, settings: BarcodeSettings, where: Processes, made: BarcodeModel, rows: BarcodeRows, held: BarcodeRows | None
    ) -> None:
        nodes = rows.labels(settings.rank)
        self.nodes, targets = np.unique(nodes, return_inverse=True)
        super().__init__(settings, where, made, rows, held, targets.astype(np.int64))
        self.classes = tuple(str(rows.taxonomy.name(int(node))) for node in self.nodes)
        self.model = Naming(made.network, made.network.width, len(self.classes))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross entropy of the taxa."""
        return nn.functional.cross_entropy(model(batch.inputs).float(), batch.targets)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Accuracy on the validation specimens whose taxon is one of the classes."""
        if self.held is None:
            return {}
        true = self.held.labels(self.settings.rank)
        asked = np.flatnonzero(np.isin(true, self.nodes))
        if not len(asked):
            return {}
        logits = self.through(model, [self.held.barcodes[row] for row in asked])
        return {f"accuracy of {self.settings.rank}": float((self.nodes[logits.argmax(1)] == true[asked]).mean())}
