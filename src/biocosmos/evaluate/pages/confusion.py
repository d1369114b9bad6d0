"""Sister taxa taken for each other: the section that several pages show."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.evaluate.pages.blocks import Picture, Section, Strip, Strips
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row
from biocosmos.evaluate.pages.svg import percent

CONFUSED_PAIRS = 12


def confusion_section(confusion: Sequence[Row], targets: Sequence[str], pictures: Pictures, caption: str) -> list[Section]:
    """Sister taxa taken for each other, most frequent first, at the finest rank that has such pairs."""
    siblings = [row for row in confusion if row["siblings"]]
    ranks = [t for t in targets if any(row["target"] == t for row in siblings)]
    if not ranks:
        return []
    rank = ranks[-1]
    rows = sorted((row for row in siblings if row["target"] == rank), key=lambda row: -row["count"])
    wrong = sum(row["count"] for row in confusion if row["target"] == rank)
    within = sum(row["count"] for row in rows)
    strips = [
        Strip(
            Picture(pictures(row["example_id"]), row["true"], "is"),
            [Picture(pictures(row["example_found_id"]), row["found"], _said(row), "wrong")],
            f"{row['count']:,} of {row['queries']:,} queries ({percent(row['share'], 0)})"
            + (f", both in {row['parent']}" if _has_parent(row) else ""),
        )
        for row in rows[:CONFUSED_PAIRS]
    ]
    mended = sum(row["count"] for row in rows if _has_parent(row))
    lead = (
        f"Of {wrong:,} confusions at {rank}, {mended:,} ({percent(mended / wrong, 0)}) are between sister taxa, which hang from "
        "the same parent in the taxonomy: a mistake a roll-back to the parent would mend. The most frequent ones are shown with "
        "the first example of each."
    )
    if not mended:
        lead = (
            f"The {within:,} confusions at {rank} are between taxa with nothing above them in the taxonomy, so that there is no "
            "parent to roll back to. The most frequent ones are shown with the first example of each."
        )
    title = "Which sister taxa are confused?" if mended else "Which taxa are confused?"
    return [Section(title, lead, [Strips("Most frequent", strips, caption, wide=False)])]


def _has_parent(row: Row) -> bool:
    """Whether the two taxa hang from a taxon, and not from the root of the tree."""
    return " / " in str(row["true_path"])


def _said(row: Row) -> str:
    return "taken for" if row["example_found_id"] else "answered"
