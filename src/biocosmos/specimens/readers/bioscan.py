"""BIOSCAN-5M and BIOSCAN-1M: a metadata table, and images under {size}/{split}/{chunk}/{processid}.jpg.

Any part of them is accepted: a table of some rows, some of the images, or barcodes alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver, is_file, is_folder, walk
from biocosmos.specimens.readers.blocks import Block
from biocosmos.specimens.readers.delimited import read_text_with
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.packed import unpacked
from biocosmos.specimens.records import Source

SIZES = ("cropped_256", "cropped", "cropped_full", "original_256", "original", "original_full")
LAYOUTS = (
    "{split}/{chunk}/{name}.jpg",  # BIOSCAN-5M, the parts with chunks
    "{split}/{name}.jpg",
    "part{chunk}/{file}",  # BIOSCAN-1M
    "{chunk}/{name}.jpg",
    "{name}.jpg",
    "{file}",
)
LEVELS_UP = 3  # the table of BIOSCAN-5M lies in bioscan5m/metadata/csv, the images in bioscan5m/images
TABLES_IN = ("metadata/csv", "metadata", ".")
BIN_OF_1M = re.compile(rb"\buri\b")
"""What BIOSCAN-1M calls the bin."""
MARKS = (b"dna_bin", b"dna_barcode", b"nucraw")
CHUNK_LETTERS = {"pretrain": 2, "train": 1, "other_heldout": 1}
"""Part of BIOSCAN-5M -> letters of the name of its chunks; the other parts have none."""


def chunk_of(process_id: str, part: str) -> str:
    """The chunk (sub-folder) of an image of BIOSCAN-5M: the first hex digits of the MD5 of its process id, "" where none."""
    return hashlib.md5(process_id.encode(), usedforsecurity=False).hexdigest()[: CHUNK_LETTERS.get(part, 0)]


def is_table(path: Path) -> bool:
    """Whether the first line has the columns that tell a BIOSCAN table from any other."""
    header = _header(path)
    return b"processid" in header and any(mark in header for mark in MARKS)


def _header(path: Path) -> bytes:
    """The first line, in lower case."""
    with unpacked(path).open("rb") as file:
        return file.read(4096).split(b"\n", 1)[0].lower()


def read(path: Path, options: Options) -> Source:
    """A metadata CSV or TSV, or a folder with one in it; images are looked for beside and above the table."""
    table = path if is_file(path) else table_in(path)
    if "dna_bin" not in options.columns.values() and BIN_OF_1M.search(_header(table)):
        options = replace(options, columns={**options.columns, "uri": "dna_bin"})
    finder = _Images(table, options)
    if not finder.bases:
        reason = f"no folder of images ({', '.join(SIZES[:2])}, ...) near the table: read without images"
        options.failures.add(reason, stage="read", source=table, severity="warning")
    source = read_text_with(table, options, "bioscan", finder.find)
    return Source(path.name, "bioscan", source.batches, source.ranks, source.failures)


def table_in(folder: Path) -> Path:
    """The metadata table of a download, where the authors put it or anywhere below; millions of images are not walked through.

    Raises BiocosmosError where there is none, and where there are several.
    """
    names = [place / each.name for place in map(folder.joinpath, TABLES_IN) if is_folder(place) for each in place.iterdir()]
    found = _tables(names) or _tables([folder / name for name in walk(folder, Failures())])
    if len(found) != 1:
        what = f"{len(found)} tables: name one of {', '.join(map(str, found[:5]))}" if found else "no BIOSCAN metadata table"
        raise BiocosmosError(f"{folder} has {what}")
    return found[0]


def _tables(files: Iterable[Path]) -> list[Path]:
    return sorted(file for file in files if file.suffix.lower() in (".csv", ".tsv") and is_file(file) and is_table(file))


def has_images(table: Path, options: Options) -> bool:
    """Whether a folder of images lies where those of this table are looked for."""
    return bool(_Images(table, options).bases)


class _Images:
    """Finds the image of a row; the layout that worked last is tried first, the table's own chunk before the one of its id."""

    def __init__(self, table: Path, options: Options) -> None:
        self.options, self.table = options, table.absolute()
        roots = [options.images.absolute()] if options.images else [self.table.parent, *self.table.parents[1:LEVELS_UP]]
        roots = [folder for root in roots for folder in (root, root / "images") if is_folder(folder)]
        sizes = (options.size,) if options.size else SIZES
        self.bases = [root / size for root in roots for size in sizes if is_folder(root / size)]
        if options.images:
            self.bases.append(options.images.absolute())
        if options.size and not self.bases:
            raise BiocosmosError(f"there is no folder {options.size!r} of images near {table}")
        self._resolvers = [Resolver(base) for base in self.bases]
        self._last: tuple[Resolver, str, bool] | None = None

    def find(self, block: Block) -> set[int]:
        """Fill ``image_path``; rows that are not asked for, and those with neither an image nor a barcode, are left out."""
        columns, bad = block.columns, set[int]()
        paths: list[str | None] = []
        for i, number in enumerate(block.rows):
            if self.options.rows is not None and _cell(columns, self.options.rows[0], i) not in self.options.rows[1]:
                bad.add(i)
                paths.append(None)
                continue
            path = self._path(columns, i)
            paths.append(None if path is None else str(path))
            if path is not None or (not self.bases and _cell(columns, "barcode", i)):
                continue
            id = _cell(columns, "id", i)
            if _cell(columns, "barcode", i):
                reason, severity = "no image found: kept with its barcode alone", "warning"
            else:
                reason, severity = "no image found, and no barcode", "error"
                bad.add(i)
            self.options.failures.add(reason, stage="read", source=self.table, row=number, id=id or None, severity=severity)  # type: ignore[arg-type]
        columns["image_path"] = paths
        return bad

    def _path(self, columns: dict[str, Any], i: int) -> Path | None:
        name = _cell(columns, "id", i)
        if not name or "/" in name or name.startswith(".."):
            return None
        chunk = _cell(columns, "chunk", i) or _cell(columns, "chunk_number", i)
        split, file = _cell(columns, "split", i), _cell(columns, "image_path", i).rsplit("/", 1)[-1]
        made = chunk_of(name, split)  # of a table without the column, or whose "00" a spreadsheet made 0
        tried = [(resolver, layout, own) for resolver in self._resolvers for layout in LAYOUTS for own in (False, True)]
        for way in [self._last, *tried] if self._last is not None else tried:
            resolver, layout, own = way
            each = made if own else chunk
            if ("{chunk}" in layout and not each) or (own and (each == chunk or "{chunk}" not in layout)):
                continue
            if ("{split}" in layout and not split) or ("{file}" in layout and not file):
                continue
            found = resolver.find(layout.format(split=split, chunk=each, name=name, file=file))
            if found.there:
                self._last = way
                return Path(found.path)
        return None


def _cell(columns: dict[str, Any], name: str, i: int) -> str:
    value = columns[name][i] if name in columns else None
    return "" if value is None else str(value).strip().removesuffix(".0")
