"""Name images, or a part of the collection itself, by whatever names: one job, one set of options, one form of answer."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.encoders.torch_backend import choose_device
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import image_files
from biocosmos.identify.confidence.held_out import HeldOut, Part
from biocosmos.identify.confidence.rules import AnswerRules
from biocosmos.identify.confidence.shift import ShiftTest, shift_test
from biocosmos.identify.identifier import KEPT_FEATURES, Identifier
from biocosmos.identify.keeping import FORMAT, STATE
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.summary import Summary
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.predict import encoder_of_head, file_blocks, part_blocks, predict_part
from biocosmos.jobs.queries import encoder_of_column
from biocosmos.provenance import package_version
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits
from biocosmos.settings import UnusedSetting, settings_of, told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

if TYPE_CHECKING:
    from biocosmos.evaluate.report import Report

TRAIN, CALIBRATION = "train", "val"
APART = ("grouped", "column")
"""Splits whose parts are of other sites or samples, as new images will be: their validation part calibrates better than folds."""
NAMERS, MOST_KEPT = "namers", 8
"""Folder of a collection in which fitted namers are kept, and how many: the ones used last."""
Pictures = Callable[[str], bytes | None]


@dataclass
class Identified:
    """Names with what they rest on.

    table: one row per specimen, see :func:`biocosmos.identify.answers.answer_table`; failures: what could not be read;
    identifier: who named; shift: whether the specimens look like those calibrated on; by_file: whether they are files; notes:
    what must be known, the gravest first; truth, hits: of each specimen, where a report was asked for.
    """

    table: pa.Table
    failures: Failures
    identifier: Identifier
    shift: ShiftTest | None = None
    by_file: bool = False
    notes: tuple[str, ...] = ()
    truth: npt.NDArray[np.int32] | None = None
    hits: Hits | None = None

    @property
    def summary(self) -> Summary:
        """How many were named at which rank."""
        return Summary.of(self.table, self.identifier.namer.taxonomy.ranks, self.failures.errors)


def identify_collection(
    collection: Collection,
    settings: IdentifySettings | None = None,
    *,
    images: Sequence[Path] = (),
    evidence: bool = False,
    **options: Any,
) -> Identified:
    """Name ``images``, or the specimens in ``part`` of a split; no more than a block of them is in memory at once.

    settings, or as options: see :class:`IdentifySettings`; evidence: keep what :func:`explain` needs. Images that cannot be read
    are in ``failures``.

    Raises BiocosmosError: nothing to identify; specimens that the namer was fitted or calibrated on; a promise that so few
    specimens cannot give; an option that the way of naming does not use.
    """
    settings = told(IdentifySettings, **options) if settings is None else settings
    if bool(images) == (settings.part is not None):
        raise BiocosmosError(
            "nothing to identify: give images, or --part test" if not images else "give images or --part, not both"
        )
    failures = Failures()
    files = image_files(list(images), failures)
    identifier = identifier_of(collection, settings, failures)
    blocks = _blocks(collection, identifier, settings, files, failures)
    rng, features, seen = np.random.default_rng(settings.seed), identifier.namer.nothing().features, 0
    tables, truth, hits = [], [], []
    for answered in identifier.stream(blocks, device=_device(settings)):
        said = answered.predictions
        features, seen = _reservoir(features, said.features, seen, rng)
        tables.append(answered.table)
        if evidence:
            truth.append(said.truth)
            hits.append(answered.hits)
    table = identifier.finished(tables, {"part": settings.part, "images": len(files), "where": settings.where})
    if not len(table) and files:
        raise BiocosmosError(f"none of {len(files):,} images could be read: {failures.reasons()[0][0]}")
    shift = shift_test(identifier.features, features, seed=settings.seed) if len(identifier.features) and len(features) else None
    warning = shift.warning() if shift is not None and shift.shifted and identifier.promise is not None else None
    notes = ([warning] if warning else []) + [*_chosen_on(identifier), *identifier.notes]
    return Identified(
        table,
        failures,
        identifier,
        shift,
        settings.part is None,
        tuple(notes),
        np.concatenate(truth) if truth else None,
        _joined(identifier, hits),
    )


def explain(done: Identified, collection: Collection, *, seed: int = 0) -> tuple[Report, Pictures]:
    """A report on what was named and why, for every way of naming, and the pictures its page asks for.

    Neighbours and votes for all, heat maps where a model of images stands behind the namer. Specimens of the collection are
    shown from it, images from their files.
    """
    from biocosmos.evaluate.evidence.report import evidence_report
    from biocosmos.identify.evidence.gather import gather, image_reader
    from biocosmos.identify.evidence.heat_maps import HeatMapper

    namer, mapper, read = done.identifier.namer, None, None
    note = f"the namer '{namer.title}' compares vectors and has no model of images behind it"
    if isinstance(namer, TrainedHead):
        try:
            mapper, note = HeatMapper(namer), ""
        except BiocosmosError as error:
            note = str(error)
        read = image_reader(namer.preprocessing, None if done.by_file else collection)
    found = gather(done.table, namer.taxonomy, done.truth, done.hits, mapper=mapper, read=read, seed=seed, note=note)
    made = done.identifier.provenance()
    split = made["gallery"].get("split") or namer.about().get("split") or {}
    about: dict[str, Any] = {
        "head": {"head": namer.title},
        "summary": done.summary.lines(),
        "promise": done.identifier.describe(),
        "encoders": {str(made["encoder"].get("name", "")): {}},
        "split": split,
        "split_hash": split.get("hash"),
    }
    report = evidence_report(found, title=f"{collection.path.stem}: names by {namer.title}", provenance=about)
    report.caveats[:0] = [*done.summary.lines(), done.identifier.describe(), *done.notes]
    return report, found.thumbnails(collection.image_bytes)


# ---------------------------------------------------------------------- what is named


def _blocks(
    collection: Collection, identifier: Identifier, settings: IdentifySettings, files: Sequence[Path], failures: Failures
) -> Iterable[Specimens]:
    namer = identifier.namer
    if settings.part is not None:
        encoder = None if settings.head is not None else collection.encoder_name(settings.encoder)
        if isinstance(namer, TrainedHead):
            guard.refuse_part(collection, settings.part, namer.folder)
        identifier.refuse_seen(np.array(collection.table(["id"], split=settings.part)["id"].to_pylist(), object))
        where, columns = settings.where, ["image_path"]
        return part_blocks(collection, namer, settings.part, encoder=encoder, where=where, columns=columns, failures=failures)
    how = {"device": settings.device, "precision": settings.precision, "backend": settings.backend}
    if namer.takes == "images":
        for name in ("precision", "backend"):
            if how[name] != "auto":
                raise UnusedSetting(name, f"--{name}", "where images are embedded, and this head has a backbone of its own")
        return file_blocks(namer, files, failures=failures)
    if isinstance(namer, TrainedHead):
        return file_blocks(namer, files, encoder=encoder_of_head(namer, **how), failures=failures)
    loaded = encoder_of_column(collection, collection.encoder_name(settings.encoder), **how)
    return file_blocks(namer, files, encoder=loaded, failures=failures)


def _reservoir(
    kept: npt.NDArray[np.float32], fresh: npt.NDArray[np.float32], seen: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], int]:
    """A uniform sample of at most KEPT_FEATURES rows of a stream (Vitter 1985, algorithm R), and how many rows there were."""
    if not len(fresh):
        return kept, seen
    room = KEPT_FEATURES - len(kept)
    kept = fresh[:room].copy() if not len(kept) else np.concatenate([kept, fresh[: max(room, 0)]])
    for row in range(max(room, 0), len(fresh)):
        place = int(rng.integers(seen + row + 1))
        if place < KEPT_FEATURES:
            kept[place] = fresh[row]
    return kept, seen + len(fresh)


def _joined(identifier: Identifier, hits: Sequence[Hits | None]) -> Hits | None:
    found = [one for one in hits if one is not None]
    if not found or len(found) != len(hits) or identifier.known is None:
        return None
    rows, scores = np.concatenate([one.rows for one in found]), np.concatenate([one.scores for one in found])
    return replace(found[0], rows=rows, scores=scores)


def _device(settings: IdentifySettings) -> str:
    return str(choose_device(settings.device))
