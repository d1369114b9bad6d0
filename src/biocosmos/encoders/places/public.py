"""Networks of places and of the environment as their authors publish them, from a folder or a file on this machine.

    GeoCLIP          location_encoder_weights.pth, of its package's folder model/weights
    TaxaBind         model.safetensors of its hub repositories, or a checkpoint of its trainers (.ckpt)
    SatCLIP          satclip-vit16-l40.ckpt and the like

Files are read as data: no code in them is run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from biocosmos.encoders.modality import published_file
from biocosmos.encoders.places.models import PlaceModel
from biocosmos.encoders.weights import fill, read_weights
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.nn.location.capsules import SIGMAS, GeoClipPlaces
from biocosmos.nn.location.environment import ResidualNet
from biocosmos.nn.location.harmonics import ANALYTIC, CALCULATIONS, SatClipPlaces

_CAPSULE = re.compile(r"(?:^|.*\.)(LocEnc(\d+)\.(?:capsule|head)\..+)")
_SINES = re.compile(r"(?:^|.*\.)(nnet\.(?:layers\.(\d+)|last_layer)\.(?:weight|bias))")
_LAYER = re.compile(r"(?:^|.*\.)(feats\.(\d+)\..+)")


def public_places(folder: Path) -> PlaceModel:
    """GeoCLIP's, TaxaBind's or SatCLIP's encoder of places. Raises BiocosmosError for a file that holds none of them."""
    path, state, told = _state(folder)
    if any(_SINES.fullmatch(name) for name in state):
        return _satclip(path, state, told)
    found = {match[1]: tensor for name, tensor in state.items() if (match := _CAPSULE.fullmatch(name))}
    scales = sorted({int(match[2]) for name in found if (match := _CAPSULE.fullmatch(name))})
    if not scales:
        raise BiocosmosError(
            f"{path} holds no encoder of places (LocEnc0.capsule...): name the file of GeoCLIP's, TaxaBind's or SatCLIP's"
        )
    shape = _shape(path, found, ("LocEnc0.capsule.0.b", "LocEnc0.capsule.1.weight", "LocEnc0.head.0.weight"))
    (frequencies, _), (hidden, _), (dim, _) = shape
    sigmas = SIGMAS if len(scales) == len(SIGMAS) else [float(place) for place in scales]
    network = GeoClipPlaces(dim, sigmas=sigmas, frequencies=frequencies, hidden=hidden)
    fill(network, found, path)
    return PlaceModel("geoclip", network, source=f"published weights in GeoCLIP's layout, {path.name}")


def _satclip(path: Path, state: Mapping[str, torch.Tensor], told: Mapping[str, Any]) -> PlaceModel:
    """SatCLIP's: how its harmonics were computed stands among the settings of its training."""
    calculation = told.get("harmonics_calculation", ANALYTIC)
    if told.get("le_type", "sphericalharmonics") != "sphericalharmonics" or calculation not in CALCULATIONS:
        raise BiocosmosError(
            f"{path} is not of SatCLIP's published kind: only spherical harmonics under a network of sines are read"
        )
    found = {match[1]: tensor.float() for name, tensor in state.items() if (match := _SINES.fullmatch(name))}
    layers = len({match[2] for name in found if (match := _SINES.fullmatch(name)) and match[2]})
    (hidden, inputs), (dim, _) = _shape(path, found, ("nnet.layers.0.weight", "nnet.last_layer.weight"))
    degrees = math.isqrt(inputs)
    if degrees**2 != inputs:
        raise BiocosmosError(f"{path} takes {inputs:,} numbers of a place, which are no spherical harmonics: restore the file")
    network = SatClipPlaces(dim, degrees=degrees, hidden=hidden, layers=layers, calculation=str(calculation))
    fill(network, found, path)
    return PlaceModel("satclip", network, source=f"published weights in SatCLIP's layout, {path.name}")


def public_environment(folder: Path) -> ResidualNet:
    """TaxaBind's, or SINR's, network over the environment. Raises BiocosmosError for a file that holds none."""
    path, state, _ = _state(folder)
    found = {match[1]: tensor for name, tensor in state.items() if (match := _LAYER.fullmatch(name))}
    if not found:
        raise BiocosmosError(f"{path} holds no network over the environment (feats.0.weight...): name the file of TaxaBind's")
    ((dim, inputs),) = _shape(path, found, ("feats.0.weight",))
    depth = max(int(match[2]) for name in found if (match := _LAYER.fullmatch(name))) - 1
    network = ResidualNet(inputs, dim, depth=depth)
    fill(network, found, path)
    return network


def _state(folder: Path) -> tuple[Path, Mapping[str, torch.Tensor], Mapping[str, Any]]:
    """The file of weights in a folder, or that is named itself, its tensors, and the settings of a training where it has them."""
    path = published_file(folder)
    if path is None:
        raise BiocosmosError(
            f"{folder} holds no weights: name a folder with model.safetensors, location_encoder_weights.pth or satclip-*.ckpt"
        )
    if path.suffix == ".safetensors":
        return path, read_weights(path), {}
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle each raise their own
        raise BiocosmosError(f"cannot read {path}: {first_line(error)}; restore the file") from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else {}
    told = stored.get("hyper_parameters") if isinstance(stored, dict) else None
    tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    return path, tensors, told if isinstance(told, dict) else {}


def _shape(path: Path, state: Mapping[str, torch.Tensor], names: tuple[str, ...]) -> list[tuple[int, int]]:
    """The two dimensions of each of these tensors."""
    for name in names:
        if name not in state or state[name].ndim != 2:
            raise BiocosmosError(f"{path} lacks {name}, which tells how large the network is: restore the file")
    return [(int(state[name].shape[0]), int(state[name].shape[1])) for name in names]


__all__ = ["public_environment", "public_places"]
