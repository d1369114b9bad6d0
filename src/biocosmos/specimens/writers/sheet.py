"""A table of text that is written row by row and copied out without the columns that stayed empty."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from biocosmos.specimens.readers.lines import FIELD_LIMIT


class Sheet:
    """Rows held in a file without a name, in ``folder``: it is gone with the process, however that ends.

    >>> with Sheet(["id", "note"], Path(".")) as sheet:
    ...     sheet.write(["a", ""])
    ...     sheet.filled
    [True, False]
    """

    def __init__(self, names: Sequence[str], folder: Path, *, delimiter: str = "\t") -> None:
        self.names, self.delimiter, self.rows = list(names), delimiter, 0
        self.filled_rows = [0] * len(self.names)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="", dir=folder)  # noqa: SIM115
        self._writer = csv.writer(self._file, delimiter=delimiter, lineterminator="\r\n")

    @property
    def filled(self) -> list[bool]:
        """Of each column, whether any row says something in it."""
        return [count > 0 for count in self.filled_rows]

    def write(self, cells: Sequence[str]) -> None:
        """One more row, with as many cells as there are names."""
        for i, cell in enumerate(cells):
            if cell:
                self.filled_rows[i] += 1
        self._writer.writerow(cells)
        self.rows += 1

    def copy(self, out: IO[str], keep: Sequence[int], heads: Sequence[Sequence[str]] | None = None) -> None:
        """Write the columns ``keep`` (places, in this order) below ``heads``, which by default are their names."""
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator="\r\n")
        writer.writerows([[self.names[i] for i in keep]] if heads is None else heads)
        self._file.flush()
        self._file.seek(0)
        if list(keep) == list(range(len(self.names))):
            for block in iter(lambda: self._file.read(1 << 20), ""):
                out.write(block)
            return
        if csv.field_size_limit() < FIELD_LIMIT:
            csv.field_size_limit(FIELD_LIMIT)
        writer.writerows([cells[i] for i in keep] for cells in csv.reader(self._file, delimiter=self.delimiter))

    def copy_into(
        self, archive: zipfile.ZipFile, name: str, keep: Sequence[int], heads: Sequence[Sequence[str]], *, mark: str = ""
    ) -> None:
        """:meth:`copy` into a zip; the same rows make the same bytes. mark: what stands before the first line."""
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w", force_zip64=True) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as out:
            out.write(mark)
            self.copy(out, keep, heads)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
