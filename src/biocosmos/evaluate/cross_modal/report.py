"""What an evaluation across modalities found, as tables and a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.encoders.modality import MODALITIES
from biocosmos.evaluate.cross_modal.page import page
from biocosmos.evaluate.cross_modal.scores import Row
from biocosmos.evaluate.cross_modal.sides import DNA, IMAGE, SEEN, TEXT, UNSEEN
from biocosmos.evaluate.open_world.published import ACROSS, measured, published_table, retrieval_task
from biocosmos.evaluate.report import Report

PARTS = (SEEN, UNSEEN)
PUBLISHED_PAIRS = ((DNA, DNA), (IMAGE, IMAGE), (IMAGE, DNA), (IMAGE, TEXT))
"""Pairs of kinds that CLIBD's tables have, query and key."""
LAYOUT_RANKS = ("order", "family", "genus", "species")
NOT_ALIGNED = "not aligned"
_SHARES = [(f"{part}{end}", pa.float64()) for part in PARTS for end in ("", "_low", "_high")] + [("harmonic_mean", pa.float64())]
_ABOUT = [(f"{part}_{of}", pa.float64()) for part in PARTS for of in ("answerable", "chance")] + [
    (f"{part}_{fact}", pa.int64()) for part in PARTS for fact in ("specimens", "taxa", "unanswerable", "unnamed")
]
_ASKED = [("query", pa.string()), ("key", pa.string()), ("rank", pa.string()), ("k", pa.int64()), ("average", pa.string())]
RETRIEVAL = pa.schema([*_ASKED, *_SHARES, *_ABOUT])
COUNTERPARTS = pa.schema(
    [(name, pa.string()) for name in ("query", "key")]
    + [("k", pa.int64()), ("average", pa.string())]
    + [(name, pa.float64()) for name in ("value", "low", "high", "chance", "commonest", "median_rank")]
    + [(name, pa.int64()) for name in ("specimens", "answers")]
)
SUMS = pa.schema(
    [(name, pa.string()) for name in ("query", "key", "rank")]
    + [(name, pa.float64()) for name in ("weight", "validation", "value", "low", "high", "plain", "alone")]
    + [("specimens", pa.int64())]
)
BASELINES = pa.schema([("encoder", pa.string()), *_ASKED, *_SHARES])
DECISIONS = pa.schema(
    [("scheme", pa.string()), ("rank", pa.string()), ("average", pa.string()), ("t", pa.float64()), *_SHARES]
    + [(name, pa.float64()) for name in ("validation", "oracle_t", "oracle_harmonic_mean", "seen_by_seen", "unseen_by_seen")]
)
CURVE = pa.schema([("scheme", pa.string()), *((name, pa.float64()) for name in ("t", SEEN, UNSEEN, "harmonic_mean"))])
BACK_OFF = pa.schema(
    [("error_rate", pa.float64()), ("rank", pa.string()), ("answered", pa.int64()), ("right", pa.int64()), ("wrong", pa.int64())]
    + [(name, pa.float64()) for name in ("share", "reached", "precision", "precision_low", "precision_high", "threshold")]
    + [("calibrated_on", pa.int64())]
)
DAMAGE = pa.schema([("barcode", pa.string()), ("by", pa.string()), ("rank", pa.string()), ("average", pa.string()), *_SHARES])
SYNTHETIC = "synthetic images, real barcodes"
"""What a collection that was made by ``biocosmos simulate pictures`` of real barcodes says of itself."""


