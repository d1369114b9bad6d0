"""What a reduction kept of a picture, drawn on it: dropped patches greyed, merged ones in one colour, as JPEG data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SIDE = 168
"""Pixels of a drawn picture at least, so that it is sharp at twice its 96 px on the page."""
QUALITY = 80
GREY, VEIL = 140.0, 0.8
"""What a dropped patch fades to, and how far: darker than a white background, lighter than a black one."""
TINT = 0.42
"""How much of a merged group's colour covers it."""
EDGE = 0.75


def plain(pixels: Array) -> str:
    """The picture as the encoder saw it; pixels: (size, size, 3) uint8."""
    return _uri(_enlarged(pixels).astype(np.float64))


def overlay(pixels: Array, source: Array, grid: tuple[int, int], *, kept: Array | None = None) -> str:
    """The picture with what a reduction left of it.

    source: (patches,) int64 the token each patch is in, -1 dropped. kept: (patches,) bool, where tokens are dropped and not
    merged: those that still have a token of their own. Groups of more than one patch get a colour each, and lines around them;
    a patch alone stays as it is.
    """
    image = _enlarged(pixels).astype(np.float64)
    labels = np.asarray(source, np.int64).copy()
    if kept is not None:
        labels[~np.asarray(kept, bool)] = -1
    height, width = image.shape[:2]
    rows = np.minimum(np.arange(height) * grid[0] // height, grid[0] - 1)
    columns = np.minimum(np.arange(width) * grid[1] // width, grid[1] - 1)
    place = rows[:, None] * grid[1] + columns
    here = labels[place]
    sizes = np.bincount(labels[labels >= 0], minlength=int(labels.max(initial=0)) + 1)
    grey = image.mean(2, keepdims=True)
    dropped = here < 0
    image[dropped] = ((1 - VEIL) * grey + VEIL * GREY)[dropped].repeat(3, axis=1)
    grouped = (here >= 0) & (sizes[np.maximum(here, 0)] > 1)
    colours = _colours(labels, len(sizes))
    image[grouped] = ((1 - TINT) * image + TINT * colours[np.maximum(here, 0)])[grouped]
    edges = np.zeros(here.shape, bool)
    edges[1:] |= here[1:] != here[:-1]
    edges[:, 1:] |= here[:, 1:] != here[:, :-1]
    if kept is None:
        image[edges] = (1 - EDGE) * image[edges] + EDGE * 255
    return _uri(image)


def _colours(labels: Array, count: int) -> Array:
    """(count, 3) a colour for each group, far from those of groups that follow: hues by the golden angle, largest group first."""
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    order = np.argsort(-sizes, kind="stable")
    found = np.empty((count, 3))
    for place, group in enumerate(order):
        hue, value = (place * 0.61803399) % 1, (0.95, 0.75, 0.6)[place % 3]
        found[group] = _hsv(hue, 0.85, value)
    return found * 255


def _hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    import colorsys

    return colorsys.hsv_to_rgb(hue, saturation, value)


def _enlarged(pixels: Array) -> Array:
    """Whole pixels repeated until the picture is large enough: nothing is smoothed that the encoder saw coarse."""
    pixels = np.asarray(pixels)
    times = max(1, -(-SIDE // pixels.shape[0]))
    return pixels.repeat(times, 0).repeat(times, 1)


def _uri(image: Array) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.clip(image.round(), 0, 255).astype(np.uint8)).save(out, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
