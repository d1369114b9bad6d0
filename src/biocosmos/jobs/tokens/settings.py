"""What can be asked of ``tokens study``. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.encoders.reduction.spec import METHODS, VARIANTS
from biocosmos.settings import SettingError, check, setting

EVERY = "all"
KEEP = (0.25, 0.5, 0.7, 0.9)
"""Shares of tokens that each stage keeps, as in the papers."""
MEASURED = "How it is measured"


def kinds_of(method: str) -> tuple[str, ...]:
    """A method in all its kinds, as they are named: atc, atc.single, atc.complete."""
    others = VARIANTS.get(method, ("",))[1:]
    return (method, *(f"{method}.{kind}" for kind in others))


@dataclass(frozen=True)
class TokensStudySettings:
    """Settings of :func:`biocosmos.jobs.tokens.study.study_tokens`."""

    encoder: tuple[str, ...] = setting(
        (),
        "Vision transformers; each is measured with every method at every keep rate. One that was trained with a reduction "
        "('biocosmos train heads --reduce') is measured as it is, beside them.",
        names=("--encoder", "-e"),
        unset="the collection's default",
    )
    methods: tuple[str, ...] = setting(
        (EVERY,),
        f"Reductions of tokens: {', '.join(METHODS)}; a kind as atc.single. {EVERY}: those that need no training, in all kinds.",
    )
    keep: tuple[float, ...] = setting(KEEP, "Shares of tokens that each stage keeps.", above=0, high=1)
    split: str = setting("test", "The part that asks.", part="given")
    gallery: str = setting("train", "The part that answers, embedded with the same reduction.", part="given")
    where: str | None = setting(None, "Only specimens that this SQL condition holds for.", metavar="SQL")
    limit: int = setting(1000, "Specimens that ask at most, a seeded sample of more.", low=1, panel=MEASURED)
    gallery_limit: int = setting(5000, "Specimens that answer at most, a seeded sample of more.", low=1, panel=MEASURED)
    traced: int = setting(300, "Of those that ask, so many are looked into: what is kept, and features.", low=2, panel=MEASURED)
    pictures: int = setting(3, "Pictures that are drawn on.", low=0, high=50, panel=MEASURED)
    against: tuple[Path, ...] = setting(
        (),
        "Other collections: the places of the image that last there are compared with those here.",
        file=True,
        panel=MEASURED,
    )
    batch_size: int = setting(16, "Images that are computed together.", low=1, high=4096, panel=MEASURED)
    rounds: int = setting(5, "Timed runs of each, in turn with the dense encoder; the fastest counts.", low=1, panel=MEASURED)
    seed: int = setting(0, "Of samples and intervals.", low=0)
    device: str = setting("auto", "auto, cpu, cuda or mps.")

    def __post_init__(self) -> None:
        check(self)
        known = [kind for method in METHODS for kind in (*kinds_of(method), *_written_out(method))]
        for method in self.methods:
            if method != EVERY and method not in known:
                import difflib

                close = difflib.get_close_matches(method, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"choose of {EVERY}, {', '.join(METHODS)}"
                raise SettingError(f"--methods: there is no reduction of tokens '{method}': {hint}")
        for name in ("methods", "keep"):
            if not getattr(self, name):
                raise SettingError(f"--{name} names nothing: name one at least")

    @property
    def asked(self) -> tuple[tuple[str, bool], ...]:
        """(method, whether it was named itself) once each, in the order of :data:`METHODS` for all."""
        found: dict[str, bool] = {}
        for given in self.methods:
            if given == EVERY:
                for method in METHODS:
                    for kind in kinds_of(method):
                        found.setdefault(kind, False)
            else:
                method, _, kind = given.partition(".")
                found[method if kind == VARIANTS.get(method, ("",))[0] else given] = True
        return tuple(found.items())


def _written_out(method: str) -> tuple[str, ...]:
    """A method's first kind, with its name: atc.average."""
    return tuple(f"{method}.{kind}" for kind in VARIANTS.get(method, ())[:1])
