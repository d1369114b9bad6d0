"""Train a head that names specimens at every rank of a taxonomy, with its backbone or on stored vectors.

    ranks of the collection -> tree and classes -> backbone and head -> log p of every node -> loss at every rank

The folder that results is what ``biocosmos identify --head`` and ``biocosmos evaluate --head`` take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.torch_backend import keep_freed_memory
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.attribute_heads import ATTRIBUTES
from biocosmos.identify.namers.heads import HEAD, PREDICTIONS
from biocosmos.settings import names_in
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.base_vectors import stored_vectors
from biocosmos.train.batches.taxa import save_taxa
from biocosmos.train.heads.attribute_part import AttributePart
from biocosmos.train.heads.attribute_settings import OF_ATTRIBUTES
from biocosmos.train.heads.attribute_targets import AttributeTargets, attribute_targets, attributes_alike, save_attribute_labels
from biocosmos.train.heads.attribute_task import AttributeTask, FrozenAttributeTask, ImageAttributeTask
from biocosmos.train.heads.frozen_task import FrozenHeadTask
from biocosmos.train.heads.image_task import ImageHeadTask
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import OUTLIER, HeadTargets, head_targets
from biocosmos.train.heads.task import HeadTask
from biocosmos.train.heads.teaching import LEAVES, refuse_what_saw, teaching_of
from biocosmos.train.loop.loop import History, fit
from biocosmos.train.loop.processes import Processes, processes
from biocosmos.train.loop.run_folder import (
    LABELS,
    SUMMARY,
    begin_folder,
    finish_run,
    finished_run,
    keep_record,
    part_facts,
    refuse_own_folder,
    refuse_trained_validation,
    training_facts,
)

HELD = 5_000
"""Validation specimens that are looked at after each epoch, a seeded sample of larger parts."""


@dataclass(frozen=True)
class HeadResult:
    """What a training left.

    folder: the trained head; history: figures of every epoch; targets: what was learnt; failures: images that could not be read;
    already_done: nothing was computed; main_process: this process is the one that tells the user.
    """

    folder: Path
    history: History
    targets: HeadTargets | AttributeTargets
    failures: Failures = field(default_factory=Failures)
    already_done: bool = False
    main_process: bool = True


def train_heads(
    collection: Collection | str | Path,
    settings: HeadSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Callable[[Any], None] | None = None,
) -> HeadResult:
    """Train a head and save it in the folder ``output``.

    Interrupted, it goes on from its last checkpoint when called again, and ends with the same weights. Under torchrun all
    processes call it alike. ``tell`` is called with the targets, by one process, before training begins.

    Raises BiocosmosError: settings other than those the folder was begun with; a rank without a name; fewer than two classes; a
    head that needs feature maps on stored vectors; a loss that is not finite; and what the encoder or collection refuse.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    output = Path(output)
    for name in (settings.encoder, settings.teacher):
        if name:
            refuse_own_folder(name, output)
    with processes(settings.device) as where:
        if where.size > 1 and settings.decouple:
            raise BiocosmosError("--decouple trains in one process only: leave torchrun or --decouple out")
        return _train(collection, settings, output, where, overwrite, tell)


