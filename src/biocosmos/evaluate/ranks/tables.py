"""The tables of a report on heads, each from what was asked and what was answered, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval, wilson
from biocosmos.evaluate.numbers.calibration import reliability
from biocosmos.evaluate.numbers.hierarchy import agreement, consistent, path_overlap, severity
from biocosmos.evaluate.numbers.rank_scores import agreement_intervals, top_intervals
from biocosmos.evaluate.numbers.targets import Target, node_paths
from biocosmos.evaluate.ranks.decodings import ALL, Answers, Asked, columns_of, within

Array = npt.NDArray[Any]
Row = dict[str, Any]
Numbers = Callable[[Array], Array]
SPECIMENS = "specimens"
TREE = "tree"
HIERARCHICAL = ("precision", "recall", "f1", "mistake_severity", "mean_severity")


def scopes(asked: Asked, target: Target) -> Iterator[tuple[str, str, Target]]:
    """Branch, "all" or "answerable", and the target of those specimens alone; only where there are any."""
    able = target.answerable(all_vs_all=False)
    for branch, rows in asked.branches():
        for over, keep in (("all", rows), ("answerable", rows & able)):
            part = within(target, keep)
            if (part.query >= 0).any():
                yield branch, over, part


def said_codes(answers: Answers, asked: Asked, target: Target) -> Array:
    """(n,) int64 codes in ``target`` of the answers at its rank, -1 for none."""
    return columns_of(target.nodes, answers.said[:, asked.taxonomy.rank_index(target.name)])


# ---- ranks one by one -----------------------------------------------------------------------------------------------


def level_rows(answers: Answers, asked: Asked, targets: Sequence[Target], ks: Sequence[int], boot: Bootstrap) -> list[Row]:
    """Accuracy, precision, recall, F1 (weighted and macro) and top-k of every branch at every rank, with intervals."""
    rows = []
    for target in targets:
        said, rank = said_codes(answers, asked, target), asked.taxonomy.rank_index(target.name)
        done: dict[bytes, list[tuple[str, str, Interval]]] = {}
        for branch, over, part in scopes(asked, target):
            key = part.query.tobytes()  # "answerable" is "all" where everything is
            if key not in done:
                done[key] = agreement_intervals(part.query, said, len(part), boot)
                if answers.place is not None:
                    # With no more than k taxa to choose from, the k most probable hold every one.
                    choice = [k for k in ks if k < len(part.gallery)]
                    done[key] += top_intervals(part.query, answers.place[rank], choice, len(part), boot)
            counts = part.query_counts()
            about = {"head": answers.name, "branch": branch, "target": target.name, "over": over}
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


def hierarchical_rows(answers: Answers, asked: Asked, boot: Bootstrap) -> list[Row]:
    """Hierarchical precision, recall, F1 and severity of mistakes, per branch."""
    facts = tree_facts(answers, asked)
    rows = []
    for branch, inside in asked.branches():
        for over, keep in (("all", inside & asked.judged), ("answerable", inside & asked.answerable)):
            if not keep.any():
                continue
            kinds, counts = np.unique(facts[keep], axis=0, return_counts=True)
            found = boot.recounted(counts, _tree_numbers(kinds))
            row: Row = {"head": answers.name, "branch": branch, "over": over, "specimens": int(keep.sum())}
            row["mistakes"] = int((facts[keep, 3] > 0).sum())
            for name, value in zip(HIERARCHICAL, found):
                row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            rows.append(row)
    return rows


def tree_facts(answers: Answers, asked: Asked) -> Array:
    """(n, 4) int64: taxa on both paths, answered, true (see :func:`path_overlap`), severity."""
    overlap = path_overlap(answers.said, asked.true)
    return np.concatenate([overlap, severity(asked.taxonomy, answers.deepest, asked.truth)[:, None]], axis=1)


def _tree_numbers(kinds: Array) -> Numbers:
    wrong = (kinds[:, 3] > 0).astype(np.int64)

    def numbers(counts: Array) -> Array:
        both, said, true, climbed = (counts @ kinds).T.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = both / said, both / true, 2 * both / (said + true), climbed / (counts @ wrong), climbed / counts.sum(axis=1)
        return np.stack(columns, axis=1)

    return numbers


def tree_differences(first: Answers, other: Answers, asked: Asked, keep: Array, boot: Bootstrap) -> list[tuple[str, Interval]]:
    """HIERARCHICAL numbers of ``other`` minus those of ``first`` over the specimens ``keep`` (n,) bool, resampled in pairs."""
    facts = np.concatenate([tree_facts(first, asked), tree_facts(other, asked)], axis=1)[keep]
    kinds, counts = np.unique(facts, axis=0, return_counts=True)
    before, after = _tree_numbers(kinds[:, :4]), _tree_numbers(kinds[:, 4:])
    return list(zip(HIERARCHICAL, boot.recounted(counts, lambda drawn: after(drawn) - before(drawn))))


def severity_rows(answers: Answers, asked: Asked) -> list[Row]:
    """How many specimens of each branch are how far from the truth."""
    found = severity(asked.taxonomy, answers.deepest, asked.truth)
    rows = []
    for branch, inside in asked.branches():
        keep = inside & asked.judged
        for ranks in range(len(asked.taxonomy.ranks) + 1):
            count = int((found[keep] == ranks).sum())
            about = {"head": answers.name, "branch": branch, "severity": ranks, "specimens": count}
            rows.append({**about, "share": count / max(int(keep.sum()), 1)})
    return rows


# ---- do the ranks agree? ---------------------------------------------------------------------------------------------


def consistency_rows(name: str, path: Array, ways: Sequence[tuple[str, Array]], asked: Asked, boot: Bootstrap) -> list[Row]:
    """Per way of reading and rank: its accuracy, that of the best path ``path``, their paired difference, and the share of
    specimens whose answers stand on one path."""
    rows = []
    for way, said in ways:
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
                {
                    "head": name,
                    "answers": way,
                    "target": target,
                    "specimens": int(size[0]),
                    "accuracy": float(after.mean()),
                    "best_path_accuracy": float(before.mean()),
                    "difference": change.value,
                    "low": change.low,
                    "high": change.high,
                    "gained": int(gained[0]),
                    "lost": int(lost[0]),
                    **whole,
                }
            )
    return rows


# ---- calibration, single taxa, specimens -----------------------------------------------------------------------------


def calibration_rows(answers: Answers, asked: Asked, targets: Sequence[Target], level: float) -> tuple[list[Row], list[Row]]:
    """Per rank, over all and over answerable specimens: expected calibration error of p along the best path, with the bins."""
    rows: list[Row] = []
    bins: list[Row] = []
    for target in targets if answers.p is not None else ():
        p = answers.p[:, asked.taxonomy.rank_index(target.name)]  # type: ignore[index]
        said = said_codes(answers, asked, target)
        for branch, over, part in scopes(asked, target):
            keep = (part.query >= 0) & ~np.isnan(p)
            if not keep.any():
                continue
            right = said[keep] == part.query[keep]
            found = reliability(p[keep], right, level=level)
            about = {"head": answers.name, "branch": branch, "target": target.name, "over": over}
            numbers = {"mean_p": float(p[keep].mean()), "accuracy": float(right.mean()), "ece": found.ece}
            rows.append({**about, "answers": int(keep.sum()), **numbers})
            arrays = ("lower", "upper", "confidence", "accuracy", "low", "high", "count")
            bins += [
                {**about, **dict(zip(arrays, values))} for values in zip(*(getattr(found, array).tolist() for array in arrays))
            ]
    return rows, bins


def taxon_rows(answers: Answers, asked: Asked, targets: Sequence[Target], confidence: float) -> list[Row]:
    """Every taxon that has specimens or was named: precision, recall (Wilson's interval), F1, what it is taken for."""
    rows = []
    for target in targets:
        said = said_codes(answers, asked, target)
        found = agreement(target.query, said, len(target))
        low, high = wilson(found.right, found.true, confidence)
        able = target.gallery_counts() > 0
        for code in np.flatnonzero((found.true > 0) | (found.named > 0)):
            true = int(found.true[code])
            others = said[(target.query == code) & (said >= 0) & (said != code)]
            most = int(np.bincount(others).argmax()) if len(others) else -1
            rows.append(
                {
                    "head": answers.name,
                    "target": target.name,
                    "taxon": str(target.names[code]),
                    "path": str(target.paths[code]),
                    "answerable": bool(able[code]),
                    "specimens": true,
                    "named": int(found.named[code]),
                    "right": int(found.right[code]),
                    "precision": float(found.precision[code]) if found.named[code] else None,
                    "recall": float(found.recall[code]) if true else None,
                    "recall_low": float(low[code]) if true else None,
                    "recall_high": float(high[code]) if true else None,
                    "f1": float(found.f1[code]),
                    "mostly_taken_for": None if most < 0 else str(target.names[most]),
                    "taken_for": 0 if most < 0 else int((others == most).sum()),
                }
            )
    return rows


def answerable_rows(asked: Asked, targets: Sequence[Target]) -> list[Row]:
    """Per rank: specimens, those the tree does not know, those whose rank is null, and those whose taxon is no class."""
    rows = []
    for target in targets:
        able = target.answerable(all_vs_all=False)
        named = target.query >= 0
        lost = np.unique(target.query[named & ~able])
        strange, unknown = int((asked.truth < 0).sum()), int((asked.truth == 0).sum())
        rows.append(
            {
                "target": target.name,
                "specimens": len(named),
                "not_in_tree": strange,
                "nothing_known": unknown,
                "null": int((~named).sum()) - strange - unknown,
                "judged": int(named.sum()),
                "answerable": int(able.sum()),
                "unanswerable": int((named & ~able).sum()),
                "taxa": int((target.query_counts() > 0).sum()),
                "unanswerable_taxa": len(lost),
                "classes": int((target.gallery_counts() > 0).sum()),
            }
        )
    return rows


def specimen_table(heads: Sequence[Answers], asked: Asked, targets: Sequence[Target]) -> pa.Table:
    """One row per specimen: its true path; per head the answer, its severity, and right or not at every rank; p if one head."""
    columns: dict[str, pa.Array] = {"id": pa.array(asked.ids.tolist(), pa.string()), "truth": _paths(asked, asked.truth)}
    for target in targets:
        columns[f"{target.name} answerable"] = pa.array(target.answerable(all_vs_all=False), mask=target.query < 0)
    for head in heads:
        prefix = f"{head.name}: " if len(heads) > 1 else ""
        columns[f"{prefix}answer"] = _paths(asked, head.deepest)
        climbed = severity(asked.taxonomy, head.deepest, asked.truth)
        columns[f"{prefix}severity"] = pa.array(climbed, pa.int32(), mask=climbed < 0)
        for target in targets:
            right = said_codes(head, asked, target) == target.query
            columns[f"{prefix}{target.name} right"] = pa.array(right, mask=target.query < 0)
            if head.p is not None and len(heads) == 1:
                columns[f"{prefix}{target.name} p"] = pa.array(
                    head.p[:, asked.taxonomy.rank_index(target.name)], from_pandas=True
                )
    return pa.table(columns)


def _paths(asked: Asked, nodes: Array) -> pa.Array:
    some, place = np.unique(nodes, return_inverse=True)
    names = node_paths(asked.taxonomy, np.maximum(some, 0))
    names[some <= 0] = None
    return pa.array(names[place.reshape(-1)].tolist(), pa.string())
