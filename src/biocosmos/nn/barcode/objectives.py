"""What networks over barcodes are trained to do: hidden tokens, species apart, a teacher's neighbours."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from biocosmos.nn.barcode.autoencoder import MaskedAutoencoder
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.barcode.transformer import TokenHead
from biocosmos.nn.distributed import gather_embeddings, gather_labels

NO_LABEL = -1


class MaskedTokens(nn.Module):
    """BarcodeBERT's pre-training: half of the tokens become [MASK] (never 80/10/10), all are predicted."""

    def __init__(self, embedder: BarcodeEmbedder, mask: int, special: int) -> None:
        super().__init__()
        self.embedder, self.mask, self.special = embedder, mask, special
        encoder = embedder.encoder
        dropout = encoder.embeddings.dropout.p
        self.head = TokenHead(embedder.width, encoder.embeddings.tokens.num_embeddings - special, dropout)

    def forward(self, tokens: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """tokens: (n, t) int64, -1 for pads; hidden: (n, t) bool -> (n, t, k-mers) logits."""
        states, _ = self.embedder.hidden(tokens.masked_fill(hidden, self.mask))
        return self.head(states)  # type: ignore[no-any-return]


class AutoencodedTokens(nn.Module):
    """BarcodeMAE's pre-training: the encoder sees what is left, a decoder predicts."""

    def __init__(self, embedder: BarcodeEmbedder, special: int, layers: int, heads: int) -> None:
        super().__init__()
        self.pad, self.special = embedder.pad, special
        table = embedder.encoder.embeddings
        self.embedder = embedder
        self.autoencoder = MaskedAutoencoder(
            embedder.encoder,
            table.tokens.num_embeddings - special,
            layers,
            heads,
            table.positions.num_embeddings,
            table.dropout.p,
        )

    def forward(self, tokens: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """As :class:`MaskedTokens`."""
        real = tokens >= 0
        return self.autoencoder(tokens.masked_fill(~real, self.pad), real, hidden)  # type: ignore[no-any-return]


class Naming(nn.Module):
    """Fine-tuning to taxa: a linear layer on the vectors, cross entropy."""

    def __init__(self, embedder: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.embedder, self.linear = embedder, nn.Linear(width, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, classes) logits."""
        return self.linear(self.embedder(inputs))  # type: ignore[no-any-return]


def hide(tokens: torch.Tensor, special: int, ratio: float) -> torch.Tensor:
    """(n, t) bool: which tokens are hidden. ``ratio`` of the k-mers of each barcode, drawn by torch's generator; special tokens,
    [UNK] and pads never."""
    kmer = tokens >= special
    chance = torch.rand(tokens.shape, device=tokens.device).masked_fill(~kmer, 2.0)
    count = (kmer.sum(1, keepdim=True) * ratio).round().to(torch.int64)
    rank = chance.argsort(1).argsort(1)
    return (rank < count) & kmer


def token_loss(logits: torch.Tensor, tokens: torch.Tensor, hidden: torch.Tensor, special: int, *, over: str) -> torch.Tensor:
    """Cross entropy of the k-mers. over: "all", hidden or not, as BarcodeBERT's code has it; "masked", the hidden ones alone."""
    asked = hidden if over == "masked" else tokens >= special
    if not bool(asked.any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits[asked].float(), tokens[asked] - special)


class SupervisedContrastive(nn.Module):
    """Vectors of one taxon together, all others apart, at several ranks at once; no weights of its own.

    For an anchor i with the others P(i) of its taxon in the batch, -1/|P(i)| sum_{p in P(i)} log softmax_{a != i}(z_i z_a / T)_p,
    the mean over anchors that have any, weighted over the ranks. Khosla et al., NeurIPS 2020 (arXiv:2004.11362), equation 2; the
    sum over ranks is as in Zhang et al., Use All The Labels, CVPR 2022 (arXiv:2204.13207), without its constraint.
    """

    def __init__(self, temperature: float, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.temperature, self.weights = temperature, weights

    def forward(self, vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """vectors: (n, dim) of this process; labels: (n, ranks) int64, -1 for none. The loss over the batch of all processes."""
        z = gather_embeddings(F.normalize(vectors.float(), dim=1), whole=True)
        labels = gather_labels(labels)
        logs = _log_softmax_of_others(z, self.temperature)
        total = z.sum() * 0.0
        for weight, own in zip(self.weights, labels.T):
            same = (own[:, None] == own[None]) & (own >= 0)[:, None]
            same.fill_diagonal_(False)
            count = same.sum(1)
            anchors = count > 0
            if bool(anchors.any()):
                total = total - weight * ((logs * same).sum(1)[anchors] / count[anchors]).mean()
        return total


class NeighbourDistillation(nn.Module):
    """The neighbours of a batch as a teacher sees them: cross entropy of softmax(teacher's cosines / T) and the student's.

    Fang et al., SEED, ICLR 2021 (arXiv:2101.04731), with the rest of the batch in place of a queue.
    """

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, vectors: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """vectors: (n, dim); teacher: (m, m) float32 cosines of the m barcodes of all processes, in rank order."""
        z = gather_embeddings(F.normalize(vectors.float(), dim=1), whole=True)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        wanted = (teacher / self.temperature).masked_fill(itself, float("-inf")).softmax(1)
        return -(_log_softmax_of_others(z, self.temperature) * wanted).sum(1).mean()


def _log_softmax_of_others(z: torch.Tensor, temperature: float) -> torch.Tensor:
    """(n, n): log softmax of each row's cosines over temperature, itself left out (0 there)."""
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, float("-inf"))
    return logits.log_softmax(1).masked_fill(itself, 0.0)
