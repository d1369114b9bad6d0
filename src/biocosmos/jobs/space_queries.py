"""What is asked about, as vectors of a space: images, words and barcodes each by their own tower, specimens by what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import NOT_COMPARED, comparable, load_barcode_encoder
from biocosmos.encoders.modality import Modality, towers_of
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import image_files
from biocosmos.jobs.barcode_search import STAGE, asked_letters
from biocosmos.jobs.queries import Queries, image_encoder, specimen_queries
from biocosmos.jobs.settings import SearchSettings
from biocosmos.specimens.collection import Collection
from biocosmos.trust import refuse_code

TAKES: dict[str, str] = {"image": "images", "dna": "DNA barcodes", "text": "texts"}
"""modality -> what its tower takes, in words."""


def space_queries(
    collection: Collection, space: str, digest: str, ask_with: str | None, settings: SearchSettings
) -> Iterator[tuple[Modality, Queries]]:
    """Everything that ``settings`` asks about, block by block, with the modality of the tower that made its vectors.

    space, digest: the space's name and its digest, as the searched columns have it; ask_with: the modality of the vector that
    stands for a specimen. No column of the asking tower is needed but for specimens.

    Raises BiocosmosError for a tower that the space does not have or that is of another training than the searched columns, for a
    specimen without a vector, and where nothing is asked.
    """
    if not (settings.images or settings.text or settings.id or settings.dna or settings.fasta):
        raise BiocosmosError("nothing to ask: give images, --text, --dna, --fasta or --id")
    if settings.id:
        column = collection.tower(space, ask_with or "image")
        yield _modality(column), _specimens(collection, column, settings)
    if settings.images:
        how = {name: getattr(settings, name) for name in ("device", "precision", "backend")}
        name = tower_here(collection, space, "image", typed=settings.encoder is not None)
        encoder = image_encoder(name, collection.encoders.get(name, {}), **how)
        refuse_other_training(collection, space, digest, encoder.metadata())
        failures = Failures()
        files = image_files(settings.images, failures)
        vectors, kept = encoder.encode_files([str(file) for file in files], failures=failures)
        yield "image", Queries([str(files[row]) for row in kept], vectors, False, failures, encoder.metadata())
    if settings.text:
        from biocosmos.encoders.texts import load_text_encoder

        words = load_text_encoder(tower_here(collection, space, "text", typed=settings.encoder is not None))
        refuse_other_training(collection, space, digest, words.metadata())
        made = np.asarray(words.encode_texts(list(settings.text)), np.float32)
        yield "text", Queries(list(settings.text), made, False, Failures(), words.metadata())
    if settings.dna or settings.fasta:
        yield from (("dna", block) for block in _barcodes(collection, space, digest, settings))


def tower_here(collection: Collection, space: str, modality: Modality, *, typed: bool) -> str:
    """The name of a space's tower, which is on this machine; typed: a person named the space, else the collection did.

    Raises BiocosmosError where the space's folder is not here, or has no tower of this modality.
    """
    if not typed:
        refuse_code(space, collection.path)
    towers = towers_of(space)
    if not towers:
        raise BiocosmosError(
            f"the space '{space}' that embedded {collection.path} is not here, and its tower must make vectors of what is asked "
            "about: run this where its folder is, or ask with --id"
        )
    if modality not in towers:
        raise no_such_tower(space, modality, towers)
    return towers[modality]


def no_such_tower(space: str, modality: str, towers: Iterable[str]) -> BiocosmosError:
    """What is said of a space without a tower of this modality."""
    have = " and ".join(TAKES[each] for each in towers)
    return BiocosmosError(f"the space '{space}' has no tower of {TAKES[modality]}: it was trained with {have}")


def refuse_other_training(collection: Collection, space: str, digest: str, facts: Mapping[str, Any]) -> None:
    """Raise BiocosmosError unless the loaded tower with these facts is of the space that the searched columns are of."""
    if facts.get("space") != digest:
        raise BiocosmosError(
            f"'{facts.get('name', space)}' here is not of the training that embedded {collection.path}, and vectors of two "
            f"trainings cannot be compared: embed again with 'biocosmos embed {collection.path} -e {space} --overwrite'"
        )


def _modality(column: str) -> Modality:
    return column.rpartition("/")[2]  # type: ignore[return-value]


def _specimens(collection: Collection, column: str, settings: SearchSettings) -> Queries:
    try:
        return specimen_queries(collection, column, settings.id)
    except BiocosmosError as error:
        if settings.ask_with is None and "has no vector" in str(error):
            said = str(error).partition(":")[0]
            raise BiocosmosError(f"{said}: ask with its barcode or its name (--ask-with dna or text), or embed") from None
        raise


def _barcodes(collection: Collection, space: str, digest: str, settings: SearchSettings) -> Iterator[Queries]:
    name = tower_here(collection, space, "dna", typed=settings.encoder is not None)
    encoder = load_barcode_encoder(name)
    facts = encoder.metadata()
    refuse_other_training(collection, space, digest, facts)
    for asked in asked_letters(collection, SearchSettings(dna=settings.dna, fasta=settings.fasta)):
        rows = encoder.encode_barcodes(asked.barcodes) if asked.names else np.empty((0, encoder.dim), np.float32)
        vectors = rows.dense() if isinstance(rows, KmerCounts) else rows
        good = comparable(vectors)
        for place in np.flatnonzero(~good):
            asked.failures.add(f"the barcode has {NOT_COMPARED}", stage=STAGE, id=asked.names[int(place)])
        yield Queries([asked.names[int(i)] for i in np.flatnonzero(good)], vectors[good], False, asked.failures, facts)