def _train(
    collection: Collection,
    settings: HeadSettings,
    output: Path,
    where: Processes,
    overwrite: bool,
    tell: Callable[[Any], None] | None,
) -> HeadResult:
    if where.device.type == "cpu":
        keep_freed_memory()
    if settings.head in OF_ATTRIBUTES:
        return train_attributes(collection, settings, output, where, overwrite, tell)
    targets = targets_of(collection, settings)
    held = held_out(collection, settings, targets)
    refuse_what_saw(settings, held)
    warned = Failures()
    attributes = attributes_beside(collection, settings, targets, held, where, warned) if settings.attributes else None
    if (history := _finished(output, settings, where, overwrite, leaf=HEAD)) is not None:
        return HeadResult(output, history, targets, already_done=True, main_process=where.first)
    if where.first:
        save_taxa(output / LABELS, targets.ids, targets.nodes, targets.taxonomy)
        if tell is not None:
            tell(targets if attributes is None else targets.beside(attributes.targets.facts))
    if where.first:
        learnt, watched = targets.ids, () if held is None else held.ids
        on = [name for name in (settings.encoder, settings.teacher, settings.match) if name]
        fixed = watched if attributes is not None and attributes.fixes_thresholds else ()
        keep_record(output, f"the head in {output}", settings, collection, learnt, watched, stands_on=on, calibrated=fixed)
    torch.manual_seed(settings.seed)
    task: HeadTask
    if settings.freeze:
        vectors = stored_vectors(collection, settings.encoder, where)
        task = FrozenHeadTask(collection, settings, where, targets, held, vectors, attributes)
    else:
        everything = targets_of(collection, replace(settings, leave_out="", outlier_taxa=""))
        taught = Failures()
        teaching = teaching_of(collection, settings, targets, output, where, taught)
        towers = load_towers(settings.encoder)
        task = ImageHeadTask(collection, settings, where, targets, held, towers, everything, teaching, attributes)
        task.failures.extend(taught)
    task.failures.extend(warned)
    return _trained(
        task, settings, output, where, collection, lambda history: _facts(collection, settings, task.targets, history)
    )


def _finished(output: Path, settings: HeadSettings, where: Processes, overwrite: bool, *, leaf: str) -> History | None:
    """Begins the folder, or goes on with it; the history of a training that came to its end there and left ``leaf``."""
    begin_folder(output, settings, where, overwrite=overwrite, leaves=(HEAD, ATTRIBUTES, PREDICTIONS, *LEAVES))
    return finished_run(output)[0] if (output / SUMMARY).exists() and (output / leaf).exists() else None


def _trained(
    task: HeadTask | AttributeTask,
    settings: HeadSettings,
    output: Path,
    where: Processes,
    collection: Collection,
    facts: Callable[[History], dict[str, Any]],
) -> HeadResult:
    """Train to the end, and keep what it left."""
    history = fit(task, settings, output, where)
    if where.first:
        task.save(output, facts(history))
        finish_run(output, history)
        collection.record_failures(task.failures)
    where.barrier()
    return HeadResult(output, history, task.targets, task.failures, main_process=where.first)


def attributes_beside(
    collection: Collection,
    settings: HeadSettings,
    targets: HeadTargets,
    held: HeadTargets | None,
    where: Processes,
    failures: Failures,
) -> AttributePart:
    """The attributes of the specimens that a head over the ranks learns from, and is watched on."""
    learnt = attribute_targets(collection, settings, failures)
    watched = None if held is None else attributes_alike(collection, learnt, settings.validation).of(held.ids)
    part = AttributePart(settings, learnt.of(targets.ids), watched, where)
    part.criterion()  # refuses weights that do not fit, before a folder is begun
    return part


def train_attributes(
    collection: Collection,
    settings: HeadSettings,
    output: Path,
    where: Processes,
    overwrite: bool,
    tell: Callable[[Any], None] | None,
) -> HeadResult:
    """As :func:`train_heads`, of attributes alone."""
    warned = Failures()
    targets = attribute_targets(collection, settings, warned)
    held = held_attributes(collection, settings, targets)
    part = AttributePart(settings, targets, held, where)
    part.criterion()  # refuses weights that do not fit, before a folder is begun
    if (history := _finished(output, settings, where, overwrite, leaf=ATTRIBUTES)) is not None:
        return HeadResult(output, history, targets, already_done=True, main_process=where.first)
    if where.first:
        save_attribute_labels(output / LABELS, targets)
        if tell is not None:
            tell(targets)
        watched = () if held is None else held.ids
        fixed = watched if part.fixes_thresholds else ()
        what = f"the attribute heads in {output}"
        keep_record(output, what, settings, collection, targets.ids, watched, stands_on=[settings.encoder], calibrated=fixed)
    torch.manual_seed(settings.seed)
    task: AttributeTask
    if settings.freeze:
        vectors = stored_vectors(collection, settings.encoder, where)
        task = FrozenAttributeTask(collection, settings, where, targets, held, vectors)
    else:
        task = ImageAttributeTask(collection, settings, where, targets, held, load_towers(settings.encoder))
    task.failures.extend(warned)
    return _trained(
        task, settings, output, where, collection, lambda history: _attribute_facts(collection, settings, task.targets, history)
    )


