"""Put the files of the example package into docs/extending.md, where its code blocks say title="FILE".

    python tools/collect_examples.py

The package is tests/packages/biocosmos-example, which the tests install and use; a test fails when the page differs from it.
"""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "extending.md"
PACKAGE = REPOSITORY / "tests" / "packages" / "biocosmos-example"
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n.*?^```$', re.MULTILINE | re.DOTALL)


def refreshed(text: str) -> str:
    """The page with every titled code block as its file is now."""

    def block(found: re.Match[str]) -> str:
        code = (PACKAGE / found[2]).read_text(encoding="utf-8").rstrip()
        return f'```{found[1]} title="{found[2]}"\n{code}\n```'

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE.relative_to(REPOSITORY))
