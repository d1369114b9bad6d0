"""The page of an interpolation curve."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import lines
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import ends, interval, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.report import Report

OTHER_RANKS = 4


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the interpolation page shows."""
    known = report.provenance
    main, chosen, base, trained, part = (known[key] for key in ("main_target", "chosen", "base", "trained", "validation"))
    rows = report.rows("curve")
    best = pick(rows, weight=chosen, target=main, average="micro")
    assert best is not None
    cards = [
        Card("chosen weight", f"{chosen:g}", f"0 is {base}, 1 is {trained}; chosen on the part {part}"),
        Card(f"recall@1 on {part}", percent(best["value"]), f"at {main}, all-vs-all; interval {ends(best)}"),
    ]
    series, marks = [], []
    for i, (average, words) in enumerate((("micro", "per query"), ("macro", "per taxon"))):
        points = [row for row in rows if row["target"] == main and row["average"] == average]
        series.append((words, [(row["weight"], row["value"]) for row in points]))
        marks += [(i, row["weight"], row["value"], f"weight {row['weight']:g}, {words}: {interval(row)}") for row in points]
    figure = Figure(
        lines("Recall at 1 over the weight", series, f"weight: 0 % is {base}, 100 % is {trained}", f"recall@1 at {main}", marks),
        f"Recall@1 of the part {part}, all-vs-all, by encoders whose weights lie between the two. Chosen: {chosen:g}, the "
        "highest per query.",
    )
    weights = list(dict.fromkeys(row["weight"] for row in rows))
    others = [name for name in dict.fromkeys(row["target"] for row in rows) if name != main][::-1][:OTHER_RANKS]
    cells = [
        [
            f"{weight:g}{' (chosen)' if weight == chosen else ''}",
            *(interval(pick(rows, weight=weight, target=main, average=average)) for average in ("micro", "macro")),
            *(percent(_value(pick(rows, weight=weight, target=target, average="micro"))) for target in others),
        ]
        for weight in weights
    ]
    grid = Grid(
        ["weight", f"{main}, per query", f"{main}, per taxon", *(f"{target}, per query" for target in others)],
        cells,
        "Recall@1 with its interval; all ranks and intervals are in the table curve.",
    )
    patterns = known["options"].get("patterns")
    which = f"The weights {patterns} of the encoder were" if patterns else "Every weight of the encoder was"
    lead = (
        f"{which} taken between {base} and {trained} (Wortsman et al. 2022, arXiv:2109.01903), and the "
        f"specimens of the part {part} were asked about each other. The best was at {chosen:g}."
    )
    section = Section("Which weight is best on validation images?", "", [figure, grid])
    return Page(lead, cards, [section], TERMS)


def _value(row: dict[str, Any] | None) -> float | None:
    return None if row is None else row["value"]


TERMS = (
    ("weight", "w: every number of the encoder is (1 − w) times the base's and w times the trained one's."),
    ("recall@1", "The share of specimens whose nearest other specimen is of their own taxon, of those that have another."),
)
