"""The page of candidate taxa: a dossier each."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Page, Paragraph, Picture, Section, Sheet
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SHOWN = 60
"""Dossiers on the page; the others are in the table."""


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of candidates shows."""
    about, rows = report.provenance, report.rows("candidates")
    lead = WORDS("lead", **{name: about[name] for name in ("asked", "groups", "candidates", "known")})
    cards = [
        Card("candidates", f"{about['candidates']:,}", f"of {about['groups']:,} groups"),
        Card("specimens in them", f"{sum(row['specimens'] for row in rows):,}", f"of {about['asked']:,} asked about"),
    ]
    if about["left_out_placed"]:
        right = percent(1 - about["placed_wrongly"])
        detail = f"of {about['left_out_placed']:,} known taxa that were left out in turn and placed"
        cards.append(Card("placed rightly, in calibration", right, detail))
    if not rows:
        return Page(lead, cards, [WORDS.section("none", [], groups=about["groups"], null=about["null_groups"])], WORDS.terms)
    overview = WORDS.section("all", [WORDS.grid("all.table", rows, _COLUMNS)])
    alike: dict[str, list[Row]] = {}
    for row in report.rows("alike"):
        alike.setdefault(row["candidate"], []).append(row)
    return Page(
        lead, cards, [overview, *(_dossier(row, alike.get(row["candidate"], []), pictures) for row in rows[:SHOWN])], WORDS.terms
    )


def _dossier(row: Row, alike: list[Row], pictures: Pictures) -> Section:
    typical = [Picture(pictures(id_), id_.rpartition("/")[2], "medoid" if not i else "") for i, id_ in enumerate(row["typical"])]
    odd = [Picture(pictures(id_), id_.rpartition("/")[2], "odd one") for id_ in row["odd"]]
    blocks: list[Block] = [Sheet("Its specimens", [*typical, *odd])]
    for taxon in dict.fromkeys(each["taxon"] for each in alike):
        mine = [each for each in alike if each["taxon"] == taxon]
        shown = [Picture(pictures(each["id"]), each["taxon"], each["id"].rpartition("/")[2]) for each in mine]
        blocks.append(Sheet(f"Looks like {taxon}", shown, f"cosine of the means {mine[0]['cosine']:.3f}"))
    blocks += [Paragraph(sentence) for sentence in (_place(row), _season(row), _gap(row)) if sentence]
    return WORDS.section("dossier", blocks, row=row, sure=percent(row["probability"], 0))


def _place(row: Row) -> str:
    if not row["latitudes"]:
        return ""
    east = row["longitudes"]
    if max(east) - min(east) > 180:  # over the date line the other way is shorter
        east = [longitude % 360 for longitude in east]
    places = f"latitude {min(row['latitudes']):.3f} to {max(row['latitudes']):.3f}, longitude {min(east):.3f} to {max(east):.3f}"
    return f"Found at {len(row['latitudes']):,} known places: {places}."


def _season(row: Row) -> str:
    return f"From {row['first_date']} to {row['last_date']} (month: specimens: {row['months']})." if row["first_date"] else ""


def _gap(row: Row) -> str:
    if row["gap_within"] is None:
        return ""
    gap = row["gap_to_nearest"] - row["gap_within"]
    word = "a gap" if gap > 0 else "no gap"
    return (
        f"By the other embedding members differ by {row['gap_within']:.4f} on average and the nearest stranger by "
        f"{row['gap_to_nearest']:.4f}: {word}."
    )


_COLUMNS = [
    ("candidate", "morphospecies"),
    ("specimens", "specimens"),
    ("belongs to", "taxon"),
    ("rank", "rank"),
    ("probability", ("probability", lambda value: percent(value, 0))),
    ("looks like", "nearest"),
    ("score", lambda row: f"{row['score']:.3f}"),
    ("p", lambda row: f"{row['p']:.4f}"),
]
