"""Whether anything of what is asked about can be read, looked at before an identifier is fitted for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biocosmos.errors import Failures, ImageError
from biocosmos.images.reading import inspect_image
from biocosmos.jobs.listing import AskedFile
from biocosmos.jobs.sequence_files import pieces

LOOKED_AT = 100
"""Files; where more are asked about, and none of these can be read, the rest is tried while naming."""
STAGE = "identify"


def unreadable(files: Sequence[AskedFile], *, sequences: bool) -> Failures | None:
    """Why no file has the header of an image, or a sequence; None where one has it, or there are too many to look at."""
    told = Failures()
    if not files or len(files) > LOOKED_AT:
        return None
    for file in files:
        if sequences:
            if any(ids for ids, _ in pieces(Path(file.path), told, 1)):
                return None
            continue
        try:
            inspect_image(Path(file.path))
        except (ImageError, OSError) as error:
            told.add(str(error), stage=STAGE, source=file.path)
        else:
            return None
    return told


__all__ = ["LOOKED_AT", "unreadable"]
