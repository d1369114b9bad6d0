"""Judge the attributes that trained heads answer, on a part of a collection that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate import Report
from biocosmos.files import is_there
from biocosmos.identify.attribute_columns import AskedTask
from biocosmos.identify.attributes import AttributePredictions
from biocosmos.identify.namers.attribute_heads import AttributeHead, has_attributes
from biocosmos.identify.namers.heads import HEAD
from biocosmos.jobs.evaluate_attributes import (
    about_thresholds,
    facts_of,
    judged,
    refuse_shared,
    told_cells,
    truth_of,
    with_thresholds,
)
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.evaluate_tables import called
from biocosmos.jobs.predict import part_blocks
from biocosmos.jobs.who_names import answers_attributes_alone, attribute_head_of
from biocosmos.settings import refuse_changed
from biocosmos.specimens import guard
from biocosmos.specimens.attributes import Attributes
from biocosmos.specimens.collection import Collection

_OF_ATTRIBUTES = ("attributes", "importance", "beta", "absent", "gate")
_OF_NAMES = ("error_rate", "promise", "delta", "novelty", "by")


def ranked_heads(settings: EvaluateSettings) -> tuple[Path, ...]:
    """The heads of the settings that name at ranks.

    Raises UnusedSetting for a setting of attributes where no head answers any, and for one of names where no head gives any.
    """
    ranked = tuple(folder for folder in settings.head if not answers_attributes_alone(folder))
    if not any(has_attributes(folder) for folder in settings.head):
        refuse_changed(settings, _OF_ATTRIBUTES, "with a --head that answers attributes")
    if not ranked and not settings.method:
        refuse_changed(settings, _OF_NAMES, "with a --head that names at ranks")
    return ranked


def judge_head_attributes(collection: Collection, settings: EvaluateSettings) -> dict[str, Report]:
    """A report on the attributes of each head that answers any, by name; none where no head does.

    Specimens that a head was trained on, or that its thresholds were fixed on, are refused by their ids.
    """
    folders = [folder for folder in settings.head if has_attributes(folder)]
    if folders:
        settings.refuse_two_thresholds()
    if settings.protocol is not None or not folders:
        return {}
    gates = () if settings.gate is None else (settings.gate,)
    guard.refuse_part(collection, settings.queries, *folders, *gates, where=settings.where)
    found = {}
    for name, folder in called(folders, [folder.name for folder in folders], "a head").items():
        head = attribute_head_of(folder, device=settings.device, views=settings.views, gate=settings.gate)
        called_so = f"attributes of {name}" if len(folders) > 1 or is_there(folder / HEAD) else "attributes"
        found[called_so] = _judged(collection, settings, head, name if settings.gate is None else f"{settings.gate.name}+{name}")
    return found


def predict_attributes(
    collection: Collection, head: AttributeHead, part: str | None, where: str | None, failures: Failures
) -> AttributePredictions:
    """What attribute heads say of a part; specimens without an image or a vector are in ``failures``.

    Raises BiocosmosError where none has one.
    """
    said = [head.attributes(block) for block in part_blocks(collection, head, part, where=where, failures=failures)]
    if not said:
        raise BiocosmosError(f"part '{part}' has no specimen that the heads in {head.folder} can look at")
    return AttributePredictions.concatenate(said)


def _judged(collection: Collection, settings: EvaluateSettings, head: AttributeHead, name: str) -> Report:
    asked, failures = _asked(head, settings.attributes), Failures()
    said = predict_attributes(collection, head, settings.part, settings.where, failures)
    truth, cells = _truth(collection, settings, asked, settings.part, said)
    said, held = _alike(said, truth), None
    if settings.calibration is not None:
        guard.refuse_part(collection, settings.calibration, *head.folders, where=settings.where, uses=(guard.FITTED,))
        of_held = predict_attributes(collection, head, settings.calibration, settings.where, Failures())
        refuse_shared(said.ids, of_held.ids, settings)
        held = _truth(collection, settings, asked, settings.calibration, of_held)[0], of_held
    fixed = "those that were fixed on the validation part when the head was trained"
    said, how = with_thresholds(said, settings, fixed, held)
    lost = [f"{len(failures):,} specimens of part '{settings.queries}' have no image or vector and were left out."]
    notes = [
        *guard.told(collection, said.ids, *head.folders),
        *told_cells(cells),
        *(lost if len(failures) else []),
        *_unknown(asked, truth),
        *_gated(head),
        about_thresholds(how, said),
    ]
    facts = {"namer": {"name": name, **head.about()}, "thresholds": how, **facts_of(collection, settings)}
    return judged(truth, said, settings, name, facts, notes)


def _asked(head: AttributeHead, attributes: Sequence[str]) -> list[AskedTask]:
    """The questions of a head that are asked about. Raises BiocosmosError for an attribute that it does not answer."""
    names = [task.name for task in head.tasks]
    for name in attributes:
        if name not in names:
            raise BiocosmosError(f"the heads in {head.folder} answer no attribute '{name}': they answer {', '.join(names)}")
    return [task for task in head.tasks if not attributes or task.name in attributes]


def _truth(
    collection: Collection, settings: EvaluateSettings, asked: Sequence[AskedTask], part: str | None, said: AttributePredictions
) -> tuple[Attributes, Failures]:
    """What the collection knows of the tasks that are asked about, without those of which it knows nothing, as they are said."""
    classes = {task.name: task.classes for task in asked}
    truth, cells = truth_of(collection, [task.asked for task in asked], part, settings.where, classes)
    place = {str(id_): row for row, id_ in enumerate(truth.ids)}
    truth = truth.take(np.array([place[str(id_)] for id_ in said.ids], np.int64))
    known = tuple(task for task in truth.tasks if task.known.any())
    if not known:
        raise BiocosmosError(f"nothing is known of {', '.join(classes)} of the specimens of part '{part}': nothing can be judged")
    return Attributes(truth.ids, known), cells


def _alike(said: AttributePredictions, truth: Attributes) -> AttributePredictions:
    return AttributePredictions(said.ids, tuple(said.task(task.name) for task in truth.tasks))


def _unknown(asked: Sequence[AskedTask], truth: Attributes) -> list[str]:
    known = {task.name for task in truth.tasks}
    lacking = [task.name for task in asked if task.name not in known]
    return [f"Nothing is known here of {', '.join(lacking)}, which the head answers: not judged."] if lacking else []


def _gated(head: AttributeHead) -> Sequence[str]:
    if head.gate is None:
        return []
    return [f"Two stages: what {head.gate.folder.name} is sure has nothing has no class of several; its scores there are 0."]
