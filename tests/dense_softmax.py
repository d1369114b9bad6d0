"""The losses of biocosmos.nn written out over one dense matrix of centres, as the papers print them."""

from __future__ import annotations

import torch
from torch import Tensor


def dense_cosines(embeddings: Tensor, centres: Tensor, features: Tensor | None = None, sub_centres: int = 1) -> Tensor:
    if features is not None:
        embeddings, centres = embeddings[:, features], centres[:, features]
    e = embeddings / embeddings.norm(dim=1, keepdim=True)
    w = centres / centres.norm(dim=1, keepdim=True)
    return (e @ w.T).reshape(len(e), -1, sub_centres).amax(2)


def dense_margin_softmax(cosines: Tensor, labels: Tensor, sample: Tensor, s: float = 32.0, m2: float = 0.3) -> Tensor:
    """Mean over rows of -log softmax; only classes in ``sample`` take part."""
    losses = []
    for row, label in zip(cosines, labels.tolist()):
        logits = []
        for j in sample.tolist():
            cosine = row[j]
            if j == label:
                theta = torch.arccos(cosine)
                cosine = torch.cos(theta + m2) if theta + m2 <= torch.pi else cosine - m2 * torch.sin(torch.tensor(m2))
                own = len(logits)
            logits.append(s * cosine)
        losses.append(-torch.log_softmax(torch.stack(logits), 0)[own])
    return torch.stack(losses).mean()


def dense_mlcd(cosines: Tensor, labels: Tensor, sample: Tensor, s: float = 32.0, m2: float = 0.3) -> Tensor:
    """Mean over rows of log(1 + sum_neg exp(s_j)) + log(1 + sum_pos exp(-s_i))."""
    losses = []
    for row, positives in zip(cosines, labels.tolist()):
        negative = sum(torch.exp(s * row[j]) for j in sample.tolist() if j not in positives)
        positive = sum(torch.exp(-s * torch.cos(torch.arccos(row[i]) + m2)) for i in set(positives))
        losses.append(torch.log(1 + negative) + torch.log(1 + positive))
    return torch.stack(losses).mean()
