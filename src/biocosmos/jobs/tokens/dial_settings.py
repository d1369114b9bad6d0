"""What can be asked of ``tokens dial``. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.encoders.reduction.settings import shares_in
from biocosmos.encoders.reduction.spec import TRAINED_ONLY, Reduction, untrained
from biocosmos.settings import SettingError, check, names_in, setting

TRIED, MEASURED = "What is tried", "How it is measured"
ACCURACY, RECALL, AGREEMENT = "accuracy", "recall", "agreement"
PRECISIONS, BACKENDS = ("float32", "bfloat16"), ("torch", "openvino")


@dataclass(frozen=True)
class DialSettings:
    """Settings of :func:`biocosmos.jobs.tokens.dial.turn`."""

    encoder: str | None = setting(None, "The vision transformer.", names=("--encoder", "-e"), unset="the collection's default")
    lose_at_most: float = setting(
        0.01, "What may be lost, with 95 % confidence: 0.01 is one specimen in a hundred.", above=0, below=1
    )
    methods: str = setting("topk,evit,tome,atc", "Reductions of tokens, comma-separated; a kind as atc.single.", panel=TRIED)
    keep: str = setting("0.9,0.7,0.5,0.25", "Shares of tokens that each stage keeps, comma-separated.", panel=TRIED)
    precision: str = setting("float32,bfloat16", "In which numbers.", choices=PRECISIONS, several=True, panel=TRIED)
    backend: str = setting(
        "", "What runs the model.", choices=BACKENDS, several=True, unset="torch, and openvino where it is", panel=TRIED
    )
    measure: str | None = setting(
        None,
        "accuracy: names by the folder's trained head; recall: is the nearest specimen of the same taxon; agreement: is it the "
        "same specimen as with all tokens.",
        choices=(ACCURACY, RECALL, AGREEMENT),
        unset="accuracy where there is a head, else recall; agreement without labels",
        panel=MEASURED,
    )
    rank: str | None = setting(None, "Of the taxa.", unset="the lowest that most specimens have", panel=MEASURED)
    queries: str = setting("val", "The part that judges; never a test part.", part="given", panel=MEASURED)
    gallery: str = setting(
        "train", "The part that answers, and on which it is chosen what is judged.", part="given", panel=MEASURED
    )
    specimens: int = setting(2000, "Specimens of either part at most, a seeded sample of more.", low=20, panel=MEASURED)
    seed: int = setting(0, "Of samples.", low=0, panel=MEASURED)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1 or mps.", panel=MEASURED)
    overwrite: bool = setting(False, "Measure all anew, whatever an earlier run has measured.", panel=MEASURED)

    def __post_init__(self) -> None:
        check(self)
        for part, called in ((self.queries, "--queries"), (self.gallery, "--gallery")):
            if any(each.rpartition(":")[2].strip().startswith("test") for each in part.split("+")):
                raise SettingError(
                    f"{called} {part}: the dial chooses, and nothing is chosen on a test part: name another, such as val"
                )
        if self.queries == self.gallery:
            raise SettingError(f"--queries and --gallery are both {self.queries}: what chooses must not judge")
        self.reductions()

    def reductions(self) -> list[Reduction]:
        """Every method at every share, methods first. Raises SettingError, BiocosmosError for what cannot be."""
        if not names_in(self.methods):
            raise SettingError("--methods names nothing: name one at least, such as atc")
        found = []
        for name in dict.fromkeys(names_in(self.methods)):
            method, _, kind = name.partition(".")
            if method in TRAINED_ONLY:
                raise SettingError(f"--methods: {untrained(method)}")
            found += [Reduction(method, keep=(share,), variant=kind) for share in dict.fromkeys(shares_in(self.keep))]
        return found

    def backends(self) -> tuple[str, ...]:
        """Those asked for; () for what is here."""
        return names_in(self.backend)
