"""How well clusters and taxa are parted in the spaces they can be seen in: the encoder's, the reduced one and UMAP's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.choice.internal import ASKED, calinski_harabasz, davies_bouldin, silhouettes
from biocosmos.evaluate.clustering.grid import space_name
from biocosmos.evaluate.clustering.intervals import mean_interval
from biocosmos.evaluate.clustering.runs import Run
from biocosmos.evaluate.clustering.work import Work, digest
from biocosmos.evaluate.numbers.targets import Target

Array = npt.NDArray[Any]

ORIGINAL, REDUCED, UMAP = "original", "reduced", "umap"
SPACES = (ORIGINAL, REDUCED, UMAP)
CLUSTERS = "clusters"
LEFT_OUT, ONE_CLUSTER = "left out", "one cluster"
WELL_PARTED = ("silhouette", "silhouette_cosine", "calinski_harabasz", "davies_bouldin")
LOWER_IS_BETTER = ("davies_bouldin",)
PARTED = pa.schema(
    [
        *((name, pa.string()) for name in ("encoder", "setting", "space", "labels", "noise")),
        *((name, pa.int64()) for name in ("specimens", "clusters")),
        *((name, pa.float64()) for name in ("silhouette", "silhouette_low", "silhouette_high", *WELL_PARTED[1:])),
    ]
)


@dataclass(frozen=True)
class Labelling:
    """Labels (n,) of the rows of a space, those below 0 left out; facts: what stands beside the scores in the table."""

    facts: Mapping[str, str]
    codes: Array


def labellings_of(clusters: Array, facts: Mapping[str, str]) -> list[Labelling]:
    """Predicted clusters with their noise left out and, where there is some, as one cluster: as the study counts it."""
    found = [Labelling({**facts, "labels": CLUSTERS, "noise": LEFT_OUT}, clusters)]
    if bool((clusters < 0).any()):
        found.append(Labelling({**facts, "labels": CLUSTERS, "noise": ONE_CLUSTER}, clusters + 1))
    return found


def parted(space: Array, labellings: Sequence[Labelling], work: Work, seed: int, asked: int = ASKED) -> list[dict[str, Any]]:
    """A row of :data:`PARTED` for each labelling of the rows of ``space`` (n, p); distances are made once for all."""
    if not labellings:
        return []
    facts = [digest(space, *(each.codes for each in labellings)), seed, asked]
    kept = work.get("parted", facts, lambda: _measured(space, [each.codes for each in labellings], seed, asked))
    rows = []
    for each, numbers in zip(labellings, kept["numbers"]):
        known = each.codes[each.codes >= 0]
        sizes = {"specimens": len(known), "clusters": len(np.unique(known))}
        names = ("silhouette", "silhouette_low", "silhouette_high", *WELL_PARTED[1:])
        rows.append({**each.facts, **sizes, **dict(zip(names, map(float, numbers)))})
    return rows


def _measured(space: Array, labellings: Sequence[Array], seed: int, asked: int) -> dict[str, Array]:
    near = silhouettes(space, labellings, asked=asked, seed=seed)
    turned = silhouettes(space, labellings, metric="cosine")
    numbers = []
    for codes, widths, cosine in zip(labellings, near, turned):
        others = (mean_interval(cosine).value, calinski_harabasz(space, codes), davies_bouldin(space, codes))
        numbers.append([*mean_interval(widths), *others])
    return {"numbers": np.array(numbers, float)}


def parted_in_spaces(
    encoder: str, vectors: Array, runs: Sequence[Run], targets: Sequence[Target], work: Work, seed: int, asked: int
) -> list[dict[str, Any]]:
    """Rows of ``parted``: taxa and clusters in the original space and UMAP's, and each where it was clustered."""
    umap = next((run.reduced for run in runs if run.setting.settings.reducer == "umap"), None)
    rows: list[dict[str, Any]] = []
    for space, x in ((ORIGINAL, vectors), (UMAP, umap)):
        if x is not None:
            here = {"encoder": encoder, "space": space}
            shown = [each for run in runs for each in labellings_of(run.labels, {**here, "setting": run.setting.name})]
            rows += parted(x, [*_true(targets, {**here, "setting": ""}), *shown], work, seed, asked)
    alike: dict[int, list[Run]] = {}
    for run in runs:
        alike.setdefault(id(run.reduced), []).append(run)
    for of_one in alike.values():
        by = space_name(of_one[0].setting.settings)
        here = {"encoder": encoder, "space": REDUCED}
        shown = [each for run in of_one for each in labellings_of(run.labels, {**here, "setting": run.setting.name})]
        rows += parted(of_one[0].reduced, [*_true(targets, {**here, "setting": by}), *shown], work, seed, asked)
    return rows


def _true(targets: Sequence[Target], facts: Mapping[str, str]) -> list[Labelling]:
    return [Labelling({**facts, "labels": target.name, "noise": LEFT_OUT}, target.query) for target in targets]
