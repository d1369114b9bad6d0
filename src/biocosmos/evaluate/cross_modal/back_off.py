"""Rank back-off: at which rank can the nearest barcodes name an image of a species that training never saw?

At species the published answer is right for 8.6 % of such images, so that an answer must stop above it. DNA keys are the known
specimens of a namer, image vectors of the same space are asked of it, and a promise sets the confidence at which an answer may go
a rank deeper (:mod:`biocosmos.identify.confidence.promises`): on images of other unseen species, the validation part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.scores import Row
from biocosmos.evaluate.cross_modal.sides import Array
from biocosmos.evaluate.numbers.bootstrap import wilson
from biocosmos.identify.confidence.held_out import HeldOut, Part, ask
from biocosmos.identify.confidence.promises import Promise, roll_back
from biocosmos.identify.confidence.rules import DEFAULT_KIND, AnswerRules
from biocosmos.identify.identifier import on_logit_scale
from biocosmos.identify.namer import FitOptions
from biocosmos.identify.namers.registry import find_namer
from biocosmos.identify.paths import judge
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery

METHOD = "nearest"
ERROR_RATES = (0.05, 0.1, 0.2)
UNANSWERED = "no answer"


def back_off_scores(
    keys: Gallery,
    calibration: Gallery,
    queries: Gallery,
    *,
    error_rates: Sequence[float] = ERROR_RATES,
    method: str = METHOD,
    kind: str = DEFAULT_KIND,
    seed: int = 0,
) -> tuple[list[Row], list[str]]:
    """Rows of error_rate, rank, and how many answers stop at it; and sentences on error rates that cannot be promised.

    keys: specimens with a name, vectors of one modality (DNA); calibration, queries: vectors of another of the same space
    (image), over the same taxonomy. A row of each rank and of "no answer" has answered (queries whose answer stops there), right,
    wrong, share (of all queries with a name), precision (right of the answered) with its Wilson interval, and reached: the share
    of queries whose answer goes at least so deep. An answer at a rank that the query's own name does not reach counts as wrong.
    """
    namer = find_namer(method).fit(_named(keys, "keys"), FitOptions(seed=seed))
    held_in, asked = _named(calibration, "calibration specimens"), _named(queries, "queries")
    part = ask(namer, held_in, np.arange(len(held_in)))
    held = HeldOut((Part(part, part.subset(np.empty(0, np.int64))),), "the validation part", True)
    held = on_logit_scale(namer, held, AnswerRules(error_rate=error_rates[0], promise=kind), seed)
    said = ask(namer, asked, np.arange(len(asked)))
    rows: list[Row] = []
    refused: dict[float, str] = {}
    for rate in error_rates:
        try:
            promise = Promise.fit(held.predictions, kind, rate, seed=seed)  # type: ignore[arg-type]
        except BiocosmosError as error:
            refused[rate] = str(error)
            continue
        rows += _rows(said, promise, rate)
    if not refused:
        return rows, []
    rates = " and ".join(f"{rate:.0%}" for rate in refused)
    return rows, [f"no error rate of {rates} was promised from images to DNA: {next(iter(refused.values()))}"]


def _rows(said: Predictions, promise: Promise, rate: float) -> list[Row]:
    answers = roll_back(said, promise)
    paths = said.taxonomy.lineage(np.maximum(answers.nodes, 0)).astype(np.int32)
    verdicts = judge(said.taxonomy, paths, said.truth)
    rows = []
    ranks = said.ranks
    for level in range(len(ranks) - 1, -1, -1):
        here = answers.ranks == level
        right = int((verdicts[here, level] == 1).sum())
        rows.append(_row(rate, promise, ranks[level], here, right, float((answers.ranks >= level).mean())))
    none = answers.ranks < 0
    return [*rows, _row(rate, promise, UNANSWERED, none, 0, 1.0)]


def _row(rate: float, promise: Promise, rank: str, here: Array, right: int, reached: float) -> Row:
    answered = int(here.sum())
    counted = answered and rank != UNANSWERED
    low, high = (float(end[0]) for end in wilson(np.array([right]), np.array([answered if counted else 0])))
    facts = {"error_rate": rate, "rank": rank, "answered": answered, "right": right, "wrong": answered - right if counted else 0}
    facts |= {"share": answered / len(here), "reached": reached, "precision": right / answered if counted else float("nan")}
    threshold = promise.threshold if np.isfinite(promise.threshold) else float("nan")
    return {**facts, "precision_low": low, "precision_high": high, "threshold": threshold, "calibrated_on": promise.specimens}


def _named(gallery: Gallery, what: str) -> Gallery:
    if gallery.taxa is None or not (gallery.taxa > 0).any():
        raise BiocosmosError(f"none of the {what} of the rank back-off has a name: name another part")
    return gallery.subset(gallery.taxa > 0)
