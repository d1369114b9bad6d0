"""What a training of hierarchical heads is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.encoders.reduction.settings import ReduceSettings
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.errors import BiocosmosError
from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, changed, names_in, setting, told
from biocosmos.train.heads.attribute_settings import CTGNN, OF_ATTRIBUTES, RANKED, AttributeSettings
from biocosmos.train.loop.settings import AUGMENTATIONS, DATA, MODEL, STEPS, LoopSettings

KINDS = (*RANKED, *OF_ATTRIBUTES)
IMBALANCE = ("none", "focal", "class-balanced", "ldam", "ldam-drw", "logit-adjusted", "post-hoc")
MATCHINGS = ("cosine", "smooth-l1")
SCHEDULES = ("equal", "published", "kept")
OUTLIERS = ("halves", "quadrants", "spectra", "shuffle", "adversarial")

SEVERAL = ("encoder", "head", "imbalance")
"""Settings of which several may be told at once, comma-separated: one training each, to be compared."""

LEARNT, RARE, NOVEL, TAUGHT = "What is learnt", "Rare taxa", "Outliers", "Teacher"
_IMAGES = {"freeze": False}
_TREE = {"head": RANKED}
_PLAINLY = {"head": RANKED, "attributes": NOT_GIVEN}
_MIXED = {"mix": ("mixup", "cutmix"), **_PLAINLY}


@dataclass(frozen=True)
class HeadSettings(AttributeSettings):
    """A training of a head over a taxonomy, of attributes, or of both; what is not here is in :class:`AttributeSettings` and
    :class:`LoopSettings`.

    Attributes:
        head: one of :data:`KINDS`; see :mod:`biocosmos.nn.heads` and, for "plain" and "ctgnn", :mod:`biocosmos.nn.attributes`.
        ranks: columns of the collection, coarsest first, comma-separated; "" is all its ranks, and none for "plain" and "ctgnn".
        freeze: train on the stored vectors; the backbone stays as it is.
        hidden: width of the dense layer before each rank's scores; 0 is none (what a branch head needs it has itself).
        dropout: share of features that are dropped before the scores, 0..1.
        rank_weights: of the ranks in the loss, comma-separated, coarsest first; or a schedule: "equal", "published" (B-CNN's,
            from coarse to fine), "kept" (the same without its last step, which stops the coarse ranks); "" is "kept" for
            the branch heads bcnn, hbcnn and bacnn, else "equal".
        dependency: how much the class-dependency loss of Bjerge et al. counts, 0..1 (0 is none); it is the smooth version.
        hxe_alpha: coarse edges of the conditional head's path weigh exp(-alpha depth).
        imbalance: one of :data:`IMBALANCE`. "logit-adjusted" adds tau times the logarithm of the class shares to the scores in
            the loss (Menon et al., ICLR 2021, equation 10; with tau = 1 it is balanced softmax, Ren et al. 2020); "post-hoc"
            trains plainly and takes as much from the scores afterwards (equation 9 there).
        tau: how much of the class shares these two take, 0 (nothing) or more.
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
        head_lr_factor: the head learns so many times as fast as the backbone, and so do the weights of a reduction of tokens.
        with_head: begin with the head that lies in the encoder's folder, and go on with it; otherwise with a new one.
        freeze_stages: so many first stages of a timm model stay as they are, the stem counted; 0 trains all.
        cache_views: compute the frozen stages once for so many augmented views of each image and keep them on disk; 0 computes
            them anew in every step. Epoch e trains on view e modulo this number.
        cache_folder: where; "" is the collection's own work folder.
        batch_norm: "still" keeps the statistics of the encoder; "train" follows those of the batches.
        size: side of the input, pixels; None is the encoder's own. resize: how an image comes to it, see
            :class:`biocosmos.encoders.preprocess.Preprocessing`; mean, std: of each colour, 0..1; by default the encoder's.
        augment: a preset of :mod:`biocosmos.train.batches.augment`: "none", "plankton", "photo", "clibd" or "pipe".
        reduce, keep_tokens, linkage, reduce_at: which tokens the vision transformer keeps that is trained and saved, as
            :class:`~biocosmos.encoders.reduction.settings.ReduceSettings` has them; its ``keep`` is called keep_tokens here.
        patch_dropout: share of the patches of a vision transformer that each training step leaves out, 0..1, drawn anew for every
            image (Liu et al., WACV 2023, arXiv:2208.07220); afterwards all are seen.
        teacher: folder of a trained head, whose soft labels at the training specimens are learnt beside the labels.
        teacher_weight: their share of the loss, 0..1, the rest is of the labels.
        teacher_temperature: both sides' scores are divided by it (Hinton et al. 2015).
        match: an embedding of the collection, to whose stored vectors the backbone's features are brought by a linear layer.
        match_weight: how much that counts, beside the rest; match_loss: "cosine" or "smooth-l1".
    """

    encoder: str = changed(LoopSettings, "encoder", help="The backbone.")
    head: str = setting(
        "marginalised", "How the tree is learnt; ctgnn, plain: attributes, and ranks as tasks.", choices=KINDS, panel=LEARNT
    )
    ranks: str = setting(
        "",
        "Columns, coarsest first: status,group,label.",
        unset="the collection's ranks; none for plain and ctgnn",
        several=True,
        panel=LEARNT,
    )
    validation: str = changed(
        LoopSettings, "validation", help="The part that is watched and calibrates, never a test part; '' for none."
    )
    freeze: bool = setting(False, "Train on stored vectors: seconds, not hours.", panel=MODEL)
    hidden: int = setting(
        0, "Width of a dense layer before the scores.", low=0, unset="none", otherwise={"freeze": 1024}, panel=MODEL, only=_TREE
    )
    dropout: float = setting(0.2, "Share of features dropped.", low=0, high=1, otherwise={"freeze": 0.5}, panel=MODEL)
    rank_weights: str = setting(
        "",
        "Weights of the ranks in the loss: 0.5,1,2; or equal, published or kept.",
        unset="equal; kept for bcnn, hbcnn and bacnn",
        panel=LEARNT,
        only=_TREE,
    )
    dependency: float = setting(0.0, "Share of the class-dependency loss.", low=0, high=1, unset="none", panel=LEARNT, only=_TREE)
    hxe_alpha: float = setting(
        0.0, "Coarse edges weigh exp(-alpha depth).", low=0, unset="alike", only={"head": "conditional"}, panel=LEARNT
    )
    imbalance: str = setting("none", "The remedy for classes of unlike size.", choices=IMBALANCE, panel=RARE, only=_TREE)
    tau: float = setting(
        1.0,
        "How much of the class shares logit adjustment takes; 1 is balanced softmax.",
        low=0,
        only={"imbalance": ("logit-adjusted", "post-hoc"), **_TREE},
        panel=RARE,
    )
    sampler: float = setting(0.0, "Draw by (class size)^-q, 0 to 1.", low=0, high=1, panel=RARE, only=_TREE)
    decouple: int = setting(
        0, "Last epochs that train the head alone, classes drawn alike.", low=0, unset="none", panel=RARE, only=_TREE
    )
    mix: str = setting("none", "Mix pairs of images.", choices=("none", "mixup", "cutmix"), panel=DATA, only=_PLAINLY)
    mix_alpha: float = setting(0.2, "Of the Beta distribution of shares.", above=0, only=_MIXED, panel=DATA)
    mix_partner: str = setting(
        "balanced",
        "balanced: the partner is drawn as if classes were of one size.",
        choices=("balanced", "alike"),
        only=_MIXED,
        panel=DATA,
    )
    outliers: str = setting(
        "", "Generate outliers of these kinds.", choices=OUTLIERS, several=True, only=_IMAGES | _TREE, panel=NOVEL
    )
    outlier_images: str = setting("", "A folder of foreign images.", file=True, only=_IMAGES | _TREE, panel=NOVEL)
    outlier_taxa: str = setting("", "Taxa trained as known outliers.", several=True, panel=NOVEL, only=_TREE)
    outlier_share: float = setting(
        0.5,
        "Outliers per specimen.",
        low=0,
        high=4,
        only=({"outliers": GIVEN}, {"outlier_images": GIVEN}),
        panel=NOVEL,
    )
    outlier_weight: float = setting(
        0.5,
        "Of their loss.",
        low=0,
        only=({"outliers": GIVEN}, {"outlier_images": GIVEN}, {"outlier_taxa": GIVEN}),
        panel=NOVEL,
    )
    leave_out: str = setting("", "Taxa to leave out of the training.", several=True, panel=DATA, only=_TREE)
    size_feature: bool = setting(False, "Tell the head how large the image was.", panel=DATA, only=_TREE)
    smoothing: float = setting(
        0.0, "Share of the target spread over all classes.", low=0, high=1, unset="none", panel=LEARNT, only=_TREE
    )
    head_lr_factor: float = setting(10.0, "The head learns so much faster.", above=0, otherwise={"freeze": 1.0}, panel=STEPS)
    with_head: bool = setting(False, "Begin with the head in the encoder's folder.", only=_IMAGES | _PLAINLY, panel=MODEL)
    freeze_stages: int = setting(
        0, "First stages of a timm model left as they are.", low=0, unset="none", only=_IMAGES, panel=MODEL
    )
    cache_views: int = setting(
        0,
        "Compute the frozen stages once for so many views of each image.",
        low=0,
        unset="in every step",
        only=_IMAGES | _TREE,
        panel=MODEL,
    )
    cache_folder: str = setting(
        "", "Where these are kept.", unset="the collection's work folder", only={"cache_views": GIVEN}, panel=MODEL
    )
    batch_norm: str = setting(
        "still", "Batch statistics: train, or still as they are.", choices=("train", "still"), only=_IMAGES, panel=MODEL
    )
    size: int | None = setting(None, "Side of the input, pixels.", above=0, unset="the encoder's own", only=_IMAGES, panel=DATA)
    resize: str | None = setting(
        None,
        "How an image comes to that size: crop, pad or squash.",
        choices=("crop", "pad", "squash"),
        unset="the encoder's own",
        only=_IMAGES,
        panel=DATA,
    )
    mean: tuple[float, ...] = setting(
        (), "Mean of red, green and blue, 0..1.", low=0, high=1, unset="the encoder's own", only=_IMAGES, panel=DATA
    )
    std: tuple[float, ...] = setting(
        (), "Deviation of red, green and blue.", above=0, high=1, unset="the encoder's own", only=_IMAGES, panel=DATA
    )
    augment: str = setting(
        "plankton",
        "plankton: any turn; photo: has an up; pipe: a mirror and a little light.",
        choices=AUGMENTATIONS,
        only=_IMAGES,
        panel=DATA,
    )
    reduce: str = changed(ReduceSettings, "reduce", only=_IMAGES)
    keep_tokens: str = changed(ReduceSettings, "keep")
    linkage: str | None = changed(ReduceSettings, "linkage")
    reduce_at: tuple[int, ...] = changed(ReduceSettings, "reduce_at")
    patch_dropout: float = setting(
        0.0,
        "Share of a vision transformer's patches left out in training.",
        low=0,
        below=1,
        unset="none",
        only=_IMAGES,
        panel=MODEL,
    )
    teacher: str = setting(
        "", "A trained head whose soft labels are learnt too.", file=True, only=_IMAGES | _PLAINLY, panel=TAUGHT
    )
    teacher_weight: float = setting(
        0.5, "Their share of the loss.", low=0, high=1, only={"teacher": GIVEN, "freeze": False}, panel=TAUGHT
    )
    teacher_temperature: float = setting(
        2.0, "Divides the scores of both sides.", above=0, only={"teacher": GIVEN, "freeze": False}, panel=TAUGHT
    )
    match: str = setting(
        "", "An embedding whose stored vectors the features are brought near to.", only=_IMAGES | _PLAINLY, panel=TAUGHT
    )
    match_weight: float = setting(1.0, "How much that counts.", low=0, only={"match": GIVEN, "freeze": False}, panel=TAUGHT)
    match_loss: str = setting(
        "cosine", "How near is measured.", choices=MATCHINGS, only={"match": GIVEN, "freeze": False}, panel=TAUGHT
    )
    epochs: int = changed(LoopSettings, "epochs", 10, otherwise={"freeze": 15})
    keep: str = changed(LoopSettings, "keep", "last", help="Which weights are kept; the validation part calibrates them too.")
    centre_lr_factor: float = changed(LoopSettings, "centre_lr_factor", told=False)  # a head has no centres

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weights()
        self.reduction()
        self.numbers_of_tasks()
        if self.head == CTGNN and self.adjacency == "dynamic" and self.graph != "gat":
            raise SettingError("--adjacency dynamic lets attention choose the neighbours: it needs --graph gat")
        if self.head == CTGNN and self.graph == "gat" and self.node_width % self.graph_heads:
            raise SettingError(f"--node-width {self.node_width} must be a multiple of the {self.graph_heads} --graph-heads")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, 3):
                raise SettingError(f"--{name} takes three numbers, of red, green and blue: 0.5,0.5,0.5")
        if self.head in OF_ATTRIBUTES and not self.attributes and not self.ranks:
            raise SettingError(
                f"--head {self.head} learns attributes: name columns with --attributes life_stage,sex, or with --ranks"
            )
        if self.decouple >= self.epochs:
            raise SettingError(f"--decouple {self.decouple} must leave some of the {self.epochs} epochs to train everything")
        if self.cache_views and not self.freeze_stages:
            raise SettingError("--cache-views keeps what the frozen stages give: say how many with --freeze-stages")
        on_images = (self.outliers, self.outlier_images, self.mix == "cutmix", self.freeze_stages, self.size, self.patch_dropout)
        if self.freeze and (any(on_images) or self.teacher or self.match or self.reduce):
            raise SettingError(
                "--freeze looks at stored vectors only: --outliers, --outlier-images, --mix cutmix, --size, --freeze-stages, "
                "--patch-dropout, --reduce, --teacher and --match need images"
            )
        if self.cache_views and "adversarial" in names_in(self.outliers):
            raise SettingError(
                "--outliers adversarial changes the pixels, which --cache-views does not keep: leave one of them out"
            )
        if self.mix != "none" and (self.teacher or self.match):
            raise SettingError(
                "--mix makes images of which a teacher has said nothing: leave out --mix, or --teacher and --match"
            )
        if self.cache_views and self.patch_dropout:
            raise SettingError("--patch-dropout draws anew in every step what --cache-views keeps once: leave one of them out")
        if self.attributes and (self.mix != "none" or self.teacher or self.match or self.with_head):
            raise SettingError("--attributes does not go with --mix, --teacher, --match or --with-head: leave one of them out")
        if self.cache_views and self.mix == "cutmix":
            raise SettingError("--mix cutmix needs the pixels, which --cache-views does not keep: use mixup")

    def reduction(self) -> Reduction | None:
        """Which tokens are kept; None for all. Raises SettingError for what cannot be."""
        told = ReduceSettings(self.reduce, self.keep_tokens, self.linkage, self.reduce_at)
        try:
            return told.reduction()
        except BiocosmosError as error:
            raise SettingError(str(error).replace("--keep ", "--keep-tokens ")) from error

    def weights(self) -> list[float] | str | None:
        """The rank weights: numbers, a schedule, or None for the head's own. Raises SettingError for what is none of these."""
        if self.rank_weights in ("", *SCHEDULES):
            return self.rank_weights or None
        try:
            return [float(weight) for weight in names_in(self.rank_weights)]
        except ValueError:
            raise SettingError(
                f"--rank-weights '{self.rank_weights}' must be {', '.join(SCHEDULES)}, or a number for each rank, coarsest "
                "first, such as 0.5,1,2"
            ) from None


def head_settings(config: str | Path | None = None, **given: Any) -> HeadSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None; frozen ones have defaults of their own."""
    return told(HeadSettings, config, **given)
