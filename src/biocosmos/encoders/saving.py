"""A trained encoder as a folder that every command, timm and open_clip open; written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from biocosmos.encoders.model_card import licence_of, model_card
from biocosmos.encoders.model_folder import CARD, PROJECTION, refuse_no_number
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.reduction.reduced import step_weights, without_reduction
from biocosmos.encoders.registry import TRAINED, UNFINISHED
from biocosmos.encoders.towers import Base, Towers, current_digest, plain_state, with_projection
from biocosmos.encoders.trained_folder import FORMAT, STEPS, finish_interrupted
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.files import is_folder
from biocosmos.nn.projection import Projection
from biocosmos.provenance import encoder_name, now, package_version


def save_encoder(
    folder: str | Path,
    towers: Towers,
    *,
    base: str,
    preprocessing: Preprocessing | None = None,
    training: Mapping[str, Any] | None = None,
    projection: Projection | None = None,
    frozen: bool = False,
    way: Mapping[str, str] | None = None,
) -> str:
    """Write a trained encoder; other files in the folder stay, an encoder that was there is replaced.

    timm towers become a timm folder, open_clip towers (image and text) an open_clip folder, which those libraries open by
    themselves as ``local-dir:FOLDER``; they do not know of the projection. A kill at any moment leaves the former encoder or the
    new one.

    Args:
        towers: the encoder with its trained weights (``trainable`` trains them in place, ``with_weights`` takes a state).
        base: the name of the encoder that training started from, or that ``frozen`` stands on.
        preprocessing: how images must be prepared for it; default that of ``towers``.
        training: facts for the model card and ``biocosmos.json``; see :func:`biocosmos.encoders.model_card.model_card`.
        projection: on top of ``towers``; default the one it has.
        frozen: write the projection alone and take the base from where its name says when it is loaded. ``towers`` is then
            the base as loaded, or that base with its projection.
        way: ``backend`` and ``precision`` that it is to be computed with where nothing else is asked for.

    Returns:
        the digest of the encoder, which loading it will give.

    Raises:
        BiocosmosError: frozen without a projection; weights that are no number; a model that cannot be built again from a folder;
            a folder that cannot be written.
    """
    folder = Path(folder)
    base = encoder_name(base)
    if projection is not None and projection is not towers.projection:
        towers = with_projection(towers, projection, frozen=base if frozen else None)
    towers = replace(towers, preprocessing=preprocessing or towers.preprocessing)
    if frozen and towers.base is not None:
        beneath = towers.base
    else:
        beneath = Base(base, towers.started_from or towers.digest)
        towers = replace(towers, base=None)
    _check(folder, towers, beneath.name, frozen)
    new = folder / f"{UNFINISHED}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finish_interrupted(folder)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        files = [CARD]
        if not frozen:
            files += _write_model(new, without_reduction(towers))
        if steps := step_weights(towers):
            save_file(steps, new / STEPS)
            files.append(STEPS)
        if towers.projection is not None:
            save_file(plain_state(towers.projection), new / PROJECTION)
            files.append(PROJECTION)
        facts = {
            "format": FORMAT,
            "digest": current_digest(towers),
            "frozen": frozen,
            "base": {
                "name": beneath.name,
                "digest": beneath.digest,
                "places": _places(beneath.name, folder),
                "licence": licence_of(beneath.name),
            },
            "architecture": towers.architecture,
            "preprocessing": towers.preprocessing.as_dict(),
            "projection": None if towers.projection is None else towers.projection.settings(),
            **({} if towers.reduction is None else {"reduction": str(towers.reduction)}),
            **({} if way is None else {"way": dict(way)}),
            "files": files,
            "training": dict(training or {}),
            "biocosmos": package_version(),
            "created": now(),
        }
        (new / CARD).write_text(model_card(folder.name, facts), encoding="utf-8")
        (new / TRAINED).write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
        for path in new.iterdir():
            _flush(path)
        new.replace(folder / UNFINISHED)  # from here on the new version is the one that is found
        finish_interrupted(folder)
    except OSError as error:
        raise BiocosmosError(f"cannot save the encoder in {folder}: {first_line(error)}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return str(facts["digest"])


def _check(folder: Path, towers: Towers, base: str, frozen: bool) -> None:
    if frozen:
        if towers.projection is None or towers.base is None:
            raise BiocosmosError("a frozen encoder is saved by its projection: give one")
        if Path(base).resolve() == folder.resolve():
            raise BiocosmosError(f"{folder} cannot be a projection over itself: choose another output folder")
        modules: list[nn.Module] = [towers.projection]
    else:
        if towers.architecture["kind"] == "none":
            raise BiocosmosError(
                f"'{base}' cannot be built again from a folder: keep it frozen and train a projection (--freeze)"
            )
        modules = [towers.whole]
    for module in modules:
        refuse_no_number(folder, module.state_dict())
    if not frozen:
        towers.features()


def _write_model(folder: Path, towers: Towers) -> list[str]:
    if towers.architecture["kind"] == "open_clip":
        from biocosmos.encoders import open_clip_models

        return open_clip_models.write_folder(folder, towers, towers.preprocessing)
    from biocosmos.encoders import timm_models

    return timm_models.write_folder(folder, towers, towers.preprocessing)


def _places(base: str, folder: Path) -> list[str]:
    """Where a base that is a folder stands: as a whole path, and seen from ``folder``, so that both may move together."""
    if not is_folder(base):
        return []
    beside = Path(os.path.relpath(base, folder)).as_posix()
    return [str(Path(base).resolve()), beside if beside.startswith(".") else f"./{beside}"]


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
