"""Legs, antennae, and what a tail bears."""

from __future__ import annotations

import math

import numpy as np

from biocosmos.images.invented.anatomy import Trunk
from biocosmos.images.invented.colours import colour_of, mixed
from biocosmos.images.invented.pose import Pose
from biocosmos.images.invented.shapes import Colour, Points, Shape, walk
from biocosmos.images.invented.traits import Traits

PARTS = (0.42, 0.36, 0.22)
"""Femur, tibia and tarsus, of a leg's length."""
DARK: Colour = (22, 16, 12)
PALE: Colour = (235, 215, 160)
STEPS = 8
"""Of an antenna."""
JITTER = 0.16
"""Of a leg's angle, radians."""
FEW, JUMPS = 4, 1.6
"""Pairs of legs up to which all are on the thorax; how much longer the last pair is of what jumps."""


def legs(traits: Traits, trunk: Trunk, pose: Pose, random: np.random.Generator) -> list[Shape]:
    """All legs, from the hindmost."""
    pairs, found = traits.plan.leg_pairs, list[Shape]()
    colour, thick = colour_of(traits.colour("leg"), lighter=-0.3), traits.number("leg_thick")
    many, longer = pairs > FEW, traits.number("hind_leg")
    for pair in reversed(range(pairs)):
        place, hindmost = pair / (pairs - 1), pair == pairs - 1 and not many
        length = (
            traits.number("leg_length") * (0.5 if many else 0.9 if traits.plan.one_part else 0.62) * (longer if hindmost else 1)
        )
        knee = traits.number("knee") * (-0.8 if place < 0.4 else 0.9) * (0.3 if many else 1)
        outwards = math.radians(70 + 45 * place if many else float(np.interp(place, [0, 0.5, 1], [42, 92, 138])))
        for side in (-1, 1):
            jitter, kept = random.normal(0, JITTER, 2), random.random() >= pose.lost
            if not kept:
                continue
            sheet, start, reach, off = (trunk.abdomen, 0.06, 0.86, 0.85) if many else (trunk.thorax, 0.2, 0.62, 0.7)
            if traits.plan.one_part:
                sheet, start, reach = trunk.abdomen, 0.02, 0.4
            first = outwards + jitter[0]
            angles = [side * first, side * (first + knee + jitter[1]), side * (first + knee * 1.25 + jitter[1])]
            line = walk(sheet.point(start + reach * place, side * off), angles, [part * length for part in PARTS])
            found += _leg(traits, line, colour, thick * (1.4 if hindmost and longer > JUMPS else 1))
    return found


def _leg(traits: Traits, line: Points, colour: Colour, thick: float) -> list[Shape]:
    kind = traits.choice("leg")
    feet = mixed(colour, DARK, 0.7) if kind == "dark_feet" else colour
    found = [
        Shape(line[2:], feet, 255, thick * 0.45),
        Shape(line[1:3], colour, 255, thick * 0.7),
        Shape(line[:2], mixed(colour, DARK, 0.12), 255, thick * 1.15),
    ]
    if kind == "ringed":
        for start, end in ((0.2, 0.38), (0.6, 0.78)):
            piece = np.stack([line[1] + (line[2] - line[1]) * part for part in (start, end)])
            found.append(Shape(piece, mixed(colour, PALE if sum(colour) < 330 else DARK, 0.75), 255, thick * 0.75))
    elif kind == "pale_knees":
        piece = np.stack([line[0] + (line[1] - line[0]) * 0.8, line[1]])
        found.append(Shape(piece, mixed(colour, PALE, 0.8), 255, thick * 1.1))
    return found


def antennae(traits: Traits, trunk: Trunk, pose: Pose, random: np.random.Generator) -> list[Shape]:
    """Both antennae."""
    length, kind = traits.number("antenna"), traits.choice("antenna")
    colour = mixed(colour_of(traits.colour("leg")), DARK, 0.35)
    found = list[Shape]()
    for side in (-1, 1):
        jitter, kept = random.normal(0, 0.12, 2), random.random() >= pose.lost
        if not kept or (traits.plan.leg_pairs == 4 and length < 0.3):
            continue
        root = trunk.front.point(0.2, side * 0.45)
        start = math.radians(28) + jitter[0]
        curve = np.linspace(0, traits.number("antenna_bend") + jitter[1], STEPS)
        if kind == "elbow":
            curve = np.where(np.arange(STEPS) < 3, 0.25, 0.95) + 0.3 * curve
        line = walk(root, (side * (start + curve)).tolist(), [length / STEPS] * STEPS)
        found.append(Shape(line, colour, 255, 0.011))
        if kind == "club":
            found.append(Shape(line[-3:], colour, 255, 0.034))
        elif kind == "beads":
            found += [Shape(line[i : i + 2][:1] + np.array([[0, 0], [0.012, 0]]), colour, 255, 0.024) for i in range(1, STEPS)]
        elif kind == "feather":
            for i in range(1, STEPS):
                ahead = side * (start + curve[i - 1])
                for off in (-0.9, 0.9):
                    branch = 0.13 * length * (1 - i / STEPS / 1.3)
                    end = line[i] + branch * np.array([math.cos(ahead + off), math.sin(ahead + off)])
                    found.append(Shape(np.stack([line[i], end]), colour, 220, 0.006))
    return found


def tail(traits: Traits, trunk: Trunk, random: np.random.Generator) -> list[Shape]:
    """What stands behind the abdomen."""
    kind, length = traits.choice("tail"), traits.number("tail")
    colour = mixed(colour_of(traits.colour("leg")), DARK, 0.3)
    start = trunk.abdomen.point(0.95, 0.0)
    heading = trunk.abdomen.angle + trunk.abdomen.bend
    angles = {"none": (), "sting": (0.0,), "cerci": (-0.35, 0.35), "threads": (-0.3, 0.0, 0.3), "pincers": (-0.45, 0.45)}[kind]
    longer, thick = {"sting": (0.5, 0.014), "pincers": (0.4, 0.026), "cerci": (0.45, 0.013)}.get(kind, (1.0, 0.008))
    found = list[Shape]()
    for angle in angles:
        inwards = -1.6 * angle if kind == "pincers" else 0.3 * angle
        turns = heading + angle + np.linspace(0, inwards, 5) + random.normal(0, 0.03)
        found.append(Shape(walk(start, turns.tolist(), [length * longer / 5] * 5), colour, 255, thick))
    return found
