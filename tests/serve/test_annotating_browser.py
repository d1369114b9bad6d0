"""Review in a real browser, by keys alone: one by one, as a grid, undone after a reload, two people at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from playwright.sync_api import expect

import biocosmos as bc
from biocosmos.serve.access.accounts import changed_account
from biocosmos.specimens import by_hand
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from biocosmos.tables import write_table
from browsing import PHONE, WIDE, Server

N = 60


@pytest.fixture
def named(tmp_path: Path, sample_table: pa.Table) -> bc.Collection:
    """60 specimens without a name, and a machine's answers: 40 copepods, 20 hydrozoans."""
    made = bc.Collection.create(tmp_path / "plankton.cosmos")
    made.add(Source("review", "sample", sample_table.slice(0, N).to_batches(), SAMPLE_RANKS), pack=True)
    ids = made.table(["id"])["id"].to_pylist()
    null = pa.nulls(N - 1, pa.string())
    made.change({"id": ids[1:], **dict.fromkeys(made.ranks, null)}, verb="update", clear=True)
    classes = ["Hydrozoa" if i % 3 == 2 else "Copepoda" for i in range(N)]
    answers = {"id": ids, "taxon": classes, "rank": ["class"] * N, "class": classes, "class_confidence": [0.5] * N}
    answers |= {"confidence": [i / N for i in range(N)], "method": ["linear"] * N}
    write_table(pa.table(answers), made.path / "identifications" / "20260101T120000000000Z.parquet", {"encoder": "lite0"})
    return made


@pytest.fixture
def server(named: bc.Collection) -> Iterator[Server]:
    made = Server(named.path).start()
    yield made
    made.end()


def said(collection: bc.Collection) -> dict[str, tuple[str | None, str]]:
    return {row["id"]: (row["taxon"], row["status"]) for row in by_hand.current(collection).to_pylist()}


def which(page: Any) -> str:
    return str(page.locator("[data-test=which]").inner_text())


def other_than(page: Any, id_: str) -> None:
    expect(page.locator("[data-test=which]")).not_to_have_text(id_)


def settled(page: Any, text: str) -> None:
    page.locator("[data-test=toast]", has_text=text).first.wait_for()


def settled_acts(collection: bc.Collection, count: int) -> None:
    until = time.monotonic() + 20
    while len(said(collection)) < count and time.monotonic() < until:
        time.sleep(0.05)
    assert len(said(collection)) == count


def settled_tally(page: Any, named: int) -> None:
    page.locator("[data-test=my-tally]", has_text=str(named)).wait_for()


def test_one_by_one_by_keys_and_undone_after_a_reload(server: Server, opened: Any, named: bc.Collection) -> None:
    page = opened(server, "/review?kind=unsure")
    page.locator("[data-test=which]").wait_for()
    first = which(page)
    assert page.locator("[data-test=proposed]").inner_text() in ("Copepoda", "Hydrozoa")
    guess = page.locator("[data-test=proposed]").inner_text()
    page.keyboard.press("Enter")  # yes
    second = which(page)
    assert second != first
    page.keyboard.press("u")  # unsure
    third = which(page)
    page.keyboard.press("ArrowRight")  # skipped
    fourth = which(page)
    page.keyboard.press("/")
    page.locator("[data-test=taxon-search]").fill("hydro")
    page.locator("[data-test=taxon-option]").first.wait_for()
    page.keyboard.press("Enter")
    other_than(page, fourth)
    fifth = which(page)
    page.keyboard.press("1")  # the taxon used last
    other_than(page, fifth)
    page.locator("[data-test=my-tally]", has_text="4").wait_for()
    now = said(named)
    assert now[first] == (guess, "validated") and now[second][1] == "dubious" and third not in now
    assert now[fourth] == ("Hydrozoa", "validated") and now[fifth][1] == "validated" and len(now) == 4
    page.reload()
    page.locator("[data-test=which]").wait_for()
    assert which(page) not in now
    for left in (fifth, fourth, second, first):
        page.keyboard.press("z")
        expect(page.locator("[data-test=which]")).to_have_text(left)
    assert said(named) == {}
    page.keyboard.press("z")
    settled(page, "nothing to undo")
    page.keyboard.press("?")
    assert "accept the proposed name" in page.locator("[data-test=keys]").inner_text()


