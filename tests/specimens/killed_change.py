"""A change of a collection in a process of its own, killed at a chosen step: python killed_change.py STEP COLLECTION WHAT...

A step is the beginning or the end of a call that writes something; 0 kills nowhere. The number of steps is printed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import lance
import pyarrow.parquet as pq
from killing import Steps

import biocosmos as bc
from biocosmos.specimens.care import log, merge, plan
from biocosmos.specimens.collection import Collection

WRITERS: list[tuple[Any, str]] = [
    (pq.ParquetWriter, "close"),
    (log.Log, "intend"),
    (log.Log, "finish"),
    (Path, "replace"),
    (Collection, "save_facts"),
    (Collection, "save_split"),
    (lance.LanceDataset, "add_columns"),
    (lance.LanceDataset, "drop_columns"),
    (lance.LanceDataset, "commit"),
    (import_module("lance.dataset").MergeInsertBuilder, "execute"),
    (lance, "write_dataset"),
    (lance.fragment, "write_fragments"),
    (plan.Plan, "save"),
    (plan, "clear"),
]


def carry_out(collection: Path, what: str, *more: str) -> None:
    if what == "merge":
        merge.READ_ROWS, merge.CHUNK_ROWS = 4, 8
        bc.Collection.merged([*map(Path, more)], collection)
        return
    opened = bc.Collection.open(collection)
    if what == "update" and not opened.history():
        ids = opened.table(["id"])["id"].to_pylist()
        crops = [[1.0, 1.0, 5.0, 5.0], None]
        opened.change(
            {"id": ids[:2], "label": ["a", "b"], "depth": [1, 2], "crop": crops}, verb="update", ranks=["status", "depth_zone"]
        )
    if what == "remove" and not opened.history():
        opened.remove(opened.table(["id"])["id"].to_pylist()[5:9])
    if what == "undo" and len(opened.history()) == 1:
        opened.undo(1)


if __name__ == "__main__":
    steps = Steps(int(sys.argv[1]))
    steps.watch(WRITERS)
    carry_out(Path(sys.argv[2]), *sys.argv[3:])
    print(steps.taken)
