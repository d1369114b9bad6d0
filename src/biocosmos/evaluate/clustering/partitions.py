"""One clustering against the taxa of every rank: scores with intervals, noise counted as the study does and apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.clustering.intervals import Drawn, Halves
from biocosmos.evaluate.clustering.scores import EXTERNAL, ami, ari, external, share_clustered
from biocosmos.evaluate.clustering.work import Work, digest
from biocosmos.evaluate.numbers.bootstrap import Interval
from biocosmos.evaluate.numbers.targets import Target

Array = npt.NDArray[Any]

DRAWN = {"ami": ami, "ari": ari}
"""Scores that get an interval."""
CLUSTERED = "_clustered"
SCORES = pa.schema(
    [
        *((name, pa.string()) for name in ("encoder", "setting", "rank", "kind")),
        *((name, pa.int64()) for name in ("specimens", "unnamed", "taxa", "clusters")),
        ("share_clustered", pa.float64()),
        *(
            (column, pa.float64())
            for end in ("", CLUSTERED)
            for name in EXTERNAL
            for column in ((f"{name}{end}", f"{name}{end}_low", f"{name}{end}_high") if name in DRAWN else (f"{name}{end}",))
        ),
    ]
)


@dataclass(frozen=True)
class Partition:
    """One clustering at one rank; row: of the table :data:`SCORES`, but for encoder and setting; ami: with its halves."""

    row: Mapping[str, Any]
    ami: Drawn


def partitions(labels: Array, targets: Sequence[Target], halves: Halves, work: Work) -> dict[str, Partition]:
    """name of each target -> its scores. labels: (n,) clusters, -1 noise; targets: ranks and columns of the same n rows."""
    found = {}
    for target in targets:
        truth = target.query
        facts = [digest(labels, truth), halves.draws, halves.confidence, halves.seed]
        kept = work.get("scores", facts, partial(_scored, truth, labels, halves))
        found[target.name] = Partition(_row(target, labels, kept), _drawn(kept, "ami"))
    return found


def _scored(truth: Array, labels: Array, halves: Halves) -> dict[str, Array]:
    out: dict[str, Array] = {}
    whole = external(truth, labels)
    noisy = bool((labels < 0).any())
    apart = external(truth, labels, noise="left out") if noisy else whole
    for name in EXTERNAL:
        out[name], out[name + CLUSTERED] = np.array(whole[name]), np.array(apart[name])
    for name, score in DRAWN.items():
        drawn = halves.of(score, truth, labels)
        without = drawn
        if noisy:
            without = halves.of(partial(score, noise="left out"), truth, labels)
        for end, each in (("", drawn), (CLUSTERED, without)):
            out[f"{name}{end}_interval"], out[f"{name}{end}_halves"] = np.array(each.interval), each.halves
    return out


def _drawn(kept: Mapping[str, Array], name: str) -> Drawn:
    return Drawn(Interval(*map(float, kept[f"{name}_interval"])), kept[f"{name}_halves"])


def _row(target: Target, labels: Array, kept: Mapping[str, Array]) -> dict[str, Any]:
    named = target.query >= 0
    here = labels[named]
    row: dict[str, Any] = {
        "rank": target.name,
        "kind": target.kind,
        "specimens": int(named.sum()),
        "unnamed": int((~named).sum()),
        "taxa": len(np.unique(target.query[named])),
        "clusters": len(np.unique(here[here >= 0])),
        "share_clustered": share_clustered(here),
    }
    for end in ("", CLUSTERED):
        for name in EXTERNAL:
            row[name + end] = float(kept[name + end])
            if name in DRAWN:
                _, row[f"{name}{end}_low"], row[f"{name}{end}_high"] = map(float, kept[f"{name}{end}_interval"])
    return row
