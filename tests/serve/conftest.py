"""A real server over a copy of the sample, and a real browser to look at it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import biocosmos as bc

TOKEN = "tests-may-know-this-token"
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
CHROMIUM = next((path for path in BROWSERS if Path(path).exists()), None)
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Server:
    """A server as a process. address: without the token; token: None with named users; log: its standard error so far."""

    collection: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    address: str = ""

    def start(self) -> Server:
        """Start it, and wait until it says that it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "biocosmos", "serve", str(self.collection), "--no-open", "--port", "0", *self.arguments],
            env={**os.environ, "BIOCOSMOS_TOKEN": TOKEN, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            found = re.search(r"http://[^\s/?]+", line)
            if found:
                self.address = found.group()
                return self
        raise AssertionError(f"the server did not start: {said} {self.process.stderr.read() if self.process.stderr else ''}")

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; the exit code and what was said on standard error."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said

    @property
    def with_token(self) -> str:
        """The address that opens it."""
        return f"{self.address}/?token={TOKEN}"


def copy_of(collection: bc.Collection, folder: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(collection.path, folder / "plankton.cosmos"))


@pytest.fixture
def served(embedded: bc.Collection, tmp_path: Path) -> Iterator[Server]:
    """A server over a copy of the first 300 specimens of the sample, for one test."""
    server = Server(copy_of(embedded, tmp_path)).start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared_server(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As ``served``, for all tests of a file: they must not mind what the others did."""
    server = Server(copy_of(embedded, tmp_path_factory.mktemp("served"))).start()
    yield server
    server.stop(signal.SIGKILL)


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
        page.set_default_timeout(15_000)
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
