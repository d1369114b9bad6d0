"""How well a head tells taxa it was not trained on: train it again without some, ask about them and about other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.embed.reader import ImageFiles, ImageReader
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.novelty.protocol import NoveltyRun
from biocosmos.evaluate.report import Report
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.leave_out import LeftOut, leave_out, leave_out_plan
from biocosmos.jobs.predict import predict_images, predict_part
from biocosmos.settings import names_in
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.images import Images
from biocosmos.train.batches.outlier_images import ForeignImages, GeneratedOutliers
from biocosmos.train.batches.taxa import nodes_under
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.training import train_heads

CHIMERAS = ("halves", "quadrants")
FAR_IMAGES = 1000
"""Chimeras of test images, and at most so many foreign ones, that are asked about."""
KNOWN = 5_000
"""Training specimens that detectors learn from, a seeded sample of larger parts."""
HEAD = "head"


def leave_out_heads(
    collection: Collection,
    head: TrainedHead,
    output: Path,
    *,
    whole_groups: bool = False,
    folds: int | None = None,
    most: int | None = None,
    far: Sequence[Path] = (),
    detectors: Sequence[str] | None = None,
    part: str = "test",
    seed: int = 0,
) -> Report:
    """Train the head again without some taxa, once for each or for each fold of several, and report.

    whole_groups: leave out taxa of the second finest rank with all below them, not of the finest; folds: so many trainings in
    all, which leave out several taxa at once; most: taxa in all, drawn by the seed; far: folders of foreign images. Chimeras of
    images of the part asked are always a far kind. Kept in ``output``, killed and gone on at will.

    Raises BiocosmosError: the head has one rank only (for whole groups); no taxon that can be left out.
    """
    settings = settings_of(head)
    ranks = head.taxonomy.ranks
    if whole_groups and len(ranks) < 2:
        raise BiocosmosError(f"the head in {head.folder} has one rank, {ranks[0]}: there are no groups to leave out")
    reference = predict_part(collection, head, part)
    training = head.taxonomy.index(collection.table(["id", *ranks], split=settings.split))
    tested = reference.truth
    gone = nodes_under(head.taxonomy, names_in(settings.outlier_taxa) + names_in(settings.leave_out))
    training, tested = (np.where(gone[np.maximum(nodes, 0)], 0, nodes).astype(np.int32) for nodes in (training, tested))
    rank = ranks[-2] if whole_groups else ranks[-1]
    at_once = 1
    if folds is not None:
        every = leave_out_plan(head.taxonomy, training, tested, rank, most=most, seed=seed)
        at_once = -(-len(every) // max(1, folds))
    plan = leave_out_plan(head.taxonomy, training, tested, rank, at_once=at_once, most=most, seed=seed)

    def train(left_out: LeftOut, folder: Path) -> NoveltyRun:
        without = replace(settings, leave_out=",".join([*names_in(settings.leave_out), *left_out.taxa]))
        train_heads(collection, without, folder / HEAD)
        trained = TrainedHead.load(folder / HEAD, device=str(head.device))
        return novelty_run(collection, trained, left_out, part=part, far=far, reference=reference, seed=seed)

    facts: dict[str, Any] = {"head": head.about(), "part": part, "rank": rank, "far": [str(path) for path in far]}
    return leave_out(plan, train, output, detectors=detectors, provenance={**facts, **_split(reference)})


def novelty_run(
    collection: Collection,
    head: TrainedHead,
    left_out: LeftOut,
    *,
    part: str = "test",
    far: Sequence[Path] = (),
    reference: Predictions | None = None,
    seed: int = 0,
) -> NoveltyRun:
    """What a head that was trained without some taxa says of everything that it is asked about.

    Specimens of the left-out taxa in the training part were not trained on either: they are asked about like those in ``part``.
    """
    settings = settings_of(head)
    left = nodes_under(head.taxonomy, left_out.taxa)
    learnt = predict_part(collection, head, settings.split, only=_sample(collection, head, settings.split, left, seed))
    tested = predict_part(collection, head, part)
    unseen = left[np.maximum(learnt.truth, 0)] & (learnt.truth > 0)
    outlying = nodes_under(head.taxonomy, names_in(settings.outlier_taxa))
    shown = outlying[np.maximum(tested.truth, 0)] & (tested.truth > 0)
    shown_in_training = outlying[np.maximum(learnt.truth, 0)] & (learnt.truth > 0)
    others = {"chimeras": _chimeras(collection, head, tested, seed)}
    for folder in far:
        foreign = ForeignImages(folder, head.preprocessing, most=FAR_IMAGES, seed=seed)
        sizes = ImageReader(ImageFiles(foreign.files), head.preprocessing).log_sizes() if head.wants_sizes else None
        others[folder.name] = predict_images(head, foreign, sizes=sizes)
    asked = tested.subset(~shown)
    return NoveltyRun(
        left_out.name,
        left_out.taxa,
        learnt.subset(~unseen & ~shown_in_training),
        predict_part(collection, head, settings.validation),
        asked.joined(learnt.subset(unseen)) if unseen.any() else asked,
        tested.subset(shown) if shown.any() else None,
        others,
        reference,
    )


def _sample(collection: Collection, head: TrainedHead, split: str, left: npt.NDArray[np.bool_], seed: int) -> list[str]:
    """Ids of all training specimens of the left-out taxa, and of at most KNOWN others, drawn by the seed."""
    table = collection.table(["id", *head.taxonomy.ranks], split=split)
    nodes = head.taxonomy.index(table)
    gone = left[np.maximum(nodes, 0)] & (nodes > 0)
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~gone))[:KNOWN]
    return [str(id_) for id_ in table["id"].take(pa.array(np.sort(np.concatenate([np.flatnonzero(gone), others])))).to_pylist()]


def _chimeras(collection: Collection, head: TrainedHead, tested: Predictions, seed: int) -> Predictions:
    """What the head says of images made of two test specimens of different taxa, by the kinds :data:`CHIMERAS`."""
    ids = [str(id_) for id_ in tested.ids]
    images = Images(collection, ids, head.preprocessing)
    made = GeneratedOutliers(images, tested.truth.astype(np.int64), CHIMERAS, min(FAR_IMAGES, len(tested)), seed)
    sizes = image_sizes(collection, ids)[made.places] if head.wants_sizes else None
    return predict_images(head, made, sizes=sizes)


def settings_of(head: TrainedHead) -> HeadSettings:
    """The settings a head was trained with; those of another version that are unknown here are left out.

    A teacher, or a head that was gone on with, knows the taxa that are to be left out: neither is asked. Attributes beside the
    ranks are not judged, and not learnt.
    """
    known = {field.name for field in fields(HeadSettings)}
    told = {key: value for key, value in head.facts["training"]["settings"].items() if key in known}
    return HeadSettings(**told | {"teacher": "", "with_head": False, "attributes": ""})


def _split(predictions: Predictions) -> dict[str, Any]:
    return {"split": predictions.facts.get("split"), "split_hash": (predictions.facts.get("split") or {}).get("hash")}
