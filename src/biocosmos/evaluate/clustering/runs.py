"""Clusterings of one encoder's vectors by every setting: each reduction is made once, and whatever was made is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters import ClusterSettings, cluster
from biocosmos.discover.clusters.spaces import space
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering.cost import Cost
from biocosmos.evaluate.clustering.grid import Setting, reduction_of
from biocosmos.evaluate.clustering.work import Work, digest

Array = npt.NDArray[Any]

COSTS = ("reduce_seconds", "reduce_mib", "cluster_seconds", "cluster_mib")


@dataclass(frozen=True)
class Run:
    """A clustering. labels: (n,) int32, -1 noise; reduced: (n, p) float32, what was clustered; cost: :data:`COSTS`, CPU seconds
    and MiB over what the process held before, of the run that made it."""

    encoder: str
    setting: Setting
    labels: Array
    reduced: Array
    cost: Mapping[str, float]

    @property
    def key(self) -> tuple[str, str]:
        """(encoder, setting)."""
        return self.encoder, self.setting.name


@dataclass(frozen=True)
class Failed:
    """A setting that could not be run, and why."""

    encoder: str
    setting: str
    reason: str


def cluster_all(
    encoder: str, vectors: Array, settings: Sequence[Setting], work: Work, tell: Callable[[], None]
) -> tuple[list[Run], list[Failed]]:
    """Every setting on ``vectors`` (n, d); what cannot be run is in the second list. tell: called after each."""
    runs, failed = list[Run](), list[Failed]()
    what = digest(vectors)
    spaces: dict[tuple[Any, ...], dict[str, Array]] = {}
    for setting in settings:
        how = setting.settings
        by = reduction_of(how)
        try:
            if by not in spaces:
                spaces[by] = work.get("reduced", [what, by], partial(_reduced, vectors, how))
            reduced = spaces[by]["reduced"]
            made = work.get("clusters", [what, digest(reduced), asdict(how)], partial(_clustered, vectors, reduced, how))
        except BiocosmosError as error:
            failed.append(Failed(encoder, setting.name, str(error)))
        else:
            cost = {name: float({**spaces[by], **made}[name]) for name in COSTS}
            runs.append(Run(encoder, setting, made["labels"], reduced, cost))
        tell()
    return runs, failed


def _reduced(vectors: Array, settings: ClusterSettings) -> dict[str, Array]:
    with Cost() as cost:
        found = np.ascontiguousarray(space(vectors, settings), np.float32)
    return {"reduced": found, "reduce_seconds": np.array(cost.seconds), "reduce_mib": np.array(cost.mib)}


def _clustered(vectors: Array, reduced: Array, settings: ClusterSettings) -> dict[str, Array]:
    with Cost() as cost:
        labels = cluster(vectors, settings, reduced=reduced).labels
    return {"labels": labels, "cluster_seconds": np.array(cost.seconds), "cluster_mib": np.array(cost.mib)}
