"""Merging acts in a process of its own, killed at a chosen step: python killed_compact.py STEP COLLECTION."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
from killing import Steps

import biocosmos as bc
from biocosmos.specimens import by_hand
from biocosmos.specimens.by_hand import acts, files

if __name__ == "__main__":
    collection = bc.Collection.open(Path(sys.argv[2]))
    steps = Steps(int(sys.argv[1]))
    steps.watch([(pq, "write_table"), (acts, "_sync"), (Path, "replace"), (Path, "unlink"), (files, "_remove")])
    by_hand.compact(collection, many=2)
    print(steps.taken)
