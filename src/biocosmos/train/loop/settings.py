"""What a training run is told: one frozen dataclass, a TOML file in the run's folder, flags that override it.

Nothing heavy is imported here or in the settings of the recipes: the command line is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from biocosmos.encoders.modality import tower_name
from biocosmos.encoders.registry import DEFAULT
from biocosmos.errors import BiocosmosError
from biocosmos.provenance import encoder_name
from biocosmos.settings import check, flag, read_toml, setting, write_toml
from biocosmos.train.loop.schedule import one_cycle

STEPS, RUN, DATA, MODEL = "Steps", "Run", "Data", "Model"
"""Headings of the help text that all recipes share."""
AUGMENTATIONS = ("none", "plankton", "photo", "clibd", "pipe")
HELD_OUT = ("test", "val", "validation", "novel")
"""Parts that nothing is ever trained on, and those whose names go on from theirs: test_unseen."""
CHOOSES_NOTHING = ("test", "novel")
"""Parts by which nothing is ever chosen."""


@dataclass(frozen=True)
class LoopSettings:
    """What every recipe shares.

    Attributes:
        encoder: what training starts from, and stands on where only something on top of its stored vectors is trained.
        split: the training part, "train" or of a named split "mine:train"; validation: the part that is watched (and by which a
            head is later calibrated), never a test part; "" for none.
        epochs: passes over the training part.
        batch_size: images per process and forward pass; None is 64 images or 512 vectors, and fewer of a small
            collection (:func:`biocosmos.train.batches.drawing.suited_batch`).
        accumulate: forward passes whose mean gradient makes one step.
        lr: highest learning rate of the backbone.
        centre_lr_factor: the class centres learn so many times as fast (10, as published for UNICOM's fine-tuning).
        weight_decay: of AdamW, on weights of two or more dimensions only.
        warmup: share of all steps in which the rate rises, 0..1.
        clip: largest norm of the backbone's gradient; 0 leaves it alone.
        precision: "auto" (what is fastest here, measured), "float32" or "bfloat16"; weights stay float32.
        ema: decay per step of the exponential moving average that is validated and kept; 0 is none.
        patience: epochs without a better validation after which training stops; None never stops early.
        keep: "best" keeps the weights of the best validation, which may be those it began with; "last" those of the end.
        checkpoint_steps: steps between checkpoints, besides the one after each epoch.
        seed: of the order, the augmentation, the sampled centres and dropout.
        device: "auto", "cpu", "cuda" or "mps".
        workers: threads that decode images; None is one per core.
        cache_gb: prepared images are kept in memory, uint8, when all of them take less, GiB.
    """

    encoder: str = setting(DEFAULT, "What training starts from.", names=("--encoder", "-e"), panel=MODEL)
    split: str = setting("train", "The training part.", part="always", panel=DATA)
    validation: str = setting(
        "val", "The part that is watched, never a test part; '' for none.", unset="none", part="given", panel=DATA
    )
    epochs: int = setting(8, "Passes over the training part.", above=0, panel=STEPS)
    batch_size: int | None = setting(
        None,
        "Images per process and pass.",
        above=0,
        unset="64; 512 with --freeze; fewer where an epoch would have under 40 steps",
        panel=STEPS,
    )
    accumulate: int = setting(1, "Batches that make one step.", above=0, panel=STEPS)
    lr: float = setting(3e-4, "Highest learning rate of the backbone.", above=0, otherwise={"freeze": 1e-3}, panel=STEPS)
    centre_lr_factor: float = setting(10.0, "The centres learn so much faster.", above=0, panel=STEPS)
    weight_decay: float = setting(0.05, "Of AdamW.", low=0, panel=STEPS)
    warmup: float = setting(0.1, "Share of the steps in which the rate rises.", low=0, below=1, panel=STEPS)
    clip: float = setting(5.0, "Largest gradient norm, 0 for any.", low=0, panel=STEPS)
    precision: str = setting(
        "auto", "Number type of the step: what is fastest here, or told.", choices=("auto", "float32", "bfloat16"), panel=RUN
    )
    ema: float = setting(0.0, "Decay of averaged weights, such as 0.999.", low=0, below=1, unset="none", panel=STEPS)
    patience: int | None = setting(
        None, "Stop after so many epochs without a better validation.", above=0, unset="never", panel=STEPS
    )
    keep: str = setting("best", "Which weights are kept.", choices=("best", "last"), panel=STEPS)
    checkpoint_steps: int = setting(500, "Steps between checkpoints.", above=0, panel=RUN)
    seed: int = setting(0, "Seed of every random choice.", low=0, panel=RUN)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1 or mps.", panel=RUN)
    workers: int | None = setting(None, "Threads that decode.", above=0, unset="one per core", only={"freeze": False}, panel=RUN)
    cache_gb: float = setting(
        2.0, "Keep prepared images in memory if they take less, GiB.", low=0, only={"freeze": False}, panel=RUN
    )

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "encoder", tower_name(encoder_name(self.encoder)))  # "run/" is "run"
        object.__setattr__(self, "validation", watched_part(self.split, self.validation))

    def rate(self, step: int, per_epoch: int, steps: int) -> float:
        """Share of the highest learning rate at ``step`` of 0..steps-1, of which ``per_epoch`` are an epoch."""
        return one_cycle(step, steps, self.warmup)


S = TypeVar("S", bound=LoopSettings)


def from_toml(kind: type[S], path: str | Path, overrides: Mapping[str, Any]) -> S:
    """Settings of ``kind`` from a TOML file, those in ``overrides`` that are not None on top; errors as :func:`read_toml`."""
    return kind(**{**read_toml(kind, path), **{name: value for name, value in overrides.items() if value is not None}})


def refuse_held_out_part(split: str) -> str:
    """The part a split string names. Raises BiocosmosError for one that is kept apart to measure on."""
    part = split.rpartition(":")[2]
    for each in part.split("+"):
        if _kind(each) in HELD_OUT:
            raise BiocosmosError(f"part '{each}' is held out to measure on and is never trained on: use the training part")
    return part


def _kind(part: str) -> str:
    """What a part is for, by its name: "test" of BIOSCAN-5M's test_unseen and of "Test"."""
    return part.strip().lower().partition("_")[0]


def watched_part(split: str, validation: str) -> str:
    """``validation`` beside ``split``, for the settings of a recipe. Raises BiocosmosError where either must not be used so."""
    refuse_held_out_part(split)
    whole = beside(split, validation)
    part = whole.rpartition(":")[2].lower()
    if any(_kind(each) in CHOOSES_NOTHING for each in part.split("+")):
        raise BiocosmosError(f"--validation {whole}: no choice is made on the part '{part}'; name another, or '' for none")
    return whole


def beside(split: str, part: str) -> str:
    """``part`` of the split that ``split`` names a part of: "val" beside "mine:train" is "mine:val"."""
    name = split.rpartition(":")[0]
    return f"{name}:{part}" if name and part and ":" not in part else part


__all__ = [
    "AUGMENTATIONS",
    "LoopSettings",
    "beside",
    "flag",
    "from_toml",
    "read_toml",
    "refuse_held_out_part",
    "watched_part",
    "write_toml",
]
