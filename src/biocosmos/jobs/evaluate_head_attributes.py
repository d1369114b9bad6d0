"""Judge the attributes that trained heads answer, on a part of a collection that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate import Report
from biocosmos.files import is_there
from biocosmos.identify.attributes import AttributePredictions
from biocosmos.identify.namers.attribute_heads import AttributeHead, has_attributes
from biocosmos.identify.namers.heads import HEAD
from biocosmos.jobs.evaluate_attributes import (
    about_thresholds,
    called,
    facts_of,
    judged,
    told_cells,
    truth_of,
    with_thresholds,
    with_tuned,
)
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.predict import part_blocks
from biocosmos.jobs.who_names import answers_attributes_alone, attribute_head_of
from biocosmos.settings import SettingError, UnusedSetting, defaults_of, flag
from biocosmos.specimens import guard
from biocosmos.specimens.attributes import Attributes
from biocosmos.specimens.collection import Collection

_OF_ATTRIBUTES = ("attributes", "importance", "beta", "absent", "gate")
_OF_NAMES = ("error_rate", "promise", "delta", "novelty", "by")


def ranked_heads(settings: EvaluateSettings) -> tuple[Path, ...]:
    """The heads of the settings that name at ranks.

    Raises UnusedSetting for a setting of attributes where no head answers any, and for one of names where no head gives any.
    """
    defaults = defaults_of(EvaluateSettings)
    ranked = tuple(folder for folder in settings.head if not answers_attributes_alone(folder))
    if not any(has_attributes(folder) for folder in settings.head):
        for name in _OF_ATTRIBUTES:
            if getattr(settings, name) != defaults[name]:
                raise UnusedSetting(name, flag(name), "with a --head that answers attributes")
    if not ranked and not settings.method:
        for name in _OF_NAMES:
            if getattr(settings, name) != defaults[name]:
                raise UnusedSetting(name, flag(name), "with a --head that names at ranks")
    return ranked


def judge_head_attributes(collection: Collection, settings: EvaluateSettings) -> dict[str, Report]:
    """A report on the attributes of each head that answers any, by name; none where no head does.

    Specimens that a head was trained on, or that its thresholds were fixed on, are refused by their ids.
    """
    folders = [folder for folder in settings.head if has_attributes(folder)]
    if folders and settings.threshold is not None and settings.calibration is not None:
        raise SettingError("--threshold is one for every class, --calibration sets one for each: give one of them")
    if settings.protocol is not None or not folders:
        return {}
    gates = () if settings.gate is None else (settings.gate,)
    guard.refuse_part(collection, settings.queries, *folders, *gates, where=settings.where)
    found = {}
    for name, folder in called(folders).items():
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
    failures = Failures()
    said = predict_attributes(collection, head, settings.part, settings.where, failures)
    truth, cells = _truth(collection, settings, head, settings.part, said)
    said = _alike(said, truth)
    said, how = with_thresholds(said, settings, "those that were fixed on the validation part when the head was trained")
    if settings.calibration is not None:
        guard.refuse_part(collection, settings.calibration, *guard_folders(head), where=settings.where, uses=(guard.FITTED,))
        held = predict_attributes(collection, head, settings.calibration, settings.where, Failures())
        guard.refuse_shared(
            said.ids,
            held.ids,
            f"specimens of part '{settings.queries}' are in part '{settings.calibration}' too",
            "set thresholds on specimens that are not judged",
        )
        held_truth, _ = _truth(collection, settings, head, settings.calibration, held)
        said, how = with_tuned(said, held_truth, _alike(held, held_truth), settings)
    lost = [f"{len(failures):,} specimens of part '{settings.queries}' have no image or vector and were left out."]
    notes = [
        *guard.told(collection, said.ids, *guard_folders(head)),
        *told_cells(cells),
        *(lost if len(failures) else []),
        *_unknown(settings, head, truth),
        *_gated(head),
        about_thresholds(how, said),
    ]
    facts = {"namer": {"name": name, **head.about()}, "thresholds": how, **facts_of(collection, settings)}
    return judged(truth, said, settings, name, facts, notes)


def guard_folders(head: AttributeHead) -> list[Path]:
    """The folders whose records say what the heads have seen."""
    return [head.folder, *([] if head.gate is None else [head.gate.folder])]


def _truth(
    collection: Collection, settings: EvaluateSettings, head: AttributeHead, part: str | None, said: AttributePredictions
) -> tuple[Attributes, Failures]:
    """What the collection knows of the tasks that are asked about, without those of which it knows nothing, as they are said."""
    wanted = [task for task in head.tasks if not settings.attributes or task.name in settings.attributes]
    names = [task.name for task in head.tasks]
    for name in settings.attributes:
        if name not in names:
            raise BiocosmosError(f"the heads in {head.folder} answer no attribute '{name}': they answer {', '.join(names)}")
    classes = {task.name: task.classes for task in wanted}
    truth, cells = truth_of(collection, [task.asked for task in wanted], part, settings.where, classes)
    place = {str(id_): row for row, id_ in enumerate(truth.ids)}
    truth = truth.take(np.array([place[str(id_)] for id_ in said.ids], np.int64))
    known = tuple(task for task in truth.tasks if task.known.any())
    if not known:
        raise BiocosmosError(f"nothing is known of {', '.join(classes)} of the specimens of part '{part}': nothing can be judged")
    return Attributes(truth.ids, known), cells


def _alike(said: AttributePredictions, truth: Attributes) -> AttributePredictions:
    return AttributePredictions(said.ids, tuple(said.task(task.name) for task in truth.tasks))


def _unknown(settings: EvaluateSettings, head: AttributeHead, truth: Attributes) -> list[str]:
    known = {task.name for task in truth.tasks}
    wanted = [task.name for task in head.tasks if not settings.attributes or task.name in settings.attributes]
    lacking = [name for name in wanted if name not in known]
    return [f"Nothing is known here of {', '.join(lacking)}, which the head answers: not judged."] if lacking else []


def _gated(head: AttributeHead) -> Sequence[str]:
    if head.gate is None:
        return []
    return [f"Two stages: what {head.gate.folder.name} is sure has nothing has no class of several; its scores there are 0."]
