"""The page of an identification report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Picture, Section, Strip, Strips
from biocosmos.evaluate.pages.charts import Bar, Bin, bars, histograms, lines, reliability, stacked
from biocosmos.evaluate.pages.confusion import confusion_section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import interval, main_target, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
MOST_LINES = 6  # as many ranks as there are colours to tell apart

KINDS = {
    "right": ("Right", "Answered at the finest rank it named, and right."),
    "rolled back": ("Rolled back and right", "Not sure enough further down, so the answer stops higher up; there it is right."),
    "wrong": (
        "The most confident mistakes",
        "Not drawn at random: the wrong answers with the highest confidence. Some may be wrong labels rather than wrong answers.",
    ),
    "no answer": ("No answer", "Not sure enough at any rank."),
    "novel": (
        "Of taxa the gallery does not have",
        "The right name was impossible here; a good identifier stops higher up or calls them novel.",
    ),
}


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the identification page shows."""
    able = {row["target"]: row for row in report.rows("answerable")}
    main = main_target(able)
    sections = [
        _rollback(report),
        _accuracy(report, list(able)),
        _coverage(report, list(able), main),
        _reliability(report, main),
        _tree(report),
        *_novelty(report),
        *confusion_section(
            report.rows("confusion"), list(able), pictures, "A query (left), whose best path names a sister taxon (right)."
        ),
        *_examples(report, pictures),
    ]
    return Page(_lead(report, main), _cards(report, main), sections, TERMS)


def _answered(report: Report) -> tuple[int, int, int, int]:
    """Queries; answered; right and wrong among the judgeable answers."""
    rows = report.rows("answers")
    total = sum(row["queries"] for row in rows)
    some = [row for row in rows if row["rank"] is not None]
    return total, sum(row["queries"] for row in some), sum(row["right"] for row in some), sum(row["wrong"] for row in some)


def _lead(report: Report, main: str) -> str:
    total, answered, right, wrong = _answered(report)
    words = f"Of {total:,} specimens, {answered:,} ({percent(answered / max(total, 1))}) got a name at some rank"
    if right + wrong:
        words += f", and of the {right + wrong:,} of these that can be judged, {percent(right / (right + wrong))} are right. "
    else:
        words += ". "
    row = pick(report.rows(), target=main, over="all", averaged_over="queries")
    return words + f"Had every specimen been named down to {main} however unsure, {interval(row)} would be right there."


def _cards(report: Report, main: str) -> list[Card]:
    total, answered, right, wrong = _answered(report)
    judgeable = right + wrong
    deep = pick(report.rows("rollback"), target=main)
    forced = pick(report.rows(), target=main, over="all", averaged_over="queries")
    error = pick(report.rows("calibration"), target=main)
    cards = [
        Card(
            "answers that are right",
            percent(right / judgeable) if judgeable else "–",
            f"{right:,} of {judgeable:,} answers, at whatever rank they stop",
        ),
        Card(
            "got an answer",
            percent(answered / max(total, 1)),
            f"{answered:,} of {total:,} specimens; the others were not sure enough at any rank",
        ),
    ]
    if deep:
        cards.append(
            Card(
                f"answered at {main}",
                percent(deep["share_answered"]),
                f"{deep['answered']:,} of {deep['asked']:,}; of these {percent(deep['accuracy'])} are right",
            )
        )
    if forced:
        cards.append(
            Card(
                f"right at {main} if forced",
                percent(forced["value"]),
                f"every query named, interval {percent(forced['low'])} to {percent(forced['high'])}",
            )
        )
    if error and error["ece"] is not None:
        cards.append(
            Card(
                f"calibration error at {main}",
                percent(error["ece"]),
                f"how far confidence is from accuracy on average, {error['answers']:,} answers",
            )
        )
    return cards


