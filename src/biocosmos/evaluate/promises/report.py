"""Promised against observed: are error rates kept on specimens that had no part in setting the thresholds?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.calibration import reliability
from biocosmos.evaluate.promises import tables as tables_of
from biocosmos.evaluate.promises.page import page
from biocosmos.evaluate.ranks.names import namer_name
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.identify.confidence.calibration import Calibration, fit_calibration
from biocosmos.identify.confidence.promises import (
    DEFAULT_DELTA,
    KINDS,
    Outcomes,
    answers_at,
    calibration_notes,
    check_promise,
    is_wrong,
    promised_threshold,
    set_apart,
    smallest_alpha,
)
from biocosmos.identify.confidence.sets import set_items, set_threshold, true_scores
from biocosmos.identify.confidence.temperature import Temperatures, Walked, walk
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.predictions import Predictions

Array = npt.NDArray[Any]
Row = dict[str, Any]
ALPHAS = (0.01, 0.05, 0.1, 0.2)
RESPLITS = 20
# Specimens on each side of a resplit below which nothing can be said.
FEWEST = 20


def promise_report(
    predictions: Predictions,
    *,
    alphas: Sequence[float] = ALPHAS,
    resplits: int = RESPLITS,
    groups: Sequence[str] | None = None,
    calibration: float = 0.5,
    delta: float = DEFAULT_DELTA,
    seed: int = 0,
) -> Report:
    """Make each promise on one part of the specimens, keep it on the other, over random resplits.

    predictions: calibration and test part pooled, specimens that the namer was neither fitted nor chosen on; alphas: error
    rates to promise; groups: ranks of the tree or columns of ``predictions`` whose values are judged apart, the first rank by
    default; calibration: share drawn into the calibration part of each resplit; resplit i is drawn with the seed ``seed + i``,
    and so is what is set apart in it for the temperatures: nothing but seed and ids matters.

    Tables: summary (promised and observed per kind and alpha, with the verdict), resplits, answered_at (share answered at each
    rank), groups, calibration (temperature, expected calibration error before and after, per rank), sets (coverage and size).
    Specimens of which nothing is known are left out.

    Raises BiocosmosError: fewer than 2 resplits, an alpha, delta or share not between 0 and 1, an unknown group, too few
    specimens with a known taxon.
    """
    for alpha in alphas:
        check_promise("mean", alpha, delta)
    if resplits < 2 or not 0 < calibration < 1:
        raise BiocosmosError(
            f"a report on promises needs 2 resplits or more and a calibration share between 0 and 1, not {resplits} and "
            f"{calibration}"
        )
    known = predictions.subset(predictions.truth != 0)
    if len(known) * min(calibration, 1 - calibration) < FEWEST:
        raise BiocosmosError(
            f"{len(known):,} specimens with a known taxon are too few: each side of a resplit needs {FEWEST}; predict a larger "
            "part"
        )
    groupings = {name: _codes(known, name) for name in ([known.ranks[0]] if groups is None else groups)}
    walked = walk(known, fitting=True)
    scenes = [_resplit(known, walked, calibration, seed + i) for i in range(resplits)]
    runs = [
        _run(known, walked, scene, kind, float(alpha), delta, i, groupings)
        for kind in KINDS
        for alpha in alphas
        for i, scene in enumerate(scenes)
    ]
    sizes = {"calibration": len(scenes[0].fitting) + len(scenes[0].testing), "test": len(scenes[0].asked)}
    made: dict[str, list[Row]] = {
        "summary": tables_of.summary_rows(runs, delta, len(scenes[0].testing), sizes),
        "resplits": [run.row for run in runs],
        "answered_at": tables_of.answered_rows(runs, known.ranks),
        "groups": tables_of.group_rows(runs, {name: names for name, (_, names) in groupings.items()}),
        "calibration": _calibration_rows(known, walked, scenes),
        "sets": _set_rows(known, scenes, alphas),
    }
    facts = {key: value for key, value in known.facts.items() if key not in ("split", "split_hash")}
    provenance: Row = {
        "protocol": "promises",
        "namer": {"name": namer_name(known.facts), **facts},
        "encoders": {encoder_of(known.facts).get("name", "not recorded"): {}},
        "split": known.facts.get("split"),
        "split_hash": split_hash(known.facts),
        "options": {
            "alphas": list(alphas),
            "delta": delta,
            "resplits": resplits,
            "seeds": [seed + i for i in range(resplits)],
            "calibration_share": calibration,
            "groups": list(groupings),
        },
    }
    caveats = tables_of.caveats(made, len(predictions) - len(known), resplits, delta, calibration_notes(known, walked.nodes))
    name = namer_name(known.facts)
    tables = {key: tables_of.table(key, rows) for key, rows in made.items()}
    return Report("promises", f"{name}: error rates promised and observed", tables, caveats, provenance, page)


@dataclass(frozen=True)
class Scene:
    """One resplit: rows for the calibration, for the threshold, and asked about; and what the head says there."""

    fitting: Array
    testing: Array
    asked: Array
    calibration: Calibration
    confidence: Array
    outcomes: Outcomes


def _resplit(known: Predictions, walked: Walked, share: float, seed: int) -> Scene:
    order = np.random.default_rng(seed).permutation(np.argsort(known.ids.astype(str), kind="stable"))
    count = round(share * len(known))
    fitting, testing = set_apart(known.ids, order[:count], seed)
    mask = np.zeros(len(known), np.bool_)
    mask[fitting] = True
    calibration = fit_calibration(known, walked, mask)
    confidence = calibration.confidence(walked)
    outcomes = Outcomes.of(known.taxonomy, walked.nodes, confidence, known.truth)
    return Scene(fitting, testing, np.sort(order[count:]), calibration, confidence, outcomes)


def _run(
    known: Predictions,
    walked: Walked,
    scene: Scene,
    kind: Any,
    alpha: float,
    delta: float,
    number: int,
    groupings: dict[str, tuple[Array, list[str]]],
) -> tables_of.Run:
    """Promise on the calibration side of a resplit, and count on the other."""
    asked, n = scene.asked, len(scene.testing)
    row: Row = {"promise": kind, "alpha": alpha, "resplit": number, "threshold": None, "queries": len(asked)}
    ranks = len(known.ranks)
    if alpha < smallest_alpha(kind, n, delta) - 1e-9:
        empty = {"answered": None, "wrong": None, "error": None, "p": None}
        return tables_of.Run({**row, **empty}, np.full(ranks + 1, np.nan), {}, False)
    testing = scene.outcomes.rows(scene.testing)
    threshold = promised_threshold(kind, alpha, delta, scene.outcomes.rows(scene.fitting), [testing])
    answers = answers_at(walked.nodes[asked], scene.confidence[asked], threshold)
    wrong = is_wrong(known.taxonomy, answers.nodes, known.truth[asked])
    said = answers.nodes > 0
    answered, mistakes = int(said.sum()), int(wrong.sum())
    among = len(asked) if kind == "mean" else answered
    found: Row = {
        "threshold": threshold if np.isfinite(threshold) else None,
        "answered": answered,
        "wrong": mistakes,
        "error": mistakes / among if among else 0.0,
        # one-sided: as many wrong answers or more, were alpha the true share
        "p": float(binom.sf(mistakes - 1, among, alpha)) if among else 1.0,
    }
    shares = np.bincount(answers.ranks + 1, minlength=ranks + 1) / len(asked)
    per_group = {}
    for name, (codes, names) in groupings.items():
        inside = codes[asked] >= 0
        mine = codes[asked][inside]
        per_group[name] = np.stack(
            [np.bincount(mine, weights=flags[inside], minlength=len(names)) for flags in (np.ones(len(asked)), said, wrong)]
        )
    free = bool(threshold <= np.nanmin(scene.outcomes.confidence))
    return tables_of.Run({**row, **found}, shares, per_group, free)


def _codes(known: Predictions, name: str) -> tuple[Array, list[str]]:
    """Group of each specimen: (n,) int64 codes, -1 none, and the names, most frequent first."""
    if name in known.ranks:
        at = known.taxonomy.ancestor(np.maximum(known.truth, 0), name)
        values = np.array([known.taxonomy.names[node] if node >= 0 else None for node in at], object)
    elif known.columns is not None and name in known.columns.column_names:
        values = np.array([None if v is None or not str(v).strip() else str(v) for v in known.columns[name].to_pylist()], object)
    else:
        there = [*known.ranks, *(known.columns.column_names if known.columns is not None else [])]
        raise BiocosmosError(f"cannot group by {name!r}: there are {', '.join(there)}")
    known_values = [v for v in values if v is not None]
    names = sorted(set(known_values), key=lambda v: (-known_values.count(v), v))
    place = {v: i for i, v in enumerate(names)}
    return np.array([-1 if v is None else place[v] for v in values], np.int64), names


def _calibration_rows(known: Predictions, walked: Walked, scenes: Sequence[Scene]) -> list[Row]:
    """Temperature and calibration of each rank of the best path, on the asked side of the resplits."""
    plain = walked.confidence(Temperatures.none(known.ranks))
    bad = is_wrong(known.taxonomy, walked.nodes, known.truth[:, None])
    rows = []
    for at, rank in enumerate(known.ranks):
        found = []
        for scene in scenes:
            mine = scene.asked[walked.nodes[scene.asked, at] >= 0]
            if len(mine):
                right, said, plainly = ~bad[mine, at], scene.confidence[mine, at], plain[mine, at]
                eces = reliability(plainly, right).ece, reliability(said, right).ece
                found.append(
                    (scene.calibration.temperatures.values[at], *eces, plainly.mean(), said.mean(), right.mean(), len(mine))
                )
        if found:
            names = ("temperature", "before", "after", "said_before", "said", "right", "answers")
            row: Row = {"rank": rank, **{name: float(value) for name, value in zip(names, np.mean(found, axis=0))}}
            rows.append(
                {**row, "answers": round(row["answers"]), "after_deviation": float(np.std([f[2] for f in found], ddof=1))}
            )
    return rows


def _set_rows(known: Predictions, scenes: Sequence[Scene], alphas: Sequence[float]) -> list[Row]:
    """Coverage and size of sets at each rank that has names, over the resplits."""
    rows = []
    for rank in known.ranks:
        scores, (_, p) = true_scores(known, rank), set_items(known, rank)
        if np.isnan(scores).all() or not p.shape[1]:
            continue
        for alpha in alphas:
            found = []
            for scene in scenes:
                promised = scores[np.concatenate([scene.fitting, scene.testing])]
                threshold = set_threshold(promised[~np.isnan(promised)], float(alpha))
                if threshold >= 0:
                    here = scene.asked[~np.isnan(scores[scene.asked])]
                    edge = np.minimum(threshold, p[here].max(axis=1))  # the most probable is always in the set
                    sizes = (p[here] >= edge[:, None]).sum(axis=1)
                    found.append(((scores[here] >= edge).mean(), sizes.mean(), (sizes == 1).mean()))
            if len(found) > 1:
                covered, size, single = np.array(found).T
                rows.append(
                    {
                        "rank": rank,
                        "alpha": float(alpha),
                        "covered": float(covered.mean()),
                        "standard_error": float(covered.std(ddof=1) / np.sqrt(len(found))),
                        "mean_size": float(size.mean()),
                        "single": float(single.mean()),
                    }
                )
    return rows
