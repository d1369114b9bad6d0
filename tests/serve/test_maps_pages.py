"""The maps in a real browser: points are painted where they are, and what is drawn around is what is selected."""

from __future__ import annotations

import io
import math
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mapped
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from browsing import PHONE, Server

HEAP = 300
"""How far around the middle of a heap, in thousandths of the distance between the first two, all of its points lie."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> Iterator[Server]:
    collection = mapped.make(tmp_path_factory.mktemp("pages"), sample_table)
    server = Server(collection.path).start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def ids(sample_table: pa.Table) -> list[str]:
    return sample_table["id"].to_pylist()[: mapped.ROWS]


def ready(page: Any, pane: str = "likeness") -> Any:
    """The canvas of a map, painted."""
    page.wait_for_selector(f"[data-pane={pane}] canvas[data-painted]")
    page.wait_for_function(f"() => / of /.test(document.querySelector('[data-pane={pane}] [data-test=says]').textContent)")
    return page.locator(f"[data-pane={pane}] canvas")


def middles(canvas: Any) -> np.ndarray:
    """(3, 2) where the middle of each heap lies on the page, worked out from the projection and how a map is fitted in."""
    box = canvas.bounding_box()
    points = mapped.places_of()[: mapped.ROWS - mapped.UNMAPPED]
    low, high = points.min(axis=0), points.max(axis=0)
    scale = min(box["width"] / (high - low)[0], box["height"] / (high - low)[1]) / 1.06
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    return middle + (mapped.HEAPS - (low + high) / 2) * scale * (1, -1)


def painted(page: Any, canvas: Any) -> np.ndarray:
    """(height, width, 3) what is seen of the canvas."""
    return np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)


def coloured(pixels: np.ndarray) -> np.ndarray:
    """(height, width) where something is painted that is neither the ground nor grey."""
    return np.ptp(pixels, axis=2) > 40


def draw_around(page: Any, x: float, y: float, radius: float) -> None:
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for step in range(25):
        angle = step / 25 * 2 * math.pi
        page.mouse.move(x + radius * math.cos(angle), y + radius * math.sin(angle))
    page.mouse.up()


def selected(page: Any, count: int) -> None:
    page.wait_for_function(f"() => document.querySelector('[data-test=map-selected]').textContent === '{count:,} selected'")


def view_of(page: Any) -> str:
    return re.sub(r"&?(by|flat)=[^&]*", "", page.url.partition("?")[2]).strip("&")


@pytest.mark.parametrize("kind", ["WebGL2", "canvas"])
def test_points_are_painted_where_they_are(opened: Any, server: Server, kind: str) -> None:
    page = opened(server, "/likeness?by=rank:class" + ("" if kind == "WebGL2" else "&flat=1"))
    canvas = ready(page)
    assert canvas.get_attribute("data-kind") == kind
    if kind == "canvas":
        assert "without WebGL2" in page.inner_text("[data-pane=likeness] [data-test=says]")
    seen = coloured(painted(page, canvas))
    box = canvas.bounding_box()
    seen[:60, -260:] = False  # the buttons
    rows, columns = np.nonzero(seen)
    found = np.column_stack([columns + box["x"], rows + box["y"]])
    nearest = np.linalg.norm(found[:, None] - middles(canvas)[None], axis=2)
    radius = np.linalg.norm(middles(canvas)[1] - middles(canvas)[0]) / 10 * 0.5 + 8
    assert (nearest.min(axis=1) < radius).all()  # nothing where no point is
    assert all((nearest.argmin(axis=1) == heap).sum() > 50 for heap in range(3))  # and something in each heap


def test_a_lasso_selects_the_heap_it_is_drawn_around(opened: Any, server: Server, ids: list[str]) -> None:
    page = opened(server, "/likeness?by=rank:class")
    canvas = ready(page)
    x, y = middles(canvas)[2]
    page.click("[data-test=lasso]")
    draw_around(page, x, y, 110)
    heap = [i for i in range(mapped.ROWS - mapped.UNMAPPED) if i % 3 == 2]
    selected(page, len(heap))
    assert "region=" in page.url
    shown = page.evaluate(f"fetch('/api/specimens?{view_of(page)}').then((answer) => answer.json())")
    assert [each["id"] for each in shown["specimens"]] == [ids[i] for i in heap]
    assert page.get_attribute("[data-test=lasso]", "aria-pressed") == "false"  # a drag moves again
    seen = coloured(painted(page, canvas))  # the others are grey now
    box = canvas.bounding_box()
    for heap_number, (mx, my) in enumerate(middles(canvas) - (box["x"], box["y"])):
        near = seen[int(my) - 30 : int(my) + 30, int(mx) - 30 : int(mx) + 30]
        assert near.any() == (heap_number == 2)
    page.go_back()
    page.wait_for_function("() => document.querySelector('[data-test=map-actions]').hidden")
    page.go_forward()
    selected(page, len(heap))
    page.reload()
    ready(page)
    selected(page, len(heap))
    page.keyboard.press("g")
    page.wait_for_url("**/explore?region=*")


def test_pointing_shows_the_right_picture(opened: Any, server: Server, ids: list[str]) -> None:
    page = opened(server, "/likeness?by=state")
    canvas = ready(page)
    box = canvas.bounding_box()
    points = mapped.places_of()[: mapped.ROWS - mapped.UNMAPPED]
    scale = np.linalg.norm(middles(canvas)[1] - middles(canvas)[0]) / 10
    where = middles(canvas)[0] + (points - mapped.HEAPS[0]) * scale * (1, -1)
    loneliest = max(range(len(where)), key=lambda i: np.sort(np.linalg.norm(where - where[i], axis=1))[1])
    page.mouse.move(*where[loneliest])
    page.wait_for_selector(f"[data-test=tooltip]:not([hidden]) figure[data-id='{ids[loneliest]}'] img")
    assert ids[loneliest] in page.get_attribute("[data-test=tooltip] img", "src")
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] - 5)
    page.wait_for_selector("[data-test=tooltip]", state="hidden")
    page.mouse.click(*where[loneliest])
    page.wait_for_url("**/specimen?*")
    assert ids[loneliest] in page.url


def test_keys_move_point_and_open(opened: Any, server: Server) -> None:
    page = opened(server, "/likeness?by=state")
    canvas = ready(page)
    canvas.focus()
    before = painted(page, canvas)
    for _ in range(6):
        page.keyboard.press("+")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(400)
    assert (painted(page, canvas) != before).any()
    page.keyboard.press("0")
    page.wait_for_timeout(400)
    assert (coloured(painted(page, canvas)) == coloured(before)).mean() > 0.99
    y = middles(canvas)[2, 1]
    box = canvas.bounding_box()
    for _ in range(20):  # the heap into the middle, by sixty pixels a key
        if abs(y - box["y"] - box["height"] / 2) < 31:
            break
        page.keyboard.press("ArrowUp")
        y += 60
    page.wait_for_selector("[data-test=tooltip]:not([hidden]) figure")
    page.keyboard.press("Enter")
    page.wait_for_url("**/specimen?*")


def test_without_a_mouse_a_rectangle_is_given_by_numbers(opened: Any, server: Server) -> None:
    page = opened(server, "/likeness?by=state")
    ready(page)
    page.click("[data-test=by-numbers] summary")
    page.fill("[data-test=number-bottom]", "50")
    page.click("[data-test=numbers-select]")
    selected(page, sum(i % 3 == 2 for i in range(mapped.ROWS - mapped.UNMAPPED)))
    page.click("[data-test=chip-without]")
    page.wait_for_function("() => document.querySelector('[data-test=map-actions]').hidden")
    page.click("[data-test=select-screen]")
    selected(page, mapped.ROWS - mapped.UNMAPPED)


def test_a_click_on_the_legend_hides_a_class(opened: Any, server: Server) -> None:
    page = opened(server, "/likeness?by=rank:class")
    canvas = ready(page)
    before = coloured(painted(page, canvas)).sum()
    entries = page.locator("[data-test=legend-class]")
    entries.first.click()
    assert entries.first.get_attribute("aria-pressed") == "false"
    page.wait_for_timeout(300)
    assert coloured(painted(page, canvas)).sum() < before
    page.click("[data-test=legend-all]")
    page.wait_for_timeout(300)
    assert abs(coloured(painted(page, canvas)).sum() - before) < before * 0.05
    page.select_option("[data-test=colour]", "state")
    page.wait_for_function("() => document.querySelector('[data-test=legend]').textContent.includes('validated')")
    assert "by=state" in page.url


def test_a_lost_context_comes_back(opened: Any, server: Server) -> None:
    page = opened(server, "/likeness?by=rank:class")
    canvas = ready(page)
    before = coloured(painted(page, canvas)).sum()
    page.evaluate("""() => {
      const gl = document.querySelector('[data-pane=likeness] canvas').getContext('webgl2');
      window.taken = gl.getExtension('WEBGL_lose_context');
      window.taken.loseContext();
    }""")
    page.wait_for_timeout(300)
    page.evaluate("window.taken.restoreContext()")
    page.wait_for_timeout(600)
    assert abs(coloured(painted(page, canvas)).sum() - before) < before * 0.05


def test_places_and_likeness_show_the_same_view(opened: Any, server: Server) -> None:
    page = opened(server, "/places")
    canvas = ready(page, "places")
    page.click("[data-test=both]")
    ready(page, "likeness")
    page.click("[data-test=by-numbers-places] summary")
    for side, degrees in (("west", "170"), ("south", "-30"), ("east", "-170"), ("north", "0")):
        page.fill(f"[data-test=number-{side}]", degrees)
    page.click("[data-test=numbers-select-places]")
    there = [i for i in range(mapped.ROWS) if i % 10 != 9 and i % 3 != 2]
    selected(page, len(there))
    on_map = sum(i < mapped.ROWS - mapped.UNMAPPED for i in there)
    says = page.locator("[data-pane=likeness] [data-test=says]")
    assert says.inner_text().startswith(f"{on_map} of {mapped.ROWS - mapped.UNMAPPED} points")
    assert page.get_attribute("[data-pane=places] [data-test=outline-kept]", "points")
    for name in ("likeness", "explore"):
        assert "box=170,-30,-170,0" in page.get_attribute(f"[data-test=nav-{name}]", "href")
    assert canvas.is_visible()


def test_a_box_is_drawn_and_a_place_pointed_at(opened: Any, server: Server) -> None:
    page = opened(server, "/places")
    canvas = ready(page, "places")
    box = canvas.bounding_box()
    blue = painted(page, canvas)
    spots = (blue[:, :, 2] > blue[:, :, 0] + 60) & (blue[:, :, 0] < 60)
    spots[:60, -260:] = False
    rows, columns = np.nonzero(spots)
    left = columns < box["width"] / 2
    assert left.any() and (~left).any()
    x, y = box["x"] + columns[left].mean(), box["y"] + rows[left].mean()
    page.mouse.move(x, y)
    page.wait_for_selector("[data-test=tooltip]:not([hidden]) figure img")
    assert "specimens" in page.inner_text("[data-pane=places] [data-test=tooltip] p")
    page.click("[data-test=box]")
    page.mouse.move(x - 30, y - 30)
    page.mouse.down()
    page.mouse.move(x + 30, y + 30, steps=4)
    page.mouse.up()
    page.wait_for_selector("[data-test=map-actions]:not([hidden])")
    count = int(page.inner_text("[data-test=map-selected]").split()[0])
    stations = [sum(i % 10 != 9 and i % 3 in which for i in range(mapped.ROWS)) for which in ((2,), (0, 1), (0,), (1,))]
    assert count in stations


def test_dates_are_brushed_by_mouse_and_keys(opened: Any, server: Server) -> None:
    page = opened(server, "/places")
    ready(page, "places")
    page.wait_for_selector("[data-test=time-bars] rect", state="attached")
    bars = page.locator("[data-test=time-bars]")
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    step = box["width"] / 12
    page.mouse.move(box["x"] + 2.5 * step, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 4.5 * step, box["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=2019-03&to=2019-05*")
    months = [1 + i % 12 for i in range(mapped.ROWS) if i % 20]
    selected(page, sum(3 <= month <= 5 for month in months))
    page.locator("[data-test=time-to]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**from=2019-03&to=2019-06*")
    page.click("[data-test=time-whole]")
    page.wait_for_function("() => document.querySelector('[data-test=map-actions]').hidden")


def test_what_is_selected_is_named_tagged_and_taken_back(opened: Any, server: Server, ids: list[str]) -> None:
    page = opened(server, "/likeness?by=rank:class")
    canvas = ready(page)
    draw = middles(canvas)[1]
    page.keyboard.press("l")
    draw_around(page, *draw, 110)
    heap = [i for i in range(mapped.ROWS - mapped.UNMAPPED) if i % 3 == 1]
    selected(page, len(heap))
    page.click("[data-test=name-view]")
    page.fill("[data-test=taxon-search]", "Copepoda")
    page.locator("[data-test=taxon-option]").first.click()
    page.wait_for_selector("[data-test=toast]")
    page.wait_for_selector("[data-test=legend-class]:has-text('Copepoda')")
    one = page.evaluate(f"fetch('/api/specimens?words={ids[heap[0]]}').then((answer) => answer.json())")
    assert one["specimens"][0]["name"] == "Copepoda" and one["specimens"][0]["state"] == "validated"
    page.click("[data-test=tag-view]")
    page.fill("[data-test=tag-name]", "by lasso")
    page.click("[data-test=tag-do]")
    page.wait_for_selector("[data-test=toast]:has-text('by lasso')")
    tags = page.evaluate("fetch('/api/tags').then((answer) => answer.json())")
    assert [(tag["name"], tag["count"]) for tag in tags["tags"]] == [("by lasso", len(heap))]
    page.keyboard.press("z")
    page.keyboard.press("z")
    page.wait_for_function("() => fetch('/api/tags').then((answer) => answer.json()).then(({ tags }) => !tags.length)")


@pytest.mark.parametrize("path", ["/likeness", "/places"])
def test_nothing_is_wider_than_a_phone(opened: Any, server: Server, path: str) -> None:
    page = opened(server, path, size=PHONE, dark=True)
    ready(page, path[1:])
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = page.locator(f"[data-pane={path[1:]}] canvas").bounding_box()
    assert box["width"] > 340 and box["height"] > 250


def test_fingers_pinch_point_and_draw(opened: Any, server: Server, ids: list[str]) -> None:
    page = opened(server, "/likeness?by=state", size=PHONE)
    canvas = ready(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        listed = [{"x": float(x), "y": float(y), "id": number} for number, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": listed})

    before = coloured(painted(page, canvas)).sum()
    x, y = middles(canvas)[0]
    touch("Start", (x - 20, y), (x + 20, y))
    for spread in range(30, 90, 10):
        touch("Move", (x - spread, y), (x + spread, y))
    touch("End")
    page.wait_for_timeout(500)
    assert coloured(painted(page, canvas)).sum() != before
    page.click("[data-test=whole]")
    page.wait_for_timeout(300)
    touch("Start", (x, y))
    touch("End")  # the first tap shows
    shown = page.wait_for_selector("[data-test=tooltip]:not([hidden]) figure").get_attribute("data-id")
    assert ids.index(shown) % 3 == 0 and "/likeness" in page.url
    page.click("[data-test=lasso]")
    x, y = middles(canvas)[2]
    around = [(x + 40 * math.cos(a / 3), y + 40 * math.sin(a / 3)) for a in range(19)]
    touch("Start", around[0])
    for point in around:
        touch("Move", point)
    touch("End")
    selected(page, sum(i % 3 == 2 for i in range(mapped.ROWS - mapped.UNMAPPED)))


def test_without_a_map_a_button_starts_the_job(opened: Any, tmp_path: Path, sample_table: pa.Table) -> None:
    server = Server(mapped.make(tmp_path, sample_table, projection=False, places=False).path).start()
    try:
        page = opened(server, "/likeness")
        states = iter(["running", "done"])
        asked: list[Any] = []

        def job(route: Any) -> None:
            asked.append(route.request.post_data_json)
            route.fulfill(json={"id": "job-1", "status": "queued"})

        at = {"description": "compare", "done": 1, "total": 2, "unit": "blocks", "rate": 1.0}
        page.route("**/api/jobs", job)
        page.route("**/api/jobs/job-1", lambda route: route.fulfill(json={"status": next(states), "progress": at, "message": ""}))
        with page.expect_navigation():  # what the job made is shown
            page.click("[data-test=start-project]")
            page.wait_for_selector("[data-test=progress]:has-text('compare: 1 of 2 blocks')")
        assert asked == [{"kind": "embed", "settings": {}}]  # there are no vectors either
        page.goto(f"{server.address}/places")
        assert "biocosmos update mapped.cosmos places.csv" in page.inner_text("[data-test=empty]")
    finally:
        server.stop(signal.SIGKILL)


def test_what_is_selected_is_saved_as_a_file(opened: Any, server: Server, ids: list[str]) -> None:
    page = opened(server, "/places?from=2019-03&to=2019-03")
    ready(page, "places")
    with page.expect_download() as saved:
        page.click("[data-test=export-view]")
    lines = Path(saved.value.path()).read_text().splitlines()
    march = [ids[i] for i in range(mapped.ROWS) if i % 20 and i % 12 == 2]
    assert saved.value.suggested_filename.endswith(".csv") and len(lines) == len(march) + 1
    assert all(any(id_ in line for line in lines) for id_ in march)


def test_charts_follow_the_view_and_its_selections(opened: Any, server: Server, sample_table: pa.Table) -> None:
    page = opened(server, "/explore")
    page.wait_for_selector("[data-test=branch]")
    page.click("[data-test=where] > summary")
    page.wait_for_selector("[data-test=where-map] svg circle")
    assert "of 120 specimens" in page.inner_text("[data-test=where-map]")
    fill = page.evaluate("getComputedStyle(document.querySelector('[data-test=where-map] circle.c1')).fill")
    assert len(set(re.findall(r"\d+", fill)[:3])) == 3, "the colours of the charts are there"
    page.fill("[data-test=search]", "Copepoda")
    page.click("[data-test=search-go]")
    rows = [name for name in sample_table["class"].to_pylist()[: mapped.ROWS] if name == "Copepoda"]
    words = f"of {len(rows):,} specimens"
    page.wait_for_function(f"() => document.querySelector('[data-test=where-map]')?.textContent.includes('{words}')")
    page.reload()
    page.wait_for_function(f"() => document.querySelector('[data-test=where-map]')?.textContent.includes('{words}')")
    page.click("[data-test=where-select]")
    page.wait_for_url("**/places?words=Copepoda")
    page.wait_for_selector("[data-pane=places] canvas[data-painted]")
    assert page.inner_text("[data-test=map-selected]") == f"{len(rows):,} selected"


def test_where_a_specimen_was_found_on_a_phone(opened: Any, server: Server, ids: list[str]) -> None:
    page = opened(server, f"/specimen?id={ids[1]}", size=PHONE, dark=True)
    page.wait_for_selector("[data-test=where-season] svg")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.click("[data-test=where-season] summary")
    assert np.sum([int(cell) for cell in page.locator("[data-test=where-season] td.number").all_inner_texts()]) > 0
    ink = page.evaluate("getComputedStyle(document.querySelector('[data-test=where-map] svg text')).fill")
    assert min(int(part) for part in re.findall(r"\d+", ink)[:3]) > 120, "light words on a dark page"
