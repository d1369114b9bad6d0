"""The curve of retrieval on validation images over the weight between two encoders, and the weight it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.interpolation.page import page
from biocosmos.evaluate.report import Report, split_hash


def curve_report(
    curve: Sequence[tuple[float, Report]],
    base: str,
    trained: str,
    part: str,
    provenance: Mapping[str, Any],
    patterns: Sequence[str] = (),
) -> Report:
    """A report of kind "interpolation" from retrieval reports (all-vs-all, k = 1) on one part, one for each weight.

    The weight with the highest micro recall@1 over answerable queries at the finest rank that most have is chosen; of equal ones
    the smallest. patterns: the names of the weights that were interpolated, () for all.

    Tables: curve (every target; columns weight, target, average, value, low, high, queries, chosen).
    Raises BiocosmosError when no query of the part is answerable.
    """
    able = curve[0][1].rows("answerable")
    ranks = [row for row in able if row["kind"] == "rank" and row["asked"] >= row["queries"] / 2 and row["answerable"]]
    if not ranks:
        raise BiocosmosError(f"the weight cannot be chosen: no specimen of the part '{part}' has another of its taxon there")
    main = ranks[-1]["target"]
    rows = [
        {
            "weight": weight,
            "target": row["target"],
            "average": row["average"],
            "value": row["value"],
            "low": row["low"],
            "high": row["high"],
            "queries": row["queries"],
            "taxa": row["taxa"],
        }
        for weight, report in curve
        for row in report.rows("summary", over="answerable")
        if row["averaged_over"] in ("queries", row["target"]) and row["kind"] == "rank"
    ]
    judged = [row for row in rows if row["target"] == main and row["average"] == "micro"]
    chosen = max(judged, key=lambda row: (row["value"], -row["weight"]))
    table = pa.Table.from_pylist([{**row, "chosen": row["weight"] == chosen["weight"]} for row in rows])
    overlapping = [row["weight"] for row in judged if row is not chosen and row["high"] >= chosen["low"]]
    caveats = [
        f"The weight was chosen on the part {part}, where the chosen one looks better than it is; what it is worth stands under "
        "the test part, which was asked once.",
    ]
    if overlapping:
        caveats.append(
            f"{len(overlapping):,} other weights have intervals that overlap that of the chosen one: the choice between them is "
            "partly chance."
        )
    facts = {
        "protocol": "interpolation",
        "encoders": {base: {}, trained: {}},
        "base": base,
        "trained": trained,
        "validation": part,
        "main_target": main,
        "chosen": chosen["weight"],
        "split_hash": split_hash(provenance),
        "options": {
            "weights": [weight for weight, _ in curve],
            **({"patterns": ", ".join(patterns)} if patterns else {}),
        },
    }
    return Report("interpolation", f"Between {base} and {trained}", {"curve": table}, caveats, facts, page)