def _rollback(report: Report) -> Section:
    rows = report.rows("answers")
    shown = [
        (row["rank"] or "no answer", [row["right"], row["wrong"], row["undecided"] + row["no_truth"]])
        for row in rows
        if row["queries"]
    ]
    total = max(sum(row["queries"] for row in rows), 1)
    grid = Grid(
        ["the answer stops at", "specimens", "share", "right", "wrong", "cannot be judged", "right of judged (interval)"],
        [
            [
                row["rank"] or "no answer",
                f"{row['queries']:,}",
                percent(row["queries"] / total),
                f"{row['right']:,}",
                f"{row['wrong']:,}",
                f"{row['undecided'] + row['no_truth']:,}",
                interval({**row, "value": row["accuracy"]}) if row["rank"] else "–",
            ]
            for row in rows
            if row["queries"]
        ],
        "Where the roll-back stopped. Right: the answer is the true taxon or one above it.",
    )
    figure = Figure(
        stacked(
            "Where answers stop",
            [row for row in shown if row[0] != "no answer"],
            ["right", "wrong", "cannot be judged"],
            ["c3", "bad", "none"],
        ),
        "Of the answers that stop at each rank, the share that is right. Cannot be judged: the truth is known less far down "
        "than the answer.",
    )
    ranks = report.rows("rollback")
    deep = Figure(
        bars(
            "Answered, and right when answered",
            [
                (
                    row["target"],
                    [
                        Bar(
                            row["share_answered"],
                            row["share_answered_low"],
                            row["share_answered_high"],
                            f"{row['answered']:,} of {row['asked']:,} answered",
                        ),
                        Bar(
                            row["accuracy"],
                            row["accuracy_low"],
                            row["accuracy_high"],
                            f"{row['right']:,} of {row['answered']:,} right",
                        ),
                    ],
                )
                for row in ranks
            ],
            ["answered at least this far", "right, of those"],
        ),
        "At each rank: the share of specimens whose answer reaches it, and the share of those that are right there.",
    )
    lead = (
        "An identifier that is not sure of the species should say the genus. This shows how far down it dared to answer, "
        "and whether it was right to."
    )
    return Section("How far down, and how often right?", lead, [figure, deep, grid])


def _accuracy(report: Report, targets: Sequence[str]) -> Section:
    rows = report.rows()
    groups = []
    for target in targets:
        pair = [pick(rows, target=target, over="all", averaged_over=by) for by in ("queries", target)]
        groups.append(
            (
                target,
                [
                    Bar(r["value"], r["low"], r["high"], f"{interval(r)}, {r['queries']:,} queries") if r else Bar(float("nan"))
                    for r in pair
                ],
            )
        )
    figure = Figure(
        bars("Forced accuracy", groups, ["every query counts the same", "every taxon counts the same"]),
        "The best path named down to every rank, unsure answers included. Unanswerable queries (no specimen of their taxon "
        "in the gallery) count as wrong.",
    )
    grid = Grid(
        ["rank", "averaged over", "over", "right (interval)", "queries", "taxa"],
        [[r["target"], r["averaged_over"], r["over"], interval(r), f"{r['queries']:,}", f"{r['taxa']:,}"] for r in rows],
        "",
        "All the numbers",
        3,
    )
    return Section(
        "How often right when forced to answer?",
        "The same identifier made to name every specimen at every rank, as most papers report it.",
        [figure, grid],
    )


