"""Dates, polygons and folded words, each against an oracle that is written out."""

from __future__ import annotations

import math
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from biocosmos.serve.catalogue import Catalogue, View
from biocosmos.serve.catalogue.days import NONE, day_number, day_text, span_of, spans_of
from biocosmos.serve.catalogue.words import fold, fold_all
from biocosmos.serve.likeness.polygons import Within
from brute import collection_of, plain

COORDINATES = st.integers(0, 12)
CORNERS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9)


def within(x: int, y: int, corners: list[tuple[int, int]]) -> bool | None:
    """By exact fractions, a ray to the right; None on an edge."""
    odd = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1]):
        cross = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
        if cross == 0 and min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2):
            return None
        if (y1 > y) != (y2 > y) and x < Fraction((x2 - x1) * (y - y1), y2 - y1) + x1:
            odd = not odd
    return odd


@given(CORNERS)
def test_points_in_a_polygon(corners: list[tuple[int, int]]) -> None:
    x, y = (each.ravel() for each in np.meshgrid(np.arange(-1, 14), np.arange(-1, 14)))
    found = Within(x, y)(tuple(corners))
    for i in range(len(x)):
        want = within(int(x[i]), int(y[i]), corners)
        assert want is None or found[i] == want


def test_a_box_crosses_the_date_line(tmp_path: Path) -> None:
    rows = [{"id": str(x), "longitude": float(x), "latitude": 10.0} for x in (-180, -170, -10, 0, 10, 170, 180)]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ()))
    assert catalogue.ids_of(catalogue.rows(View(box=(165, 0, -165, 20)))) == ["-180", "-170", "170", "180"]
    assert catalogue.ids_of(catalogue.rows(View(box=(-10, 10, 10, 10)))) == ["-10", "0", "10"]
    away = [row for row in rows if abs(row["longitude"]) >= 170]
    catalogue = Catalogue(collection_of(tmp_path / "b.cosmos", away, ()))
    assert catalogue.facets(View()).box == (170.0, 10.0, -170.0, 10.0)


def test_places_that_are_none(tmp_path: Path) -> None:
    rows = [{"id": "a", "longitude": 181.0, "latitude": 0.0}, {"id": "b", "longitude": 0.0, "latitude": math.nan}, {"id": "c"}]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ()))
    assert catalogue.count(View(box=(-180, -90, 180, 90))) == 0 and catalogue.facets(View()).places == 0


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2019", "2019-01-01", "2019-12-31"),
        ("2019-02", "2019-02-01", "2019-02-28"),
        ("2020-02-29", "2020-02-29", "2020-02-29"),
        ("2020-02-29T23:59:59Z", "2020-02-29", "2020-02-29"),
        ("2019-05/2019-06-02", "2019-05-01", "2019-06-02"),
        ("2007-11-13/15", "2007-11-13", "2007-11-15"),
        ("13.06.2020", "2020-06-13", "2020-06-13"),
        ("2019-06/2019-05", None, None),
        ("2019-02-30", None, None),
        ("3/7/2010", None, None),
        ("", None, None),
    ],
)
def test_what_is_certain_of_a_date(text: str, first: str | None, last: str | None) -> None:
    want = (NONE, NONE) if first is None or last is None else tuple(day_number(date.fromisoformat(day)) for day in (first, last))
    assert span_of(text) == want


def test_dates_by_whole_columns() -> None:
    texts = [f"2019-{i % 12 + 1:02d}-{i % 28 + 1:02d}T{i % 24:02d}:{i % 60:02d}:{i % 61 // 2:02d}" for i in range(30_000)]
    texts[5], texts[7], texts[9] = "2019", "nonsense", "13.06.2020 10:05"
    first, last = spans_of(pa.array([*texts, None]), {})
    spans = [span_of(text) for text in texts]
    assert first.tolist() == [a for a, _ in spans] + [NONE] and last.tolist() == [b for _, b in spans] + [NONE]
    assert day_text(first[0]) == "2019-01-01"


@given(st.sampled_from(["2019", "2019-05", "2019-05-31", None]), st.sampled_from(["2019", "2019-05-30", None]))
def test_a_date_that_is_less_exact_lies_within_or_not(start: str | None, end: str | None) -> None:
    """2019 is not in May 2019; May 2019 is in 2019."""
    first, last = span_of("2019-05")
    view = View(dates=(start, end))
    inner = start in (None, "2019", "2019-05") and end in (None, "2019")
    low = None if view.dates[0] is None else span_of(view.dates[0])[0]
    high = None if view.dates[1] is None else span_of(view.dates[1])[1]
    assert ((low is None or first >= low) and (high is None or last <= high)) == inner


@pytest.mark.parametrize(
    ("dates", "unit", "bars"),
    [
        (["2019-05-01", "2019-05-03"], "day", 3),
        (["2019-05-01", "2020-05-03", "2020"], "month", 20),
        (["1990-05-01", "2020-05-03"], "year", 31),
        (["1790-05-01", "2020-05-03"], "10 years", 24),
        (["0001", "9999-12-31"], "1000 years", 10),
    ],
)
def test_bars_of_dates(tmp_path: Path, dates: list[str], unit: str, bars: int) -> None:
    rows = [{"id": str(i), "date": day} for i, day in enumerate(dates)]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ()))
    found = catalogue.facets(View()).dates
    assert (found.unit, len(found.bars)) == (unit, bars)
    assert sum(bar.count for bar in found.bars) + found.coarser == len(dates)
    for bar in found.bars:
        assert catalogue.count(View(dates=(bar.first, bar.last))) == bar.count  # a bar is a filter


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.none(), max_size=20))
@example(["\x1f", "a\vb", " a\x1c b "])
def test_words_are_folded_alike_one_by_one_and_by_columns(texts: list[str | None]) -> None:
    assert fold_all(pa.array(texts, pa.string())).to_pylist() == [None if text is None else fold(text) for text in texts]
    assert [fold(text) for text in texts if text] == [plain(text) for text in texts if text]
