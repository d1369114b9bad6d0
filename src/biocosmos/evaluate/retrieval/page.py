"""The page of a retrieval report: from its tables to cards, charts, pictures and plain words."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.evaluate.numbers.tallies import SPECIMENS
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Picture, Section, Strip, Strips, Words
from biocosmos.evaluate.pages.charts import Bar, Point, bars, scatter, stacked
from biocosmos.evaluate.pages.confusion import confusion_section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import ENOUGH, EXTREMES, Row, interval, main_target, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.report import Report

GROUP_BARS = 20

KINDS = {
    "right": ("Right at once", "The nearest neighbour is of the query's own taxon."),
    "right later": ("Right, but not first", "A neighbour further down the list is of the query's own taxon."),
    "wrong": ("Wrong", "Not one of the neighbours searched is of the query's own taxon, although the gallery has some."),
    "unanswerable": ("Unanswerable", "The gallery has no other specimen of the query's taxon: nothing could have been right."),
}


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the retrieval page shows."""
    rows = report.rows("summary", finder=SPECIMENS)
    able = {row["target"]: row for row in report.rows("answerable")}
    ks = sorted({row["k"] for row in rows})
    main = main_target(able)
    sections = [
        _by_rank(report, rows, list(able), ks, main),
        _answerable(able),
        *_per_taxon(report, main, ks),
        *_groups(report, main, ks),
        *_rules(report, ks),
        *_examples(report, pictures, main),
        *confusion_section(
            report.rows("confusion"),
            list(able),
            pictures,
            "The query (left) and its nearest neighbour (right), which is of a sister taxon.",
        ),
    ]
    return Page(_lead(report, rows, able[main], main, ks), _cards(rows, able, main, ks), sections, TERMS)


def _share(rows: Sequence[Row], target: str, k: int, over: str = "answerable", by: str | None = None) -> Row | None:
    return pick(rows, target=target, k=k, over=over, averaged_over=by or "queries")


def _lead(report: Report, rows: Sequence[Row], able: Row, main: str, ks: Sequence[int]) -> str:
    first, last = _share(rows, main, ks[0]), _share(rows, main, ks[-1])
    protocol = report.provenance["protocol"]
    how = (
        "Every specimen was taken in turn as a query and compared with all the others, never with itself."
        if protocol.startswith("all-vs-all")
        else (
            f"Each query was compared with the {report.provenance['gallery']['specimens']:,} specimens of a gallery that it "
            "is not part of."
        )
    )
    if not able["answerable"]:
        return (
            f"{how} Not one of the {able['asked']:,} queries has another specimen of its {main} to find, so nothing can "
            "be said about how well it would be found."
        )
    return (
        f"{how} Of the {able['answerable']:,} queries whose {main} has another specimen to find, {interval(first)} have one "
        f"{'as their nearest neighbour' if ks[0] == 1 else f'among their {ks[0]} nearest'}"
        + (f" and {interval(last)} among the {ks[-1]} nearest." if last is not first else ".")
        + (f" {able['unanswerable']:,} more could not be answered by anyone." if able["unanswerable"] else "")
        + (f" {able['null']:,} have no {main}." if able["null"] else "")
    )


def _cards(rows: Sequence[Row], able: dict[str, Row], main: str, ks: Sequence[int]) -> list[Card]:
    k = ks[0]
    micro, macro, last = _share(rows, main, k), _share(rows, main, k, by=main), _share(rows, main, ks[-1])
    row = able[main]
    cards = [
        Card(f"hit@{k} at {main}", *_value(micro, f"of {row['answerable']:,} answerable queries")),
        Card(
            f"hit@{k}, mean over {main}",
            *_value(macro, f"mean over {macro['taxa'] if macro else 0:,} taxa, rare ones count the same"),
        ),
    ]
    if ks[-1] != k:
        cards.append(Card(f"hit@{ks[-1]} at {main}", *_value(last, f"one of the {ks[-1]} nearest is right")))
    cards.append(
        Card(
            "could be answered",
            percent(row["answerable_share"]),
            f"{row['answerable']:,} of {row['asked']:,} queries have another of their {main} to find",
        )
    )
    coarser = [name for name, r in able.items() if r["kind"] == "rank" and r["taxa"] > 1 and name != main]
    if coarser:
        cards.append(
            Card(
                f"hit@{k} at {coarser[0]}",
                *_value(_share(rows, coarser[0], k), f"the coarsest rank with a choice: {able[coarser[0]]['taxa']} taxa"),
            )
        )
    return cards


def _value(row: Row | None, detail: str) -> tuple[str, str]:
    if row is None or row["value"] is None:
        return "–", detail
    ends = "" if row["low"] is None or row["low"] != row["low"] else f"; interval {percent(row['low'])} to {percent(row['high'])}"
    return percent(row["value"]), detail + ends


