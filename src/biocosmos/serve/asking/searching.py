"""Search: the nearest specimens of images, words, barcodes and specimens, and how they vote."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.evidence.votes import Vote, votes
from biocosmos.jobs.space_queries import SpaceTowers
from biocosmos.serve.asking import across, limits
from biocosmos.serve.asking.galleries import Galleries
from biocosmos.serve.asking.models import Models
from biocosmos.serve.asking.naming import Namings
from biocosmos.serve.asking.overlaps import Overlap, aligned
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.resident import Resident

if TYPE_CHECKING:
    from biocosmos.serve.catalogue import Catalogue, View
    from biocosmos.serve.catalogue.state import Moment
    from biocosmos.serve.catalogue.stored import Stored

Kind = Literal["image", "text", "dna", "specimen"]
Float32 = npt.NDArray[np.float32]
Query = Float32 | KmerCounts
BARCODE = "barcode"


@dataclass(frozen=True)
class Near:
    """A neighbour. row: in the catalogue; score: cosine; overlap: of two barcodes, laid over each other."""

    id: str
    row: int
    score: float
    overlap: Overlap | None = None


@dataclass(frozen=True)
class Answer:
    """What is like one thing that was asked about.

    name: as the asker calls it; kind; place: among the things of its kind that were asked about; near: nearest first; votes: of
    the neighbours at every rank, as they are named now.
    """

    name: str
    kind: Kind
    place: int
    near: list[Near]
    votes: list[Vote]


@dataclass(frozen=True)
class Searched:
    """encoder: whose vectors were compared; answers: in the order asked; refused: (name, reason) of what could not be asked
    about; among: specimens that could have been found."""

    encoder: str
    answers: list[Answer]
    refused: list[tuple[str, str]]
    among: int


@dataclass(frozen=True)
class _Places:
    """Where the rows of a gallery are in a catalogue. rows: (n,) int32 in the catalogue, -1 for a specimen that is there no more;
    back: (m,) int32 in the gallery of each row of the catalogue, -1 without a vector."""

    ids: pa.StringArray
    stored: Stored
    rows: npt.NDArray[np.int32]
    back: npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Asked:
    names: list[str] = field(default_factory=list)
    kinds: list[tuple[Kind, int]] = field(default_factory=list)
    vectors: list[Query] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    """Row in the gallery of what is asked about, -1 for something from outside."""
    letters: list[str | None] = field(default_factory=list)
    """Barcodes, over which those that are found are laid."""

    def add(self, name: str, kind: Kind, place: int, vector: Query, own: int = -1, letters: str | None = None) -> None:
        self.names.append(name)
        self.kinds.append((kind, place))
        self.vectors.append(vector)
        self.own.append(own)
        self.letters.append(letters)


class Asking:
    """Of one server; thread-safe."""

    def __init__(self, collection: Collection, catalogue: Catalogue) -> None:
        self.collection, self.catalogue = collection, catalogue
        self.galleries, self.models = Galleries(collection), Models(collection)
        self.namings = Namings(collection, self.models)
        catalogue.register("like", self.likeness, self._likeness_of)
        self._places: dict[str, _Places] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ what can be asked

    @property
    def encoders(self) -> list[str]:
        """Embeddings that can be searched, the default one first."""
        names = list(self.collection.encoders)
        first = self.collection.default_encoder
        return sorted(names, key=lambda name: (name != first, name))

    def of_modality(self, modality: str) -> list[str]:
        """Those of them that images ("image") or barcodes ("dna") are compared by."""
        return [name for name in self.encoders if self.modality(name) == modality]

    def modality(self, encoder: str) -> str:
        """What an embedding is of: "image", "dna" or "text"."""
        return str(self.collection.encoders[encoder].get("modality", "image")).partition("+")[0]

    def encoder_for(self, asked: dict[str, Sequence[Any]], name: str | None = None) -> str:
        """The embedding of this name; unnamed the default one where it takes what is asked about, else the first that does, else
        the default one. Raises BiocosmosError where there is none."""
        first = self.encoder(name)
        if name:
            return first
        wanted = "dna" if asked.get("dna") else "image" if asked.get("images") or asked.get("texts") else None
        fitting = self.encoders if wanted is None else self.of_modality(wanted)
        return first if first in fitting or not fitting else fitting[0]

    def encoder(self, name: str | None = None) -> str:
        """The embedding of this name, or the one used unasked. Raises BiocosmosError where there is none."""
        have = self.encoders
        if not have:
            raise BiocosmosError("nothing can be searched yet, for no specimen has a vector: start “Compute vectors” first")
        if name and name not in have:
            raise BiocosmosError(f"there is no embedding {name[:80]!r}: there is {', '.join(have)}")
        return name or have[0]

    def refusals(self, encoder: str | None = None) -> dict[str, str | None]:
        """Why "images", "texts" and "dna" cannot be asked with, None where they can: by this embedding, unnamed by the one
        that :meth:`encoder_for` gives."""
        if encoder is not None:
            refusals = self.models.refusals(self.encoder(encoder))
            if any(encoder in towers.values() for towers in self.collection.spaces().values()):
                return {kind: None if across.can_ask(self.collection, kind) else why for kind, why in refusals.items()}
            return refusals
        alone = {kind: self.models.refusals(self.encoder_for({kind: (kind,)}))[kind] for kind in across.KINDS}
        return {kind: None if across.can_ask(self.collection, kind) else reason for kind, reason in alone.items()}

    # ------------------------------------------------------------------ search

    def nearest(
        self,
        id: str,
        k: int = limits.NEIGHBOURS,
        view: View | None = None,
        *,
        encoder: str | None = None,
        wait: float | None = None,
    ) -> list[Near]:
        """The ``k`` specimens of the view most like this one, without it. Raises BiocosmosError where it has no vector, NotReady
        while the gallery is read."""
        found = self.search(ids=[id], k=k, view=view, encoder=encoder, wait=wait)
        if found.refused:
            raise BiocosmosError(found.refused[0][1])
        return found.answers[0].near

    def search(
        self,
        *,
        images: Sequence[tuple[str, Path]] = (),
        texts: Sequence[str] = (),
        ids: Sequence[str] = (),
        dna: Sequence[tuple[str, str]] = (),
        k: int = limits.NEIGHBOURS,
        view: View | None = None,
        encoder: str | None = None,
        among: str | None = None,
        ask_with: str | None = None,
        wait: float | None = None,
    ) -> Searched:
        """The ``k`` nearest specimens of each thing asked about, among those of the view.

        images: (name, file); dna: (name, letters); ids: of specimens, which do not find themselves; encoder: see
        :meth:`encoder_for`; among: vectors of which modality are looked at, in the space that ``encoder`` is of or the only one;
        ask_with: modality of the vector that asks for a specimen then; wait: seconds for a gallery that is getting ready.

        Raises BiocosmosError for nothing, too much, and kinds that the encoder does not take; NotReady. An image that cannot be
        read, letters that are no barcode and an id without a vector are ``refused``, and the others go on.
        """
        if not limits.NEIGHBOURS_FEWEST <= k <= limits.NEIGHBOURS_MOST:
            raise BiocosmosError(
                f"{k:,} neighbours cannot be shown: ask for {limits.NEIGHBOURS_FEWEST} to {limits.NEIGHBOURS_MOST}"
            )
        things: dict[str, Sequence[Any]] = {"images": images, "texts": texts, "dna": dna, "ids": ids}
        crossing = across.crossing_for(
            self.collection,
            things,
            among=among,
            with_=ask_with,
            encoder=encoder,
            knows_words=lambda: self.models.refusals(self.encoder_for(things))["texts"] is None,
        )
        space = None if crossing is None else crossing.towers
        encoder = self.encoder_for(things, encoder) if crossing is None else crossing.encoder
        self._check(things, {} if crossing is not None else self.models.refusals(encoder))
        gallery = self.galleries.get(encoder, wait=limits.WAIT_SECONDS if wait is None else wait)
        asked, refused = _Asked(), list[tuple[str, str]]()
        if images:
            self._ask_images(encoder, images, asked, refused, space)
        for place, (text, vector) in enumerate(zip(texts, self.models.texts(encoder, texts, space), strict=True)):
            if vector.any():
                asked.add(text, "text", place, vector)
            else:
                refused.append((text, "nothing can be computed from the text"))
        barcodes = self.models.barcodes(encoder, [each for _, each in dna], space)
        aligns = crossing is None or crossing.among == "dna"
        for place, (one, (name, _)) in enumerate(zip(barcodes, dna, strict=True)):
            if one.row is None:
                refused.append((name, one.reason))
            else:
                asked.add(name, "dna", place, one.row, letters=one.letters if aligns else None)
        self._ask_specimens(gallery, encoder, ids, asked, refused, crossing)
        return self._answer(gallery, encoder, asked, refused, k, view)

    def likeness(self, id: str) -> Float32:
        """(n,) float32 cosine of every specimen of the catalogue to one, NaN without a vector: exact for the nearest ones, and
        those of 8-bit copies for the rest. Raises BiocosmosError where it has no vector."""
        encoder = self.encoder()
        gallery = self.galleries.get(encoder, wait=limits.WAIT_SECONDS)
        row = self._own_rows(gallery, [id])[0]
        if row < 0:
            raise BiocosmosError(self._without_vector(id, encoder))
        stored = self.catalogue.now.stored
        scores: Float32 = gallery.likeness(gallery.vectors([row]), limits.LIKENESS_EXACT)  # type: ignore[arg-type]
        rows = self._places_of(gallery, stored).rows
        found = np.full(len(stored), np.nan, np.float32)
        found[rows[rows >= 0]] = scores[rows >= 0]
        return found

    def _likeness_of(self) -> object:
        """What the likeness is of, so that an order can be kept; something new while there is nothing."""
        try:
            return self.galleries.mark(self.encoder()) or object()
        except BiocosmosError:
            return object()

    def refresh(self) -> None:
        """Take over vectors that were added or changed."""
        self.galleries.refresh()

    def close(self) -> None:
        """Let go of the galleries and of uploads that are not named yet."""
        self.namings.close()
        self.galleries.close()

    # ------------------------------------------------------------------ steps

    def _check(self, asked: dict[str, Sequence[Any]], refusals: dict[str, str | None]) -> None:
        most = {"images": limits.SEARCH_IMAGES, "texts": limits.TEXTS, "ids": limits.SPECIMENS, "dna": limits.BARCODES}
        if not any(asked.values()):
            raise BiocosmosError("nothing to search for: give images, words, barcodes or a specimen")
        for kind, given in asked.items():
            if not given:
                continue
            reason = refusals.get(kind)
            if reason is not None:
                raise BiocosmosError(reason)
            if len(given) > most[kind]:
                called = "barcodes" if kind == "dna" else kind
                raise BiocosmosError(f"{len(given):,} {called} are too many for one search: ask about at most {most[kind]}")
        if any(len(text) > limits.TEXT_LENGTH for text in asked["texts"]):
            raise BiocosmosError(f"a description may have {limits.TEXT_LENGTH} letters: shorten it")

    def _ask_images(
        self,
        encoder: str,
        images: Sequence[tuple[str, Path]],
        asked: _Asked,
        refused: list[tuple[str, str]],
        space: SpaceTowers | None,
    ) -> None:
        failures = Failures()
        vectors, kept = self.models.images(encoder, [file for _, file in images], failures, space=space)
        for vector, place in zip(vectors, kept.tolist(), strict=True):
            asked.add(images[place][0], "image", place, vector)
        for row in failures:
            assert row.row is not None
            refused.append((images[row.row - 1][0], row.reason))

    def _ask_specimens(
        self,
        gallery: Resident,
        encoder: str,
        ids: Sequence[str],
        asked: _Asked,
        refused: list[tuple[str, str]],
        crossing: across.Crossing | None,
    ) -> None:
        letters = self._barcodes_of(encoder, ids) if crossing is None else {}
        stored = {} if crossing is None or not ids else across.stored_vectors(crossing, ids)
        for place, (id_, row) in enumerate(zip(ids, self._own_rows(gallery, ids), strict=True)):
            if crossing is not None and id_ in stored:
                asked.add(id_, "specimen", place, stored[id_], row)
            elif crossing is None and row >= 0:
                asked.add(id_, "specimen", place, gallery.vectors([row]), row, letters.get(id_))
            else:
                asks = encoder if crossing is None else f"{crossing.towers.space}/{crossing.with_ or '...'}"
                refused.append((id_, self._without_vector(id_, asks)))

    def _without_vector(self, id_: str, encoder: str) -> str:
        if int(self.catalogue.rows_of_ids([id_])[0]) < 0:
            return f"there is no specimen {id_[:200]!r}"
        return f"the specimen {id_[:200]!r} has no vector of '{encoder}': start the job “Compute vectors”"

    def _answer(
        self, gallery: Resident, encoder: str, asked: _Asked, refused: list[tuple[str, str]], k: int, view: View | None
    ) -> Searched:
        moment = self.catalogue.now  # all of an answer is from one moment
        rows = self._places_of(gallery, moment.stored).rows
        mask = rows >= 0
        if view is not None:
            mask &= np.append(self.catalogue.mask(view, moment), False)[rows]
        if not asked.names:
            return Searched(encoder, [], refused, int(mask.sum()))
        answers = []
        every = self._found(gallery, asked, k, mask, rows, moment)
        for name, (kind, place), (found, scores, shared) in zip(asked.names, asked.kinds, every, strict=True):
            near = rows[found]
            ids = moment.stored.ids.take(pa.array(near)).to_pylist()
            neighbours = [
                Near(id_, int(row), float(score), one) for id_, row, score, one in zip(ids, near, scores, shared, strict=True)
            ]
            answers.append(Answer(name, kind, place, neighbours, votes(moment.nodes[near], scores, moment.taxonomy)))
        return Searched(encoder, answers, refused, int(mask.sum()))

    def _barcodes_of(self, encoder: str, ids: Sequence[str]) -> dict[str, str]:
        """id -> barcode of specimens, where the embedding is of barcodes."""
        stored = self.catalogue.now.stored
        rows = np.array([row for row in stored.rows_of_ids(ids) if row >= 0], np.int64) if ids else np.empty(0, np.int64)
        if encoder not in self.of_modality("dna") or not len(rows) or BARCODE not in stored.dataset.schema.names:
            return {}
        table = stored.table(rows, ["id", BARCODE])
        return {id_: barcode for id_, barcode in zip(*(table[name].to_pylist() for name in ("id", BARCODE))) if barcode}

    @staticmethod
    def _found(
        gallery: Resident, asked: _Asked, k: int, mask: npt.NDArray[np.bool_], rows: npt.NDArray[np.int32], moment: Moment
    ) -> Iterator[tuple[npt.NDArray[np.int64], Float32, list[Overlap | None]]]:
        """Of each thing the rows of the gallery that are nearest, their cosines, and their overlaps, None where it is no barcode.

        rows: of the catalogue, of each row of the gallery.
        """

        def barcodes_of(found: npt.NDArray[np.int64]) -> list[str | None]:
            return list(moment.stored.table(rows[found], [BARCODE])[BARCODE].to_pylist())

        if not any(asked.letters) or BARCODE not in moment.stored.dataset.schema.names:
            every = gallery.search(gallery.together(asked.vectors), k, mask=mask, exclude=np.array(asked.own, np.int64))  # type: ignore[arg-type]
            for i in range(len(asked.names)):
                near = every.rows[i][every.rows[i] >= 0]
                yield near, every.scores[i, : len(near)], [None] * len(near)
            return
        for vector, letters, own in zip(asked.vectors, asked.letters, asked.own, strict=True):
            query = gallery.together([vector])
            yield aligned(gallery, query, letters or "", k, mask=mask, own=own, barcodes_of=barcodes_of)

    def _own_rows(self, gallery: Resident, ids: Sequence[str]) -> list[int]:
        """Row in the gallery of each id, -1 where it has no vector."""
        if not ids:
            return []
        stored = self.catalogue.now.stored
        places, rows = self._places_of(gallery, stored), stored.rows_of_ids(ids)
        return [int(row) for row in np.append(places.back, -1)[rows]]

    def _places_of(self, gallery: Resident, stored: Stored) -> _Places:
        with self._lock:
            kept = self._places.get(gallery.encoder)
            if kept is None or kept.ids is not gallery.ids or kept.stored.ids is not stored.ids:
                rows = np.asarray(stored.rows_of_ids(gallery.ids), np.int32)
                back = np.full(len(stored), -1, np.int32)
                there = np.flatnonzero(rows >= 0)
                back[rows[there]] = there
                kept = self._places[gallery.encoder] = _Places(gallery.ids, stored, rows, back)
            return kept
