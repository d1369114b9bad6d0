"""Embed a collection, or keep vectors that were made elsewhere, and choose what other verbs use by default."""

from __future__ import annotations

from biocosmos.embed import EmbedSummary, embed
from biocosmos.encoders.modality import BOUND
from biocosmos.jobs.settings import EmbedSettings
from biocosmos.settings import SettingError
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.given_vectors import GivenSummary, add, read_facts, read_vectors


def embed_collection(collection: Collection, settings: EmbedSettings) -> EmbedSummary:
    """Embed with ``settings.encoder``, its tokens reduced where that is asked for.

    The collection's first embedding becomes its default, as does one asked to be.
    """
    summary = embed(
        collection,
        settings.name,
        resize=settings.resize,
        batch_size=settings.batch_size,
        workers=settings.workers,
        overwrite=settings.overwrite,
        **settings.how(),
    )
    _choose(collection, summary.encoder, settings.default)
    return summary


def keep_vectors(collection: Collection, settings: EmbedSettings) -> GivenSummary:
    """Store the vectors in the file ``settings.vectors`` under the name ``settings.encoder``.

    Vectors that export wrote of this encoder are its own again, with its weights: nothing is embedded anew for them.
    """
    if settings.vectors is None:
        raise SettingError("there are no vectors to keep: name their file with --from")
    rows = read_vectors(settings.vectors, settings.ids)
    facts = read_facts(settings.vectors)
    summary = add(collection, settings.encoder, rows.ids, rows.matrix, overwrite=settings.overwrite, facts=facts)
    _choose(collection, settings.encoder, settings.default)
    return summary


def _choose(collection: Collection, encoder: str, wanted: bool) -> None:
    name = collection.encoder_name(encoder)
    if wanted or (collection.default_encoder == name and collection.encoders[name].get("modality") not in BOUND):
        collection.set_default_encoder(encoder)
