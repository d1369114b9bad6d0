"""Specimens selected by where and when they were found: against distances, days and depths computed in Python."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.places import great_circle
from biocosmos.places.days import span_of
from biocosmos.places.filters import OPTIONS, spelt_out
from biocosmos.specimens.collection import Collection

PLACES = [
    (52.05, 5.05),
    (52.1, 5.2),
    (-16.5, 179.9),
    (-16.5, -179.9),
    (90, 0),
    (89.9, 180),
    (-90, 77),
    (0, 0),
    (None, None),
    (0, 8),
]
DATES = [
    "2026-06-04",
    "2024-02-29",
    "2025-12-31",
    "2026-01-01",
    "2025-12-30/2026-01-02",
    "2007-11-13/15",
    "2026-04",
    "2026",
    None,
]
DATES += [
    "13.06.2020",
    "2007-11-13/12-02",
    "2020-06-13T10:05:00Z",
    "2026-02-30",
    "2024-12-30/2026-01-02",
    "2026-06-01/2026-06-15",
]
DEPTHS = [(0, 10), (10, None), (None, 200), (None, None), (90, 110), (5, 5)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    made = Collection.create(tmp_path_factory.mktemp("found") / "found.cosmos")
    number = len(DATES)
    places = [PLACES[i % len(PLACES)] for i in range(number)]
    depths = [DEPTHS[i % len(DEPTHS)] for i in range(number)]
    table = {"id": [str(i) for i in range(number)], "text": ["x"] * number, "date": DATES}
    table |= {"latitude": [place[0] for place in places], "longitude": [place[1] for place in places]}
    table |= {"depth_min": [depth[0] for depth in depths], "depth_max": [depth[1] for depth in depths]}
    table |= {"country": ["Netherlands", "NLD", "Fiji", None, "NL: Utrecht"] * 3}
    made.add(pa.table(table))
    return made


def chosen(collection: Collection, where: str) -> set[int]:
    return {int(id_) for id_ in collection.table(["id"], where=where)["id"].to_pylist()}


def numbered(holds: Sequence[bool]) -> set[int]:
    return {i for i, each in enumerate(holds) if each}


@pytest.mark.parametrize(("north", "east"), [(52.05, 5.05), (-16.5, 180), (-16.5, -180), (90, 12), (-89, 0), (0.001, 0)])
@pytest.mark.parametrize("kilometres", [1, 15, 25, 900, 20037])
def test_near_is_the_great_circle(found: Collection, north: float, east: float, kilometres: float) -> None:
    places = [PLACES[i % len(PLACES)] for i in range(len(DATES))]
    expected = [
        place not in ((None, None), (0, 0)) and float(great_circle(north, east, *place)) <= kilometres for place in places
    ]
    assert chosen(found, OPTIONS["near"](f"{north},{east}:{kilometres}km")) == numbered(expected)
    assert chosen(found, f"near({north}, {east}, {kilometres}) AND true") == numbered(expected)


@pytest.mark.parametrize(
    "box", [(50, 3, 54, 8), (-20, 170, -10, -170), (-90, -180, 90, 180), (89, -180, 90, 180), (-1, -1, 1, 8)]
)
def test_a_box_may_cross_the_antimeridian(found: Collection, box: tuple[float, ...]) -> None:
    south, west, north, east = box

    def inside(latitude: float | None, longitude: float | None) -> bool:
        if latitude is None or longitude is None or latitude == longitude == 0 or not south <= latitude <= north:
            return False
        return west <= longitude <= east if west <= east else longitude >= west or longitude <= east

    places = [PLACES[i % len(PLACES)] for i in range(len(DATES))]
    assert chosen(found, OPTIONS["box"](",".join(map(str, box)))) == numbered([inside(*place) for place in places])


def in_season(text: str | None, first: tuple[int, int], last: tuple[int, int]) -> bool:
    """Every day of the date lies in the season of one turn of the year."""
    span = span_of(text) if text else None
    if span is None or text is None or len(text) == 4:
        return False
    for year in range(span[0].year - 1, span[0].year + 1):
        start = date(year, *first)
        end = date(year + (first > last), last[0], last[1] if last != (2, 29) or (year + (first > last)) % 4 == 0 else 28)
        if start <= span[0] and span[1] <= end:
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(first=st.dates(date(2025, 1, 1), date(2025, 12, 31)), last=st.dates(date(2025, 1, 1), date(2025, 12, 31)))
def test_a_season_wraps_the_year(found: Collection, first: date, last: date) -> None:
    ends = (first.month, first.day), (last.month, last.day)
    if (2, 28) in ends:  # what the last of February is depends on the year
        return
    where = OPTIONS["season"](f"{first:%m-%d}/{last:%m-%d}")
    assert chosen(found, where) == numbered([in_season(text, *ends) for text in DATES]), where


def test_months_and_the_leap_day(found: Collection) -> None:
    assert chosen(found, OPTIONS["season"]("february")) == chosen(found, OPTIONS["season"]("02-29")) == {1}
    assert chosen(found, OPTIONS["season"]("02-29/03-01")) == {1}
    assert chosen(found, OPTIONS["season"]("04")) == {6}
    assert chosen(found, OPTIONS["season"]("11/02")) == {1, 2, 3, 4, 5, 10}
    assert chosen(found, OPTIONS["season"]("june/august")) == {0, 11, 14}


def test_a_february_of_28_days_lies_before_the_29th(tmp_path: Path) -> None:
    made = Collection.create(tmp_path / "a.cosmos")
    dates = ["2023-02", "2024-02", "2024-02-29", "2024-02-28", "1900-02", "2000-02", "2023-01/2023-02", "2023-02-01/2023-03-01"]
    made.add(pa.table({"id": dates, "text": dates, "date": dates}))
    for season in ("02-01/02-28", "12-01/02-28"):
        found = made.table(["id"], where=OPTIONS["season"](season))["id"].to_pylist()
        assert set(found) - {"2023-01/2023-02"} == {"2023-02", "2024-02-28", "1900-02"}
        assert ("2023-01/2023-02" in found) == (season[0] == "1")


@pytest.mark.parametrize(
    ("text", "low", "high"), [("0-100", 0, 100), ("200-", 200, np.inf), ("5-7 m", 5, 7), ("0-99.5", 0, 99.5)]
)
def test_depths_by_their_middle(found: Collection, text: str, low: float, high: float) -> None:
    def middle(least: float | None, greatest: float | None) -> float:
        known = [each for each in (least, greatest) if each is not None]
        return sum(known) / len(known) if known else np.nan

    expected = [low <= middle(*DEPTHS[i % len(DEPTHS)]) <= high for i in range(len(DATES))]
    assert chosen(found, OPTIONS["depths"](text)) == numbered(expected)


def test_countries_by_any_of_their_names(found: Collection) -> None:
    assert (
        chosen(found, "country('NL')")
        == chosen(found, "Country( 'netherlands' )")
        == {i for i in range(15) if i % 5 in (0, 1, 4)}
    )
    assert chosen(found, "country('FRA')") == set()


def test_functions_go_with_any_condition_and_texts_stay_as_they_are(found: Collection) -> None:
    assert chosen(found, "(near(52, 5, 50) OR season('02')) AND NOT id = '0'") == chosen(
        found, "near(52,5,50) OR season('02')"
    ) - {0}
    assert spelt_out("text = 'near(1,2,3)' OR \"box(1)\" IS NULL", {}, list)[0] == "text = 'near(1,2,3)' OR \"box(1)\" IS NULL"
    assert found.not_known("near(52, 5, 50) AND depths(0, null)") == [("place", 2, 15), ("depth", 2, 15)]


def test_a_collection_without_depths_says_so(tmp_path: Path) -> None:
    made = Collection.create(tmp_path / "a.cosmos")
    made.add(pa.table({"id": ["a"], "text": ["x"]}))
    with pytest.raises(BiocosmosError, match="no specimen has a depth"):
        made.table(["id"], where="depths(0, 100)")
    assert made.count(where="near(52, 5, 10)") == 0


@pytest.mark.parametrize(
    "where",
    [
        "near(52, 5)",
        "near(0, 0, 10)",
        "near(95, 5, 10)",
        "near(52, 5, 0)",
        "near(52, 5, 1e300)",
        "near(nan, 5, 3)",
        "box(54, 3, 50, 8)",
        "box(50, 3, 54, 188)",
        "season(06-01)",
        "season('13')",
        "season('02-30')",
        "season('06-01/')",
        "depths(null, null)",
        "depths(10, 5)",
        "depths('a', 5)",
        "country('Atlantis')",
        "country(NL)",
        "near(52, 5, 10)) OR (true",
        " AND ".join(["near(52, 5, 1)"] * 9),
    ],
)
def test_what_a_function_cannot_be_is_told_in_one_line(found: Collection, where: str) -> None:
    with pytest.raises(BiocosmosError) as told:
        found.table(["id"], where=where)
    assert "\n" not in str(told.value) and len(str(told.value)) < 250


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(OPTIONS)), text=st.text(max_size=20) | st.from_regex(r"[-0-9,:./kmNSEW° ]{1,16}", fullmatch=True)
)
def test_no_text_ends_in_a_traceback(name: str, text: str) -> None:
    try:
        said = OPTIONS[name](text)
    except BiocosmosError as error:
        assert "\n" not in str(error)
        return
    columns = {each: each for each in ("latitude", "longitude", "date", "depth_min")}
    assert len(spelt_out(said, columns, list)[1]) == 1
