"""The page of one namer, rank by rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.pages.blocks import Block, Card, Page, Paragraph, Picture, Section, Strip
from biocosmos.evaluate.pages.charts import Bar, Bin, bars, histograms, lines, reliability, stacked
from biocosmos.evaluate.pages.confusion import confusion_section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import ENOUGH, Row, interval, pick
from biocosmos.evaluate.pages.svg import fit, percent
from biocosmos.evaluate.pages.words import Columns, grid
from biocosmos.evaluate.ranks.asked import ALL
from biocosmos.evaluate.ranks.names import RAW
from biocosmos.evaluate.ranks.sections import (
    AGREEMENT,
    MOST_BRANCHES,
    WORDS,
    Scores,
    agreeing,
    bars_of,
    branch_names,
    judged,
    mistakes,
    ranks_of,
    scores_grid,
)
from biocosmos.evaluate.report import Report

MOST_TAXA, MOST_PAIRS = 10, 15
MOST_LINES = 8  # as many ranks as there are colours to tell apart
LONGEST = 240  # pixels of a name in a table
LEAST_COVERAGE = 0.01  # the first few names make a curve jump between 0 and 1


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of one namer shows."""
    main, ranks = report.provenance["main_target"], ranks_of(report)
    sections = [
        *_rollback(report),
        _agreement(report, ranks),
        *_branches(report, ranks),
        *_coverage(report, ranks, main),
        *_calibration(report, ranks, main),
        mistakes(report, "branch"),
        *agreeing(report, ranks),
        *_novelty(report),
        _community(report),
        *_taxa(report, main),
        *confusion_section(report.rows("confusion"), ranks, pictures, "A specimen (left), whose best path names a sister taxon."),
        *_examples(report, pictures),
        judged(report),
    ]
    return Page(_lead(report, main), _cards(report, ranks, main), sections, WORDS.terms)


def _answered(report: Report) -> Row | None:
    """How many of all specimens were answered, and how many of the answers that can be judged are right; None without answers."""
    rows = report.rows("answers")
    if not rows:
        return None
    total, some = sum(row["specimens"] for row in rows), [row for row in rows if row["rank"] is not None]
    given, right = sum(row["specimens"] for row in some), sum(row["right"] for row in some)
    told = right + sum(row["wrong"] for row in some)
    shares = {"share": given / max(total, 1), "accuracy": right / told if told else None}
    return {"total": total, "some": given, "right": right, "judged": told, **shares}


def _tree(report: Report) -> Row:
    return pick(report.rows("hierarchical"), branch=ALL, over="all") or {"mistakes": 0}


def _lead(report: Report, main: str) -> str:
    able, own = pick(report.rows("answerable"), target=main), Scores(report)(main, "accuracy", "micro")
    namer = report.provenance["namer"]["name"]
    return WORDS("lead", able=able, own=own, main=main, namer=namer, answered=_answered(report), tree=_tree(report))


def _cards(report: Report, ranks: Sequence[str], main: str) -> list[Card]:
    cards, score, answered = [], Scores(report), _answered(report)
    if answered:
        cards.append(WORDS.card("cards.answers", percent(answered["accuracy"]), **answered))
        cards.append(WORDS.card("cards.got", percent(answered["share"]), **answered))
        if deep := pick(report.rows("rollback"), target=main):
            cards.append(WORDS.card("cards.deep", percent(deep["share_answered"]), row=deep))
    for rank in ranks if len(ranks) <= 3 and not answered else dict.fromkeys((ranks[0], main) if not answered else (main,)):
        if row := score(rank, "accuracy", "micro"):
            cards.append(WORDS.card("cards.forced", percent(row["value"]), row=row, rolled=bool(answered)))
    if row := score(main, "F1", "macro"):
        cards.append(WORDS.card("cards.f1", percent(row["value"]), row=row))
    if (error := pick(_calibrated(report), target=main)) and error["ece"] is not None:
        cards.append(WORDS.card("cards.error", percent(error["ece"]), row=error))
    tree = _tree(report)
    if tree["mistakes"]:
        cards.append(WORDS.card("cards.severity", f"{tree['mistake_severity']:.2f}", tree=tree))
    if raw := next((row for row in report.rows("consistency") if row.get("answers") == RAW), None):
        cards.append(WORDS.card("cards.agree", percent(raw["consistent"]), raw=raw))
    if found := report.rows("novelty"):
        cards.append(WORDS.card("cards.novel", f"{found[0]['auroc']:.3f}", row=found[0]))
    return cards


