"""The reasons of a choice: the table of candidates and their scores, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from biocosmos.discover.choice.among import best_by
from biocosmos.discover.choice.background import LEVEL, REFERENCES
from biocosmos.discover.choice.embeddings import CROSS_SCALE, INFORMATION, RANK

Row = dict[str, Any]
AXES, MAP, STABILITY = "silhouette, PCA", "silhouette, UMAP", "stability"
APART = 0.5
"""Silhouette in principal axes from which on clusters stand apart ("a reasonable structure": Kaufman and Rousseeuw, Finding
groups in data, 1990, table 4)."""
_REASONS = pa.schema(
    [
        ("setting", pa.string()),
        *((name, pa.string()) for name in ("standardise", "reducer", "method")),
        *((name, pa.int64()) for name in ("asked", "clusters")),
        *((name, pa.float64()) for name in ("clustered", "largest")),
        *((name, pa.float64()) for name in (INFORMATION, MAP, AXES, STABILITY, CROSS_SCALE, RANK)),
        ("chosen", pa.bool_()),
    ]
)


def table_of(rows: Sequence[Row]) -> pa.Table:
    """A row for each candidate, from those of :func:`biocosmos.discover.choice.among.score_all`."""
    made = [{name: row["name"] if name == "setting" else row.get(name) for name in _REASONS.names} for row in rows]
    return pa.Table.from_pylist(made, schema=_REASONS)


def sentences(scored: Sequence[Row], best: Row, by: str, p: float, rows: int, whole: int, no_map: str | None) -> tuple[str, ...]:
    """Why, and what must not be concluded.

    scored: rows of the table, best among them, chosen ``by`` a score; p: of
    :func:`biocosmos.discover.choice.background.share_of_references`; rows: looked at, of the ``whole``; no_map: why there are no
    silhouettes in UMAP's space, None where there are.
    """
    said = []
    if p > LEVEL:
        said.append(
            f"Nothing stands out: of the vectors and {REFERENCES} references whose axes were shuffled, {p:.0%} are clustered as "
            "well as the vectors. Any clusters are those of a cloud."
        )
    if by == AXES:
        said.append(
            f"Clusters stand apart (silhouette in principal axes {best[AXES]:.2f}, at least {APART:g}): the highest silhouette "
            "chose."
        )
    else:
        said.append(
            f"Clusters run into one another (no silhouette in principal axes of {APART:g}): neighbour information chose, "
            f"{best[INFORMATION]:.2f} nats of what a specimen's neighbours tell of its cluster."
        )
        score, where = (MAP, "UMAP") if no_map is None else (AXES, "PCA")
        other = best_by(scored, score)
        if other is not None and other is not best:
            said.append(f"The silhouette in {where} space would have chosen {other['name']}.")
    if no_map is not None:
        said.append(f"Silhouettes are taken in PCA space alone: {no_map}.")
    if rows < whole:
        said.append(
            f"Chosen on a seeded sample of {rows:,} of {whole:,} specimens: clusters of which it holds few were not seen."
        )
    said += _at_an_end(scored, best)
    said.append(
        "Scores without labels tell how well clusters are parted and repeated, not that they are taxa; spaces were made once, "
        "so that stability is that of the clustering in its space."
    )
    return tuple(said)


def _at_an_end(scored: Sequence[Row], best: Row) -> list[str]:
    alike = [row for row in scored if all(row[name] == best[name] for name in ("standardise", "reducer", "method"))]
    numbers = [row["clusters"] for row in alike]
    if len(set(numbers)) < 2 or best["clusters"] not in (min(numbers), max(numbers)):
        return []
    end = "largest" if best["clusters"] == max(numbers) else "smallest"
    return [f"The number of clusters is the {end} that was tried: a better one may lie beyond it."]
