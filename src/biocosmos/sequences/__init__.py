"""Pictures in sequence: frames with time, boxes and tracks, read from the files of trackers and from collections.

frames.py      Frames and Boxes, what all the rest is about
collected.py   the sequences of a collection, one at a time
files.py       the sequences of files: MOTChallenge trees, and every format that has frames
per_individual.py a row for every individual, as ecologists count them
writing.py     MOTChallenge trees and tables

>>> for boxes in sequences_of(collection):
...     boxes.frames.seconds, boxes.tracks()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biocosmos.sequences.collected import sequences_of
    from biocosmos.sequences.files import read_sequence, read_sequences
    from biocosmos.sequences.frames import Boxes, Frames
    from biocosmos.sequences.per_individual import individuals
    from biocosmos.sequences.writing import write_mot, write_tracks

_LATE = {
    "Boxes": "frames",
    "Frames": "frames",
    "individuals": "per_individual",
    "read_sequence": "files",
    "read_sequences": "files",
    "sequences_of": "collected",
    "write_mot": "writing",
    "write_tracks": "writing",
}
"""Imported when they are asked for: they bring numpy, pyarrow and the collections, and settings stand in this room too."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Boxes", "Frames", "individuals", "read_sequence", "read_sequences", "sequences_of", "write_mot", "write_tracks"]
