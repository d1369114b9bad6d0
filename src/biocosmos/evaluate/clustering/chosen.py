"""What one would take without labels: the choice of :mod:`biocosmos.discover.choice`, beside the settings that are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.choice.choosing import choose
from biocosmos.discover.clusters import ClusterSettings
from biocosmos.evaluate.clustering.grid import FROM_NO_LABELS, Options, Setting, told
from biocosmos.evaluate.clustering.work import Work, digest

Array = npt.NDArray[Any]

CHOSEN = "chosen without labels"
"""The name of the setting that was chosen, another for each encoder."""
CHOICES = pa.schema(
    [
        *((name, pa.string()) for name in ("encoder", "setting", "by", "rank")),
        ("clusters", pa.int64()),
        *((name, pa.float64()) for name in ("ami", "best_ami", "lost")),
        ("reasons", pa.string()),
    ]
)


@dataclass(frozen=True)
class Chosen:
    """settings: with their number of clusters; clusters: how many; by: the score that chose; said: reasons in sentences."""

    settings: ClusterSettings
    clusters: int
    by: str
    said: tuple[str, ...]


def chosen(vectors: Array, seed: int, work: Work) -> Chosen:
    """The clustering of ``vectors`` (n, d) that needs no labels to be chosen. Raises BiocosmosError as :func:`choose`."""
    kept = work.get("choice", [digest(vectors), seed], lambda: {"choice": np.array(_told(vectors, seed))})
    told = json.loads(str(kept["choice"]))
    return Chosen(ClusterSettings(**told["settings"]), told["clusters"], told["by"], tuple(told["said"]))


def _told(vectors: Array, seed: int) -> str:
    found = choose(vectors, seed=seed)
    return json.dumps({"settings": asdict(found.settings), "clusters": found.clusters, "by": found.by, "said": found.said})


def with_chosen(
    settings: Sequence[ClusterSettings | Options] | Mapping[str, ClusterSettings | Options], choice: Chosen
) -> list[Setting]:
    """The settings with the chosen number of clusters for those that must be told one, and the chosen setting itself."""
    return [*told(settings, choice.clusters, FROM_NO_LABELS), Setting(CHOSEN, choice.settings, FROM_NO_LABELS)]


def choice_rows(choices: Mapping[str, Chosen], summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of :data:`CHOICES`: what each encoder's choice loses against the best of its clusterings, which only labels tell."""
    rows = []
    for encoder, choice in choices.items():
        mine = {row["setting"]: row for row in summary if row["encoder"] == encoder and np.isfinite(row["ami"])}
        best = max((row["ami"] for row in mine.values()), default=float("nan"))
        got = mine[CHOSEN]["ami"] if CHOSEN in mine else float("nan")
        facts = {"encoder": encoder, "setting": choice.settings.said, "by": choice.by, "clusters": choice.clusters}
        facts["rank"] = mine[CHOSEN]["rank"] if CHOSEN in mine else None
        rows.append({**facts, "ami": got, "best_ami": best, "lost": best - got, "reasons": " ".join(choice.said)})
    return rows
