"""Shapes on a tray under a light, as a photograph: JPEG."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageDraw, ImageFilter

from biocosmos.images.invented.pose import Pose
from biocosmos.images.invented.shapes import Points, Shape

FINER = 2
"""Pixels of the drawing for one of the picture, each way."""
MARGIN = 0.04
QUALITY = 90
SHADOW = 0.45
Pixels = npt.NDArray[np.uint8]


def photograph(shapes: list[Shape], pose: Pose, size: float, pixels: int, random: np.random.Generator) -> Pixels:
    """(pixels, pixels, 3) uint8. size: part of the frame that the specimen fills."""
    side = pixels * FINER
    placed, scale = _placed(shapes, pose, size, side)
    image = Image.new("RGB", (side, side), pose.ground)
    pen = ImageDraw.Draw(image, "RGBA")
    _debris(pen, pose, side, random)
    shadow = _shadow(shapes, placed, side, pose, scale)
    image.paste((60, 55, 52), (0, 0), shadow)
    pen = ImageDraw.Draw(image, "RGBA")
    for shape, points in zip(shapes, placed):
        _ink(pen, shape, points, scale)
    image = image.resize((pixels, pixels), Image.Resampling.BOX)
    blur = pose.blur * pixels / 160
    image = image.filter(ImageFilter.GaussianBlur(blur))
    x, y = _grid(pixels)
    light = 1 + pose.slope * (x * math.cos(pose.lit_from) + y * math.sin(pose.lit_from))
    values = np.asarray(image, np.float32) * (light[:, :, None] * np.array(pose.light, np.float32))
    values += random.standard_normal((pixels, pixels, 1), np.float32) * pose.noise
    return np.clip(values, 0, 255).astype(np.uint8)


def jpeg_of(pixels: Pixels) -> bytes:
    """The file."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorsubsampling="420"))


@lru_cache(maxsize=4)
def _grid(pixels: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    place = np.linspace(-1, 1, pixels, dtype=np.float32)
    return place[None, :] * np.ones((pixels, 1), np.float32), place[:, None] * np.ones((1, pixels), np.float32)


def _placed(shapes: list[Shape], pose: Pose, size: float, side: int) -> tuple[list[Points], float]:
    """Points of each shape in pixels, and pixels of a body length; the whole fits the frame."""
    lengths = np.cumsum([len(shape.points) for shape in shapes])[:-1]
    points = np.concatenate([shape.points for shape in shapes])
    points = points * [1.0, pose.tilt * (-1 if pose.mirrored else 1)]
    cos, sin = math.cos(pose.turn), math.sin(pose.turn)
    points = points @ np.array([[cos, sin], [-sin, cos]])
    points[:, 1] *= -1  # rows count downwards
    low, high = points.min(axis=0), points.max(axis=0)
    scale = side * (1 - 2 * MARGIN) * size * pose.size / float((high - low).max())
    scale = min(scale, side * 0.98 / float((high - low).max()))
    points = (points - (low + high) / 2) * scale + side * (0.5 + np.array(pose.shift))
    return np.split(points, lengths), scale


def _ink(pen: ImageDraw.ImageDraw, shape: Shape, points: Points, scale: float) -> None:
    flat = list(map(tuple, points.tolist()))
    fill = (*shape.colour, shape.alpha)
    if shape.width is None:
        pen.polygon(flat, fill=fill)
    else:
        pen.line(flat, fill=fill, width=max(1, round(shape.width * scale)), joint="curve" if shape.width * scale > 3 else None)


def _shadow(shapes: list[Shape], placed: list[Points], side: int, pose: Pose, scale: float) -> Image.Image:
    small = side // 4
    mask = Image.new("L", (small, small), 0)
    pen = ImageDraw.Draw(mask)
    off = 0.035 * scale * np.array([-math.cos(pose.lit_from), -math.sin(pose.lit_from)])
    for shape, points in zip(shapes, placed):
        flat = list(map(tuple, ((points + off) / 4).tolist()))
        if shape.shade:
            pen.polygon(flat, fill=round(255 * SHADOW))
        elif shape.width is not None and shape.width > 0.006 and shape.alpha == 255:
            pen.line(flat, fill=round(120 * SHADOW), width=1)
    return mask.filter(ImageFilter.GaussianBlur(small / 50)).resize((side, side), Image.Resampling.BILINEAR)


def _debris(pen: ImageDraw.ImageDraw, pose: Pose, side: int, random: np.random.Generator) -> None:
    for _ in range(pose.debris):
        x, y = random.uniform(0, side, 2).tolist()
        grey = int(random.integers(90, 190))
        if random.random() < 0.5:
            turns = random.uniform(0, 2 * math.pi) + np.cumsum(random.normal(0, 0.4, 6))
            steps = np.stack([np.cos(turns), np.sin(turns)], 1) * side * 0.03
            line = np.array([x, y]) + np.cumsum(steps, axis=0)
            pen.line(list(map(tuple, line.tolist())), fill=(grey, grey - 8, grey - 16, 160), width=int(random.integers(1, 3)))
        else:
            radius = float(random.uniform(0.004, 0.014)) * side
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(grey, grey - 10, grey - 25, 170))
