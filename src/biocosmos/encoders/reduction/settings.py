"""How a reduction of tokens is told on the command line; nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.encoders.reduction.spec import METHODS, VARIANTS, Reduction
from biocosmos.settings import GIVEN, SettingError, names_in, setting

FEWER = "Fewer tokens (vision transformers)"
_KINDS = tuple(kind for kinds in VARIANTS.values() for kind in kinds)
_REDUCED = {"reduce": GIVEN}


@dataclass(frozen=True)
class ReduceSettings:
    """Which tokens a vision transformer keeps; see :class:`biocosmos.encoders.reduction.spec.Reduction`."""

    reduce: str = setting(
        "",
        f"Compute with fewer and fewer tokens: {', '.join(METHODS)} (docs/tokens.md).",
        choices=tuple(METHODS),
        metavar="METHOD",
        unset="all tokens",
        panel=FEWER,
    )
    keep: str = setting(
        "0.5",
        "Share of the tokens that each stage keeps, 0.5; shares of all patches, one a stage, 0.9,0.7,0.5; or r16, 16 fewer in "
        "every block.",
        metavar="SHARE",
        only=_REDUCED,
        panel=FEWER,
    )
    linkage: str | None = setting(
        None,
        "How atc measures the distance of two clusters (radial: that to the centre).",
        choices=_KINDS,
        metavar="KIND",
        unset="average",
        only={"reduce": tuple(VARIANTS)},
        panel=FEWER,
    )
    reduce_at: tuple[int, ...] = setting(
        (),
        "Blocks of the stages, counted from 0.",
        low=0,
        unset="3,6,9 of 12",
        only=_REDUCED,
        panel=FEWER,
    )

    def reduction(self) -> Reduction | None:
        """What is told; None for all tokens.

        Raises SettingError for shares that are no numbers, BiocosmosError for what cannot be.
        """
        if not self.reduce:
            return None
        remove, keep = 0, tuple[float, ...]()
        if self.keep[:1] == "r" and self.keep[1:].isdecimal():
            remove = int(self.keep[1:])
            if not remove:
                raise SettingError("--keep r0 takes nothing away: write how many tokens fewer in every block, r16")
        else:
            keep = shares_in(self.keep)
        return Reduction(self.reduce, keep=keep, remove=remove, locations=tuple(self.reduce_at), variant=self.linkage or "")


def shares_in(text: str) -> tuple[float, ...]:
    """ "0.9,0.7" -> (0.9, 0.7). Raises SettingError."""
    try:
        shares = tuple(float(each) for each in names_in(text.replace("/", ",")))
    except ValueError:
        shares = ()
    if not shares:
        raise SettingError(
            f"--keep '{text}' is no share of tokens: write 0.5, or 0.9,0.7,0.5, or r16 for 16 fewer in every block"
        )
    return shares
