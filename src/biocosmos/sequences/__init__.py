"""Pictures in sequence: frames with time, boxes and tracks, read from the files of trackers and from collections.

>>> for boxes in sequences_of(collection):
...     boxes.frames.seconds, boxes.tracks()
"""

from biocosmos.sequences.frames import Boxes, Frames

__all__ = ["Boxes", "Frames"]
