"""What a training run is told: one frozen dataclass, a TOML file in the run's folder, flags that override it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from biocosmos.encoders.registry import DEFAULT
from biocosmos.errors import BiocosmosError
from biocosmos.provenance import encoder_name
from biocosmos.specimens import guard
from biocosmos.tables import replacing

_POSITIVE = ("epochs", "batch_size", "accumulate", "lr", "centre_lr_factor", "patience", "checkpoint_steps", "size", "test_size")


@dataclass(frozen=True)
class LoopSettings:
    """What every recipe shares.

    Attributes:
        encoder: what training starts from, and stands on where only something on top of its stored vectors is trained.
        split: the training part, "train" or of a named split "mine:train"; validation: the part that is watched (and by which a
            head is later calibrated), never a test part; "" for none.
        epochs: passes over the training part.
        batch_size: images per process and forward pass.
        accumulate: forward passes whose mean gradient makes one step.
        lr: highest learning rate of the backbone.
        centre_lr_factor: the class centres learn so many times as fast (10, as published for UNICOM's fine-tuning).
        weight_decay: of AdamW, on weights of two or more dimensions only.
        warmup: share of all steps in which the rate rises, 0..1.
        clip: largest norm of the backbone's gradient; 0 leaves it alone.
        precision: "auto" (bfloat16 where the hardware computes in it), "float32" or "bfloat16"; weights stay float32.
        ema: decay per step of the exponential moving average that is validated and kept; 0 is none.
        patience: epochs without a better validation after which training stops; None never stops early.
        keep: "best" keeps the weights of the best validation, "last" those of the end.
        checkpoint_steps: steps between checkpoints, besides the one after each epoch.
        seed: of the order, the augmentation, the sampled centres and dropout.
        device: "auto", "cpu", "cuda" or "mps".
        workers: threads that decode images; None is one per core.
        cache_gb: prepared images are kept in memory, uint8, when all of them take less, GiB.
    """

    encoder: str = DEFAULT
    split: str = "train"
    validation: str = "val"
    epochs: int = 8
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 3e-4
    centre_lr_factor: float = 10.0
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 5.0
    precision: str = "auto"
    ema: float = 0.0
    patience: int | None = None
    keep: str = "best"
    checkpoint_steps: int = 500
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    cache_gb: float = 2.0

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name, None)
            if value is not None and not value > 0:
                raise BiocosmosError(f"{flag(name)} must be above 0, not {value}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise BiocosmosError(f"--precision '{self.precision}' is not known: choose auto, float32 or bfloat16")
        if self.seed < 0:
            raise BiocosmosError(f"--seed must be at least 0, not {self.seed}")
        for name, low, high in (("warmup", 0.0, 1.0), ("ema", 0.0, 1.0)):
            if not low <= getattr(self, name) < high:
                raise BiocosmosError(f"{flag(name)} must be at least {low:g} and below {high:g}, not {getattr(self, name)}")
        if self.keep not in ("best", "last"):
            raise BiocosmosError(f"--keep '{self.keep}' is not known: choose best or last")
        object.__setattr__(self, "encoder", encoder_name(self.encoder))  # "run/" is "run"
        guard.training_part(self.split)
        object.__setattr__(self, "validation", beside(self.split, self.validation))
        part = self.validation.rpartition(":")[2].lower()
        if part in ("test", "novel"):
            raise BiocosmosError(
                f"--validation {self.validation}: no choice is made on the part '{part}'; name another, or '' for none"
            )


def beside(split: str, part: str) -> str:
    """``part`` of the split that ``split`` names a part of: "val" beside "mine:train" is "mine:val"."""
    name = split.rpartition(":")[0]
    return f"{name}:{part}" if name and part and ":" not in part else part


def flag(name: str) -> str:
    """The command line's spelling of a setting."""
    return "--" + name.replace("_", "-")


S = TypeVar("S", bound=LoopSettings)


def from_toml(kind: type[S], path: str | Path, overrides: Mapping[str, Any]) -> S:
    """Settings of ``kind`` from a TOML file, those in ``overrides`` that are not None on top; errors as :func:`read_toml`."""
    return kind(**{**read_toml(kind, path), **{name: value for name, value in overrides.items() if value is not None}})


def read_toml(kind: type[LoopSettings], path: str | Path) -> dict[str, Any]:
    """What a TOML file of plain ``name = value`` lines states of the settings of ``kind``.

    Raises BiocosmosError for a file that cannot be read, an unknown name, or a value of the wrong type.
    """
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BiocosmosError(f"cannot read the settings in {path}: {error}") from error
    defaults = {field.name: field.default for field in fields(kind)}
    for name, value in given.items():
        if name not in defaults:
            raise BiocosmosError(f"{path} has an unknown setting '{name}': it may have {', '.join(sorted(defaults))}")
        default = defaults[name]
        number = isinstance(default, (int, float)) and not isinstance(default, bool)
        kinds = (int,) if isinstance(default, int) else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool) if number else True
        fits = fits and (not isinstance(default, bool) or isinstance(value, bool))
        if not fits or (isinstance(default, str) and not isinstance(value, str)):
            raise BiocosmosError(f"{path}: {name} = {value!r} must be of the kind of {default!r}")
    return given


def write_toml(settings: LoopSettings, path: Path) -> None:
    """The settings as TOML; those that are None are left out, since TOML has no null."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in asdict(settings).items() if value is not None]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
