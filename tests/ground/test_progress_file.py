"""Progress in a file: whole at every moment, not written too often, and never in the way of the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from biocosmos import progress as module
from biocosmos.progress import FILE, progress


def test_the_last_count_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "progress.json"
    monkeypatch.setenv(FILE, str(file))
    with progress("embed", total=10, unit="images", done=2) as bar:
        assert json.loads(file.read_text()) == {"description": "embed", "done": 2, "total": 10, "unit": "images", "rate": 0.0}
        bar.describe("still embedding")
        bar.advance(8)
    told = json.loads(file.read_text())
    assert (told["description"], told["done"], told["total"]) == ("still embedding", 10, 10) and told["rate"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_it_is_written_at_most_four_times_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setenv(FILE, str(tmp_path / "progress.json"))
    written = []
    monkeypatch.setattr(Path, "write_text", lambda self, text, **_: written.append(json.loads(text)["done"]))
    with progress("count", total=None) as bar:
        for _ in range(1000):
            now[0] += 0.01
            bar.advance()
    assert len(written) <= 10 / 0.25 + 2 and written == sorted(written) and written[-1] == 1000


def test_a_file_that_cannot_be_written_stops_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(tmp_path / "no" / "such" / "folder"))
    with progress("count", total=3) as bar:
        bar.advance(3)
    assert bar.done == 3


def test_without_the_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    with progress("count", total=3) as bar:
        bar.advance(3)
    assert not list(tmp_path.iterdir())
