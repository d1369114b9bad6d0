"""Pictures of the page on barcodes: the gap plot, and a tree with its tips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biocosmos.evaluate.barcode.neighbour_joining import Tree
from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, axes, fit, legend, legend_room

GAP_WIDTH, PLOT = 520.0, 380.0
PLOT_EDGE = 0.3
"""Distances beyond are of no use to see a gap: barcodes of one gene of animals of one order differ less."""
TREE_WIDTH, TREE_LEFT, ROW, LABEL = 760.0, 12.0, 18.0, 340.0


@dataclass(frozen=True)
class GapPoint:
    """A species: its largest distance within, its smallest to another species, words on hover, whether it has a gap."""

    within: float
    between: float
    tip: str
    gap: bool


def gap_plot(title: str, points: Sequence[GapPoint], names: tuple[str, str], x_name: str, y_name: str) -> str:
    """Largest distance within against smallest to another species, both axes alike, with the diagonal; names: of species with and
    without a gap. Points beyond :data:`PLOT_EDGE` stand at the edge."""
    most = max([value for p in points for value in (p.within, p.between)], default=0.05)
    most = min(max(math.ceil(most * 50) / 50, 0.02), PLOT_EDGE)
    named = [("c1", names[0]), ("c2", names[1])]
    more = legend_room(64, GAP_WIDTH, named)
    drawing = Drawing(GAP_WIDTH, PLOT + 60 + more, title, f"{len(points)} species.")
    x, y = Scale(0, most, 64, GAP_WIDTH - 20), Scale(0, most, PLOT + more, 34 + more)
    legend(drawing, 64, 14, named)
    axes(drawing, x, y, x_name, y_name, x_percent=True, y_percent=True)
    drawing.path([(x(0), y(0)), (x(most), y(most))], "diagonal")
    for p in sorted(points, key=lambda p: not p.gap):  # those without one on top
        drawing.dot(x(p.within), y(p.between), 3.6, f"c{1 if p.gap else 2} point", p.tip)
    return drawing.render()


@dataclass(frozen=True)
class Leaf:
    """A tip: its species, what stands behind it, words on hover, and whether it holds a query."""

    species: str
    label: str
    tip: str
    query: bool


def tree_drawing(title: str, tree: Tree, leaves: Sequence[Leaf], x_name: str) -> str:
    """The tree from left to right; a dot for each tip in the colour of its species, with a ring of ink where it is a query's."""
    order, places = _places(tree)
    drawn = [leaves[i].species for i in sorted(range(len(leaves)), key=lambda i: places[i])]
    colours = {name: i % SERIES + 1 for i, name in enumerate(dict.fromkeys(drawn))}
    deep = Tree(tree.parent, np.maximum(tree.length, 0), tree.leaves).depths()
    height = 16 + ROW * len(leaves) + 52
    drawing = Drawing(TREE_WIDTH, height, title, f"{len(leaves)} tips of {len(colours)} species.")
    x = Scale(0, max(float(deep.max()), 1e-9), TREE_LEFT, TREE_WIDTH - LABEL)
    children = tree.children()
    for node in order:
        if children[node]:
            ends = [places[child] for child in children[node]]
            drawing.line(x(deep[node]), min(ends), x(deep[node]), max(ends), "branch")
        if tree.parent[node] >= 0:
            drawing.line(x(deep[tree.parent[node]]), places[node], x(deep[node]), places[node], "branch")
    for node, leaf in enumerate(leaves):
        at, y = x(deep[node]), places[node]
        drawing.line(at + 5, y, x.stop + 6, y, "grid")
        if leaf.query:
            drawing.dot(at, y, 6.4, "query-ring", leaf.tip)
        drawing.dot(at, y, 4, f"c{colours[leaf.species]}", leaf.tip)
        drawing.text(x.stop + 12, y + 4, fit(leaf.label, LABEL - 16), "tip-query" if leaf.query else "")
    bottom = 16 + ROW * len(leaves) + 4
    drawing.line(x.start, bottom, x.stop, bottom, "axis")
    for tick in x.ticks(4):
        drawing.line(x(tick), bottom, x(tick), bottom + 4, "axis")
        drawing.text(x(tick), bottom + 18, f"{100 * tick:g} %", "tick", "middle")
    drawing.text((x.start + x.stop) / 2, bottom + 36, x_name, "name", "middle")
    return drawing.render()


def _places(tree: Tree) -> tuple[list[int], list[float]]:
    """(nodes, those above first; the height of each: tips a row apart, the smaller branch of a fork above)."""
    children = tree.children()
    order = [tree.root]
    for node in order:
        order += children[node]
    size = [1] * len(order)
    for node in reversed(order):
        if children[node]:
            size[node] = sum(size[child] for child in children[node])
    places, row = [0.0] * len(order), 0
    stack = [tree.root]
    while stack:
        node = stack.pop()
        if children[node]:
            stack += sorted(children[node], key=lambda child: (size[child], child), reverse=True)
        else:
            places[node] = 16 + ROW * (row + 0.5)
            row += 1
    for node in reversed(order):
        if children[node]:
            ends = [places[child] for child in children[node]]
            places[node] = (min(ends) + max(ends)) / 2
    return order, places
