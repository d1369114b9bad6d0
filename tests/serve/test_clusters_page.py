"""The pages of clusters, tags and exports in a real browser, by keys and by mouse."""

from __future__ import annotations

import csv
import io
import signal
import time

import pytest
from clustered import KEPT, unnamed
from playwright.sync_api import Error

from browsing import PHONE, Server


@pytest.fixture
def served(embedded, tmp_path):
    server = Server(unnamed(embedded, tmp_path)).start()
    yield server
    server.end()


def until(page, true, arg=None):
    """Wait until a function of the page says so; the content security policy lets Playwright's own way not run."""
    end = time.monotonic() + 15
    while not holds(page, true, arg):
        assert time.monotonic() < end, f"{true} never held at {page.url}: {page.locator('main').inner_text()[:300]}"
        page.wait_for_timeout(50)


def holds(page, true, arg):
    """False too while another page comes."""
    try:
        return page.evaluate(true, arg)
    except Error:
        return False


NAMED = "words => document.getElementById('progress-words').textContent.startsWith(words)"


def title(page):
    return page.locator("[data-test=cluster-title]").inner_text()


def settled(page):
    """The cluster is shown, and nothing is under way."""
    page.wait_for_selector("[data-test=cluster-page][data-ready]")
    until(page, "() => !document.querySelector('[data-cluster]').hasAttribute('aria-busy')")


def first_clusters(page):
    page.fill("[data-test=size]", "30")
    page.click("[data-test=first-clusters]")
    page.wait_for_selector("[data-test=clusters-page][data-ready] [data-test=cluster]")


def pick_taxon(page, letters):
    page.wait_for_selector("[data-test=taxon-picker]")
    page.fill("[data-test=taxon-search]", letters)
    page.wait_for_selector("[data-test=taxon-option]")
    page.wait_for_timeout(250)
    page.keyboard.press("Enter")


def test_clusters_are_proposed_opened_unticked_named_and_taken_back(served, opened):
    page = opened(served, "/clusters")
    assert page.locator("[data-test=empty]").count() == 1
    first_clusters(page)
    count = page.locator("[data-test=cluster]").count()
    assert count >= 5 and "%" in page.locator("[data-test=progress]").inner_text()
    page.locator("[data-test=open-cluster]").first.click()
    settled(page)
    size = page.locator("[data-test=tile]").count()
    name = page.url
    tiles = page.locator("[data-test=tile] .picture")
    tiles.nth(1).click()
    tiles.nth(3).click()
    assert f"{size - 2} without those clicked" in title(page)
    tiles.nth(3).click()  # it belongs after all
    page.keyboard.press("/")
    pick_taxon(page, "copepoda")
    until(page, "address => location.href !== address", arg=name)  # on to the next
    assert "named Copepoda" in page.locator("[data-test=toast]").last.inner_text()
    settled(page)
    second = page.locator("[data-test=tile]").count()
    page.keyboard.press("1")  # the taxon that was used last
    until(page, NAMED, arg=f"{KEPT + size - 1 + second} ")
    settled(page)
    page.keyboard.press("z")
    until(page, NAMED, arg=f"{KEPT + size - 1} ")
    page.reload()
    settled(page)
    page.keyboard.press("z")  # also after a reload
    until(page, NAMED, arg=f"{KEPT} ")
    page.keyboard.press("z")  # and the stranger
    page.wait_for_timeout(500)
    page.goto(name)
    settled(page)
    assert page.locator("[data-test=tile]").count() == size