@dataclass
class Findings:
    """Rows of every table, and what must be said with them.

    retrieval: of :func:`~biocosmos.evaluate.cross_modal.scores.retrieval_scores`; names: the same with the texts of all taxa as
    keys; counterparts, sums: where places, environments, satellite images or sounds are bound; baselines: as retrieval, of the
    encoders under the towers, each against itself alone; decisions, curve, back_off, damage: of the modules of these names.
    """

    retrieval: list[Row]
    names: list[Row] = field(default_factory=list)
    counterparts: list[Row] = field(default_factory=list)
    sums: list[Row] = field(default_factory=list)
    baselines: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    curve: list[Row] = field(default_factory=list)
    back_off: list[Row] = field(default_factory=list)
    damage: list[Row] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def cross_modal_report(
    found: Findings,
    *,
    space: str,
    modalities: Sequence[str],
    specimens: Mapping[str, int],
    data: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """The report of a space. modalities: that it has; specimens: how many answer (keys, unseen_keys among them) and ask (seen,
    unseen); data: collection and parts, for the table of published figures; provenance: more facts, of the encoders for one.

    Tables: retrieval, names, counterparts, sums, baselines, decisions, decision_curve, back_off, damage, published.
    """
    name = PurePath(space).name
    aligned = f"{name}: {' + '.join('DNA' if each == DNA else each for each in MODALITIES if each in modalities)}"
    rows = [*_measured(data, NOT_ALIGNED, found.baselines), *_measured(data, aligned, found.retrieval)]
    tables = {
        "retrieval": pa.Table.from_pylist(found.retrieval, RETRIEVAL),
        "names": pa.Table.from_pylist(found.names, RETRIEVAL),
        "counterparts": pa.Table.from_pylist(found.counterparts, COUNTERPARTS),
        "sums": pa.Table.from_pylist(found.sums, SUMS),
        "baselines": pa.Table.from_pylist(found.baselines, BASELINES),
        "decisions": pa.Table.from_pylist(found.decisions, DECISIONS),
        "decision_curve": pa.Table.from_pylist(found.curve, CURVE),
        "back_off": pa.Table.from_pylist(found.back_off, BACK_OFF),
        "damage": pa.Table.from_pylist(found.damage, DAMAGE),
        "published": published_table(rows, modalities=(DNA, IMAGE, *ACROSS)),
    }
    tables = {name: table for name, table in tables.items() if len(table) or name == "retrieval"}
    facts = {
        "protocol": "cross-modal",
        "space": space,
        "specimens": dict(specimens),
        "data": data,
        **(provenance or {}),
        "name": name,
    }
    caveats = [*found.caveats, *_unanswerable(found.retrieval), *_COMPARED]
    return Report("cross_modal", f"Across modalities: {name}", tables, caveats, facts, page)


_COMPARED = (
    "Shares of seen and of unseen species are not comparable with each other: the parts differ in specimens, taxa and keys.",
    "Published figures are on the data that stand beside them; what is measured here on other data reproduces none of them.",
)


def _measured(data: str, model: str, rows: Iterable[Row]) -> list[Row]:
    """CLIBD's tasks among the rows: macro top-1, as the caption of its table says."""
    return [
        measured(
            retrieval_task(row["rank"], row["query"], row["key"]),
            data,
            model,
            f"top-1 macro, {name.replace('_', ' ')}",
            row[name],
        )
        for row in rows
        if (row["k"], row["average"]) == (1, "macro") and row["rank"] in LAYOUT_RANKS
        for name in (*PARTS, "harmonic_mean")
        if (row["query"], row["key"]) in PUBLISHED_PAIRS and not np.isnan(row[name])
    ]


def _unanswerable(rows: Sequence[Row]) -> list[str]:
    """How many queries cannot be right, of the first pair of kinds that has any, at every rank."""
    said = []
    for part in PARTS:
        able = [row for row in rows if row["k"] == 1 and row["average"] == "micro" and row[f"{part}_unanswerable"]]
        first = able[0] if able else {}
        for row in able:
            if (row["query"], row["key"]) == (first["query"], first["key"]):
                said.append(
                    f"{row[f'{part}_unanswerable']:,} of {row[f'{part}_specimens']:,} {part} queries ({row['query']} to "
                    f"{row['key']}) are of a {row['rank']} that no key has: they count as wrong."
                )
    return said
