"""Search with a place, a day or a depth beside what is asked about, and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.places import days_apart, great_circle, parse_day
from biocosmos.settings import SettingError
from biocosmos.specimens.collection import Collection

PLACES = [(52.0, 5.0), (52.1, 5.1), (-16.5, 179.9), (-16.5, -179.9), (None, None), (0.0, 0.0)]
DATES = ["2026-06-04", "2026-01-01", "2025-12-31", "2026-06-01/2026-06-03", "2026-06-04", None]
DEPTHS = [5.0, 20.0, None, 100.0, 5.0, 5.0]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    made = Collection.create(tmp_path_factory.mktemp("near") / "near.cosmos")
    ids = list("abcdef")
    table: dict[str, Any] = {"id": ids, "text": ids, "label": ["x"] * 6, "date": DATES, "depth_min": DEPTHS}
    table |= {"latitude": [place[0] for place in PLACES], "longitude": [place[1] for place in PLACES]}
    made.add(pa.table({**table, "country": ["NL", "Netherlands", "Fiji", "FJ", None, None]}))
    made.add_embedding("made", ids, np.eye(6, 4, dtype=np.float32) + 0.1)
    return made


def searched(collection: Collection, **asked: Any) -> list[dict[str, Any]]:
    return search_collection(collection, SearchSettings(**asked))[0].to_pylist()


def test_each_neighbour_says_how_far_from_there_it_was_and_keeps_its_position(collection: Collection) -> None:
    plain = searched(collection, id=("a",), encoder="made")
    rows = searched(collection, id=("a",), encoder="made", at="52.05,5.05", on="2026-06-04", depth=10.0)
    assert [(row["id"], row["position"], row["score"]) for row in rows] == [
        (row["id"], row["position"], row["score"]) for row in plain
    ]
    for row in rows:
        which = "abcdef".index(row["id"])
        known = which < 4
        far = float(great_circle(52.05, 5.05, *PLACES[which])) if known else None
        assert row["kilometres"] == (None if far is None else pytest.approx(far, abs=1e-3))
        days = DATES[which] and float(days_apart(parse_day("2026-06-04"), parse_day(DATES[which])))
        assert row["days"] == (None if days is None else pytest.approx(days, abs=1e-3))
        assert row["metres"] == (None if DEPTHS[which] is None else abs(10 - DEPTHS[which]))
    assert "kilometres" not in plain[0]


def test_a_place_alone_lists_what_was_found_nearest(collection: Collection) -> None:
    table, failures, how = search_collection(collection, SearchSettings(at="16.5°S 180°E", k=3))
    assert table["id"].to_pylist() == ["c", "d", "b"] and how["search"] == {"near": "16.5°S 180°E"}
    assert [failure.reason for failure in failures] == ["2 specimens without a place are left out"]
    assert [row["id"] for row in searched(collection, on="12-31", k=2)] == ["c", "b"]
    assert [row["id"] for row in searched(collection, at="52,5", on="06-04", depth=0.0)] == ["a", "b", "d"]
    assert [row["id"] for row in searched(collection, at="52,5", where="country('FJ')")] == ["c", "d"]
    assert {row["query"] for row in searched(collection, depth=0.0)} == {"0 m"}


def test_a_country_is_a_filter_by_any_of_its_names(collection: Collection) -> None:
    assert {row["id"] for row in searched(collection, id=("c",), encoder="made", country="nld")} == {"a", "b"}
    assert {row["id"] for row in searched(collection, at="0,100", country="Fiji", where="id <> 'd'")} == {"c"}
    settings = SearchSettings(id=("c",), encoder="made", country="NL", approximate=True)
    assert {row["id"] for row in search_collection(collection, settings)[0].to_pylist()} == {"a", "b"}


@pytest.mark.parametrize(
    "asked",
    [
        {"at": "0,0"},
        {"at": "152,5"},
        {"on": "2026"},
        {"country": "Atlantis"},
        {"depth": -1.0},
        {"depth": float("nan")},
        {"at": ""},
    ],
)
def test_what_is_no_place_or_day_is_refused_before_anything_is_read(asked: dict[str, Any]) -> None:
    with pytest.raises(SettingError) as told:
        SearchSettings(**asked)
    assert "\n" not in str(told.value)


def test_what_cannot_be_near_is_said(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--encoder does nothing here"):
        searched(collection, at="52,5", encoder="made")
    empty = Collection.create(tmp_path / "a.cosmos")
    empty.add(pa.table({"id": ["a"], "text": ["x"]}))
    with pytest.raises(BiocosmosError, match="has a place: nothing is near"):
        searched(empty, at="52,5")
