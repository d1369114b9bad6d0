"""The names of taxa as keys of a space: zero-shot by every modality, and by their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biocosmos.encoders.texts import SpaceTexts, load_text_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.scores import Row, retrieval_scores
from biocosmos.evaluate.cross_modal.sides import TEXT, Array, Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.zero_shot.texts import NAME, names_of, text_vectors
from biocosmos.identify.namers.text import wording_of
from biocosmos.jobs.cross_modal_parts import rank_codes
from biocosmos.specimens.collection import Collection

NAMED = "name"
"""The kind of the keys."""


def names_of_ranks(
    collection: Collection, tower: str, ranks: Sequence[str], *, device: str = "auto"
) -> dict[str, tuple[Array, Array]]:
    """rank -> (vectors (t, d) float32 of the texts of its taxa, their nodes (t,) int64): all taxa of the collection, also those
    that no specimen has.

    tower: of texts. Raises BiocosmosError where it is another than the one the collection was embedded with.
    """
    loaded = load_text_encoder(tower, device=device)
    if collection.encoders[tower].get("digest") not in (None, loaded.digest):
        raise BiocosmosError(
            f"'{tower}' here has other weights than the one that embedded {collection.path}: "
            f"embed again with 'biocosmos embed {collection.path} --encoder {tower} --overwrite'"
        )
    encoder, taxonomy = SpaceTexts(loaded), collection.taxonomy
    found = {}
    for rank in ranks:
        nodes = np.flatnonzero(taxonomy.rank == taxonomy.ranks.index(rank))
        nodes = nodes[rank_codes(taxonomy, nodes)[rank] == nodes]
        if len(nodes):
            texts = text_vectors(encoder, names_of(taxonomy, nodes, {}, wording_of(encoder))["taxon"], (NAME,))
            found[rank] = texts, nodes.astype(np.int64)
    return found


def by_names(
    names: Mapping[str, tuple[Array, Array]], asked: Mapping[str, Side], *, bootstrap: Bootstrap | None = None
) -> list[Row]:
    """Rows as of :func:`~biocosmos.evaluate.cross_modal.scores.retrieval_scores`, with "name" as key: of every rank all its taxa
    answer, each by the text of its name. names: of :func:`names_of_ranks`."""
    others = {part: Side({m: v for m, v in side.vectors.items() if m != TEXT}, side.taxa) for part, side in asked.items()}
    rows: list[Row] = []
    for rank, (texts, nodes) in names.items():
        found = retrieval_scores(Side({TEXT: texts}, {rank: nodes}), others, bootstrap=bootstrap)
        rows += [{**row, "key": NAMED} for row in found]
    return rows