def _bar(row: Row | None, what: str) -> Bar:
    if row is None or row["value"] is None:
        return Bar(float("nan"))
    return Bar(
        row["value"], row["low"], row["high"], f"{what}: {interval(row)}, {row['queries']:,} queries, {row['taxa']:,} taxa"
    )


def _by_rank(report: Report, rows: Sequence[Row], targets: Sequence[str], ks: Sequence[int], main: str) -> Section:
    names = [f"k = {k}" for k in ks]
    charts = [
        Figure(
            bars(
                title,
                [(t, [_bar(_share(rows, t, k, by=t if macro else None), f"{t}, k = {k}") for k in ks]) for t in targets],
                names,
                shades=True,
            ),
            caption,
        )
        for macro, title, caption in (
            (
                False,
                "Every query counts the same",
                "Micro average: the share of answerable queries with a right specimen among the k nearest. Common taxa dominate.",
            ),
            (
                True,
                "Every taxon counts the same",
                "Macro average: the mean over taxa of each taxon's share. Rare taxa weigh as much as common ones.",
            ),
        )
    ]
    table = Grid(
        ["target", "averaged over", "over", *[f"hit@{k} (interval)" for k in ks], "queries", "taxa"],
        [
            [t, by, over, *[interval(_share(rows, t, k, over, by)) for k in ks], f"{first['queries']:,}", f"{first['taxa']:,}"]
            for t in targets
            for by in dict.fromkeys(row["averaged_over"] for row in rows if row["target"] == t)
            for over in ("all", "answerable")
            if (first := _share(rows, t, ks[0], over, by))
        ],
        "“species averaged over genus” is the share right about the species, averaged by genus; “genus averaged over genus” "
        "is the share right about the genus. Unanswerable queries count as wrong in “all”. Finest rank most queries have: "
        f"{main}.",
        "All the numbers",
        3,
    )
    lead = (
        "The share of queries with a specimen of their own taxon among the nearest k, at each rank. Thin lines are "
        "intervals: the range in which the share would mostly fall with other specimens of these taxa."
    )
    return Section("How often is a neighbour right?", lead, [*charts, table])


def _answerable(able: dict[str, Row]) -> Section:
    rows = [(name, [row["answerable"], row["unanswerable"], row["null"]]) for name, row in able.items()]
    figure = Figure(
        stacked("What could be answered", rows, ["answerable", "unanswerable", "no name at this rank"], ["c1", "bad", "none"]),
        "Answerable: another specimen of the query's taxon is in the gallery. Unanswerable: none is, so the best encoder in "
        "the world would be wrong. No name: the query's label does not reach this rank.",
    )
    return Section(
        "What could be answered at all?", "Before blaming an encoder: how many queries had anything right to find.", [figure]
    )


def _per_taxon(report: Report, main: str, ks: Sequence[int]) -> list[Section]:
    k = ks[0]
    rows = [row for row in report.rows("per_taxon", target=main, finder=SPECIMENS) if row["answerable"]]
    if len(rows) < 2:
        return []
    hit, low, high = f"hit@{k}", f"low@{k}", f"high@{k}"
    points = [
        Point(
            row["gallery"],
            row[hit],
            f"{row['taxon']}: {percent(row[hit])} ({percent(row[low])} to {percent(row[high])}), {row['queries']} queries",
        )
        for row in rows
    ]
    figure = Figure(
        scatter(
            "Share right against gallery size",
            points,
            "specimens of the taxon in the gallery (log scale)",
            f"hit@{k}",
            y_range=(0, 1),
        ),
        f"One dot per {main} ({len(rows):,} of them, answerable ones only); hover for its name. Low on the right: taxa that "
        "look alike although there are many examples.",
    )
    enough = sorted((row for row in rows if row["queries"] >= ENOUGH), key=lambda row: (row[hit], -row["queries"], row["path"]))
    blocks: list[Block] = [figure]
    worst = enough[:EXTREMES]
    best = enough[len(worst) :][::-1][:EXTREMES]
    for title, part in (("Hardest", worst), ("Easiest", best)):
        if part:
            cells = [
                [
                    row["taxon"],
                    percent(row[hit], 0),
                    f"{percent(row[low], 0)} to {percent(row[high], 0)}",
                    str(row["queries"]),
                    str(row["gallery"]),
                ]
                for row in part
            ]
            blocks.append(
                Grid(
                    [main, hit, "interval (Wilson)", "queries", "in gallery"],
                    cells,
                    f"{title}: taxa with at least {ENOUGH} queries. All taxa are in the table per_taxon.",
                )
            )
    return [
        Section(
            "Which taxa are hard?",
            f"hit@{k} of each {main} on its own. With few queries a taxon's share is rough: read the interval.",
            blocks,
        )
    ]