def test_a_grid_is_accepted_but_for_those_that_were_clicked(server: Server, opened: Any, named: bc.Collection) -> None:
    page = opened(server, "/review?kind=unsure&mode=grid")
    page.locator("[data-test=tile]").first.wait_for()
    count = page.locator("[data-test=tile]").count()
    page.keyboard.press(" ")  # the first is none
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.keyboard.press("Shift+ArrowRight")  # and these
    out = page.locator("[data-test=tile]:has(.pick:checked)").count()
    assert out >= 3
    page.keyboard.press("Enter")
    settled(page, f"{count - out} named Copepoda")
    assert page.locator("[data-test=tile]").count() == out and len(said(named)) == count - out
    page.keyboard.press("/")
    page.locator("[data-test=taxon-search]").fill("hydro")
    page.locator("[data-test=taxon-option]").first.wait_for()
    page.keyboard.press("Enter")
    settled(page, f"{out} named Hydrozoa")
    expect(page.locator("[data-test=accept]")).to_contain_text("as Hydrozoa")
    rest = page.locator("[data-test=tile]").count()
    page.keyboard.press("Enter")
    settled(page, f"{rest} named Hydrozoa")
    page.locator("[data-test=empty]").wait_for()
    assert len(said(named)) == count + rest
    page.keyboard.press("z")
    page.locator("[data-test=tile]").first.wait_for()
    assert page.locator("[data-test=tile]").count() == rest and len(said(named)) == count


def test_what_is_held_down_or_clicked_twice_accepts_one_page(server: Server, opened: Any, named: bc.Collection) -> None:
    page = opened(server, "/review?kind=unsure&mode=grid")
    page.locator("[data-test=tile]").first.wait_for()
    count = page.locator("[data-test=tile]").count()
    page.locator("[data-test=accept]").dblclick(delay=150)  # the next page comes between the two clicks
    settled(page, f"{count} named Copepoda")
    expect(page.locator("[data-test=accept]")).to_contain_text("as Hydrozoa")
    page.wait_for_timeout(300)
    assert len(said(named)) == count
    page.goto(f"{server.address}/review?kind=unsure&mode=one")
    page.locator("[data-test=which]").wait_for()
    for _ in range(5):
        page.keyboard.down("u")  # a key that is down comes again and again
    page.keyboard.up("u")
    settled_tally(page, count + 1)
    assert len(said(named)) == count + 1


def test_what_was_accepted_is_kept_when_the_page_is_left_at_once(server: Server, opened: Any, named: bc.Collection) -> None:
    page = opened(server, "/review?kind=unsure")
    page.locator("[data-test=which]").wait_for()
    for leave in (lambda: page.evaluate("location.reload()"), lambda: page.goto(f"{server.address}/explore")):
        before = len(said(named))
        for _ in range(6):
            page.keyboard.press("Enter")
        leave()
        settled_acts(named, before + 6)
        page.wait_for_load_state("load")
        page.goto(f"{server.address}/review?kind=unsure")
        page.locator("[data-test=which]").wait_for()


def test_quick_fingers_name_each_specimen_once_and_an_undo_shows_in_a_narrowed_view(
    server: Server, opened: Any, named: bc.Collection
) -> None:
    page = opened(server, "/explore?state=predicted&sort=id")
    tiles, states = page.locator("[data-test=tile]"), page.locator("[data-test=tile] .mark")
    tiles.first.wait_for()
    ids = [tiles.nth(i).get_attribute("data-id") for i in range(4)]
    for at, words in enumerate(("Copepoda", "Hydrozoa")):
        tiles.nth(at).locator(".pick").click()
        page.keyboard.press("/")
        page.locator("[data-test=taxon-search]").fill(words)
        page.locator("[data-test=taxon-option]").first.wait_for()
        page.keyboard.press("Enter")
        expect(states.nth(at)).to_have_attribute("title", "validated")
    page.route("**/api/labels", lambda route: (time.sleep(0.3), route.continue_()))  # an answer that is slow to come
    for at, key in ((2, "1"), (3, "2")):
        tiles.nth(at).locator(".pick").click()
        page.keyboard.press(key)
    for at in (2, 3):  # answered in turn
        states.nth(at).and_(page.locator(".mark-validated")).wait_for()
    assert [said(named)[str(id_)][0] for id_ in ids] == ["Copepoda", "Hydrozoa"] * 2
    assert page.locator("[data-test=toast] button").count() == 1  # "Undo" is of the last act alone
    page.keyboard.press("z")
    settled(page, "undone: 1 named Hydrozoa")
    expect(states.nth(3)).to_have_attribute("title", "predicted")
    expect(states.nth(2)).to_have_attribute("title", "validated")
    assert [tiles.nth(i).get_attribute("data-id") for i in range(4)] == ids


