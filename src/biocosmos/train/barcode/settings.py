"""What a training on barcodes is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, changed, setting, told
from biocosmos.train.loop.settings import DATA, MODEL, LoopSettings

LEARNT = "What is learnt"
OBJECTIVES = ("contrastive", "masked", "mae", "distil", "species")
TOKENWISE = ("masked", "mae")
WHOLE = ("contrastive", "distil", "species")
"""Objectives over vectors of whole barcodes."""
UNUSED = ("workers", "cache_gb", "centre_lr_factor")
"""Settings of the loop that barcodes have no use for."""
NETWORKS = ("bag", "transformer", "cnn")
BAG_WIDTH, BERT_WIDTH = 1024, 256
_BERT = {"encoder": NOT_GIVEN, "network": "transformer"}
_TOKENS = {"encoder": NOT_GIVEN, "network": ("bag", "transformer")}


@dataclass(frozen=True)
class BarcodeSettings(LoopSettings):
    """A training on barcodes; what is not here is in :class:`LoopSettings`. ``encoder`` is ``--init``.

    Attributes:
        objective: "masked": half of the tokens are hidden and predicted (BarcodeBERT); "mae": the encoder never sees a hidden
            token (BarcodeMAE); "contrastive": barcodes of a species, genus, family together; "distil": the neighbours that k-mer
            counts have; "species": a softmax over taxa on top, for fine-tuning.
        network: "bag": learns how much each overlapping k-mer says, and sums; "transformer": BarcodeBERT's; "cnn": the published
            baseline. The bag and the CNN have objectives over whole barcodes alone.
        k, stride, vocabulary: of the tokens (:class:`biocosmos.barcodes.tokens.KmerTokens`).
        window, bag, pooling, width, layers, heads, dropout: of :class:`biocosmos.nn.barcode.embedder.BarcodeEmbedder`.
        mask_ratio: share of the tokens that are hidden.
        loss_over: "all" tokens, hidden or not, as BarcodeBERT's code has it, or those that are "masked".
        decoder_layers: of the autoencoder; BarcodeMAE has 6.
        temperature: of the contrastive softmax.
        ranks: learnt by the contrastive objective, with their weights: "species=1,genus=1,family=0.5".
        teacher_weight: weight of distillation beside the contrastive loss.
        teacher_k: the teacher is cosine of counts of k-mers of this length.
        rank: whose taxa "species" names.
        frame: bases at the start are left out at random, 0 to k - 1, so that the frame of k-mers side by side moves.
        crop: share of the barcodes that lose ends in training, down to 200 bases.
        mutate: bases are substituted at random in training, up to this share of a barcode.
    """

    encoder: str = changed(
        LoopSettings,
        "encoder",
        "",
        help="A trained folder or a BarcodeBERT checkpoint of Hugging Face to start from; its k-mers and shape stay.",
        names=("--init",),
        unset="random weights",
        file=True,
    )
    objective: str = setting("contrastive", "What is learnt: see above.", choices=OBJECTIVES, panel=LEARNT)
    network: str | None = setting(
        None,
        "bag: weighs overlapping k-mers; transformer: BarcodeBERT's; cnn: the published baseline.",
        choices=NETWORKS,
        unset="bag; transformer with --objective masked or mae",
        only={"encoder": NOT_GIVEN},
        panel=MODEL,
    )
    k: int = setting(6, "Bases of a token.", low=1, high=9, only=_TOKENS, panel=MODEL)
    stride: int | None = setting(
        None,
        "Bases from one token to the next; 0 is k, side by side.",
        low=0,
        unset="1 in a bag, else k",
        only=_TOKENS,
        panel=MODEL,
    )
    vocabulary: str = setting(
        "barcodebert", "Which numbers tokens have.", choices=("barcodebert", "with-n", "clibd"), only=_TOKENS, panel=MODEL
    )
    window: int = setting(1, "Tokens summed to one place.", above=0, only={**_BERT, "objective": WHOLE}, panel=MODEL)
    bag: bool = setting(
        False, "Begin at the sum of the token vectors, near k-mer counts.", only={**_BERT, "objective": WHOLE}, panel=MODEL
    )
    pooling: str = setting(
        "mean", "mean of real tokens, mean-all with pads, or cls.", choices=("mean", "mean-all", "cls"), only=_BERT, panel=MODEL
    )
    width: int | None = setting(
        None, "Numbers of a vector.", above=0, unset=f"{BAG_WIDTH} in a bag, else {BERT_WIDTH}", only=_TOKENS, panel=MODEL
    )
    layers: int = setting(4, "Blocks of the transformer.", above=0, only=_BERT, panel=MODEL)
    heads: int = setting(4, "Attention heads of a block.", above=0, only=_BERT, panel=MODEL)
    dropout: float = setting(0.1, "Dropout of the transformer.", low=0, below=1, only=_TOKENS, panel=MODEL)
    mask_ratio: float = setting(
        0.5, "Share of the tokens that are hidden.", above=0, below=1, only={"objective": TOKENWISE}, panel=LEARNT
    )
    loss_over: str = setting(
        "all",
        "Tokens whose prediction counts: all, as published, or masked.",
        choices=("all", "masked"),
        only={"objective": TOKENWISE},
        panel=LEARNT,
    )
    decoder_layers: int = setting(2, "Blocks of the decoder; published: 6.", above=0, only={"objective": "mae"}, panel=LEARNT)
    temperature: float = setting(0.1, "Of the softmax.", above=0, only={"objective": "contrastive"}, panel=LEARNT)
    ranks: str = setting(
        "species=1,genus=1,family=0.5", "Ranks and their weights.", several=True, only={"objective": "contrastive"}, panel=LEARNT
    )
    teacher_weight: float = setting(
        0.0, "Weight of the k-mer neighbours beside it.", low=0, unset="none", only={"objective": "contrastive"}, panel=LEARNT
    )
    teacher_k: int = setting(
        7,
        "K-mers of the teacher.",
        low=5,
        high=8,
        only=({"objective": "distil"}, {"objective": "contrastive", "teacher_weight": GIVEN}),
        panel=LEARNT,
    )
    rank: str = setting("species", "The rank that is named.", only={"objective": "species"}, panel=LEARNT)
    frame: bool = setting(True, "Move the frame of the k-mers at random.", panel=DATA)
    crop: float = setting(0.3, "Share of barcodes that lose ends.", low=0, high=1, only={"objective": WHOLE}, panel=DATA)
    mutate: float = setting(
        0.0, "Most of the bases that are changed.", low=0, below=0.75, unset="none", only={"objective": WHOLE}, panel=DATA
    )
    epochs: int = changed(LoopSettings, "epochs", 13)
    batch_size: int | None = changed(
        LoopSettings, "batch_size", help="Barcodes per process and pass.", unset="128, fewer where an epoch has under 40 steps"
    )
    lr: float = changed(LoopSettings, "lr", 5e-4, help="Highest learning rate.", otherwise={})
    weight_decay: float = changed(LoopSettings, "weight_decay", 0.01)
    keep: str = changed(LoopSettings, "keep", "last")
    split: str = changed(LoopSettings, "split", help="The training part, such as train or train+pretrain.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder == ".":  # "" as a path
            object.__setattr__(self, "encoder", "")
        if not self.encoder:
            self._complete()
        self.rank_weights()

    def _complete(self) -> None:
        """What follows from the objective and the network where it is not said; what does not go together is refused."""
        tokenwise = self.objective in TOKENWISE
        if self.network is None:
            object.__setattr__(self, "network", "transformer" if tokenwise else "bag")
        if self.network != "transformer" and tokenwise:
            raise SettingError(f"--objective {self.objective} hides tokens one by one: it goes with --network transformer")
        bag = self.network == "bag"
        if self.stride is None:
            object.__setattr__(self, "stride", 1 if bag else 0)
        if self.width is None:
            object.__setattr__(self, "width", BAG_WIDTH if bag else BERT_WIDTH)
        assert self.stride is not None and self.width is not None
        if self.width % self.heads and not bag:
            raise SettingError(f"--width must be a multiple of --heads, not {self.width} of {self.heads}")
        if self.stride > self.k:
            raise SettingError(f"--stride must be at most --k, not {self.stride} with {self.k}")

    def rank_weights(self) -> dict[str, float]:
        """rank -> weight of the contrastive objective. Raises SettingError for anything else than name=number."""
        weights = {}
        for part in self.ranks.split(","):
            name, _, number = part.strip().partition("=")
            try:
                weights[name] = float(number or 1)
            except ValueError:
                raise SettingError(f"--ranks must be like species=1,genus=0.5, not '{part}'") from None
            if not name or not 0 < weights[name] < 1e6:
                raise SettingError(f"--ranks must be names with weights above 0, like species=1,genus=0.5, not '{part}'")
        return weights


def barcode_settings(config: str | Path | None = None, **given: Any) -> BarcodeSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None, as :func:`biocosmos.settings.told`."""
    return told(BarcodeSettings, config, **given)


__all__ = ["BarcodeSettings", "barcode_settings"]
