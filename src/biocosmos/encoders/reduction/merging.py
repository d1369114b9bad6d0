"""What all methods share that put several tokens into one: weighted means by label, and what a token stands for afterwards."""

from __future__ import annotations

from dataclasses import replace

import torch

from biocosmos.encoders.reduction.tokens import Step, Tokens, is_traced


def sums_by_label(values: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
    """The sum of each label's rows.

    Args:
        values: (b, n, c) floats.
        labels: (b, n) int64, 0 to ``count`` - 1.

    Returns: (b, count, c), of the type of ``values``; 0 for a label that no row has.
    """
    b, n, c = values.shape
    if is_traced():  # a graph runs a product in a fraction of the time that it takes to scatter
        mine = labels.unsqueeze(1) == torch.arange(count, device=labels.device).unsqueeze(1)
        return mine.to(values.dtype) @ values
    rows = labels + torch.arange(b, device=labels.device).unsqueeze(1) * count
    # index_add over whole rows takes an eighth of the time of scatter_add over (b, n, c) on a CPU
    sums = torch.zeros(b * count, c, dtype=values.dtype, device=values.device)
    return sums.index_add(0, rows.reshape(b * n), values.reshape(b * n, c)).reshape(b, count, c)


def means_by_label(values: torch.Tensor, labels: torch.Tensor, count: int, weights: torch.Tensor) -> torch.Tensor:
    """The weighted mean of each label's rows: sum w x / sum w, computed in float32.

    Args:
        values: (b, n, c) floats.
        labels: (b, n) int64; every label from 0 to ``count`` - 1 has a row.
        weights: (b, n), more than 0.

    Returns: (b, count, c), of the type of ``values``.
    """
    weights = weights.float().unsqueeze(-1)
    sums = sums_by_label(values.float() * weights, labels, count)
    return (sums / sums_by_label(weights, labels, count)).to(values.dtype)


def merged(tokens: Tokens, labels: torch.Tensor, count: int, weights: torch.Tensor | None = None) -> Step:
    """Patch tokens of one label become one: their mean, weighted by ``weights`` or else by what each stands for.

    labels: (b, patch tokens) int64, every one from 0 to ``count`` - 1 is there; weights: (b, patch tokens).
    """
    prefix, sizes = tokens.prefix, tokens.sizes()
    means = means_by_label(tokens.x[:, prefix:], labels, count, sizes[:, prefix:] if weights is None else weights)
    after = replace(
        tokens, x=torch.cat([tokens.x[:, :prefix], means], dim=1), size=sizes_after(tokens, labels, count), mask=None, policy=None
    )
    return Step(after, labels)


def represented(tokens: Tokens, chosen: torch.Tensor, labels: torch.Tensor) -> Step:
    """Some patch tokens stay as they are, and stand for those that have their label too.

    chosen: (b, k) int64, the rows that stay; labels: (b, patch tokens) int64, places among the chosen.
    """
    count = chosen.shape[1]
    return Step(replace(tokens.selected(chosen), size=sizes_after(tokens, labels, count), mask=None, policy=None), labels)


def mixed(tokens: Tokens, mixtures: torch.Tensor, shares: torch.Tensor) -> Step:
    """Patch tokens are replaced by mixtures of all of them, of which none stands for a number of patches.

    mixtures: (b, k, c); shares: (b, k, patch tokens), what each token gives; a token counts as where it gives most.
    """
    x = torch.cat([tokens.x[:, : tokens.prefix], mixtures.to(tokens.x.dtype)], dim=1)
    return Step(replace(tokens, x=x, size=None, mask=None, policy=None), shares.argmax(dim=1))


def sizes_after(tokens: Tokens, labels: torch.Tensor, count: int) -> torch.Tensor:
    """(b, prefix + count) float32: how many patches each token stands for after a step."""
    sizes = tokens.sizes()
    summed = sums_by_label(sizes[:, tokens.prefix :].unsqueeze(-1), labels, count).squeeze(-1)
    return torch.cat([sizes[:, : tokens.prefix], summed], dim=1)


def euclidean(x: torch.Tensor) -> torch.Tensor:
    """x: (b, n, c) floats. Returns: (b, n, n) float32 distances, exactly 0 between a token and itself; without a gradient."""
    x = x.detach().float()
    x = x - x.mean(dim=1, keepdim=True)  # a common offset would cost digits in what follows
    squares = (x * x).sum(dim=-1)
    with torch.autocast(x.device.type, enabled=False):
        products = (x * -2) @ x.transpose(1, 2)
    own = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    return (products + squares.unsqueeze(2) + squares.unsqueeze(1)).masked_fill(own, 0).clamp_min(0).sqrt()


def cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a: (batch, n, d), b: (batch, m, d), floats. Returns: (batch, n, m) float32 cosines, whatever autocast says; no gradient."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = (torch.nn.functional.normalize(keys.detach().float(), dim=-1) for keys in (a, b))
        return a @ b.transpose(1, 2)