def test_two_at_once_and_a_server_that_is_killed_lose_nothing(server: Server, opened: Any, named: bc.Collection) -> None:
    one, two = opened(server, "/review?kind=random"), opened(server, "/review?kind=random")
    for page in (one, two):
        page.locator("[data-test=which]").wait_for()
    for _ in range(3):
        for page in (one, two):
            page.keyboard.press("Enter")
    one.locator("[data-test=my-tally]").wait_for()
    for _ in range(100):  # until all are answered, on however busy a machine
        if len(by_hand.history(named)) == 6:
            break
        one.wait_for_timeout(200)
    server.stop(signal.SIGKILL)
    before = said(named)
    assert len(by_hand.history(named)) == 6
    again = Server(named.path).start()
    try:
        page = opened(again, "/review?kind=random")
        page.locator("[data-test=which]").wait_for()
        assert which(page) not in before
        page.keyboard.press("z")
        settled(page, "undone: 1 named")
        rows = by_hand.history(named).to_pylist()
        assert len(rows) == 7 and rows[-1]["undoes"] == rows[-2]["act"]
    finally:
        again.end()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_review_is_fit_for_people(server: Server, opened: Any, size: dict[str, int], dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for mode, ready in (("one", "[data-test=which]"), ("grid", "[data-test=tile]")):
        page = opened(server, f"/review?kind=unsure&mode={mode}", size=size, dark=dark)
        page.locator(ready).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
        assert not found, [(each["help"], each["nodes"][0]["html"]) for each in found]


def test_an_admin_looks_at_labels_before_they_are_taken_over(server: Server, opened: Any, named: bc.Collection) -> None:
    page = opened(server, "/review?kind=unsure")
    page.locator("[data-test=which]").wait_for()
    first = which(page)
    page.keyboard.press("Enter")
    page.locator("[data-test=take-over-look]").click()
    page.locator("[data-test=take-over-do]").click()
    page.locator("[data-test=take-over-undo]").wait_for()
    row = named.table(["id", "class"], where=f"id = '{first}'").to_pylist()[0]
    assert row["class"] == said(named)[first][0]
    page.locator("[data-test=take-over-undo]").click()
    page.locator("[data-test=take-over-told]", has_text="labels of before").wait_for()
    assert named.table(["id", "class"], where=f"id = '{first}'").to_pylist()[0]["class"] is None


@pytest.mark.parametrize("mode", ["one", "grid"])
def test_an_act_that_is_refused_comes_back_with_its_reason(server: Server, opened: Any, named: bc.Collection, mode: str) -> None:
    page = opened(server, f"/review?kind=unsure&mode={mode}")
    page.locator("[data-test=which], [data-test=tile]").first.wait_for()
    full = '{"error": "the disk is full: free some space"}'
    page.route("**/api/labels", lambda route: route.fulfill(status=400, content_type="application/json", body=full))
    before = which(page) if mode == "one" else page.locator("[data-test=tile]").count()
    page.keyboard.press("Enter")
    page.locator("[data-test=toast-error]", has_text="the disk is full").wait_for()
    if mode == "one":
        expect(page.locator("[data-test=which]")).to_have_text(before)
    else:
        expect(page.locator("[data-test=tile]")).to_have_count(before)
    page.unroute("**/api/labels")
    page.keyboard.press("Enter")
    page.locator("[data-test=my-tally]", has_text=str(before if mode == "grid" else 1)).wait_for()
    assert len(said(named)) == (before if mode == "grid" else 1)


def test_a_button_that_has_the_focus_is_pressed_by_enter_and_nothing_else_is(
    server: Server, opened: Any, named: bc.Collection
) -> None:
    page = opened(server, "/review?kind=unsure")
    page.locator("[data-test=which]").wait_for()
    first = which(page)
    page.locator("[data-test=unsure]").focus()
    page.keyboard.press("Enter")
    other_than(page, first)
    page.locator("[data-test=my-tally]", has_text="1").wait_for()
    assert {row["status"] for row in by_hand.history(named).to_pylist()} == {"dubious"}


def test_two_named_people_work_one_queue_and_undo_each_their_own(chromium: Any, named: bc.Collection, tmp_path: Path) -> None:
    users = tmp_path / "users.toml"
    for name in ("ada", "bo"):
        changed_account(users, name, role="annotator", password=f"the password of {name}")
    server = Server(named.path, ("--users", str(users))).start()
    contexts = [chromium.new_context(viewport=WIDE) for _ in range(2)]
    try:
        pages = []
        for name, context in zip(("ada", "bo"), contexts):
            page = context.new_page()
            page.goto(f"{server.address}/review?kind=unsure&mode=grid")
            page.locator("[data-test=login-user]").fill(name)
            page.locator("[data-test=login-password]").fill(f"the password of {name}")
            page.locator("[data-test=login-go]").click()
            page.goto(f"{server.address}/review?kind=unsure")
            page.locator("[data-test=which]").wait_for()
            pages.append(page)
        ada, bo = pages
        assert which(ada) != which(bo)
        for _ in range(3):
            for page in pages:
                page.keyboard.press("Enter")
        for page in pages:
            page.locator("[data-test=my-tally]", has_text="3").wait_for()
        rows = by_hand.history(named).to_pylist()
        assert sorted(row["by"] for row in rows) == ["ada"] * 3 + ["bo"] * 3
        assert len({row["id"] for row in rows}) == 6
        for _ in range(3):
            ada.keyboard.press("z")
        ada.locator("[data-test=my-tally]", has_text="0").wait_for()
        ada.keyboard.press("z")
        settled(ada, "nothing to undo")
        assert sorted(by_hand.standing(named)["by"].to_pylist()) == ["bo"] * 3
        bo.reload()
        bo.locator("[data-test=my-tally]", has_text="3").wait_for()
        assert not ada.locator("[data-test=take-over]").count()
    finally:
        for context in contexts:
            context.close()
        server.end()