def _rollback(report: Report) -> list[Section]:
    rows, ranks = [row for row in report.rows("answers") if row["specimens"]], report.rows("rollback")
    if not rows:
        return []
    parts = [(r["rank"], [r["right"], r["wrong"], r["undecided"] + r["no_truth"]]) for r in rows if r["rank"]]
    stops = stacked("Where answers stop", parts, ["right", "wrong", "cannot be judged"], ["c3", "bad", "none"])
    groups = [
        (
            f"{row['target']} ({row['asked']:,})",
            [
                Bar(row[share], row[f"{share}_low"], row[f"{share}_high"], f"{row[part]:,} of {row[whole]:,} {part}")
                for share, part, whole in (("share_answered", "answered", "asked"), ("accuracy", "right", "answered"))
            ],
        )
        for row in ranks
    ]
    reached = bars("Answered, and right when answered", groups, ["answered at least this far", "right, of those"])
    columns: Columns = [
        *(("the answer stops at", lambda row: row["rank"] or "no answer"), ("specimens", "specimens"), ("share", "share")),
        *(("right", "right"), ("wrong", "wrong"), ("cannot be judged", lambda row: row["undecided"] + row["no_truth"])),
        ("right of judged (interval)", lambda row: interval({**row, "value": row["accuracy"]})),
    ]
    blocks: list[Block] = []
    if parts:
        blocks += [WORDS.figure("rollback.stops", stops), WORDS.figure("rollback.reached", reached)]
    blocks.append(WORDS.grid("rollback.grid", rows, columns))
    if promise := _promise(report):
        blocks.append(Paragraph(WORDS("rollback.promised", promise=promise)))
    if moved := report.provenance.get("withheld_as_novel"):
        blocks.append(
            Paragraph(WORDS("rollback.withheld", moved=moved, counted="namer" in (report.provenance.get("answers") or {})))
        )
    return [WORDS.section("rollback", blocks)]


def _promise(report: Report) -> str:
    """The promise that the answers came with, in a sentence; "" without one."""
    made = (report.provenance.get("answers") or {}).get("promise")
    if not isinstance(made, dict) or "alpha" not in made:
        return ""
    if made.get("kind") == "answered":
        return (
            f"with probability {1 - (made.get('delta') or 0):.4g}, at most {percent(made['alpha'], 0)} of the answers are wrong"
        )
    return f"the expected share of wrong answers among all specimens is at most {percent(made['alpha'], 0)}"


def _agreement(report: Report, ranks: Sequence[str]) -> Section:
    score = Scores(report)
    groups = [(rank, [score(rank, measure, average) for measure, average, _ in AGREEMENT]) for rank in ranks]
    blocks: list[Block] = [bars_of("Right at each rank", WORDS("agreement.bars"), groups, [words for *_, words in AGREEMENT])]
    tops = list(dict.fromkeys(row["measure"] for row in report.rows() if row["measure"].startswith("top-")))
    if tops:
        found = [(rank, [score(rank, top, "micro") for top in tops]) for rank in ranks]
        blocks.append(bars_of("Among the k most probable", WORDS("agreement.top"), found, tops))
    return WORDS.section("agreement", [*blocks, scores_grid(report, ranks)], rolled=bool(report.rows("answers")))


def _branches(report: Report, ranks: Sequence[str]) -> list[Section]:
    """Each branch of the tree by itself, one figure a measure."""
    names, score, by = branch_names(report), Scores(report), report.provenance["branch_rank"]
    if not names:
        return []
    blocks: list[Block] = []
    for measure, average, words in (AGREEMENT[0], AGREEMENT[3]):
        groups = [(name, [score(rank, measure, average, branch=name) for rank in ranks]) for name in names[:MOST_BRANCHES]]
        blocks.append(bars_of(f"{words}, by {by}", WORDS(f"branches.{measure}", by=by), groups, ranks))
    rows = [row for name in names for rank in ranks if (row := score(rank, "accuracy", "micro", branch=name))]
    columns: Columns = [(by, "branch"), ("rank", "target"), ("specimens", "specimens"), ("accuracy (interval)", interval)]
    columns = [*columns, *((words, _of_branch(score, measure, average)) for measure, average, words in AGREEMENT[1:])]
    return [WORDS.section("branches", [*blocks, grid(rows, columns, "", "All the numbers", 2)], by=by)]


