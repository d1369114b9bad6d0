"""What can be asked of ``sequences difficulty``. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from biocosmos.encoders.registry import DEFAULT
from biocosmos.encoders.settings import ComputeSettings
from biocosmos.settings import NOT_GIVEN, SettingError, changed, setting

STEPS = "0.01:1:0.01"
"""Of the public code: 100 values."""
RELEASE, CORRECTED = "release", "corrected"
CROP, BLURRED = "crop", "blurred"
SHOWN = (CROP, BLURRED, RELEASE)
_LOOKED = {"vectors": NOT_GIVEN, "appearance": True}
_COMPUTED = {**_LOOKED, "picture": (CROP, BLURRED)}
WAY, LOOKS = "What is counted", "What individuals look like"


@dataclass(frozen=True)
class DifficultySettings(ComputeSettings):
    """Settings of :func:`biocosmos.jobs.difficulty.sequences.measure_difficulty`.

    sequences: MOTChallenge trees, other files with frames, or collections; of several the name of each is the site of its
    sequences.
    """

    sequences: tuple[Path, ...] = setting((), "Trees, files or collections.", file=True, told=False)
    mode: str = setting(
        CORRECTED,
        "corrected: boxes do not cover themselves, missing frames count as time, all pairs of frames are looked at; release: "
        "the figures of the public code of MOTCOM, with its errors.",
        choices=(CORRECTED, RELEASE),
        panel=WAY,
    )
    occlusion: str | None = setting(
        None,
        "OCOM from the visibility that was annotated, from boxes that cover others, or from boxes in the order of their lower "
        "edges (a camera that looks down on the ground).",
        choices=("visibility", "boxes", "order"),
        unset="visibility where any is known, else boxes",
        panel=WAY,
    )
    classes: str | None = setting(
        None,
        "Only boxes of these classes: numbers of MOTChallenge, or labels.",
        several=True,
        unset="all; 1 with --mode release",
        panel=WAY,
    )
    interval: float | None = setting(
        None,
        "MCOM as it would be with frames that many seconds apart, so that nights with other rates can be compared.",
        above=0,
        only={"mode": CORRECTED},
        unset="as the frames come",
        panel=WAY,
    )
    ratios: str = setting(STEPS, "VCOM's distance ratios, FIRST:LAST:STEP.", metavar="FIRST:LAST:STEP", panel=WAY)
    betas: str = setting(STEPS, "MCOM's betas, FIRST:LAST:STEP.", metavar="FIRST:LAST:STEP", panel=WAY)
    mot15: bool = setting(
        False, "Read ground truth as MOT15's: no classes, all of it visible.", only={"mode": RELEASE}, panel=WAY
    )
    site: str | None = setting(
        None,
        "A regular expression: what it matches in a sequence's folder or name (its first group, if it has one) is the site.",
        unset="the folder around it, where there are several",
        metavar="REGEX",
        panel=WAY,
    )
    appearance: bool = setting(True, "Measure VCOM; without it there is no MOTCOM.", panel=LOOKS)
    encoder: str | None = setting(
        None,
        "Which encoder looks at the boxes; of a collection which of its embeddings is taken.",
        names=("--encoder", "-e"),
        unset=f"{DEFAULT}; the collection's default",
        only=_LOOKED,
        panel=LOOKS,
    )
    picture: str = setting(
        CROP,
        "What the encoder is shown: the box; the frame blurred around the box; or, as the public code does, that at full size "
        "and with vectors that are not made unit (networks that take any size).",
        choices=SHOWN,
        only=_LOOKED,
        panel=LOOKS,
    )
    blur_size: int = setting(
        201, "Side of the Gaussian, odd pixels.", low=1, high=4001, only={"picture": (BLURRED, RELEASE)}, panel=LOOKS
    )
    blur_sigma: float = setting(
        38.0, "Its deviation, pixels.", above=0, high=2000, only={"picture": (BLURRED, RELEASE)}, panel=LOOKS
    )
    vectors: Path | None = setting(
        None,
        "Vectors made elsewhere: a .npz with <sequence>/frame, <sequence>/id and <sequence>/feat.",
        file=True,
        only={"appearance": True},
        panel=LOOKS,
    )
    images: Path | None = setting(None, "Folder of the pictures, where they are not beside the tables.", file=True, panel=LOOKS)
    work: Path | None = setting(
        None,
        "Keep the encoder's vectors in this folder: another run takes them from there.",
        only=_LOOKED,
        unset="beside the report, until it is written",
        panel=LOOKS,
    )
    device: str = changed(ComputeSettings, "device", only=_COMPUTED)
    precision: str = changed(ComputeSettings, "precision", only=_COMPUTED)
    backend: str = changed(ComputeSettings, "backend", only=_COMPUTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ratios", "betas"):
            steps(getattr(self, name), name)
        if self.blur_size % 2 == 0:
            raise SettingError(f"--blur-size {self.blur_size}: it has a middle, so it must be odd")
        if self.site is not None:
            try:
                re.compile(self.site)
            except re.error as error:
                raise SettingError(f"--site '{self.site}' is no regular expression: {error}") from error

    @property
    def chosen_classes(self) -> tuple[str, ...] | None:
        """The classes that were named; None where none were."""
        if self.classes is None:
            return None
        return tuple(part.strip() for part in self.classes.split(",") if part.strip())


def steps(text: str, name: str) -> tuple[float, float, float]:
    """ "0.01:1:0.01" -> (0.01, 1.0, 0.01). Raises SettingError."""
    try:
        first, last, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise SettingError(f"--{name} '{text}': write FIRST:LAST:STEP, such as {STEPS}") from None
    if not (0 < first <= last < 1e9 and step > 0 and (last - first) / step < 10_000):
        raise SettingError(f"--{name} '{text}' must rise from above 0 by a step above 0, to 10,000 values at most")
    return first, last, step
