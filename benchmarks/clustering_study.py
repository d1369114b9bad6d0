"""What the clusterings of real_clustering.py say: rank correlations of label-free scores with AMI, and what a choice by
them loses.

An interval draws encoders with replacement, all clusterings of one together: clusterings of the same vectors are no independent
witnesses. With ten encoders it is wide, and rightly so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[Any]
Row = dict[str, Any]
TARGETS = {"plankton": ("label",), "barcodes": ("species", "genus")}
SCORES = (
    "silhouette, UMAP",
    "silhouette, UMAP, noise left out",
    "silhouette, PCA",
    "silhouette, original",
    "Calinski-Harabasz, UMAP",
    "Davies-Bouldin, UMAP",
    "stability",
    "neighbour information",
    "neighbour agreement",
    "effective rank",
    "neighbour margin",
)
"""Higher is better; Davies-Bouldin was turned round. The last three are of the encoder, the same for all its settings."""
DRAWS, SEED, FEWEST = 500, 0, 3


def read(folder: Path) -> list[Row]:
    return [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text(encoding="utf-8"))]


def correlations(rows: Sequence[Row], kind: str) -> list[Row]:
    """A row for each target and score: Spearman over all clusterings, over those of the true number of clusters, over settings
    of an encoder and over the encoders at a setting (means), each with its interval, and the AMI lost by taking the highest."""
    encoders, settings = (list(dict.fromkeys(row[name] for row in rows)) for name in ("encoder", "setting"))
    cells = {(row["encoder"], row["setting"]): row for row in rows}
    settings = [each for each in settings if all((encoder, each) in cells for encoder in encoders)]
    told = np.array([cells[encoders[0], each]["asked"] or 0 for each in settings])
    found = []
    for rank in TARGETS[kind]:
        truth = np.array([[cells[e, s][f"AMI {rank}"] for s in settings] for e in encoders])
        for score in SCORES:
            values = np.array([[_number(cells[e, s].get(score)) for s in settings] for e in encoders])
            row: Row = {"set": kind, "AMI at": rank, "score": score, "encoders": len(encoders), "clusterings": truth.size}
            row["all clusterings"] = _said(_over_all, values, truth)
            row["the true number told"] = _said(_over_all, values[:, told == told.max()], truth[:, told == told.max()])
            row["settings of an encoder"] = _said(_over_settings, values, truth)
            row["encoders at a setting"] = _said(_over_encoders, values, truth)
            picked = np.nanargmax(values, axis=1) if np.ptp(values, axis=1).any() else None
            lost = None if picked is None else truth.max(1) - np.take_along_axis(truth, picked[:, None], 1)[:, 0]
            row["AMI lost by its choice of a setting, mean and most"] = (
                "" if lost is None else f"{lost.mean():.3f}, {lost.max():.3f}"
            )
            found.append(row)
    return found


def noise(rows: Sequence[Row], kind: str) -> list[Row]:
    """HDBSCAN's noise counted as the study does, as one cluster, and left out."""
    found = []
    for reducer in ("pca", "umap"):
        own = [row for row in rows if row["method"] == "hdbscan" and row["reducer"] == reducer and row["standardise"] == "none"]
        for rank in TARGETS[kind]:
            found.append(
                {
                    "set": kind,
                    "AMI at": rank,
                    "encoder": f"HDBSCAN after {reducer}, mean of {len(own)} encoders",
                    "AMI, noise one cluster": float(np.mean([row[f"AMI {rank}"] for row in own])),
                    "AMI, noise left out": float(np.mean([row[f"AMI {rank}, clustered"] for row in own])),
                    "share clustered": float(np.mean([row["clustered"] for row in own])),
                }
            )
    return found


def encoders_table(rows: Sequence[Row], kind: str) -> list[Row]:
    """The best and the median AMI of each encoder."""
    found = []
    for encoder in dict.fromkeys(row["encoder"] for row in rows):
        for rank in TARGETS[kind][:1]:
            values = [(row[f"AMI {rank}"], row["setting"]) for row in rows if row["encoder"] == encoder]
            best = max(values)
            middle = float(np.median([value for value, _ in values]))
            found.append({"set": kind, "encoder": encoder, "AMI at": rank, "best": best[0], "by": best[1], "median": middle})
    return found


def _said(statistic: Callable[[Array, Array], float], values: Array, truth: Array) -> str:
    """ "0.51 (0.32 to 0.70)", or nothing where there is nothing to correlate."""
    value = statistic(values, truth)
    if np.isnan(value):
        return ""
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        own = rng.integers(0, len(values), len(values))
        drawn.append(statistic(values[own], truth[own]))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def _over_all(values: Array, truth: Array) -> float:
    return spearman(values.ravel(), truth.ravel())


def _over_settings(values: Array, truth: Array) -> float:
    return _mean([spearman(told, real) for told, real in zip(values, truth)])


def _over_encoders(values: Array, truth: Array) -> float:
    return _mean([spearman(told, real) for told, real in zip(values.T, truth.T)])


def _mean(found: list[float]) -> float:
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def spearman(a: Array, b: Array) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    a, b = rankdata(a[known]), rankdata(b[known])
    if len(a) < FEWEST or not np.ptp(a) or not np.ptp(b):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
