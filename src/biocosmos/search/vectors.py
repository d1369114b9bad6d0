"""What the search accepts as vectors: arrays or tensors of any float type, checked once and made unit length."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from biocosmos.errors import BiocosmosError

UNIT_TOLERANCE = 1e-6  # a float32 vector normalised anywhere is this close to unit length; such rows are left bit for bit
_SHOWN = 5
_BLOCK_VALUES = 1 << 24


def as_matrix(x: Any, *, what: str) -> torch.Tensor:
    """``x`` as a contiguous float32 tensor (rows, dim); a single vector becomes one row. No copy where none is needed.

    Raises BiocosmosError when ``x`` is not a numeric matrix.
    """
    if isinstance(x, torch.Tensor):
        tensor = x.detach()
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "fiu" or array.dtype == np.longdouble:
            raise BiocosmosError(f"{what} must be numbers, but the array's type is {array.dtype}: pass float vectors")
        array = np.ascontiguousarray(array)
        tensor = torch.from_numpy(array) if array.flags.writeable else _read_only(array)
    if tensor.ndim == 1:
        tensor = tensor[None]
    if tensor.ndim != 2:
        raise BiocosmosError(f"{what} must be a matrix (rows, dim), but its shape is {tuple(tensor.shape)}")
    return tensor.to(torch.float32).contiguous()


def _read_only(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """A tensor over a view of an Arrow buffer: torch warns, but nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def unit_rows(x: torch.Tensor, *, what: str, names: Sequence[Any] | np.ndarray[Any, Any] | None = None) -> torch.Tensor:
    """``x`` (rows, dim) float32 with rows of unit length; the same tensor when they already are.

    Raises BiocosmosError naming the first rows (by ``names`` if given) that are zero or not finite.
    """
    norms = row_norms(x)
    bad = torch.nonzero(~(torch.isfinite(norms) & (norms > 0)))[:, 0].tolist()
    if bad:
        shown = ", ".join(str(i if names is None else names[i]) for i in bad[:_SHOWN]) + (", ..." if len(bad) > _SHOWN else "")
        by = "row" if names is None else "id"
        raise BiocosmosError(
            f"{len(bad)} of {len(x)} {what} vectors are zero or not finite ({by} {shown}): leave them out or embed them again"
        )
    if bool(((norms - 1).abs() <= UNIT_TOLERANCE).all()):
        return x
    return (x.double() / norms[:, None]).float() if x.numel() <= _BLOCK_VALUES else _divide_in_blocks(x, norms)


def row_norms(x: torch.Tensor) -> torch.Tensor:
    """Euclidean length of each row, (rows,) float64, in blocks so that no whole float64 copy is made (float32 on MPS)."""
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    norms = torch.empty(len(x), dtype=wide, device=x.device)
    step = max(1, _BLOCK_VALUES // max(1, x.shape[1]))
    for i in range(0, len(x), step):
        torch.linalg.vector_norm(x[i : i + step], dim=1, dtype=wide, out=norms[i : i + step])
    return norms


def _divide_in_blocks(x: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    step = max(1, _BLOCK_VALUES // max(1, x.shape[1]))
    for i in range(0, len(x), step):
        out[i : i + step] = x[i : i + step].to(norms.dtype) / norms[i : i + step, None]
    return out
