"""One call for every queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.queues import scores as scored_by
from biocosmos.discover.queues.batches import farthest_first, of_each, spread, typical
from biocosmos.discover.queues.strategies import BY_HEAD, DIVERSE, EACH, EARLY, SAYS, SCORED, STRATEGIES
from biocosmos.errors import BiocosmosError
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.novelty.registry import BY_PREDICTIONS
from biocosmos.identify.predictions import Predictions
from biocosmos.provenance import software
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
NEAREST = "knn"


@dataclass(frozen=True, eq=False)
class Queue:
    """Which specimens to label next.

    table: place (from 1), id, score (higher is sooner; what it means depends on the strategy), taxon and p of the head's
    suggestion, null without a head; rows: (n,) int64 of the candidates; provenance: strategy, seed, encoder, how many were known.
    """

    table: pa.Table
    rows: Array
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rows)


def queue(
    strategy: str,
    candidates: Gallery,
    known: Gallery | None = None,
    n: int = 100,
    *,
    diverse: str = DIVERSE[0],
    detector: str = NEAREST,
    seed: int = 0,
) -> Queue:
    """The ``n`` specimens of ``candidates`` to label next, fewer where there are fewer.

    known: specimens that have names, by the same encoder. "disagreement" is about labels that are there: its candidates are the
    labelled specimens themselves and it takes no ``known``. "each" takes ``n`` of each known taxon. diverse: how a batch of
    scored specimens is spread, see :func:`biocosmos.discover.queues.batches.spread`; detector: of novelty.

    Raises BiocosmosError for an unknown strategy, vectors of two encoders, and names of fewer than two taxa where a head is to be
    fitted on them (it says which strategies need none).
    """
    _check(strategy, n, diverse, detector)
    if strategy == "disagreement":
        known = candidates
    rows_known = _known(candidates, known)
    asked = strategy
    if asked == "adaptive":
        early = len(rows_known) < EARLY or rows_known.taxa is None or len(np.unique(rows_known.taxa)) < 2
        strategy = "typicality" if early else "margin"
    if strategy in BY_HEAD:
        _two_taxa(strategy, rows_known)
    scores, taxa, p = _scores(strategy, candidates, rows_known, detector, seed)
    if strategy == EACH:
        assert taxa is not None and p is not None and rows_known.taxa is not None
        chosen = of_each(taxa, p, n, len(np.unique(rows_known.taxa)), seed=seed)
        shown = p[chosen]
    else:
        chosen, shown = _chosen(strategy, candidates, rows_known, n, scores, diverse, seed)
    tree = candidates.taxonomy
    named = taxa is not None and tree is not None
    table = pa.table(
        {
            "place": pa.array(np.arange(1, len(chosen) + 1), pa.int32()),
            "id": pa.array(candidates.ids[chosen].tolist(), pa.string()),
            "score": pa.array(shown, pa.float64()),
            "taxon": pa.array([str(tree.names[t]) for t in taxa[chosen]] if named else [None] * len(chosen), pa.string()),  # type: ignore[index,union-attr]
            "p": pa.array(p[chosen] if named else [None] * len(chosen), pa.float32()),  # type: ignore[index]
        }
    )
    about = {
        "strategy": asked,
        "chosen": strategy,
        "says": SAYS[strategy if scores is not None or strategy != "novelty" else "k-centre"],
        "diverse": diverse if strategy in SCORED else None,
        "detector": detector if strategy == "novelty" and taxa is not None else None,
        "seed": seed,
        "candidates": len(candidates),
        "known": len(rows_known),
        "encoder": encoder_of(candidates.provenance),
        "software": software(),
    }
    return Queue(table, chosen, about)


def _check(strategy: str, n: int, diverse: str, detector: str) -> None:
    if strategy not in STRATEGIES:
        raise BiocosmosError(f"no strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
    if diverse not in DIVERSE:
        raise BiocosmosError(f"a batch is not spread by {diverse!r}: choose one of {', '.join(DIVERSE)}")
    if n < 1:
        raise BiocosmosError(f"a queue of {n} specimens is none: ask for at least 1")
    if strategy == "novelty" and detector not in BY_PREDICTIONS:
        raise BiocosmosError(f"no novelty detector {detector!r} of predictions: choose one of {', '.join(BY_PREDICTIONS)}")


def _known(candidates: Gallery, known: Gallery | None) -> Gallery:
    """The rows of ``known`` that have a taxon."""
    if not len(candidates):
        raise BiocosmosError("there is nothing to queue: every specimen that was selected has a name, or none has a vector")
    if known is None or not len(known):
        return candidates.subset(np.zeros(len(candidates), bool))
    ours, theirs = encoder_of(candidates.provenance), encoder_of(known.provenance)
    if candidates.dim != known.dim or ours.get("digest") != theirs.get("digest"):
        names = ours.get("name") or f"{candidates.dim} numbers", theirs.get("name") or f"{known.dim} numbers"
        raise BiocosmosError(f"vectors of two encoders cannot be compared ({' and '.join(names)}): queue by one embedding")
    return known.subset(known.taxa > 0) if known.taxa is not None else known.subset(np.zeros(len(known), bool))


def _two_taxa(strategy: str, known: Gallery) -> None:
    taxa = 0 if known.taxa is None else len(np.unique(known.taxa))
    if taxa < 2:
        others = ", ".join(each for each in STRATEGIES if each not in BY_HEAD)
        raise BiocosmosError(f"{strategy} needs specimens of two named taxa, and there are {taxa}: begin with one of {others}")


def _scores(
    strategy: str, candidates: Gallery, known: Gallery, detector: str, seed: int
) -> tuple[Array | None, Array | None, Array | None]:
    """(scores, suggested taxa, their p) of all candidates; None where the strategy has none."""
    if strategy == "disagreement":
        return scored_by.disagreement(known, seed)
    by: dict[str, Callable[[Predictions], Array]] = {"margin": scored_by.margin, "entropy": scored_by.undecided_entropy}
    by[EACH] = scored_by.margin
    if strategy in by:
        return scored_by.scored(candidates, known, by[strategy])
    if strategy == "novelty":
        if known.taxa is not None and len(np.unique(known.taxa)) >= 2:
            return scored_by.novelty(candidates, known, detector)
        if len(known):
            return scored_by.distance(candidates, known), None, None
    return None, None, None


def _chosen(
    strategy: str, candidates: Gallery, known: Gallery, n: int, scores: Array | None, diverse: str, seed: int
) -> tuple[Array, Array]:
    """(rows, scores) of the batch."""
    x = candidates.vectors
    if scores is not None:
        rows = spread(x, scores, n, diverse, seed=seed)
        return rows, scores[rows]
    if strategy in ("k-centre", "novelty"):  # nothing is known: everything is as novel
        return farthest_first(x, known.vectors, n)
    if strategy == "typicality":
        return typical(x, known.vectors, n, seed=seed)
    drawn = np.random.default_rng(seed).random(len(candidates))
    rows = np.argsort(-drawn, kind="stable")[:n]
    return rows, drawn[rows]
