"""The maps over HTTP: messages read byte by byte, lassos, boxes, dates, and what there is to say without a map."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mapped
import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.discover.kept import keep
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk
from biocosmos.serve.likeness.colours import NAMED, STEPS, _classes, _steps

TOKEN = "a-token-of-the-tests-of-maps"


def client_of(collection: bc.Collection) -> TestClient:
    access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return TestClient(make_app(Desk(collection), access), base_url="http://127.0.0.1:8765", headers=headers)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> bc.Collection:
    return mapped.make(tmp_path_factory.mktemp("maps"), sample_table)


@pytest.fixture(scope="module")
def client(collection: bc.Collection) -> Iterator[TestClient]:
    with client_of(collection) as client:
        yield client


@pytest.fixture(scope="module")
def ids(collection: bc.Collection) -> list[str]:
    return collection.table(["id"])["id"].to_pylist()


def read(data: bytes) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """A message, with nothing but the format's description and struct."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    assert (4 + length) % 8 == 0
    letters = {"u1": "B", "u2": "H", "f4": "f"}
    arrays = {}
    for array in header["arrays"]:
        assert array["offset"] % 8 == 0
        arrays[array["name"]] = struct.unpack_from(
            f"<{array['length']}{letters[array['type']]}", data, 4 + length + array["offset"]
        )
    return header, arrays


