"""The sizes of clusters, largest first, over two logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.evaluate.pages.charts import WIDTH
from biocosmos.evaluate.pages.svg import Drawing, Scale, axes

HEIGHT = 300.0


def sizes(counts: Sequence[int]) -> str:
    """SVG of the number of specimens of each cluster, in descending order."""
    drawing = Drawing(WIDTH, HEIGHT, "Sizes of clusters", f"{len(counts)} clusters of {counts[-1]:,} to {counts[0]:,} specimens.")
    x = Scale(1, max(len(counts), 2), 70, WIDTH - 20, log=True)
    y = Scale(max(min(counts), 1), max(max(counts), min(counts) + 1), HEIGHT - 56, 16, log=True)
    axes(drawing, x, y, "cluster, the largest first", "specimens")
    drawing.path([(x(place), y(count)) for place, count in enumerate(counts, 1)], "l1")
    for place, count in list(enumerate(counts, 1))[:200]:
        drawing.dot(x(place), y(count), 3, "c1", f"cluster {place - 1}: {count:,} specimens")
    return drawing.render()
