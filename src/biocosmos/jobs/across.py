"""Search across the modalities of a space: what is asked about is encoded by its own tower, and found among those of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.encoders.modality import MODALITIES, Modality, towers_of
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.around_queries import asked_around, asking
from biocosmos.jobs.barcode_search import search_barcodes
from biocosmos.jobs.searched import nothing_to_search, searcher
from biocosmos.jobs.settings import ALL, SearchSettings
from biocosmos.jobs.space_queries import SpaceTowers, no_such_tower, space_queries
from biocosmos.provenance import encoder_name
from biocosmos.search.hits import Hits
from biocosmos.settings import UnusedSetting
from biocosmos.specimens.collection import Collection


@dataclass(frozen=True)
class Crossing:
    """A search in a space. space, digest: its name, and what tells it from another training; among: modality -> the embedding
    that is searched, image before DNA before text."""

    space: str
    digest: str
    among: dict[Modality, str]


def crossing_of(collection: Collection, settings: SearchSettings) -> Crossing | None:
    """How the search crosses modalities; None where everything is compared with its own kind by one encoder.

    It does with ``among``; where ``encoder`` is a tower of something else than what is asked about, whose vectors are then looked
    at; and where words are asked about and the encoder has no text tower, but there is a space.
    Raises BiocosmosError where ``among`` has no space, or several and none was named, or not the vectors that are asked for.
    """
    among = settings.among or _unasked(collection, settings)
    if among is None:
        if settings.ask_with is not None:
            raise UnusedSetting("ask_with", "--ask-with", "with --among")
        return None
    if (settings.dna or settings.fasta) and (settings.images or settings.text or settings.id or asked_around(settings)):
        raise BiocosmosError("--dna and --fasta go with nothing else that is asked about: search twice")
    crossing = crossing_among(collection, among, settings.encoder)
    if not _barcodes_among_barcodes(crossing, settings) and (settings.fold or not settings.align):
        name, called = ("fold", "--fold") if settings.fold else ("align", "--no-align")
        raise UnusedSetting(name, called, "where barcodes are asked about among barcodes")
    return crossing


def crossing_among(collection: Collection, among: str, encoder: str | None = None) -> Crossing:
    """The space that ``encoder`` is or is of, or the only one, and its embeddings of a modality, or of all. Raises BiocosmosError
    as :func:`crossing_of`."""
    space = space_named(collection, encoder)
    have = collection.spaces()[space]
    if among != ALL and among not in have and (towers := towers_of(space)) and among not in towers:
        raise no_such_tower(space, among, towers)
    chosen = have if among == ALL else {among: collection.tower(space, among)}
    searched: dict[Modality, str] = {modality: chosen[modality] for modality in MODALITIES if modality in chosen}
    return Crossing(space, str(collection.encoders[next(iter(searched.values()))]["space"]), searched)


def space_named(collection: Collection, encoder: str | None) -> str:
    """The space of a collection that ``encoder`` is, or is a tower of; None for its only one. Raises BiocosmosError without."""
    spaces = collection.spaces()
    if encoder is None and not spaces:
        raise BiocosmosError(
            f"{collection.path} has no vectors of a space, in which images, barcodes and texts can be compared: make one with "
            f"'biocosmos train contrastive {collection.path} -o run/', then 'biocosmos embed {collection.path} -e run/'"
        )
    name = None if encoder is None else encoder_name(encoder)
    facts = collection.encoders.get(name or "")
    if name is not None and facts is not None and not facts.get("space"):
        there = f": name {' or '.join(spaces)} with --encoder" if spaces else ", and there is none here: see 'train contrastive'"
        raise BiocosmosError(f"'{name}' is no tower of a space, so its vectors compare with nothing but their own kind{there}")
    found = next((space for space, towers in spaces.items() if name == space or name in towers.values()), None)
    return found or collection.tower(encoder, "image").rpartition("/")[0]


def search_across(
    collection: Collection, crossing: Crossing, settings: SearchSettings
) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The nearest of everything that is asked about among the vectors of other towers: a table of query, position from 1, id,
    score (cosine), among (modality of the vector that was found) and asked_with (of the one that asked); what failed; and with
    what it was searched.

    Barcodes among barcodes are aligned, as :func:`biocosmos.jobs.barcode_search.search_barcodes` does.
    """
    if _barcodes_among_barcodes(crossing, settings):
        table, failures, searched = search_barcodes(collection, crossing.among["dna"], settings)
        both = pa.array(["dna"] * table.num_rows, pa.string())
        for place, name in ((4, "among"), (5, "asked_with")):
            table = table.add_column(place, name, both)
        return table, failures, {"search": searched}
    searchers = {modality: searcher(collection, name, settings) for modality, name in crossing.among.items()}
    ready = {modality: search for modality, search in searchers.items() if search is not None}
    if not ready:
        raise nothing_to_search(collection)
    failures, tables, asking = Failures(), [_EMPTY], dict[str, Any]()
    towers = SpaceTowers(collection, crossing.space, crossing.digest, typed=settings.encoder is not None)
    for modality, block in space_queries(towers, settings):
        failures.extend(block.failures)
        asking[modality] = block.encoder
        if block.ids:
            exclude = block.ids if block.specimens else None
            found = {among: search(block.vectors, exclude) for among, search in ready.items()}
            tables.append(nearest(block.ids, found, modality, settings.k))
    if (settings.dna or settings.fasta) and len(tables) == 1:
        why = failures.gravest() if len(failures) else "no sequence"
        raise BiocosmosError(f"nothing to ask: none of the barcodes can be compared ({why})")
    return pa.concat_tables(tables), failures, {"asked with": asking}


