"""Explore in a real browser: a grid without an end, the tree, the facets, the search box; the address is the view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import biocosmos as bc
from browsing import PHONE, Server
from brute import collection_of

COUNT = 2000
SHIFTS = """() => new Promise((done) => {
  let sum = 0;
  const add = (list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value; };
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 300);
})"""
TOPS = "[...document.querySelectorAll('.tile')].map((tile) => [tile.dataset.id, tile.getBoundingClientRect().top + scrollY])"
MOVED = "(last) => [...document.querySelectorAll('.tile')].at(-1).dataset.id !== last"
IN_VIEW = """() => [...document.querySelectorAll('.tile')].find((tile) => {
    const box = tile.getBoundingClientRect()
    return box.top > innerHeight / 4 && box.bottom < innerHeight
})?.dataset.id"""
IDS = "[...document.querySelectorAll('.tile')].map((tile) => tile.dataset.id)"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over some thousand specimens without images."""
    genera = ["Calanus", "Prunella", "Öland", None]
    rows = [
        {
            "id": f"s{i:05d}",
            "kingdom": "Animalia",
            "genus": genera[i % 4],
            "group": "ab"[i % 2],
            "date": f"2019-{i % 12 + 1:02d}-15",
        }
        for i in range(COUNT)
    ]
    server = Server(collection_of(tmp_path_factory.mktemp("many") / "many.cosmos", rows).path).start()
    yield server
    server.end()


def patient(page: Any) -> Any:
    """The page, for which a busy machine may take its time."""
    page.set_default_timeout(60_000)
    return page


def total(page: Any) -> str:
    return str(page.locator("[data-test=total]").inner_text())


def settled(page: Any, count: str) -> None:
    page.wait_for_function("(count) => document.querySelector('[data-test=total]')?.textContent === count", arg=count)


SEEN = """() => [...document.querySelectorAll('.tile')].some((tile) => {
    const box = tile.getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0;
})"""


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_the_grid_goes_on_to_the_end_and_keeps_its_height(many: Server, opened: Callable[..., Any], size: dict[str, int]) -> None:
    page = patient(opened(many, "/explore", size=size))
    page.wait_for_selector("[data-test=tile]")
    seen: list[str] = []
    most = 0
    for _ in range(200):
        here = page.evaluate(IDS)
        most = max(most, len(here))
        assert here == sorted(here)  # in order, none twice
        seen += [id_ for id_ in here if not seen or id_ > seen[-1]]
        if seen[-1] == f"s{COUNT - 1:05d}":
            break
        page.evaluate("scrollBy(0, 2.5 * innerHeight)")
        page.wait_for_function(MOVED, arg=here[-1])
    page.wait_for_selector("[data-test=end]")
    assert seen == [f"s{i:05d}" for i in range(COUNT)]
    assert most < 700  # far tiles are taken out
    height = page.evaluate("document.documentElement.scrollHeight")
    for share in (0.5, 0.1, 0.8, 0):
        page.evaluate("(share) => scrollTo(0, share * document.documentElement.scrollHeight)", share)
        page.wait_for_function(SEEN)
        page.wait_for_function("() => !document.querySelector('.ghost')")
        assert abs(page.evaluate("document.documentElement.scrollHeight") - height) <= 2
        tops = page.evaluate(
            "[...document.querySelectorAll('.tile')].map((tile) => [tile.dataset.id, tile.getBoundingClientRect().top + scrollY])"
        )
        row = page.evaluate("Number.parseFloat(getComputedStyle(document.getElementById('grid')).gridAutoRows)")
        assert row > 90 and tops == sorted(tops, key=lambda each: each[0])
    page.wait_for_function("() => document.querySelector('.tile')?.dataset.id === 's00000'")


def test_a_selection_outlives_what_is_out_of_sight(many: Server, opened: Callable[..., Any]) -> None:
    page = patient(opened(many, "/explore"))
    page.locator("[data-test=pick]").nth(3).click()
    for _ in range(4):
        last = page.evaluate(IDS)[-1]
        page.evaluate("scrollBy(0, 3000)")
        page.wait_for_function(MOVED, arg=last)
    page.wait_for_function("() => [...document.querySelectorAll('.tile')].every((tile) => tile.dataset.id > 's00003')")
    id_ = page.wait_for_function(IN_VIEW).json_value()  # what is in view is not taken out while more arrives
    same = page.locator(f"[data-test=tile][data-id='{id_}']")
    same.locator("[data-test=pick]").click(modifiers=["Shift"])
    chosen = int(id_[1:]) - 3 + 1
    assert page.locator("[data-test=selected]").inner_text() == f"{chosen:,} selected"
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("() => document.querySelector('.tile')?.dataset.id === 's00000'")
    assert (
        page.evaluate("[...document.querySelectorAll('.tile .pick')].slice(0, 6).map((pick) => pick.checked)")
        == [False] * 3 + [True] * 3
    )
    page.keyboard.press("Escape")
    assert page.locator("[data-test=selection-bar]").is_hidden()
    page.locator("[data-test=select-all]").click()
    page.wait_for_function("() => document.querySelector('[data-test=selected]').textContent === '2,000 selected'")


