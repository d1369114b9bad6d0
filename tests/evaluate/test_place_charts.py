"""Charts of place, season, depth and communities: what they show, in numbers that were counted by hand."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from datetime import date

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.coastline import land_in, rings
from biocosmos.evaluate.pages.collected import collected
from biocosmos.evaluate.pages.maps import Spot, Spots, map_of, map_table
from biocosmos.evaluate.pages.ordinations import Sample, ordination, ordination_table
from biocosmos.evaluate.pages.profiles import Layer, depth_profile, layers_of, profile_table
from biocosmos.evaluate.pages.seasons import season_counts, season_table, season_wheel
from biocosmos.evaluate.pages.time_series import Moment, time_series, time_table
from biocosmos.places import Places, parse_day, spanned


def circles(svg: str) -> list[tuple[float, float, str]]:
    """(x, y, words on hover) of all circles that say something."""
    root = ET.fromstring(svg)
    return [(float(c.get("cx")), float(c.get("cy")), t.text) for c in root.iter("circle") if (t := c.find("title")) is not None]


def inside(ring: np.ndarray, x: float, y: float) -> bool:
    odd = False
    for (ax, ay), (bx, by) in zip(ring, np.roll(ring, -1, axis=0)):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            odd = not odd
    return odd


@pytest.mark.parametrize(
    ("longitude", "latitude", "land"),
    [(10, 50, True), (-30, 40, False), (134, -25, True), (0, -85, True), (-100, 40, True), (180, 0, False), (51, 42, False)],
)
def test_land_is_where_it_is(longitude: float, latitude: float, land: bool) -> None:
    assert sum(inside(ring, longitude, latitude) for ring in rings()) % 2 == land
    window = land_in(longitude - 5, max(latitude - 5, -90), longitude + 5, latitude + 5, 0.01)
    assert sum(inside(ring, longitude, latitude) for ring in window) % 2 == land
    for ring in window:
        assert ring[:, 0].min() >= longitude - 5 - 1e-9 and ring[:, 0].max() <= longitude + 5 + 1e-9


def test_a_map_counts_what_lies_together_and_says_what_has_no_place() -> None:
    spots = [Spot(52, 5, 3, 0, "st & 1"), Spot(52.0001, 5, 4, 0, "st 2"), Spot(53, 6), Spot(math.nan, 4)]
    svg = map_of("Stations", spots)
    assert {words for *_, words in circles(svg)} == {"st & 1, st 2: 7 specimens", "53° N, 6° E: 1 specimens"}
    assert "1 of 4 without a place" in svg
    assert [row[-1] for row in map_table(spots).rows] == ["4", "3", "1"]


def test_a_map_goes_across_the_antimeridian() -> None:
    (left, _, _), (right, _, _) = sorted(circles(map_of("Fiji", [Spot(-17, 179, name="a"), Spot(-17, -179, name="b")])))
    wide = map_of("Fiji", [Spot(-17, 179), Spot(-17, -179)])
    assert right - left > 200, "two degrees are most of the window, not a hair of the world"
    assert "180°" in wide and "no" not in wide[:10]


@pytest.mark.parametrize(
    "spots", [[], [Spot(90, 0)], [Spot(-90, 180)], [Spot(0, 0)], [Spot(80, -180), Spot(-80, 0), Spot(0, 179)]]
)
def test_maps_of_nothing_of_a_pole_and_of_the_world(spots: list[Spot]) -> None:
    assert len(circles(map_of("x", spots))) == len(spots)


def test_a_map_of_very_many_is_small_and_counts_all_of_them() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform((-80, -180), (80, 180), (20_000, 2))
    svg = map_of("x", Spots.at(places[:, 0], places[:, 1]))
    counted = sum(int(words.split(": ")[1].split()[0].replace(",", "")) for *_, words in circles(svg))
    assert counted == 20_000 and len(circles(svg)) <= 1500 and len(svg) < 400_000
    series = rng.integers(0, 3, len(places))
    mixed = map_of("x", Spots.at(places[:, 0], places[:, 1], series), names=["a", "b", "c"])
    assert len(circles(mixed)) <= 1500 and "the colour of the group with most" in mixed
    words = next(words for *_, words in circles(mixed))
    total, *parts = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:specimens|[abc])\b", words))
    assert total == sum(parts)
    table = map_table(Spots.at(places[:, 0], places[:, 1]))
    assert len(table.rows) == 200 and table.caption.startswith("19,")


def test_a_table_of_series_beyond_their_names_has_a_dash() -> None:
    spots = [Spot(1, 2, 5, 0), Spot(1, 2, 3, 7), Spot(1, 2, 1, 0)]
    assert map_table(spots, names=["a", "b"]).rows == [["a", "1.0000", "2.0000", "6"], ["–", "1.0000", "2.0000", "3"]]
    assert len(circles(map_of("x", spots, names=["a", "b"]))) == 2


@pytest.mark.parametrize(
    ("longitudes", "west", "east"),
    [([179, -179], 179, 181), ([5], 5, 5), ([-10, 10, math.nan], -10, 10), ([180, -180], -180, -180), ([170, 0, -170], 0, 190)],
)
def test_the_smallest_arc(longitudes: list[float], west: float, east: float) -> None:
    assert spanned(longitudes) == (west, east)


def test_months_have_their_lengths() -> None:
    days = [0, 30.9, 31, 59.4, 59.5, 365.2, math.nan]
    assert season_counts(days).tolist() == [2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert season_counts([0, 7.1, 365], weights=[1, 2, 4], weeks=True)[[0, 1, 51]].tolist() == [1, 2, 4]


@pytest.mark.parametrize("year", [2019, 2020])
def test_every_day_lies_in_its_month(year: int) -> None:
    days = [date.fromordinal(at) for at in range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal())]
    counts = season_counts([parse_day(day.isoformat()) for day in days])
    assert counts.tolist() == [sum(day.month == month for day in days) for month in range(1, 13)]


def test_areas_of_a_wheel_go_by_counts() -> None:
    svg = season_wheel("Calanus", [4, 1] + [0] * 10, every=[10] * 12)
    outer = [float(r) for r in re.findall(r"A([\d.]+) [\d.]+ 0 0 1", svg)]
    areas = [r * r - 34.0**2 for r in outer]
    assert len(outer) == 2 and areas[0] / areas[1] == pytest.approx(4, rel=0.01)
    assert "January: 4 specimens" in svg and 'class="outline"' in svg
    assert season_table([("Calanus", [4, 1] + [0] * 10)]).rows[1] == ["February", "1"]
    ET.fromstring(season_wheel("none & nothing", [0] * 12))


def test_a_profile_has_the_surface_on_top() -> None:
    layers = [Layer(50, 100, 2, 1, 3), Layer(0, 50, 8), Layer(math.nan, 3, 9)]
    shallow, deep = sorted(circles(depth_profile("x", [("Copepoda", layers)], "per m³")), key=lambda c: c[1])
    assert shallow[2] == "Copepoda, 0 to 50 m: 8" and deep[2] == "Copepoda, 50 to 100 m: 2 (1 to 3)"
    assert shallow[0] > deep[0]
    assert profile_table([("Copepoda", layers)], "per m³").rows == [
        ["Copepoda", "0 to 50 m", "8", "–"],
        ["Copepoda", "50 to 100 m", "2", "1 to 3"],
    ]
    ET.fromstring(depth_profile("x", [], "per m³"))


def test_an_ordination_has_one_scale_and_names_that_do_not_overlap() -> None:
    samples = [Sample(0, 0, "a"), Sample(1, 0, "b"), Sample(0, 0.5, "c"), Sample(0, 0, "on a", "")]
    svg = ordination("x", samples, note="stress 0.08")
    spots = {words: (x, y) for x, y, words in circles(svg)}
    assert spots["b"][0] - spots["a"][0] == pytest.approx(2 * (spots["a"][1] - spots["c"][1]), abs=0.2)
    assert "stress 0.08" in svg
    grouped = [Sample(i, i, f"s{i}", f"g{i % 9}") for i in range(18)]
    assert "others" in ordination("x", grouped)
    assert ordination_table(grouped).columns == ["sample", "group", "axis 1", "axis 2"]
    for few in ([], samples[:1]):
        ET.fromstring(ordination("x", few))


def test_a_section_says_how_many_were_collected_where_others_were() -> None:
    asked, answering = Places.nowhere(4), Places.nowhere(3)
    asked.latitude[:3], asked.longitude[:3] = (52.0, 52.0, 10.0), (5.0, 5.01, 10.0)
    answering.latitude[:], answering.longitude[:], answering.day[:] = 52.0, 5.0, 150.0
    section = collected([("test", asked), ("train", answering)])
    assert section is not None and section.lead.startswith("66.7 % of “test” lie in a square of 0.1 degree")
    assert [block.block for block in section.blocks] == ["figure", "figure", "grid", "grid"]
    assert "test: 3 of 4 have a place; train: 3 of 3 have a place." in section.blocks[0].caption  # type: ignore[union-attr]
    assert collected([("test", Places.nowhere(3))]) is None


def test_names_are_words_and_never_markup() -> None:
    evil = "<script>alert(1)</script>\"'&"
    spots, layers, moment = [Spot(1, 2, 1, 0, evil), Spot(3, 4, 1, 1)], layers_of([5.0]), Moment(date(2019, 1, 1), 1, words=evil)
    drawn = [
        map_of(evil, spots, names=[evil, "b"], of=evil, marked=(1, 2, evil)),
        season_wheel(evil, [1] * 12, of=evil, marked=(3, evil)),
        depth_profile(evil, [(evil, layers)], evil, marked=(3, evil)),
        time_series(evil, [(evil, [moment])], evil),
    ]
    for svg in drawn:
        assert "<script" not in svg and "style=" not in svg
        ET.fromstring(svg)


def test_layers_count_every_depth_once() -> None:
    layers = layers_of([0, 1, 49.9, 50, 499, 500, math.nan])
    assert [(layer.top, layer.bottom, layer.value) for layer in layers[:2]] == [(0, 50, 3), (50, 100, 1)]
    assert sum(layer.value for layer in layers) == 6 and layers[-1].bottom == 500
    assert layers_of([]) == layers_of([math.nan]) == []
    assert [layer.bottom for layer in layers_of([3.0], every=[3.0, 90.0])][-1] == 90
    assert layers_of([0.0])[0].value == 1 and sum(layer.value for layer in layers_of([-4.0, 7.0])) == 2


def test_a_marked_day_and_depth_are_said() -> None:
    assert "this one, 2 March" in season_wheel("x", [1] * 12, marked=(60, "this one, 2 March"))
    svg = map_of("x", [Spot(10, 170)], marked=(12, -170, "this one"))
    assert svg.count('class="here"') == 2 and "180°" in svg
    assert "this one" in depth_profile("x", [("a", layers_of([5, 9]))], "n", marked=(120, "this one"))


def test_a_time_series_has_intervals_and_gaps_where_nothing_was_counted() -> None:
    moments = [Moment.of("2019-05-01", 2, 1, 3), Moment.of("2019-05", math.nan), Moment.of("2019-06-02", 4)]
    svg = time_series("x", [("Calanus", moments)], "per m³")
    first, second = sorted(circles(svg))
    assert first[2] == "Calanus, 2019-05-01: 2 (1 to 3)" and second[2] == "Calanus, 2019-06-02: 4" and second[1] < first[1]
    assert 'class="l1"' in svg and "L" not in re.findall(r'class="l1" d="([^"]*)"', svg)[0], "the gap is not bridged"
    assert time_table([("Calanus", moments)], "per m³").rows == [
        ["Calanus", "2019-05-01", "2", "1 to 3"],
        ["Calanus", "2019-05", "–", "–"],
        ["Calanus", "2019-06-02", "4", "–"],
    ]
    with pytest.raises(BiocosmosError, match="no date"):
        Moment.of("never", 1)


@pytest.mark.parametrize("days", [0, 3, 40, 200, 800, 4000, 90_000])
def test_time_has_a_few_round_ticks(days: int) -> None:
    first = date(1900, 3, 7)
    svg = time_series("x", [("a", [Moment(first, 1), Moment(date.fromordinal(first.toordinal() + days), 2)])], "n")
    ticks = re.findall(r'class="tick"[^>]*text-anchor="middle">([^<]*)<', svg)
    assert 1 <= len(ticks) <= 10 and len(set(ticks)) == len(ticks)
    ET.fromstring(time_series("x", [], "n"))
