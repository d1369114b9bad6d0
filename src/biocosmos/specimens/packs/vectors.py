"""Vectors of a pack: kept in two bytes or one a number, given back as unit float32 rows, and what that cost in recall."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
MOST_ASKED = 2000
"""Specimens that recall is measured with, a seeded sample of more."""
_HIGHEST = 127
_TYPES = {"float32": np.float32, "float16": np.float16, "int8": np.int8}


def kept(vectors: Float32, kind: str) -> dict[str, Array]:
    """Arrays to store (n, d) unit rows as ``kind``: "float32" or "float16" ``vectors``, or "int8" ones with a ``scale`` (n,)
    float32 for each row, of which the largest number becomes 127."""
    if kind in ("float32", "float16"):
        return {"vectors": vectors.astype(_TYPES[kind])}
    largest = np.abs(vectors).max(axis=1, initial=0)
    scale = np.where(largest > 0, largest / _HIGHEST, 1).astype(np.float32)
    return {"vectors": np.rint(vectors / scale[:, None]).astype(np.int8), "scale": scale}


def given_back(arrays: Mapping[str, Array]) -> Float32:
    """(n, d) float32 unit rows of what :func:`kept` gave."""
    vectors = arrays["vectors"].astype(np.float32)
    if "scale" in arrays:
        vectors *= arrays["scale"][:, None]
    if arrays["vectors"].dtype == np.float32:
        return vectors
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)


def read_vectors(path: Path, kind: str, rows: int, dim: int) -> Float32:
    """The (rows, dim) vectors in a file of a pack. Raises BiocosmosError for a file of anything else, naming it."""
    arrays = read_tensors(path)
    wanted: dict[str, tuple[tuple[int, ...], Any]] = {"vectors": ((rows, dim), _TYPES[kind])}
    if kind == "int8":
        wanted["scale"] = ((rows,), np.float32)
    for name, (shape, dtype) in wanted.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise BiocosmosError(f"{path} holds no '{name}' of {kind} {shape}: get the pack again from where it came")
    vectors = given_back(arrays)
    if not np.isfinite(vectors).all():
        raise BiocosmosError(f"{path} holds vectors that are no number: get the pack again from where it came")
    return vectors


def write_tensors(path: Path, arrays: Mapping[str, Array]) -> None:
    """A safetensors file: a header of names, types and shapes, then the numbers; nothing in it can run."""
    save_file({name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}, path)
    path.chmod(0o644)  # the library leaves it to its owner alone


def read_tensors(path: Path) -> dict[str, Array]:
    """The arrays in a safetensors file. Raises BiocosmosError for a file that is none."""
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BiocosmosError(f"cannot read {path} ({first_line(error)}): get the pack again from where it came") from error


def measured(gallery: Gallery, kind: str, seed: int = 0) -> dict[str, Any] | None:
    """What keeping vectors as ``kind`` costs: recall@1 of the taxon before and after, each specimen asked about without itself.

    Asked are the labelled specimens, or a seeded sample of :data:`MOST_ASKED`, by the vectors they have now; "same": the share
    whose nearest specimen stays the same. None where there are fewer than two.
    """
    if gallery.taxa is None:
        return None
    labelled = np.flatnonzero(gallery.taxa > 0)
    if len(labelled) < 2:
        return None
    rows = labelled if len(labelled) <= MOST_ASKED else np.sort(np.random.default_rng(seed).permutation(labelled)[:MOST_ASKED])
    known = gallery.subset(labelled)
    asked, names, truth = gallery.vectors[rows], gallery.ids[rows], gallery.taxa[rows]
    before = known.search(asked, 1, exclude=names)
    other = Gallery(known.ids, given_back(kept(known.vectors, kind)), known.taxa, known.taxonomy)
    after = other.search(asked, 1, exclude=names)
    right, now = before.taxa[:, 0] == truth, after.taxa[:, 0] == truth
    return {
        "asked": len(rows),
        "recall@1": round(float(right.mean()), 6),
        "recall@1 kept": round(float(now.mean()), 6),
        "loss": round(float(right.mean() - now.mean()), 6),
        "same": round(float((before.rows[:, 0] == after.rows[:, 0]).mean()), 6),
    }
