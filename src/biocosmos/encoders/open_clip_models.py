"""open_clip models, image and text towers: from a checkpoint file, a local folder, or this machine's caches."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

from biocosmos.encoders.cache import hub_folder, not_here, open_clip_checkpoints
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import Towers, plain_state, weights_digest
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import Number, read_facts
from biocosmos.files import is_file, is_there
from biocosmos.unfinished import scratch_folder

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
_TOKENIZER = ("clean", "strip_sep_token", "language")
_SIDE = Number(1, 1 << 20, whole=True)
_TOWER = {"width?": _SIDE, "image_size?": (_SIDE, [_SIDE]), "layers?": (Number(1, 512, whole=True), [Number(1, 512, whole=True)])}
_SHAPE: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": _SIDE,
        "vision_cfg": {**_TOWER, "timm_model_name?": (None, str)},
        "text_cfg": {
            **_TOWER,
            "context_length?": _SIDE,
            "vocab_size?": Number(1, 1 << 24, whole=True),
            "hf_model_name?": (None, str),
            "hf_tokenizer_name?": (None, str),
            "tokenizer_kwargs?": (None, {str: (str, bool)}),
        },
    },
    "preprocess_cfg?": (None, {}),
}
_RESIZE = {"shortest": "crop", "longest": "pad", "squash": "squash"}


class _Image(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def trained_part(self) -> nn.Module:
        """The image tower without the text tower beside it."""
        return _Visual(self.model.visual)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(x)  # type: ignore[operator, no-any-return]


class _Visual(nn.Module):
    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor | tuple[torch.Tensor, ...] = self.visual(x)
        return features[0] if isinstance(features, tuple) else features  # CoCa gives the tokens too


class _Text(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model.encode_text(tokens)  # type: ignore[operator, no-any-return]


def load_tag(name: str, tag: str, full_name: str) -> Towers:
    """Architecture and pretrained tag, as open_clip lists them, downloaded before."""
    _check_architecture(name)
    config = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BiocosmosError(f"open_clip {open_clip.__version__} has no weights '{tag}' for {name}: choose of {tags}")
    for path in _possible_files(config):
        if is_file(path):
            return _loaded(name, str(path), config)
    raise not_here(full_name)


def load_checkpoint(name: str, path: str | Path) -> Towers:
    """Architecture ``name`` with the weights in the file ``path``."""
    _check_architecture(name)
    if not is_file(path):
        raise BiocosmosError(f"no checkpoint file {path}")
    return _loaded(name, str(path), {})


def load_folder(folder: str | Path) -> Towers:
    """A folder with open_clip_config.json and weights, as open_clip saves it and the hub keeps it."""
    folder = Path(folder)
    _check_configuration(folder / CONFIG)
    if not any(next(folder.glob(pattern), None) for pattern in ("*.safetensors", "*.bin", "*.pth", "*.pt")):
        raise BiocosmosError(f"no weights in {folder}: expected open_clip_model.safetensors or open_clip_pytorch_model.bin")
    return _loaded(f"local-dir:{folder}", None, {})


def at_size(towers: Towers, size: int) -> Towers:
    """The model for ``size`` x ``size`` pixels; open_clip resamples position embeddings when it loads weights of another size."""
    configuration = copy.deepcopy(towers.architecture["model"])
    configuration["vision_cfg"]["image_size"] = size
    changed = replace(towers, architecture={"kind": "open_clip", "model": configuration})
    with scratch_folder() as place:
        write_folder(place, changed, towers.preprocessing)
        loaded = load_folder(place)
    text = None if towers.text is None else loaded.text
    return replace(changed, image=loaded.image, text=text)


def write_folder(folder: Path, towers: Towers, preprocessing: Preprocessing) -> list[str]:
    """Write both towers as :func:`load_folder` and open_clip (``local-dir:FOLDER``) read them; returns the files' names."""
    model: Any = towers.image.model
    background = preprocessing.background
    prepared = {
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "resize_mode": {word: mode for mode, word in _RESIZE.items()}[preprocessing.resize],
        "fill_color": 0 if background == "border" else int(background[0]),
    }
    config = {"model_cfg": towers.architecture["model"], "preprocess_cfg": prepared}
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(plain_state(model), folder / WEIGHTS, metadata={"format": "pt"})
    before = {path.name for path in folder.iterdir()}
    if config["model_cfg"].get("text_cfg", {}).get("hf_tokenizer_name"):
        towers.tokenize.save_pretrained(str(folder))  # type: ignore[union-attr]
    return [CONFIG, WEIGHTS, *sorted({path.name for path in folder.iterdir()} - before)]


