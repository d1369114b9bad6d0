"""Cosines between embeddings and some of the centres, without a copy of the centres and without their dense gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST_NORM = 1e-12  # of torch.nn.functional.normalize: a zero vector has cosine 0 with everything
BLOCK_BYTES = 16 << 20  # centres handled at once on a CPU: few enough to stay in its last cache between gather and product


def centre_cosines(embeddings: Tensor, weight: Tensor, rows: Tensor | None = None, features: Tensor | None = None) -> Tensor:
    """Cosine of every embedding with every chosen centre.

    embeddings: (batch, dim) unit rows; (batch, len(features)) where features are chosen. weight: (centres, dim), same type,
    any length. rows: (chosen,) int64, sorted, unique; None: all. features: (chosen,) int64 columns of ``weight`` that are
    compared, as if the others did not exist; None: all. Returns: (batch, chosen).

    The gradient of ``weight`` is dense for ``rows=None``, else a sparse COO tensor of the chosen rows, so that neither a copy of
    the centres nor a gradient of their whole size is made. It is handled block by block: gathering a block twice costs less
    than keeping the gathered rows, because these do not fit into the processor's cache.
    """
    cosines: Tensor = _CentreCosines.apply(embeddings, weight, rows, features)
    return cosines


def _blocks(weight: Tensor, rows: Tensor | None, features: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """(slice of the chosen rows, those rows of weight): views where possible, else one buffer that every block overwrites."""
    chosen = len(weight) if rows is None else len(rows)
    size = chosen if weight.device.type != "cpu" else max(1, BLOCK_BYTES // (weight.shape[1] * weight.element_size()))
    buffer = None if rows is None else weight.new_empty(min(size, chosen), weight.shape[1])
    for start in range(0, chosen, size):
        part = slice(start, min(start + size, chosen))
        if rows is None:
            block = weight[part]
        else:
            assert buffer is not None
            block = torch.index_select(weight, 0, rows[part], out=buffer[: part.stop - start])
        yield part, block if features is None else block.index_select(1, features)


class _CentreCosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, weight: Tensor, rows: Tensor | None, features: Tensor | None) -> Tensor:
        chosen = len(weight) if rows is None else len(rows)
        cosines, norms = embeddings.new_empty(len(embeddings), chosen), embeddings.new_empty(chosen)
        for part, block in _blocks(weight, rows, features):
            torch.mm(embeddings, block.T, out=cosines[:, part])
            torch.linalg.vector_norm(block, dim=1, out=norms[part])
        norms.clamp_min_(LEAST_NORM)
        cosines.div_(norms)
        ctx.save_for_backward(embeddings, weight, rows, features, norms, cosines)
        return cosines

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        embeddings, weight, rows, features, norms, cosines = ctx.saved_tensors
        # d cos / d w = (e - cos * w / |w|) / |w|
        radial = (gradient * cosines).sum(0).div_(norms).div_(norms).neg_()[:, None]
        gradient = gradient / norms
        to_embeddings = torch.zeros_like(embeddings)
        make = torch.empty if features is None else torch.zeros
        values = make(len(norms), weight.shape[1], dtype=weight.dtype, device=weight.device)
        for part, block in _blocks(weight, rows, features):
            to_embeddings.addmm_(gradient[:, part], block)
            if features is None:
                torch.mm(gradient[:, part].T, embeddings, out=values[part]).addcmul_(block, radial[part])
            else:
                pull = torch.mm(gradient[:, part].T, embeddings).addcmul_(block, radial[part])
                values[part].index_copy_(1, features, pull)
        if rows is None:
            return to_embeddings, values, None, None
        # sorted and unique by the contract above: checking that again would cost a pass
        sparse = torch.sparse_coo_tensor(rows[None], values, tuple(weight.shape), is_coalesced=True, check_invariants=False)
        return to_embeddings, sparse, None, None
