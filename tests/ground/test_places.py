"""Where and when: distances, cells, days of the year, coordinates as people write them."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.places import (
    EARTH,
    YEAR,
    Places,
    cells,
    country_and_region,
    country_code,
    days_apart,
    great_circle,
    on_sphere,
    parse_day,
    parse_place,
)
from biocosmos.places.coordinates import parse_degrees
from biocosmos.places.days import day_of, span_of

latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)


@given(latitudes, longitudes, latitudes, longitudes)
def test_the_great_circle_is_the_angle_between_two_vectors(north, east, other_north, other_east):
    a, b = on_sphere(north, east), on_sphere(other_north, other_east)
    angle = math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))
    found = float(great_circle(north, east, other_north, other_east))
    assert found == pytest.approx(EARTH * angle, abs=0.2)  # haversine loses half a metre near the antipode, not near by
    assert found == pytest.approx(float(great_circle(other_north, other_east, north, east)), abs=1e-6)


def test_distances_are_those_of_the_published_formula_and_know_neither_antimeridian_nor_poles():
    assert float(great_circle(29.65, -82.32, -33.45, -70.67)) == pytest.approx(7122.681073, abs=1e-6)
    assert float(great_circle(10, 179.9, 10, -179.9)) == pytest.approx(float(great_circle(10, 0, 10, 0.2)))
    assert float(great_circle(90, 12, 90, -140)) == pytest.approx(0, abs=1e-9)
    assert float(great_circle(89, 0, 89, 180)) == pytest.approx(float(great_circle(0, 0, 2, 0)))
    assert float(great_circle(90, 0, -90, 0)) == pytest.approx(math.pi * EARTH)
    assert np.isnan(great_circle(np.nan, 1, 2, 3))
    assert great_circle(np.zeros((3, 1)), 0.0, 0.0, np.zeros(4)).shape == (3, 4)


def test_cells_hold_what_they_name():
    found = cells([52.05, 52.06, 52.15, 90, np.nan, 5.3], [5.05, 5.09, 5.05, 180, 1, 5.3])
    assert found[0] == found[1] != found[2] and found[4] == -1
    assert found[5] == cells([5.35], [5.35])[0]
    assert cells([10.0], [180.0]) == cells([10.0], [-180.0])
    assert len(set(cells(np.arange(-90, 91, 10), np.zeros(19), 10).tolist())) == 18  # the pole lies in the northernmost row
    with pytest.raises(ValueError, match="0 to 90"):
        cells([1.0], [1.0], 0)


@given(st.floats(0, YEAR), st.floats(0, YEAR))
def test_days_are_apart_the_shorter_way_around(day, other):
    assert float(days_apart(day, other)) == pytest.approx(min(abs(day - other + turn * YEAR) for turn in (-1, 0, 1)), abs=1e-9)


def test_days_of_leap_years_and_of_spans():
    assert day_of("2023-02-28") < day_of("2024-02-29") < day_of("2023-03-01")
    assert float(days_apart(day_of("2023-12-31"), day_of("2024-01-01"))) == pytest.approx(1, abs=0.01)
    assert float(days_apart(day_of("2024-12-31"), day_of("2023-12-31"))) < 0.01
    assert day_of("2007-11-13/15") == day_of("2007-11-13/2007-11-15") == pytest.approx(day_of("2007-11-14"))
    assert float(days_apart(day_of("2007-12-30/2008-01-02"), 0)) < 0.01
    assert day_of("2026-06-04T00:30:00+02:00") == day_of("2026-06-03T22:30:00Z") == day_of("2026-06-03T22:30:00")
    assert day_of("2026-06") == pytest.approx(day_of("2026-06-15T24:00:00".replace("24", "23")), abs=0.6)
    for nothing in ("2026", "2026-01/2026-12", "", None, "2026-02-30", "2026-06-05/2026-06-01", "yesterday"):
        assert np.isnan(day_of(nothing))
    assert [str(day) for day in span_of("2007-11-13/15")] == ["2007-11-13", "2007-11-15"]
    assert span_of("2026-06-05/2026-06-01") is None


def test_a_day_that_a_person_gives():
    assert parse_day("06-04") == parse_day("6-4") == parse_day("2026-06-04")
    assert parse_day("02-29") == day_of("2024-02-29")
    for wrong in ("13-01", "2026-02-30", "2026", "spring", ""):
        with pytest.raises(BiocosmosError, match="is not a day of the year"):
            parse_day(wrong)


@pytest.mark.parametrize(
    "text", ["52.05,5.05", "52,05 5,05", "52.05; 5.05", "52°03'N 5°03'E", "N52 03 00, E5 03 00", "5.05E 52.05N"]
)
def test_one_place_written_in_many_ways(text):
    assert parse_place(text) == pytest.approx((52.05, 5.05))


def test_south_and_west():
    assert parse_place("33°27'S 70°40'12\"W") == pytest.approx((-33.45, -70.67))
    assert parse_place("-33.45,-70.67") == (-33.45, -70.67)
    assert parse_degrees("5 03 00 W") == pytest.approx(-5.05)
    assert parse_degrees("52°03N") == parse_degrees("52°03'") == pytest.approx(52.05)
    assert parse_degrees('52°45"') == pytest.approx(52.0125)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("152.05,5", "they look swapped"),
        ("95,200", "lies outside"),
        ("52°63'N 5E", "60 minutes"),
        ("5E 6E", "same axis twice"),
        ("5°O 52°N", "O is west in some"),
        ("here", "is not a place"),
        ("0,0", "no place is known"),
        ("0°N 0°E", "no place is known"),
        ("1,2,3", "is not"),
        ("", "is not a place"),
    ],
)
def test_what_is_no_place_is_told_in_one_line(text, told):
    with pytest.raises(BiocosmosError, match=told) as error:
        parse_place(text)
    assert "\n" not in str(error.value)


@given(st.text(max_size=20))
def test_no_text_ends_in_a_traceback(text):
    try:
        latitude, longitude = parse_place(text)
    except BiocosmosError:
        return
    assert abs(latitude) <= 90 and abs(longitude) <= 180


def test_places_of_a_table_hold_what_is_known():
    table = pa.table(
        {
            "latitude": [52.0, 0.0, 95.0, None],
            "longitude": [5.0, 0.0, 5.0, 5.0],
            "depth_min": [10.0, None, None, 1.0],
            "depth_max": [20.0, 30.0, None, None],
            "date": ["2026-06-04", None, "2026", "2026-06-01/2026-06-03"],
            "country": ["Netherlands: Utrecht", "NLD", None, "Atlantis"],
        }
    )
    places = Places.of_table(table)
    assert places.has_place.tolist() == [True, False, False, False]  # 0,0 and what lies outside is no place
    assert places.depth[:2].tolist() == [15.0, 30.0] and np.isnan(places.depth[2]) and places.depth[3] == 1
    assert places.has_day.tolist() == [True, False, False, True]
    assert places.country.tolist() == ["NL", "NL", None, None]
    assert len(places.take([0, 2])) == 2 and len(places.take(slice(1))) == 1
    assert not Places.of_table(pa.table({"id": ["a"]})).has_place.any() and len(Places.nowhere(3)) == 3
    assert Places.one(latitude=1, longitude=2).has_place.tolist() == [True]


def test_countries_by_code_and_by_name():
    assert [country_code(name) for name in ("NL", "nld", "The Netherlands", "Côte d'Ivoire", "USA", "U.K.", None, "", "X")] == [
        "NL", "NL", "NL", "CI", "US", "GB", None, None, None,
    ]  # fmt: skip


def test_a_part_of_a_country_stands_behind_a_hyphen_and_a_name_may_have_one():
    said = [country_and_region(text) for text in ("US-CA", "us-ca", "Guinea-Bissau", "Timor-Leste", "NL", "", "Atlantis-N")]
    assert said == [("US", "CA"), ("US", "CA"), ("GW", None), ("TL", None), ("NL", None), (None, None), (None, None)]
