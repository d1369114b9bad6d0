"""The stored embedding that a training begins from, or stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.embed import embed
from biocosmos.encoders.registry import load_towers
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import read_dense
from biocosmos.train.loop.processes import Processes

Array = npt.NDArray[Any]


def embed_base(collection: Collection, encoder: str, digest: str, where: Processes) -> None:
    """Embed the collection with ``encoder``, of whatever modality, if it is not; the first process does.

    Raises BiocosmosError when the stored vectors are by other weights than those of ``digest``.
    """
    if where.first and encoder not in collection.encoders:
        embed(collection, encoder, device=str(where.device))
    where.barrier()
    stored = collection.encoders[encoder].get("digest")
    if stored not in (None, digest):
        raise BiocosmosError(
            f"{collection.path} has vectors of '{encoder}' by other weights ({stored}) than it has now ({digest}): "
            f"run 'biocosmos embed {collection.path} --encoder {encoder} --overwrite'"
        )


def stored_vectors(collection: Collection, encoder: str, where: Processes) -> Callable[[Array], tuple[Array, Array]]:
    """A function from ids to (mask of those that have a vector, their unit vectors (m, d) float32); embeds what is not yet."""
    if where.first and encoder not in collection.encoders:
        load_towers(encoder)  # says at once what is wrong with the name
        embed(collection, encoder, device=str(where.device))
    where.barrier()
    column = collection.embedding_column(encoder)

    def look_up(ids: Array) -> tuple[Array, Array]:
        table = collection.take([str(id_) for id_ in ids], columns=["id", column])
        there = ~np.asarray(table[column].is_null())
        # a copy: arrow's cannot be written
        return there, np.array(read_dense(table[column], collection.encoders[encoder]), np.float32)

    return look_up
