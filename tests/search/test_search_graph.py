"""The neighbour graph: the nearest others of every row, as a search of each finds them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.search import graph
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import neighbour_graph


@pytest.mark.parametrize(("rows", "copies"), [(700, 0), (513, 40), (40, 3), (12, 0), (2, 0)])
def test_the_graph_in_blocks_is_what_the_gallery_finds(rows, copies, monkeypatch):
    monkeypatch.setattr("biocosmos.search.graph.BLOCK", 128)
    vectors = np.random.default_rng(rows).normal(size=(rows, 8))
    vectors[1 : 1 + copies] = vectors[0]
    gal = Gallery.build([f"x{i}" for i in range(rows)], vectors)
    found, expected = neighbour_graph(gal.vectors, 10), gal.search(gal.vectors, 10, exclude=gal.ids)
    assert np.array_equal(found.rows, expected.rows)
    assert np.allclose(found.scores, expected.scores, atol=1e-6)


def test_the_graph_by_bounds_is_what_the_gallery_finds(monkeypatch):
    monkeypatch.setattr("biocosmos.search.graph.BLOCK", 150)
    monkeypatch.setattr("biocosmos.search.graph.PAIR_COST", 1.0)
    rng = np.random.default_rng(0)
    latent = np.repeat(rng.normal(size=(30, 6)), 30, axis=0) + 0.02 * rng.normal(size=(900, 6))
    vectors = latent @ rng.normal(size=(6, 64)) + 0.01 * rng.normal(size=(900, 64))
    table = pa.table({"species": [f"s{i // 30}" for i in range(900)]})
    gal = Gallery.build([f"x{i}" for i in range(900)], vectors, table=table)
    widths = []
    monkeypatch.setattr(graph, "_bounding", lambda *a, real=graph._bounding: widths.append(real(*a)) or widths[-1])
    found, expected = neighbour_graph(gal.vectors, 10), gal.search(gal.vectors, 10, exclude=gal.ids)
    assert widths[0].shape[1] < 64
    assert np.array_equal(found.rows, expected.rows)
    assert np.allclose(found.scores, expected.scores, atol=1e-6)
