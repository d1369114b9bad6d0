"""Reading what is stored and what machines said at the same time, and giving back the memory that took."""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from biocosmos.serve.catalogue.answers import Answers, load_answers, read_latest
from biocosmos.serve.catalogue.stored import Stored, load
from biocosmos.specimens.collection import Collection


def load_both(collection: Collection) -> tuple[Stored, Answers]:
    """What is stored and answered, read by two threads."""
    with ThreadPoolExecutor(1, "answers") as pool:
        ahead = pool.submit(read_latest, collection)
        stored = load(collection)
        return stored, load_answers(collection, stored, ahead.result())


def give_back_memory() -> None:
    """Hand what was used while reading to the system: allocators keep it, several hundred MB for a million specimens."""
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
