"""Merging acts in a process of its own, killed at a chosen step: python killed_compact.py STEP COLLECTION."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import biocosmos as bc
from biocosmos.specimens import by_hand
from biocosmos.specimens.by_hand import acts, files

steps, kill_at = 0, int(sys.argv[1])


def killing(function: Callable[..., Any]) -> Callable[..., Any]:
    def step() -> None:
        global steps
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(*arguments: Any, **options: Any) -> Any:
        step()
        found = function(*arguments, **options)
        step()
        return found

    return run


if __name__ == "__main__":
    collection = bc.Collection.open(Path(sys.argv[2]))
    for place, name in [(pq, "write_table"), (acts, "_sync"), (Path, "replace"), (Path, "unlink"), (files, "_remove")]:
        setattr(place, name, killing(getattr(place, name)))
    by_hand.compact(collection, many=2)
    print(steps)
