"""Networks over the environment: TaxaBind's as it is published, and folders of ``biocosmos train bind``.

A folder of ours holds ``biocosmos.json`` (kind "environment"), ``model.safetensors`` and a model card; it remembers where its
rasters were, how each band was scaled, and finds them there or beside itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biocosmos.encoders.modality import TRAINED, described
from biocosmos.encoders.model_folder import CARD, card_text, describe, refuse_changed_weights, save_weights
from biocosmos.encoders.places.environment import Environment, EnvironmentEncoder
from biocosmos.encoders.places.public import public_environment
from biocosmos.encoders.weights import filled, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, read_facts
from biocosmos.nn.location.environment import ResidualNet
from biocosmos.places.rasters.folder import METHODS, Rasters

FORMAT = 1
KIND, WEIGHTS = "environment", "model.safetensors"
_WHOLE = Number(1, 1 << 16, whole=True)
RASTERS = {
    "folder": str,
    "beside?": (None, str),
    "bands": [str],
    "mean": [Number()],
    "deviation": [Number(1e-300)],
    "method": METHODS,
    "unknown": ("zero", "none"),
}
"""Shape of what a description says of rasters (:func:`told_rasters`)."""
_SHAPE = {
    "format": FORMAT,
    "kind": KIND,
    "digest": str,
    "shape": {"inputs": _WHOLE, "dim": _WHOLE, "depth": Number(0, 256, whole=True), "dropout": Number(0, 1)},
    "rasters": RASTERS,
    "files": [FILE_NAME],
    "training": {},
}
_TOLD = {"what": "the description of an encoder of the environment", "remedy": "restore it, or train the encoder again"}


def load_over(name: str, rasters: str, network: str, *, zeros: bool, device: str = "auto") -> EnvironmentEncoder:
    """A network over the rasters in a folder that was named. Raises BiocosmosError for other bands than it was trained on."""
    folder = Path(network).expanduser()
    if described(folder).get("kind") == KIND:
        return _trained(folder, name, rasters, zeros, device)
    net = public_environment(folder)
    made = Environment.of(rasters, zeros=zeros)
    return EnvironmentEncoder(name, made, net, device, f"a published network over the environment, {folder.name}")


def load_environment_folder(name: str, *, device: str = "auto") -> EnvironmentEncoder:
    """The encoder in a folder, with the rasters that it remembers. Raises BiocosmosError where either is missing or changed."""
    return _trained(Path(name).expanduser(), name, None, False, device)


def _trained(folder: Path, name: str, rasters: str | None, zeros: bool, device: str) -> EnvironmentEncoder:
    facts = read_facts(folder / TRAINED, _SHAPE, **_TOLD)
    remedy = f"name them, environment:RASTERS@{folder}"
    environment = remembered_rasters(folder, facts["rasters"], rasters, remedy=remedy, zeros=zeros)

    def build() -> ResidualNet:
        return ResidualNet(**{key: facts["shape"][key] for key in ("inputs", "dim", "depth", "dropout")})

    network = filled(build, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    what = str(facts["training"].get("what") or "trained on the environment")
    made = EnvironmentEncoder(name, environment, network, device, what)
    if not zeros:
        refuse_changed_weights(folder, made.digest, facts)
    return made


def remembered_rasters(
    folder: Path, told: Mapping[str, Any], rasters: str | None = None, *, remedy: str, zeros: bool = False
) -> Environment:
    """The rasters that a folder remembers (:func:`told_rasters`), or those in ``rasters`` in their place, scaled as they were.

    Raises BiocosmosError where they are missing, cannot be read, or have other bands; remedy: ends the message.
    """
    opened = Rasters(rasters if rasters is not None else _found(folder, told, remedy))
    if list(opened.bands) != told["bands"]:
        other = next((band for band in told["bands"] if band not in opened.bands), "the same in another order")
        raise BiocosmosError(
            f"{folder} was trained on {len(told['bands'])} bands, and {opened.folder} has others (not {other}): {remedy}"
        )
    scaled = (np.array(told["mean"], np.float64), np.array(told["deviation"], np.float64))
    return Environment(opened, *scaled, method=told["method"], zeros=zeros or told["unknown"] == "zero")


def told_rasters(folder: Path, environment: Environment) -> dict[str, Any]:
    """Where the rasters of a network in ``folder`` are, as named and as seen from it, and how their bands were scaled."""
    where = environment.rasters.folder
    return {"folder": str(where), "beside": _beside(folder, where), **environment.as_dict()}


def _found(folder: Path, told: Mapping[str, Any], remedy: str) -> Path:
    """Where the rasters are: as they were named, else beside the folder as they stood."""
    places = [Path(told["folder"]), *([folder / told["beside"]] if told.get("beside") else [])]
    found: Path | None = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise BiocosmosError(f"{folder} reads the rasters of {told['folder']}, which are not here: {remedy}")
    return found


def save_environment(folder: str | Path, environment: Environment, network: ResidualNet, *, training: Mapping[str, Any]) -> str:
    """Write a network over the environment as a folder that every command takes as an encoder; returns its digest.

    training: facts for ``biocosmos.json`` and the model card; ``what`` is a sentence. Raises BiocosmosError for weights that are
    no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, WEIGHTS, network)
    facts = {
        "format": FORMAT,
        "kind": KIND,
        "digest": EnvironmentEncoder("", environment, network, "cpu").digest,
        "dim": network.dim,
        "shape": network.shape(),
        "rasters": told_rasters(folder, environment),
        "files": [WEIGHTS, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def _beside(folder: Path, where: Path) -> str | None:
    try:
        return Path(os.path.relpath(where.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return None


def _card(name: str, facts: Mapping[str, Any]) -> str:
    told = facts["rasters"]
    return card_text(
        name,
        facts,
        tags=("environment",),
        default="An encoder of the environment trained with biocosmos.",
        weights="",
        reads=f"{len(told['bands'])} bands of rasters, the first of which is {told['bands'][0]}",
        advice="It needs the rasters that it was trained on.",
    )


__all__ = ["RASTERS", "load_environment_folder", "load_over", "remembered_rasters", "save_environment", "told_rasters"]
