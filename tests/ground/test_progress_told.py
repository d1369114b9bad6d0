"""Progress that is told to whoever asks, in place of a terminal."""

from __future__ import annotations

import threading

import pytest

from biocosmos.progress import progress, telling


def test_counts_are_told_within_and_shown_outside(capsys: pytest.CaptureFixture[str]) -> None:
    heard = []
    with telling(lambda *count: heard.append(count)):
        with progress("embed", total=3) as bar:
            bar.advance(2)
            bar.describe("still")
            bar.advance()
        thread = threading.Thread(target=lambda: progress("elsewhere").__enter__().advance())
        thread.start()
        thread.join()
    with progress("after", total=1) as bar:
        bar.advance()
    assert heard == [("embed", 0, 3), ("embed", 2, 3), ("still", 3, 3)] and capsys.readouterr().err == ""
