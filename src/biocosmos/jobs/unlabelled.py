"""The specimens of a collection that nobody has named, asked about as the part ``unlabelled``, and those named otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.identify_settings import IdentifySettings, asks_unlabelled
from biocosmos.search.conditions import all_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.conditions import shown
from biocosmos.specimens.settings import UNLABELLED


def selection(collection: Collection, settings: IdentifySettings, ranks: Sequence[str] = ()) -> tuple[str | None, str | None]:
    """(part of a split, SQL condition) of the specimens that ``settings.part`` asks about; ranks: of the namer, beside those of
    the collection, at which an unlabelled specimen has no name either."""
    if not asks_unlabelled(settings):
        return settings.part, settings.where
    return None, all_of(_nameless(collection, ranks), settings.where)


def refuse_nothing(collection: Collection, settings: IdentifySettings) -> None:
    """Raise BiocosmosError where no specimen is unlabelled, none of these has a vector, or none that has a name is chosen."""
    if not asks_unlabelled(settings):
        return
    _, chosen = selection(collection, settings)
    count = collection.count(where=chosen)
    where = "" if settings.where is None else f" where {shown(settings.where)}"
    if not count and not collection.count(where=settings.where):
        raise BiocosmosError(f"nothing to identify: {collection.path} has no specimen{where}")
    if not count:
        raise BiocosmosError(f"nothing to identify: every specimen of {collection.path}{where} has a name at some rank")
    if settings.head is not None:
        return  # it has its own known specimens, and embeds what it needs or looks at the images
    if where and not collection.count(where=all_of(f"NOT ({_nameless(collection, ())})", settings.where)):
        raise BiocosmosError(
            f"{collection.path} has no named specimen{where} to name the others by: --where chooses the known specimens too"
        )
    encoder = collection.encoder_name(settings.encoder)
    if not collection.count(where=all_of(chosen, f"`{collection.embedding_column(encoder)}` IS NOT NULL")):
        raise BiocosmosError(
            f"none of the {count:,} unlabelled specimens of {collection.path} has a vector of {encoder} yet: run "
            f"'biocosmos embed {collection.path} --encoder {encoder}' first"
        )


def notes(collection: Collection, settings: IdentifySettings, known: str | None) -> list[str]:
    """What a curator may take for otherwise than it is: labels that name no taxon, and a part that is called as this one.

    known: the part of a split that the known specimens are of, None for all.
    """
    said = []
    if asks_unlabelled(settings) and "default" in collection.split_names and UNLABELLED in collection.split().counts():
        said.append(f"named are the specimens without a name; the part of the default split is --part default:{UNLABELLED}")
    if settings.head is not None or "label" not in collection.stored_columns or "label" in collection.ranks:
        return said
    nameless = _nameless(collection, ())
    chosen = {"split": known}
    without = collection.count(where=all_of(f"{nameless} AND label IS NOT NULL", settings.where), **chosen)
    if without:
        all_labelled = collection.count(where=all_of(f"label IS NOT NULL OR NOT ({nameless})", settings.where), **chosen)
        said.append(
            f"{without:,} of {all_labelled:,} labelled specimens have no name at any rank and are not among the known: give them "
            "one ('biocosmos relabel'), or ingest with --ranks label"
        )
    return said


def _nameless(collection: Collection, ranks: Sequence[str]) -> str:
    """The condition that a specimen has no name; where the collection has no ranks, that it has no label."""
    columns = list(dict.fromkeys([*collection.ranks, *ranks])) or ["label"]
    return " AND ".join(f"`{column}` IS NULL" for column in columns if column in collection.stored_columns) or "true"
