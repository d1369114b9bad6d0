"""The report of a benchmark: the papers' table, the data it was measured on, what is missing, and then all figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from biocosmos.evaluate.benchmark.page import page
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
PARTS = pa.schema([("part", pa.string())] + [(name, pa.int64()) for name in ("specimens", "image", "barcode", "species")])
MISSING = pa.schema([(name, pa.string()) for name in ("what", "why", "remedy")])


def beside_papers(
    benchmark: str,
    title: str,
    base: Report,
    figures: pa.Table,
    *,
    parts: Sequence[Row],
    missing: Sequence[Row],
    notes: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> Report:
    """``base`` with the papers' table before it.

    benchmark: "barcodes", "clustering" or "retrieval": what the page says of it; figures: rows of
    :data:`biocosmos.evaluate.open_world.published.PUBLISHED`; parts: specimens of each part, those with an image, a barcode and a
    species; missing: what, why, and the command or file that would make it.
    """
    tables = {
        "published": figures,
        "parts": pa.Table.from_pylist(list(parts), PARTS),
        "missing": pa.Table.from_pylist(list(missing), MISSING),
        **{name: table for name, table in base.tables.items() if name != "published"},
    }
    provenance = {key: value for key, value in base.provenance.items() if key != "software"}
    provenance |= {"benchmark": benchmark, **(facts or {})}
    return Report(f"benchmark_{benchmark}", title, tables, [*notes, *base.caveats], provenance, page, [base])
