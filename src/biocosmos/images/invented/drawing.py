"""A specimen from its traits and its pose, as shapes from the lowest to the highest."""

from __future__ import annotations

import math

import numpy as np

from biocosmos.images.invented.anatomy import Trunk, trunk_of, wing_of
from biocosmos.images.invented.colours import apart, brightness, colour_of, mixed
from biocosmos.images.invented.limbs import antennae, legs, tail
from biocosmos.images.invented.pose import Pose
from biocosmos.images.invented.shapes import Colour, Shape, Sheet
from biocosmos.images.invented.traits import Traits

DARK: Colour = (18, 13, 10)
LIGHT: Colour = (255, 252, 240)
FOLDED = 50.0
"""Degrees up to which wings lie over the abdomen."""


def draw(traits: Traits, pose: Pose, random: np.random.Generator) -> list[Shape]:
    """Shapes of a specimen. random: of this specimen, for what a pose does not say."""
    trunk = trunk_of(traits, pose)
    body = colour_of(traits.colour("body"))
    back = mixed(colour_of(traits.colour("thorax")), body, 0.45)
    mark = apart(colour_of(traits.colour("mark")), body)
    shapes = [*legs(traits, trunk, pose, random), *antennae(traits, trunk, pose, random), *tail(traits, trunk, random)]
    abdomen = [*_part(trunk.abdomen, body, traits.number("shine")), *_abdomen(traits, trunk, body, mark)]
    over = _wings(traits, trunk, pose)
    folded = traits.number("wing_angle") + pose.wings < FOLDED
    shapes += [*abdomen, *over] if folded else [*over, *abdomen]
    shapes += [*_part(trunk.thorax, back, traits.number("shine")), *_back(traits, trunk.thorax, back, apart(mark, back))]
    if trunk.head is not None:
        shapes += _part(trunk.head, mixed(back, body, 0.3), traits.number("shine"))
    return shapes + _eyes(traits, trunk) + _hairs(traits, trunk, body, random)


def _part(sheet: Sheet, colour: Colour, shine: float) -> list[Shape]:
    """A part of the body, round: darker towards its edges, lighter where light falls."""
    found = [
        Shape(sheet.area(), mixed(colour, DARK, 0.45), shade=True),
        Shape(sheet.area(0.01, 0.99, -0.9, 0.92), mixed(colour, DARK, 0.18)),
        Shape(sheet.area(0.03, 0.97, -0.7, 0.78), colour),
        Shape(sheet.area(0.07, 0.93, -0.25, 0.55), mixed(colour, LIGHT, 0.10)),
    ]
    if shine > 0.35:
        found.append(Shape(sheet.area(0.15, 0.8, 0.12, 0.4), LIGHT, round(95 * (shine - 0.2))))
    return found


def _abdomen(traits: Traits, trunk: Trunk, body: Colour, mark: Colour) -> list[Shape]:
    sheet, segments = trunk.abdomen, round(traits.number("segments"))
    found = _marks(traits, sheet, mark)
    line = mixed(body, DARK, 0.6)
    if traits.plan.elytra:
        found += [Shape(sheet.along(0.0, 0.02, 0.98), line, 230, 0.012)]
        striae = round(traits.number("veins"))
        across = [v for v in np.linspace(-0.85, 0.85, 2 * striae).tolist() if abs(v) > 0.1]
        found += [Shape(sheet.along(v, 0.05, 0.93), line, 90, 0.006) for v in across]
    elif segments > 3:
        found += [Shape(sheet.across(t, -0.97, 0.97, 0.02), line, 150, 0.009) for t in np.linspace(0, 1, segments + 1)[1:-1]]
    return found


