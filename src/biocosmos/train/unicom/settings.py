"""What a training by cluster discrimination is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.loop.settings import LoopSettings, flag, read_toml

FROZEN_DEFAULTS: dict[str, Any] = {"batch_size": 512, "lr": 1e-3, "epochs": 10, "noise": 0.5}
"""What differs when only a projection of stored vectors is trained."""


@dataclass(frozen=True)
class UnicomSettings(LoopSettings):
    """A training by cluster discrimination; what is not here is in :class:`LoopSettings`.

    Attributes:
        clusters: how many.
        source: "image", "text" or "joint" (see :func:`biocosmos.train.unicom.clusters.cluster_labels`).
        text_encoder: of the texts, when not the encoder itself.
        views: turned and mirrored views that are averaged before clustering, 1 to 8; of images of ``size``.
        whiten: cluster whitened vectors (:mod:`biocosmos.train.unicom.whitening`).
        labels: a ``labels.parquet`` of another run, whose classes are learnt in place of new clusters.
        taxa: a rank, whose true taxa are learnt in place of clusters: the supervised reference.
        monitor: "clusters" (needs no label), "taxa", or "auto": taxa for a supervised training, else clusters.
        loss: "margin" (one class for each image) or "mlcd" (the ``positives`` nearest clusters of each).
        scale, m1, m2, m3: logits are scale * (cos(m1 theta + m2) - m3) for the own class.
        gradient: "exact" or "straight-through" (as published).
        interclass_filter, filter_mode: cosines of other classes above it are zeroed ("zero", as published) or left out ("mask").
        sample_rate: share of the centres that each step sees, above 0 to 1.
        features: number of randomly chosen features each step sees; None is all.
        sub_centres: centres of each class, the nearest of which counts.
        centres: where they begin: "means" of their classes in the embedding, or "random".
        freeze: train a projection of the stored vectors only.
        dim: length of the new vectors, by a projection on top; 0 leaves the encoder's own.
        start: how the projection begins: "whiten" (whitens the embedding; if that varies in fewer than ``dim`` directions, in as
            many) or "plain" (as near to doing nothing as it can).
        freeze_stages: so many first stages of a timm model stay as they are, the stem counted; 0 trains all.
        batch_norm: "still" keeps the statistics of the encoder, which is better for short trainings and small batches; "train"
            follows those of the batches.
        noise: what is added to stored vectors in training, in units of their mean size per number.
        size: side of the input, pixels; None is the encoder's own.
        test_size: side of the input of the finished encoder, by default ``size``; somewhat larger is often better (Touvron et
            al., Fixing the train-test resolution discrepancy, NeurIPS 2019, arXiv:1906.06423).
        augment: "none", "plankton" (any turn, mirrored) or "photo" (has an up and a down).
    """

    clusters: int = 500
    source: str = "image"
    text_encoder: str | None = None
    views: int = 1
    whiten: bool = False
    labels: str | None = None
    taxa: str | None = None
    monitor: str = "auto"
    loss: str = "margin"
    positives: int = 8
    scale: float = 32.0
    m1: float = 1.0
    m2: float = 0.3
    m3: float = 0.0
    gradient: str = "exact"
    interclass_filter: float = 0.0
    filter_mode: str = "zero"
    sample_rate: float = 1.0
    features: int | None = None
    sub_centres: int = 1
    centres: str = "means"
    freeze: bool = False
    dim: int = 512
    start: str = "whiten"
    freeze_stages: int = 0
    batch_norm: str = "still"
    noise: float = 0.0
    size: int | None = None
    test_size: int | None = None
    augment: str = "plankton"

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "loss": ("margin", "mlcd"),
            "gradient": ("exact", "straight-through"),
            "filter_mode": ("zero", "mask"),
            "centres": ("means", "random"),
            "augment": tuple(PRESETS),
            "source": ("image", "text", "joint"),
            "monitor": ("auto", "taxa", "clusters"),
            "start": ("plain", "whiten"),
            "batch_norm": ("train", "still"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BiocosmosError(f"{flag(name)} '{getattr(self, name)}' is not known: choose {' or '.join(allowed)}")
        if not 0 < self.sample_rate <= 1:
            raise BiocosmosError(f"--sample-rate must be above 0 and at most 1, not {self.sample_rate}")
        if self.taxa is not None and self.labels is not None:
            raise BiocosmosError("--taxa and --labels both say what is learnt: leave one of them out")
        if self.taxa is not None and self.loss == "mlcd":
            raise BiocosmosError("--loss mlcd takes the nearest clusters as labels: it cannot be used with --taxa")
        for name in ("clusters", "positives", "scale", "sub_centres", "views"):
            if not getattr(self, name) > 0:
                raise BiocosmosError(f"{flag(name)} must be above 0, not {getattr(self, name)}")
        if self.dim < 0 or (self.freeze and not self.dim):
            raise BiocosmosError(
                f"--dim must be above 0{' with --freeze' if self.freeze else ', or 0 for no projection'}, not {self.dim}"
            )


def unicom_settings(config: str | Path | None = None, *, sweep: bool = False, **given: Any) -> UnicomSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None.

    A frozen training has defaults of its own; with ``sweep``, training is frozen unless either says otherwise.
    """
    stated = {} if config is None else read_toml(UnicomSettings, config)
    stated |= {name: value for name, value in given.items() if value is not None}
    if sweep:
        stated.setdefault("freeze", True)
    return UnicomSettings(**{**(FROZEN_DEFAULTS if stated.get("freeze") else {}), **stated})
