"""Search and Identify in a real browser: choosing, dropping and pasting files, and more like this."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from asked import png, zipped

import biocosmos as bc
from browsing import Server

PASTE = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], "<img src=x onerror=alert(1)>.jpg", { type: "image/jpeg" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: held, bubbles: true, cancelable: true }));
}"""
DROP = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: held, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def photo(embedded: bc.Collection) -> bytes:
    return embedded.image_bytes(embedded.table(["id"])["id"][20].as_py()) or b""


def test_images_that_are_chosen_dropped_and_pasted_are_searched_for(
    shared_server: Server, opened: Callable[..., Any], photo: bytes, tmp_path: Path
) -> None:
    page = opened(shared_server, "/search?k=6")
    (tmp_path / "chosen.jpg").write_bytes(photo)
    (tmp_path / "broken.jpg").write_text("no image")
    page.set_input_files("#images", [tmp_path / "chosen.jpg", tmp_path / "broken.jpg"])
    page.evaluate(DROP, base64.b64encode(photo).decode())
    page.evaluate(PASTE, base64.b64encode(photo).decode())
    assert page.locator("[data-test=chosen] li").count() == 4
    page.click("[data-test=search]")
    page.wait_for_selector("[data-test=answer]", timeout=60_000)
    assert page.locator("[data-test=answer]").count() == 3 and "broken.jpg" in page.inner_text("[data-test=refused]")
    grids = page.locator("[data-test=answer] .grid")
    first = [tile.get_attribute("data-id") for tile in grids.nth(0).locator("[data-test=tile]").all()]
    assert len(first) == 6
    assert first == [tile.get_attribute("data-id") for tile in grids.nth(2).locator("[data-test=tile]").all()]
    assert page.locator("[data-test=votes] progress").count() > 0


def test_more_like_this_from_a_tile_and_of_a_selection_has_an_address(
    shared_server: Server, embedded: bc.Collection, opened: Callable[..., Any]
) -> None:
    id_ = embedded.table(["id"])["id"][30].as_py()
    page = opened(shared_server, f"/search?like={id_}&k=5&part=train")
    page.wait_for_selector("[data-test=tile]", timeout=60_000)
    address = parse_qs(urlsplit(page.url).query)
    assert address["like"] == [id_] and address["k"] == ["5"] and address["part"] == ["train"]
    tiles = page.locator("[data-test=tile]")
    ids = [tile.get_attribute("data-id") for tile in tiles.all()]
    assert len(ids) == 5 and id_ not in ids
    page.locator("[data-test=more-like-this]").first.click()
    page.wait_for_selector(f'[data-test=like]:has-text("{ids[0]}")')
    page.wait_for_selector("[data-test=tile]")
    assert parse_qs(urlsplit(page.url).query)["part"] == ["train"]
    page.locator("[data-test=tile] .picture").first.click()
    page.locator("[data-test=tile] .pick").first.press("ArrowRight")
    page.keyboard.press("Space")
    assert "2 selected" in page.inner_text("[data-test=selected]")
    page.keyboard.press("m")
    page.wait_for_url("**/search?like=*&like=*")
    page.locator("[data-test=answer]").nth(1).wait_for()
    assert page.locator("[data-test=answer]").count() == 2


def test_a_zip_is_named_with_its_evidence_and_downloaded(
    shared_server: Server, opened: Callable[..., Any], photo: bytes, tmp_path: Path
) -> None:
    page = opened(shared_server, "/identify")
    (tmp_path / "night.zip").write_bytes(zipped({"a/<b>1</b>.jpg": photo, "a/grey.png": png(), "../out.jpg": photo}))
    page.set_input_files("#images", tmp_path / "night.zip")
    page.check("[data-test=promise-none]")
    page.click("[data-test=identify]")
    page.wait_for_selector("[data-test=named-row]", timeout=120_000)
    assert page.locator("[data-test=named-row]").count() == 2 and "<b>1</b>.jpg" in page.inner_text("[data-test=named]")
    assert "out.jpg: its path leads out" in page.inner_text("[data-test=refused]")
    assert page.locator(".evidence img").count() == 10
    with page.expect_download() as waited:
        page.click("[data-test=csv]")
    rows = Path(waited.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert (len(rows) == 3 and rows[0].startswith("id,image_path,")) or "night.zip/a/" in rows[1]
