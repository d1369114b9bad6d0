"""The report on suspects: who, against what, and which taxa are most often mistaken for one another."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from biocosmos.discover.labels.audit import Audit
from biocosmos.evaluate.discovery.suspects.page import SHOWN, page
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.search.gallery import Gallery

BESIDE = 3
"""Nearest specimens of the label, and of the proposal, beside each suspect."""


def suspects_report(
    gallery: Gallery, found: Audit, table: pa.Table, *, title: str, caveats: list[str], provenance: dict[str, Any]
) -> Report:
    """Tables ``suspects``, ``pairs`` (label and proposal, most frequent first), ``ranks`` (where they part) and ``beside``.

    gallery: what was audited; table: the suspects, perhaps with more columns than ``found`` has.
    """
    said = [
        *caveats,
        "A suspect is not an error: a head that is right in three of four cases doubts right labels too. A person decides.",
    ]
    if found.alone:
        said.append(f"{found.alone:,} specimens were not asked about: each is the only one of its taxon, or of its fold.")
    facts = {
        "gallery": gallery.provenance,
        "split_hash": split_hash(gallery.provenance),
        "audited": found.audited,
        "suspects": table.num_rows,
        **provenance,
    }
    tables = {
        "suspects": table,
        "pairs": _counted(table, ["label", "proposal", "parts_at"]),
        "ranks": _counted(table, ["parts_at"]),
        "beside": _beside(gallery, found),
    }
    return Report("suspects", title, tables, said, facts, page)


def _counted(table: pa.Table, names: list[str]) -> pa.Table:
    counts = table.select(names).group_by(names).aggregate([([], "count_all")]).rename_columns([*names, "suspects"])
    return counts.sort_by([("suspects", "descending"), *((name, "ascending") for name in names)])


def _beside(gallery: Gallery, found: Audit) -> pa.Table:
    """Of the suspects on the page the nearest specimens that are called as they are, and as was proposed."""
    rows = []
    for row, proposal in list(zip(found.rows, found.proposals))[:SHOWN]:
        assert gallery.taxa is not None
        for side, taxon in (("label", int(gallery.taxa[row])), ("proposal", int(proposal))):
            hits = gallery.search(gallery.vectors[[row]], BESIDE, within=taxon, exclude=[gallery.ids[row]])
            rows += [
                {"id": gallery.ids[row], "side": side, "near": gallery.ids[near], "cosine": float(score)}
                for near, score in zip(hits.rows[0], hits.scores[0])
                if near >= 0
            ]
    types = {"id": pa.string(), "side": pa.string(), "near": pa.string(), "cosine": pa.float64()}
    return pa.Table.from_pylist(rows, schema=pa.schema(list(types.items())))
