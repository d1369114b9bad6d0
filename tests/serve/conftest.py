"""A real server over a copy of the sample, and a real browser to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import biocosmos as bc
from browsing import CHROMIUM, FLAGS, WIDE, Server, copy_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A page in a real browser is tried twice more: on a busy machine it may paint or load later than anything waits."""
    for item in items:
        if "opened" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture
def served(embedded: bc.Collection, tmp_path: Path) -> Iterator[Server]:
    """A server over a copy of the first 300 specimens of the sample, for one test."""
    server = Server(copy_of(embedded, tmp_path)).start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def shared_server(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As ``served``, for all tests of a file: they must not mind what the others did."""
    server = Server(copy_of(embedded, tmp_path_factory.mktemp("served"))).start()
    yield server
    server.end()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser; tests that need one are skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium runs the tests of pages")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """``opened(server, "/explore", size=WIDE, dark=False)``: a page of a new browser profile that is logged in by the token.

    Errors of scripts and whatever the content security policy stops fail the test.
    """
    contexts, faults = [], []

    def open_(server: Server, path: str = "/explore", *, size: dict[str, int] = WIDE, dark: bool = False) -> Any:
        context = chromium.new_context(viewport=size, color_scheme="dark" if dark else "light", accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # a machine may be busy
        page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
        page.on("console", lambda message: faults.append(message.text) if _is_fault(message) else None)
        page.goto(server.with_token)
        page.goto(f"{server.address}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults, faults


def _is_fault(message: Any) -> bool:
    return message.type == "error" and "Failed to load resource" not in message.text
