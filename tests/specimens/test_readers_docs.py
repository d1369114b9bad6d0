"""docs/formats.md: its example runs, and every format has its place in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biocosmos.specimens import readers, writers

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    said = capsys.readouterr().out
    assert "3 added, 1 refused" in said and "broken.jpg" in said
    assert (tmp_path / "mine.csv").read_text(encoding="utf-8").count("\n") == 4


def test_every_format_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in (*readers.FORMATS, *writers.FORMATS):
        assert f"| `{name}` |" in text, name