def _coverage(report: Report, targets: Sequence[str], main: str) -> Section:
    table = report.rows("coverage")
    series = []
    for target in _few_ranks(targets, main):
        points = [(row["coverage"], row["accuracy"]) for row in table if row["target"] == target]
        # The first few answers make a curve jump between 0 and 1; from one in a hundred on it means something.
        series.append((target, [p for p in points if p[0] >= 0.01] or points))
    marks = []
    for i, (target, _) in enumerate(series):
        row = pick(report.rows("rollback"), target=target)
        if row and row["answered"]:
            marks.append(
                (
                    i,
                    row["share_answered"],
                    row["accuracy"],
                    f"{target}: the threshold used answers {percent(row['share_answered'])}, {percent(row['accuracy'])} right",
                )
            )
    figure = Figure(
        lines(
            "Accuracy against coverage",
            [s for s in series if s[1]],
            "share answered (coverage)",
            "share right of those answered",
            marks,
        ),
        "From right to left, ever fewer and more confident answers are kept. A useful confidence rises to the left. Dots: "
        "the threshold that was used.",
    )
    rows = {row["target"]: row for row in report.rows("calibration")}
    grid = Grid(
        ["rank", "answers", "mean confidence", "accuracy", "calibration error (ECE)", "mean risk (AURC)"],
        [
            [
                t,
                f"{rows[t]['answers']:,}",
                percent(rows[t]["mean_confidence"]),
                percent(rows[t]["accuracy"]),
                percent(rows[t]["ece"]),
                percent(rows[t]["aurc"]),
            ]
            for t in targets
        ],
    )
    return Section(
        "What does answering less buy?",
        "Raising the threshold leaves more specimens without a name, and makes the names that remain more often right.",
        [figure, grid],
    )


def _few_ranks(targets: Sequence[str], main: str) -> list[str]:
    """At most as many ranks as can be told apart, the coarsest and the finest among them."""
    if len(targets) <= MOST_LINES:
        return list(targets)
    places = np.unique(np.linspace(0, len(targets) - 1, MOST_LINES).round().astype(int))
    chosen = [targets[i] for i in places]
    return chosen if main in chosen else [*chosen[:-1], main]


def _reliability(report: Report, main: str) -> Section:
    figures: list[Block] = []
    targets = list(dict.fromkeys(row["target"] for row in report.rows("reliability")))
    errors = {row["target"]: row for row in report.rows("calibration")}
    for target in dict.fromkeys([main, *targets[:1]]):
        bins = [
            Bin(r["confidence"], r["accuracy"], r["low"], r["high"], r["count"])
            for r in report.rows("reliability", target=target)
        ]
        if bins:
            figures.append(
                Figure(
                    reliability(f"Reliability at {target}", bins),
                    f"At {target}, {errors[target]['answers']:,} answers. On the dashed line, answers said to be 80 % sure "
                    "are right 80 % of the time; below it the identifier is "
                    f"too sure of itself, above it too modest. Expected calibration error {percent(errors[target]['ece'])}. "
                    "Lines through dots: Wilson intervals.",
                )
            )
    return Section(
        "Does confidence mean what it says?",
        "Answers are put in ten bins by the confidence they came with, and each bin is checked against the truth.",
        figures,
    )


def _tree(report: Report) -> Section:
    near = Grid(
        ["answers", "hierarchical precision", "hierarchical recall", "F1", "mean distance in the tree", "queries"],
        [
            [
                r["answers"],
                percent(r["precision"]),
                percent(r["recall"]),
                percent(r["f1"]),
                f"{r['tree_distance']:.2f}",
                f"{r['queries']:,}",
            ]
            for r in report.rows("hierarchical")
        ],
        "Precision: of the taxa named on the way to the answer, the share that is true. Recall: of the true ones, the share "
        "named. Distance: edges between answer and truth; no answer is the root.",
    )
    counts = Grid(
        ["rank", "answers", "Bray-Curtis error", "counted too many", "counted too few", "specimens"],
        [
            [
                r["target"],
                r["answers"],
                percent(r["bray_curtis"]),
                percent(r["counted_too_many"]),
                percent(r["counted_too_few"]),
                f"{r['queries']:,}",
            ]
            for r in report.rows("community")
        ],
        "Counts of taxa against true counts: 0 % is the same community table, 100 % shares nothing. Specimens without an "
        "answer, and taxa the gallery lacks, share one “unknown” bin.",
        "",
        2,
    )
    return Section(
        "How near are the mistakes, and do the counts come out right?",
        "A wrong species in the right genus is a "
        "smaller mistake than a wrong phylum; and mistakes that cancel out leave an ecologist's counts right.",
        [near, counts],
    )