def _marks(traits: Traits, sheet: Sheet, mark: Colour) -> list[Shape]:
    """The pattern of an abdomen, or of wing cases."""
    kind, found = traits.choice("abdomen"), list[Shape]()
    if kind == "bands":
        number, width = round(traits.number("bands")), traits.number("band_width")
        step = 0.92 / number
        for i in range(number):
            start = 0.05 + i * step + step * (1 - width) / 2
            found.append(Shape(sheet.area(start, start + step * width, -0.96, 0.96, 6), mark, 225))
    elif kind == "stripe":
        half, middles = traits.number("stripe"), [0.0]
        if traits.number("bands") > 4.5:
            half, middles = half / 2.5, [-0.45, 0.45]
        found += [Shape(sheet.area(0.04, 0.96, middle - half, middle + half), mark, 220) for middle in middles]
    elif kind == "spots":
        rows, radius = round(traits.number("spots")), traits.number("spot_size")
        half = sheet.half(0.5)
        for t in np.linspace(0.16, 0.84, rows):
            found += [Shape(sheet.spot(float(t), side * 0.5, radius * half, 1.2), mark, 235) for side in (-1, 1)]
    elif kind == "saddle":
        found.append(Shape(sheet.area(0.28, 0.72, -0.8, 0.8), mark, 215))
    elif kind == "tip":
        found.append(Shape(sheet.area(0.45 + 0.3 * traits.number("stripe"), 1.0), mark, 220))
    elif kind == "edge":
        found += [Shape(sheet.area(0.05, 0.95, low, low + 0.3), mark, 220) for low in (-0.98, 0.68)]
    return found


def _back(traits: Traits, sheet: Sheet, ground: Colour, mark: Colour) -> list[Shape]:
    kind = traits.choice("back")
    if kind == "stripes":
        number = 2 + (traits.number("bands") > 4)
        return [Shape(sheet.area(0.12, 0.88, v - 0.1, v + 0.1, 8), mark, 215) for v in np.linspace(-0.5, 0.5, number)]
    if kind == "collar":
        return [Shape(sheet.area(0.04, 0.26, -0.95, 0.95, 6), mark, 220)]
    if kind == "spot":
        half = sheet.half(0.5)
        return [Shape(sheet.spot(0.5, 0.0, half * 0.45, 1.1), mark, 220)]
    if kind == "halves":
        return [Shape(sheet.area(0.55, 0.98, -0.95, 0.95, 8), mark, 210)]
    return [Shape(sheet.along(0.0, 0.1, 0.9), mixed(ground, DARK, 0.4), 110, 0.008)]


def _wings(traits: Traits, trunk: Trunk, pose: Pose) -> list[Shape]:
    plan, found = traits.plan, list[Shape]()
    opacity = traits.number("opacity")
    tint = colour_of(traits.colour("wing"), lighter=1.6 * (1 - opacity), duller=1.4 * (1 - opacity))
    mark = apart(colour_of(traits.colour("wing_mark")), tint, 60)
    if plan.elytra:
        if pose.wings < 20:
            return []
        tint, opacity = colour_of(traits.colour("wing"), lighter=1.2, duller=1.2), 0.25
    for pair in reversed(range(plan.wing_pairs)):
        if plan.elytra and pair == 0:
            continue
        for side in (-1, 1):
            found += _wing(traits, wing_of(traits, trunk, pair, side, pose), tint, mark, opacity, pair)
    return found


def _wing(traits: Traits, sheet: Sheet, tint: Colour, mark: Colour, opacity: float, pair: int) -> list[Shape]:
    alpha = round(40 + 205 * opacity)
    vein = mixed(tint, DARK, 0.75 if opacity < 0.5 else 0.35)
    outline = sheet.area(steps=16)
    found = [Shape(outline, tint, alpha, shade=opacity > 0.4)]
    if opacity > 0.5:
        found.append(Shape(sheet.area(0.05, 0.9, -0.6, 0.6), mixed(tint, LIGHT, 0.12), 120))
    found += _wing_marks(traits, sheet, mark, pair)
    strength = round(200 - 110 * opacity)
    across = np.linspace(-0.8, 0.8, round(traits.number("veins")) + 1)
    found += [Shape(sheet.along(float(v), 0.02, 0.97), vein, strength, 0.007) for v in across]
    for i in range(max(0, round(traits.number("cross")))):
        t = 0.3 + 0.6 * (i * 0.618 % 1)
        low = -0.8 + 1.2 * (i * 0.383 % 1)
        found.append(Shape(sheet.across(t, low, low + 0.4), vein, strength, 0.006))
    found.append(Shape(np.concatenate([outline, outline[:1]]), vein, min(255, strength + 40), 0.008))
    return found