def held_attributes(collection: Collection, settings: HeadSettings, targets: AttributeTargets) -> AttributeTargets | None:
    """The specimens of the validation part of which some task knows something, at most :data:`HELD`; None without such a part."""
    if not has_validation(collection, settings):
        return None
    found = attributes_alike(collection, targets, settings.validation, settings.where)
    refuse_trained_validation(found.ids, targets.ids, settings.validation)
    rows = _watched(found.known, settings.seed)
    return found.take(rows) if len(rows) else None


def has_validation(collection: Collection, settings: HeadSettings) -> bool:
    """Whether the split has the validation part. Raises BiocosmosError where it has not, and something watches it."""
    name, _, part = settings.validation.rpartition(":")
    if part and collection.split(name or "default").has(part):
        return True
    if settings.patience is not None:
        raise BiocosmosError(f"--patience watches the part '{part}', which the split does not have: make one, or name another")
    return False


def targets_of(collection: Collection, settings: HeadSettings) -> HeadTargets:
    """What the settings' training part teaches."""
    return head_targets(
        collection,
        ranks=names_in(settings.ranks),
        split=settings.split,
        leave_out=names_in(settings.leave_out),
        outlier_taxa=names_in(settings.outlier_taxa),
    )


def held_out(collection: Collection, settings: HeadSettings, targets: HeadTargets) -> HeadTargets | None:
    """The specimens of the validation part whose class is one of the head's, at most :data:`HELD`; None without such a part."""
    if not has_validation(collection, settings):
        return None
    ranks = targets.taxonomy.ranks
    table = collection.table(["id", *ranks], split=settings.validation)
    nodes = targets.taxonomy.index(table).astype(np.int64)
    ids = np.array(table["id"].to_pylist(), object)
    refuse_trained_validation(ids, targets.ids, settings.validation)
    rows = _watched(np.isin(nodes, targets.classes), settings.seed)
    return HeadTargets(ids[rows], nodes[rows], targets.taxonomy, targets.classes) if len(rows) else None


def _watched(known: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """Rows where a mask holds, in their order: all, or a sample of :data:`HELD`."""
    rows = np.flatnonzero(known)
    return rows if len(rows) <= HELD else np.sort(np.random.default_rng(seed).permutation(rows)[:HELD])


def _facts(collection: Collection, settings: HeadSettings, targets: HeadTargets, history: History) -> dict[str, Any]:
    """What the model card and head.json say of the training."""
    known = int((targets.nodes != OUTLIER).sum())
    ranks = ", ".join(targets.taxonomy.ranks)
    return {
        "what": f"{settings.encoder}, trained with a {settings.head} head to name {len(targets.classes):,} taxa at the ranks "
        f"{ranks} ({known:,} images; biocosmos train heads).",
        **part_facts(collection, settings),
        "labels": f"{len(targets.classes):,} classes; {LABELS} has the specimens",
        "images": known,
        "targets": targets.facts,
        **training_facts(settings, history),
    }


def _attribute_facts(
    collection: Collection, settings: HeadSettings, targets: AttributeTargets, history: History
) -> dict[str, Any]:
    """What the model card and attributes.json say of the training."""
    names = ", ".join(task.name for task in targets.tasks)
    classes = sum(len(task.classes) for task in targets.tasks)
    return {
        "what": f"{settings.encoder}, trained with {settings.head} heads to answer {names} ({len(targets):,} images; biocosmos "
        "train heads --attributes).",
        **part_facts(collection, settings),
        "labels": f"{classes:,} classes; {LABELS} has the specimens",
        "images": len(targets),
        "targets": targets.facts,
        **training_facts(settings, history),
    }
