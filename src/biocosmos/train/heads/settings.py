"""What a training of hierarchical heads is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.loop.settings import LoopSettings, flag, read_toml

FROZEN_DEFAULTS: dict[str, Any] = {
    "batch_size": 512,
    "lr": 1e-3,
    "epochs": 15,
    "head_lr_factor": 1.0,
    "hidden": 1024,
    "dropout": 0.5,
}
"""What differs when a head is trained on stored vectors."""
KINDS = ("flat", "marginalised", "conditional", "multitask", "bcnn", "hbcnn", "bacnn", "sbacnn")
IMBALANCE = ("none", "focal", "class-balanced", "ldam", "ldam-drw", "logit-adjusted", "balanced-softmax", "post-hoc")
SCHEDULES = ("equal", "published", "kept")
OUTLIERS = ("halves", "quadrants", "spectra", "shuffle", "adversarial")


@dataclass(frozen=True)
class HeadSettings(LoopSettings):
    """A training of a head over a taxonomy; what is not here is in :class:`LoopSettings`.

    Attributes:
        head: one of :data:`KINDS`; see :mod:`biocosmos.nn.heads`.
        ranks: columns of the collection, coarsest first, comma-separated; "" is all its ranks.
        freeze: train on the stored vectors; the backbone stays as it is.
        hidden: width of the dense layer before each level's scores; 0 is none (what a branch head needs it has itself).
        dropout: share of features that are dropped before the scores, 0..1.
        level_weights: of the ranks in the loss, comma-separated, coarsest first; or a schedule: "equal", "published" (B-CNN's,
            from coarse to fine), "kept" (the same without its last step, which stops the coarse ranks); "" is "kept" for
            the branch heads bcnn, hbcnn and bacnn, else "equal".
        dependency: how much the class-dependency loss of Bjerge et al. counts, 0..1 (0 is none); it is the smooth version.
        hxe_alpha: coarse edges of the conditional head's path weigh exp(-alpha depth).
        imbalance: one of :data:`IMBALANCE`; "post-hoc" trains plainly and takes the logarithm of the class shares from the scores
            afterwards (Menon et al., ICLR 2021, equation 9).
        sampler: q; a specimen is drawn in proportion to (size of its class)^-q, 0 (as they are) to 1 (all classes alike).
        decouple: epochs at the end in which only the head is trained, classes drawn alike (cRT; Kang et al., ICLR 2020).
        mix: "none", "mixup" or "cutmix"; mix_alpha: of the Beta distribution of shares; mix_partner: "balanced" draws the
            partner among the batch as if all classes were of one size, "alike" any other image of it.
        outliers: generated ones, comma-separated kinds of :data:`OUTLIERS`, whose answer is trained to be flat.
        outlier_images: a folder of foreign images, outliers too.
        outlier_taxa: taxa of the collection that are trained as known outliers, comma-separated; they are no classes.
        outlier_share: outliers per specimen in a batch; outlier_weight: of their loss (Hendrycks et al., ICLR 2019: 0.5).
        leave_out: taxa left out of the training, comma-separated.
        size_feature: tell the head how large the image was: the logarithms of its height and width in pixels.
        smoothing: share of the target spread over all classes, 0..1.
        head_lr_factor: the head learns so many times as fast as the backbone.
        freeze_stages: so many first stages of a timm model stay as they are, the stem counted; 0 trains all.
        cache_views: compute the frozen stages once for so many augmented views of each image and keep them on disk; 0 computes
            them anew in every step. Epoch e trains on view e modulo this number.
        cache_folder: where; "" is the collection's own work folder.
        batch_norm: "still" keeps the statistics of the encoder; "train" follows those of the batches.
        size: side of the input, pixels; None is the encoder's own.
        augment: "none", "plankton" or "photo".
    """

    epochs: int = 10
    keep: str = "last"
    ema: float = 0.0
    head: str = "marginalised"
    ranks: str = ""
    freeze: bool = False
    hidden: int = 0
    dropout: float = 0.2
    level_weights: str = ""
    dependency: float = 0.0
    hxe_alpha: float = 0.0
    imbalance: str = "none"
    sampler: float = 0.0
    decouple: int = 0
    mix: str = "none"
    mix_alpha: float = 0.2
    mix_partner: str = "balanced"
    outliers: str = ""
    outlier_images: str = ""
    outlier_taxa: str = ""
    outlier_share: float = 0.5
    outlier_weight: float = 0.5
    leave_out: str = ""
    size_feature: bool = False
    smoothing: float = 0.0
    head_lr_factor: float = 10.0
    freeze_stages: int = 0
    cache_views: int = 0
    cache_folder: str = ""
    batch_norm: str = "still"
    size: int | None = None
    augment: str = "plankton"

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "head": KINDS,
            "imbalance": IMBALANCE,
            "mix": ("none", "mixup", "cutmix"),
            "mix_partner": ("balanced", "alike"),
            "augment": tuple(PRESETS),
            "batch_norm": ("train", "still"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BiocosmosError(f"{flag(name)} '{getattr(self, name)}' is not known: choose {', '.join(allowed)}")
        for kind in names(self.outliers):
            if kind not in OUTLIERS:
                raise BiocosmosError(f"--outliers '{kind}' is not known: choose among {', '.join(OUTLIERS)}")
        for name, low, high in (
            ("dropout", 0.0, 1.0),
            ("dependency", 0.0, 1.0),
            ("sampler", 0.0, 1.0),
            ("smoothing", 0.0, 1.0),
            ("outlier_share", 0.0, 4.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise BiocosmosError(f"{flag(name)} must be {low:g} to {high:g}, not {getattr(self, name)}")
        for name in ("hidden", "hxe_alpha", "decouple", "outlier_weight", "freeze_stages", "cache_views"):
            if getattr(self, name) < 0:
                raise BiocosmosError(f"{flag(name)} must be at least 0, not {getattr(self, name)}")
        for name in ("mix_alpha", "head_lr_factor"):
            if not getattr(self, name) > 0:
                raise BiocosmosError(f"{flag(name)} must be above 0, not {getattr(self, name)}")
        self.weights()
        if self.decouple >= self.epochs:
            raise BiocosmosError(f"--decouple {self.decouple} must leave some of the {self.epochs} epochs to train everything")
        if self.cache_views and not self.freeze_stages:
            raise BiocosmosError("--cache-views keeps what the frozen stages give: say how many with --freeze-stages")
        if self.freeze and (self.outliers or self.outlier_images or self.mix == "cutmix" or self.freeze_stages or self.size):
            raise BiocosmosError(
                "--freeze looks at stored vectors only: --outliers, --outlier-images, --mix cutmix, --size and --freeze-stages "
                "need images"
            )
        if self.cache_views and "adversarial" in names(self.outliers):
            raise BiocosmosError(
                "--outliers adversarial changes the pixels, which --cache-views does not keep: leave one of them out"
            )
        if self.cache_views and self.mix == "cutmix":
            raise BiocosmosError("--mix cutmix needs the pixels, which --cache-views does not keep: use mixup")

    def weights(self) -> list[float] | str | None:
        """The level weights: numbers, a schedule, or None for the head's own. Raises BiocosmosError for what is none of these."""
        if self.level_weights in ("", *SCHEDULES):
            return self.level_weights or None
        try:
            return [float(weight) for weight in names(self.level_weights)]
        except ValueError:
            raise BiocosmosError(
                f"--level-weights '{self.level_weights}' must be {', '.join(SCHEDULES)}, or a number for each rank, coarsest "
                "first, such as 0.5,1,2"
            ) from None


def names(given: str) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part.strip() for part in given.split(",") if part.strip())


def head_settings(config: str | Path | None = None, **given: Any) -> HeadSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None; frozen ones have defaults of their own."""
    stated = {} if config is None else read_toml(HeadSettings, config)
    stated |= {name: value for name, value in given.items() if value is not None}
    return HeadSettings(**{**(FROZEN_DEFAULTS if stated.get("freeze") else {}), **stated})
