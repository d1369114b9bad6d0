"""What ``track`` is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.encoders.settings import ComputeSettings
from biocosmos.identify.namers.names import NAMES as NAMERS
from biocosmos.sequences.tracking.settings import METHODS, OURS, TrackerSettings
from biocosmos.settings import GIVEN, NOT_GIVEN, changed, check, setting
from biocosmos.specimens.settings import SELECTION

FILES, LOOK, NAMES, MACHINE = "Files of detections", "Appearance", "Names of individuals", "Machine"
GIVEN_TRACKS = "given"
"""In place of a tracker: the tracks that the boxes have."""
_NAMED: tuple[dict[str, Any], ...] = ({"head": GIVEN}, {"method": GIVEN})


@dataclass(frozen=True)
class TrackSettings(TrackerSettings):
    """Which boxes, by which tracker, and who names the individuals."""

    tracker: str = changed(
        TrackerSettings,
        "tracker",
        OURS,
        help="How boxes become individuals: odds, ours; or as published: sort, bytetrack, bytetrack-long (with a memory of "
        "10,000 frames), ami, insecttracking, mcc24; given: the tracks that are there.",
        choices=(*METHODS, GIVEN_TRACKS),
    )
    detections: Path | None = setting(
        None, "The boxes, where the source is the folder of their pictures.", file=True, panel=FILES, unset="the source has them"
    )
    format: str | None = setting(None, "Of the boxes, as for 'biocosmos ingest'.", panel=FILES, unset="found from the path")
    where: str | None = setting(
        None, "Of a collection, only where this SQL condition holds: \"sequence = 'night1'\".", panel=SELECTION
    )
    encoder: str | None = setting(
        None,
        "Whose vectors tell animals of a collection apart.",
        names=("-e", "--encoder"),
        panel=LOOK,
        unset="the collection's default; of files the colours of the crops",
    )
    appearance: bool = setting(
        True,
        "Compare what animals look like; without it only place, size, time and label.",
        panel=LOOK,
        only={"encoder": NOT_GIVEN},
    )
    head: Path | None = setting(None, "Name with this trained head ('biocosmos train heads').", file=True, panel=NAMES)
    method: str | None = setting(
        None,
        f"Name by the labelled specimens of the collection: {', '.join(NAMERS[:-1])} or {NAMERS[-1]}.",
        panel=NAMES,
        only={"head": NOT_GIVEN},
        plugged=("method", "namers", NAMERS),
        unset="no names, unless there is a head",
    )
    known: str | None = setting(
        None, "Name by the specimens of this part: train.", panel=NAMES, unset="train, if there is one", only={"method": GIVEN}
    )
    calibration: str | None = setting(
        None, "The part whose tracks set what is promised of individuals.", panel=NAMES, unset="val, if there is one", only=_NAMED
    )
    error_rate: float = setting(
        0.1, "The share of wrong names of individuals that is promised.", above=0, below=1, panel=NAMES, only=_NAMED
    )
    promise: str = setting(
        "answered",
        "answered: of the individuals with a name at most the error rate has a wrong one, with probability 1 - delta; mean: of "
        "all individuals, on average.",
        choices=("answered", "mean"),
        panel=NAMES,
        only=_NAMED,
    )
    delta: float = setting(
        0.1,
        "Of the promise 'answered'.",
        above=0,
        below=1,
        panel=NAMES,
        only=tuple({**each, "promise": "answered"} for each in _NAMED),
    )
    seed: int = setting(0, "Seed of every random choice.", low=0, panel=NAMES, only=_NAMED)
    overwrite: bool = setting(False, "With --save: replace the tracks that the collection has.")
    device: str = changed(ComputeSettings, "device", panel=MACHINE)

    def __post_init__(self) -> None:
        check(self)

    @property
    def names(self) -> bool:
        """Whether individuals get names."""
        return self.head is not None or self.method is not None

    def of_tracker(self) -> TrackerSettings:
        """What the tracker is told."""
        told = {name: getattr(self, name) for name in TrackerSettings.__dataclass_fields__}
        return TrackerSettings(**{**told, "tracker": OURS if self.tracker == GIVEN_TRACKS else self.tracker})


__all__ = ["GIVEN_TRACKS", "TrackSettings"]
