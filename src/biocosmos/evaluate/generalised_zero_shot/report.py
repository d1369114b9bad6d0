"""Generalised zero-shot: taxa without training images are asked about, and seen and unseen taxa are all candidates.

    top-k            share of specimens whose taxon is among the k of the highest scores, seen and unseen taxa apart
    harmonic mean    of the two, mean over taxa each (Xian et al. 2018, arXiv:1707.00600)
    among unseen     the same with the unseen taxa as the only candidates (plain zero-shot)
    right parent     share of unseen specimens whose answer, right or wrong, is a taxon under the true taxon's parent
    anomaly AUROC    chance that an image of no taxon looks more novel than one of a seen taxon

Numbers of several draws of the unseen taxa are given one by one and as mean and deviation over draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.caveats import interval_caveat
from biocosmos.evaluate.numbers.metrics import hits_per_taxon, novelty
from biocosmos.evaluate.report import Report
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN, UNSEEN, PlacedPrototypes
from biocosmos.search.exact import ExactIndex

KS = (1, 2, 5, 10)
TITLE = "Generalised zero-shot: taxa without a training image"
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


def generalised_zero_shot(
    models: Mapping[tuple[str, int], Asked],
    *,
    ks: Sequence[int] = KS,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """A report on (variant, draw) -> what it is asked. Every draw must be of the same specimens.

    Tables: ``ablation`` (mean and deviation over draws), ``answers`` (each draw, with intervals), ``anomalies`` (mean and
    deviation) and ``anomaly_draws``, ``per_taxon``, ``taxa`` (who was unseen and chosen on in which draw).
    """
    boot = Bootstrap(seed=seed)
    answers: list[Row] = []
    anomalies: list[Row] = []
    per_taxon: list[Row] = []
    taxa: list[Row] = []
    for (variant, draw), asked in models.items():
        head = {"variant": variant, "draw": draw}
        answers += [head | row for row in answer_rows(asked, ks, boot)]
        anomalies += [head | row for row in anomaly_rows(asked)]
        per_taxon += [head | row for row in _per_taxon(asked, ks)]
        if not any(row["draw"] == draw for row in taxa):
            taxa += [{"draw": draw} | row for row in _taxa(asked)]
    tables = {
        "ablation": _over_draws(answers, ("variant", "role", "average", "k"), "value"),
        "answers": pa.Table.from_pylist(answers),
        "anomalies": _over_draws(anomalies, ("variant", "anomalies", "score"), "auroc"),
        "anomaly_draws": pa.Table.from_pylist(anomalies),
        "per_taxon": pa.Table.from_pylist(per_taxon),
        "taxa": pa.Table.from_pylist(taxa),
    }
    first = next(iter(models.values())).prototypes
    draws = sorted({draw for _, draw in models})
    facts = {
        "protocol": "generalised zero-shot",
        "variants": list(dict.fromkeys(variant for variant, _ in models)),
        "draws": draws,
        "candidates": len(first),
        "handicaps": {f"{variant}, draw {draw}": _handicaps(asked.prototypes) for (variant, draw), asked in models.items()},
        "trainings": {f"{variant}, draw {draw}": dict(asked.figures) for (variant, draw), asked in models.items()},
        "options": {"ks": list(ks), "neighbour": NEIGHBOUR, "intervals": asdict(boot)},
        **dict(provenance or {}),
    }
    return Report("generalised_zero_shot", TITLE, tables, [*_caveats(first, draws), interval_caveat(boot)], facts)


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


def _per_taxon(asked: Asked, ks: Sequence[int]) -> Iterator[Row]:
    model = asked.prototypes
    place = model.places(asked.vectors, asked.taxa)
    answer = model.scores(asked.vectors).argmax(axis=1)
    for taxon in np.unique(asked.taxa):
        own = asked.taxa == taxon
        wrong = answer[own & (answer != taxon)]
        common = int(np.bincount(wrong).argmax()) if len(wrong) else None
        yield {
            "taxon": str(model.taxonomy.names[model.nodes[taxon]]),
            "path": " / ".join(name for name in model.taxonomy.path(int(model.nodes[taxon])) if name),
            "role": str(model.roles[taxon]),
            "queries": int(own.sum()),
            **{f"top-{k}": float((place[own] < k).mean()) for k in ks},
            "most often taken for": "" if common is None else str(model.taxonomy.names[model.nodes[common]]),
        }


def _taxa(asked: Asked) -> Iterator[Row]:
    model = asked.prototypes
    for i in np.flatnonzero(model.roles.astype(str) != SEEN):
        path = [name for name in model.taxonomy.path(int(model.nodes[i])) if name]
        yield {"role": str(model.roles[i]), "taxon": path[-1], "path": " / ".join(path), "queries": int((asked.taxa == i).sum())}


def _over_draws(rows: Sequence[Row], keys: Sequence[str], value: str) -> pa.Table:
    """Mean, deviation (over draws, n - 1; null of one) and number of draws of ``value`` for each combination of keys."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row[value])
    out = []
    for key, values in groups.items():
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        out.append({**dict(zip(keys, key)), "mean": float(np.mean(values)), "deviation": spread, "draws": len(values)})
    schema = [(key, pa.int64() if key == "k" else pa.string()) for key in keys]
    return pa.Table.from_pylist(
        out, schema=pa.schema([*schema, ("mean", pa.float64()), ("deviation", pa.float64()), ("draws", pa.int64())])
    )


def _handicaps(model: PlacedPrototypes) -> dict[str, float]:
    roles = model.roles.astype(str)
    return {role: round(float(model.handicaps[roles == role].max(initial=0.0)), 3) for role in (SEEN, CHOSEN_ON)}


def _caveats(model: PlacedPrototypes, draws: Sequence[int]) -> list[str]:
    unseen = int((model.roles.astype(str) == UNSEEN).sum())
    out = [
        f"Only {unseen} taxa are unseen in a draw: which ones matters more than what the model does. "
        + (
            f"The deviations are over {len(draws)} draws."
            if len(draws) > 1
            else "This is one draw: ask for several (--draws) before comparing variants."
        ),
        "Name and place in the tree of an unseen taxon are known: it is one that somebody has described, not a new species.",
        "The base encoder was trained on other images (ImageNet): it may have seen like shapes.",
        "Anomalies made of test images, and foreign images, are easier to tell from known taxa than a new species is; the unseen "
        "taxa are in a row of their own.",
    ]
    return out
