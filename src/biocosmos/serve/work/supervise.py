"""``python -m biocosmos.serve.work.supervise FOLDER``: runs one job and writes down how it ended, whatever becomes of the server.

It is in a session of its own and the verb in a process group of its own. It checks the settings in the folder again and makes the
command line from them: a folder that came with a stranger's collection can ask for no more than a person at the page can.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.serve.work import states
from biocosmos.serve.work.command import environment, grace_seconds, python
from biocosmos.unfinished import machine

LOOK_SECONDS = 0.1
NICE = 5
"""Jobs give way to the server, which a person waits for."""
TAIL = 1 << 14


class Supervised:
    """One job while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.child: subprocess.Popen[bytes] | None = None
        self.ended_by: int | None = None
        self._asked = self._killed = 0.0

    def run(self) -> int:
        """From the first word to the last; the exit code of the verb."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._started(None)
        try:
            from biocosmos.serve.work.kinds import words_of

            words = words_of(self.folder)
            self._start(words)
        except (BiocosmosError, OSError) as error:
            self._say(f"error: {first_line(error)}\n")
            return self._end(1)
        assert self.child is not None
        self._started(self.child.pid)
        while True:
            try:
                return self._end(self.child.wait(LOOK_SECONDS))
            except subprocess.TimeoutExpired:
                self._look()

    def _started(self, child: int | None) -> None:
        said = {"machine": list(machine()), "supervisor": states.process(os.getpid()), "at": states.now()}
        before = states.started_of(self.folder)
        said |= {"at": said["at"] if before is None else before["at"]}
        states.write(self.folder / states.STARTED, said | {"child": None if child is None else states.process(child)})

    def _start(self, words: Sequence[str]) -> None:
        made = self.folder / "made"
        made.mkdir(exist_ok=True)
        with suppress(OSError):
            os.nice(NICE)
        with (self.folder / states.LOG).open("ab") as log:
            self.child = subprocess.Popen(
                python(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=made,
                env=environment(self.folder, states.asked(self.folder)["by"]),
                process_group=0,
            )

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.ended_by = number

    def _look(self) -> None:
        """End the verb where somebody wants that: in order at first, for certain when it takes too long."""
        if self.ended_by is None and not (self.folder / states.CANCEL).exists():
            return
        now = time.monotonic()
        if not self._asked:
            self._asked = now
            self._signal(signal.SIGINT)
        elif now - self._asked > grace_seconds() and not self._killed:
            self._killed = now
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        assert self.child is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, number)

    def _end(self, code: int) -> int:
        """What is left of the verb's own processes ends too; then the last word."""
        if self.child is not None:
            self._signal(signal.SIGKILL)
        wanted = self.ended_by is not None or (self.folder / states.CANCEL).exists()
        status = "done" if code == 0 else "cancelled" if wanted else "failed"
        message = "" if code == 0 else last_words(self.folder, code)
        states.write(self.folder / states.END, {"status": status, "code": code, "at": states.now(), "message": message})
        return code

    def _say(self, text: str) -> None:
        with suppress(OSError), (self.folder / states.LOG).open("a", encoding="utf-8") as log:
            log.write(text)


def last_words(folder: Path, code: int) -> str:
    """The line that says why the verb ended."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"ended by {name}" + (" (the machine may have run out of memory)" if name == "SIGKILL" else "")
    text, _ = states.log_tail(folder, TAIL)
    told = [line for line in text.splitlines() if line.startswith(("error: ", "interrupted", "stopped by"))]
    return told[-1].removeprefix("error: ")[:500] if told else f"ended with code {code}: its log says more"


def main() -> None:
    """The module as a program."""
    folder = Path(sys.argv[1]).resolve()
    raise SystemExit(0 if Supervised(folder).run() == 0 else 1)


if __name__ == "__main__":
    main()
