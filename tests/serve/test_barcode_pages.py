"""A collection of barcodes without an image, looked at in a browser as a stranger would: every page says something of use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from barcoded import KMER, barcodes_alone

from browsing import PHONE, WIDE, Server

PAGES = ("/explore", "/search", "/identify", "/review", "/clusters", "/likeness", "/places", "/jobs", "/reports")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Barcodes without vectors."""
    server = Server(barcodes_alone(tmp_path_factory.mktemp("bare"), embedded=False).path).start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Barcodes with their k-mers."""
    server = Server(barcodes_alone(tmp_path_factory.mktemp("coi")).path).start()
    yield server
    server.end()


def at(place: Any, name: str) -> Any:
    """What a page or a part of it calls so."""
    return place.locator(f'[data-test="{name}"]')


def told_by(place: Any) -> str:
    """The words of the first tile, also where it lies below the fold and the browser has not painted it yet."""
    return str(at(place, "tile").first.text_content())


def wide_as(page: Any) -> bool:
    """Nothing sticks out at the right."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_page_of_bare_barcodes_says_what_to_do(bare: Server, opened: Callable[..., Any], size: dict[str, int]) -> None:
    page = opened(bare, "/explore", size=size)
    for path in PAGES:
        page.goto(f"{bare.address}{path}")
        assert wide_as(page), path
    page.goto(f"{bare.address}/search")
    page.get_by_role("link", name="Compute vectors").click()
    assert at(page, "f-embed-encoder").input_value() == KMER


def test_a_barcode_stands_where_the_image_would(coi: Server, opened: Callable[..., Any]) -> None:
    page = opened(coi)
    tile = at(page, "tile").first
    image = tile.locator("img")
    page.wait_for_function("document.querySelector('.tile img').naturalWidth === 128")
    assert "v=dna-" in image.get_attribute("src")
    at(tile, "open").click()
    assert "bases of its barcode" in at(page, "no-picture").inner_text()
    assert at(page, "barcode-facts").inner_text().startswith(("658 letters", "6", "5", "4", "3"))
    assert at(page, "overlap").first.inner_text().endswith("bases")
    assert at(page, "show-heat").count() == 0
    at(page, "copy-barcode").click()
    assert at(page, "toast").first.inner_text()
    assert wide_as(page)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_pasted_barcode_is_searched_for(coi: Server, opened: Callable[..., Any], size: dict[str, int]) -> None:
    page = opened(coi, "/search", size=size)
    assert at(page, "text").count() == 0 and at(page, "no-texts").count() == 0
    letters = open_letters(coi)
    at(page, "dna").fill(f">unknown 1\n{letters[:70]}\n{letters[70:]}\n")
    at(page, "search").click()
    at(page, "answer").wait_for()
    answer = at(page, "answer").first
    assert "unknown" in answer.locator("h2").inner_text()
    assert "100.0 % of" in told_by(answer) and wide_as(page)
    at(page, "more-like-this").first.click()
    at(page, "answer").wait_for()
    assert " % of " in told_by(page)


def test_a_dropped_fasta_is_searched_for(coi: Server, opened: Callable[..., Any]) -> None:
    page = opened(coi, "/search")
    fasta = f">a\n{open_letters(coi)}\n>b\nMKVL\n".encode()
    at(page, "images").set_input_files({"name": "two.fasta", "mimeType": "text/plain", "buffer": fasta})
    at(page, "search").click()
    at(page, "refused").wait_for()
    assert "b" in at(page, "refused").inner_text() and at(page, "answer").count() == 1


def open_letters(server: Server) -> str:
    """A whole barcode of the collection."""
    import biocosmos as bc

    every = bc.Collection.open(server.collection).table(["barcode"])["barcode"].to_pylist()
    return str(next(barcode for barcode in every if len(barcode) == 658 and "N" not in barcode))
