"""The tables of an identification report, each from answers and truth as node ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, wilson
from biocosmos.evaluate.numbers.calibration import coverage_curve, reliability
from biocosmos.evaluate.numbers.metrics import bray_curtis, hierarchical, novelty
from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target, node_paths
from biocosmos.identify.paths import judge

if TYPE_CHECKING:
    from biocosmos.evaluate.naming.report import Judged
    from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
RIGHT, WRONG, UNDECIDED, NO_ANSWER, NO_TRUTH = "right", "wrong", "undecided", "no answer", "no truth"
OPERATING_POINTS = (BEST, ROLLED) = ("best path", "rolled back")
UNKNOWN = "(no answer)"


def verdicts(judged: Judged, taxonomy: Taxonomy) -> Array:
    """(q,) object: how each rolled-back answer did.

    right: the answer is the true taxon or above it; wrong: the truth has another name at that rank or above; undecided: the
    truth has no name there that speaks for or against it (see :func:`identify.paths.judge`); no answer; no truth.
    """
    depth = np.maximum(taxonomy.rank[judged.answer], 0)
    verdict = judge(taxonomy, taxonomy.lineage(judged.answer), judged.truth)[np.arange(len(depth)), depth]
    out = np.full(len(judged.ids), WRONG, dtype=object)
    out[verdict < 0] = UNDECIDED
    out[verdict > 0] = RIGHT
    out[judged.answer <= 0] = NO_ANSWER
    out[judged.truth <= 0] = NO_TRUTH
    return out


def rollback_table(judged: Judged, taxonomy: Taxonomy, targets: Sequence[Target], boot: Bootstrap) -> pa.Table:
    """Per rank, over queries with a true name there: the share answered at or below it, and of those answers the share right."""
    rows = []
    for target in targets:
        asked = target.query >= 0
        said = taxonomy.ancestor(judged.answer, target.name)
        answered = asked & (said >= 0)
        right = answered & (said == target.nodes[np.maximum(target.query, 0)])
        share = boot.micro(np.array([answered.sum()]), np.array([asked.sum()]))
        counts = np.bincount(target.query[answered], minlength=len(target))
        accuracy = boot.micro(np.bincount(target.query[right], minlength=len(target)), counts)
        rows.append(
            {
                "target": target.name,
                "asked": int(asked.sum()),
                "answered": int(answered.sum()),
                "right": int(right.sum()),
                "share_answered": share.value,
                "share_answered_low": share.low,
                "share_answered_high": share.high,
                "accuracy": accuracy.value,
                "accuracy_low": accuracy.low,
                "accuracy_high": accuracy.high,
                "wrong_of_all": int((answered & ~right).sum()) / max(int(asked.sum()), 1),
            }
        )
    return pa.Table.from_pylist(rows)


def answers_table(judged: Judged, taxonomy: Taxonomy, confidence: float) -> pa.Table:
    """Where the roll-back stopped: queries per rank of the answer, and how many of those answers are right, wrong, undecided."""
    verdict = verdicts(judged, taxonomy)
    depth = np.asarray(taxonomy.rank)[judged.answer]
    rows = []
    for i in (-1, *range(len(taxonomy.ranks))):
        here = depth == i
        counts = {name: int((verdict[here] == name).sum()) for name in (RIGHT, WRONG, UNDECIDED, NO_TRUTH)}
        judgeable = counts[RIGHT] + counts[WRONG]
        low, high = wilson(np.array([counts[RIGHT]]), np.array([judgeable]), confidence)
        rows.append(
            {
                "rank": None if i < 0 else taxonomy.ranks[i],
                "queries": int(here.sum()),
                "share": float(here.mean()),
                **{name.replace(" ", "_"): count for name, count in counts.items()},
                "accuracy": counts[RIGHT] / judgeable if judgeable else None,
                "low": float(low[0]) if judgeable else None,
                "high": float(high[0]) if judgeable else None,
            }
        )
    schema = pa.schema(
        [("rank", pa.string()), ("queries", pa.int64()), ("share", pa.float64())]
        + [(name, pa.int64()) for name in (RIGHT, WRONG, UNDECIDED, "no_truth")]
        + [(name, pa.float64()) for name in ("accuracy", "low", "high")]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _said(judged: Judged, taxonomy: Taxonomy, tally: Tally) -> tuple[Array, Array]:
    """Confidence (NaN where no name was given) and right, of the queries that have a true name at the tally's rank."""
    rank = taxonomy.ranks.index(tally.target.name)
    named = taxonomy.ancestor(judged.path, tally.target.name) >= 0
    said = np.where(named, judged.confidence[:, rank], np.nan)
    return said[tally.asked], (tally.first == 0)[tally.asked]


