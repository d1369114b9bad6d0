"""The page of a specimen in a real browser: zoom, keys, naming, undo after a reload, the other taxon, and back."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from browsing import PHONE

SCALE = "document.querySelector('#viewer img').style.transform.match(/scale\\(([^)]+)\\)/)[1]"
MOVED = "document.querySelector('#viewer img').style.transform.match(/translate\\(([^)]+)\\)/)[1]"


@pytest.fixture
def ids(embedded):
    return embedded.table(["id"])["id"].to_pylist()


def id_of(page) -> str:
    return parse_qs(urlsplit(page.url).query)["id"][0]


def scale(page) -> float:
    return float(page.evaluate(SCALE))


def test_the_image_is_zoomed_and_moved_by_wheel_keys_buttons_and_dragging(shared_server, opened, ids):
    page = opened(shared_server, f"/specimen?id={ids[7]}")
    page.wait_for_selector("#viewer.ready")
    fitted = scale(page)
    page.keyboard.press("+")
    assert scale(page) > fitted
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert scale(page) == pytest.approx(fitted)
    page.click("[data-test=zoom-in]")
    assert scale(page) > fitted and page.inner_text("[data-test=zoom]").endswith("%")
    before = page.evaluate(MOVED)
    box = page.locator("#viewer").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 240, box["y"] + 230)
    page.mouse.up()
    assert page.evaluate(MOVED) != before
    before = page.evaluate(MOVED)
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate(MOVED) != before
    page.keyboard.press("0")
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(50)
    while scale(page) < fitted * 1.2:
        page.wait_for_timeout(50)
    page.click("[data-test=zoom-fit]")
    assert scale(page) == pytest.approx(fitted)


def test_before_after_and_back_by_keys(shared_server, opened, ids):
    page = opened(shared_server, "/explore?taxon=Copepoda")
    tiles = page.locator("[data-test=tile]")
    tiles.first.wait_for()
    order = tiles.evaluate_all("tiles => tiles.slice(0, 4).map((tile) => tile.dataset.id)")
    tiles.nth(1).locator("[data-test=open]").click()
    page.wait_for_selector("#viewer.ready")
    assert id_of(page) == order[1] and "taxon=Copepoda" in page.url
    assert re.match(r"2 of \d+", page.inner_text("[data-test=place]"))
    for key, expected in (("j", 2), ("ArrowRight", 3), ("k", 2), ("ArrowLeft", 1), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        page.wait_for_url(f"**id={order[expected]}*")
        page.wait_for_selector("#viewer.ready")
    assert page.locator("[data-test=previous]").count() == 0
    page.keyboard.press("Escape")
    page.wait_for_url("**/explore?*")
    assert parse_qs(urlsplit(page.url).query)["taxon"] == ["Copepoda"]


def test_naming_doubting_and_undoing_here_and_after_a_reload(served, opened, ids):
    page = opened(served, f"/specimen?id={ids[9]}")
    first = page.inner_text("[data-test=title]")
    events = page.locator("[data-test=event]").count()
    page.keyboard.press("/")
    page.fill("[data-test=taxon-search]", "Hydrozoa")
    page.wait_for_selector("[data-test=taxon-option]")
    page.keyboard.press("Enter")
    page.locator("[data-test=title]", has_text="Hydrozoa").wait_for()
    assert page.locator("[data-test=event]").count() == events + 1
    assert page.locator("[data-test=event]").first.get_attribute("data-kind") == "person"
    page.keyboard.press("u")
    page.wait_for_selector(".state-dubious")
    page.reload()
    page.wait_for_selector(".state-dubious")
    page.keyboard.press("z")
    page.wait_for_selector(".state-validated")
    page.keyboard.press("z")
    page.locator("[data-test=title]", has_text=first.split()[0]).wait_for()
    assert page.locator("[data-test=event]").count() == events + 4  # nothing is overwritten: an undo is a row
    page.keyboard.press("1")
    page.locator("[data-test=title]", has_text="Hydrozoa").wait_for()


def test_what_it_is_like_and_the_other_taxon(shared_server, opened, embedded):
    id_ = embedded.split().part("test").to_pylist()[0]
    page = opened(shared_server, f"/specimen?id={id_}")
    page.set_default_timeout(90_000)
    page.wait_for_selector("#nearest [data-test=near]")
    assert page.locator("#nearest [data-test=near]").count() == 5
    page.wait_for_selector("#against [data-test=rival]")
    page.wait_for_selector("[data-test=candidate]")
    page.locator("[data-test=rival-heat]").nth(1).click()
    page.wait_for_selector("[data-test=rival] [data-test=heat-map] img")
    page.click("[data-test=choose-other]")
    page.fill("[data-test=taxon-search]", "Hydrozoa")
    page.wait_for_selector("[data-test=taxon-option]")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-test=rival][data-taxon='class:Hydrozoa']")
    page.locator("#nearest [data-test=near]").first.click()
    page.wait_for_selector("#viewer.ready")
    assert id_of(page) != id_


def test_two_fingers_on_a_phone(shared_server, opened, ids):
    page = opened(shared_server, f"/specimen?id={ids[7]}", size=PHONE)
    page.wait_for_selector("#viewer.ready")
    fitted = scale(page)
    page.evaluate("""() => {
      const frame = document.getElementById("viewer");
      frame.setPointerCapture = () => {};
      const box = frame.getBoundingClientRect();
      const send = (type, pointerId, x, y) => {
        const place = { clientX: box.left + x, clientY: box.top + y };
        frame.dispatchEvent(new PointerEvent(type, { pointerId, pointerType: "touch", bubbles: true, ...place }));
      };
      send("pointerdown", 11, 100, 100); send("pointerdown", 12, 150, 100);
      send("pointermove", 12, 250, 100); send("pointerup", 11, 100, 100); send("pointerup", 12, 250, 100);
    }""")
    assert scale(page) == pytest.approx(fitted * 3, rel=0.01)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


@pytest.mark.parametrize("how", ["Escape", "back"])
def test_back_leads_to_the_same_place_of_the_grid(shared_server, opened, ids, how):
    page = opened(shared_server, "/explore?sort=id")
    page.locator("[data-test=tile]").first.wait_for()
    while page.locator("[data-test=end]:visible").count() == 0:
        page.mouse.wheel(0, 3000)
        page.wait_for_timeout(100)
    tile = page.locator("[data-test=tile]").nth(-20)
    id_ = tile.get_attribute("data-id")
    tile.locator("[data-test=open]").click()
    page.wait_for_selector("#viewer.ready")
    if how == "back":
        page.go_back()
    else:
        page.keyboard.press("Escape")
    page.wait_for_url("**/explore?*")
    again = page.locator(f"[data-test=tile][data-id='{id_}']")
    again.wait_for()
    page.wait_for_timeout(300)
    box = again.bounding_box()
    assert page.evaluate("scrollY") > 0 and 0 <= box["y"] < 800
