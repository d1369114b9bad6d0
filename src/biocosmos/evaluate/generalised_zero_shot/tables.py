"""What one model in one draw of the unseen taxa gets right, and how it tells anomalies, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.metrics import hits_per_taxon, novelty
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN, UNSEEN, PlacedPrototypes
from biocosmos.search.exact import ExactIndex

NEIGHBOUR = 10
"""The neighbour's distance that is the score "neighbours"."""
SCORES = ("prototypes", "energy", "neighbours")
ALONE, PARENT, HARMONIC = "among unseen", "right parent", "harmonic mean"
Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What one model is asked in one draw of the unseen taxa.

    prototypes: K taxa, with roles and handicap; vectors: (n, d) float32 unit, of the test part; taxa: (n,) int64 index into the
    prototypes' taxa; training: (m, d) vectors of the seen taxa's training specimens; anomalies: kind -> (a, d) vectors of images
    of no taxon; figures: more facts of the training (seconds, epochs), for the provenance.
    """

    prototypes: PlacedPrototypes
    vectors: Array
    taxa: Array
    training: Array
    anomalies: Mapping[str, Array] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)


def answer_rows(asked: Asked, ks: Sequence[int], boot: Bootstrap) -> Iterator[Row]:
    """role, average, k, value, low, high, queries, taxa for seen, chosen-on and unseen specimens, unseen among unseen, right
    parent, and the harmonic mean of seen and unseen."""
    model = asked.prototypes
    place = model.places(asked.vectors, asked.taxa)
    role = model.roles[asked.taxa].astype(str)
    found: dict[tuple[str, str, int], float] = {}
    unseen = role == UNSEEN
    alone = np.full(len(place), len(model))
    if unseen.any():
        alone[unseen] = model.places(asked.vectors[unseen], asked.taxa[unseen], model.roles.astype(str) == UNSEEN)
    parted = [(name, role == name, place, ks) for name in (SEEN, CHOSEN_ON, UNSEEN)]
    parted += [(ALONE, unseen, alone, ks), (PARENT, unseen, np.where(_parent_right(asked), 0, len(model)), (1,))]
    for name, rows, places, wanted in parted:
        if not rows.any():
            continue
        counts = np.bincount(asked.taxa[rows], minlength=len(model))
        for k in wanted:
            hits = hits_per_taxon(asked.taxa, rows & (places < k), len(model))
            for average, value in (("micro", boot.micro(hits, counts)), ("macro", boot.macro(hits, counts))):
                found[name, average, k] = value.value
                yield _row(name, average, k, value, int(rows.sum()), int((counts > 0).sum()))
    for average in ("micro", "macro"):
        for k in ks:
            a, b = found.get((SEEN, average, k)), found.get((UNSEEN, average, k))
            if a is not None and b is not None:
                both = 2 * a * b / (a + b) if a + b > 0 else 0.0
                ends = (both, float("nan"), float("nan"))
                yield _row(HARMONIC, average, k, ends, int(((role == SEEN) | unseen).sum()), len(np.unique(asked.taxa)))


def anomaly_rows(asked: Asked) -> Iterator[Row]:
    """anomalies, score, auroc, both false positive rates and counts: each kind against the test specimens of seen taxa."""
    model = asked.prototypes
    role = model.roles[asked.taxa].astype(str)
    known = novelty_scores(model, asked.training, asked.vectors[role == SEEN])
    kinds = {**asked.anomalies, UNSEEN: asked.vectors[role == UNSEEN]}
    for kind, vectors in kinds.items():
        if not len(vectors):
            continue
        strange = novelty_scores(model, asked.training, vectors)
        for score in SCORES:
            both = np.concatenate([known[score], strange[score]])
            found = novelty(both, np.arange(len(both)) >= len(known[score]))
            yield {"anomalies": kind, "score": score, **asdict(found)}


def novelty_scores(model: PlacedPrototypes, training: Array, vectors: Array) -> dict[str, Array]:
    """How unlike anything known each of n vectors is, higher: more novel.

    "prototypes": 1 - the largest cosine to a prototype; "energy": -log sum exp of scale * cosine (Liu et al. 2020,
    arXiv:2010.03759); "neighbours": 1 - the cosine to the 10th nearest training specimen of a seen taxon (Sun et al. 2022,
    arXiv:2204.06507). Each (n,) float64.
    """
    cosines = np.asarray(vectors @ model.points.T, np.float64)
    highest = cosines.max(axis=1)
    scaled = model.scale * (cosines - highest[:, None])
    near = ExactIndex(training).search(np.asarray(vectors, np.float32), min(NEIGHBOUR, len(training))).scores[:, -1]
    return {
        "prototypes": 1.0 - highest,
        "energy": -(model.scale * highest + np.log(np.exp(scaled).sum(axis=1))),
        "neighbours": 1.0 - np.asarray(near, np.float64),
    }


def _parent_right(asked: Asked) -> Array:
    """(n,) bool: the answer is under the parent of the true taxon; where that is the root nothing is asked, and it is False."""
    model = asked.prototypes
    answer = model.nodes[model.scores(asked.vectors).argmax(axis=1)]
    parent = model.taxonomy.parent[model.nodes[asked.taxa]]
    return np.asarray((parent > 0) & model.taxonomy.is_ancestor(parent, answer))


def _row(role: str, average: str, k: int, value: Sequence[float], queries: int, taxa: int) -> Row:
    low, high = (None if end != end else float(end) for end in value[1:3])
    return {
        "role": role,
        "average": average,
        "k": k,
        "value": float(value[0]),
        "low": low,
        "high": high,
        "queries": queries,
        "taxa": taxa,
    }


def taxon_rows(asked: Asked, ks: Sequence[int]) -> Iterator[Row]:
    model = asked.prototypes
    place = model.places(asked.vectors, asked.taxa)
    answer = model.scores(asked.vectors).argmax(axis=1)
    for taxon in np.unique(asked.taxa):
        own = asked.taxa == taxon
        wrong = answer[own & (answer != taxon)]
        common = int(np.bincount(wrong).argmax()) if len(wrong) else None
        yield {
            "taxon": str(model.taxonomy.names[model.nodes[taxon]]),
            "path": model.taxonomy.path_text(int(model.nodes[taxon]), " / "),
            "role": str(model.roles[taxon]),
            "queries": int(own.sum()),
            **{f"top-{k}": float((place[own] < k).mean()) for k in ks},
            "most often taken for": "" if common is None else str(model.taxonomy.names[model.nodes[common]]),
        }


def role_rows(asked: Asked) -> Iterator[Row]:
    model = asked.prototypes
    for i in np.flatnonzero(model.roles.astype(str) != SEEN):
        path = [name for name in model.taxonomy.path(int(model.nodes[i])) if name]
        yield {"role": str(model.roles[i]), "taxon": path[-1], "path": " / ".join(path), "queries": int((asked.taxa == i).sum())}
