"""What ``train place`` can be told. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.settings import setting
from biocosmos.specimens.settings import Selection

WIDTHS = "Bandwidths, chosen on held-out cells unless told"


@dataclass(frozen=True)
class PlaceSettings(Selection):
    """Settings of :func:`biocosmos.jobs.train_place.train_place`."""

    rank: str | None = setting(None, "Taxa of this rank; specimens without a name there are left out.", unset="the deepest known")
    kilometres: float | None = setting(None, "How far a specimen counts (a standard deviation).", above=0, panel=WIDTHS)
    days: float | None = setting(None, "How long before and after its day of the year.", above=0, panel=WIDTHS)
    metres: float | None = setting(None, "How far above and below its depth.", above=0, panel=WIDTHS)
    specimens: float | None = setting(
        None, "How many specimens the overall shares count for, whatever was collected near by.", above=0, panel=WIDTHS
    )
