"""The client that docs/api.md shows, against a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import biocosmos as bc
from browsing import TOKEN, Server, copy_of

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_client_of_the_page_runs(
    embedded: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    server = Server(copy_of(embedded, tmp_path)).start()
    monkeypatch.setenv("BIOCOSMOS_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(embedded.table(["image"])["image"][7].as_py())
    names: dict[str, object] = {}
    try:
        exec(compile(block.replace("http://127.0.0.1:8765", server.address), str(PAGE), "exec"), names)
    finally:
        code, said = server.stop()
    assert code == 0 and "fault" not in said
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.count("('") == 5 and second.startswith("[('") and third.split()[0] == "2"
    assert "planktonset-" in Path("test.csv").read_text(encoding="utf-8-sig")