def _of_branch(score: Scores, measure: str, average: str):  # type: ignore[no-untyped-def]
    return lambda row: (score(row["target"], measure, average, branch=row["branch"]) or {}).get("value")


def _calibrated(report: Report) -> list[Row]:
    return [row for row in report.rows("calibration") if row.get("branch") == ALL and row["over"] == "all"]


def _coverage(report: Report, ranks: Sequence[str], main: str) -> list[Section]:
    table = report.rows("coverage")
    if not table:
        return []
    series, marks = [], []
    for i, target in enumerate(_few_ranks(ranks, main)):
        points = [(row["coverage"], row["accuracy"]) for row in table if row["target"] == target]
        series.append((target, [point for point in points if point[0] >= LEAST_COVERAGE] or points))
        row = next((row for row in report.rows("rollback") if row["target"] == target), None)
        if row and row["answered"]:
            share, right = percent(row["share_answered"]), percent(row["accuracy"])
            marks.append((i, row["share_answered"], row["accuracy"], f"{target}: the roll-back answers {share}, {right} right"))
    chart = lines("Accuracy against coverage", series, "share answered (coverage)", "share right of those answered", marks)
    columns: Columns = [("rank", "target"), ("names", "answers"), ("accuracy", "accuracy"), ("mean risk (AURC)", "aurc")]
    blocks: list[Block] = [
        WORDS.figure("coverage.chart", chart, dots=bool(marks)),
        WORDS.grid("coverage.grid", _calibrated(report), columns),
    ]
    return [WORDS.section("coverage", blocks)]


def _few_ranks(targets: Sequence[str], main: str) -> list[str]:
    """At most as many ranks as can be told apart, the coarsest and the finest among them."""
    if len(targets) <= MOST_LINES:
        return list(targets)
    chosen = [targets[i] for i in np.unique(np.linspace(0, len(targets) - 1, MOST_LINES).round().astype(int))]
    return chosen if main in chosen else [*chosen[:-1], main]


def _calibration(report: Report, ranks: Sequence[str], main: str) -> list[Section]:
    """Reliability at the main and the coarsest rank, and the expected calibration error at each."""
    every = report.rows("calibration")
    if not every:
        return []
    blocks: list[Block] = []
    for rank in dict.fromkeys((main, ranks[0])):
        row = pick(_calibrated(report), target=rank)
        rows = report.rows("reliability", target=rank, branch=ALL, over="all")
        bins = [Bin(r["confidence"], r["accuracy"], r["low"], r["high"], r["count"]) for r in rows]
        if bins:
            blocks.append(WORDS.figure("calibration.chart", reliability(f"Reliability at {rank}", bins), row=row))
    calibrated = any(row["raw_ece"] is not None for row in every)
    columns: Columns = [
        *(("rank", "target"), ("branch", "branch"), ("over", "over"), ("mean confidence", "mean_p"), ("share right", "accuracy")),
        ("calibration error (ECE)", "ece"),
        *([("before calibration", "raw_ece"), ("confidence before", "raw_mean_p")] if calibrated else []),
        ("names", "answers"),
    ]
    blocks.append(WORDS.grid("calibration.grid", every, columns, fold=True, left=3))
    return [WORDS.section("calibration", blocks, calibrated=calibrated)]


_MEASURES = (
    ("AUROC (chance that a novel specimen scores above a known one)", "auroc", "{:.3f}".format),
    (
        "FPR at 95 % TPR, novel is positive (OpenOOD): known taken for novel when 95 % of the novel are caught",
        "fpr95_novel_positive",
        percent,
    ),
    (
        "FPR at 95 % TPR, known is positive (older papers): novel taken for known when 95 % of the known are kept",
        "fpr95_known_positive",
        percent,
    ),
    ("AUPR, novel is positive", "aupr_novel", "{:.3f}".format),
    ("AUPR, known is positive", "aupr_known", "{:.3f}".format),
    ("called novel, of the novel", "flagged_of_novel", percent),
    ("called novel, of the known (false alarms)", "flagged_of_known", percent),
)


