"""Colours of arthropods: mostly browns, yellows and blacks, sometimes green, blue or red."""

from __future__ import annotations

import colorsys
import math

from biocosmos.images.invented.shapes import Colour

BROWN, TURN, RARE, FAR = 32.0, 20.0, 0.9, 55.0
"""Hue in degrees, and how it changes with its logit: slowly at first, fast where it is rare."""


def _part(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def colour_of(logits: tuple[float, float, float], lighter: float = 0.0, duller: float = 0.0) -> Colour:
    """RGB of logits of hue, saturation and lightness."""
    hue, saturation, lightness = logits
    degrees = BROWN + TURN * hue + math.copysign(FAR * max(0.0, abs(hue) - RARE), hue)
    value = 0.07 + 0.86 * _part(1.7 * lightness - 0.5 + lighter)
    red, green, blue = colorsys.hsv_to_rgb(degrees % 360 / 360, 0.08 + 0.78 * _part(1.5 * saturation - duller), value)
    return round(255 * red), round(255 * green), round(255 * blue)


def mixed(one: Colour, other: Colour, part: float) -> Colour:
    """``part`` of the other colour in the one."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other))
    return red, green, blue


def brightness(colour: Colour) -> float:
    """0 to 255."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def apart(colour: Colour, ground: Colour, least: float = 75.0) -> Colour:
    """The colour, made lighter or darker until it can be seen on a ground."""
    difference = brightness(colour) - brightness(ground)
    if abs(difference) >= least:
        return colour
    lighter = (difference > 0 and brightness(ground) < 170) or brightness(ground) < 85
    end: Colour = (255, 250, 235) if lighter else (12, 8, 6)
    return mixed(colour, end, min(1.0, (least - abs(difference)) / 130 + 0.1))
