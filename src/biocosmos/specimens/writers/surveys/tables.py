"""The files of a survey: text tables and others in a folder or in a zip, all of them or none."""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.files import is_image_name
from biocosmos.tables import replacing
from biocosmos.unfinished import remove, unfinished_path, writing

Rows = Sequence[dict[str, Any]]


@contextmanager
def files_of(path: Path) -> Iterator[Path]:
    """A folder to write into: its files come into the folder ``path``, or into that zip, once all are whole.

    Files of the same names are replaced, others in the folder stay. What a killed process left is removed by the next. Raises
    BiocosmosError where it cannot be written.
    """
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = unfinished_path(path.with_name(f"{path.name}-files"))
            folder.mkdir()
            try:
                yield folder
                members = sorted(file for file in folder.rglob("*") if file.is_file())
                if path.suffix.lower() == ".zip":
                    _pack(folder, members, path)
                    return
                for file in members:
                    place = path / file.relative_to(folder)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(place)
            finally:
                remove(folder)
        except (FileExistsError, NotADirectoryError) as error:
            raise BiocosmosError(f"cannot write to {path}: {first_line(error)}; name another folder") from error


def _pack(folder: Path, members: Sequence[Path], path: Path) -> None:
    """The same files make the same bytes; pictures are as small as they get."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in members:
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            info.compress_type = zipfile.ZIP_STORED if is_image_name(file.name) else zipfile.ZIP_DEFLATED
            archive.writestr(info, file.read_bytes())


def write_rows(path: Path, columns: Sequence[str], rows: Rows, *, tabs: bool = True) -> list[str]:
    """Write the columns that say something in a row (the first always); returns their names."""
    keep = [name for i, name in enumerate(columns) if i == 0 or any(text(row.get(name)) for row in rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if tabs else ",", lineterminator="\r\n" if tabs else "\n")
        writer.writerow(keep)
        writer.writerows([text(row.get(name)) for name in keep] for row in rows)
    return keep


def text(value: Any) -> str:
    """A cell: nothing for None and nan, whole numbers without a point, true and false in small letters."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    return " ".join(str(value).split())


__all__ = ["files_of", "text", "write_rows"]