def test_every_key_of_a_cluster(served, opened):
    page = opened(served, "/clusters")
    first_clusters(page)
    page.locator("[data-test=pick]").first.focus()
    page.keyboard.press("Enter")  # opens it
    settled(page)
    first, name = page.locator("[data-test=tile]").first.get_attribute("data-id"), page.url
    size = page.locator("[data-test=tile]").count()
    page.keyboard.press("b")
    until(page, "id => document.querySelector('[data-test=tile]')?.dataset.id !== id", arg=first)
    assert page.locator("[data-test=tile]").last.get_attribute("data-id") == first
    page.keyboard.press("b")
    until(page, "id => document.querySelector('[data-test=tile]')?.dataset.id === id", arg=first)
    page.locator("[data-test=pick]").first.focus()
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert f"{size - 4} without" in title(page)  # from the one that was clicked
    page.keyboard.press("i")
    assert "4 without" in title(page)
    page.keyboard.press("Escape")
    assert "without" not in title(page)
    page.locator("[data-test=pick]").nth(1).focus()
    page.keyboard.press(" ")
    page.keyboard.press("l")  # leaves it out
    until(page, "count => document.querySelectorAll('[data-test=tile]').length === count", arg=size - 1)
    assert "1 strangers left out" in page.locator("#facts").inner_text()
    settled(page)
    page.keyboard.press("g")
    page.wait_for_selector("[data-test=growing]:not([hidden])")
    assert "belong?" in title(page) and page.locator("[data-test=tile]").count() == 60
    settled(page)
    page.locator("[data-test=tile] .picture").nth(0).click()
    page.keyboard.press("Enter")
    until(page, "() => document.getElementById('reach').textContent.startsWith('look 2')")
    settled(page)
    page.keyboard.press("Escape")
    page.wait_for_selector("[data-test=growing]", state="hidden")
    until(page, "words => document.getElementById('title').textContent.startsWith(words)", arg=f"{size - 1 + 59} ")
    settled(page)
    page.keyboard.press("m")
    page.wait_for_selector("[data-test=alike-cluster]")
    page.keyboard.press("Enter")  # the one that is most alike has the focus
    page.wait_for_selector("[data-test=alikes]", state="hidden")
    until(page, "size => parseInt(document.getElementById('title').textContent) >= size", arg=size - 1 + 59)
    settled(page)
    page.keyboard.press("s")
    until(page, "address => location.href !== address", arg=name)
    settled(page)
    part = page.url
    page.keyboard.press("n")
    until(page, "address => location.href !== address", arg=part)
    settled(page)
    page.keyboard.press("p")
    until(page, "address => location.href === address", arg=part)
    settled(page)
    page.keyboard.press("x")
    until(page, "address => location.href !== address", arg=part)
    settled(page)
    page.keyboard.press("z")
    page.wait_for_selector("[data-test=toast]:has-text('a cluster put aside')")
    settled(page)
    page.keyboard.press("y")  # as is guessed
    page.wait_for_selector("[data-test=toast]:has-text(' named ')")
    page.keyboard.press("?")
    keys = page.locator("[data-test=keys] kbd").all_inner_texts()
    assert {"/", "y", "g", "b", "l", "i", "s", "m", "x", "n", "p", "z"} <= set(keys)


