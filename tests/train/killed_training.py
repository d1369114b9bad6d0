"""A training by the command line that is killed from outside once it has a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import warm


def kill(words: Sequence[str], folder: Path, *, steps: str = "step-*") -> None:
    """Run ``biocosmos`` with these words, a training into ``folder``, and kill -9 it at a checkpoint like ``steps``."""
    process = warm.Popen(
        [sys.executable, "-m", "biocosmos", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while not list((folder / "checkpoints").glob(steps)) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
