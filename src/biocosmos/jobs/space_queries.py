"""What is asked about, as vectors of a space: images, words and barcodes each by their own tower, specimens by what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import NOT_COMPARED, BarcodeEncoder, comparable, load_barcode_encoder
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.modality import TAKES, Modality, towers_of
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import image_files
from biocosmos.jobs.around_queries import around_encoder, around_queries, asked_around, asking
from biocosmos.jobs.barcode_search import STAGE, asked_letters
from biocosmos.jobs.queries import Queries, image_encoder, specimen_queries
from biocosmos.jobs.settings import SearchSettings
from biocosmos.settings import UnusedSetting, flag
from biocosmos.specimens.collection import Collection
from biocosmos.trust import refuse_code

if TYPE_CHECKING:
    from biocosmos.encoders.beside.encoder import FileEncoder
    from biocosmos.encoders.places.encoder import PlaceEncoder
    from biocosmos.encoders.texts import TextEncoder
    from biocosmos.specimens.taxon_texts import Wording

Loaded = TypeVar("Loaded", Encoder, BarcodeEncoder, "TextEncoder", "PlaceEncoder | FileEncoder")


@dataclass(frozen=True)
class SpaceTowers:
    """The towers of a space that make vectors of what is asked about.

    space, digest: its name and what tells its training, as the searched columns of the collection have them; typed: a person
    named it, else the collection did. Each method loads a tower, and raises BiocosmosError where the folder of the space is not
    here, has no such tower, or is of another training.
    """

    collection: Collection
    space: str
    digest: str
    typed: bool = False

    def image(self, **how: Any) -> Encoder:
        """how: device, precision and backend."""
        name = self.name("image")
        return self._of_this_training(image_encoder(name, self.collection.encoders.get(name, {}), **how))

    def dna(self) -> BarcodeEncoder:
        """Of barcodes."""
        return self._of_this_training(load_barcode_encoder(self.name("dna")))

    def text(self, *, device: str = "auto") -> TextEncoder:
        """Of texts."""
        name = self.name("text")
        from biocosmos.encoders.texts import load_text_encoder

        return self._of_this_training(load_text_encoder(name, device=device))

    def around(self, modality: Modality, *, device: str = "auto") -> PlaceEncoder | FileEncoder:
        """Of places, of the environment there, of satellite images or of sounds."""
        return self._of_this_training(around_encoder(self.name(modality), modality, device=device))

    def name(self, modality: Modality) -> str:
        """The name of a tower; nothing is loaded."""
        if not self.typed:
            refuse_code(self.space, self.collection.path)
        towers = towers_of(self.space)
        if not towers:
            raise BiocosmosError(
                f"the space '{self.space}' that embedded {self.collection.path} is not here, and its tower must make vectors of "
                "what is asked about: run this where its folder is, or ask with a specimen (--id)"
            )
        if modality not in towers:
            raise no_such_tower(self.space, modality, towers)
        return towers[modality]

    def _of_this_training(self, tower: Loaded) -> Loaded:
        if tower.metadata().get("space") != self.digest:
            path = self.collection.path
            raise BiocosmosError(
                f"'{tower.name}' here is not of the training that embedded {path}, and vectors of two trainings cannot be "
                f"compared: embed again with 'biocosmos embed {path} -e {self.space} --overwrite'"
            )
        return tower


def no_such_tower(space: str, modality: str, towers: Iterable[str]) -> BiocosmosError:
    """What is said of a space without a tower of this modality."""
    have = " and ".join(TAKES[each] for each in towers)
    return BiocosmosError(f"the space '{space}' has no tower of {TAKES[modality]}: it was trained with {have}")


def space_queries(towers: SpaceTowers, settings: SearchSettings) -> Iterator[tuple[Modality, Queries]]:
    """Everything that ``settings`` asks about, block by block, with the modality of the tower that made its vectors: no column of
    that tower is needed but for specimens.

    Raises BiocosmosError as the towers do, for a specimen without a vector, and where nothing is asked.
    """
    around = asked_around(settings)
    if not (settings.images or settings.text or settings.id or settings.dna or settings.fasta or around):
        raise BiocosmosError("nothing to ask: give images, --text, --dna, --fasta, --place, --sound, --satellite or --id")
    for name in ("precision", "backend"):
        if not settings.images and getattr(settings, name) != "auto":
            raise UnusedSetting(name, flag(name), "where images are asked about: words and barcodes are computed in float32")
    if settings.id:
        have = towers.collection.spaces()[towers.space]
        asks = settings.ask_with or ("image" if "image" in have else next(iter(have)))
        column = towers.collection.tower(towers.space, asks)
        yield column.rpartition("/")[2], _specimens(towers.collection, column, settings)  # type: ignore[misc]
    if settings.images:
        encoder = towers.image(**settings.how())
        failures = Failures()
        files = image_files(settings.images, failures)
        vectors, kept = encoder.encode_files([str(file) for file in files], failures=failures)
        yield "image", Queries([str(files[row]) for row in kept], vectors, False, failures, encoder.metadata())
    if settings.text:
        yield "text", _words(towers.collection, towers.text(device=settings.device), settings.text)
    if settings.dna or settings.fasta:
        yield from (("dna", block) for block in _barcodes(towers.dna(), settings))
    for what, said in around.items():
        modality = asking(what, towers_of(towers.space))
        yield modality, around_queries(towers.around(modality, device=settings.device), said)  # type: ignore[arg-type, misc]


def _specimens(collection: Collection, column: str, settings: SearchSettings) -> Queries:
    try:
        return specimen_queries(collection, column, settings.id)
    except BiocosmosError as error:
        if settings.ask_with is None and "has no vector" in str(error):
            said = str(error).partition(":")[0]
            raise BiocosmosError(f"{said}: ask with its barcode or its name (--ask-with dna or text), or embed") from None
        raise


def as_learnt(collection: Collection, wording: Wording, texts: Sequence[str]) -> list[str]:
    """Each text as its tower learnt to read taxa: "Diptera", "order Diptera" and "order:Diptera" become "Insecta Diptera" where
    the collection has one such taxon and the tower's texts begin at the class; what is no taxon of it stays as it is."""
    if not collection.ranks:
        return list(texts)
    taxonomy, found = collection.taxonomy, []
    for text in texts:
        rank, _, name = text.strip().partition(" ")
        asked = f"{rank.lower()}:{name}" if name and rank.lower() in collection.ranks else text.strip()
        try:
            node = taxonomy.find(asked) if asked else 0
            written = wording.texts(taxonomy.rank_table([node]), collection.ranks)[0] if node > 0 else None
        except BiocosmosError:  # no taxon, or several of this name, or a tower of other ranks
            written = None
        found.append(written or text)
    return found