def test_tree_facets_search_and_sort_change_the_address_and_back_brings_it_back(many: Server, opened: Callable[..., Any]) -> None:
    page = patient(opened(many, "/explore"))
    page.locator("[data-test=open-branch]").click()
    page.locator("[data-test=taxon]", has_text="Calanus").click()
    settled(page, "500")
    assert page.url.endswith("/explore?taxon=genus:Calanus") and page.title().startswith("Calanus")
    assert page.locator("[data-test=taxon][aria-current]").inner_text().startswith("Calanus")
    page.select_option("[data-test=column]", "group")
    page.locator("[data-column=group] input[value=a]").check()
    page.wait_for_url("**is.group=a")
    page.fill("[data-test=from]", "2019-05")
    page.fill("[data-test=to]", "2019")
    page.press("[data-test=to]", "Enter")
    page.wait_for_url("**from=2019-05&to=2019&is.group=a")
    page.select_option("[data-test=sort]", "id")
    page.locator("[data-test=reverse]").check()
    page.wait_for_url("**sort=id&reverse=1")
    copied = page.url
    ids = page.evaluate(IDS)
    assert ids == sorted(ids, reverse=True)
    again = patient(opened(many, copied.removeprefix(many.address)))
    again.wait_for_selector("[data-test=tile]")
    assert again.evaluate(IDS)[:100] == ids[:100] and total(again) == total(page)
    for _ in range(5):
        page.go_back()
    page.wait_for_url(f"{many.address}/explore")
    settled(page, "2,000")
    page.go_forward()
    settled(page, "500")
    page.locator("[data-test=drop-taxon]").click()
    settled(page, "2,000")
    page.fill("[data-test=search]", "oland")
    page.wait_for_selector("[data-test=found-taxon]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settled(page, "500")
    assert "taxon=genus" in page.url
    page.fill("[data-test=search]", "s00001")
    page.keyboard.press("Enter")
    settled(page, "0")
    assert page.locator("[data-test=empty]").is_visible() and page.locator("[data-test=grid]").is_hidden()
    page.locator("[data-test=drop-all]").click()
    settled(page, "2,000")
    assert page.locator("[data-test=tile]").count() > 50


def test_names_are_given_seen_and_taken_back(served: Server, embedded: bc.Collection, opened: Callable[..., Any]) -> None:
    page = patient(opened(served, "/explore"))
    tile = page.locator("[data-test=tile]").nth(1)
    before = tile.locator("[data-test=open]").inner_text()
    tile.locator("[data-test=pick]").focus()
    page.keyboard.press(" ")
    page.keyboard.press("/")
    page.fill("[data-test=taxon-search]", "Copepod")
    page.wait_for_selector("[data-test=taxon-option]")
    page.keyboard.press("Enter")
    page.wait_for_function("(text) => document.querySelectorAll('.tile .name')[1].textContent !== text", arg=before)
    assert tile.locator("[data-test=open]").inner_text() == "Copepoda"
    counted = page.locator("[data-test=taxon]", has_text="living").first.inner_text()
    page.keyboard.press("z")
    page.wait_for_function("(text) => document.querySelectorAll('.tile .name')[1].textContent === text", arg=before)
    assert counted
    page.reload()
    assert page.locator("[data-test=tile]").nth(1).locator("[data-test=open]").inner_text() == before


def test_the_tree_by_keys(many: Server, opened: Callable[..., Any]) -> None:
    page = patient(opened(many, "/explore"))
    page.locator("[data-test=taxon]").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelectorAll('[data-test=branch]').length === 4")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent").strip().startswith("Calanus")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.querySelectorAll('[data-test=branch]').length === 1")
    page.locator("[data-test=taxon]").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**taxon=kingdom:Animalia")
    page.wait_for_function("() => document.activeElement.matches('#tree a')")


def test_nothing_jumps_when_pictures_come(served: Server, opened: Callable[..., Any]) -> None:
    page = patient(opened(served, "/explore"))
    page.wait_for_load_state("networkidle")
    shift = page.evaluate(SHIFTS)
    assert shift < 0.1  # "good" by web.dev's measure of cumulative layout shift
