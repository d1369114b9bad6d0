"""The tables on answers as they were given: how far down, when withheld as novel, what the counts become, whom to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, wilson
from biocosmos.evaluate.numbers.hierarchy import severity
from biocosmos.evaluate.numbers.metrics import bray_curtis, novelty
from biocosmos.evaluate.numbers.targets import Target, node_paths
from biocosmos.evaluate.ranks.asked import Asked
from biocosmos.evaluate.ranks.names import Names
from biocosmos.identify.paths import judge

Array = npt.NDArray[Any]
Row = dict[str, Any]
RIGHT, WRONG, UNDECIDED, NO_ANSWER, NO_TRUTH = "right", "wrong", "undecided", "no answer", "no truth"


def verdicts(answers: Array, asked: Asked) -> Array:
    """(n,) object: how each answer, a node or 0 for none, did.

    right: the answer is the true taxon or above it; wrong: the truth has another name at that rank or above; undecided: the
    truth has no name there that speaks for or against it (see :func:`identify.paths.judge`); no answer; no truth.
    """
    taxonomy = asked.taxonomy
    depth = np.maximum(taxonomy.rank[answers], 0)
    verdict = judge(taxonomy, taxonomy.lineage(answers), np.maximum(asked.truth, 0))[np.arange(len(depth)), depth]
    out = np.full(len(asked.ids), WRONG, dtype=object)
    out[verdict < 0] = UNDECIDED
    out[verdict > 0] = RIGHT
    out[answers <= 0] = NO_ANSWER
    out[asked.truth <= 0] = NO_TRUTH
    return out


def rollback_rows(named: Names, asked: Asked, targets: Sequence[Target], boot: Bootstrap) -> list[Row]:
    """Per rank, over specimens with a true name there: the share answered at or below it, and the share right of those."""
    rows = []
    for target in targets if named.stop is not None else ():
        known = target.query >= 0
        said = named.codes(asked, target, named.answered)
        reached = named.answered[:, asked.taxonomy.rank_index(target.name)] >= 0
        answered = known & reached
        right = answered & (said == target.query)
        share = boot.micro(np.array([answered.sum()]), np.array([known.sum()]))
        counts = np.bincount(target.query[answered], minlength=len(target))
        accuracy = boot.micro(np.bincount(target.query[right], minlength=len(target)), counts)
        rows.append(
            {"namer": named.name, "target": target.name, "asked": int(known.sum()), "answered": int(answered.sum())}
            | {"right": int(right.sum()), "share_answered": share.value, "share_answered_low": share.low}
            | {"share_answered_high": share.high, "accuracy": accuracy.value, "accuracy_low": accuracy.low}
            | {"accuracy_high": accuracy.high, "wrong_of_all": int((answered & ~right).sum()) / max(int(known.sum()), 1)}
        )
    return rows


_ANSWERS = pa.schema(
    [("namer", pa.string()), ("rank", pa.string()), ("specimens", pa.int64()), ("share", pa.float64())]
    + [(name, pa.int64()) for name in (RIGHT, WRONG, UNDECIDED, "no_truth")]
    + [(name, pa.float64()) for name in ("accuracy", "low", "high")]
)


def answers_table(named: Names, asked: Asked, confidence: float) -> pa.Table:
    """Where the roll-back stopped: specimens per rank of the answer, and how many answers are right, wrong, undecided."""
    rows: list[Row] = []
    if named.stop is not None:
        verdict, depth = verdicts(named.stop, asked), np.asarray(asked.taxonomy.rank)[named.stop]
        for i in (-1, *range(len(asked.taxonomy.ranks))):
            here = depth == i
            counts = {name: int((verdict[here] == name).sum()) for name in (RIGHT, WRONG, UNDECIDED, NO_TRUTH)}
            judgeable = counts[RIGHT] + counts[WRONG]
            low, high = wilson(np.array([counts[RIGHT]]), np.array([judgeable]), confidence)
            rows.append(
                {"namer": named.name, "rank": None if i < 0 else asked.taxonomy.ranks[i], "specimens": int(here.sum())}
                | {"share": float(here.mean()), **{name.replace(" ", "_"): count for name, count in counts.items()}}
                | {"accuracy": counts[RIGHT] / judgeable if judgeable else None, "low": float(low[0]) if judgeable else None}
                | {"high": float(high[0]) if judgeable else None}
            )
    return pa.Table.from_pylist(rows, schema=_ANSWERS)


_NOVELTY = pa.schema(
    [("namer", pa.string())]
    + [(n, pa.float64()) for n in ("auroc", "fpr95_novel_positive", "fpr95_known_positive", "aupr_novel", "aupr_known")]
    + [("novel", pa.int64()), ("known", pa.int64()), ("flagged_of_novel", pa.float64()), ("flagged_of_known", pa.float64())]
)


def novelty_table(named: Names, asked: Asked) -> pa.Table:
    """Novelty detection where novel specimens exist: one row, or none when it is not known which they are, or there are none."""
    rows = []
    if asked.knows and asked.novel.any() and named.novelty is not None and named.flagged is not None:
        sure = asked.judged
        found = asdict(novelty(named.novelty[sure], asked.novel[sure]))
        caught, false = named.flagged[asked.novel], named.flagged[sure & ~asked.novel]
        shares = {"flagged_of_novel": float(caught.mean()), "flagged_of_known": float(false.mean()) if len(false) else None}
        rows.append({"namer": named.name, **found, **shares})
    return pa.Table.from_pylist(rows, schema=_NOVELTY)


def community_rows(named: Names, asked: Asked, targets: Sequence[Target]) -> list[Row]:
    """Counts of taxa against true counts per rank, over specimens with a true name, with "no answer" and taxa unknown to the
    namer in one unknown bin."""
    rows = []
    for target in targets:
        known = target.query >= 0
        nodes = target.nodes[target.query[known]]
        size = len(asked.taxonomy)
        true = np.bincount(np.where(asked.able[nodes], nodes, 0), minlength=size)
        for answers, said in named.points():
            counted = np.maximum(said[known, asked.taxonomy.rank_index(target.name)], 0)
            distance, over, under = bray_curtis(np.bincount(counted, minlength=size), true)
            about = {"namer": named.name, "target": target.name, "answers": answers, "specimens": int(known.sum())}
            rows.append({**about, "bray_curtis": distance, "counted_too_many": over, "counted_too_few": under})
    return rows


def specimen_table(namers: Sequence[Names], asked: Asked, targets: Sequence[Target]) -> pa.Table:
    """One row per specimen: its true path; per namer the best path, its severity, right or not at every rank, and the answer."""
    columns: dict[str, pa.Array] = {"id": pa.array(asked.ids.tolist(), pa.string()), "truth": _paths(asked, asked.truth)}
    if asked.knows:
        columns["novel"] = pa.array(asked.novel, mask=~asked.judged)
    for target in targets:
        columns[f"{target.name} answerable"] = pa.array(target.answerable(all_vs_all=False), mask=target.query < 0)
    for named in namers:
        prefix = f"{named.name}: " if len(namers) > 1 else ""
        columns[f"{prefix}best path"] = _paths(asked, named.deepest)
        climbed = severity(asked.taxonomy, named.deepest, asked.truth)
        columns[f"{prefix}severity"] = pa.array(climbed, pa.int32(), mask=climbed < 0)
        for target in targets:
            right = named.codes(asked, target) == target.query
            columns[f"{prefix}{target.name} right"] = pa.array(right, mask=target.query < 0)
            if named.p is not None and len(namers) == 1:
                p = named.p[:, asked.taxonomy.rank_index(target.name)]
                columns[f"{prefix}{target.name} p"] = pa.array(p, from_pandas=True)
        if named.stop is not None:
            columns[f"{prefix}answer"] = _paths(asked, named.stop)
            columns[f"{prefix}verdict"] = pa.array(verdicts(named.stop, asked).tolist(), pa.string())
        if named.novelty is not None:
            columns[f"{prefix}novelty"] = pa.array(named.novelty, from_pandas=True)
            columns[f"{prefix}called novel"] = pa.array(named.flagged)
    return pa.table(columns)


def _paths(asked: Asked, nodes: Array) -> pa.Array:
    some, place = np.unique(nodes, return_inverse=True)
    names = node_paths(asked.taxonomy, np.maximum(some, 0))
    names[some <= 0] = None
    return pa.array(names[place.reshape(-1)].tolist(), pa.string())


EXAMPLES = pa.schema(
    [(name, pa.string()) for name in ("kind", "id", "truth", "answer", "rank")]
    + [("confidence", pa.float64())]
    + [("best", pa.string()), ("best_confidence", pa.float64())]
    + [("neighbours", pa.list_(pa.struct([("id", pa.string()), ("taxon", pa.string()), ("score", pa.float32())])))]
)


def example_table(named: Names, asked: Asked, each: int, seed: int) -> pa.Table:
    """Specimens to look at: the most confident mistakes, and at random by ``seed`` right answers, roll-backs and no answers.

    Of a namer that was not rolled back the answers are its best paths. best: the finest name however unsure.
    """
    taxonomy, best = asked.taxonomy, named.deepest
    answers = best if named.stop is None else named.stop
    verdict, deep = verdicts(answers, asked), answers == best
    p = np.full(named.said.shape, np.nan) if named.p is None else named.p
    rows_, ranks = np.arange(len(answers)), np.asarray(taxonomy.rank)
    sure = np.nan_to_num(np.where(answers > 0, p[rows_, np.maximum(ranks[answers], 0)], np.nan), nan=0.0)
    rng = np.random.default_rng(seed)
    wrong = np.flatnonzero(verdict == WRONG)
    kinds = {
        "right": rng.permutation(np.flatnonzero((verdict == RIGHT) & deep)),
        "rolled back": rng.permutation(np.flatnonzero((verdict == RIGHT) & ~deep)),
        "wrong": wrong[np.argsort(-sure[wrong], kind="stable")],
        NO_ANSWER: rng.permutation(np.flatnonzero(verdict == NO_ANSWER)),
        "novel": rng.permutation(np.flatnonzero(asked.novel)),
    }
    near = named.table.column("neighbours") if named.table is not None and "neighbours" in named.table.column_names else None
    rows = []
    for kind, found in kinds.items():
        for i in found[:each]:
            rank = int(ranks[answers[i]])
            guess = float(p[i, max(int(ranks[best[i]]), 0)]) if best[i] > 0 else float("nan")
            rows.append(
                {"kind": kind, "id": str(asked.ids[i]), "truth": _name(asked, asked.truth[i]), "answer": _name(asked, answers[i])}
                | {"rank": taxonomy.ranks[rank] if rank >= 0 else None, "confidence": float(sure[i]) if answers[i] > 0 else None}
                | {"best": _name(asked, best[i]), "best_confidence": None if np.isnan(guess) else guess}
                | {"neighbours": (near[int(i)].as_py() if near is not None else None) or []}
            )
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def _name(asked: Asked, node: int) -> str | None:
    return str(asked.taxonomy.names[node]) if node > 0 else None


def withheld(named: Names, asked: Asked) -> Row | None:
    """What withholding answers as novel did: how many were made coarser or taken away, and the share wrong of what remains.

    None where nothing was withheld.
    """
    if named.stop is None or named.sure is None or not (moved := int((named.stop != named.sure).sum())):
        return None
    row: Row = {"moved": moved, "withheld": int(((named.stop <= 0) & (named.sure > 0)).sum())}
    for key, answers in (("before", named.sure), ("after", named.stop)):
        verdict = verdicts(answers, asked)
        judged = int(((verdict == RIGHT) | (verdict == WRONG)).sum())
        row[key] = int((verdict == WRONG).sum()) / judged if judged else None
        row[f"answered_{key}"] = int((answers > 0).sum())
    return row
