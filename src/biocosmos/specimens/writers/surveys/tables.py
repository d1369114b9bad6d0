"""The files of a survey: text tables and others in a folder or in a zip, all of them or none."""

from __future__ import annotations

import csv
import math
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.tables import replacing

Rows = Sequence[dict[str, Any]]


@contextmanager
def files_of(path: Path) -> Iterator[Path]:
    """A folder to write into: its files come into the folder ``path``, or into that zip, once all are whole.

    Files of the same names are replaced, others in the folder stay. Raises BiocosmosError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:60]}-") as made:
            folder = Path(made)
            yield folder
            members = sorted(file for file in folder.rglob("*") if file.is_file())
            if path.suffix.lower() == ".zip":
                with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                    for file in members:
                        archive.writestr(zipfile.ZipInfo(str(file.relative_to(folder).as_posix())), file.read_bytes())
                return
            for file in members:
                place = path / file.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
    except (FileExistsError, NotADirectoryError) as error:
        raise BiocosmosError(f"cannot write to {path}: {first_line(error)}; name another folder") from error


def write_rows(path: Path, columns: Sequence[str], rows: Rows, *, tabs: bool = True, mark: str = "") -> list[str]:
    """Write the columns that say something in a row (the first always); returns their names."""
    keep = [name for i, name in enumerate(columns) if i == 0 or any(text(row.get(name)) for row in rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
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
