"""Clusterings of one encoder's vectors by every setting: each reduction is made once, and whatever was made is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters import ClusterSettings, cluster, reduce
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering.cost import Cost
from biocosmos.evaluate.clustering.grid import Setting
from biocosmos.evaluate.clustering.work import Work, digest

Array = npt.NDArray[Any]

COSTS = ("reduce_seconds", "reduce_mib", "cluster_seconds", "cluster_mib")
_UNREDUCED = {"standardise": "none", "reducer": "none"}


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
    spaces: dict[ClusterSettings, dict[str, Array]] = {}
    for setting in settings:
        by = reduction_of(setting.settings)
        try:
            if by not in spaces:
                spaces[by] = work.get("reduced", [what, asdict(by)], partial(_reduced, vectors, by))
            space = spaces[by]
            how = replace(setting.settings, **_UNREDUCED)
            facts = [digest(space["reduced"]), asdict(how)]
            made = work.get("clusters", facts, partial(_clustered, space["reduced"], how))
        except BiocosmosError as error:
            failed.append(Failed(encoder, setting.name, str(error)))
        else:
            cost = {name: float({**space, **made}[name]) for name in COSTS}
            runs.append(Run(encoder, setting, made["labels"], space["reduced"], cost))
        tell()
    return runs, failed


def reduction_of(settings: ClusterSettings) -> ClusterSettings:
    """The settings of the reduction alone: the same for all clusterers of one reduced space."""
    plain = ClusterSettings()
    shared = ("standardise", "reducer", "dims", "neighbours", "seed")
    return replace(plain, **{name: getattr(settings, name) for name in shared})


def _reduced(vectors: Array, settings: ClusterSettings) -> dict[str, Array]:
    with Cost() as cost:
        found = np.ascontiguousarray(reduce(vectors, settings), np.float32)
    return {"reduced": found, "reduce_seconds": np.array(cost.seconds), "reduce_mib": np.array(cost.mib)}


def _clustered(reduced: Array, settings: ClusterSettings) -> dict[str, Array]:
    with Cost() as cost:
        labels = cluster(reduced, settings).labels
    return {"labels": labels, "cluster_seconds": np.array(cost.seconds), "cluster_mib": np.array(cost.mib)}
