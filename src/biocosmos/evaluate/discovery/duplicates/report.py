"""The report on groups of duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.discover.duplicates import Links, leaks_of
from biocosmos.evaluate.discovery.duplicates.page import page
from biocosmos.evaluate.report import Report

_GROUPS = pa.schema(
    [
        ("group", pa.int64()),
        ("specimens", pa.int64()),
        ("representative", pa.string()),
        ("kinds", pa.string()),
        ("least_alike", pa.float64()),
        ("parts", pa.string()),
        ("ids", pa.list_(pa.string())),
    ]
)


def duplicates_report(
    table: pa.Table,
    links: Sequence[Links],
    *,
    title: str,
    parts: tuple[str, Sequence[str | None]] | None = None,
    notes: Sequence[str] = (),
    provenance: dict[str, Any] | None = None,
) -> Report:
    """Tables ``groups`` (largest first), ``kinds`` (links of each kind) and, with a split, ``leaks`` (of each part).

    table: id, group, representative, kinds, alike, perhaps series; parts: (the part that is learnt from, the part of each row).
    """
    group = table["group"].fill_null(-1).to_numpy().astype(np.int64)
    torn = np.zeros(len(table), bool)
    tables = {"groups": _groups(table, group, None if parts is None else parts[1]), "kinds": _kinds(table, group, links)}
    caveats = list(notes)
    caveats.append(
        "Two pictures that are alike may be two animals, or one animal twice: nothing was removed, and a person decides."
    )
    if parts is not None:
        tables["leaks"], torn = leaks_of(group, parts[1], parts[0])
        if torn.any():
            caveats.append(
                f"{int(torn.sum()):,} specimens lie in groups that the split tears apart, so that figures on it flatter; "
                "'biocosmos split --method grouped --duplicates' keeps groups whole"
            )
    facts = {
        "specimens": len(table),
        "groups": int(group.max(initial=-1)) + 1,
        "in_groups": int((group >= 0).sum()),
        "torn": int(torn.sum()),
        "training": None if parts is None else parts[0],
        **(provenance or {}),
    }
    return Report("duplicates", title, tables, caveats, facts, page)


def _groups(table: pa.Table, group: Any, parts: Sequence[str | None] | None) -> pa.Table:
    ids, kinds, alike = (table[name].to_pylist() for name in ("id", "kinds", "alike"))
    stands = table["representative"].to_pylist()
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(group >= 0):
        members.setdefault(int(group[row]), []).append(int(row))
    found = []
    for number, rows in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
        rows.sort(key=lambda row: (not stands[row], -alike[row], row))
        how = sorted({kind for row in rows for kind in (kinds[row] or "").split("+") if kind})
        where = sorted({str(parts[row]) for row in rows if parts[row] is not None}) if parts is not None else []
        found.append(
            {
                "group": number,
                "specimens": len(rows),
                "representative": ids[rows[0]],
                "kinds": "+".join(how),
                "least_alike": min(alike[row] for row in rows),
                "parts": ", ".join(where) if parts is not None else None,
                "ids": [ids[row] for row in rows],
            }
        )
    return pa.Table.from_pylist(found, schema=_GROUPS)


def _kinds(table: pa.Table, group: Any, links: Sequence[Links]) -> pa.Table:
    told = table["kinds"].to_pylist()
    rows = [
        {
            "kind": link.kind,
            "pairs": len(link),
            "specimens": sum(link.kind in (kinds or "").split("+") for kinds in told),
            "only_so": sum(kinds == link.kind for kinds in told),
        }
        for link in links
    ]
    if "series" in table.column_names:
        series = table["series"].drop_null()
        rows.append({"kind": "series", "pairs": None, "specimens": len(series), "only_so": None})
    names = ("pairs", "specimens", "only_so")
    return pa.Table.from_pylist(rows, schema=pa.schema([("kind", pa.string()), *((name, pa.int64()) for name in names)]))
