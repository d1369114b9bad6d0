"""Do scores that need no labels put encoders and settings in the order in which AMI puts them?

The study says so of the silhouette in a UMAP-reduced space (Lowe et al. 2024, https://arxiv.org/abs/2406.02465). Here each score
that can be had without labels is correlated with AMI over all clusterings of the report, over the settings of each encoder, and
over the encoders at each setting; and what is lost by taking the clustering that the score puts first.

Clusterings of the same vectors are no independent witnesses: over all, an interval draws whole encoders where there are enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.clustering.parted import LOWER_IS_BETTER
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.correlation import FEWEST, kendall, rank_correlation

EVERYTHING = "all"
ENCODERS = 5
"""Fewer are too few to be drawn for an interval: then clusterings are."""
AGREEMENT = pa.schema(
    [
        *((name, pa.string()) for name in ("score", "space", "noise", "over", "which", "best_is")),
        ("drawn", pa.string()),
        ("clusterings", pa.int64()),
        *((f"{name}{end}", pa.float64()) for name in ("spearman", "kendall") for end in ("", "_low", "_high")),
        ("picked", pa.string()),
        *((name, pa.float64()) for name in ("picked_ami", "best_ami", "lost")),
    ]
)


def agreement(
    scores: Mapping[tuple[str, str, str], Mapping[tuple[str, str], float]],
    truth: Mapping[tuple[str, str], float],
    boot: Bootstrap,
) -> list[dict[str, Any]]:
    """Rows of :data:`AGREEMENT`.

    scores: (score, space, how noise was counted) -> {(encoder, setting): value}; truth: {(encoder, setting): AMI}. Clusterings
    whose score is undefined are left out of it. Groups of under three clusterings have no correlation and are not listed.
    """
    rows = []
    for (score, space, noise), values in scores.items():
        sign = -1.0 if score in LOWER_IS_BETTER else 1.0
        there = [key for key in truth if np.isfinite(values.get(key, np.nan)) and np.isfinite(truth[key])]
        for over, which, keys in _groups(there):
            if len(keys) < FEWEST:
                continue
            told = np.array([sign * values[key] for key in keys])
            real = np.array([truth[key] for key in keys])
            row: dict[str, Any] = {"score": score, "space": space, "noise": noise, "over": over, "which": which}
            whole = (
                np.unique([key[0] for key in keys], return_inverse=True)[1] if over == EVERYTHING else np.zeros(len(keys), int)
            )
            groups = whole if len(np.unique(whole)) >= ENCODERS else None
            row["drawn"] = "clusterings" if groups is None else "encoders"
            row |= {"best_is": "lowest" if sign < 0 else "highest", "clusterings": len(keys)}
            for name, correlate in (("spearman", rank_correlation), ("kendall", kendall)):
                found = correlate(told, real, boot, groups)
                for end, value in zip(("", "_low", "_high"), found or (None, None, None)):
                    row[name + end] = value
            first = int(told.argmax())
            row |= {"picked": " | ".join(keys[first]), "picked_ami": float(real[first]), "best_ami": float(real.max())}
            rows.append({**row, "lost": float(real.max() - real[first])})
    return rows


def _groups(keys: Sequence[tuple[str, str]]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(over what, which, its clusterings): all, the settings of each encoder, the encoders of each setting."""
    groups = [(EVERYTHING, "", list(keys))]
    for place, over in ((0, "settings of"), (1, "encoders at")):
        names = list(dict.fromkeys(key[place] for key in keys))
        if len({key[1 - place] for key in keys}) > 1 and len(names) > 1:
            groups += [(over, name, [key for key in keys if key[place] == name]) for name in names]
    return groups
