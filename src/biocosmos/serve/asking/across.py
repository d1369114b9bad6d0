"""Questions across the modalities of a space: a barcode that finds pictures, words that do, a picture that finds barcodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from biocosmos.encoders.modality import MODALITIES, Modality
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.across import crossing_among
from biocosmos.jobs.across import knows_words as spaces_know_words
from biocosmos.jobs.space_queries import SpaceTowers
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import read_dense

if TYPE_CHECKING:
    from biocosmos.serve.catalogue.stored import Stored

CALLED: dict[str, str] = {
    "image": "pictures",
    "dna": "barcodes",
    "text": "names",
    "place": "places",
    "environment": "environments",
    "satellite": "satellite images",
    "audio": "sounds",
}
"""modality -> what its vectors are of, as the page says it."""
KINDS: dict[str, Modality] = {"images": "image", "texts": "text", "dna": "dna"}
"""What is asked about -> the modality of the tower that takes it."""


@dataclass(frozen=True)
class Crossing:
    """towers: that ask; encoder: the embedding that is searched; among: its modality; with_: modality of the vector that stands
    for a specimen, None for its first."""

    towers: SpaceTowers
    encoder: str
    among: Modality
    with_: Modality | None = None


def choices(collection: Collection) -> dict[str, str]:
    """modality -> words, of what can be found across a space; empty where the collection has none."""
    have = {modality for towers in collection.spaces().values() for modality in towers}
    return {modality: CALLED[modality] for modality in MODALITIES if modality in have}


def crossing_for(
    collection: Collection,
    asked: Mapping[str, Sequence[Any]],
    *,
    among: str | None,
    with_: str | None,
    encoder: str | None,
    knows_words: Callable[[], bool],
) -> Crossing | None:
    """How a question crosses; None where what is asked about is compared with its own kind.

    It does where ``among`` says so; where the embedding that was chosen is a tower of something else than what is asked about;
    and with words, unless the encoder in use ``knows_words``. Raises BiocosmosError for an unknown modality, and without a space.
    """
    for said in (among, with_):
        if said and said not in CALLED:
            raise BiocosmosError(f"nothing is called {said[:40]!r} here: choose {', '.join(CALLED)}")
    kinds = {KINDS[kind] for kind, given in asked.items() if given and kind in KINDS}
    among = among or _unasked(collection, kinds, encoder, knows_words)
    if not among:
        return None
    found = crossing_among(collection, among, encoder)
    ((modality, column),) = found.among.items()
    return Crossing(SpaceTowers(collection, found.space, found.digest), column, modality, _known(with_))


def _unasked(collection: Collection, kinds: set[Modality], encoder: str | None, knows_words: Callable[[], bool]) -> str | None:
    spaces = collection.spaces()
    for towers in spaces.values():
        for modality, column in towers.items():
            if encoder == column:
                return modality if kinds - {_known(modality)} or (kinds and modality == "text") else None
    if encoder or "text" not in kinds or not spaces_know_words(collection) or knows_words():
        return None
    return next(iter(next(iter(spaces.values()))))


def _known(modality: str | None) -> Modality | None:
    return next((each for each in MODALITIES if each == modality), None)


def can_ask(collection: Collection, kind: str) -> bool:
    """Whether there is a space here whose tower takes "images", "texts" or "dna"; nothing is loaded."""
    for space, columns in collection.spaces().items():
        digest = str(collection.encoders[next(iter(columns.values()))]["space"])
        try:
            SpaceTowers(collection, space, digest).name(KINDS[kind])
        except BiocosmosError:
            continue
        return True
    return False


def stored_vectors(crossing: Crossing, ids: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Of each specimen that has one its vector (dim,) that asks: of the modality that was said, else its first."""
    collection, found = crossing.towers.collection, dict[str, npt.NDArray[np.float32]]()
    columns = collection.spaces().get(crossing.towers.space, {})
    for modality, name in columns.items():
        if crossing.with_ in (None, modality):
            table = collection.take(list(ids), columns=[column := collection.embedding_column(name)])
            table = table.filter(table[column].is_valid())
            for id_, vector in zip(table["id"].to_pylist(), read_dense(table[column], collection.encoders[name]), strict=True):
                found.setdefault(id_, vector)
    return found


def with_both(collection: Collection, stored: Stored, ids: Sequence[str]) -> set[str]:
    """Those specimens whose barcode can ask among pictures, and that have a picture too."""
    rows, found = np.unique(stored.rows_of_ids(list(ids))), set[str]()
    rows = rows[rows >= 0]
    for towers in collection.spaces().values():
        columns = [collection.embedding_column(towers[each]) for each in ("image", "dna") if each in towers]
        if len(columns) == 2 and len(rows) and set(columns) <= set(stored.dataset.schema.names):
            table = stored.table(rows, ["id", *columns])
            there = pc.and_(*(table[column].is_valid() for column in columns))
            found |= set(table["id"].filter(there).to_pylist())
    return found
