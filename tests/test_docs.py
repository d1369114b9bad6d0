"""The examples people copy first: they run, as they stand, on a part of the sample."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos.specimens.sample

REPOSITORY = Path(__file__).parents[1]
PAGES = ["README.md", "docs/collections.md", "docs/evaluate.md", "docs/identify.md", "docs/train.md"]
SPECIMENS = 400
NEEDS_MORE = ("risk=",)
"""A promised risk needs more calibration specimens than this test has; tests/test_identify.py tests it."""


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, sample_table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(biocosmos.specimens.sample, "sample", lambda: sample_table.slice(0, SPECIMENS))
    names: dict[str, object] = {}
    for block in blocks:
        if not any(word in block for word in NEEDS_MORE):
            exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", ["README.md", *(str(p.relative_to(REPOSITORY)) for p in (REPOSITORY / "docs").glob("*.md"))])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = REPOSITORY / page
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{page} links to {target}"