def test_clusters_are_merged_and_put_aside_in_the_list(served, opened):
    page = opened(served, "/clusters")
    first_clusters(page)
    count = page.locator("[data-test=cluster]").count()
    page.locator("[data-test=cluster] .picture").nth(0).click()
    page.locator("[data-test=cluster] .picture").nth(1).click()
    page.keyboard.press("m")
    until(page, "count => document.querySelectorAll('[data-test=cluster]').length === count", arg=count - 1)
    page.locator("[data-test=pick]").nth(1).focus()
    page.keyboard.press("x")
    until(page, "count => document.querySelectorAll('[data-test=cluster]').length === count", arg=count - 2)
    page.keyboard.press("z")
    until(page, "count => document.querySelectorAll('[data-test=cluster]').length === count", arg=count - 1)
    page.wait_for_selector("[data-clusters][data-ready]")  # of the page that was loaded anew
    page.select_option("[data-test=sort]", "size")
    page.wait_for_url("**sort=size**")
    sizes = [int(words.split(" · ")[0].replace(",", "")) for words in page.locator("[data-test=open-cluster]").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    page.fill("[data-test=size]", "15")
    page.keyboard.press("Tab")
    page.locator("h1").click()
    page.keyboard.press("r")
    until(page, "count => document.querySelectorAll('[data-test=cluster]').length > count", arg=count + 3)


def test_the_server_is_killed_and_nothing_that_was_named_is_lost(embedded, tmp_path, opened):
    path = unnamed(embedded, tmp_path)
    server = Server(path).start()
    page = opened(server, "/clusters")
    first_clusters(page)
    page.locator("[data-test=open-cluster]").first.click()
    settled(page)
    size = page.locator("[data-test=tile]").count()
    page.keyboard.press("y")
    page.wait_for_selector("[data-test=toast]:has-text(' named ')")
    server.stop(signal.SIGKILL)
    again = Server(path).start()
    page = opened(again, "/clusters")
    assert page.locator("#progress-words").inner_text().startswith(f"{KEPT + size} ")
    page.keyboard.press("z")
    until(page, NAMED, arg=f"{KEPT} ")
    again.end()


def test_tags_views_and_export_from_the_grid(served, opened):
    page = opened(served, "/explore")
    page.wait_for_selector("[data-test=tile]")
    page.locator("[data-test=tile] .picture").nth(0).click()
    page.locator("[data-test=tile] .picture").nth(2).click(modifiers=["Shift"])
    page.keyboard.press("t")
    page.fill("[data-test=tag-name]", "to look at <b>again</b>")
    page.click("[data-test=tag-add]")
    page.wait_for_selector("[data-test=toast]:has-text('3 got the tag')")
    page.click("[data-test=views-menu] summary")
    page.wait_for_selector("[data-test=tag-row]")
    assert page.locator("[data-test=tag-row] a").inner_text() == "to look at <b>again</b> · 3"
    page.locator("[data-test=tag-row] a").click()
    until(page, "() => document.querySelector('.results-head').dataset.total === '3'")
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    page.wait_for_selector("[data-test=view-name]")
    page.fill("[data-test=view-name]", "again")
    page.click("[data-test=save-view]")
    page.wait_for_selector("[data-test=saved-view]")
    page.goto(f"{served.address}/explore")
    page.click("[data-test=views-menu] summary")
    page.locator("[data-test=saved-view] a").click()
    until(page, "() => document.querySelector('.results-head').dataset.total === '3'")
    page.locator("h1").first.click()
    page.keyboard.press("e")
    with page.expect_download() as coming:
        page.click("[data-test=export-go]")
    text = open(coming.value.path(), encoding="utf-8-sig").read()  # noqa: PTH123, SIM115
    assert len(list(csv.DictReader(io.StringIO(text)))) == 3
    assert coming.value.suggested_filename.startswith("plankton-csv-")
    page.wait_for_selector("[data-test=export-dialog]", state="detached")
    page.keyboard.press("e")
    page.check("[data-test=format-ecotaxa]")
    page.click("[data-test=export-go]")
    page.wait_for_selector("[data-test=export-told] a")
    page.keyboard.press("Escape")
    page.click("[data-test=views-menu] summary")
    page.click("[data-test=rename-tag]")
    page.fill("[data-test=new-tag-name]", "later")
    page.click("[data-test=rename-tag-go]")
    page.wait_for_selector("[data-test=tag-row]:has-text('later · 3')")
    page.click("[data-test=delete-tag]")
    page.wait_for_selector("[data-test=tag-row]", state="detached")
    page.click("[data-test=delete-view]")
    page.wait_for_selector("[data-test=saved-view]", state="detached")
    page.keyboard.press("Escape")
    page.locator("h1").first.click()
    page.keyboard.press("z")
    page.wait_for_selector("[data-test=toast]:has-text('delete view')")


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_nothing_is_wider_than_the_screen(served, opened, dark):
    page = opened(served, "/clusters", size=PHONE, dark=dark)
    first_clusters(page)
    wide = "() => document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(wide)
    page.locator("[data-test=open-cluster]").first.click()
    settled(page)
    assert page.evaluate(wide)
