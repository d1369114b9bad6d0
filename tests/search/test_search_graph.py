"""The neighbour graph: the nearest others of every row, as a search of each finds them."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warm
from biocosmos.errors import BiocosmosError
from biocosmos.search import all_pairs, graph
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import neighbour_graph


@pytest.mark.parametrize(("rows", "copies"), [(700, 0), (513, 40), (40, 3), (12, 0), (2, 0)])
def test_the_graph_in_blocks_is_what_the_gallery_finds(rows, copies, monkeypatch):
    monkeypatch.setattr("biocosmos.search.all_pairs.BLOCK", 128)
    vectors = np.random.default_rng(rows).normal(size=(rows, 8))
    vectors[1 : 1 + copies] = vectors[0]
    gal = Gallery.build([f"x{i}" for i in range(rows)], vectors)
    found, expected = neighbour_graph(gal.vectors, 10), gal.search(gal.vectors, 10, exclude=gal.ids)
    assert np.array_equal(found.rows, expected.rows)
    assert np.allclose(found.scores, expected.scores, atol=1e-6)


def test_the_graph_by_bounds_is_what_the_gallery_finds(monkeypatch):
    monkeypatch.setattr("biocosmos.search.all_pairs.BLOCK", 150)
    monkeypatch.setattr("biocosmos.search.all_pairs.PAIR_COST", 1.0)
    rng = np.random.default_rng(0)
    latent = np.repeat(rng.normal(size=(30, 6)), 30, axis=0) + 0.02 * rng.normal(size=(900, 6))
    vectors = latent @ rng.normal(size=(6, 64)) + 0.01 * rng.normal(size=(900, 64))
    table = pa.table({"species": [f"s{i // 30}" for i in range(900)]})
    gal = Gallery.build([f"x{i}" for i in range(900)], vectors, table=table)
    widths = []
    monkeypatch.setattr(all_pairs, "_bounding", lambda *a, real=all_pairs._bounding: widths.append(real(*a)) or widths[-1])
    found, expected = neighbour_graph(gal.vectors, 10), gal.search(gal.vectors, 10, exclude=gal.ids)
    assert widths[0].shape[1] < 64
    assert np.array_equal(found.rows, expected.rows)
    assert np.allclose(found.scores, expected.scores, atol=1e-6)


def naive(x, others, k, without_self):
    """Every float64 cosine, sorted: best first, equal ones (as float32) by row."""
    cosines = (x.astype(np.float64) @ others.astype(np.float64).T).astype(np.float32)
    if without_self:
        np.fill_diagonal(cosines, -np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(len(others)), cosines.shape), -cosines), axis=1)[:, :k]
    return order, np.take_along_axis(cosines, order, 1)


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(2, 60), st.integers(1, 70), st.integers(1, 6), st.booleans(), st.integers(0, 9))
def test_the_graph_is_what_sorting_every_cosine_gives(rows, k, dim, few, seed):
    rng = np.random.default_rng(seed)
    x = unit(rng.integers(-2, 3, (rows, dim)) + np.float64(rng.random(dim) < 0.5) + 0.25)  # equal rows, constant columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "FEW", rows if few else 0)
        patch.setattr(graph, "BLOCK", 16)
        found = neighbour_graph(x, k)
    shown = min(k, rows - 1)
    cosines = naive(x, x, shown, True)[1]
    assert np.allclose(found.scores[:, :shown], cosines, atol=1e-6)
    assert (found.rows[:, shown:] == -1).all() and np.isneginf(found.scores[:, shown:]).all()
    assert (found.rows[:, :shown] != np.arange(rows)[:, None]).all()
    ours = np.take_along_axis((x.astype(np.float64) @ x.T.astype(np.float64)), found.rows[:, :shown].astype(np.int64), 1)
    assert np.allclose(ours, cosines, atol=1e-6)


def test_equal_rows_come_in_their_order():
    x = unit(np.repeat([[1.0, 0], [0, 1]], 6, axis=0))
    for few in (0, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(graph, "FEW", few)
            assert neighbour_graph(x, 3).rows[[0, 4, 5, 6]].tolist() == [[1, 2, 3], [0, 1, 2], [0, 1, 2], [7, 8, 9]]


def test_between_two_sets_nothing_is_left_out():
    rng = np.random.default_rng(0)
    x, others = unit(rng.normal(size=(30, 8))), unit(rng.normal(size=(50, 8)))
    others[7] = x[3]
    found = neighbour_graph(x, 5, others=others)
    order, cosines = naive(x, others, 5, False)
    assert found.rows.tolist() == order.tolist() and found.rows[3, 0] == 7
    assert np.allclose(found.scores, cosines, atol=1e-6)
    assert neighbour_graph(x[:0], 5, others=others).rows.shape == (0, 5)
    assert (neighbour_graph(x, 2, others=others[:1]).rows == [0, -1]).all()


def test_what_is_no_graph_is_said():
    x = unit(np.ones((3, 4)))
    with pytest.raises(BiocosmosError, match="a graph of 0 neighbours has no edge"):
        neighbour_graph(x, 0)
    with pytest.raises(BiocosmosError, match="vectors of 4 and of 2 numbers have no cosine: compare rows of one encoder"):
        neighbour_graph(x, 1, others=unit(np.ones((3, 2))))
    assert neighbour_graph(x[:1], 2).rows.tolist() == [[-1, -1]]


KILLED = """
import os, signal, sys, numpy as np
from biocosmos.search import graph
graph.FEW, graph.BLOCK = 0, 100
x = np.load(sys.argv[1])
write, done = graph._Blocks.write, []
def then_die(self, *block):
    write(self, *block)
    done.append(1)
    if len(done) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
graph._Blocks.write = then_die
graph.neighbour_graph(x, 5, folder=sys.argv[2])
"""


def test_killed_it_goes_on_and_ends_with_the_same_graph(tmp_path, monkeypatch):
    x = unit(np.random.default_rng(0).normal(size=(730, 16)))
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(graph, "FEW", 0)
    whole = neighbour_graph(x, 5)
    work = tmp_path / "work"
    for blocks in (3, 2):
        code = warm.run([sys.executable, "-c", KILLED, tmp_path / "x.npy", work, str(blocks)], check=False).returncode
        assert code == -9
    assert len(list(work.glob("*.npz"))) == 5
    monkeypatch.setattr(graph, "BLOCK", 100)
    (work / "000000000100.npz").write_bytes(b"half")  # damaged: made again
    found = neighbour_graph(x, 5, folder=work)
    assert np.array_equal(found.rows, whole.rows) and np.array_equal(found.scores, whole.scores)
    other = neighbour_graph(x[::-1].copy(), 5, folder=work)  # other vectors: nothing of the first graph is taken
    assert np.array_equal(other.rows, neighbour_graph(x[::-1].copy(), 5).rows)
