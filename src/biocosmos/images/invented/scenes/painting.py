"""Frames of a scene as photographs."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.photograph import FINER, Pixels, jpeg_of
from biocosmos.images.invented.scenes.detections import spots_of
from biocosmos.images.invented.scenes.moths import Moth, turned
from biocosmos.images.invented.scenes.scene import Glimpse, Glimpses, Scene

STEPS = 90
"""Directions in which a moth is drawn; in between the nearest is taken."""
ROOM = 0.95
"""Half the side of a drawing over the extent of the moth: legs and antennae reach out."""
SHADOW, SHADOW_OFF = 0.38, 0.05
NOISE, FLICKER = 3.0, 0.02
"""Grey levels of each frame, and standard deviation of its light."""
GRAIN = 64
"""Pixels by which the field of noise is larger than a frame, which cuts its own part out of it."""


class Painter:
    """Paints a scene. spots: stains of its screen."""

    def __init__(self, scene: Scene, spots: int = 0) -> None:
        self.scene = scene
        self.screen = _screen(scene, spots)
        size = (scene.conditions.height + GRAIN, scene.conditions.width + GRAIN)
        self.grain = np.rint(chance(scene.seed, "grain").standard_normal(size) * NOISE).astype(np.int16)

    def frame(self, glimpses: Glimpses, seconds: float) -> Pixels:
        """(height, width, 3) uint8 RGB of the scene at a moment."""
        image = Image.fromarray(self.screen)
        for glimpse in glimpses:
            self._put(image, glimpse)
        random = chance(self.scene.seed, "photograph", f"{seconds:.3f}")
        light = 1 + float(random.normal(0, FLICKER))
        image = image.point(lambda value: min(255.0, value * light))
        top, left = random.integers(0, GRAIN, 2).tolist()
        noise = self.grain[top : top + image.height, left : left + image.width, None]
        return np.asarray(np.clip(np.asarray(image, np.int16) + noise, 0, 255), np.uint8)

    def jpeg(self, glimpses: Glimpses, seconds: float) -> bytes:
        """:meth:`frame` as a file."""
        return jpeg_of(self.frame(glimpses, seconds))

    def _put(self, image: Image.Image, glimpse: Glimpse) -> None:
        extent = max(4, round(self.scene.extent(glimpse.moth)))
        direction = round(glimpse.heading / (2 * math.pi) * STEPS) % STEPS
        drawing, mask, shadow = _drawing(self.scene.moths[glimpse.moth], glimpse.wings, direction, extent)
        x, y = round(glimpse.x - drawing.width / 2), round(glimpse.y - drawing.height / 2)
        off = max(1, round(SHADOW_OFF * extent))
        image.paste((50, 46, 44), (x + off, y + off), shadow)
        image.paste(drawing, (x, y), mask)


@lru_cache(maxsize=512)
def _drawing(moth: Moth, wings: bool, direction: int, extent: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    """A moth in colour, what of the drawing is moth, and its shadow."""
    side = 2 * math.ceil(ROOM * extent)
    fine, heading = side * FINER, direction * 2 * math.pi / STEPS
    colours, mask = Image.new("RGB", (fine, fine), (170, 165, 158)), Image.new("L", (fine, fine), 0)
    pen, inside = ImageDraw.Draw(colours, "RGBA"), ImageDraw.Draw(mask)
    for shape in moth.drawn(wings):
        points = list(map(tuple, turned(shape.points, heading, fine / 2, fine / 2, extent * FINER).tolist()))
        if shape.width is None:
            pen.polygon(points, fill=(*shape.colour, shape.alpha))
            inside.polygon(points, fill=255)
        else:
            width = max(1, round(shape.width * extent * FINER))
            pen.line(points, fill=(*shape.colour, shape.alpha), width=width)
            inside.line(points, fill=255, width=width)
    small = (side, side)
    mask = mask.resize(small, Image.Resampling.BOX)
    shadow = mask.filter(ImageFilter.GaussianBlur(max(1.0, 0.03 * extent))).point(lambda value: value * SHADOW)
    return colours.resize(small, Image.Resampling.BOX), mask, shadow


def _screen(scene: Scene, spots: int) -> Pixels:
    """(height, width, 3) uint8: the cloth, lit by a lamp, with folds, a weave and stains."""
    width, height = scene.conditions.width, scene.conditions.height
    random = chance(scene.seed, "screen")
    x, y = np.linspace(-1, 1, width, dtype=np.float32)[None, :], np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    lamp = random.uniform(-0.4, 0.4, 2)
    light = 1.05 - 0.28 * ((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2)
    for _ in range(4):
        across, phase = random.uniform(-3, 3, 2), random.uniform(0, 2 * math.pi)
        light = light + 0.018 * np.sin(across[0] * x + across[1] * y + phase)
    colour = np.array([206.0, 210.0, 220.0]) + random.normal(0, 6, 3)
    values = light[:, :, None] * colour.astype(np.float32) + random.normal(0, 2.5, (height, width, 1))
    image = Image.fromarray(np.clip(values, 0, 250).astype(np.uint8))
    pen = ImageDraw.Draw(image, "RGBA")
    for left, top, wide, high in spots_of(scene, spots).tolist():
        pen.ellipse((left, top, left + wide, top + high), fill=(120, 105, 90, 150))
        pen.ellipse((left + wide / 4, top + high / 4, left + wide * 0.8, top + high * 0.7), fill=(95, 80, 66, 140))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)))
