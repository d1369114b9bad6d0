"""The page of evidence, and its blocks for other pages: answers beside their neighbours and heat maps."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Picture, Section, Strip, Strips
from biocosmos.evaluate.pages.charts import stacked
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.report import Report
from biocosmos.identify.evidence.gather import HEAT
from biocosmos.identify.evidence.heat_maps import ROLL_OUT

IDENTITY = "identity"
"""Of the provenance's "likeness": neighbours were aligned, and their score is the share of identical bases."""
Row = dict[str, Any]
MOST_NEIGHBOURS = 4  # pictures beside the specimen and its heat map, which leaves room for the words
MOST_NAMED = 3  # taxa of a split vote that are named; the others are counted
NOWHERE = "nowhere, all agree"

KINDS = {
    "wrong": ("Wrong", "The answer is not the true taxon, nor above it."),
    "novel": (
        "Flagged as novel",
        "Less like the known specimens than nearly all known ones are; the answer stops above the rank that is unknown.",
    ),
    "no answer": ("No answer", "No rank is sure enough. The heat map, if there is one, is of the best guess."),
    "rolled back": ("Answered at a coarser rank", "There is a name at a deeper rank, but it is not sure enough."),
    "deepest": ("Answered at the deepest rank", "It is sure enough of the whole path."),
}


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the evidence page shows."""
    about, splits = report.provenance, report.rows("splits")
    together = sum(row["queries"] for row in splits if row["splits_at"] is None)
    found = [*about.get("summary", ()), *([about["promise"]] if about.get("promise") else ())]
    lead = "".join(f"{line[:1].upper()}{line[1:]}.\n" for line in found) + (
        f"{about['queries']:,} specimens were asked about. For some of them, drawn at random, this page shows what a person can "
        "check: the known specimens that are most alike and the rank at which these disagree"
        + (", and where in the image the answer comes from." if about["heat_maps"] != "none" else ".")
    )
    cards = [
        Card("specimens asked about", f"{about['queries']:,}", f"{len(report.rows('shown')):,} of them are shown below"),
        Card(
            "neighbours of one mind",
            percent(together / about["queries"] if about["queries"] else None),
            f"all of the {about['voters']} nearest known specimens agree at every rank",
        ),
    ]
    return Page(lead, cards, sections(report, pictures), TERMS)


def sections(report: Report, pictures: Pictures) -> list[Section]:
    """Where votes split, and the answers with their evidence; for any page of the same answers."""
    return [_where(report), *_look(report, pictures)]


def _where(report: Report) -> Section:
    rows = report.rows("splits")
    judged = any(row["judged"] for row in rows)
    blocks: list[Block] = []
    if judged:
        shares = [
            (row["splits_at"] or NOWHERE, (row["right"] / row["judged"], 1 - row["right"] / row["judged"]))
            for row in rows
            if row["judged"]
        ]
        drawn = stacked("Answers by the rank at which the vote splits", shares, ("right", "wrong"), ("c1", "bad"))
        blocks.append(Figure(drawn, "Of the answers that can be judged, how many are right, by where their neighbours part."))
    cells = [
        [
            row["splits_at"] or NOWHERE,
            f"{row['queries']:,}",
            percent(row["share"]),
            f"{row['answered']:,}",
            *([f"{row['judged']:,}", percent(row["right"] / row["judged"]) if row["judged"] else "–"] if judged else []),
        ]
        for row in rows
    ]
    head = ["the vote splits at", "specimens", "share", "answered", *(["judged", "right"] if judged else [])]
    blocks.append(Grid(head, cells))
    lead = (
        f"The {report.provenance['voters']} nearest known specimens of each one vote at every rank, coarsest first. The rank "
        "at which they first differ is as far down as alikeness alone would carry."
    )
    return Section("Where do the neighbours part?", lead, blocks)


def _look(report: Report, pictures: Pictures) -> list[Section]:
    rows, blocks, aligned = report.rows("shown"), list[Block](), report.provenance.get("likeness") == IDENTITY
    for kind, (title, caption) in KINDS.items():
        strips = [_strip(row, pictures, aligned) for row in rows if row["kind"] == kind]
        if strips:
            blocks.append(Strips(title, strips, caption))
    if not blocks:
        return []
    made = report.provenance["heat_maps"]
    heat = "" if made == "none" else f"; second, where the answer comes from ({made}, red is hottest)"
    lead = (
        f"First the specimen, with its true name where it is known{heat}; then its nearest known specimens with their names, "
        "the nearest first: ✓ agrees with the answer, ✗ does not. Drawn at random by the seed, of different taxa first."
    )
    return [Section("Look at them", lead, blocks)]


def _strip(row: Row, pictures: Pictures, aligned: bool = False) -> Strip:
    """aligned: neighbours were aligned, and their score is a share of identical bases."""
    marks = {True: "right", False: "wrong", None: ""}
    found = []
    if row["heat_of"]:
        title, below = ("looked at", "") if row["heat_by"] == ROLL_OUT else (row["heat_of"], "what speaks for it")
        found.append(Picture(pictures(f"{HEAT}{row['id']}"), title, below))
    found += [
        Picture(
            pictures(near["id"]),
            near["taxon"] or "no name",
            f"{percent(near['score'])} identical" if aligned else f"cosine {near['score']:.3f}",
            marks[near["agrees"]],
        )
        for near in row["neighbours"][:MOST_NEIGHBOURS]
    ]
    name = row["id"].rpartition("/")[2]
    query = Picture(pictures(row["id"]), row["truth"] or "truth unknown", name, marks[row["right"]])
    words = [part for part in (_answer(row), _path(row), _vote(row)) if part]
    unbroken = [part.replace(" %", "\u00a0%") for part in words]
    return Strip(query, found, Markup("<br>").join(unbroken))  # escapes what it joins


def _answer(row: Row) -> str:
    if row["taxon"] is None:
        said = "No answer."
    else:
        said = f"Answer: {row['taxon']} ({row['rank']}), {percent(row['confidence'], 0)} sure."
    if row["novel"]:
        said += f" Novel: only {percent(row['novelty_p'])} of known specimens are as unlike the others."
    return said


def _path(row: Row) -> str:
    steps = [step for step in row["path"] if step["taxon"]]
    if row["taxon"] is not None and steps and row["rank"] == steps[-1]["rank"]:
        steps = steps[:-1]  # the answer has said it
    said = ", ".join(f"{step['rank']} {step['taxon']} {percent(step['confidence'], 0)}" for step in steps)
    return f"Best path: {said}." if said else ""


def _vote(row: Row) -> str:
    if not row["votes"]:
        return ""
    if row["splits_at"] is None:
        return "Its neighbours agree at every rank."
    here = [vote for vote in row["votes"] if vote["rank"] == row["splits_at"]]
    most = MOST_NAMED if len(here) > MOST_NAMED + 1 else len(here)  # one more is named in as few words as it is counted
    named = [f"{vote['votes']} {vote['taxon']}" for vote in here[:most]]
    if rest := here[most:]:
        named.append(f"{sum(vote['votes'] for vote in rest)} of {len(rest)} other taxa")
    return f"Its neighbours part at {row['splits_at']}: {', '.join(named)}."


TERMS = (
    (
        "neighbours",
        "The known specimens whose features, as the namer sees them, have the highest cosine; barcodes that align best.",
    ),
    ("vote", "Each neighbour names its own taxon at every rank; one without a name at a rank abstains there."),
    ("roll-back", "Stopping at the lowest rank that is sure enough; the answer is the taxon there."),
    ("best path", "The most probable taxon at every rank, however unsure."),
    ("right", "The answer is the true taxon, or a taxon above it."),
    (
        "LayerCAM",
        "The places of a feature map that raise the score of the named taxon: its channels, each place weighed by its own "
        "gradient where that is positive (Jiang et al. 2021). Grad-CAM: weighed by the mean gradient (Selvaraju et al. 2017).",
    ),
    (
        "attention roll-out",
        "What a vision transformer looked at: the attention of its blocks, multiplied from the first to the last (Abnar & "
        "Zuidema 2020).",
    ),
)
