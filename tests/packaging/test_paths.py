"""What is published names no path of the machine that made it, so that a reader can run every command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = (
    "*.md",
    "docs/**/*.md",
    "benchmarks/**/*",
    "tools/*",
    "src/**/*.py",
    "src/**/*.j2",
    "src/**/*.toml",
    "src/**/*.sh",
    "Makefile",
)
OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:work|tmp|root|home|Users|mnt|scratch)/[\w.-]+|\b[A-Z]:\\Users")


def test_no_published_file_names_a_path_of_one_machine() -> None:
    found = []
    for file in sorted({file for pattern in PUBLISHED for file in REPOSITORY.glob(pattern) if file.is_file()}):
        if file.suffix in (".png", ".pyc", ".parquet", ".npz"):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            found += [f"{file.relative_to(REPOSITORY)}:{number}: {path}" for path in OF_A_MACHINE.findall(line)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["benchmarks/bench_x.py", "--rounds", "3"], "python benchmarks/bench_x.py --rounds 3"),
        ([f"{REPOSITORY}/benchmarks/bench_x.py", "/data/my sets/plankton.npz"], "python benchmarks/bench_x.py plankton.npz"),
        (["benchmarks/bench_x.py", f"--cache={REPOSITORY}/made/a.npz"], "python benchmarks/bench_x.py --cache=made/a.npz"),
    ],
)
def test_a_benchmark_writes_the_command_as_a_reader_can_run_it(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    monkeypatch.chdir(REPOSITORY)
    from machine import said_command

    assert said_command(arguments) == said
    sys.modules.pop("machine")
