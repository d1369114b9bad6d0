"""What a training by cluster discrimination is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, changed, check, setting, told
from biocosmos.train.loop.settings import AUGMENTATIONS, DATA, MODEL, LoopSettings

LEARNT = "What is learnt"
_CLUSTERED = {"taxa": NOT_GIVEN, "labels": NOT_GIVEN}
_IMAGES = {"freeze": False}


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

    encoder: str = changed(LoopSettings, "encoder", help="What is trained, and whose embedding is clustered.")
    clusters: int = setting(500, "Number of clusters.", above=0, only=_CLUSTERED, panel=LEARNT)
    source: str = setting(
        "image", "Which vectors are clustered.", choices=("image", "text", "joint"), only=_CLUSTERED, panel=LEARNT
    )
    text_encoder: str | None = setting(
        None, "Encoder of the texts.", unset="the encoder itself", only={"source": ("text", "joint"), **_CLUSTERED}, panel=LEARNT
    )
    views: int = setting(
        1,
        "Turned and mirrored views averaged for clustering, 1 to 8.",
        low=1,
        high=8,
        only={"source": ("image", "joint"), **_CLUSTERED},
        panel=LEARNT,
    )
    whiten: bool = setting(False, "Cluster whitened vectors.", only=_CLUSTERED, panel=LEARNT)
    labels: str | None = setting(None, "Learn the classes in a labels.parquet of another run.", file=True, panel=LEARNT)
    taxa: str | None = setting(
        None, "Learn the true taxa of this rank in place of clusters: the supervised reference.", panel=LEARNT
    )
    monitor: str = setting(
        "auto", "Watch recall of clusters (needs no label) or taxa.", choices=("auto", "taxa", "clusters"), panel=DATA
    )
    loss: str = setting(
        "margin",
        "One class for each image, or mlcd: several nearest clusters are right.",
        choices=("margin", "mlcd"),
        panel=LEARNT,
    )
    positives: int = setting(8, "How many are right.", above=0, only={"loss": "mlcd"}, panel=LEARNT)
    scale: float = setting(32.0, "s of s (cos(m1 theta + m2) - m3).", above=0, panel=LEARNT)
    m1: float = setting(1.0, "Multiplies the angle.", panel=LEARNT)
    m2: float = setting(0.3, "Added to the angle, radians.", panel=LEARNT)
    m3: float = setting(0.0, "Taken from the cosine.", panel=LEARNT)
    gradient: str = setting(
        "exact", "Exact, or straight-through as published.", choices=("exact", "straight-through"), panel=LEARNT
    )
    interclass_filter: float = setting(0.0, "Cosine above which other clusters are filtered.", unset="none", panel=LEARNT)
    filter_mode: str = setting(
        "zero",
        "Zero them as published, or leave them out.",
        choices=("zero", "mask"),
        only={"interclass_filter": GIVEN},
        panel=LEARNT,
    )
    sample_rate: float = setting(1.0, "Share of the centres in each step.", above=0, high=1, panel=LEARNT)
    features: int | None = setting(None, "Randomly chosen features in each step.", above=0, unset="all", panel=LEARNT)
    sub_centres: int = setting(1, "Centres of each class.", above=0, panel=LEARNT)
    centres: str = setting("means", "Begin at the means of the classes, or random.", choices=("means", "random"), panel=LEARNT)
    freeze: bool = setting(False, "Train only a projection of the stored vectors: minutes, not hours.", panel=MODEL)
    dim: int = setting(512, "Length of the new vectors; 0 keeps the encoder's own.", low=0, panel=MODEL)
    start: str = setting(
        "whiten",
        "The projection begins plain or whitening the embedding.",
        choices=("plain", "whiten"),
        only={"dim": GIVEN},
        panel=MODEL,
    )
    freeze_stages: int = setting(
        0, "First stages of a timm model left as they are.", low=0, unset="none", only=_IMAGES, panel=MODEL
    )
    batch_norm: str = setting(
        "still", "Batch statistics: train, or still as they are.", choices=("train", "still"), only=_IMAGES, panel=MODEL
    )
    noise: float = setting(
        0.0, "Noise on stored vectors.", low=0, unset="none", otherwise={"freeze": 0.5}, only={"freeze": True}, panel=MODEL
    )
    size: int | None = setting(None, "Side of the input, pixels.", above=0, unset="the encoder's own", only=_IMAGES, panel=DATA)
    test_size: int | None = setting(
        None, "Side of the input of the finished encoder, pixels.", above=0, unset="as trained", only=_IMAGES, panel=DATA
    )
    augment: str = setting("plankton", "plankton: any turn; photo: has an up.", choices=AUGMENTATIONS, only=_IMAGES, panel=DATA)
    epochs: int = changed(LoopSettings, "epochs", otherwise={"freeze": 10})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.taxa is not None and self.labels is not None:
            raise SettingError("--taxa and --labels both say what is learnt: leave one of them out")
        if self.taxa is not None and self.loss == "mlcd":
            raise SettingError("--loss mlcd takes the nearest clusters as labels: it cannot be used with --taxa")
        if self.freeze and not self.dim:
            raise SettingError(f"--dim must be above 0 with --freeze, not {self.dim}")


@dataclass(frozen=True)
class SweepSettings:
    """A sweep: one training for each number of clusters, the rest as :class:`UnicomSettings` say."""

    sweep: tuple[int, ...] = setting(
        (), "Numbers of clusters to compare: 100,500,1000; frozen unless told.", above=0, panel=LEARNT
    )

    def __post_init__(self) -> None:
        check(self)


def unicom_settings(config: str | Path | None = None, *, sweep: bool = False, **given: Any) -> UnicomSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None, as :func:`biocosmos.settings.told`.

    A frozen training has defaults of its own; with ``sweep``, training is frozen unless either says otherwise.
    """
    return told(UnicomSettings, config, assumed={"freeze": True} if sweep else {}, **given)
