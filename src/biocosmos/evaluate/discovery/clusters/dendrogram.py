"""Clusters as a tree of likeness, with what each holds beside its branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.svg import Drawing, Scale, fit, number

Array = npt.NDArray[Any]
LINE, LEFT, TREE, TOP = 18.0, 14.0, 330.0, 8.0
WORDS = 470.0


def links_of(means: Array) -> Array:
    """(c - 1, 4) average linkage of c unit means by cosine distance, as scipy has it: first, second, distance, leaves."""
    from scipy.cluster.hierarchy import linkage

    rows, columns = np.triu_indices(len(means), 1)
    distances = np.maximum(1 - np.einsum("nd,nd->n", means[rows], means[columns], dtype=np.float64), 0)
    return np.asarray(linkage(distances, method="average"))


def dendrogram(title: str, links: Array, leaves: Sequence[str]) -> str:
    """SVG of the tree; ``leaves``: a text beside each of the c leaves, in the order of the means."""
    from scipy.cluster.hierarchy import dendrogram as laid_out

    tree = laid_out(links, no_plot=True)
    most = max(float(links[:, 2].max()), 1e-9)
    height = TOP + LINE * len(leaves) + 44
    drawing = Drawing(LEFT + TREE + WORDS, height, title, f"A tree of {len(leaves)} clusters; those that join early are alike.")
    x = Scale(0, most, LEFT + TREE - 8, LEFT)
    for joined, far in zip(tree["icoord"], tree["dcoord"]):
        drawing.path([(x(d), TOP + LINE * i / 10) for i, d in zip(joined, far)], "branch")
    for place, leaf in enumerate(tree["leaves"]):
        drawing.text(LEFT + TREE, TOP + LINE * (place + 0.5) + 4, fit(leaves[leaf], WORDS - 10), "tick")
    bottom = TOP + LINE * len(leaves) + 6
    drawing.line(x.stop, bottom, x.start, bottom, "axis")
    for tick in x.ticks(4):
        drawing.line(x(tick), bottom, x(tick), bottom + 4, "axis")
        drawing.text(x(tick), bottom + 18, number(tick), "tick", "middle")
    drawing.text((x.start + x.stop) / 2, bottom + 34, "1 − mean cosine", "name", "middle")
    return drawing.render()