def nearest(names: list[str], found: Mapping[Modality, Hits], asked_with: Modality, k: int) -> pa.Table:
    """The ``k`` best hits of each query over several galleries, as rows of a table; equal scores as the galleries stand."""
    scores = np.concatenate([hits.scores for hits in found.values()], axis=1)
    ids = np.concatenate([hits.ids for hits in found.values()], axis=1)
    among = np.concatenate([np.full(hits.rows.shape[1], modality, object) for modality, hits in found.items()])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    query, position = np.nonzero(np.isfinite(np.take_along_axis(scores, best, axis=1)))
    place = best[query, position]
    return pa.table(
        [
            pa.array([names[i] for i in query], pa.string()),
            pa.array(position + 1, pa.int32()),
            pa.array(ids[query, place].tolist(), pa.string()),
            pa.array(scores[query, place], pa.float32()),
            pa.array(among[place].tolist(), pa.string()),
            pa.array([asked_with] * len(query), pa.string()),
        ],
        schema=_EMPTY.schema,
    )


def provenance_of(collection: Collection, crossing: Crossing) -> dict[str, Any]:
    """What a crossing adds to what made a table."""
    return {
        "space": {"name": crossing.space, "digest": crossing.digest},
        "among": {modality: collection.encoders[name] for modality, name in crossing.among.items()},
    }


def _unasked(collection: Collection, settings: SearchSettings) -> str | None:
    """Among which vectors of a space is looked where nobody said so; None where no space is needed."""
    spaces = collection.spaces()
    kinds: dict[str, Any] = {"image": settings.images, "text": settings.text, "dna": settings.dna or settings.fasta}
    asked = {modality for modality, given in (kinds | asked_around(settings)).items() if given}
    if not spaces or not asked:
        return None
    name = None if settings.encoder is None else encoder_name(settings.encoder)
    for space, towers in spaces.items():
        for modality, tower in towers.items():
            if name == tower:
                others = {asking(what, towers) for what in asked} - {modality}
                return modality if others or modality == "text" else None
        if name == space:
            return next(iter(towers)) if "text" in asked else None
    if "text" not in asked or name is not None or not knows_words(collection):
        return None
    default = collection.default_encoder
    if default is not None and collection.encoders[default].get("modality") == "image+text":
        return None
    return next(iter(spaces[space_named(collection, None)]))


def knows_words(collection: Collection) -> bool:
    """Whether a space of the collection has a text tower."""
    return any("text" in towers or "text" in towers_of(space) for space, towers in collection.spaces().items())


def _barcodes_among_barcodes(crossing: Crossing, settings: SearchSettings) -> bool:
    """Whether that is all that is asked, so that alignments put those that are found in order."""
    asked = bool(settings.dna or settings.fasta) or (bool(settings.id) and settings.ask_with == "dna")
    others = settings.images or settings.text or asked_around(settings)
    return list(crossing.among) == ["dna"] and asked and not others and not settings.approximate


_EMPTY = pa.schema(
    [
        ("query", pa.string()),
        ("position", pa.int32()),
        ("id", pa.string()),
        ("score", pa.float32()),
        ("among", pa.string()),
        ("asked_with", pa.string()),
    ]
).empty_table()
