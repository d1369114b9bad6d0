"""Train one space for the pictures, barcodes and names of specimens, so that each finds the others.

    specimens of the training part -> a tower for each modality -> unit vectors -> cross entropy of all pairs -> a folder

Gong et al., CLIBD, ICLR 2025 (arXiv:2405.17537). Deviations by default: the encoders stay as they are and projections of their
stored vectors are trained, so that a processor does it in minutes (``tune`` trains more); a batch takes specimens that lack a
modality, and where several belong together they share one unit of probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from biocosmos.encoders.modality import Modality
from biocosmos.encoders.spaces import save_space
from biocosmos.encoders.torch_backend import keep_freed_memory
from biocosmos.errors import Failures
from biocosmos.files import is_folder
from biocosmos.specimens.collection import Collection
from biocosmos.train.contrastive.settings import ContrastiveSettings
from biocosmos.train.contrastive.specimens import ModalRows, modal_rows, resolved
from biocosmos.train.contrastive.task import ModalTask
from biocosmos.train.contrastive.towers.choosing import kind_of, make_sources
from biocosmos.train.contrastive.towers.source import TowerSource
from biocosmos.train.loop.loop import History, fit
from biocosmos.train.loop.processes import Processes, processes
from biocosmos.train.loop.run_folder import (
    SETTINGS,
    SUMMARY,
    begin_folder,
    finish_run,
    finished_run,
    keep_record,
    part_facts,
    refuse_own_folder,
    training_facts,
)


@dataclass(frozen=True)
class Recipe:
    """What one recipe for a space has of its own.

    verb: as a user types it; resolved: the settings with every "auto" said, and notes; kind: the classes of its towers; task: the
    loss and the batches.
    """

    verb: str = "biocosmos train contrastive"
    resolved: Callable[[Collection, Any], tuple[Any, list[str]]] = resolved
    kind: Callable[[Modality, str], type] = kind_of
    task: type[ModalTask] = ModalTask


@dataclass(frozen=True)
class ContrastiveResult:
    """What a training left.

    folder: of the space; settings: with every encoder named; history: figures of every epoch; base: the same at the start;
    rows: what was learnt from; notes: what must be known, in sentences; failures: what could not be read; already_done: nothing
    was computed; main_process: this process is the one that tells the user.
    """

    folder: Path
    settings: ContrastiveSettings
    history: History
    base: dict[str, float]
    rows: ModalRows
    notes: list[str] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)
    already_done: bool = False
    main_process: bool = True


def train_contrastive(
    collection: Collection | str | Path,
    settings: ContrastiveSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Callable[[ModalRows, ContrastiveSettings], None] | None = None,
    recipe: Recipe | None = None,
) -> ContrastiveResult:
    """Train a space and save it in the folder ``output``; every other command takes it, and each tower in it, as an encoder.

    Interrupted, it goes on from its last checkpoint when called again, and ends with the same weights. Under torchrun all
    processes call it alike. ``tell`` is called with what is learnt from, by one process, before training begins.

    Raises BiocosmosError: settings other than those the folder was begun with; a part that is held out, or of which fewer than
    two specimens have two modalities; an encoder of other weights than its column; a loss that is not finite.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    output = Path(output)
    for modality in settings.every:
        if name := getattr(settings, modality):
            refuse_own_folder(name, output)
            if is_folder(name):  # a tower of the space that would be written
                refuse_own_folder(str(Path(name).expanduser().parent), output)
    with processes(settings.device) as where:
        if where.device.type == "cpu":
            keep_freed_memory()
        return _train(collection, settings, output, where, overwrite, tell, recipe or Recipe())


def _train(
    collection: Collection,
    asked: ContrastiveSettings,
    output: Path,
    where: Processes,
    overwrite: bool,
    tell: Callable[[ModalRows, ContrastiveSettings], None] | None,
    recipe: Recipe,
) -> ContrastiveResult:
    settings, notes = recipe.resolved(collection, asked)
    rows = modal_rows(collection, settings)
    failures = Failures()

    def sources() -> dict[Modality, TowerSource]:
        torch.manual_seed(settings.seed)
        return make_sources(rows, settings, where, failures, recipe.kind)

    # what cannot be trained is refused before a folder is begun, or an older run is taken away, with settings that have to change
    early = where.from_first(overwrite or not (output / SETTINGS).exists())
    towers = sources() if early else {}
    begin_folder(output, settings, where, overwrite=overwrite, leaves=settings.every)
    if (output / SUMMARY).exists():
        history, facts = finished_run(output)
        base = facts.get("base") or {}
        return ContrastiveResult(output, settings, history, base, rows, notes, already_done=True, main_process=where.first)
    task = recipe.task(settings, where, rows, towers or sources(), failures)
    if where.first:
        bases = [getattr(settings, modality) for modality in settings.kinds]
        keep_record(
            output,
            f"the space in {output}",
            settings,
            collection,
            rows.ids[: rows.learnt],
            rows.ids[rows.learnt :],
            stands_on=bases,
            towers=settings.kinds,
        )
        if tell is not None:
            tell(rows, settings)
    task.model.to(where.device)
    before = task.validate(task.model.eval()) if where.first else {}
    history = fit(task, settings, output, where, start=before)
    if where.first:
        _save(output, task, history, recipe)
        finish_run(output, history, base=before)
        collection.record_failures(failures)
    where.barrier()
    return ContrastiveResult(output, settings, history, before, rows, notes, failures, main_process=where.first)


def _save(output: Path, task: ModalTask, history: History, recipe: Recipe) -> None:
    task.model.cpu()
    facts = _facts(task, history)
    digests: dict[Modality, str] = {}
    for modality, source in task.sources.items():
        digests[modality] = source.save(output / modality, {**facts, "what": _what(task, recipe, modality)})
    save_space(output, digests, dim=task.settings.width, training={**facts, "what": _what(task, recipe)})


def _what(task: ModalTask, recipe: Recipe, modality: Modality | None = None) -> str:
    encoders = ", ".join(f"{getattr(task.settings, name)} ({name})" for name in task.sources)
    space = f"one space of {encoders}, trained on {task.rows.learnt:,} specimens ({recipe.verb})"
    return f"The {modality} tower of {space}." if modality else f"{space[0].upper()}{space[1:]}."


def _facts(task: ModalTask, history: History) -> dict[str, Any]:
    """What the model cards and the descriptions say of the training."""
    return {
        **part_facts(task.rows.collection, task.settings),
        "rows": task.rows.facts,
        "temperature": task.space.pairs.temperatures(),
        **training_facts(task.settings, history),
    }


__all__ = ["ContrastiveResult", "Recipe", "train_contrastive"]
