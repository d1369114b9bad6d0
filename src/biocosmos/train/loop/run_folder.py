"""The folder of a training run: begun once with its settings, gone on with the same ones only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from biocosmos.encoders.registry import TRAINED, UNFINISHED
from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_facts
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing
from biocosmos.train.loop.checkpoint import FOLDER as CHECKPOINTS
from biocosmos.train.loop.computing import COMPUTING
from biocosmos.train.loop.logs import EPOCHS, EVENTS, STEPS
from biocosmos.train.loop.loop import History
from biocosmos.train.loop.processes import Processes
from biocosmos.train.loop.settings import LoopSettings, flag, from_toml, write_toml

SETTINGS, LABELS, SUMMARY, AUDIT = "settings.toml", "labels.parquet", "run.json", "audit"
_HISTORY = {
    "epochs?": [{}],
    "best?": (None, {}),
    "steps?": Number(0, whole=True),
    "stopped_early?": bool,
    "resumed_at?": Number(0, whole=True),
    "seconds?": Number(0),
    "images_per_second?": Number(0),
    "computing?": {},
}
_MAY_CHANGE = ("device", "workers", "cache_gb", "checkpoint_steps")
"""Settings that a resumed run may have otherwise: they do not change what is computed, on the same kind of device."""


def refuse_own_folder(encoder: str, output: Path) -> None:
    """Raise BiocosmosError where the encoder that a training begins from lies in the folder it would write."""
    if Path(encoder).expanduser().resolve() == output.resolve():
        raise BiocosmosError(f"{output} cannot be trained into its own folder: choose another --output")


def _shown(value: object) -> object:
    return "''" if value == "" else value


def begin_folder(
    output: Path, settings: LoopSettings, where: Processes, *, overwrite: bool = False, leaves: Sequence[str] = ()
) -> None:
    """Make the run's folder, or see that it was begun with these settings; BiocosmosError names the first that differs.

    leaves: files and folders that a finished run of this recipe leaves besides, gone first when it is begun anew.
    """
    if where.first:
        file = next((each for each in (output, *output.parents) if each.exists() and not each.is_dir()), None)
        if file is not None:
            raise BiocosmosError(f"{output}: {file} is a file, and a training is a folder: choose another --output")
        path = output / SETTINGS
        anew = overwrite and path.exists()
        if anew:
            # the encoder goes before what guards it, the settings last: a kill between leaves a folder that can be begun anew
            for name in leaves:
                (output / name).unlink(missing_ok=True) if not (output / name).is_dir() else shutil.rmtree(output / name)
            for name in (TRAINED, SUMMARY, LABELS, guard.RECORD, COMPUTING, STEPS, EPOCHS):
                (output / name).unlink(missing_ok=True)
            for name in (UNFINISHED, CHECKPOINTS, EVENTS, AUDIT):
                shutil.rmtree(output / name, ignore_errors=True)
            path.unlink()
        if path.exists():
            before = from_toml(type(settings), path, {})
            for name, value in asdict(settings).items():
                if name not in _MAY_CHANGE and getattr(before, name) != value:
                    raise BiocosmosError(
                        f"{output} was begun with {flag(name)} {_shown(getattr(before, name))}, not {_shown(value)}: "
                        "use the same settings to go on, another --output, or --overwrite"
                    )
        elif not anew and output.exists() and any(output.iterdir()):
            raise BiocosmosError(f"{output} is not empty and no training was begun in it: choose another --output")
        else:
            output.mkdir(parents=True, exist_ok=True)
            write_toml(settings, path)
    where.barrier()


def finished_run(output: Path) -> tuple[History, dict[str, Any]]:
    """What a finished run's summary says, its history apart. Raises BiocosmosError for a summary that is damaged."""
    facts = read_facts(
        output / SUMMARY, {"history": _HISTORY}, what="the summary of a run", remedy="restore it, or use --overwrite"
    )
    history = facts.pop("history")
    return History(**{each.name: history[each.name] for each in fields(History) if each.name in history}), facts


def finish_run(output: Path, history: History, **more: Any) -> None:
    """Write the summary of a run, which says that it is finished; more: what :func:`finished_run` gives beside the history."""
    with replacing(output / SUMMARY) as temporary:
        temporary.write_text(json.dumps({"history": asdict(history), **more}, indent=1) + "\n", encoding="utf-8")


def part_facts(collection: Collection, settings: LoopSettings) -> dict[str, Any]:
    """What the description of a trained encoder says of what it was trained on."""
    name, _, part = settings.split.rpartition(":")
    split = collection.split(name or "default").describe()
    return {
        "collection": collection.path.name,
        "split": f"{split['name']}, part {part}, hash {split['hash']}",
        "split_hash": split["hash"],
        "part": part,
    }


def training_facts(settings: LoopSettings, history: History) -> dict[str, Any]:
    """What the description of a trained encoder says of how it was trained."""
    return {
        "settings": asdict(settings),
        "metrics": history.epochs,
        "kept": history.best,
        "steps": history.steps,
        "computed in": history.computing,
        "seconds": round(history.seconds, 1),
    }


def keep_record(
    output: Path,
    what: str,
    settings: LoopSettings,
    collection: Collection,
    learnt: guard.Ids,
    watched: guard.Ids = (),
    *,
    stands_on: Sequence[str] | None = None,
    towers: Sequence[str] = (),
    calibrated: guard.Ids = (),
) -> None:
    """Write which specimens were learnt from, and which the kept weights were chosen on, where the guard looks for it.

    watched: the validation specimens; they chose something where the best epoch is kept or training stops when they say so.
    stands_on: encoders it began from, by default that of the settings; towers: sub-folders that get the same record. calibrated:
    validation specimens that thresholds are set on.
    """
    chosen = watched if settings.keep == "best" or settings.patience is not None else ()
    split = collection.split_of(settings.split).hash
    stands_on = [settings.encoder] if stands_on is None else stands_on
    record = guard.Fitted.of(what, fitted=learnt, calibrated=calibrated, chosen=chosen, split=split, stands_on=stands_on)
    for folder in (output, *(output / tower for tower in towers)):
        folder.mkdir(exist_ok=True)
        record.save(folder)


def refuse_trained_validation(held: guard.Ids, learnt: guard.Ids, part: str) -> None:
    """Raise BiocosmosError when specimens of the validation part are trained on."""
    what = f"specimens of validation part '{part}' are trained on"
    guard.refuse_shared(held, learnt, what, "name a part of the same split that is not")
