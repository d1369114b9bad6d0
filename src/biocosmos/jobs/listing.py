"""The image files that are asked about: each once, those that are new; where there is nothing to look at, a row says so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import image_files, is_folder, readable

STAGE = "identify"
NO_IMAGE = "no image in this folder"


@dataclass(frozen=True, slots=True)
class AskedFile:
    """An image file as it was given, with size and time of change (-1 where it is not to be had)."""

    path: str
    size: int = -1
    changed: int = -1

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> AskedFile:
        """As it is now; one that is gone is told when it is read."""
        try:
            found = Path(path).stat()
        except (OSError, ValueError):
            return cls(os.fspath(path))
        return cls(os.fspath(path), found.st_size, found.st_mtime_ns)

    def fact(self) -> str:
        """What it is known again by."""
        return f"{len(self.path)}:{self.path} {self.size} {self.changed}"


def same_file(path: str | os.PathLike[str]) -> str:
    """What tells one image from another, however the way to it is written."""
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps ".."


def listed(paths: Sequence[Path], failures: Failures, *, known: frozenset[str] | set[str] = frozenset()) -> list[AskedFile]:
    """Files as they are and folders as the images below them, in the order asked, without those ``known`` (absolute paths).

    A path where there is nothing, a folder without an image and one that may not be opened are rows of ``failures``, and so is
    an image that is asked about twice.

    Raises BiocosmosError where there is no image at any of them.
    """
    found, seen, first = list[AskedFile](), set[str](), None
    for path in paths:
        told = len(failures)
        try:
            files = image_files([path], failures, stage=STAGE)
        except BiocosmosError as error:
            first, files = first or error, []
            if failures.errors == 0 or not any(row.severity == "error" for row in list(failures)[told:]):
                reason = NO_IMAGE if is_folder(path) else first_line(error)
                failures.add(reason, stage=STAGE, source=readable(str(path)))
        except (OSError, ValueError) as error:  # a name too long, or with a NUL
            first, files = first or BiocosmosError(f"cannot look at {readable(str(path))!r}: {first_line(error)}"), []
            failures.add(first_line(error), stage=STAGE, source=readable(str(path)))
        for file in map(str, files):
            identity = same_file(file)
            if identity in seen:
                failures.add("asked about twice: named once", stage=STAGE, source=file, severity="warning")
            elif identity not in known:
                found.append(AskedFile.of(file))
            seen.add(identity)
    if first is not None and not seen:
        raise first
    return found
