"""Lassos: what they catch, and what is no lasso."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.serve.likeness.polygons import MOST_DRAWN, MOST_KEPT, UNITS, Polygon, Within, polygon_of


def inside(x: int, y: int, polygon: Polygon) -> bool:
    """A ray to the right, with exact numbers: an edge counts where it is crossed at or above its lower end, below its upper."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0])):
        if (y0 <= y) == (y1 <= y):
            continue
        if Fraction(x0) + Fraction((y - y0) * (x1 - x0), y1 - y0) > x:
            crossings += 1
    return crossings % 2 == 1


@pytest.mark.parametrize("corners", [3, 4, 7, 40])
def test_a_lasso_catches_what_a_ray_says(corners: int) -> None:
    random = np.random.default_rng(corners)
    few = random.integers(0, 40, (500, 2)) * 1600  # many share a height with a corner, or lie on an edge
    points = np.vstack([few, random.integers(0, UNITS + 1, (500, 2))]).astype(np.uint16)
    within = Within(points[:, 0].copy(), points[:, 1].copy())
    for _ in range(5):
        polygon: Polygon = tuple((int(x), int(y)) for x, y in random.integers(0, 40, (corners, 2)) * 1600)
        found = within(polygon)
        assert found.tolist() == [inside(int(x), int(y), polygon) for x, y in points]


def test_twice_around_is_outside() -> None:
    within = Within(np.array([500, 3000], np.uint16), np.array([500, 3000], np.uint16))
    square = ((0, 0), (1000, 0), (1000, 1000), (0, 1000))
    assert within(square).tolist() == [True, False]
    assert within(square + square).tolist() == [False, False]


def test_no_points_at_all() -> None:
    empty = np.empty(0, np.uint16)
    assert Within(empty, empty)(((0, 0), (9, 0), (0, 9))).tolist() == []


@pytest.mark.parametrize(
    "drawn",
    [
        [],
        [(1, 1)],
        [(1, 1), (2, 2)],
        [(1, 1), (1, 1), (2, 2), (1, 1)],
        [(5, 5)] * 1000,
        [(math.nan, 1), (2, 2), (3, 1)],
        [(1, 1), (math.inf, 2), (3, 1)],
        [(1, 1), (2, 2), (3,)],
        [(1, 1), (2, 2), (3, 1, 4)],
        [(1, 1), (2, 2), 7],
        [(1, 1), (2, 2), None],
        [(1, 1), (2, 2), ("a", "b")],
        [(1, 1), (2, 2), {"x": 1}],
        [(1, 1), (10**400, 2), (3, 1)],
        [(-9, -9), (-5, -9), (-5, -5)],
        [(i, i * i % 7919) for i in range(MOST_DRAWN + 1)],
        [(i % 300, i // 300) for i in range(100_000)],
    ],
)
def test_what_is_no_lasso_is_refused_in_one_line(drawn: list) -> None:
    with pytest.raises(BiocosmosError) as refused:
        polygon_of(drawn)
    assert "\n" not in str(refused.value) and "lasso" in str(refused.value)


def test_many_corners_become_few_and_catch_the_same() -> None:
    angles = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    circle = polygon_of(zip(30_000 + 20_000 * np.cos(angles), 30_000 + 20_000 * np.sin(angles)))
    assert 3 <= len(circle) <= MOST_KEPT
    random = np.random.default_rng(0)
    x, y = random.integers(0, UNITS + 1, (2, 20_000)).astype(np.uint16)
    exact = np.hypot(x - 30_000.0, y - 30_000.0) < 20_000
    assert (Within(x, y)(circle) != exact).mean() < 0.002


def test_a_lasso_past_the_edge_catches_what_lies_on_the_plane() -> None:
    drawn = [(-90_000, 10_000), (40_000, -50_000), (90_000, 40_000), (20_000, 120_000)]
    kept = polygon_of(drawn)
    assert all(0 <= number <= UNITS for corner in kept for number in corner)
    random = np.random.default_rng(0)
    x, y = random.integers(64, UNITS - 63, (2, 2_000)).astype(np.uint16)
    whole: Polygon = tuple(drawn)
    expected = np.array([inside(int(a), int(b), whole) for a, b in zip(x, y)])
    assert (Within(x, y)(kept) != expected).mean() < 0.001  # the cuts fall on whole units
    around = polygon_of([(-1, -1), (1e300, -1), (1e300, 1e300), (-1, 1e300)])
    assert Within(x, y)(around).all()
