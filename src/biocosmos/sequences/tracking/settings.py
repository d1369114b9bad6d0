"""What a tracker is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.settings import check, setting

METHODS = ("odds", "sort", "bytetrack", "bytetrack-long", "ami", "insecttracking", "mcc24")
"""Ours, and the published trackers it is compared with."""
OURS = "odds"
_OURS = {"tracker": OURS}


@dataclass(frozen=True)
class TrackerSettings:
    """Which tracker links the boxes of one frame with animals seen before, and what it may forget."""

    tracker: str = setting(
        OURS,
        "How boxes become individuals: odds, ours; or as published: sort, bytetrack, bytetrack-long (with a memory of 10,000 "
        "frames), ami, insecttracking, mcc24.",
        choices=METHODS,
    )
    memory: float = setting(
        600.0, "Seconds after which an animal out of sight is forgotten; what is like it then is a new one.", above=0, only=_OURS
    )
    start: float = setting(0.78, "Least confidence of a box that begins an animal.", low=0, high=1, only=_OURS)
    keep: float = setting(
        0.1, "Least confidence of a box that goes on with one; boxes below are left out.", low=0, high=1, only=_OURS
    )
    stay: float = setting(350.0, "Seconds that an animal typically stays in the picture.", above=0, only=_OURS)
    most: int = setting(4096, "Animals out of sight that are remembered, so that memory never grows.", low=1, only=_OURS)

    def __post_init__(self) -> None:
        check(self)
