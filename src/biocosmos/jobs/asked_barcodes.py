"""DNA barcodes of files that are asked about: as letters for a namer of barcodes, as vectors for one of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from biocosmos.barcodes.cleaning import Cleaning
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import NOT_COMPARED, BarcodeEncoder, comparable
from biocosmos.encoders.modality import modality_of
from biocosmos.errors import BiocosmosError, Failure, Failures
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Ids, Specimens
from biocosmos.identify.namers.trained import TrainedNamer
from biocosmos.jobs.asked import AskedBlock, _quietly
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.queries import barcode_encoder_of_column, encoder_for
from biocosmos.jobs.sequence_files import STAGE
from biocosmos.jobs.sequences import OfFiles
from biocosmos.settings import refuse_changed
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

BLOCK = 512
"""Barcodes of a block: as vectors of 16,384 numbers they take 32 MB."""
KNOWN = "a specimen that names would come from has this id: rename it in the file, or name the collection's own with --part"


class AskedBarcodes:
    """Blocks of barcodes; see :class:`biocosmos.jobs.asked.Asked`. encoder: of a namer of vectors, None for one of barcodes;
    known: ids of the specimens that names come from, by which nothing may be named that has the same id."""

    images = False
    total: int | None = None

    def __init__(self, asking: OfFiles, encoder: BarcodeEncoder | None, known: Sequence[Ids] = ()) -> None:
        self._asking, self._encoder, self._known = asking, encoder, known

    @property
    def computed(self) -> dict[str, Any]:
        """What decides the last bits of vectors."""
        facts = {} if self._encoder is None else self._encoder.metadata()
        return {name: facts[name] for name in ("name", "digest", "precision", "backend", "device") if name in facts}

    def digests(self) -> Iterator[str]:
        """Of the files and the number."""
        return self._asking.digests()

    def blocks(self, done: Callable[[int], bool], advance: Callable[[int], None] = _quietly) -> Iterator[AskedBlock]:
        """One after the other: what is cleaned and encoded takes a hundredth of the naming."""
        for block in self._asking.blocks(done):
            asked = AskedBlock(block.number, block.asked, [], block.failures)
            if not done(block.number):
                known = self.known_among(block.ids)
                asked.failures = [*block.failures, *(Failure(STAGE, "error", None, None, id_, KNOWN) for id_ in sorted(known))]
                new = [(id_, barcode) for id_, barcode in zip(block.ids, block.barcodes, strict=True) if id_ not in known]
                if new:
                    specimens, failed = self.specimens([id_ for id_, _ in new], [barcode for _, barcode in new])
                    asked.specimens, asked.failures = [specimens] if len(specimens) else [], [*asked.failures, *failed]
                advance(block.asked)
            yield asked

    def known_among(self, ids: Sequence[str]) -> set[str]:
        """Those of some ids that known specimens have."""
        return {id_ for known in self._known for id_ in guard.common(np.array(ids, object), known)}

    def specimens(self, ids: list[str], barcodes: list[str]) -> tuple[Specimens, list[Failure]]:
        """What the namer takes of cleaned barcodes, and those that have nothing to compare."""
        names, letters = np.array(ids, object), np.array(barcodes, object)
        if self._encoder is None:
            return Specimens(names, barcodes=letters), []
        found = self._encoder.encode_barcodes(barcodes)
        vectors = found.dense() if isinstance(found, KmerCounts) else np.asarray(found, np.float32)
        good = comparable(vectors)
        failed = [Failure(STAGE, "error", None, None, str(id_), NOT_COMPARED) for id_ in names[~good]]
        return Specimens(names[good], vectors=vectors[good], barcodes=letters[good]), failed


def asked_barcodes(collection: Collection, identifier: Identifier, settings: IdentifySettings, asking: OfFiles) -> AskedBarcodes:
    """Barcodes as the identifier takes them. Raises BiocosmosError for a namer of images, and UnusedSetting for what leaves
    barcodes as they are."""
    namer = identifier.namer
    where = "where images are embedded, and these are DNA barcodes"
    refuse_changed(settings, ("backend", "batch_size", "workers"), where)
    known = known_ids(identifier)
    if namer.takes in ("barcodes", "both"):
        return AskedBarcodes(asking, None, known)
    if isinstance(namer, TrainedNamer) and (namer.takes == "images" or modality_of(namer.encoder) != "dna"):
        raise BiocosmosError(f"the head in {namer.folder} was trained on images, and these are DNA barcodes: leave --head out")
    name = namer.encoder if isinstance(namer, TrainedNamer) else collection.encoder_name(settings.encoder)
    encoder = barcode_encoder_of_column(collection, name, device=settings.device, precision=settings.precision)
    return AskedBarcodes(asking, encoder, known)


def known_ids(identifier: Identifier) -> list[Ids]:
    """Of the specimens that names come from."""
    return [identifier.calibrated_on, *([] if identifier.known is None else [identifier.known.ids])]


def barcode_specimens(
    collection: Collection,
    identifier: Identifier,
    barcodes: Mapping[str, str],
    *,
    encoder: str | None = None,
    failures: Failures | None = None,
) -> Specimens:
    """Sequences of a program as a block that ``identifier.stream`` names, cleaned as those of files are.

    >>> identifier = identifier_of(collection, encoder="kmer:7")
    >>> block = barcode_specimens(collection, identifier, {"unknown 1": "AACATTATATTTTATTTTCGG..."})
    >>> table = identifier.finished([said.table for said in identifier.stream([block])])

    barcodes: id -> letters. encoder: of a namer of vectors, by default the collection's embedding of barcodes. Sequences that are
    none are in ``failures``; without it they raise BiocosmosError.
    """
    told = Failures() if failures is None else failures
    cleaned = Cleaning().clean(list(barcodes.values()))
    kept = {id_: one.sequence for id_, one in zip(barcodes, cleaned, strict=True) if one.sequence is not None}
    for id_, one in zip(barcodes, cleaned, strict=True):
        if one.refused is not None:
            told.add(one.refused, stage=STAGE, id=id_)
    made: BarcodeEncoder | None = None
    if identifier.namer.takes not in ("barcodes", "both"):
        made = barcode_encoder_of_column(collection, encoder_for(collection, encoder, "sequences"))
    specimens, failed = AskedBarcodes(OfFiles([], BLOCK), made).specimens(list(kept), list(kept.values()))
    for row in failed:
        told.append(row)
    if failures is None and told.errors:
        first = next(iter(told))
        raise BiocosmosError(f"{told.errors:,} of {len(barcodes):,} sequences cannot be named; {first.id}: {first.reason}")
    return specimens