def _words(collection: Collection, encoder: TextEncoder, texts: Sequence[str]) -> Queries:
    from biocosmos.encoders.texts import NO_WORDS

    read = as_learnt(collection, encoder.wording, texts)
    vectors, failures = np.asarray(encoder.encode_texts(read), np.float32), Failures()
    good = vectors.any(axis=1)
    for place in np.flatnonzero(~good):
        failures.add(NO_WORDS, stage=STAGE, row=int(place) + 1)
    return Queries([texts[int(i)] for i in np.flatnonzero(good)], vectors[good], False, failures, encoder.metadata())


def _barcodes(encoder: BarcodeEncoder, settings: SearchSettings) -> Iterator[Queries]:
    """settings: asks about no specimens."""
    for asked in asked_letters(dna=settings.dna, fasta=settings.fasta):
        vectors, good = dense_barcodes(encoder, asked.barcodes)
        for place in np.flatnonzero(~good):
            asked.failures.add(f"the barcode has {NOT_COMPARED}", stage=STAGE, id=asked.names[int(place)])
        names = [asked.names[int(i)] for i in np.flatnonzero(good)]
        yield Queries(names, vectors[good], False, asked.failures, encoder.metadata())


def dense_barcodes(encoder: BarcodeEncoder, barcodes: Sequence[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Of n barcodes vectors (n, dim) float32, also where the encoder counts, and (n,) which of them say anything."""
    if not barcodes:
        return np.empty((0, encoder.dim), np.float32), np.empty(0, np.bool_)
    rows = encoder.encode_barcodes(barcodes)
    vectors = rows.dense() if isinstance(rows, KmerCounts) else rows
    return vectors, comparable(vectors)