def coverage_table(judged: Judged, taxonomy: Taxonomy, tallies: Sequence[Tally]) -> pa.Table:
    """Points of accuracy against coverage per rank."""
    parts = []
    for tally in tallies:
        curve = coverage_curve(*_said(judged, taxonomy, tally))
        parts.append(
            pa.table(
                {
                    "target": pa.array([tally.target.name] * len(curve.coverage), pa.string()),
                    "threshold": curve.threshold,
                    "coverage": curve.coverage,
                    "accuracy": curve.accuracy,
                    "risk": 1 - curve.accuracy,
                }
            )
        )
    return pa.concat_tables(parts)


def reliability_table(judged: Judged, taxonomy: Taxonomy, tallies: Sequence[Tally], confidence: float) -> pa.Table:
    """Bins of confidence per rank."""
    parts = []
    for tally in tallies:
        said, right = _said(judged, taxonomy, tally)
        bins = asdict(reliability(said[~np.isnan(said)], right[~np.isnan(said)], level=confidence))
        del bins["ece"]
        parts.append(pa.table({"target": pa.array([tally.target.name] * len(bins["count"]), pa.string()), **bins}))
    return pa.concat_tables(parts)


def calibration_table(judged: Judged, taxonomy: Taxonomy, tallies: Sequence[Tally]) -> pa.Table:
    """Per rank: answers, mean confidence, accuracy, expected calibration error, area under risk against coverage."""
    rows = []
    for tally in tallies:
        said, right = _said(judged, taxonomy, tally)
        named = ~np.isnan(said)
        rows.append(
            {
                "target": tally.target.name,
                "answers": int(named.sum()),
                "mean_confidence": float(said[named].mean()) if named.any() else None,
                "accuracy": float(right[named].mean()) if named.any() else None,
                "ece": reliability(said[named], right[named]).ece if named.any() else None,
                "aurc": coverage_curve(said, right).aurc if named.any() else None,
            }
        )
    return pa.Table.from_pylist(rows)


def hierarchical_table(judged: Judged, taxonomy: Taxonomy) -> pa.Table:
    """Hierarchical precision, recall, F1 and mean tree distance, of the best path and of the rolled-back answer."""
    pairs = zip(OPERATING_POINTS, (judged.path, judged.answer))
    return pa.Table.from_pylist([{"answers": name, **asdict(hierarchical(taxonomy, node, judged.truth))} for name, node in pairs])


