"""The folder of a trained encoder, read: a timm or open_clip folder, or a base by its name, and what is laid on top.

A folder holds ``biocosmos.json`` (its format, the base, the preprocessing, digests, facts about the training), the files
of a timm or open_clip model unless the base is frozen, ``projection.safetensors`` if there is a projection, and a model
card. :mod:`biocosmos.encoders.saving` writes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from biocosmos.encoders.model_folder import OF_PROJECTION, PROJECTION, read_projection
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.registry import TRAINED, UNFINISHED
from biocosmos.encoders.towers import Towers, current_digest, with_projection
from biocosmos.encoders.weights import read_weights
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import FILE_NAME, read_facts, read_versioned
from biocosmos.files import is_folder, is_there

FORMAT = 1
STEPS = "reduction.safetensors"
"""Weights of the stages that reduce tokens, of those methods that have some."""
_SHAPE = {
    "format": object,
    "digest": str,
    "frozen": bool,
    "base": {"name": str, "digest": str, "places?": [str]},
    "architecture?": {"kind": ("timm", "open_clip", "none")},
    "preprocessing": {},
    "projection": (None, OF_PROJECTION),
    "reduction?": str,
    "way?": {"backend": ("torch", "openvino"), "precision": ("float32", "bfloat16")},
    "files": [FILE_NAME],
}
"""Of ``biocosmos.json``."""


def load(folder: Path, find: Callable[[str], Towers]) -> Towers:
    """The encoder in ``folder``; ``find`` loads a base by its name.

    Raises:
        BiocosmosError: a file of the folder is missing, damaged or was changed; the base of a frozen projection is not on
            this machine, or has other weights here.
    """
    finish_interrupted(folder)
    facts = read_description(folder)
    towers = _base(folder, facts, find) if facts["frozen"] else _model(folder, facts)
    towers = replace(towers, preprocessing=Preprocessing.from_dict(facts["preprocessing"]))
    if facts["projection"] is not None:
        projection = read_projection(folder / PROJECTION, facts["projection"])
        towers = with_projection(towers, projection, frozen=facts["base"]["name"] if facts["frozen"] else None)
    if "reduction" in facts:
        towers = _reduced(folder, towers, facts["reduction"])
    if towers.digest != facts["digest"]:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its weights have the digest {towers.digest}, {TRAINED} says "
            f"{facts['digest']}; save it again, or restore the file"
        )
    return replace(towers, facts=facts, started_from=None, source=f"trained from {facts['base']['name']}")


def _reduced(folder: Path, towers: Towers, spec: str) -> Towers:
    from biocosmos.encoders.reduction.reduced import reduced

    try:
        steps = read_weights(folder / STEPS) if is_there(folder / STEPS) else None
        return reduced(towers, Reduction.parse(spec), steps)
    except BiocosmosError as error:
        raise BiocosmosError(f"{folder}: {first_line(error)}") from error


def read_description(folder: Path) -> dict[str, Any]:
    """What ``biocosmos.json`` says. Raises BiocosmosError if it is damaged, of another shape or of another format."""
    path = folder / TRAINED
    told = {"what": "the description of a trained encoder", "remedy": "restore it, or save the encoder again"}
    facts = read_versioned(path, _SHAPE, FORMAT, **told)
    if not facts["frozen"] and "architecture" not in facts:
        raise BiocosmosError(f"{path} does not say 'architecture': restore it, or save the encoder again")
    if gone := [file for file in facts["files"] if not is_there(folder / file)]:
        raise BiocosmosError(f"{folder} lacks {gone[0]}, which belongs to the encoder: restore the file, or save it again")
    return facts


def finish_interrupted(folder: Path) -> None:
    """Move a whole new version, left by a save that was killed at its last step, to its place.

    The new files lie in a folder of their own until then; ``biocosmos.json`` moves last, so that what was begun is always
    finished before anything is read.
    """
    unfinished = folder / UNFINISHED
    if not is_folder(unfinished):
        return
    if unfinished.is_symlink():
        raise BiocosmosError(f"{unfinished} leads out of the folder of the encoder: remove it")
    try:
        described = unfinished / TRAINED
        if is_there(described):
            files = _files(described)
            for name in files:
                if is_there(unfinished / name):
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
        return _files(folder / TRAINED)
    except BiocosmosError:
        return []


def _files(described: Path) -> list[str]:
    """The files that belong to an encoder; plain names, so that nothing outside is moved or removed."""
    remedy = "remove its folder, and save the encoder again"
    return list(
        read_facts(described, {"files": [FILE_NAME]}, what="the description of a trained encoder", remedy=remedy)["files"]
    )


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
        if place != base["name"] and not _is_folder(place):
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


def _is_folder(place: str) -> bool:
    try:
        return is_folder(place)
    except OSError:  # a name that is too long, a loop of links
        return False
