"""What a detector makes of a scene: boxes that are off a little, misses, alarms about nothing, and looks with noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.images.boxes import overlap
from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.scenes.conditions import Detector
from biocosmos.images.invented.scenes.moths import LOOKS
from biocosmos.images.invented.scenes.scene import Glimpse, Glimpses, Scene, clipped

Array = npt.NDArray[np.float64]
STANDARD = Detector()
SPOT_SEEN = 0.25
"""Part of the frames in which a stain is taken for a moth."""
NOISE, POSE = 0.03, 0.07
"""Standard deviations of each number of a vector of looks: what a photograph adds, and what a pose does, until the moth moves.

With them the looks tell individuals apart about as well as efficientnet-lite0 does on the painted frames: on 712 crops of four
nights at 30 seconds the nearest other crop is the same moth's for 0.76 (0.79 by the encoder), and a crop of the same moth is
nearer than one of another with 0.87 (0.87).
"""
ALARM_CONFIDENCE, CONFIDENCE = (2.0, 3.0), (8.0, 2.0)
"""Of the beta distributions of confidences of alarms, and of moths in full view."""


@dataclass(frozen=True)
class Detections:
    """Of one frame. box (n, 4), confidence (n,), moth (n,) int64 with -1 for nothing, looks (n, LOOKS) float64."""

    box: Array
    confidence: Array
    moth: npt.NDArray[np.int64]
    looks: Array


def spots_of(scene: Scene, number: int) -> Array:
    """(number, 4) boxes of the stains of the screen."""
    random, conditions = chance(scene.seed, "spots"), scene.conditions
    size = conditions.body * conditions.width * random.uniform(0.3, 0.8, (number, 2))
    place = random.uniform(0, 1, (number, 2)) * (np.array([conditions.width, conditions.height]) - size)
    return np.concatenate([place, size], axis=1)


def looks_in(scene: Scene, glimpse: Glimpse) -> Array:
    """(LOOKS,) the looks of a moth as it sits."""
    pose = chance(scene.seed, "pose", str(glimpse.moth), f"{glimpse.x:.1f} {glimpse.y:.1f} {glimpse.heading:.2f} {glimpse.wings}")
    return scene.moths[glimpse.moth].looks() + pose.normal(0, POSE, LOOKS)


def detect(scene: Scene, glimpses: Glimpses, seconds: float, detector: Detector = STANDARD) -> Detections:
    """What is found at a moment, the same however often a frame is taken; by falling confidence."""
    random = chance(scene.seed, "detections", f"{seconds:.3f}")
    rows: list[tuple[Array, float, int, Array]] = []
    for glimpse in glimpses:
        own = chance(scene.seed, "detection", f"{seconds:.3f}", str(glimpse.moth))
        missed = detector.miss + (1 - detector.miss) * (1 - glimpse.visibility) ** 2
        off = own.normal(0, detector.jitter, 4) * np.tile(glimpse.box[2:], 2)
        confidence = own.beta(*CONFIDENCE) * (0.6 + 0.4 * glimpse.visibility)
        looks = looks_in(scene, glimpse) + own.normal(0, NOISE, LOOKS)
        hidden = [other for other in glimpses if other.level > glimpse.level]
        if hidden and glimpse.visibility < 1:  # what lies over it is in its crop too
            nearest = min(hidden, key=lambda other: (other.x - glimpse.x) ** 2 + (other.y - glimpse.y) ** 2)
            looks += (1 - glimpse.visibility) * (scene.moths[nearest.moth].looks() - looks)
        if own.random() >= missed:
            edges = np.array([off[0], off[1], off[2] - off[0], off[3] - off[1]])
            rows.append((glimpse.box + edges, confidence, glimpse.moth, looks))
    for place in spots_of(scene, detector.spots):
        if random.random() < SPOT_SEEN:
            rows.append(_alarm(random, place * (1 + random.normal(0, 0.002, 4)), scene, "spot"))
    extent = scene.conditions.body * scene.conditions.width
    for _ in range(int(random.poisson(detector.alarms))):
        size = extent * random.uniform(0.3, 1.2, 2)
        place = random.uniform(0, 1, 2) * (np.array([scene.conditions.width, scene.conditions.height]) - size)
        rows.append(_alarm(random, np.concatenate([place, size]), scene, f"{seconds:.3f}"))
    return _kept(rows, scene, detector)


def _alarm(random: np.random.Generator, box: Array, scene: Scene, word: str) -> tuple[Array, float, int, Array]:
    """A box around nothing: a stain looks alike whenever it is seen."""
    same = chance(scene.seed, "alarm", word).normal(0, 1 / np.sqrt(LOOKS), LOOKS)
    return box, float(random.beta(*ALARM_CONFIDENCE)), -1, same + random.normal(0, NOISE, LOOKS)


def _kept(rows: list[tuple[Array, float, int, Array]], scene: Scene, detector: Detector) -> Detections:
    """Sorted by confidence, without what overlaps a surer box too much, inside the picture."""
    inside = np.array([0.0, 0.0, scene.conditions.width, scene.conditions.height])
    kept: list[tuple[Array, float, int, Array]] = []
    for box, confidence, moth, looks in sorted(rows, key=lambda row: -row[1]):
        box = clipped(box, inside)
        surer = np.reshape([other[0] for other in kept], (-1, 4))
        if box[2] >= 2 and box[3] >= 2 and (overlap(box[None], surer) <= detector.together).all():
            kept.append((box, confidence, moth, looks))
    if not kept:
        return Detections(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64), np.empty((0, LOOKS)))
    boxes, looks = np.array([row[0] for row in kept]), np.array([row[3] for row in kept])
    return Detections(boxes, np.array([row[1] for row in kept]), np.array([row[2] for row in kept], np.int64), looks)