def _loaded(name: str, weights: str | None, tag_config: Mapping[str, Any]) -> Towers:
    """Build the model and load every tensor (open_clip refuses a checkpoint that lacks one)."""
    try:
        model = open_clip.create_model(
            name,
            pretrained=weights,
            pretrained_text=False,
            require_pretrained=True,
            force_quick_gelu=bool(tag_config.get("quick_gelu", False)),
            force_preprocess_cfg={
                key: tag_config[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in tag_config
            },
        )
        tokenizer = open_clip.get_tokenizer(name, **_no_code(name))
    except Exception as error:  # open_clip, torch, safetensors, transformers: each raises its own
        raise BiocosmosError(f"cannot load {weights or name}: {' '.join(str(error).split())[:300]}") from error
    try:
        preprocessing = _preprocessing(model)
    except (TypeError, ValueError, LookupError, BiocosmosError) as error:
        raise BiocosmosError(f"{weights or name} does not say how images are prepared for it: {first_line(error)}") from error
    model = model.eval()
    configuration = _configuration(name)
    if tag_config.get("quick_gelu"):
        configuration["quick_gelu"] = True
    return Towers(
        _Image(model),
        preprocessing,
        weights_digest(model.state_dict()),
        text=_Text(model),
        tokenize=tokenizer,
        source=weights or name.removeprefix("local-dir:"),
        architecture={"kind": "open_clip", "model": configuration},
    )


def _no_code(name: str) -> dict[str, bool]:
    """For transformers, which reads the tokenizer of some models and would ask whether it may run their code."""
    return {"trust_remote_code": False} if _configuration(name).get("text_cfg", {}).get("hf_tokenizer_name") else {}


def _configuration(name: str) -> dict[str, Any]:
    """The model's configuration as open_clip_config.json holds it under "model_cfg"."""
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        return dict(_check_configuration(folder / CONFIG))
    return copy.deepcopy(dict(open_clip.get_model_config(name)))


def _check_configuration(path: Path) -> dict[str, Any]:
    """The "model_cfg" of a folder, which is data: nothing in it leads to code, to another folder or to the network.

    Raises BiocosmosError. The tokenizer of a folder is read by transformers, which runs Python files beside it if it is told to.
    """
    remedy = "restore it, or save the encoder again"
    config: dict[str, Any] = read_facts(path, _SHAPE, what="the configuration of an open_clip model", remedy=remedy)["model_cfg"]
    text, vision = config.get("text_cfg") or {}, config.get("vision_cfg") or {}
    if refused := sorted(set(text.get("tokenizer_kwargs") or {}) - set(_TOKENIZER)):
        raise BiocosmosError(f"{path}: tokenizer_kwargs may not say '{refused[0]}': remove it if you trust the rest")
    for name in (text.get("hf_model_name"), vision.get("timm_model_name")):
        if name and (name.startswith((".", "~", "/")) or ":" in name or "\\" in name or is_there(name)):
            raise BiocosmosError(f"{path}: '{name}' leads to another folder, and must be the name of a model")
    return config


def _check_architecture(name: str) -> None:
    if name not in open_clip.list_models():
        import difflib

        close = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "see open_clip.list_models()"
        raise BiocosmosError(f"open_clip {open_clip.__version__} has no model '{name}': {hint}")


def _possible_files(config: Mapping[str, Any]) -> list[Path]:
    """Where open_clip's own download would have put these weights, safetensors first."""
    files = []
    if repository := config.get("hf_hub"):
        repository, _, file = repository.rpartition("/")
        folder = hub_folder(repository)
        if folder is not None:
            names = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
            stems = [name.rsplit(".", 1)[0] + ".safetensors" for name in names]
            files += [folder / name for name in (*stems, *names)]
    if address := config.get("url"):
        files.append(open_clip_checkpoints() / Path(address).name)
    return files


def _preprocessing(model: nn.Module) -> Preprocessing:
    config: dict[str, Any] = model.visual.preprocess_cfg  # type: ignore[assignment, union-attr]
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise BiocosmosError(f"models with a {height} x {width} input are not supported: only square ones")
    fill = int(config.get("fill_color", 0))
    return Preprocessing(
        size=height,
        resize=_RESIZE[config.get("resize_mode", "shortest")],  # type: ignore[arg-type]
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        background=(fill, fill, fill),
    )
