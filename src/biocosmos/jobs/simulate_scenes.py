"""Made-up nights on the screen of a light trap, as sequences: boxes of moths and of a detector, with or without pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biocosmos.settings import SettingError, check, setting

if TYPE_CHECKING:
    import numpy as np

    from biocosmos.images.invented.scenes import Conditions, Glimpses, Scene
    from biocosmos.images.invented.traits import Inheritance
    from biocosmos.sequences import Boxes

NIGHTS, DETECTOR, SCREEN = "Nights", "The detector", "The screen"
RANKS = ("order", "family", "genus", "species")
ORDER = "Lepidoptera"
IN_A_GENUS, IN_A_FAMILY = 2, 3
SEEDS = 100_003
"""Nights of a seed have numbers below."""
_RANGE = "LOW,HIGH"


@dataclass(frozen=True)
class SimulateScenesSettings:
    """What nights are like. Of two numbers, lowest and highest, every night draws its own, evenly in the logarithm."""

    seed: int = setting(0, "Seed of every random choice.", low=0)
    sequences: int = setting(10, "Nights in all; each is a sequence at every --interval.", low=1, below=SEEDS)
    interval: tuple[float, ...] = setting(
        (3.0,), "Seconds from frame to frame; several intervals look at the same moths of the same nights.", low=0.04
    )
    minutes: float = setting(10.0, "How long a night lasts.", above=0, high=1440)
    density: tuple[float, ...] = setting(
        (2.0, 20.0), "Moths on the screen at a time.", above=0, high=200, metavar=_RANGE, panel=NIGHTS
    )
    body: tuple[float, ...] = setting(
        (0.05, 0.12), "Extent of a moth over the width of the screen.", low=0.01, high=0.5, metavar=_RANGE, panel=NIGHTS
    )
    speed: tuple[float, ...] = setting(
        (0.1, 0.6), "Extents a second of a moth that walks.", above=0, high=20, metavar=_RANGE, panel=NIGHTS
    )
    restless: tuple[float, ...] = setting(
        (0.05, 0.35), "Part of its time that a moth walks.", low=0.001, high=0.99, metavar=_RANGE, panel=NIGHTS
    )
    species: int = setting(8, "Species, of which each night has its own common ones.", low=1, high=5000, panel=NIGHTS)
    one_class: bool = setting(
        False, "Call every moth class 1, the only one that some public tools count, not its species.", panel=NIGHTS
    )
    width: int = setting(640, "Pixels.", low=64, high=8192, panel=SCREEN)
    height: int = setting(480, "Pixels.", low=64, high=8192, panel=SCREEN)
    pictures: bool = setting(True, "Paint the frames; --no-pictures writes boxes and times alone.", panel=SCREEN)
    miss: float = setting(0.05, "Part of the moths in full view that it does not find.", low=0, high=1, panel=DETECTOR)
    alarms: float = setting(0.1, "Boxes around nothing, a frame.", low=0, high=100, panel=DETECTOR)
    jitter: float = setting(0.03, "How far an edge is off, over the extent of the box.", low=0, high=0.5, panel=DETECTOR)
    spots: int = setting(1, "Stains of the screen that are taken for moths now and then.", low=0, high=1000, panel=DETECTOR)

    def __post_init__(self) -> None:
        check(self)
        for name in ("density", "body", "speed", "restless"):
            values = getattr(self, name)
            if not 1 <= len(values) <= 2 or values[0] > values[-1]:
                told = ",".join(map(str, values))
                raise SettingError(f"--{name} must be one number, or the lowest and the highest, not {told}")
        if not self.interval or len({f"{value:g}" for value in self.interval}) < len(self.interval):
            raise SettingError(f"--interval must name every interval once, not {','.join(map(str, self.interval)) or 'none'}")
        if max(self.interval) > 60 * self.minutes:
            raise SettingError(f"--interval {max(self.interval):g} is longer than a night of --minutes {self.minutes:g}")


STANDARD = SimulateScenesSettings()


@dataclass(frozen=True)
class SceneSequence:
    """One night at one interval.

    scene, conditions: the world it looks at. truth: every moth, with its track, species and visibility. detections: what a
    detector found, with confidences; ``moth`` (n,) int64 is the number of the moth in each of its boxes, -1 for none (tracks are
    counted from 1: moth + 1), ``looks`` (n, 24) float64 stands in for the vector an encoder would give its crop. glimpses: of
    each frame.
    """

    scene: Scene
    conditions: Conditions
    interval: float
    truth: Boxes
    detections: Boxes
    moth: np.ndarray
    looks: np.ndarray
    glimpses: list[Glimpses]


def species_of(settings: SimulateScenesSettings) -> list[tuple[str, ...]]:
    """Names of order, family, genus and species: three genera to a family, two species to a genus."""
    from biocosmos.barcodes.invented_names import epithet, family_name, genus_name

    found = list[tuple[str, ...]]()
    for number in range(settings.species):
        genus = number // IN_A_GENUS
        name = genus_name(genus, settings.seed)
        family = family_name(genus // IN_A_FAMILY * IN_A_FAMILY, settings.seed)
        found.append((ORDER, family, name, f"{name} {epithet(number, settings.seed)}"))
    return found


def conditions_of(settings: SimulateScenesSettings, number: int) -> Conditions:
    """What the night of a number is like."""
    from biocosmos.images.invented.chance import chance
    from biocosmos.images.invented.scenes import Conditions

    drawn: dict[str, Any] = {}
    for name in ("density", "body", "speed", "restless"):
        low, high = (math.log(value) for value in (getattr(settings, name)[0], getattr(settings, name)[-1]))
        drawn[name] = math.exp(float(chance(settings.seed, "night", str(number), name).uniform(low, high)))
    return Conditions(settings.width, settings.height, 60 * settings.minutes, **drawn)


def scene_sequences(settings: SimulateScenesSettings = STANDARD) -> Iterator[SceneSequence]:
    """Night after night, each at every interval; the same settings give the same. Nothing is painted."""
    from biocosmos.images.invented import Inheritance

    inheritance, species = Inheritance(settings.seed, RANKS), species_of(settings)
    for number in range(settings.sequences):
        yield from _night(settings, number, species, inheritance)


def _night(
    settings: SimulateScenesSettings, number: int, species: list[tuple[str, ...]], inheritance: Inheritance
) -> Iterator[SceneSequence]:
    from biocosmos.images.invented.scenes import Detector, Scene
    from biocosmos.images.invented.scenes.detections import detect

    conditions = conditions_of(settings, number)
    scene = Scene(conditions, settings.seed * SEEDS + number, species, inheritance)
    detector = Detector(settings.miss, settings.alarms, settings.spots, settings.jitter)
    seen: dict[float, Any] = {}
    for interval in settings.interval:
        moments = [round(frame * interval, 3) for frame in range(1 + int(conditions.seconds / interval + 1e-9))]
        for moment in moments:
            if moment not in seen:
                glimpses = scene.at(moment)
                seen[moment] = (glimpses, detect(scene, glimpses, moment, detector))
        name = f"scene-{settings.seed}-{number + 1:03d}-{interval:g}s"
        yield _sequence(name, scene, interval, moments, [seen[moment] for moment in moments])


def _sequence(name: str, scene: Scene, interval: float, moments: list[float], seen: list[Any]) -> SceneSequence:
    import numpy as np

    from biocosmos.sequences import Boxes, Frames

    conditions = scene.conditions
    files = tuple(f"img1/{number:06d}.jpg" for number in range(1, len(moments) + 1))
    numbers = np.arange(1, len(moments) + 1)
    frames = Frames(numbers, np.array(moments), files, conditions.width, conditions.height, 1 / interval)
    glimpses, found = [each[0] for each in seen], [each[1] for each in seen]
    rows = [(frame, glimpse) for frame, each in enumerate(glimpses) for glimpse in sorted(each, key=lambda glimpse: glimpse.moth)]
    truth = Boxes(
        name,
        frames,
        np.array([frame for frame, _ in rows], np.int64),
        np.array([glimpse.box for _, glimpse in rows]).reshape(-1, 4),
        track=np.array([str(glimpse.moth + 1) for _, glimpse in rows], object),
        label=np.array([scene.moths[glimpse.moth].path[-1] for _, glimpse in rows], object),
        visibility=np.array([glimpse.visibility for _, glimpse in rows], np.float64),
    )
    counts = [len(each.box) for each in found]
    box, confidence, moth, looks = (
        np.concatenate([getattr(each, column) for each in found]) for column in ("box", "confidence", "moth", "looks")
    )
    detections = Boxes(name, frames, np.repeat(np.arange(len(found)), counts), box, confidence=confidence)
    return SceneSequence(scene, conditions, interval, truth, detections, moth, looks, glimpses)
