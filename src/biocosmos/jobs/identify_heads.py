"""Name images with a trained head, down the tree only as far as a stated error rate allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.evidence.report import evidence_report
from biocosmos.evaluate.report import Report
from biocosmos.identify.answers import EVIDENCE, Answers, answer_table
from biocosmos.identify.confidence.promises import DEFAULT_ALPHA, DEFAULT_DELTA, Promise
from biocosmos.identify.confidence.sets import PredictionSets
from biocosmos.identify.confidence.shift import ShiftTest, shift_test
from biocosmos.identify.evidence.gather import VOTERS, gather, image_reader
from biocosmos.identify.evidence.heat_maps import HeatMapper
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.identify.novelty.distances import DEFAULT_FALSE_ALARM_RATE, p_values
from biocosmos.identify.novelty.known_depth import KnownDepth
from biocosmos.identify.novelty.registry import DEFAULT_DETECTOR, make_detector
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.predict import predict_files, predict_part
from biocosmos.provenance import software
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

Pictures = Callable[[str], bytes | None]


@dataclass
class NamedByHead:
    """Names with what they rest on.

    table: one row per query, see :func:`biocosmos.identify.answers.answer_table`, with the column ``set`` when sets were asked
    for; promise: what was promised; shift: whether the queries look like the calibration specimens; predictions: of the
    queries; known, calibration: of the training and calibration specimens; hits: nearest training specimens of each query;
    failures: what could not be read.
    """

    table: pa.Table
    promise: Promise
    shift: ShiftTest | None
    predictions: Predictions
    known: Predictions
    calibration: Predictions
    hits: Hits | None = None
    failures: Failures = field(default_factory=Failures)

    def notes(self) -> list[str]:
        """What must be known about the promise, in sentences, the gravest first."""
        settings = self.predictions.facts.get("training_settings", {})
        said = [self.shift.warning()] if self.shift is not None and self.shift.warning() else []
        if settings.get("keep") == "best" and self.calibration.facts.get("part") == settings.get("validation"):
            said.append(
                f"the weights were chosen on the part '{settings['validation']}', which calibrates them too: the promise "
                "may be a little too bold; train with --keep last, or give another part with --calibration"
            )
        return [*map(str, said), *self.promise.notes]


def identify_with_head(
    collection: Collection,
    head: TrainedHead,
    *,
    images: Sequence[Path] = (),
    part: str | None = None,
    where: str | None = None,
    error_rate: float = DEFAULT_ALPHA,
    promise: str = "mean",
    delta: float = DEFAULT_DELTA,
    calibration: str | None = None,
    sets: str | None = None,
    novelty: str = DEFAULT_DETECTOR,
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
    views: int = 1,
    seed: int = 0,
) -> NamedByHead:
    """Name ``images``, or the specimens in ``part`` of a split.

    The promise is set on the part ``calibration``, by default the validation part the head was watched on (its last weights are
    kept, so that nothing was chosen there). sets: a rank, for which every query gets a set of taxa that holds the true one
    with probability 1 - error_rate. novelty: a detector of :mod:`biocosmos.identify.novelty`. A query that is outside the
    known at a rank, by ``false_alarm_rate``, is answered above it (:mod:`biocosmos.identify.novelty.known_depth`); the
    answer only gets coarser by that, so that no more of all answers are wrong.

    Raises BiocosmosError: nothing to identify; specimens that the head was trained or calibrated on; an error rate that so few
    calibration specimens cannot promise, naming the smallest they can.
    """
    if bool(images) == (part is not None):
        raise BiocosmosError(
            "nothing to identify: give images, or --part test" if not images else "give images or --part, not both"
        )
    failures = Failures()
    training = head.facts["training"]
    settings = training["settings"]
    calibration = calibration or settings["validation"]
    if not calibration:
        raise BiocosmosError(f"the head in {head.folder} was trained without a validation part: name one with --calibration")
    split = collection.split(settings["split"].rpartition(":")[0] or "default")
    if split.describe()["hash"] != training["split_hash"]:
        raise BiocosmosError(
            f"the split of {collection.path} is not the one that the head in {head.folder} was trained on "
            f"(hash {split.describe()['hash']}, not {training['split_hash']}): train the head again"
        )
    head = head.viewed(views)
    calibrating = predict_part(collection, head, calibration)
    known = predict_part(collection, head, settings["split"])
    if part is None:
        asked = predict_files(head, list(images), collection=collection, failures=failures)
        if not len(asked):
            raise BiocosmosError(f"none of {len(failures):,} images could be read: {failures.reasons()[0][0]}")
        paths: list[str | None] = [str(id_) for id_ in asked.ids]
    else:
        asked = predict_part(collection, head, part, where=where, columns=["image_path"], failures=failures)
        assert asked.columns is not None
        paths = asked.columns["image_path"].to_pylist()
    own = guard.Fitted.of(f"the promise of the head in {head.folder}", calibrated=calibrating.ids, stands_on=[head.folder])
    guard.refuse(asked.ids, own, remedy="identify those of another part of the split")
    made = Promise.fit(calibrating, promise, error_rate, delta=delta, seed=seed)  # type: ignore[arg-type]
    nodes, confidence = made.temperatures.best_path(asked)
    scorer = make_detector(novelty).fit(known, calibrating)
    scores = scorer.scores(asked)
    usual = scorer.scores(calibrating.subset(calibrating.answerable))
    deepest = None
    if len(usual) * false_alarm_rate > 1:
        deepest = KnownDepth(scorer, calibrating, false_alarm_rate).place(asked, scores).level
    method = f"head {head.facts['head']}"
    facts: dict[str, Any] = {
        "method": method,
        "promise": made.to_dict(),
        "novelty": {"score": novelty, "false_alarm_rate": false_alarm_rate, "calibration_specimens": len(calibrating)},
        "head": head.about(),
        "calibration": calibration,
        "views": views,
        "split": split.describe(),
        "taxonomy": head.taxonomy.digest,
        "software": software(),
    }
    hits = _neighbours(known, asked)
    answers = Answers(
        [str(id_) for id_ in asked.ids],
        paths,
        nodes,
        confidence,
        scores,
        p_values(scores, usual),
        hits,
    )
    table = answer_table(
        answers,
        head.taxonomy,
        threshold=made.threshold,
        false_alarm_rate=false_alarm_rate,
        method=method,
        provenance=facts,
        deepest=deepest,
    )
    if sets is not None:
        found = PredictionSets.fit(calibrating, error_rate, sets).sets(asked)
        table = table.append_column("set", pa.array(found.names(), pa.string()))
    shift = shift_test(calibrating.features, asked.features, seed=seed)
    return NamedByHead(table, made, shift, asked, known, calibrating, hits, failures)


def explain(done: NamedByHead, head: TrainedHead, collection: Collection, *, seed: int = 0) -> tuple[Report, Pictures]:
    """A report on why some of the answers were given, and the pictures its page asks for: neighbours, votes, heat maps.

    Specimens of the collection are shown from it, images from their files. Without an encoder that can make heat maps the
    page says so.
    """
    of_files = done.predictions.facts.get("part") is None
    mapper, note = None, ""
    try:
        mapper = HeatMapper(head)
    except BiocosmosError as error:
        note = str(error)
    read = image_reader(head.preprocessing, None if of_files else collection)
    found = gather(done.table, done.predictions, done.hits, mapper=mapper, read=read, seed=seed, note=note)
    title = f"{collection.path.stem}: why these answers"
    split = done.calibration.facts.get("split") or {}
    about: dict[str, Any] = {
        "head": head.about(),
        "promise": done.promise.describe(),
        "encoders": {head.encoder: {}},
        "split": split,
        "split_hash": split.get("hash"),
    }
    return evidence_report(found, title=title, provenance=about), found.thumbnails(collection.image_bytes)


def known_gallery(known: Predictions) -> Gallery:
    """The training specimens by the features of the head, as a gallery."""
    rows = np.flatnonzero(known.features.any(1))
    facts: dict[str, Any] = {"encoder": f"features of {known.facts.get('folder')}", "digest": known.facts.get("digest")}
    return Gallery.build(
        known.ids[rows], known.features[rows], taxa=np.maximum(known.truth[rows], 0), taxonomy=known.taxonomy, provenance=facts
    )


def _neighbours(known: Predictions, asked: Predictions) -> Hits | None:
    if not len(asked) or not bool(asked.features.any(1).all()):
        return None
    return known_gallery(known).search(asked.features, max(EVIDENCE, VOTERS))
