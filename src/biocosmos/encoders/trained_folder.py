"""The folder of a trained encoder, read: a timm or open_clip folder, or a base by its name, and what is laid on top.

A folder holds ``biocosmos.json`` (its format, the base, the preprocessing, digests, facts about the training), the files
of a timm or open_clip model unless the base is frozen, ``projection.safetensors`` if there is a projection, and a model
card. :mod:`biocosmos.encoders.saving` writes it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import TRAINED, UNFINISHED
from biocosmos.encoders.towers import Towers, current_digest, with_projection
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.nn.projection import Projection

FORMAT = 1
PROJECTION = "projection.safetensors"
CARD = "README.md"


def load(folder: Path, find: Callable[[str], Towers]) -> Towers:
    """The encoder in ``folder``; ``find`` loads a base by its name.

    Raises:
        BiocosmosError: a file of the folder is missing, damaged or was changed; the base of a frozen projection is not on
            this machine, or has other weights here.
    """
    finish_interrupted(folder)
    facts = read_facts(folder)
    towers = _base(folder, facts, find) if facts["frozen"] else _model(folder, facts)
    towers = replace(towers, preprocessing=Preprocessing.from_dict(facts["preprocessing"]))
    if facts["projection"] is not None:
        projection = _projection(folder, facts["projection"])
        towers = with_projection(towers, projection, frozen=facts["base"]["name"] if facts["frozen"] else None)
    if towers.digest != facts["digest"]:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its weights have the digest {towers.digest}, {TRAINED} says "
            f"{facts['digest']}; save it again, or restore the file"
        )
    return replace(towers, facts=facts, started_from=None, source=f"trained from {facts['base']['name']}")


def read_facts(folder: Path) -> dict[str, Any]:
    """What ``biocosmos.json`` says. Raises BiocosmosError if it is damaged or of another format."""
    path = folder / TRAINED
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = facts["format"]
        missing = [key for key in ("digest", "frozen", "base", "preprocessing", "projection", "files") if key not in facts]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BiocosmosError(f"{path} is not the description of a trained encoder ({first_line(error)}): restore it") from error
    if version != FORMAT:
        raise BiocosmosError(f"{path} has format {version}, this version of biocosmos reads {FORMAT}: update biocosmos")
    if missing:
        raise BiocosmosError(f"{path} does not say '{missing[0]}': restore it, or save the encoder again")
    if gone := [file for file in facts["files"] if not (folder / file).exists()]:
        raise BiocosmosError(f"{folder} lacks {gone[0]}, which belongs to the encoder: restore the file, or save it again")
    return facts


def finish_interrupted(folder: Path) -> None:
    """Move a whole new version, left by a save that was killed at its last step, to its place.

    The new files lie in a folder of their own until then; ``biocosmos.json`` moves last, so that what was begun is always
    finished before anything is read.
    """
    unfinished = folder / UNFINISHED
    if not unfinished.is_dir():
        return
    try:
        described = unfinished / TRAINED
        if described.exists():
            files = json.loads(described.read_text(encoding="utf-8"))["files"]
            for name in files:
                if (unfinished / name).exists():
                    (unfinished / name).replace(folder / name)
            for name in _former_files(folder):
                if name not in files:
                    (folder / name).unlink(missing_ok=True)
            described.replace(folder / TRAINED)
        shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise BiocosmosError(
            f"saving {folder} was interrupted and cannot be finished ({first_line(error)}): let it be written to, and try again"
        ) from error


def _former_files(folder: Path) -> list[str]:
    try:
        return list(json.loads((folder / TRAINED).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _model(folder: Path, facts: dict[str, Any]) -> Towers:
    kind = facts["architecture"]["kind"]
    if kind == "open_clip":
        from biocosmos.encoders import open_clip_models

        towers = open_clip_models.load_folder(folder)
    else:
        from biocosmos.encoders import timm_models

        towers = timm_models.load_folder(folder)
    return replace(towers, digest=current_digest(towers))


def _base(folder: Path, facts: dict[str, Any], find: Callable[[str], Towers]) -> Towers:
    """The base by its name; if that is a folder, also where it stood, and where it stands beside this one."""
    base = facts["base"]
    places = [base["name"], *(base.get("places") or [])]
    places = [str(folder / place) if place.startswith(".") and place != base["name"] else place for place in places]
    found: list[str] = []
    problem: BiocosmosError | None = None
    for place in places:
        if place != base["name"] and not Path(place).is_dir():
            continue
        try:
            towers = find(place)
        except BiocosmosError as error:
            problem = problem or error
            continue
        if towers.digest == base["digest"]:
            return towers
        found.append(towers.digest)
    if found:
        raise BiocosmosError(
            f"{folder} is a projection over '{base['name']}' with weights {base['digest']}, but here '{base['name']}' has "
            f"weights {found[0]}: bring the base it was trained on, or train it again on this one"
        )
    raise BiocosmosError(f"{folder} is a projection over '{base['name']}', which cannot be loaded: {problem}")


def _projection(folder: Path, settings: dict[str, Any]) -> Projection:
    path = folder / PROJECTION
    try:
        projection = Projection(**settings)
        projection.load_state_dict(load_file(path))
    except BiocosmosError:
        raise
    except Exception as error:  # safetensors, torch and the file system each raise their own
        raise BiocosmosError(f"cannot read {path}: {first_line(error)}; restore the file, or train again") from error
    return projection.eval()
