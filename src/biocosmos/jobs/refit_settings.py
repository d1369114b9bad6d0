"""What ``refit`` is told. Nothing heavy is imported here: the command line is made from these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.settings import NOT_GIVEN, check, setting

_FITS = {"promote": NOT_GIVEN}


@dataclass(frozen=True)
class RefitSettings:
    """A linear head fitted anew on all that has a name, and compared; or the one that is to be used from now on.

    name: of its folder in the collection's ``models``. promote: put this one to use, and fit nothing.
    """

    promote: str | None = setting(None, "Use this one from now on, and fit nothing.", metavar="NAME", unset="nothing is promoted")
    labels: Path | None = setting(
        None,
        "First take these names as given by hand: a table with id and taxon, as 'discover queue' writes it, corrected.",
        file=True,
        only=_FITS,
    )
    name: str | None = setting(None, "What to call it.", unset="by the time", only=_FITS)
    encoder: str | None = setting(
        None, "Which embedding.", names=("--encoder", "-e"), unset="the collection's default", embedding=True, only=_FITS
    )
    error_rate: float | None = setting(
        None, "Of the answers at most this share may be wrong.", above=0, below=1, unset="0.1, as identify has it", only=_FITS
    )
    balanced: bool = setting(False, "Weigh rare taxa as much as common ones.", only=_FITS)
    by: str | None = setting(None, "Who fits, or promotes.", unset="who is logged in")
    seed: int = setting(0, "Seed of every random choice.", low=0, only=_FITS)

    def __post_init__(self) -> None:
        check(self)
