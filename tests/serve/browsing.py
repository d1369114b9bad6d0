"""A real server as a process, and where a browser is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import biocosmos as bc
import warm

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
    process: warm.Popen | None = None
    address: str = ""

    def start(self) -> Server:
        """Start it, and wait until it says that it answers."""
        self.process = warm.Popen(
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
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def end(self) -> None:
        """Stop it in order, and by force where that takes too long."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)

    @property
    def with_token(self) -> str:
        """The address that opens it."""
        return f"{self.address}/?token={TOKEN}"


def copy_of(collection: bc.Collection, folder: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(collection.path, folder / "plankton.cosmos"))
