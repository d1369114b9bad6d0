"""The table of identifications, and its view in pybioclip's columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.promises import cut_off
from biocosmos.identify.confidence.rollback import lowest_sure_rank, pick
from biocosmos.identify.runners_up import RunnersUp, column_names
from biocosmos.search.hits import Hits
from biocosmos.tables import PROVENANCE_KEY
from biocosmos.taxonomy import DARWIN_CORE, Taxonomy

EVIDENCE, VOTERS = 5, 20
"""Nearest known specimens that are shown as evidence, and that vote."""
NEIGHBOURS = pa.list_(pa.struct([("id", pa.string()), ("taxon", pa.string()), ("score", pa.float32())]))
PYBIOCLIP_COLUMNS = ("file_name", *DARWIN_CORE[:-1], "species_epithet", "species", "common_name", "score")
_GUESS = ("best_guess", "best_guess_confidence")
RESERVED = ("id", "image_path", "taxon", "rank", "confidence", *_GUESS, "novelty", "novelty_p", "novel", "neighbours", "method")


@dataclass(frozen=True)
class BestPaths:
    """What was found for q queries, before it becomes a table.

    nodes: (q, R) int32 best path, -1 null; confidence: (q, R) float64, NaN there; novelty, novelty_p: (q,) float64, NaN where
    unknown; hits: neighbours, or None; deepest: (q,) the rank below which a query is outside the known and is given no
    answer, -1 for none at all; None for no such bound; others: the taxa next to those of the best path, or None.
    """

    ids: Sequence[str]
    image_paths: Sequence[str | None]
    nodes: NDArray[np.int32]
    confidence: NDArray[np.float64]
    novelty: NDArray[np.float64]
    novelty_p: NDArray[np.float64]
    hits: Hits | None
    deepest: NDArray[np.int64] | None = None
    others: RunnersUp | None = None


def check_rank_names(ranks: Sequence[str]) -> None:
    """Refuse a rank that carries the name of a column of the answer."""
    for rank in ranks:
        if rank in RESERVED:
            raise BiocosmosError(f"the rank {rank!r} has the name of a column of the answer: rename the rank")


def answer_table(
    answers: BestPaths,
    taxonomy: Taxonomy,
    *,
    threshold: float,
    false_alarm_rate: float,
    method: str,
    provenance: Mapping[str, Any],
) -> pa.Table:
    """One row per query, in their order.

    Columns: id; image_path; every rank (the best path, whole) and ``<rank>_confidence``, null where the path has no such rank;
    with runners-up ``<rank>_2``, ``<rank>_2_confidence`` and so on; taxon, rank, confidence (the roll-back's answer, null where
    nothing is sure enough); best_guess, best_guess_confidence (the deepest taxon of the best path, however unsure); novelty
    (higher is more novel), novelty_p (conformal p-value), novel; neighbours (at most :data:`EVIDENCE`); method. Provenance as
    JSON in the schema metadata.
    """
    nodes, allowed = cut_off(answers.nodes, answers.confidence, answers.deepest)
    stop = lowest_sure_rank(allowed, threshold)
    node = pick(nodes, stop, -1)
    end = np.where(answers.nodes >= 0, np.arange(answers.nodes.shape[1]), -1).max(axis=1, initial=-1)
    columns: dict[str, pa.Array] = {
        "id": pa.array(answers.ids, pa.string()),
        "image_path": pa.array(answers.image_paths, pa.string()),
    }
    for i, rank in enumerate(taxonomy.ranks):
        columns[rank] = _names(taxonomy, answers.nodes[:, i])
    for i, rank in enumerate(taxonomy.ranks):
        columns[f"{rank}_confidence"] = _numbers(answers.confidence[:, i])
    if answers.others is not None:
        columns |= _runners_up(answers.others, taxonomy)
    ranks = pa.array([*taxonomy.ranks, None], pa.string())
    columns["taxon"] = _names(taxonomy, node)
    columns["rank"] = ranks.take(pa.array(np.where(stop < 0, len(taxonomy.ranks), stop)))
    columns["confidence"] = _numbers(pick(answers.confidence, stop, np.nan))
    columns["best_guess"] = _names(taxonomy, pick(answers.nodes, end, -1))
    columns["best_guess_confidence"] = _numbers(pick(answers.confidence, end, np.nan))
    columns["novelty"] = _numbers(answers.novelty)
    columns["novelty_p"] = _numbers(answers.novelty_p)
    unknown = np.isnan(answers.novelty_p)
    columns["novel"] = pa.array(
        np.where(unknown, 0, answers.novelty_p <= false_alarm_rate).astype(bool), pa.bool_(), mask=unknown
    )
    columns["neighbours"] = _evidence(answers.hits, len(answers.ids), taxonomy)
    columns["method"] = pa.array([method] * len(answers.ids), pa.string())
    return pa.table(columns, metadata={PROVENANCE_KEY: json.dumps(dict(provenance), default=str).encode()})


def pybioclip_table(table: pa.Table) -> pa.Table:
    """The answers in the columns of pybioclip's prediction CSV: file_name, kingdom, ..., species_epithet, species,
    common_name, score.

    One row per query instead of pybioclip's k; names stop at the rank of the answer, and score is the answer's confidence,
    which is calibrated and pybioclip's softmax is not. Ranks that the taxonomy lacks are null.
    """
    rows = table.num_rows
    nulls = pa.nulls(rows, pa.string())
    shown = {name: table.column(name).combine_chunks() if name in table.column_names else nulls for name in DARWIN_CORE}
    order = [name for name in table.column_names if f"{name}_confidence" in table.column_names]
    at = pc.fill_null(pc.index_in(table.column("rank"), value_set=pa.array(order, pa.string())), -1)
    for name in DARWIN_CORE:
        if name in order:
            reached = pc.greater_equal(at, order.index(name)).combine_chunks()
            shown[name] = pc.if_else(reached, shown[name], pa.scalar(None, pa.string()))
    epithets = [None if name is None or " " not in name else name.split(" ", 1)[1] for name in shown["species"].to_pylist()]
    columns = {
        "file_name": pc.coalesce(table.column("image_path"), table.column("id")),
        **{name: shown[name] for name in DARWIN_CORE[:-1]},
        "species_epithet": pa.array(epithets, pa.string()),
        "species": shown["species"],
        "common_name": nulls,
        "score": table.column("confidence"),
    }
    return pa.table({name: columns[name] for name in PYBIOCLIP_COLUMNS}).replace_schema_metadata(table.schema.metadata)


def _names(taxonomy: Taxonomy, nodes: NDArray[np.generic]) -> pa.Array:
    return pa.array(taxonomy.name(nodes), pa.string())


def _numbers(values: NDArray[np.generic]) -> pa.Array:
    return pa.array(np.asarray(values, np.float64), pa.float64(), from_pandas=True)


def _runners_up(others: RunnersUp, taxonomy: Taxonomy) -> dict[str, pa.Array]:
    count = others.nodes.shape[2]
    columns: dict[str, pa.Array] = {}
    for i, (taxon, confidence) in enumerate(column_names(taxonomy.ranks, count + 1)):
        columns[taxon] = _names(taxonomy, others.nodes[:, i // count, i % count])
        columns[confidence] = _numbers(others.confidence[:, i // count, i % count])
    return columns


def _evidence(hits: Hits | None, rows: int, taxonomy: Taxonomy) -> pa.Array:
    if hits is None:
        return pa.array([[] for _ in range(rows)], NEIGHBOURS)
    ids, taxa, found = hits.ids[:, :EVIDENCE], hits.taxa[:, :EVIDENCE], hits.rows[:, :EVIDENCE] >= 0
    values = pa.StructArray.from_arrays(
        [
            pa.array(ids[found], pa.string()),
            _names(taxonomy, taxa[found]),
            pa.array(hits.scores[:, :EVIDENCE][found], pa.float32()),
        ],
        fields=list(NEIGHBOURS.value_type),
    )
    offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=NEIGHBOURS)
