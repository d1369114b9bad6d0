"""Every page as it is met first: on a screen and a phone, light and dark, by keyboard and screen reader, with nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import biocosmos as bc
from biocosmos.serve.pages import NAVIGATION
from browsing import PHONE, TOKEN, WIDE, Server, copy_of

PAGES = [path for path, _ in NAVIGATION] + ["/specimen?id={id}", "/api"]
SERIOUS = ("serious", "critical")


def path_of(page: str, collection: bc.Collection) -> str:
    return page.format(id=next(collection.scan(["id"])).column("id")[5].as_py())


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("empty") / "empty.cosmos"
    bc.Collection.create(path)
    server = Server(path).start()
    yield server
    server.end()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_screen_and_a_screen_reader(
    shared_server: Server, embedded: bc.Collection, opened: Callable[..., Any], page: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    shown = opened(shared_server, path_of(page, embedded))
    shown.wait_for_load_state("networkidle")
    assert shown.locator("[data-test=page]").count() == 1 and shown.locator("h1").count() >= 1
    assert shown.locator("[data-test=error]").count() == 0
    for size, colours in ((WIDE, "light"), (PHONE, "dark"), (PHONE, "light"), (WIDE, "dark")):
        shown.set_viewport_size(size)
        shown.emulate_media(color_scheme=colours)
        shown.wait_for_timeout(100)
        too_wide = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"the page is {too_wide} pixels wider than the screen of {size['width']}"
        if (size, colours) != (PHONE, "light"):
            found = [each for each in Axe().run(shown).response["violations"] if each["impact"] in SERIOUS]
            assert not found, [(each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found]


@pytest.mark.parametrize("page", [path for path, _ in NAVIGATION])
def test_a_page_of_an_empty_collection_says_the_next_step(empty_server: Server, opened: Callable[..., Any], page: str) -> None:
    shown = opened(empty_server, page)
    shown.wait_for_load_state("networkidle")
    assert shown.locator("[data-test=empty]").count() >= 1 or page in ("/jobs",)
    assert shown.locator("[data-test=toast-error], [data-test=error]").count() == 0


@pytest.mark.parametrize("page", [path for path, _ in NAVIGATION])
def test_every_page_is_reached_by_keyboard_alone_and_shows_where_the_focus_is(
    shared_server: Server, opened: Callable[..., Any], page: str
) -> None:
    shown = opened(shared_server, page)
    shown.wait_for_load_state("networkidle")
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(40):
        shown.keyboard.press("Tab")
        outline = shown.evaluate(
            """() => { const e = document.activeElement; const t = e.closest('.tile'); const s = getComputedStyle(e);
            const box = t ? getComputedStyle(t) : s;
            return [e.outerHTML.slice(0, 80), s.outlineStyle !== 'none' || box.outlineStyle !== 'none', e === document.body]; }"""
        )
        assert outline[1] or outline[2], f"the focus is not seen on {outline[0]}"
        seen.add(outline[0])
    assert len(seen) > 8


def test_the_server_says_where_it_is_and_ctrl_c_stops_it_in_order(embedded: bc.Collection, tmp_path: Path) -> None:
    server = Server(copy_of(embedded, tmp_path)).start()
    assert server.address.startswith("http://127.0.0.1:")
    code, said = server.stop()
    assert code == 0 and "Traceback" not in said and TOKEN not in said
