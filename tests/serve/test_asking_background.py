"""Work in the background goes on by itself, one after another, and holds nobody up at the end."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

import biocosmos as bc
from biocosmos.serve.asking.background import Background
from biocosmos.specimens.resident import resident_gallery


def test_one_after_another_with_what_goes_wrong() -> None:
    background, order = Background("test"), []
    futures = [background.submit(order.append, number) for number in range(5)]
    wrong = background.submit(int, "no number")
    assert [future.result(10) for future in futures] == [None] * 5 and order == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="no number"):
        wrong.result(10)
    assert background.submit(sum, [1, 2]).result(10) == 3
    background.close()


def test_closing_waits_for_nobody() -> None:
    background, begun, end = Background("test"), threading.Event(), threading.Event()
    background.submit(lambda: (begun.set(), end.wait(30)))
    begun.wait(10)
    waiting = background.submit(int)
    background.close(0.01)
    end.set()
    for future in (waiting, background.submit(int)):
        with pytest.raises(CancelledError):
            future.result(10)


def test_what_asks_now_and_then_ends_with_it(embedded: bc.Collection) -> None:
    background, begun = Background("test"), threading.Event()

    def work() -> None:
        while True:
            begun.set()
            background.go_on()

    future = background.submit(work)
    begun.wait(10)
    background.close()
    with pytest.raises(bc.BiocosmosError, match="the server is stopping"):
        future.result(0)
    with pytest.raises(bc.BiocosmosError, match="the server is stopping"):
        resident_gallery(embedded, "efficientnet-lite0", before=background.go_on)