def _groups(report: Report, main: str, ks: Sequence[int]) -> list[Section]:
    rows = [row for row in report.rows("by_group") if row["target"] == main and row["over"] == "answerable" and row["k"] == ks[0]]
    sections = []
    for group in dict.fromkeys(row["group"] for row in rows):
        part = [row for row in rows if row["group"] == group]
        values = sorted(
            {row["value_of_group"] for row in part}, key=lambda v: -max(r["queries"] for r in part if r["value_of_group"] == v)
        )
        shown = values[:GROUP_BARS]
        groups = [
            (v, [_bar(pick(part, value_of_group=v, average=average), f"{v}, {average}") for average in ("micro", "macro")])
            for v in shown
        ]
        caption = (
            f"{main} right at k = {ks[0]}, among the answerable queries of each {group}. Per query: every query counts "
            f"the same; per taxon: every {main} does."
        )
        if len(values) > len(shown):
            caption += f" The {len(shown)} largest of {len(values)} are drawn; all are in the table by_group."
        figure = Figure(bars(f"{main} by {group}", groups, ["per query", "per taxon"]), caption)
        sections.append(Section(f"By {group}", f"The same share within each value of the column “{group}”.", [figure]))
    return sections


def _rules(report: Report, ks: Sequence[int]) -> list[Section]:
    rows = [row for row in report.rows("summary") if row["over"] == "answerable" and row["k"] == ks[0]]
    finders = list(dict.fromkeys(row["finder"] for row in rows))
    if len(finders) < 2:
        return []
    targets = list(dict.fromkeys(row["target"] for row in rows))
    charts = []
    for average, words in (("micro", "every query counts the same"), ("macro", "every taxon counts the same")):
        groups = [
            (
                t,
                [
                    _bar(pick(rows, target=t, finder=f, averaged_over="queries" if average == "micro" else t), f"{t}, {f}")
                    for f in finders
                ],
            )
            for t in targets
        ]
        charts.append(
            Figure(
                bars(f"Rules, {average}", groups, finders),
                f"Share of answerable queries that each rule names rightly first; {words}.",
            )
        )
    lead = (
        "A rule turns neighbours into a name: the taxon of the single nearest specimen, or the taxon whose specimens are "
        "nearest on average, by cosine or by Euclidean distance; or the nearest class centroid. On unit vectors the "
        "single nearest is the same by both distances."
    )
    lead += (
        " “specimens” is the plain list of neighbours, in which one without a name at the rank is wrong; a rule chooses "
        "among the "
        "taxa that have a name there, so it may be right where the list is not."
    )
    return [Section("Which rule names best?", lead, charts)]


def _examples(report: Report, pictures: Pictures, main: str) -> list[Section]:
    rows = report.rows("examples")
    if not rows:
        return []
    target = rows[0]["target"]
    blocks: list[Block] = []
    for kind, (title, caption) in KINDS.items():
        strips = [_strip(row, pictures) for row in rows if row["kind"] == kind]
        if strips:
            blocks.append(Strips(title, strips, caption))
    lead = (
        f"Queries (left) with their nearest specimens, best first, judged at {target}. They were drawn at random by the "
        "seed, from different taxa, not picked by hand; how many there are of each kind says nothing about how frequent "
        "it is."
    )
    return [Section("Look at them", lead, blocks or [Words("There is nothing to show.")])]


def _strip(row: Row, pictures: Pictures) -> Strip:
    found = [
        Picture(
            pictures(near["id"]), near["taxon"] or "no name", f"cosine {near['score']:.3f}", "right" if near["right"] else "wrong"
        )
        for near in row["neighbours"]
    ]
    late = row["kind"] == "right later" and row["first_right"]
    return Strip(
        Picture(pictures(row["id"]), row["taxon"], f"query {row['id']}"),
        found,
        f"first right: number {row['first_right']}" if late else "",
    )


TERMS = (
    ("hit@k", "The share of queries with at least one specimen of their own taxon among the k nearest gallery specimens."),
    (
        "nearest",
        "Highest cosine between the encoder's unit vectors; equal cosines in gallery order. A query's own id is never among "
        "its neighbours.",
    ),
    ("answerable", "A query whose taxon, at that rank, has another specimen in the gallery."),
    (
        "micro / macro",
        "Micro: every query counts the same. Macro over a rank: the share within each taxon of that rank, then the mean over "
        "taxa.",
    ),
    (
        "genus recall",
        "Two numbers: genus averaged over genus asks for the right genus; species averaged over genus asks for the right "
        "species and averages by genus.",
    ),
    ("interval", "Bootstrap percentile interval of the stated confidence; for a single taxon, Wilson's interval."),
    (
        "unnamed neighbour",
        "A neighbour without a name at the rank counts as wrong; a query without one is left out at that rank.",
    ),
    ("sister taxa", "Two taxa of one rank with the same parent in the taxonomy."),
)
