"""Judge attributes: what trained heads say of a part of a collection, by what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate import Report
from biocosmos.identify.attributes import AttributePredictions
from biocosmos.identify.namers.attribute_heads import has_attributes
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

OF_NAMES = ("error_rate", "promise", "delta", "novelty", "by")
"""Settings that only names have."""
OF_ATTRIBUTES = ("attributes", "importance", "beta", "absent", "gate")
"""Settings that only attributes have."""


def judge_attribute_heads(collection: Collection, settings: EvaluateSettings) -> dict[str, Report]:
    """A report for each head of the settings that answers attributes, by name; none where a protocol of names was asked for.

    Specimens that a head was fitted on are refused by their ids. Raises BiocosmosError for an attribute that a head does not
    answer or of which the collection knows nothing; SettingError for an option that no head uses.
    """
    folders = [folder for folder in settings.head if has_attributes(folder)]
    _check(folders, settings)
    if settings.protocol is not None or not folders:
        return {}
    guard.refuse_part(collection, settings.queries, *folders, where=settings.where)
    return {name: _OneHead(collection, folder, name, settings).report() for name, folder in called(folders).items()}


def _check(folders: Sequence[Path], settings: EvaluateSettings) -> None:
    usual = defaults_of(EvaluateSettings)
    others = [folder for folder in settings.head if folder not in folders]
    if others and settings.attributes:
        raise BiocosmosError(
            f"the head in {others[0]} answers no attributes: train one with 'biocosmos train heads --attributes'"
        )
    for name in OF_ATTRIBUTES if not folders else ():
        if getattr(settings, name) != usual[name]:
            raise UnusedSetting(name, flag(name), f"of attributes, and the head in {settings.head[0]} answers none")
    alone = [folder for folder in folders if answers_attributes_alone(folder)]
    if alone and settings.protocol is not None:
        raise SettingError(f"--protocol {settings.protocol} is of names, and the head in {alone[0]} answers attributes alone")
    if len(alone) == len(settings.head) and not settings.method:
        for name in OF_NAMES:
            if getattr(settings, name) != usual[name]:
                raise UnusedSetting(name, flag(name), f"of names, and the head in {alone[0]} answers attributes alone")


class _OneHead:
    """One head, asked about the part that is judged and, where thresholds are set anew, about the part they are set on."""

    def __init__(self, collection: Collection, folder: Path, name: str, settings: EvaluateSettings) -> None:
        self.collection, self.folder, self.name, self.settings = collection, folder, name, settings
        self.head = attribute_head_of(folder, device=settings.device, views=settings.views, gate=settings.gate)
        have = [task.name for task in self.head.asked_tasks]
        if unknown := [each for each in settings.attributes if each not in have]:
            raise BiocosmosError(f"the head in {folder} does not answer '{unknown[0]}': it answers {', '.join(have)}")
        wanted = settings.attributes or have
        self.tasks = [task for task in self.head.asked_tasks if task.name in wanted]
        if settings.gate is not None:
            guard.refuse_part(collection, settings.queries, settings.gate, where=settings.where)

    def report(self) -> Report:
        """What it says of the part ``queries``, judged."""
        settings = self.settings
        truth, failures = self._known(settings.part)
        said, missing = self._said(settings.part)
        truth, said = aligned(truth, said)
        validation = self.head.facts["training"].get("settings", {}).get("validation") or "val"
        said, how = with_thresholds(said, settings, f"fixed when the head was trained, on its part '{validation}'")
        if settings.calibration is not None:
            said, how = self._tuned(said, settings.calibration)
        notes = [*guard.told(self.collection, said.ids, self.folder), *told_cells(failures)]
        if missing:
            notes.append(f"{missing:,} specimens have no image or vector that can be used and are left out.")
        facts = {"namer": {"name": self.name, **self.head.about()}, "thresholds": how, **facts_of(self.collection, settings)}
        return judged(truth, said, settings, self.name, facts, [*notes, about_thresholds(how, said)])

    def _tuned(self, said: AttributePredictions, part: str) -> tuple[AttributePredictions, str]:
        guard.refuse_shared(
            said.ids,
            self.collection.table(["id"], split=part)["id"],
            f"specimens of part '{self.settings.queries}' are in part '{part}' too",
            "set thresholds on specimens that are not judged",
        )
        truth, _ = self._known(part)
        held, _ = self._said(part)
        return with_tuned(said, *aligned(truth, held), self.settings)

    def _known(self, part: str | None) -> tuple[Attributes, Failures]:
        asked = [task.asked or task.name for task in self.tasks]
        classes = {task.name: task.classes for task in self.tasks}
        return truth_of(self.collection, asked, part, self.settings.where, classes)

    def _said(self, part: str | None) -> tuple[AttributePredictions, int]:
        failures = Failures()
        specimens = part_blocks(self.collection, self.head, part, where=self.settings.where, failures=failures)
        blocks = [self.head.attributes(block) for block in specimens]
        if not blocks:
            raise BiocosmosError(f"part '{part}' has no specimen that the head in {self.folder} can look at")
        whole = AttributePredictions.concatenate(blocks)
        return replace(whole, tasks=tuple(whole.task(task.name) for task in self.tasks)), len(failures)


def aligned(truth: Attributes, said: AttributePredictions) -> tuple[Attributes, AttributePredictions]:
    """Both of the specimens of which something is said, in that order."""
    place = {id_: row for row, id_ in enumerate(truth.ids)}
    rows = np.array([place.get(id_, -1) for id_ in said.ids], np.int64)
    return truth.take(rows[rows >= 0]), said.take(rows >= 0)
