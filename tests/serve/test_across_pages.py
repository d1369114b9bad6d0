"""The search page over a space, in a browser: a barcode finds pictures, a picture finds barcodes, words find both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import biocosmos as bc
from browsing import PHONE, WIDE, Server
from space_sample import both
from worded_space import worded_space


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Specimens with pictures, barcodes and names, all in one space."""
    folder = tmp_path_factory.mktemp("paired")
    collection = both(folder)
    worded_space(folder / "run", collection)
    bc.embed(collection, f"{folder}/run")
    server = Server(collection.path).start()
    yield server
    server.end()


def at(place: Any, name: str) -> Any:
    """What a page or a part of it calls so."""
    return place.locator(f'[data-test="{name}"]')


def wide_as(page: Any) -> bool:
    """Nothing sticks out at the right."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_pasted_barcode_finds_pictures(paired: Server, opened: Callable[..., Any], size: dict[str, int]) -> None:
    page = opened(paired, "/search", size=size)
    options = at(page, "among-choice").locator("option").all_text_contents()
    assert options[1:] == ["pictures", "barcodes", "names"]
    letters = bc.Collection.open(paired.collection).table(["barcode"])["barcode"][5].as_py()
    at(page, "dna").fill(letters)
    at(page, "among-choice").select_option("image")
    at(page, "search").click()
    at(page, "answer").wait_for()
    assert "run/image" in at(page, "among").text_content() and at(page, "tile").count() == 24
    assert " % of " not in at(page, "tile").first.text_content() and wide_as(page)
    at(page, "barcode-among-pictures").first.click()
    at(page, "answer").wait_for()
    assert "like the barcode of SIM0" in at(page, "like").text_content()
    assert "among=image" in page.url and "ask_with=dna" in page.url and wide_as(page)


def test_a_dropped_picture_finds_barcodes(paired: Server, opened: Callable[..., Any]) -> None:
    page = opened(paired, "/search?among=dna&k=5")
    assert at(page, "among-choice").input_value() == "dna"
    photo = next((paired.collection.parent / "pictures").glob("*.png"))
    at(page, "images").set_input_files(str(photo))
    at(page, "search").click()
    at(page, "answer").wait_for()
    assert "run/dna" in at(page, "among").text_content() and at(page, "tile").count() == 5


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_page_of_a_specimen_asks_on_by_its_barcode(paired: Server, opened: Callable[..., Any], size: dict[str, int]) -> None:
    page = opened(paired, "/specimen?id=SIM0-000007", size=size)
    assert at(page, "picture-among-barcodes").count() == 1 and wide_as(page)
    at(page, "barcode-among-pictures").click()
    at(page, "answer").wait_for()
    assert "run/image" in at(page, "among").text_content()


def test_words_find_pictures_unasked_and_names_if_asked(paired: Server, opened: Callable[..., Any]) -> None:
    page = opened(paired, "/search?k=3")
    genus = bc.Collection.open(paired.collection).table(["genus"])["genus"][0].as_py()
    at(page, "text").fill(f"genus {genus}")
    at(page, "search").click()
    at(page, "answer").wait_for()
    assert "run/image" in at(page, "among").text_content()
    at(page, "among-choice").select_option("text")
    at(page, "search").click()
    at(page, "among").filter(has_text="run/text").wait_for()
    assert all(genus in one for one in at(page, "tile").all_text_contents())