def novelty_table(judged: Judged, knows_gallery: bool) -> pa.Table:
    """Novelty detection where novel queries exist: one row, or none when the gallery is unknown or every query is of a known
    taxon."""
    sure = judged.truth > 0
    rows = []
    if knows_gallery and judged.novel.any():
        found = asdict(novelty(judged.novelty[sure], judged.novel[sure]))
        caught, false = judged.flagged[judged.novel], judged.flagged[sure & ~judged.novel]
        rows.append(
            {**found, "flagged_of_novel": float(caught.mean()), "flagged_of_known": float(false.mean()) if len(false) else None}
        )
    names = ("auroc", "fpr95_novel_positive", "fpr95_known_positive", "aupr_novel", "aupr_known")
    schema = pa.schema(
        [(name, pa.float64()) for name in names]
        + [("novel", pa.int64()), ("known", pa.int64()), ("flagged_of_novel", pa.float64()), ("flagged_of_known", pa.float64())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def community_table(judged: Judged, taxonomy: Taxonomy, targets: Sequence[Target]) -> pa.Table:
    """Counts of taxa against true counts per rank, over queries with a true name, with "no answer" and taxa unknown to the
    gallery in one unknown bin."""
    rows = []
    for target in targets:
        asked = target.query >= 0
        true = np.where(judged.known[target.nodes], target.nodes, 0)[target.query[asked]]
        for name, node in zip(OPERATING_POINTS, (judged.path, judged.answer)):
            said = np.maximum(taxonomy.ancestor(node[asked], target.name), 0)
            size = len(taxonomy)
            distance, over, under = bray_curtis(np.bincount(said, minlength=size), np.bincount(true, minlength=size))
            rows.append(
                {
                    "target": target.name,
                    "answers": name,
                    "queries": int(asked.sum()),
                    "bray_curtis": distance,
                    "counted_too_many": over,
                    "counted_too_few": under,
                }
            )
    return pa.Table.from_pylist(rows)


def judged_table(judged: Judged, taxonomy: Taxonomy) -> pa.Table:
    """One row per query: truth, best path, answer, verdict, novel or not."""
    columns = {
        name: _paths(taxonomy, node) for name, node in (("truth", judged.truth), ("best", judged.path), ("answer", judged.answer))
    }
    verdict = pa.array(verdicts(judged, taxonomy).tolist(), pa.string())
    return pa.table(
        {
            "id": pa.array(judged.ids.tolist(), pa.string()),
            **columns,
            "verdict": verdict,
            "novelty": pa.array(judged.novelty, from_pandas=True),
            "novel": judged.novel,
            "called_novel": judged.flagged,
        }
    )


def _paths(taxonomy: Taxonomy, nodes: Array) -> pa.Array:
    some, place = np.unique(nodes, return_inverse=True)
    names = node_paths(taxonomy, some)
    names[some <= 0] = None
    return pa.array(names[place.reshape(-1)].tolist(), pa.string())


EXAMPLES = pa.schema(
    [
        ("kind", pa.string()),
        ("id", pa.string()),
        ("truth", pa.string()),
        ("answer", pa.string()),
        ("rank", pa.string()),
        ("confidence", pa.float64()),
        ("neighbours", pa.list_(pa.struct([("id", pa.string()), ("taxon", pa.string()), ("score", pa.float32())]))),
    ]
)


def naming_examples(judged: Judged, taxonomy: Taxonomy, table: pa.Table, each: int, seed: int) -> pa.Table:
    """Queries to look at: the most confident mistakes, and at random by ``seed`` right answers, roll-backs and no answers."""
    verdict = verdicts(judged, taxonomy)
    deep = judged.answer == judged.path
    confidence = np.nan_to_num(_column(table, "confidence"), nan=0.0)
    rng = np.random.default_rng(seed)
    wrong = np.flatnonzero(verdict == WRONG)
    kinds = {
        "right": rng.permutation(np.flatnonzero((verdict == RIGHT) & deep)),
        "rolled back": rng.permutation(np.flatnonzero((verdict == RIGHT) & ~deep)),
        "wrong": wrong[np.argsort(-confidence[wrong], kind="stable")],
        "no answer": rng.permutation(np.flatnonzero(verdict == NO_ANSWER)),
        "novel": rng.permutation(np.flatnonzero(judged.novel)),
    }
    rows = []
    for kind, found in kinds.items():
        for query in found[:each]:
            near = table.column("neighbours")[int(query)].as_py() if "neighbours" in table.column_names else None
            rank = int(np.asarray(taxonomy.rank)[judged.answer[query]])
            rows.append(
                {
                    "kind": kind,
                    "id": judged.ids[query],
                    "truth": str(taxonomy.names[judged.truth[query]]) if judged.truth[query] > 0 else None,
                    "answer": str(taxonomy.names[judged.answer[query]]) if judged.answer[query] > 0 else None,
                    "rank": taxonomy.ranks[rank] if rank >= 0 else None,
                    "confidence": float(confidence[query]) if judged.answer[query] > 0 else None,
                    "neighbours": near or [],
                }
            )
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def _column(table: pa.Table, name: str) -> Array:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    values: Array = table.column(name).cast(pa.float64()).to_numpy()
    return values
