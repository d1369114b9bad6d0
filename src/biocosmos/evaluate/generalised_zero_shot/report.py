"""Generalised zero-shot: taxa without training images are asked about, and seen and unseen taxa are all candidates.

    top-k            share of specimens whose taxon is among the k of the highest scores, seen and unseen taxa apart
    harmonic mean    of the two, mean over taxa each (Xian et al. 2018, arXiv:1707.00600)
    among unseen     the same with the unseen taxa as the only candidates (plain zero-shot)
    right parent     share of unseen specimens whose answer, right or wrong, is a taxon under the true taxon's parent
    anomaly AUROC    chance that an image of no taxon looks more novel than one of a seen taxon

Numbers of several draws of the unseen taxa are given one by one and as mean and deviation over draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.generalised_zero_shot.page import page
from biocosmos.evaluate.generalised_zero_shot.tables import (
    NEIGHBOUR,
    Asked,
    Row,
    anomaly_rows,
    answer_rows,
    role_rows,
    taxon_rows,
)
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.caveats import interval_caveat
from biocosmos.evaluate.report import Report
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN, UNSEEN, PlacedPrototypes

KS = (1, 2, 5, 10)
TITLE = "Generalised zero-shot: taxa without a training image"


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
        per_taxon += [head | row for row in taxon_rows(asked, ks)]
        if not any(row["draw"] == draw for row in taxa):
            taxa += [{"draw": draw} | row for row in role_rows(asked)]
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
    return Report("generalised_zero_shot", TITLE, tables, [*_caveats(first, draws), interval_caveat(boot)], facts, page)


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