def bits(data: bytes) -> list[bool]:
    header, arrays = read(data)
    return [bool(arrays["bits"][i // 8] >> (i % 8) & 1) for i in range(header["count"])]


def refused(answer: Any, *words: str) -> None:
    assert answer.status_code == 400, answer.text
    line = answer.json()["error"]
    assert "\n" not in line and all(word in line for word in words), line


# ---------------------------------------------------------------------- likeness


def test_points_lie_where_the_projection_put_them(client: TestClient, ids: list[str]) -> None:
    header, arrays = read(client.get("/api/likeness/points?by=rank:class").content)
    assert (header["count"], header["total"]) == (mapped.ROWS - mapped.UNMAPPED, mapped.ROWS)
    assert (header["without"], header["gone"]) == (mapped.UNMAPPED, 3)
    expected = mapped.places_of()[: mapped.ROWS - mapped.UNMAPPED]  # in the order of the collection, not of the projection
    found = np.column_stack([arrays["x"], arrays["y"]]).astype(float)
    assert header["bounds"] == [*found.min(axis=0), *found.max(axis=0)]
    scale = np.ptp(found, axis=0).max() / np.ptp(expected, axis=0).max()
    centred = (found - found.mean(axis=0)) / scale - (expected - expected.mean(axis=0))
    assert np.abs(centred).max() < 1.5 / scale  # one scale for both directions, y upwards, to a unit
    last = client.get("/api/likeness/specimens", params={"plane": header["plane"], "at": [0, 5, header["count"] - 1]}).json()
    assert [each["id"] for each in last["specimens"]] == [ids[0], ids[5], ids[header["count"] - 1]]


def test_classes_are_those_of_the_specimens_most_frequent_first(client: TestClient, collection: bc.Collection) -> None:
    header, arrays = read(client.get("/api/likeness/points?by=rank:class").content)
    given = collection.table(["class"])["class"].to_pylist()[: header["count"]]
    counts = Counter(name for name in given if name)
    classes = [each for each in header["legend"] if each["role"] == "class"]
    assert [each["count"] for each in classes] == sorted((each["count"] for each in classes), reverse=True)
    assert {each["name"]: each["count"] for each in classes} == dict(counts.most_common(NAMED)) or len(counts) > NAMED
    names = {each["code"]: each["name"] for each in header["legend"]}
    none = next((each for each in header["legend"] if each["role"] == "none"), None)
    assert (none["count"] if none else 0) == given.count(None)
    shown = [names[code] for code in arrays["code"]]
    assert all(name == (was or "none") for name, was in zip(shown, given) if "others" not in name)


def test_what_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/api/likeness/points?by=state")
    mark = first.headers["etag"]
    assert client.get("/api/likeness/points?by=state", headers={"If-None-Match": mark}).status_code == 304
    again = client.get("/api/likeness/points?by=rank:class", headers={"If-None-Match": mark})
    assert again.status_code == 200 and again.headers["etag"] != mark
    assert "gzip" not in first.headers.get("content-encoding", "")
    colours = client.get("/api/likeness/colours?by=state")
    assert read(colours.content)[1]["code"] == read(first.content)[1]["code"]
    places = client.get("/api/places/points")
    assert client.get("/api/places/points", headers={"If-None-Match": places.headers["etag"]}).status_code == 304


def test_a_mask_says_which_points_a_view_has(client: TestClient, collection: bc.Collection) -> None:
    header, _ = read(client.get("/api/likeness/mask").content)
    assert header["view"] == mapped.ROWS and header["on_map"] == header["count"] and header["chips"] == []
    taxon = next(name for name in collection.table(["class"])["class"].to_pylist() if name)
    answer = client.get("/api/likeness/mask", params={"taxon": f"class:{taxon}"})
    given = collection.table(["class"])["class"].to_pylist()
    assert bits(answer.content) == [name == taxon for name in given[: mapped.ROWS - mapped.UNMAPPED]]
    header, _ = read(answer.content)
    assert header["view"] == given.count(taxon) and header["on_map"] == sum(bits(answer.content))
    assert [chip["without"] for chip in header["chips"]] == [""]


def test_a_lasso_is_a_filter_with_an_address(client: TestClient, ids: list[str]) -> None:
    header, arrays = read(client.get("/api/likeness/points?by=state").content)
    heap = [i for i in range(header["count"]) if i % 3 == 1]
    x, y = ([arrays[name][i] for i in heap] for name in "xy")
    polygon = [(min(x) - 50, min(y) - 50), (max(x) + 50, min(y) - 50), (max(x) + 50, max(y) + 50), (min(x) - 50, max(y) + 50)]
    lasso = client.post("/api/likeness/lasso", json={"view": "", "polygon": polygon}).json()
    assert lasso["count"] == len(heap)
    assert sum(bits(client.get(f"/api/likeness/mask?{lasso['view']}").content)) == len(heap)
    shown = client.get(f"/api/specimens?{lasso['view']}").json()
    assert [each["id"] for each in shown["specimens"]] == [ids[i] for i in heap]
    both = client.post("/api/likeness/lasso", json={"view": "words=no-such-thing", "polygon": polygon}).json()
    assert both["count"] == 0 and "words=no-such-thing" in both["view"]
    gone = client.post("/api/likeness/lasso", json={"view": lasso["view"], "polygon": None}).json()
    assert gone == {"view": "", "count": mapped.ROWS}


@pytest.mark.parametrize(
    "polygon", [[], [[1, 2]], [[1, 2], [3, 4]], [[1, 2], [3, 4], ["x", 5]], [[1, 2], [3, 4], None], [[0, 0], [1, 1], [2]]]
)
def test_what_is_no_lasso_is_refused(client: TestClient, polygon: list[Any]) -> None:
    refused(client.post("/api/likeness/lasso", json={"view": "", "polygon": polygon}), "lasso")


def test_a_hundred_thousand_corners_and_numbers_that_are_none(client: TestClient) -> None:
    many = [[i % 317 * 200, i // 317 * 200] for i in range(100_000)]
    refused(client.post("/api/likeness/lasso", json={"view": "", "polygon": many}), "corners")
    nan = '{"view": "", "polygon": [[NaN, 1], [2, 3], [4, 5]]}'
    answer = client.post("/api/likeness/lasso", content=nan, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and "error" in answer.json()
    answer = client.post("/api/likeness/lasso", json={"view": "x" * 30_000, "polygon": None})
    assert answer.status_code in (400, 422)
    refused(client.get("/api/likeness/mask?region=1,2,3"), "region")
    refused(client.get("/api/likeness/mask?region=nan,2,3,4,5,6"), "region")


def test_a_colouring_that_there_is_not(client: TestClient) -> None:
    refused(client.get("/api/likeness/points?by=colour"), "colour", "rank:")
    refused(client.get("/api/likeness/points?by=rank:tribe"), "tribe")
    refused(client.get("/api/likeness/colours?by=part"), "split")
    assert client.get("/api/likeness/points").status_code == 422


def test_points_of_another_map_are_not_told(client: TestClient) -> None:
    plane = read(client.get("/api/likeness/points?by=state").content)[0]["plane"]
    refused(client.get("/api/likeness/specimens", params={"plane": "20200101T000000", "at": 1}), "reload")
    refused(client.get("/api/likeness/specimens", params={"plane": plane, "at": 9999}), "reload")
    refused(client.get("/api/likeness/specimens", params={"plane": plane, "at": -1}), "reload")
    assert client.get("/api/likeness/specimens", params={"plane": plane, "at": list(range(30))}).status_code == 422


def test_nobody_reads_without_the_token(client: TestClient) -> None:
    bare = TestClient(client.app, base_url="http://127.0.0.1:8765")
    for path in ("/api/likeness/points?by=state", "/api/likeness/mask", "/api/places/points", "/api/places/times"):
        assert bare.get(path).status_code == 401
    assert bare.post("/api/likeness/lasso", json={"view": "", "polygon": None}).status_code in (401, 403)


# ---------------------------------------------------------------------- colours


def test_the_legend_names_twenty_then_the_others_then_none() -> None:
    random = np.random.default_rng(0)
    names = [f"taxon {i:02d}" for i in range(30)]
    values = random.integers(-1, 30, 5000)
    found = _classes(values, names)
    counts = Counter(values.tolist())
    order = sorted(range(30), key=lambda i: (-counts[i], names[i]))
    assert [each["name"] for each in found.legend] == [*(names[i] for i in order[:NAMED]), "10 others", "none"]
    assert sum(each["count"] for each in found.legend) == 5000
    code = {place: i for i, place in enumerate(order[:NAMED])}
    assert found.codes.tolist() == [NAMED + 1 if v < 0 else code.get(v, NAMED) for v in values.tolist()]
    tie = _classes(np.array([2, 1, 0, 0]), ["c", "b", "a"])
    assert [each["name"] for each in tie.legend] == ["c", "a", "b"]
    assert _classes(np.empty(0, np.int64), []).legend == []


def test_numbers_are_shown_in_steps() -> None:
    found = _steps(np.array([0.0, 1.0, 0.5, np.nan, 0.999], np.float32))
    assert found.codes.tolist() == [0, STEPS - 1, STEPS // 2, STEPS, STEPS - 1]
    assert (found.kind, found.low, found.high) == ("steps", 0.0, 1.0)
    assert [each["role"] for each in found.legend] == ["none"]
    assert _steps(np.array([3.0, 3.0], np.float32)).codes.tolist() == [0, 0]
    assert _steps(np.array([np.nan], np.float32)).codes.tolist() == [STEPS]


def test_colours_follow_what_people_say(tmp_path: Path, sample_table: pa.Table) -> None:
    collection = mapped.make(tmp_path, sample_table)
    ids = collection.table(["id"])["id"].to_pylist()
    with client_of(collection) as client:
        before = client.get("/api/likeness/points?by=state")
        done = client.post("/api/labels", json={"ids": ids[:2], "taxon": "Copepoda", "rank": "class"})
        assert done.status_code == 200, done.text
        after = client.get("/api/likeness/points?by=rank:class", headers={"If-None-Match": before.headers["etag"]})
        header, arrays = read(after.content)
        names = {each["code"]: each["name"] for each in header["legend"]}
        assert [names[code] for code in arrays["code"][:2]] == ["Copepoda"] * 2
        for name, tagged in (("odd <b>", ids[:3]), ("even", ids[2:4])):
            assert client.post("/api/tags", json={"ids": tagged, "name": name}).status_code == 200
        header, arrays = read(client.get("/api/likeness/points?by=tag").content)
        names = {each["code"]: each["name"] for each in header["legend"]}
        assert [names[code] for code in arrays["code"][:5]] == ["odd <b>", "odd <b>", "several tags", "even", "none"]


def test_a_newer_projection_takes_the_place_of_the_older(tmp_path: Path, sample_table: pa.Table) -> None:
    collection = mapped.make(tmp_path, sample_table)
    ids = collection.table(["id"])["id"].to_pylist()
    with client_of(collection) as client:
        first = client.get("/api/likeness/points?by=state")
        same = [1.0] * len(ids)
        keep(collection, "projection", pa.table({"id": ids, "x": same, "y": same}), {})  # all in one place
        again = client.get("/api/likeness/points?by=state", headers={"If-None-Match": first.headers["etag"]})
        header, arrays = read(again.content)
        assert header["count"] == mapped.ROWS and len(set(arrays["x"])) == 1
        around = [(0, 0), (65535, 0), (65535, 65535), (0, 65535)]
        assert client.post("/api/likeness/lasso", json={"view": "", "polygon": around}).json()["count"] == mapped.ROWS
        keep(collection, "projection", pa.table({"id": ids[:3], "x": [1.0, None, float("nan")], "y": [0.0, 1.0, 2.0]}), {})
        assert read(client.get("/api/likeness/points?by=state").content)[0]["count"] == 1
        keep(collection, "projection", pa.table({"id": pa.array([], pa.string()), "x": [], "y": []}), {})
        assert read(client.get("/api/likeness/points?by=state").content)[0]["count"] == 0
        assert client.get("/likeness").status_code == 200


def test_without_a_projection(tmp_path: Path, sample_table: pa.Table) -> None:
    with client_of(mapped.make(tmp_path, sample_table, projection=False, places=False)) as client:
        page = client.get("/likeness")
        assert page.status_code == 200 and "no map of likeness yet" in page.text and 'data-test="start-project"' in page.text
        assert 'data-start-job="embed"' in page.text  # nothing has a vector yet
        refused(client.get("/api/likeness/points?by=state"), "no map")
        refused(client.get("/api/likeness/mask"), "no map")
        refused(client.post("/api/likeness/lasso", json={"view": "", "polygon": [[0, 0], [9, 0], [0, 9]]}), "no map")
        refused(client.get("/api/specimens?region=0,0,9,0,0,9"), "map")
        page = client.get("/places")
        assert page.status_code == 200 and "No specimen has a place" in page.text
        assert read(client.get("/api/places/points").content)[0]["count"] == 0
        assert client.get("/api/places/times").json()["steps"] == []


# ---------------------------------------------------------------------- places


def test_places_are_those_of_the_specimens(client: TestClient, ids: list[str]) -> None:
    header, arrays = read(client.get("/api/places/points").content)
    there = [i for i in range(mapped.ROWS) if i % 10 != 9]
    assert (header["count"], header["without"], header["total"]) == (len(there), mapped.ROWS - len(there), mapped.ROWS)
    expected = mapped.STATIONS[np.array(there) % 3]
    assert np.allclose(np.column_stack([arrays["longitude"], arrays["latitude"]]), expected, atol=1e-5)
    told = client.get("/api/places/specimens", params={"mark": header["mark"], "at": [9]}).json()
    assert told["specimens"][0]["id"] == ids[there[9]]
    refused(client.get("/api/places/specimens", params={"mark": "x", "at": [9]}), "reload")


def test_a_box_across_180_degrees(client: TestClient) -> None:
    for box in ([170, -30, 190, 0], [170, -30, -170, 0], [-190, -30, -170, 0]):
        selected = client.post("/api/places/select", json={"view": "", "box": box}).json()
        assert selected["count"] == sum(1 for i in range(mapped.ROWS) if i % 10 != 9 and i % 3 != 2)
        assert "box=170,-30,-170,0" in selected["view"]
    header, _ = read(client.get(f"/api/places/mask?{selected['view']}").content)
    assert header["box"] == [170, -30, -170, 0] and header["on_map"] == selected["count"]
    whole = client.post("/api/places/select", json={"view": "", "box": [-300, -100, 300, 100]}).json()
    assert whole["count"] == sum(1 for i in range(mapped.ROWS) if i % 10 != 9)
    assert client.post("/api/places/select", json={"view": selected["view"], "box": None}).json()["view"] == ""


@pytest.mark.parametrize("box", [[1, 2, 3], [0, 50, 10, 40], [0, 0, 1, 1, 1]])
def test_what_is_no_box_is_refused(client: TestClient, box: list[float]) -> None:
    answer = client.post("/api/places/select", json={"view": "", "box": box})
    assert answer.status_code in (400, 422) and "error" in answer.json()


def test_dates_filter_and_are_counted(client: TestClient) -> None:
    times = client.get("/api/places/times").json()
    assert times["unit"] == "month" and (times["undated"], times["vague"]) == (3, 3)
    assert sum(step["all"] for step in times["steps"]) == mapped.ROWS - 6
    selected = client.post("/api/places/select", json={"view": "", "dates": ["2019-03", "2019-04"]}).json()
    months = [1 + i % 12 for i in range(mapped.ROWS) if i % 20]
    assert selected["count"] == sum(month in (3, 4) for month in months)
    narrowed = client.get(f"/api/places/times?{selected['view']}").json()
    assert narrowed["steps"] == times["steps"]  # the bar itself shows what its own filter hides
    assert narrowed["dates"] == ["2019-03", "2019-04"]
    open_ended = client.post("/api/places/select", json={"view": "", "dates": ["2019-03", None]}).json()
    assert open_ended["count"] == sum(month >= 3 for month in months)
    refused(client.post("/api/places/select", json={"view": "", "dates": ["yesterday", None]}), "year")
    gone = client.post("/api/places/select", json={"view": selected["view"], "dates": None}).json()
    assert gone == {"view": "", "count": mapped.ROWS}


def test_both_maps_show_the_same_view(client: TestClient) -> None:
    selected = client.post("/api/places/select", json={"view": "", "box": [0, 40, 10, 60]}).json()
    likeness, _ = read(client.get(f"/api/likeness/mask?{selected['view']}").content)
    places, _ = read(client.get(f"/api/places/mask?{selected['view']}").content)
    assert likeness["view"] == places["view"] == selected["count"]
    assert likeness["chips"] == places["chips"]
    for page in ("/likeness", "/places"):
        assert selected["view"] in client.get(f"{page}?{selected['view']}").text
    assert client.get("/likeness?by=nothing&flat=1").status_code == 200
    assert client.get("/likeness?colour=blue").status_code == 400


def test_homonyms_are_told_apart_in_the_legend(tmp_path: Path) -> None:
    from biocosmos.specimens.records import Source

    collection = bc.Collection.create(tmp_path / "homonyms.cosmos")
    rows = [("a", "Animalia", "Oenanthe"), ("b", "Plantae", "Oenanthe"), ("c", "Plantae", "Oenanthe"), ("d", "Plantae", None)]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("id", "kingdom", "genus"))}
    collection.add(Source("h", "table", pa.table(columns).to_batches(), ("kingdom", "genus")))
    xy = {"id": columns["id"], "x": [0.0, 1.0, 2.0, 3.0], "y": [0.0] * 4}
    keep(collection, "projection", pa.table(xy), {})
    with client_of(collection) as client:
        header, arrays = read(client.get("/api/likeness/points?by=rank:genus").content)
    assert [(each["name"], each["count"]) for each in header["legend"]] == [
        ("Oenanthe (Plantae)", 2),
        ("Oenanthe (Animalia)", 1),
        ("none", 1),
    ]
    assert arrays["code"] == (1, 0, 0, NAMED + 1)
