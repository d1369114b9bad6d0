"""What is watched while a space is learnt: the training specimens nearest to those of the validation part, across modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import Modality
from biocosmos.train.contrastive.specimens import ModalRows

HELD, GALLERY = 500, 1500
"""Validation specimens that are looked at after each epoch, and training specimens they are looked for among: seeded samples."""
TEXT: Modality = "text"
Array = npt.NDArray[Any]


class Watched:
    """Nearest training specimens of the validation part: the taxon of the nearest of each modality, and the coarser taxon of the
    nearest of another finest one, which is what a new species of a known genus would meet.

    Queries are pictures, or barcodes where there are none; keys are of every modality. Without ranks, whether the nearest key of
    the validation part is of the specimen itself. there: (n,) bool of each modality. asked: modality -> rows whose vectors
    :meth:`figures` takes; nothing is watched (the object is False) without a validation part.
    """

    def __init__(self, rows: ModalRows, there: Mapping[Modality, npt.NDArray[np.bool_]], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.query: Modality = next(name for name in there if name != TEXT)
        numbers = np.arange(len(rows))
        held = numbers[(numbers >= rows.learnt) & there[self.query]]
        self.queries = np.sort(rng.permutation(held)[:HELD])
        ranks = rows.taxonomy.ranks if (rows.nodes > 0).any() else ()
        self.ranks = _two(ranks)
        self.taxa = {rank: rows.taxa(rank) for rank in self.ranks}
        if self.ranks:
            kin = np.isin(self.taxa[self.ranks[-1]], np.unique(self.taxa[self.ranks[-1]][self.queries]))
            chosen = rng.permutation(rows.learnt)
            gallery = chosen[np.argsort(~kin[chosen], kind="stable")][:GALLERY]
        else:
            gallery = self.queries
        self.keys = {name: np.sort(gallery[has[gallery]]) for name, has in there.items()}
        self.asked = {
            name: np.union1d(self.keys[name], self.queries) if name == self.query else self.keys[name] for name in there
        }

    def __bool__(self) -> bool:
        return len(self.queries) > 0

    def figures(self, vectors: Mapping[Modality, Array]) -> dict[str, float]:
        """vectors: modality -> (m, width) float32 unit rows of ``asked``. "retrieval" is the mean of the others, each 0..1."""
        asked = vectors[self.query][np.searchsorted(self.asked[self.query], self.queries)]
        found: dict[str, float] = {}
        for name, keys in self.keys.items():
            if not len(keys) or (name == self.query and not self.ranks):
                continue
            scores = asked @ vectors[name][np.searchsorted(self.asked[name], keys)].T
            found |= self._own(name, keys, scores) if not self.ranks else self._by_rank(name, keys, scores)
        return {"retrieval": float(np.mean(list(found.values()))), **found} if found else {}

    def _own(self, name: Modality, keys: Array, scores: Array) -> dict[str, float]:
        has = np.isin(self.queries, keys)
        if not has.any():
            return {}
        return {f"{self.query} to {name}, itself": float((keys[scores[has].argmax(1)] == self.queries[has]).mean())}

    def _by_rank(self, name: Modality, keys: Array, scores: Array) -> dict[str, float]:
        found, fine = {}, self.ranks[0]
        own, others = self.taxa[fine][self.queries], self.taxa[fine][keys]
        known = np.isin(own, others) & (own >= 0)
        if known.any():
            right = others[scores[known].argmax(1)] == own[known]
            found[f"{self.query} to {name}, {fine}"] = float(right.mean())
        for coarse in self.ranks[1:]:
            mine, theirs = self.taxa[coarse][self.queries], self.taxa[coarse][keys]
            apart = np.where((own[:, None] == others[None]) & (own >= 0)[:, None], -2.0, scores)
            mates = ((mine[:, None] == theirs[None]) & (apart > -2)).any(1) & (mine >= 0)
            if mates.any():
                right = theirs[apart[mates].argmax(1)] == mine[mates]
                found[f"{self.query} to {name}, {coarse} of another {fine}"] = float(right.mean())
        return found


def _two(ranks: tuple[str, ...]) -> tuple[str, ...]:
    """The finest rank and the one above: species and genus where there are such."""
    fine = "species" if "species" in ranks else next(iter(ranks[-1:]), None)
    if fine is None:
        return ()
    above = ranks[: ranks.index(fine)]
    coarse = "genus" if "genus" in above else next(iter(above[-1:]), None)
    return (fine,) if coarse is None else (fine, coarse)
