"""The tables of a report on names that are given rank by rank, each from what was asked and what was said, as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval, wilson
from biocosmos.evaluate.numbers.calibration import coverage_curve, reliability
from biocosmos.evaluate.numbers.examples import CONFUSION, confused_pairs
from biocosmos.evaluate.numbers.hierarchy import agreement, consistent, deepest, path_overlap, severity
from biocosmos.evaluate.numbers.rank_scores import agreement_intervals, top_intervals
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.ranks.asked import ALL, Asked
from biocosmos.evaluate.ranks.names import BEST_PATH, Names

Array = npt.NDArray[Any]
Row = dict[str, Any]
Numbers = Callable[[Array], Array]
SPECIMENS = "specimens"
TREE = "tree"
HIERARCHICAL = ("precision", "recall", "f1", "mistake_severity", "mean_severity")
_BINS = ("lower", "upper", "confidence", "accuracy", "low", "high", "count")


# ---- ranks one by one -----------------------------------------------------------------------------------------------


def rank_rows(named: Names, asked: Asked, targets: Sequence[Target], ks: Sequence[int], boot: Bootstrap) -> list[Row]:
    """Accuracy, precision, recall, F1 (weighted and macro) and top-k of every branch at every rank, with intervals."""
    rows = []
    for target in targets:
        said, rank = named.codes(asked, target), asked.taxonomy.rank_index(target.name)
        done: dict[bytes, list[tuple[str, str, Interval]]] = {}
        for branch, over, part in asked.scopes(target):
            key = part.query.tobytes()  # "answerable" is "all" where everything is
            if key not in done:
                done[key] = agreement_intervals(part.query, said, len(part), boot)
                if named.place is not None:
                    # With no more than k taxa to choose from, the k most probable hold every one.
                    choice = [k for k in ks if k < len(part.gallery)]
                    done[key] += top_intervals(part.query, named.place[rank], choice, len(part), boot)
            counts = part.query_counts()
            about = {"namer": named.name, "branch": branch, "target": target.name, "over": over}
            size = {"specimens": int(counts.sum()), "taxa": int((counts > 0).sum())}
            one = branch != ALL and target.name == asked.branch_rank
            for measure, average, value in done[key]:
                if one and average != "micro":
                    continue  # of one true taxon: recall is the accuracy, precision is 1 by construction
                by = target.name if average == "macro" else SPECIMENS
                averages = {"measure": measure, "average": average, "averaged_over": by}
                rows.append({**about, **averages, **value._asdict(), **size})
    return rows


# ---- the tree as a whole ---------------------------------------------------------------------------------------------


def hierarchical_rows(named: Names, asked: Asked, boot: Bootstrap) -> list[Row]:
    """Hierarchical precision, recall, F1, severity of mistakes and distance in the tree, per branch, of the best path and of
    where it was rolled back to."""
    rows = []
    for answers, said in named.points():
        facts = tree_facts(said, asked)
        apart = asked.taxonomy.distance(deepest(said), np.maximum(asked.truth, 0))
        for branch, inside in asked.branches():
            for over, keep in (("all", inside & asked.judged), ("answerable", inside & asked.answerable)):
                if not keep.any():
                    continue
                kinds, counts = np.unique(facts[keep], axis=0, return_counts=True)
                found = boot.recounted(counts, _tree_numbers(kinds))
                row: Row = {"namer": named.name, "answers": answers, "branch": branch, "over": over}
                row |= {"specimens": int(keep.sum()), "mistakes": int((facts[keep, 3] > 0).sum())}
                for name, value in zip(HIERARCHICAL, found):
                    row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
                rows.append({**row, "tree_distance": float(apart[keep].mean())})
    return rows


def tree_facts(said: Array, asked: Asked) -> Array:
    """(n, 4) int64: taxa on both paths, named, true (see :func:`path_overlap`), severity."""
    overlap = path_overlap(said, asked.true)
    return np.concatenate([overlap, severity(asked.taxonomy, deepest(said), asked.truth)[:, None]], axis=1)


def _tree_numbers(kinds: Array) -> Numbers:
    wrong = (kinds[:, 3] > 0).astype(np.int64)

    def numbers(counts: Array) -> Array:
        both, said, true, climbed = (counts @ kinds).T.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = both / said, both / true, 2 * both / (said + true), climbed / (counts @ wrong), climbed / counts.sum(axis=1)
        return np.stack(columns, axis=1)

    return numbers


def tree_differences(first: Names, other: Names, asked: Asked, keep: Array, boot: Bootstrap) -> list[tuple[str, Interval]]:
    """HIERARCHICAL numbers of ``other`` minus those of ``first`` over the specimens ``keep`` (n,) bool, resampled in pairs."""
    facts = np.concatenate([tree_facts(first.said, asked), tree_facts(other.said, asked)], axis=1)[keep]
    kinds, counts = np.unique(facts, axis=0, return_counts=True)
    before, after = _tree_numbers(kinds[:, :4]), _tree_numbers(kinds[:, 4:])
    return list(zip(HIERARCHICAL, boot.recounted(counts, lambda drawn: after(drawn) - before(drawn))))


def severity_rows(named: Names, asked: Asked) -> list[Row]:
    """How many specimens of each branch are how far from the truth, along the best path."""
    found = severity(asked.taxonomy, named.deepest, asked.truth)
    rows = []
    for branch, inside in asked.branches():
        keep = inside & asked.judged
        for ranks in range(len(asked.taxonomy.ranks) + 1):
            count = int((found[keep] == ranks).sum())
            about = {"namer": named.name, "branch": branch, "severity": ranks, "specimens": count}
            rows.append({**about, "share": count / max(int(keep.sum()), 1)})
    return rows


def consistency_rows(named: Names, asked: Asked, boot: Bootstrap) -> list[Row]:
    """Per way of reading and rank: its accuracy, that of the best path, their paired difference, and the share of specimens
    whose names stand on one path. None where there is one way only."""
    rows = []
    path = named.ways.get(BEST_PATH, named.said)
    for way, said in named.ways.items():
        agreed = consistent(asked.taxonomy, said)[asked.judged]
        whole = {"consistent": float(agreed.mean()) if len(agreed) else float("nan"), "judged": len(agreed)}
        for rank, target in enumerate(asked.taxonomy.ranks):
            true = asked.true[:, rank]
            keep = true >= 0
            before, after = path[keep, rank] == true[keep], said[keep, rank] == true[keep]
            gained, lost, size = (np.array([int(x.sum())]) for x in (after & ~before, before & ~after, keep))
            if not size[0]:
                continue
            change = boot.paired_micro(gained, lost, size)
            rows.append(
                {"namer": named.name, "answers": way, "target": target, "specimens": int(size[0])}
                | {"accuracy": float(after.mean()), "best_path_accuracy": float(before.mean()), "difference": change.value}
                | {"low": change.low, "high": change.high, "gained": int(gained[0]), "lost": int(lost[0]), **whole}
            )
    return rows


# ---- calibration -----------------------------------------------------------------------------------------------------


def calibration_rows(named: Names, asked: Asked, targets: Sequence[Target], level: float) -> tuple[list[Row], list[Row]]:
    """Per rank and branch, over all and over answerable specimens: calibration of p as told and, if it was calibrated, as it was
    before; mean risk over all coverages. And the bins."""
    rows: list[Row] = []
    bins: list[Row] = []
    for target in targets if named.p is not None else ():
        assert named.p is not None
        rank = asked.taxonomy.rank_index(target.name)
        p, raw, said = named.p[:, rank], None if named.raw is None else named.raw[:, rank], named.codes(asked, target)
        for branch, over, part in asked.scopes(target):
            keep = (part.query >= 0) & ~np.isnan(p)
            if not keep.any():
                continue
            right = said[keep] == part.query[keep]
            found = reliability(p[keep], right, level=level)
            about = {"namer": named.name, "branch": branch, "target": target.name, "over": over}
            row: Row = {**about, "answers": int(keep.sum()), "mean_p": float(p[keep].mean()), "accuracy": float(right.mean())}
            row |= {"ece": found.ece, "aurc": coverage_curve(p[keep], right).aurc, "raw_mean_p": None, "raw_ece": None}
            if raw is not None and not np.isnan(raw[keep]).any():
                row |= {"raw_mean_p": float(raw[keep].mean()), "raw_ece": reliability(raw[keep], right).ece}
            rows.append(row)
            bins += [
                {**about, **dict(zip(_BINS, values))} for values in zip(*(getattr(found, array).tolist() for array in _BINS))
            ]
    return rows, bins


def coverage_rows(named: Names, asked: Asked, targets: Sequence[Target]) -> list[Row]:
    """Points of accuracy against coverage per rank, over the specimens with a name there."""
    rows: list[Row] = []
    for target in targets if named.p is not None else ():
        assert named.p is not None
        known = target.query >= 0
        p = named.p[known, asked.taxonomy.rank_index(target.name)]
        curve = coverage_curve(p, (named.codes(asked, target) == target.query)[known])
        for threshold, coverage, accuracy in zip(*(a.tolist() for a in (curve.threshold, curve.coverage, curve.accuracy))):
            about = {"namer": named.name, "target": target.name, "threshold": threshold, "coverage": coverage}
            rows.append({**about, "accuracy": accuracy, "risk": 1 - accuracy})
    return rows


# ---- single taxa, specimens ------------------------------------------------------------------------------------------


def taxon_rows(named: Names, asked: Asked, targets: Sequence[Target], confidence: float) -> list[Row]:
    """Every taxon that has specimens or was named: precision, recall (Wilson's interval), F1, what it is taken for."""
    rows = []
    for target in targets:
        said = named.codes(asked, target)
        found = agreement(target.query, said, len(target))
        low, high = wilson(found.right, found.true, confidence)
        able = target.gallery_counts() > 0
        for code in np.flatnonzero((found.true > 0) | (found.named > 0)):
            true = int(found.true[code])
            others = said[(target.query == code) & (said >= 0) & (said != code)]
            most = int(np.bincount(others).argmax()) if len(others) else -1
            rows.append(
                {"namer": named.name, "target": target.name, "taxon": str(target.names[code]), "path": str(target.paths[code])}
                | {"answerable": bool(able[code]), "specimens": true, "named": int(found.named[code])}
                | {"right": int(found.right[code]), "precision": float(found.precision[code]) if found.named[code] else None}
                | {"recall": float(found.recall[code]) if true else None, "recall_low": float(low[code]) if true else None}
                | {"recall_high": float(high[code]) if true else None, "f1": float(found.f1[code])}
                | {"mostly_taken_for": None if most < 0 else str(target.names[most])}
                | {"taken_for": 0 if most < 0 else int((others == most).sum())}
            )
    return rows


def confusion_table(named: Names, asked: Asked, targets: Sequence[Target], shown: Callable[[Array], Array] | None) -> pa.Table:
    """Ordered pairs of true and named taxa, most frequent first; shown: nodes (n,) -> ids of specimens that show them."""
    rows: list[Row] = []
    for target in targets:
        nodes = named.said[:, asked.taxonomy.rank_index(target.name)]
        pictures = None if shown is None else shown(nodes)
        rows += confused_pairs(asked.taxonomy, target, named.codes(asked, target), asked.ids, pictures)
    return pa.Table.from_pylist(rows, schema=CONFUSION)


def answerable_rows(asked: Asked, targets: Sequence[Target]) -> list[Row]:
    """Per rank: specimens, those the tree does not know, those whose rank is null, and those whose taxon the namer lacks."""
    rows = []
    strange, unknown = int((asked.truth < 0).sum()), int((asked.truth == 0).sum())
    for target in targets:
        able, named = target.answerable(all_vs_all=False), target.query >= 0
        lost = np.unique(target.query[named & ~able])
        rows.append(
            {"target": target.name, "kind": "rank", "specimens": len(named), "not_in_tree": strange, "nothing_known": unknown}
            | {"null": int((~named).sum()) - strange - unknown, "judged": int(named.sum()), "answerable": int(able.sum())}
            | {"unanswerable": int((named & ~able).sum()), "taxa": int((target.query_counts() > 0).sum())}
            | {"unanswerable_taxa": len(lost), "classes": int((target.gallery_counts() > 0).sum())}
        )
    return rows
