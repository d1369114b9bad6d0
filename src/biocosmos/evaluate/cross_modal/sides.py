"""Specimens as vectors of several modalities and taxa of several ranks: what keys and queries are, and the kinds of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import BOUND, MODALITIES
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers.names import clean_taxon

Array = npt.NDArray[Any]
IMAGE, DNA, TEXT = "image", "dna", "text"
AVERAGED, CONCATENATED, ALL = "averaged", "concatenated", "all"
"""Made of image and DNA, by their mean or end to end, as CLIBD makes them; or every vector of every modality a key of its own."""
FUSED = "fused"
"""The sum of the unit vectors of all modalities but text, where one is bound, of specimens that have them all (TaxaBind)."""
SUMS = tuple(f"{anchor}+{bound}" for anchor in (IMAGE, DNA) for bound in BOUND)
"""The sum of two unit vectors, an anchor's and one of what is bound to it, where more than these two are there."""
QUERIES = (*MODALITIES, AVERAGED, CONCATENATED, *SUMS, FUSED)
KEYS = (*QUERIES, ALL)
SEEN, UNSEEN = "seen", "unseen"


@dataclass(frozen=True, eq=False)
class Side:
    """n specimens that answer (keys) or ask (queries).

    vectors: modality -> (n, d) float32 unit rows of one space; a row of zeros where the specimen lacks the modality.
    taxa: rank, coarse to fine -> (n,) int64 codes, -1 where nothing is known; keys and queries share the codes (:func:`coded`).

    Raises BiocosmosError for arrays that are not of one length, or vectors that are not of one dimension.
    """

    vectors: Mapping[str, Array]
    taxa: Mapping[str, Array]

    def __post_init__(self) -> None:
        sizes = {len(array) for array in (*self.vectors.values(), *self.taxa.values())}
        widths = {vectors.shape[1] for vectors in self.vectors.values()}
        if len(sizes) > 1 or len(widths) > 1:
            what = f"{sorted(sizes)} specimens" if len(sizes) > 1 else f"{sorted(widths)} dimensions"
            raise BiocosmosError(f"vectors and taxa must be of the same specimens and one space, not of {what}")

    def __len__(self) -> int:
        return len(next(iter({**self.vectors, **self.taxa}.values()), ()))

    def has(self, modality: str) -> Array:
        """(n,) bool: the specimen has a vector of this modality."""
        if modality not in self.vectors:
            return np.zeros(len(self), np.bool_)
        return np.asarray(self.vectors[modality].any(axis=1))

    def kinds(self, kinds: Sequence[str] = KEYS) -> list[str]:
        """Which of ``kinds`` any specimen has."""
        return [kind for kind in kinds if len(self.rows(kind))]

    def rows(self, kind: str) -> Array:
        """(m,) int64: the specimen of each vector of this kind, in the order of :meth:`matrix`; () where there is none."""
        if kind == ALL:
            there = [self.has(modality) for modality in MODALITIES if modality in self.vectors]
            return np.concatenate([np.flatnonzero(one) for one in there]) if len(there) > 1 else np.empty(0, np.int64)
        if kind == FUSED or kind in SUMS:
            there = [self.has(modality) for modality in self._summed(kind)]
            return np.flatnonzero(np.logical_and.reduce(there)) if len(there) > 1 else np.empty(0, np.int64)
        if kind in (AVERAGED, CONCATENATED):
            return np.flatnonzero(self.has(IMAGE) & self.has(DNA))
        return np.flatnonzero(self.has(kind))

    def matrix(self, kind: str) -> Array:
        """(m, d) float32 unit rows of this kind; concatenated ones are of twice the dimension."""
        if kind == ALL:
            return np.concatenate([self.matrix(modality) for modality in MODALITIES if modality in self.vectors])
        rows = self.rows(kind)
        if kind == FUSED or kind in SUMS:
            return unit(np.sum([unit(self.vectors[modality][rows]) for modality in self._summed(kind)], axis=0))
        if kind not in (AVERAGED, CONCATENATED):
            return np.ascontiguousarray(self.vectors[kind][rows], np.float32)
        image, dna = self.vectors[IMAGE][rows], self.vectors[DNA][rows]
        made = (image + dna) / 2 if kind == AVERAGED else np.concatenate([image, dna], axis=1)
        return unit(made)

    def _summed(self, kind: str) -> list[str]:
        there: list[str] = [modality for modality in MODALITIES if modality != TEXT and modality in self.vectors]
        if kind == FUSED:
            return there if set(there) & set(BOUND) else []
        two = kind.split("+")
        return two if len(there) > 2 and set(two) <= set(there) else []

    def subset(self, rows: Array) -> Side:
        """Those of a mask or of row numbers."""
        return Side({m: v[rows] for m, v in self.vectors.items()}, {rank: codes[rows] for rank, codes in self.taxa.items()})


def together(sides: Sequence[Side]) -> Side:
    """The specimens of several sides with the same modalities and ranks as one, in their order."""
    vectors = {each: np.concatenate([side.vectors[each] for side in sides]) for each in sides[0].vectors}
    return Side(vectors, {rank: np.concatenate([side.taxa[rank] for side in sides]) for rank in sides[0].taxa})


def unit(vectors: Array) -> Array:
    """(n, d) float32 rows made unit length; a row of zeros stays one."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.ascontiguousarray(vectors / lengths, np.float32)


def coded(*sides: Mapping[str, Sequence[str | None]]) -> list[dict[str, Array]]:
    """Names as codes that all sides share: of each side rank -> (n,) int64, -1 for no name or a word for none ("not_classified").

    sides: rank -> (n,) names. A name means the same taxon wherever it stands at a rank: give paths of names where homonyms are.
    """
    ranks = list(dict.fromkeys(rank for side in sides for rank in side))
    made: list[dict[str, Array]] = [{} for _ in sides]
    for rank in ranks:
        place: dict[str, int] = {}
        for side, codes in zip(sides, made):
            if rank in side:
                codes[rank] = np.array([_code(name, place) for name in side[rank]], np.int64)
    return made


def _code(name: str | None, place: dict[str, int]) -> int:
    told = clean_taxon(name)
    return -1 if told is None else place.setdefault(told, len(place))