def _novelty(report: Report) -> list[Section]:
    found = report.rows("novelty")
    if not found:
        return []
    row, scores = found[0], [r for r in report.rows("specimens") if r["novel"] is not None and r["novelty"] is not None]
    parts = [
        (name, np.array([r["novelty"] for r in scores if r["novel"] is novel], np.float64))
        for name, novel in (("known taxa", False), ("novel taxa", True))
    ]
    chart = histograms("Novelty score", parts, "novelty score (higher is more novel)")
    rows = [(words, "–" if row[key] is None else str(shape(row[key]))) for words, key, shape in _MEASURES]
    columns: Columns = [("measure", lambda pair: pair[0]), ("value", lambda pair: pair[1])]
    return [WORDS.section("novelty", [WORDS.figure("novelty.chart", chart), WORDS.grid("novelty.grid", rows, columns, row=row)])]


def _community(report: Report) -> Section:
    columns: Columns = [
        *(("rank", "target"), ("answers", "answers"), ("Bray-Curtis error", "bray_curtis")),
        *(("counted too many", "counted_too_many"), ("counted too few", "counted_too_few"), ("specimens", "specimens")),
    ]
    return WORDS.section("community", [WORDS.grid("community.grid", report.rows("community"), columns, left=2)])


def _taxa(report: Report, main: str) -> list[Section]:
    rows = [row for row in report.rows("per_taxon", target=main) if row["specimens"] >= ENOUGH and row["answerable"]]
    rows.sort(key=lambda row: (row["f1"], row["path"]))
    columns: Columns = [
        (main, lambda row: fit(row["taxon"], LONGEST)),
        ("F1", lambda row: percent(row["f1"], 0)),
        ("precision", lambda row: percent(row["precision"], 0)),
        (
            "recall (interval)",
            lambda r: f"{percent(r['recall'], 0)} ({percent(r['recall_low'], 0)} to {percent(r['recall_high'], 0)})",
        ),
        ("specimens", "specimens"),
        ("most taken for", _taken_for),
    ]
    blocks: list[Block] = []
    for words, part in (("hardest", rows[:MOST_TAXA]), ("easiest", rows[max(MOST_TAXA, len(rows) - MOST_TAXA) :][::-1])):
        if part:
            blocks.append(WORDS.grid(f"taxa.{words}", part, columns))
    pairs = sorted(report.rows("confusion", target=main), key=lambda row: -row["count"])[:MOST_PAIRS]
    shown: Columns = [
        *(("is", "true"), ("named", "found"), ("how often", lambda row: f"{row['count']:,} of {row['queries']:,}")),
        *(("share", lambda row: percent(row["share"], 0)), ("both in", lambda row: row["parent"] or "different parents")),
    ]
    if pairs:
        blocks.append(WORDS.grid("taxa.confused", pairs, shown, left=2))
    return [WORDS.section("taxa", blocks, main=main, enough=ENOUGH)] if blocks else []


def _taken_for(row: Row) -> str | None:
    return f"{fit(row['mostly_taken_for'], LONGEST)} ({row['taken_for']:,})" if row["mostly_taken_for"] else None


def _examples(report: Report, pictures: Pictures) -> list[Section]:
    rows = report.rows("examples")
    blocks: list[Block] = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        blocks.append(WORDS.strips(f"examples.{kind}", [_strip(row, pictures) for row in rows if row["kind"] == kind]))
    if not blocks:
        return []
    return [WORDS.section("examples", blocks, near=any(row["neighbours"] for row in rows))]


def _strip(row: Row, pictures: Pictures) -> Strip:
    found = [
        Picture(pictures(near["id"]), near["taxon"] or "no name", f"cosine {near['score']:.3f}") for near in row["neighbours"]
    ]
    sure = "" if row["confidence"] is None else f", {percent(row['confidence'], 0)} sure"
    said = f"answer: {row['answer']} ({row['rank']}){sure}" if row["answer"] else "no answer"
    if row["best"] and row["best"] != row["answer"]:
        guess = "" if row["best_confidence"] is None else f", {percent(row['best_confidence'], 0)}"
        said += f"; best guess: {row['best']}{guess}"
    return Strip(Picture(pictures(row["id"]), row["truth"] or "truth unknown", f"specimen {row['id']}"), found, said)
