"""What a zero-shot training is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.loop.settings import LoopSettings, flag, read_toml
from biocosmos.train.prototypes.geometry import COUPLINGS

FROZEN_DEFAULTS: dict[str, Any] = {"batch_size": 512, "lr": 1e-3, "epochs": 8, "clip": 0.0}
"""What differs when only a projection of stored vectors is trained."""
PLACES = ("relatives", "learnt")


@dataclass(frozen=True)
class ZeroShotSettings(LoopSettings):
    """A zero-shot training; what is not here is in :class:`LoopSettings`.

    Attributes:
        ranks: columns of the tree, coarsest first, comma-separated; "" is those the collection has, then ``label``.
        hold_out: taxa that are never trained on and are asked about at the end: a number of them, drawn by ``draw``, or their
            names, comma-separated.
        choose_on: further taxa that are not trained on, and by whose validation images the epoch and the handicap are chosen;
            afterwards their prototype is the mean of their training images. 0 chooses nothing.
        draw: seed of the draw of both.
        freeze: train a projection of the stored vectors only.
        dim, hidden: length of the new vectors; units of the projection's hidden layer.
        dropout: of the projection's input and hidden layer, 0..1.
        scale: scores are scale * cosine to the prototypes.
        contrastive, temperature: weight and temperature of the supervised contrastive loss; 0 leaves it out.
        gromov: weight of the Gromov-Wasserstein term; 0 leaves it out.
        coupling: which prototype is which taxon: "labels", "fused" or "free" (:mod:`biocosmos.train.prototypes.geometry`).
        plan_steps: steps after which POT solves for the coupling again.
        place: where unseen prototypes are in use: "relatives" (kriging from the seen) or "learnt" (by the Gromov-Wasserstein
            term alone).
        geometry: what is known of taxa without images: "tree", "names", "text", "attributes", joined by "+".
        attributes: CSV file for the geometry "attributes"; text_encoder: for "text".
        sampler: q; a specimen is drawn in proportion to (size of its taxon)^-q, 0 (as they are) to 1 (all taxa alike).
        noise: what is added to stored vectors in training, in units of their mean size per number.
        size, augment, freeze_stages, batch_norm: as in a training by cluster discrimination, for images.
        head_lr_factor: the projection and the prototypes learn so many times as fast as the backbone.
    """

    ranks: str = ""
    hold_out: str = "12"
    choose_on: int = 8
    draw: int = 0
    freeze: bool = False
    dim: int = 128
    hidden: int = 512
    dropout: float = 0.2
    scale: float = 16.0
    contrastive: float = 0.5
    temperature: float = 0.1
    gromov: float = 10.0
    coupling: str = "fused"
    plan_steps: int = 50
    place: str = "relatives"
    geometry: str = "tree+names"
    attributes: str | None = None
    text_encoder: str | None = None
    sampler: float = 0.5
    noise: float = 0.0
    size: int | None = None
    augment: str = "plankton"
    freeze_stages: int = 0
    batch_norm: str = "still"
    head_lr_factor: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "coupling": COUPLINGS,
            "place": PLACES,
            "augment": tuple(PRESETS),
            "batch_norm": ("train", "still"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BiocosmosError(f"{flag(name)} '{getattr(self, name)}' is not known: choose {' or '.join(allowed)}")
        for name in ("dim", "hidden", "scale", "temperature", "plan_steps", "head_lr_factor"):
            if not getattr(self, name) > 0:
                raise BiocosmosError(f"{flag(name)} must be above 0, not {getattr(self, name)}")
        for name in ("contrastive", "gromov", "noise", "choose_on", "freeze_stages", "draw"):
            if not getattr(self, name) >= 0:
                raise BiocosmosError(f"{flag(name)} must be at least 0, not {getattr(self, name)}")
        if not 0 <= self.sampler <= 1:
            raise BiocosmosError(f"--sampler must be 0 to 1, not {self.sampler}")
        if not 0 <= self.dropout < 1:
            raise BiocosmosError(f"--dropout must be at least 0 and below 1, not {self.dropout}")
        if self.place == "learnt" and not self.gromov:
            raise BiocosmosError("--place learnt needs the Gromov-Wasserstein term: give --gromov above 0, or --place relatives")


def zero_shot_settings(config: str | Path | None = None, **given: Any) -> ZeroShotSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None; a frozen training has defaults of its own."""
    stated = {} if config is None else read_toml(ZeroShotSettings, config)
    stated |= {name: value for name, value in given.items() if value is not None}
    return ZeroShotSettings(**{**(FROZEN_DEFAULTS if stated.get("freeze") else {}), **stated})
