"""Vectors to ask a pack with, and what it must answer: whoever opens it elsewhere sees that it names as it did at home."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_facts
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.packs.layout import ASKED, TESTS
from biocosmos.specimens.packs.vectors import read_tensors, write_tensors

Float32 = npt.NDArray[np.float32]
TOP = 5
TOLERANCE = 1e-4
"""Probabilities and cosines of one pack differ less than that from processor to processor."""
_NAMED = [[object]]
_SHAPE = {
    "tests": [{"id": str, "taxon": str, "held_out": bool, "taxa": _NAMED, "nearest": _NAMED}],
    "top": Number(1, 1000, whole=True),
}


@dataclass(frozen=True)
class Proof:
    """One vector that is asked with.

    id: of its specimen; taxon: what that is, names from the first rank on between slashes; held_out: whether nothing in the pack
    learnt from it; taxa: (path, p) of the likeliest classes; nearest: (id, cosine) of the nearest specimens but itself.
    """

    id: str
    taxon: str
    held_out: bool
    taxa: tuple[tuple[str, float], ...] = ()
    nearest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Proofs:
    """Tests and their (m, d) float32 unit vectors."""

    tests: tuple[Proof, ...]
    vectors: Float32

    def answered(self, identifier: Identifier, gallery: Gallery | None) -> Proofs:
        """The same vectors with what an identifier and the specimens of a gallery say of them now."""
        taxa = likeliest(identifier, self.vectors)
        nearest: list[tuple[tuple[str, float], ...]] = [()] * len(self.tests)
        if gallery is not None and len(gallery):
            hits = gallery.search(self.vectors, min(TOP, len(gallery)), exclude=[test.id for test in self.tests])
            nearest = [
                tuple((str(id_), _plain(score)) for id_, score in zip(ids, scores) if id_ is not None)
                for ids, scores in zip(hits.ids, hits.scores)
            ]
        told = zip(self.tests, taxa, nearest)
        return Proofs(tuple(Proof(test.id, test.taxon, test.held_out, a, b) for test, a, b in told), self.vectors)

    def save(self, folder: Path) -> None:
        """Write them into the folder of a pack."""
        write_tensors(folder / ASKED, {"vectors": self.vectors})
        tests = [
            {"id": t.id, "taxon": t.taxon, "held_out": t.held_out, "taxa": list(t.taxa), "nearest": list(t.nearest)}
            for t in self.tests
        ]
        (folder / TESTS).write_text(json.dumps({"top": TOP, "tests": tests}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, tests: Path, asked: Path, dim: int) -> Proofs:
        """Read what :meth:`save` wrote. Raises BiocosmosError for anything else."""
        again = "get the pack again from where it came"
        facts = read_facts(tests, _SHAPE, what="the tests of a pack", remedy=again)
        vectors = read_tensors(asked).get("vectors")
        found = facts["tests"]
        if vectors is None or vectors.dtype != np.float32 or vectors.shape != (len(found), dim):
            raise BiocosmosError(f"{asked} holds no vector of {dim} numbers for each of {len(found)} tests: {again}")
        try:
            made = [
                Proof(
                    t["id"], t["taxon"], t["held_out"], *(tuple((str(n), float(s)) for n, s in t[k]) for k in ("taxa", "nearest"))
                )
                for t in found
            ]
        except (TypeError, ValueError) as error:
            raise BiocosmosError(f"{tests} is not what the tests of a pack say (a name and a number each): {again}") from error
        return cls(tuple(made), vectors)


def likeliest(identifier: Identifier, vectors: Float32, top: int = TOP) -> list[tuple[tuple[str, float], ...]]:
    """For each vector (m, d) the ``top`` likeliest classes by name and probability, the likeliest first."""
    namer = identifier.namer
    ids = np.array([f"test {row}" for row in range(len(vectors))], object)
    logits = namer.predict(Specimens(ids, vectors=vectors)).logits.astype(np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    order = np.argsort(-p, axis=1, kind="stable")[:, :top]
    names = {int(c): namer.taxonomy.path_text(int(namer.classes[c])) for c in np.unique(order)}
    return [tuple((names[int(c)], _plain(row[c])) for c in best) for row, best in zip(p, order)]


def differs(expected: tuple[tuple[str, float], ...], found: tuple[tuple[str, float], ...]) -> str | None:
    """What is unlike in two lists of names and numbers, in words; None where they agree but for rounding."""
    if len(expected) != len(found):
        return f"{len(found)} answers, {len(expected)} expected"
    for place, ((name, value), (other, now)) in enumerate(zip(expected, found), start=1):
        if abs(value - now) > TOLERANCE:
            return f"answer {place} is {other} ({now:.4f}), expected {name} ({value:.4f})"
        ties = [each for each, number in expected if abs(number - now) <= TOLERANCE]
        if other not in ties and place < len(expected):  # the last may stand level with one that was not listed
            return f"answer {place} is {other}, expected {name}"
    return None


def chosen(gallery: Gallery, count: int, held_out: Callable[[str], bool], used: Gallery | None = None) -> Proofs:
    """``count`` labelled specimens to ask with, of as many classes as there are, the same ones whoever chooses.

    gallery: to choose from; used: whose taxonomy names them, by default the gallery's own; held_out: of an id.
    """
    assert gallery.taxa is not None
    taxonomy = gallery.taxonomy if used is None else used.taxonomy
    assert taxonomy is not None
    labelled = np.flatnonzero(gallery.taxa > 0)
    keys = np.array([hashlib.sha256(str(id_).encode()).hexdigest() for id_ in gallery.ids[labelled]], object)
    order = labelled[np.argsort(keys, kind="stable")]
    nth: dict[int, int] = {}
    turns = []
    for row in order:  # the first of every class, then the second of every class, and so on
        taxon = int(gallery.taxa[row])
        nth[taxon] = nth.get(taxon, -1) + 1
        turns.append(nth[taxon])
    rows = order[np.argsort(np.array(turns), kind="stable")][:count]
    tests = [Proof(str(gallery.ids[r]), taxonomy.path_text(int(gallery.taxa[r])), held_out(str(gallery.ids[r]))) for r in rows]
    return Proofs(tuple(tests), np.ascontiguousarray(gallery.vectors[rows], np.float32))


def _plain(value: Any) -> float:
    return round(float(value), 6)
