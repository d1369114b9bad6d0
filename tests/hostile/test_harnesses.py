"""A sample of the kills and of the malformed inputs; all of them by ``make hostile``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(program: str, *options: str) -> tuple[int, str]:
    """Exit code of a harness and all it said; it brings nothing of this process along."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, str(HERE / program), *options], capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_job_that_is_killed_and_run_again_ends_as_one_that_was_not() -> None:
    code, said = run("kills.py", "--sample", "11", "--seed", "5")
    if "nothing was tried" in said:
        pytest.skip(said.strip())
    assert code == 0 and "| all | 11 | " in said, said


def test_a_malformed_input_of_every_kind_ends_clean() -> None:
    code, said = run("fuzz.py", "--sample", "36", "--seed", "5")
    assert code == 0 and "| all | 36 | 36 | 0 | 0 | 0 | 0 | 0 | 0 |" in said, said
    assert said.count("specimens added") == 12 and "every change undone" in said, (
        said
    )  # of each kind that a reader takes, as it was before it was spoilt


def test_a_row_that_vanishes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    from readable import accounted

    assert accounted(3)(tmp_path) is None  # nothing was made: an error said why, or the judge says that none did
    (tmp_path / "made.cosmos").mkdir()
    (tmp_path / "out.csv").write_text("id,label\na,fish\nb,fish\n")
    (tmp_path / "failures.csv").write_text("severity,reason\nwarning,odd\n")
    assert accounted(3)(tmp_path) == "3 files or rows, 2 specimens and 0 failures"
    (tmp_path / "failures.csv").write_text("severity,reason\nwarning,odd\nerror,no image\n")
    assert accounted(3)(tmp_path) is None
