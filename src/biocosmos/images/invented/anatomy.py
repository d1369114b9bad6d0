"""Where the parts of a specimen lie: trunk and wings, from its traits and its pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from biocosmos.images.invented.pose import Pose
from biocosmos.images.invented.shapes import PLACES, Along, Sheet
from biocosmos.images.invented.traits import Traits

HEAD_LENGTH = {"round": 0.75, "square": 0.8, "snout": 1.3}
"""Over its width."""
WIDEST_HEAD, LONGEST_HEAD = 0.42, 0.3
ONE_PART = 0.6
"""Width of what stands before the abdomen in mites, over it."""
WING_ROOTS = (0.42, 0.72)
"""Places along the thorax of fore and hind wings."""
LEAST_OPEN, MOST_OPEN = 3.0, 125.0
"""Degrees of a wing from the tail."""


@dataclass(frozen=True)
class Trunk:
    """The parts of the body, front to back; head is None where it is one with the thorax. width: of the body."""

    head: Sheet | None
    thorax: Sheet
    abdomen: Sheet
    width: float

    @property
    def front(self) -> Sheet:
        """What bears eyes and antennae."""
        return self.thorax if self.head is None else self.head


def trunk_of(traits: Traits, pose: Pose) -> Trunk:
    """The body, 1 long, its middle near the origin, the head towards x."""
    width = traits.number("slender")
    head, length = None, 0.0
    if not traits.plan.two_parts:
        across = min(width * traits.number("head"), WIDEST_HEAD)
        length = min(across * HEAD_LENGTH[traits.choice("head")], LONGEST_HEAD)
        outline = across / 2 * _head(traits.choice("head"))
        head = Sheet((0.5, 0.0), math.pi + pose.bend * 0.05, length, outline, outline)
    thorax_length = (1.0 - length) * traits.number("thorax")
    shoulders, waist = traits.number("shoulders"), traits.number("waist")
    outline = width / 2 * min(1.0, shoulders) * _thorax(waist) * (ONE_PART if traits.plan.one_part else 1.0)
    thorax = Sheet((0.5 - 0.9 * length, 0.0), math.pi + pose.bend * 0.2, thorax_length * 1.03, outline, outline)
    outline = width / 2 / max(1.0, shoulders) * _abdomen(traits, waist)
    abdomen_length = (1.0 - length - thorax_length) * pose.stretch
    abdomen = Sheet(thorax.point(0.97, 0.0), math.pi + pose.bend * 0.3, abdomen_length, outline, outline, pose.bend)
    return Trunk(head, thorax, abdomen, width)


def _head(kind: str) -> Along:
    t = PLACES
    if kind == "square":
        return np.asarray(np.clip(np.minimum(t, 1 - t) / 0.2, 0.0, 1.0) ** 0.4)
    if kind == "snout":
        return np.where(t < 0.45, 0.22 + 0.2 * t, np.sin(math.pi * np.clip((t - 0.3) / 0.75, 0, 1)) ** 0.6)
    return np.asarray(np.sin(math.pi * t) ** 0.5)


def _thorax(waist: float) -> Along:
    t = PLACES
    front = 0.55 + 0.45 * np.sin(math.pi * np.clip(t * 0.9 + 0.12, 0, 1))
    ends = np.clip((1 - t) / 0.12, 0.12, 1) ** 0.5 * np.clip(t / 0.08, 0.2, 1) ** 0.5
    return np.asarray(front * ends * (1 - 0.7 * waist * np.clip((t - 0.7) / 0.3, 0, 1)))


def _abdomen(traits: Traits, waist: float) -> Along:
    t, belly = PLACES, traits.number("belly")
    before = (1 - waist) + waist * np.sin(0.5 * math.pi * np.clip(t / belly, 0, 1)) ** (0.7 + waist)
    after = np.cos(0.5 * math.pi * np.clip((t - belly) / (1 - belly), 0, 1)) ** (0.25 + 0.9 * traits.number("taper"))
    root = np.clip(t / 0.06, 0.0, 1.0) ** 0.5
    return np.where(t < belly, before * (0.35 + 0.65 * root), after)


def wing_of(traits: Traits, trunk: Trunk, pair: int, side: int, pose: Pose) -> Sheet:
    """A wing. pair: 0 fore, 1 hind; side: 1 left, -1 right."""
    length = traits.number("wing_length") * (1 + 0.25 * trunk.width) * (1.0 if pair == 0 else traits.number("hind"))
    width = length * traits.number("wing_width") * (1.0 if pair == 0 else 1.12)
    lead, tip = traits.number("wing_lead"), traits.number("wing_tip")
    opened = traits.number("wing_angle") + pose.wings - (0 if pair == 0 else 14)
    profile = (0.08 + 0.92 * np.clip(PLACES / 0.55, 0, 1) ** 0.75) * np.clip((1 - PLACES) / 0.45, 0, 1) ** (0.42 * tip)
    leading, trailing = width * lead * profile, width * (1 - lead) * profile
    # backwards along the body, opened outwards; the leading edge lies outwards
    direction = math.pi - side * math.radians(min(max(opened, LEAST_OPEN), MOST_OPEN))
    left, right = (trailing, leading) if side > 0 else (leading, trailing)
    return Sheet(trunk.thorax.point(WING_ROOTS[pair], 0.72 * side), direction, length, left, right, side * 0.12)
