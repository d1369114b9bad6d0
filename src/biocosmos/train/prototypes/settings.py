"""What a zero-shot training is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.settings import GIVEN, SettingError, changed, check, holding, setting, told
from biocosmos.train.loop.settings import AUGMENTATIONS, MODEL, STEPS, LoopSettings

COUPLINGS = ("labels", "fused", "free")
PLACES = ("relatives", "learnt")

TAXA, LEARNT = "Which taxa", "What is learnt"
_IMAGES = {"freeze": False}


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

    encoder: str = changed(LoopSettings, "encoder", help="What is trained, or whose stored vectors are projected.")
    ranks: str = setting(
        "", "Ranks, coarsest first: status,group,label.", unset="the collection's, then label", several=True, panel=TAXA
    )
    hold_out: str = setting("12", "Unseen taxa: how many to draw, or their names.", panel=TAXA)
    choose_on: int = setting(8, "Further taxa left out of training, to choose by.", low=0, panel=TAXA)
    draw: int = setting(0, "Seed of the draw of both.", low=0, panel=TAXA)
    freeze: bool = setting(False, "Train only a projection of the stored vectors: minutes, not hours.", panel=MODEL)
    dim: int = setting(128, "Length of the new vectors.", above=0, panel=MODEL)
    hidden: int = setting(512, "Units of the projection's hidden layer.", above=0, panel=MODEL)
    dropout: float = setting(0.2, "Of the projection's input.", low=0, below=1, panel=MODEL)
    scale: float = setting(16.0, "Scores are scale * cosine.", above=0, panel=LEARNT)
    contrastive: float = setting(0.5, "Weight of the supervised contrastive loss.", low=0, panel=LEARNT)
    temperature: float = setting(0.1, "Of the contrastive loss.", above=0, only={"contrastive": GIVEN}, panel=LEARNT)
    gromov: float = setting(10.0, "Weight of the Gromov-Wasserstein term.", low=0, panel=LEARNT)
    coupling: str = setting("fused", "Which prototype is which taxon.", choices=COUPLINGS, only={"gromov": GIVEN}, panel=LEARNT)
    plan_steps: int = setting(50, "Steps between solutions of the coupling.", above=0, only={"gromov": GIVEN}, panel=LEARNT)
    place: str = setting("relatives", "Unseen prototypes by their relatives, or as learnt.", choices=PLACES, panel=TAXA)
    geometry: str = setting("tree+names", "What is known of unseen taxa: tree, names, text, attributes, joined by +.", panel=TAXA)
    attributes: str | None = setting(
        None, "CSV file: a column taxon, the others numbers.", file=True, only={"geometry": holding("attributes")}, panel=TAXA
    )
    text_encoder: str | None = setting(
        None, "Encoder of names as texts.", unset="the encoder itself", only={"geometry": holding("text")}, panel=TAXA
    )
    sampler: float = setting(
        0.5, "Draw specimens by (size of the taxon)^-q: 0 as they are, 1 all taxa alike.", low=0, high=1, panel=LEARNT
    )
    noise: float = setting(0.0, "Noise on stored vectors.", low=0, unset="none", only={"freeze": True}, panel=MODEL)
    size: int | None = setting(None, "Side of the input, pixels.", above=0, unset="the encoder's own", only=_IMAGES, panel=MODEL)
    augment: str = setting("plankton", "plankton: any turn; photo: has an up.", choices=AUGMENTATIONS, only=_IMAGES, panel=MODEL)
    freeze_stages: int = setting(
        0, "First stages of a timm model left as they are.", low=0, unset="none", only=_IMAGES, panel=MODEL
    )
    batch_norm: str = setting(
        "still", "Batch statistics: train, or still as they are.", choices=("train", "still"), only=_IMAGES, panel=MODEL
    )
    head_lr_factor: float = setting(
        5.0, "Projection and prototypes learn so much faster than a backbone.", above=0, only=_IMAGES, panel=STEPS
    )
    clip: float = changed(LoopSettings, "clip", otherwise={"freeze": 0.0})
    seed: int = changed(LoopSettings, "seed", help="Seed of every random choice but the draw.")
    centre_lr_factor: float = changed(LoopSettings, "centre_lr_factor", told=False)  # prototypes have head_lr_factor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.place == "learnt" and not self.gromov:
            raise SettingError("--place learnt needs the Gromov-Wasserstein term: give --gromov above 0, or --place relatives")


@dataclass(frozen=True)
class AblationSettings:
    """Whether each part of a zero-shot training is left out in turn, and what is asked then."""

    ablate: bool = setting(False, "Train again without each part, and report on all.", panel=TAXA)
    draws: int = setting(1, "Draws of the unseen taxa.", above=0, only={"ablate": True}, panel=TAXA)
    foreign: Path | None = setting(None, "Folder of foreign images, as anomalies.", file=True, only={"ablate": True}, panel=TAXA)
    chimeras: int = setting(300, "Anomalies of each kind made of two specimens.", low=0, only={"ablate": True}, panel=TAXA)

    def __post_init__(self) -> None:
        check(self)


def zero_shot_settings(config: str | Path | None = None, **given: Any) -> ZeroShotSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None; a frozen training has defaults of its own."""
    return told(ZeroShotSettings, config, **given)
