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
            [
                Picture(
                    pictures(row["example_found_id"]),
                    row["found"],
                    "taken for" if row["example_found_id"] else "answered",
                    "wrong",
                )
            ],
            f"{row['count']:,} of {row['queries']:,} queries ({percent(row['share'], 0)}), both in {row['parent']}",
        )
        for row in rows[:CONFUSED_PAIRS]
    ]
    lead = (
        f"Of {wrong:,} confusions at {rank}, {within:,} ({percent(within / wrong, 0)}) are between sister taxa, which hang "
        "from the same parent in the taxonomy: "
        "a mistake a roll-back to the parent would mend. The most frequent ones are shown with the first example of each."
    )
    return [Section("Which sister taxa are confused?", lead, [Strips("Most frequent", strips, caption, wide=False)])]
