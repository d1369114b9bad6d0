"""The stored embedding that a training begins from, or stands on."""

from __future__ import annotations

from biocosmos.embed import embed
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.train.loop.processes import Processes


def embed_base(collection: Collection, encoder: str, towers: Towers, where: Processes) -> None:
    """Embed the collection with ``encoder`` if it is not; the first process does.

    Raises BiocosmosError when the stored vectors are by other weights than ``towers``.
    """
    if where.first and encoder not in collection.encoders:
        embed(collection, encoder, device=str(where.device))
    where.barrier()
    stored = collection.encoders[encoder].get("digest")
    if stored not in (None, towers.digest):
        raise BiocosmosError(
            f"{collection.path} has vectors of '{encoder}' by other weights ({stored}) than it has now ({towers.digest}): "
            f"run 'biocosmos embed {collection.path} --encoder {encoder} --overwrite'"
        )
