"""An identifier as a folder: JSON, NumPy arrays and Parquet, nothing that runs code when it is read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

FORMAT = 1
_STATE, _ARRAYS, _VECTORS, _ROWS, _TAXONOMY = (
    "identifier.json",
    "arrays.npz",
    "vectors.npy",
    "gallery.parquet",
    "taxonomy.parquet",
)


def save_folder(
    folder: str | Path, state: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]], gallery: Gallery
) -> Path:
    """Write to a temporary folder beside ``folder``, then take its place; an older identifier there is replaced, nothing else."""
    folder = Path(folder)
    if folder.exists() and not (folder / _STATE).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BiocosmosError(f"{folder} exists and is not an identifier: choose another folder")
    assert gallery.taxonomy is not None and gallery.taxa is not None
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        gallery.taxonomy.save(temporary / _TAXONOMY)
        pq.write_table(pa.table({"id": pa.array(gallery.ids, pa.string()), "taxon": pa.array(gallery.taxa)}), temporary / _ROWS)
        np.save(temporary / _VECTORS, gallery.vectors, allow_pickle=False)
        with (temporary / _ARRAYS).open("wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]
        text = json.dumps({"format": FORMAT, **state, "gallery": gallery.provenance}, indent=1, default=str)
        (temporary / _STATE).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]], Gallery]:
    """Read what :func:`save_folder` wrote; vectors are mapped from the file, not read.

    Raises BiocosmosError when it is no identifier or of another format.
    """
    folder = Path(folder)
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if state["format"] != FORMAT:
            raise BiocosmosError(f"{folder} has format {state['format']}, this version reads {FORMAT}: fit the identifier again")
        rows = pq.read_table(folder / _ROWS)
        with np.load(folder / _ARRAYS, allow_pickle=False) as archive:
            arrays: dict[str, NDArray[np.generic]] = {name: archive[name] for name in archive.files}
        vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
        taxonomy = Taxonomy.load(folder / _TAXONOMY)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read an identifier from {folder}: {' '.join(str(error).split())}") from error
    gallery = Gallery(
        ids=rows.column("id").to_numpy(zero_copy_only=False),
        vectors=vectors,
        taxa=rows.column("taxon").to_numpy().astype(np.int32),
        taxonomy=taxonomy,
        provenance=state["gallery"],
    )
    return state, arrays, gallery
