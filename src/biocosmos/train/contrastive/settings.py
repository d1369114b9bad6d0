"""What a training of one space for pictures, barcodes and names is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.encoders.modality import CONTRASTED, Modality, tower_name
from biocosmos.encoders.registry import DEFAULT as LITE
from biocosmos.provenance import encoder_name
from biocosmos.settings import GIVEN, SettingError, changed, holding, names_in, other_than, setting, told
from biocosmos.train.loop.settings import AUGMENTATIONS, DATA, MODEL, LoopSettings

AUTO = "auto"
DEFAULTS = {"image": LITE, "dna": "kmer:6", "text": "tiny"}
"""What "auto" is, where the collection has the modality."""
TUNES = ("heads", "lora", "full")
FROZEN = "frozen"
"""What else ``train bind`` may leave a tower: its stored vectors are those of the space, and nothing is learnt."""
PUBLISHED = "published"
TEXT_TYPES = ("taxon", "sci", "com", "sci_com", "taxon_com", "taxonTag", PUBLISHED)
"""Those of :mod:`biocosmos.specimens.taxon_texts`; published: every rank, "not_classified" where it has no name, as in CLIBD."""
SPECIMEN, BIN = "specimen", "bin"
"""What ``targets`` may be besides a rank."""
NEW = "new:"
"""Before the kind of a network over barcodes that begins with random weights."""
UNUSED = ("encoder", "centre_lr_factor")
"""Settings of the loop that have no use here."""
LEARNT = "What is learnt"
_LORA = tuple({"tune": holding(word)} for word in ("lora", *(f"{modality}=lora" for modality in CONTRASTED)))


def _tuned(*modalities: str) -> tuple[dict[str, Any], ...]:
    """Condition of a setting: that one of these modalities is tuned, which --tune may say in so many ways."""
    words = [*TUNES[1:], *(f"{modality}={how}" for modality in modalities for how in TUNES[1:])]
    new = [{"dna": tuple(f"{NEW}{kind}" for kind in ("bag", "transformer"))}] if "dna" in modalities else []
    return (*({"tune": holding(word)} for word in words), *new)


@dataclass(frozen=True)
class ContrastiveSettings(LoopSettings):
    """A training of one space; what is not here is in :class:`LoopSettings`, whose ``encoder`` is not used.

    Attributes:
        image, dna, text: the encoders that are brought together, "" for none; two at least. "auto" is that of :data:`DEFAULTS`,
            or none where the collection has no such thing. Text "tiny" is a small network that is trained from nothing, with a
            tokenizer of its own; "tiny:2" has two layers of a transformer. DNA "new:bag" and "new:transformer"
            are networks with random weights, which are always tuned.
        tune: what is trained of them: "heads", projections on their stored vectors; "lora", low-rank changes of their weights and
            a projection; "full", all weights and a projection. One word, or by modality: "image=lora,dna=full", the others heads.
        lora_rank: of the low-rank changes; CLIBD has 4.
        width: numbers of a vector of the space.
        hidden: units of the hidden layer of a projection; 0 for a linear one.
        targets: which specimens belong together: "specimen" (each with itself, as published), "bin", or those of one taxon of a
            rank of the collection; "auto" is species, else the finest rank, else specimen. A specimen without that name belongs
            to itself.
        within: weight of the same loss inside each modality, names apart: pictures of one taxon together, barcodes of one taxon
            together. CLIBD has none; where each specimen belongs to itself there is nothing of it.
        bind_to: the one modality that every other is brought to; "" for all pairs.
        drop: pairs of modalities that are left out of the loss, "image-text".
        as_published: rows with several positives count them all, as CLIBD's code has it; else they share one.
        temperature: the softmax begins with it; it is learnt.
        text_ranks: whose names make a text, coarsest first; "" is all the ranks of the collection.
        text_type: how they are written, see :data:`TEXT_TYPES`.
        chunk: specimens that go through a tower at once; the gradient is that of the whole batch.
        augment, size: of images that a tower is trained on: how they are changed, and their side in pixels.
        crop, mutate: of barcodes that a tower is trained on: the share that loses ends, and the most bases that are changed.
    """

    image: str = setting(AUTO, f"Encoder of pictures; '' for none. auto: {LITE}.", metavar="ENCODER", panel=MODEL)
    dna: str = setting(AUTO, "Encoder of barcodes; '' for none. auto: kmer:6.", metavar="ENCODER", panel=MODEL)
    text: str = setting(
        AUTO, "Encoder of names, or a folder; '' for none. auto: tiny, trained anew.", metavar="ENCODER", panel=MODEL
    )
    tune: str = setting(
        "heads", "heads, lora or full; by modality: image=lora,dna=full.", metavar="HOW", several=True, panel=MODEL
    )
    width: int = setting(256, "Numbers of a vector of the space.", low=2, high=1 << 14, panel=MODEL)
    hidden: int = setting(512, "Hidden units of a projection.", low=0, high=1 << 16, unset="none: linear", panel=MODEL)
    lora_rank: int = setting(4, "Rank of the changes.", above=0, high=1024, only=_LORA, panel=MODEL)
    chunk: int | None = setting(
        None,
        "Specimens that go through a tower at once; the gradient stays.",
        above=0,
        unset="what suits the tower",
        only=_tuned(*CONTRASTED),
        panel=MODEL,
    )
    targets: str = setting(
        AUTO, "Who belongs together: specimen, bin, or a rank. auto: species, else the finest.", metavar="NAME", panel=LEARNT
    )
    within: float = setting(
        1.0,
        "Weight of bringing together inside each modality; CLIBD: 0.",
        low=0,
        high=1000,
        unset="none",
        only={"targets": other_than(SPECIMEN)},
        panel=LEARNT,
    )
    bind_to: str = setting(
        "", "The modality that the others are brought to.", choices=CONTRASTED, unset="all pairs", panel=LEARNT
    )
    drop: str = setting("", "Pairs left out: image-text.", several=True, unset="none", metavar="PAIRS", panel=LEARNT)
    as_published: bool = setting(
        False, "Count every positive of a row, as CLIBD's code does.", only={"targets": other_than(SPECIMEN)}, panel=LEARNT
    )
    temperature: float = setting(0.07, "The softmax begins with it.", low=0.01, high=10, panel=LEARNT)
    text_ranks: str = setting(
        "",
        "Ranks whose names make a text, coarsest first.",
        several=True,
        unset="the collection's ranks",
        only={"text": GIVEN},
        panel=DATA,
    )
    text_type: str = setting(
        "taxon",
        "How a name is written: taxon, names from coarse to fine; sci, the finest.",
        choices=TEXT_TYPES,
        only={"text": GIVEN},
        panel=DATA,
    )
    augment: str = setting(
        "plankton",
        "plankton: any turn; photo: has an up; clibd: as published.",
        choices=AUGMENTATIONS,
        only=_tuned("image"),
        panel=DATA,
    )
    size: int | None = setting(
        None, "Train on images of so many pixels.", low=8, unset="the encoder's own", only=_tuned("image"), panel=MODEL
    )
    crop: float = setting(0.3, "Share of barcodes that lose ends.", low=0, high=1, only=_tuned("dna"), panel=DATA)
    mutate: float = setting(
        0.0, "Most of the bases that are changed.", low=0, below=0.75, unset="none", only=_tuned("dna"), panel=DATA
    )
    workers: int | None = changed(LoopSettings, "workers", only=_tuned("image"))
    cache_gb: float = changed(LoopSettings, "cache_gb", only=_tuned("image"))
    encoder: str = changed(LoopSettings, "encoder", "", told=False)
    split: str = changed(LoopSettings, "split", help="The training part, such as train or train+pretrain.")
    epochs: int = changed(LoopSettings, "epochs", 20)
    batch_size: int | None = changed(
        LoopSettings,
        "batch_size",
        help="Specimens per process and step.",
        low=2,
        above=None,
        unset="1024, fewer where an epoch has under 8 steps",
    )
    lr: float = changed(LoopSettings, "lr", 1e-3, help="Highest learning rate of what is new.", otherwise={})
    weight_decay: float = changed(LoopSettings, "weight_decay", 0.05)

    every = CONTRASTED
    """Modalities that this recipe knows; each has a setting of its name, its encoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encoder", "")
        for modality in self.every:
            name = getattr(self, modality).strip()
            object.__setattr__(self, modality, tower_name(encoder_name(name), modality) if name else "")
        if len(self.kinds) < 2:
            said = self.kinds[0] if self.kinds else "none"
            raise SettingError(f"a space needs two modalities, and here it has {said}: name --image, --dna or --text")
        for modality in self.every:
            self.tune_of(modality)
        if self.bind_to and self.bind_to not in self.kinds:
            raise SettingError(f"--bind-to {self.bind_to}: no such modality is trained, only {' and '.join(self.kinds)}")
        self._refuse_pairs()

    @property
    def kinds(self) -> tuple[Modality, ...]:
        """Those that are trained, in the order of ``every``."""
        return tuple(modality for modality in self.every if getattr(self, modality))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of modalities that the loss brings together, each once."""
        dropped = {frozenset(pair.split("-")) for pair in names_in(self.drop)}
        found = [(a, b) for at, a in enumerate(self.kinds) for b in self.kinds[at + 1 :]]
        return tuple(pair for pair in found if frozenset(pair) not in dropped and (not self.bind_to or self.bind_to in pair))

    def tune_of(self, modality: str) -> str:
        """What is trained of one modality: one of :data:`TUNES`. Raises SettingError for another word."""
        own, common = self._words_of_tune(TUNES, "image=lora,dna=full")
        how = own.get(modality) or common or "heads"
        return "full" if modality == "dna" and self.dna.startswith(NEW) and how == "heads" else how

    def _words_of_tune(self, words: Sequence[str], example: str) -> tuple[dict[str, str], str]:
        """(modality -> its word, the word of all others or ""). Raises SettingError for another word, or another modality."""
        parts = names_in(self.tune)
        own = dict(part.partition("=")[::2] for part in parts if "=" in part)
        common = [part for part in parts if "=" not in part]
        if len(common) > 1 or not set(own) <= set(self.every) or not {*own.values(), *common} <= set(words):
            raise SettingError(
                f"--tune must be {', '.join(words[:-1])} or {words[-1]}, or by modality like {example}, not '{self.tune}'"
            )
        return own, "".join(common)

    def without(self, modality: str) -> str:
        """How a user leaves a modality out."""
        return f"leave it out with --{modality} ''"

    def _refuse_pairs(self) -> None:
        for pair in names_in(self.drop):
            if len(set(pair.split("-"))) != 2 or not set(pair.split("-")) <= set(self.kinds):
                raise SettingError(
                    f"--drop must name pairs of what is trained ({', '.join(self.kinds)}), such as "
                    f"{'-'.join(self.kinds[:2])}, not '{pair}'"
                )
        alone = [modality for modality in self.kinds if not any(modality in pair for pair in self.pairs)]
        if alone:
            raise SettingError(f"--drop and --bind-to leave {alone[0]} without a pair: it would learn nothing")


def contrastive_settings(config: str | Path | None = None, **given: Any) -> ContrastiveSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None, as :func:`biocosmos.settings.told`."""
    return told(ContrastiveSettings, config, **given)


__all__ = ["ContrastiveSettings", "contrastive_settings"]
