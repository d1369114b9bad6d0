"""What a namer answers about barcodes of seen and of unseen species: how often right at each rank, promises, calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.barcode.accuracy import groups_of
from biocosmos.evaluate.barcode.provisional import lifted, without_provisional
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, wilson
from biocosmos.evaluate.numbers.calibration import reliability
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.ranks.answered import RIGHT, UNDECIDED, WRONG, verdicts
from biocosmos.evaluate.ranks.names import from_answers
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Row = dict[str, Any]
ANSWER = "the answer"
NAMED = pa.schema(
    [("namer", pa.string()), ("group", pa.string()), ("rank", pa.string())]
    + [(name, pa.int64()) for name in ("queries", "answered", "right", "wrong", "undecided")]
    + [(name, pa.float64()) for name in ("share_answered", "error", "low", "high", "wrong_of_all", "promise", "ece")]
)
BINS = pa.schema(
    [("namer", pa.string()), ("group", pa.string()), ("rank", pa.string()), ("count", pa.int64())]
    + [(name, pa.float64()) for name in ("confidence", "accuracy", "low", "high")]
)


def named_rows(
    answers: pa.Table, queries: Gallery, known: Gallery, species: str, promise: float | None, *, provisional: bool = False
) -> tuple[list[Row], list[Row]]:
    """(per group and rank how many were answered and how many are wrong, bins of confidence), judged by the queries' taxa.

    answers: as :meth:`Identifier.identify` gives them. An answer at or below a rank is wrong there where the name is not the
    query's, and so is a species where the query's species is not in the gallery. Undecided: the query has no name there. The rank
    :data:`ANSWER` is the answer as it was given, at whatever rank: what a promise is about. promise: the share of wrong answers
    that was promised, None for none. Confidence is judged of the best path, however unsure.
    """
    asked, named = from_answers(answers, queries, queries.taxonomy, known, None, None)
    if not provisional:
        asked = replace(asked, truth=lifted(asked.taxonomy, asked.truth))
    targets = [target if provisional else without_provisional(target)[0] for target in asked.targets()]
    if not any(target.name == species for target in targets) or named.stop is None:
        return [], []
    of_species = next(target for target in targets if target.name == species)
    verdict = verdicts(named.stop, asked)
    rows = [
        {"namer": named.name, "group": group, "rank": ANSWER, "promise": promise}
        | _row(mask, *((mask & (verdict == each)) for each in (RIGHT, WRONG, UNDECIDED)))
        for group, mask in groups_of(of_species)
    ]
    bins: list[Row] = []
    for target in targets:
        column = asked.taxonomy.rank_index(target.name)
        reached = named.answered[:, column] >= 0
        said = named.codes(asked, target, named.answered)
        best = named.codes(asked, target)
        sure = np.full(len(best), np.nan) if named.p is None else named.p[:, column]
        for group, mask in groups_of(of_species):
            about: Row = {"namer": named.name, "group": group, "rank": target.name}
            rows.append(about | _counts(target, mask, reached, said) | {"promise": promise})
            judged = mask & (target.query >= 0) & ~np.isnan(sure)
            if judged.any():
                found = reliability(np.clip(sure[judged], 0, 1), best[judged] == target.query[judged])
                rows[-1]["ece"] = found.ece
                columns = (found.confidence, found.accuracy, found.low, found.high, found.count)
                bins += [
                    about
                    | dict(zip(("confidence", "accuracy", "low", "high", "count"), map(float, each)))
                    | {"count": int(each[4])}
                    for each in zip(*columns)
                ]
    return rows, bins


def _counts(target: Target, mask: Array, reached: Array, said: Array) -> Row:
    answered = mask & reached
    judged = answered & (target.query >= 0)
    same = said == target.query
    return _row(mask, judged & same, judged & ~same, answered & ~judged)


def _row(mask: Array, right: Array, wrong: Array, undecided: Array) -> Row:
    good, bad, open_ = int(right.sum()), int(wrong.sum()), int(undecided.sum())
    queries, answered, told = int(mask.sum()), good + bad + open_, good + bad > 0
    low, high = wilson(np.array([bad]), np.array([good + bad]), CONFIDENCE)
    row: Row = {"queries": queries, "answered": answered, "right": good, "wrong": bad, "undecided": open_}
    row |= {"share_answered": answered / queries, "error": bad / (good + bad) if told else None}
    row |= {"low": float(low[0]) if told else None, "high": float(high[0]) if told else None}
    return row | {"wrong_of_all": bad / queries}
