"""The page of what was tracked, with the pictures of its crops."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import ImageError
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tracks.report import tracks_report
from biocosmos.images import read_image
from biocosmos.jobs.track import Tracked
from biocosmos.sequences.difficulty.pictures import crops
from biocosmos.specimens.creating import is_collection

FRAMES_IN_MEMORY = 8


def tracks_page(source: Path, done: Tracked) -> tuple[Report, Callable[[str], bytes | None]]:
    """The report, and what gives the picture of a crop by its name."""
    if is_collection(source):
        from biocosmos.specimens.collection import Collection

        pictures: Callable[[str], bytes | None] = Collection.open(source).picture_bytes
    else:
        pictures = crop_of
    provenance = {**done.provenance, "sequences": done.sequences}
    title = f"{source.stem}: individuals by the tracker {done.provenance['settings']['tracker']}"
    return tracks_report(done.individuals, done.shown, title=title, caveats=done.notes, provenance=provenance), pictures


def crop_of(name: str) -> bytes | None:
    """What a box of a picture shows, as PNG; name: as :func:`biocosmos.evaluate.tracks.report.crop_name` has it; None where the
    picture cannot be read or the box lies outside."""
    from PIL import Image

    file, _, place = name.rpartition("#")
    box = np.array([[float(value) for value in place.split(",")]])
    try:
        crop = next(crops(_frame(file), box))
    except (ImageError, OSError):
        return None
    if crop is None:
        return None
    out = io.BytesIO()
    Image.fromarray(crop).save(out, "PNG")
    return out.getvalue()


@lru_cache(maxsize=FRAMES_IN_MEMORY)
def _frame(file: str) -> NDArray[np.uint8]:
    return np.asarray(read_image(Path(file).read_bytes()).pixels)
