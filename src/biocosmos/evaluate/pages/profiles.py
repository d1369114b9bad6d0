"""Profiles of depth as inline SVG: the surface on top, a step for each layer, a line for each taxon or station."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, legend, legend_room, number

WIDTH, TALL = 520.0, 330.0
LEFT = 60.0
LAYERS = 10
AS_TABLE = "The profile as a table"


@dataclass(frozen=True)
class Layer:
    """Metres below the surface at its top and bottom (equal: a depth), the value there and its interval (NaN: none)."""

    top: float
    bottom: float
    value: float
    low: float = math.nan
    high: float = math.nan


Profile = tuple[str, Sequence[Layer]]
"""A name and its layers."""


def layers_of(depth: npt.ArrayLike, every: npt.ArrayLike | None = None) -> list[Layer]:
    """How many of (n,) depths in metres (NaN where not known) lie in each of some ten layers of a round thickness, the last one
    that has any below; every: depths that the layers are to reach down to, these by themselves without."""
    deep = np.asarray(depth, np.float64)
    deep = deep[np.isfinite(deep)]
    whole = deep if every is None else np.asarray(every, np.float64)
    whole = whole[np.isfinite(whole)]
    if not len(deep):
        return []
    low, high = min(0.0, float(whole.min(initial=0.0))), float(max(whole.max(initial=0.0), deep.max()))
    rough = max((high - low) / LAYERS, 0.1)
    power = 10.0 ** math.floor(math.log10(rough))
    thick = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / thick), max(math.ceil(high / thick), 1)
    step = np.minimum(np.floor(deep / thick).astype(np.int64), last - 1) - first
    counts = np.bincount(np.maximum(step, 0), minlength=last - first)
    return [Layer(round((first + i) * thick, 6), round((first + i + 1) * thick, 6), float(n)) for i, n in enumerate(counts)]


def depth_profile(
    title: str, profiles: Sequence[Profile], x_name: str, *, marked: tuple[float, str] | None = None, width: float = WIDTH
) -> str:
    """Values over depth in metres, 0 on top: a stroke from the top to the bottom of a layer, whiskers at its middle.

    x_name: what is drawn and its unit, as "individuals per m³". marked: a depth that is pointed at, and what it is. Layers
    without a depth or value are left out.
    """
    shown = [(name, _down(layers)) for name, layers in profiles]
    layers = [layer for _, each in shown for layer in each]
    named = [(f"c{i % SERIES + 1}", name) for i, (name, _) in enumerate(shown)]
    keys = named + ([("here", marked[1])] if marked is not None else [])
    top = 34.0 + legend_room(LEFT, width, keys)
    deepest = max([*(layer.bottom for layer in layers), *([marked[0]] if marked is not None else [])], default=1.0)
    drawing = Drawing(
        width, top + TALL + 26, title, f"{x_name} by depth, down to {number(deepest)} m, for {', '.join(n for _, n in named)}."
    )
    ends = [end for layer in layers for end in (layer.value, layer.low, layer.high) if math.isfinite(end)]
    x = Scale(min([*ends, 0.0]), max([*ends, 0.0]) or 1.0, LEFT, width - 20)
    y = Scale(min([0.0, *(layer.top for layer in layers)]), deepest or 1.0, top + 24, top + TALL)
    legend(drawing, LEFT, 12, keys)
    for tick in x.ticks():
        drawing.line(x(tick), y.start, x(tick), y.stop, "grid")
        drawing.text(x(tick), y.start - 6, number(tick), "tick", "middle")
    for tick in y.ticks(6):
        drawing.line(x.start - 4, y(tick), x.start, y(tick), "axis")
        drawing.text(x.start - 8, y(tick) + 4, number(tick), "tick", "end")
    drawing.line(x.start, y.start, x.stop, y.start, "axis")
    drawing.line(x.start, y.start, x.start, y.stop, "axis")
    drawing.text((x.start + x.stop) / 2, y.stop + 20, x_name, "name", "middle")
    drawing.text(14, (y.start + y.stop) / 2, "depth, m", "name", "middle", turn=-90)
    for i, (name, steps) in enumerate(shown):
        _steps(drawing, name, steps, x, y, i % SERIES + 1)
    if marked is not None:
        at = y(marked[0])
        drawing.path([(x.stop - 2, at), (x.stop + 14, at - 6), (x.stop + 14, at + 6)], "here", closed=True, tip=marked[1])
    return drawing.render()


def _steps(drawing: Drawing, name: str, layers: Sequence[Layer], x: Scale, y: Scale, css: int) -> None:
    path: list[tuple[float, float]] = []
    for layer in layers:
        path += [(x(layer.value), y(layer.top)), (x(layer.value), y(layer.bottom))]
        drawing.path(path[-2:], f"l{css}")
    drawing.path(path, f"l{css} thin")
    for layer in layers:
        middle = y((layer.top + layer.bottom) / 2)
        tip = f"{name}, {_depth(layer)}: {number(layer.value)}"
        if math.isfinite(layer.low) and math.isfinite(layer.high):
            drawing.line(x(layer.low), middle, x(layer.high), middle, "whisker")
            tip += f" ({number(layer.low)} to {number(layer.high)})"
        drawing.dot(x(layer.value), middle, 4.5, f"c{css} ring", tip)


def profile_table(profiles: Sequence[Profile], value: str) -> Grid:
    """The same as a table, from the surface down; value: the heading of the values, with their unit."""
    rows = [
        [
            name,
            _depth(layer),
            number(layer.value),
            "–" if math.isnan(layer.low) else f"{number(layer.low)} to {number(layer.high)}",
        ]
        for name, layers in profiles
        for layer in _down(layers)
    ]
    return Grid(["what", "depth", value, "interval"], rows, "", AS_TABLE, 2)


def _depth(layer: Layer) -> str:
    return f"{number(layer.top)} m" if layer.top == layer.bottom else f"{number(layer.top)} to {number(layer.bottom)} m"


def _down(layers: Sequence[Layer]) -> list[Layer]:
    """Those with a depth and a value, from the surface down."""
    return sorted(filter(_known, layers), key=lambda layer: layer.top + layer.bottom)


def _known(layer: Layer) -> bool:
    return math.isfinite(layer.top) and math.isfinite(layer.bottom) and math.isfinite(layer.value)
