"""One specimen looked at closely: what it may be at every rank, and where in its image the namer looked."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.identify.evidence.gather import image_reader
from biocosmos.identify.evidence.heat_maps import HeatMapper, overlay
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Namer, Specimens
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.identify.namers.linear import Linear
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.who_names import TRAIN, identifier_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import KeptAnswer, answers_of, runners_up
from biocosmos.specimens.splits import Split
from biocosmos.specimens.stored_vectors import read_dense
from biocosmos.taxonomy import Taxonomy

TOP = 5
MOST_BYTES = 384 << 20
"""Vectors that a namer may learn from here."""
_LEARNT = "the namers of this collection have learnt from this specimen, so that what they say of it is no evidence"


class LearntFrom(BiocosmosError):
    """Every namer of the collection has learnt from this specimen, or was calibrated on it: what it says of it is no evidence."""


@dataclass(frozen=True)
class Candidate:
    """A taxon of a rank. confidence: how often an answer this sure is right, from 0 to 1, None where that is not known; best:
    whether it is on the best path, which may have no taxon at a rank."""

    taxon: str
    confidence: float | None
    best: bool = False


@dataclass(frozen=True)
class Candidates:
    """What a machine takes a specimen for.

    ranks: (rank, its taxa, the best path's first), coarse to fine; taxon, rank, confidence: the answer, None where nothing was
    sure enough; novel: whether it is flagged as outside of what is known, None where that cannot be told, with its p-value;
    method, encoder: who says so; kept: when that was kept with the collection, "" where it was worked out now; note: a sentence.
    """

    ranks: tuple[tuple[str, tuple[Candidate, ...]], ...]
    taxon: str | None
    rank: str | None
    confidence: float | None
    novel: bool | None
    novelty_p: float | None
    method: str
    encoder: str
    kept: str = ""
    note: str = ""

    def likely(self, least: float = 0.005) -> list[tuple[str, list[Candidate]]]:
        """The ranks with their taxa that are worth showing: those on the best path, and others of this confidence."""
        found = []
        for rank, taxa in self.ranks:
            kept = [each for each in taxa if each.best or each.confidence is None or each.confidence >= least]
            found += [(rank, kept)] if kept else []
        return found


def kept_candidates(collection: Collection, id_: str) -> Candidates | None:
    """What the latest kept identifications that have this specimen say; None where none has."""
    answers = answers_of(collection, id_)
    return candidates_of(answers[-1]) if answers else None


def candidates_of(answer: KeptAnswer) -> Candidates:
    """The candidates in one row of a table of names."""
    return _candidates(answer.row, answer.ranks, method=answer.method, encoder=answer.encoder, kept=answer.kept)


def _candidates(row: Mapping[str, Any], ranks: Sequence[str], *, method: str, encoder: str, kept: str = "") -> Candidates:
    found = []
    for rank in ranks:
        best = row.get(rank)
        taxa = [Candidate(name, _number(sure), name == best) for name, sure in runners_up(row, rank)]
        if taxa:
            found.append((rank, tuple(taxa)))
    return Candidates(
        tuple(found),
        row.get("taxon"),
        row.get("rank"),
        _number(row.get("confidence")),
        row.get("novel"),
        _number(row.get("novelty_p")),
        method,
        encoder,
        kept,
    )


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


@dataclass(frozen=True)
class Heat:
    """png: the prepared image with the heat over it; taxon, rank: that it speaks for; method: see :class:`HeatMapper`."""

    png: bytes
    taxon: str
    rank: str
    method: str


class CloseLook:
    """Looks at the specimens of one collection by its default namer, which is fitted where none is kept and stays in memory.

    Thread-safe; one question is worked on at a time.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._lock = threading.RLock()
        self._identifiers: dict[str | None, tuple[Hashable, Identifier]] = {}
        self._split: tuple[Hashable, Split | None] = (None, None)
        self._mapper: tuple[object, HeatMapper] | None = None

    # ------------------------------------------------------------------ what it may be

    def candidates(self, id_: str, *, top: int = TOP) -> Candidates:
        """What the default namer takes a specimen for by its vector: one without a name by all that have one, one of another part
        of the default split by the part "train".

        Raises LearntFrom for any other, since every namer has learnt from it, and BiocosmosError for an unknown specimen, one
        without a vector, and a collection that nothing can be named by.
        """
        with self._lock:
            identifier = self._identifier(self._asked_as(id_))
            if (identifier.known is not None and id_ in identifier.known.ids) or id_ in identifier.calibrated_on:
                raise LearntFrom(_LEARNT)
            if identifier.namer.takes != "vectors":
                raise BiocosmosError("the model in use looks at images: start the job 'identify' and keep its names")
            table = identifier.identify(([id_], self._vector(id_)), top=top)
            ranks, encoder = identifier.namer.taxonomy.ranks, self._collection.encoder_name(None)
            made = _candidates(table.to_pylist()[0], ranks, method=identifier.method, encoder=encoder)
            return replace(made, note=identifier.describe())

    def _asked_as(self, id_: str) -> str | None:
        """The part of the default split as one of which a specimen is asked about; None for one without a name."""
        ranks = list(self._collection.ranks)
        row = self._collection.take([id_], ranks).to_pylist()
        if not row:
            raise BiocosmosError("there is no such specimen: reload the page")
        if not any(row[0][rank] for rank in ranks):
            return None
        split = self._default_split()
        place = -1 if split is None else pc.index(split.ids, id_).as_py()
        part = None if split is None or place < 0 else str(split.parts[place])
        if split is None or part in (None, TRAIN) or TRAIN not in split.counts():
            raise LearntFrom(_LEARNT)
        return part

    def _default_split(self) -> Split | None:
        mark = self._mark()
        if self._split[0] != mark:
            there = "default" in self._collection.split_names
            self._split = (mark, self._collection.split("default") if there else None)
        return self._split[1]

    def _identifier(self, part: str | None) -> Identifier:
        mark = self._mark()
        kept = self._identifiers.get(part)
        if kept is None or kept[0] != mark:
            self._refuse_large()
            kept = (mark, identifier_of(self._collection, IdentifySettings(part=part)))
            self._identifiers = {part: kept} | {key: each for key, each in self._identifiers.items() if each[0] == mark}
        return kept[1]

    def _refuse_large(self) -> None:
        facts = self._collection.encoders[self._collection.encoder_name(None)]
        if 4 * len(self._collection) * int(facts["dim"]) > MOST_BYTES:
            raise BiocosmosError(
                f"{len(self._collection):,} specimens are too many to name one in passing: start the job 'identify'"
            )

    def _mark(self) -> Hashable:
        """Changes when the collection, its splits or the model in use do."""
        path = self._collection.path
        files = [path / "collection.json", *sorted((path / "splits").glob("*.parquet"))]
        return self._collection.dataset.version, tuple((file.name, file.stat().st_mtime_ns) for file in files)

    def _vector(self, id_: str) -> npt.NDArray[np.float32]:
        """(1, d)."""
        name = self._collection.encoder_name(None)
        column = self._collection.embedding_column(name)
        found = self._collection.take([id_], [column])[column]
        if not len(found):
            raise BiocosmosError("there is no such specimen: reload the page")
        if found[0].as_py() is None:
            raise BiocosmosError("this specimen has no vector yet: compute vectors first")
        return np.array(read_dense(found, self._collection.encoders[name]), np.float32)

    # ------------------------------------------------------------------ where the namer looked

    def heat(self, id_: str, taxon: str | None = None) -> Heat:
        """The heat map of a specimen for a taxon ("genus:Calanus", a path where that means several), by default the likeliest.

        It shows what speaks for that taxon, whether the namer has learnt from the specimen or not. Raises BiocosmosError where no
        model of images stands behind the namer, for an image that cannot be read, a taxon that the namer does not know, and a
        specimen without a vector.
        """
        with self._lock:
            identifier = self._identifier(None)
            namer = identifier.namer
            mapper = self._mapper_of(namer)
            known = None if taxon is None else namer.taxonomy.find(taxon)
            if known is not None and not namer.taxonomy.is_ancestor(known, namer.classes).any():
                raise BiocosmosError(f"the namer has no specimen of {namer.taxonomy.name(known)} to know it by")
            self._vector(id_)
            images, good = image_reader(mapper.preprocessing, self._collection)([id_])
            if not good[0]:
                raise BiocosmosError("the image of this specimen cannot be read")
            node = self._likeliest(namer, id_, images) if known is None else known
            found = mapper(images, np.array([node], np.int32))
            png = overlay(images[0], found.maps[0])
            return Heat(png, str(namer.taxonomy.name(node)), _rank(namer.taxonomy, node), found.method)

    def _mapper_of(self, namer: Any) -> HeatMapper:
        if self._mapper is None or self._mapper[0] is not namer:
            if not isinstance(namer, (Linear, TrainedHead)) or namer.wants_sizes:
                raise BiocosmosError(f"the namer '{namer.title}' compares vectors one by one: there is no heat map of it")
            self._mapper = (namer, HeatMapper(namer))
        return self._mapper[1]

    def _likeliest(self, namer: Namer, id_: str, images: torch.Tensor) -> int:
        given: dict[str, Any] = {"vectors": self._vector(id_)} if namer.takes == "vectors" else {"images": images}
        found = namer.predict(Specimens(np.array([id_], object), **given))
        return int(found.classes[int(found.logits[0].argmax())])


def _rank(taxonomy: Taxonomy, node: int) -> str:
    return taxonomy.ranks[int(taxonomy.rank[node])] if node > 0 else ""