def _wing_marks(traits: Traits, sheet: Sheet, mark: Colour, pair: int) -> list[Shape]:
    kind, alpha = traits.choice("wing"), round(235 * traits.number("wing_mark_dark"))
    at, size, number = traits.number("wing_mark_at"), traits.number("wing_mark_size"), round(traits.number("wing_marks"))
    wide = 2 * sheet.half(0.5)
    if kind == "spots":
        places = [(0.25 + 0.6 * ((i + 1) * 0.618 % 1), -0.5 + (i * 0.755 % 1)) for i in range(number)]
        return [Shape(sheet.spot(t, v, size * wide * 0.7), mark, alpha) for t, v in places]
    if kind == "band":
        bands = np.linspace(at, max(0.2, at - 0.35), 1 + number // 3)
        return [Shape(sheet.area(t - size / 2.2, min(0.98, t + size / 2.2), -0.97, 0.97, 6), mark, alpha) for t in bands]
    if kind == "margin":
        return [Shape(sheet.area(0.1, 1.0, low, high), mark, alpha) for low, high in ((-1, -1 + size * 2), (1 - size * 2, 1))]
    if kind == "tip":
        return [Shape(sheet.area(min(0.9, 0.45 + at * 0.5), 1.0), mark, alpha)]
    if kind == "eyespot":
        radius = size * wide * 0.9
        ring = [Shape(sheet.spot(at, 0.0, radius), mark, 240), Shape(sheet.spot(at, 0.0, radius * 0.65), LIGHT, 200)]
        return [*ring, Shape(sheet.spot(at, 0.0, radius * 0.4), DARK, 240)]
    if kind == "mottled":
        places = [(0.12 + 0.8 * (i * 0.618 % 1), -0.75 + 1.5 * (i * 0.755 % 1)) for i in range(4 * number)]
        return [Shape(sheet.spot(t, v, size * wide * 0.35, 1.5), mark, alpha * 2 // 3) for t, v in places]
    return []


def _eyes(traits: Traits, trunk: Trunk) -> list[Shape]:
    colour = colour_of(traits.colour("eye"), lighter=-1.6)
    sheet, part = trunk.front, traits.number("eyes")
    if trunk.head is None:
        radius = 0.02 + 0.05 * part * trunk.width
        return [Shape(sheet.spot(0.1, v, radius), DARK, 230) for v in (-0.7, -0.25, 0.25, 0.7)]
    half = sheet.half(0.55)
    radius = half * part
    at = max(0.0, 1 - part * 0.75)
    found = list[Shape]()
    for side in (-1, 1):
        found.append(Shape(sheet.spot(0.52, side * at, radius, 1.25), colour))
        if radius > 0.03:
            found.append(Shape(sheet.spot(0.42, side * at * 0.95, radius * 0.3), mixed(colour, LIGHT, 0.5), 170))
    return found


def _hairs(traits: Traits, trunk: Trunk, body: Colour, random: np.random.Generator) -> list[Shape]:
    number = round(traits.number("hairs"))
    colour = mixed(body, DARK if brightness(body) > 70 else LIGHT, 0.5)
    found = list[Shape]()
    for i in range(max(0, number)):
        sheet = trunk.abdomen if i % 2 else trunk.thorax
        side, t = (1 if i % 4 < 2 else -1), float(random.uniform(0.1, 0.9))
        root = sheet.at(t, side * 0.95)
        angle = sheet.angle + side * -1.2
        end = root + 0.06 * np.array([math.cos(angle), math.sin(angle)])
        found.append(Shape(np.stack([root, end]), colour, 190, 0.006))
    return found