def _novelty(report: Report) -> list[Section]:
    found = report.rows("novelty")
    if not found:
        return []
    row = found[0]
    grid = Grid(
        ["measure", "value"],
        [
            ["AUROC (chance that a novel specimen scores above a known one)", f"{row['auroc']:.3f}"],
            [
                "FPR at 95 % TPR, novel is positive (OpenOOD): known taken for novel when 95 % of the novel are caught",
                percent(row["fpr95_novel_positive"]),
            ],
            [
                "FPR at 95 % TPR, known is positive (older papers): novel taken for known when 95 % of the known are kept",
                percent(row["fpr95_known_positive"]),
            ],
            ["AUPR, novel is positive", f"{row['aupr_novel']:.3f}"],
            ["AUPR, known is positive", f"{row['aupr_known']:.3f}"],
            ["called novel, of the novel", percent(row["flagged_of_novel"])],
            ["called novel, of the known (false alarms)", percent(row["flagged_of_known"])],
        ],
        f"{row['novel']:,} specimens of taxa that the gallery lacks, {row['known']:,} of taxa that it has. Two conventions "
        "of FPR95 are in use and mean opposite things.",
    )
    blocks: list[Block] = [grid]
    scores = report.rows("queries")
    if scores and "novelty" in scores[0]:
        parts = [
            (
                name,
                np.array(
                    [r["novelty"] for r in scores if r["novel"] is is_novel and r["truth"] and r["novelty"] is not None],
                    dtype=np.float64,
                ),
            )
            for name, is_novel in (("known taxa", False), ("novel taxa", True))
        ]
        blocks.insert(
            0,
            Figure(
                histograms("Novelty score", parts, "novelty score (higher is more novel)"),
                "The further apart the two, the better novel taxa can be told.",
            ),
        )
    return [
        Section(
            "Are unknown taxa noticed?",
            "Some specimens are of taxa that the gallery does not have. The novelty score should be higher for them.",
            blocks,
        )
    ]


def _examples(report: Report, pictures: Pictures) -> list[Section]:
    rows = report.rows("examples")
    blocks: list[Block] = []
    for kind, (title, caption) in KINDS.items():
        strips = [_strip(row, pictures) for row in rows if row["kind"] == kind]
        if strips:
            blocks.append(Strips(title, strips, caption))
    if not blocks:
        return []
    lead = (
        "Specimens (left) with the gallery specimens that support their answer (right). Drawn at random by the seed "
        "unless the heading says otherwise."
    )
    return [Section("Look at them", lead, blocks)]


def _strip(row: Row, pictures: Pictures) -> Strip:
    found = [
        Picture(pictures(near["id"]), near["taxon"] or "no name", f"cosine {near['score']:.3f}") for near in row["neighbours"]
    ]
    answer = f"answer: {row['answer']} ({row['rank']}), {percent(row['confidence'], 0)} sure" if row["answer"] else "no answer"
    return Strip(Picture(pictures(row["id"]), row["truth"] or "truth unknown", f"query {row['id']}"), found, answer)


TERMS = (
    ("best path", "The most probable taxon at every rank, however unsure."),
    ("roll-back", "Stopping at the lowest rank whose confidence reaches the threshold; the answer is that taxon."),
    ("right", "The answer is the true taxon, or a taxon above it. At a given rank: the name there is the true one."),
    ("cannot be judged", "The specimen's true taxon is known only above the answer, or not at all."),
    ("coverage", "The share of specimens that get an answer. Risk: the share of answers that is wrong, 1 - accuracy."),
    (
        "ECE",
        "Expected calibration error: the mean distance between confidence and accuracy over ten bins of confidence, "
        "weighed by their answers.",
    ),
    ("AURC", "The share wrong, averaged over all coverages from the most confident answer to all of them; lower is better."),
    (
        "answerable",
        "The gallery has a specimen of the query's taxon at that rank; without a gallery given, every query "
        "counts as answerable.",
    ),
    ("novel", "Of a taxon that no gallery specimen belongs to."),
    (
        "interval",
        "Bootstrap percentile interval of the stated confidence; Wilson's interval for bins and for where answers stop.",
    ),
    ("sister taxa", "Two taxa of one rank with the same parent in the taxonomy."),
)
