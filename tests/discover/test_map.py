"""Specimens on a plane: what is alike lies together, in a table that others open and a page of few bytes however many there
are."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biocosmos as bc
from biocosmos.discover import extras, kept
from biocosmos.discover.projection import project
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.discovery.maps.page import on_canvas, raster
from biocosmos.evaluate.discovery.maps.report import standing_for
from biocosmos.jobs.discover.map import discover_map


@pytest.fixture
def mine(embedded, tmp_path):
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("reducer", ["pca", "tsne"])
def test_what_is_alike_lies_together(reducer):
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat([0, 1, 2], 20))
    places = project(unit(np.eye(8)[truth] + 0.05 * rng.normal(size=(60, 8))), reducer)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (truth[distances.argmin(axis=1)] == truth).all()
    assert np.allclose(places.mean(axis=0), 0, atol=1e-3)


def test_principal_axes_are_those_of_the_covariance():
    x = unit(np.random.default_rng(1).normal(size=(40, 5)) * [3, 2, 1, 1, 1])
    places = project(x, "pca")
    centred = x - x.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    assert np.allclose((places**2).sum(axis=0), values[:2], rtol=1e-3)
    assert ((places**3).sum(axis=0) >= -1e-6).all()  # the side is no chance


def test_a_map_is_kept_and_coloured_and_opens_elsewhere(mine, biocosmos, tmp_path):
    page, table = tmp_path / "m.html", tmp_path / "atlas.parquet"
    biocosmos("discover", "clusters", mine.path, "--method", "kmeans", "--clusters", 4)
    said = biocosmos("discover", "map", mine.path, "--reducer", "pca", "--report", page, "-o", table)
    assert said.startswith("by\tvalue\tspecimens")
    there = kept.read_kept(mine, "projection").table()
    assert there.column_names == ["id", "x", "y"] and len(there) == 300
    written = pq.read_table(table)
    assert written["id"].to_pylist() == there["id"].to_pylist()
    assert written["projection_x"].to_pylist() == there["x"].to_pylist()
    assert written["image"][7].as_py() == mine.image_bytes(written["id"][7].as_py())
    x = mine.gallery("efficientnet-lite0").vectors
    near = written["neighbors"][5].as_py()
    cosines = x @ x[5]
    cosines[5] = -np.inf
    assert near["ids"][0] == int(cosines.argmax()) and near["distances"][0] == pytest.approx(1 - cosines.max(), abs=1e-5)
    html = page.read_text()
    assert "By part" in html and "By cluster" in html and html.count("data:image/png") >= 3 and html.count("image/jpeg") > 20


def test_colours_are_those_that_are_asked_for(mine):
    found = discover_map(mine, reducer="pca", by=("class", "part"))
    points = found.report.table("points")
    names = dict(zip(points["id"].to_pylist(), points["is class"].to_pylist()))
    assert names == dict(zip(*(mine.table(["id", "class"])[name].to_pylist() for name in ("id", "class"))))
    parts = dict(zip(points["id"].to_pylist(), points["is part"].to_pylist()))
    assert parts == dict(zip(mine.split().ids.to_pylist(), mine.split().parts.to_pylist()))
    with pytest.raises(BiocosmosError, match="no column 'colour' to colour by"):
        discover_map(mine, reducer="pca", by=("colour",))


def test_too_few_and_too_equal_and_too_bare(mine, monkeypatch):
    x = unit(np.random.default_rng(0).normal(size=(10, 4)))
    with pytest.raises(BiocosmosError, match="10 specimens are too few for tsne: map at least 16, or use --reducer pca"):
        project(x, "tsne")
    with pytest.raises(BiocosmosError, match="nothing to map"):
        project(x[:0], "pca")
    assert project(x[:1], "umap").tolist() == [[0, 0]] and not project(np.repeat(x[:1], 20, axis=0), "tsne").any()
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    found = discover_map(mine)
    assert found.report.provenance["reducer"] == "pca"
    assert any("brings UMAP" in caveat for caveat in found.report.caveats)


def test_a_million_points_are_a_picture_of_few_bytes():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(1_000_000, 2))
    code = rng.integers(-1, 9, len(places))
    assert len(raster(places, code)) < 2_500_000
    x, y = on_canvas(np.array([[0.0, 0.0], [1.0, 2.0]]), 100, 10)
    assert y[0] > y[1] and abs((x[1] - x[0]) * 2 - (y[0] - y[1])) <= 1  # upright, and to one scale


def test_pictures_stand_for_the_parts_of_the_plane():
    places = np.array([[0.0, 0.0], [0.01, 0.0], [0.02, 0.0], [1.0, 1.0]])
    assert standing_for(places).tolist() == [1, 3]
    assert pa.array(standing_for(np.zeros((3, 2)))).to_pylist() == [0]
