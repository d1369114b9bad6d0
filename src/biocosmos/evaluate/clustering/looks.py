"""Which clusters a page shows with pictures: the purest and the most mixed of the clustering that the silhouette puts first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.clusters.representatives import ordered_members
from biocosmos.evaluate.clustering.parted import REDUCED, UMAP
from biocosmos.evaluate.clustering.runs import Run
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.pages.rows import ENOUGH
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
PUREST, MIXED = "purest", "most mixed"
CLUSTERS, MEMBERS = 3, 12
"""Shown of each kind, and specimens of each cluster."""
LOOKS = pa.schema(
    [
        *((name, pa.string()) for name in ("encoder", "setting", "rank", "kind", "taxon")),
        *((name, pa.int64()) for name in ("cluster", "specimens", "named")),
        ("purity", pa.float64()),
        ("members", pa.list_(pa.struct([("id", pa.string()), ("taxon", pa.string()), ("right", pa.bool_())]))),
    ]
)


def judging_space(summary: Sequence[Mapping[str, Any]]) -> str:
    """The space whose silhouette chooses: UMAP's where there is one."""
    return UMAP if any(row["silhouette_umap"] is not None for row in summary) else REDUCED


def put_first(summary: Sequence[Mapping[str, Any]], space: str) -> Mapping[str, Any] | None:
    """The row with the highest silhouette in ``space``, told without labels; None where it is defined for none."""
    there = [row for row in summary if row[f"silhouette_{space}"] is not None and math.isfinite(row[f"silhouette_{space}"])]
    return max(there, key=lambda row: row[f"silhouette_{space}"], default=None)


def looks(run: Run, gallery: Gallery, main: Target) -> list[dict[str, Any]]:
    """Rows of :data:`LOOKS`. purity: share of the most common taxon among the cluster's named specimens, of which it has five or
    more; members: from its centre to its border in equal steps."""
    named = (main.query >= 0) & (run.labels >= 0)
    counts = np.zeros((int(run.labels.max(initial=-1)) + 1, len(main)), np.int64)
    np.add.at(counts, (run.labels[named], main.query[named]), 1)
    total, best = counts.sum(axis=1), counts.max(axis=1, initial=0)
    enough = np.flatnonzero(total >= ENOUGH)
    purity = best[enough] / total[enough]
    purest = enough[np.lexsort((enough, -total[enough], -purity))][:CLUSTERS]
    mixed = [c for c in enough[np.lexsort((enough, -total[enough], purity))] if c not in set(purest)][:CLUSTERS]
    names, rows = main.names_of(main.query), []
    for kind, chosen in ((PUREST, purest), (MIXED, mixed)):
        for cluster in chosen:
            taxon = str(main.names[counts[cluster].argmax()])
            members = ordered_members(gallery.vectors, run.labels, int(cluster))
            shown = members[np.unique(np.linspace(0, len(members) - 1, MEMBERS).round().astype(int))]
            facts: dict[str, Any] = {
                "encoder": run.encoder,
                "setting": run.setting.name,
                "rank": main.name,
                "kind": kind,
                "taxon": taxon,
            }
            facts |= {"cluster": int(cluster), "specimens": len(members), "named": int(total[cluster])}
            seen = [{"id": gallery.ids[row], "taxon": names[row], "right": _right(names[row], taxon)} for row in shown]
            rows.append({**facts, "purity": float(best[cluster] / total[cluster]), "members": seen})
    return rows


def _right(name: str | None, taxon: str) -> bool | None:
    return None if name is None else name == taxon
