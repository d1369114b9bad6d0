"""Where results may be written: never over a collection, its images, or a device. One rule for every verb."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, is_folder, is_there

COLLECTION_FILES = ("collection.json", "specimens.lance")
"""What every collection has: a folder with both is one."""
WEB, REPORTS, MODELS = "web", "reports", "models"
"""Folders of a collection: what the web application keeps, pages of evaluations, and what was fitted for naming."""
RESULTS = (WEB, REPORTS, MODELS)
"""Folders of a collection that hold results: below them may be written what else lies outside a collection."""


def place_of(output: str | Path) -> Path:
    """The file that an output is written to: what a link points to, else the path itself.

    Raises BiocosmosError, one line, for a place inside a collection, at the end of links that go in circles, and for a device
    or a pipe.
    """
    output = Path(output)
    end = refuse_inside(output)
    if _is_collection(end):
        raise BiocosmosError(f"cannot write to {output}: it is a collection; write to another place")
    if is_there(end) and not is_file(end) and not is_folder(end):
        raise BiocosmosError(f"cannot write to {output}: it is a device or a pipe; write to a file")
    return end if output.is_symlink() else output


def refuse_inside(output: Path) -> Path:
    """Where an output really is, links followed. Raises BiocosmosError for a place inside a collection."""
    try:
        end = output.resolve()
    except (OSError, RuntimeError) as error:  # a name that is too long, or links that go in circles
        raise BiocosmosError(f"cannot write to {output}: it leads to no file; write to another place") from error
    for place in dict.fromkeys((end, output.absolute())):
        for folder in place.parents:
            if _is_collection(folder) and not (place.relative_to(folder).parts[0] in RESULTS and place.parent != folder):
                inside = f"it lies inside the collection {folder}, which holds nothing else; write to another place"
                raise BiocosmosError(f"cannot write to {output}: {inside}")
    return end


def _is_collection(folder: Path) -> bool:
    return all(is_there(folder / name) for name in COLLECTION_FILES)


def refuse_source(output: Path, images: Iterable[str | None]) -> None:
    """Raise BiocosmosError where the output is one of the image files, by whatever name. Costs nothing for a new output."""
    if not is_file(output):
        return
    there = output.stat()
    for path in images:
        try:
            is_same = path is not None and os.path.samestat(Path(path).stat(), there)
        except (OSError, ValueError):
            continue
        if is_same:
            raise BiocosmosError(f"cannot write to {output}: it is an image of the specimens; write to another place")
