"""Sewer-ML: SewerML_{Train,Val,Test}.csv, each alone or the folder they lie in, and images where there are any.

Haurum and Moeslund, "Sewer-ML: A Multi-Label Sewer Defect Classification Dataset and Benchmark", CVPR 2021,
https://arxiv.org/abs/2103.10895. 17 defects are the group ``defects``; an image without any is normal. The water level becomes
four classes, shape and material six and eight, as in the multi-task version of the data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver, is_file
from biocosmos.specimens.attribute_groups import Group, is_label_cell
from biocosmos.specimens.readers.blocks import Block
from biocosmos.specimens.readers.delimited import read_text_with
from biocosmos.specimens.readers.labels import label_cells
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.packed import unpacked
from biocosmos.specimens.records import Source

DEFECTS = ("RB", "OB", "PF", "DE", "FS", "IS", "RO", "IN", "AF", "BE", "FO", "GR", "PH", "PB", "OS", "OP", "OK")
FILE = "Filename"
FLAGS = ("VA", "Defect", "ND")
"""Columns of 0 and 1 beside the defects: water, any defect, none."""
ENOUGH = 10
"""So many defects in a header tell these tables from any other."""
PARTS = re.compile(r"SewerML_(Train|Val|Test)", re.IGNORECASE)
WATER = ("<5", "5-15", "15-30", ">=30")
WATER_CUTS = (5.0, 15.0, 30.0)
"""Per cent of the pipe's height."""
SHAPES = ("circular", "conical", "egg", "eye", "rectangular", "other")
MATERIALS = ("unknown", "concrete", "plastic", "lining", "vitrified clay", "iron", "brickwork", "other")
NUMBERED = {"Shape": ("shape", SHAPES), "Material": ("material", MATERIALS)}
WATER_COLUMN = "WaterLevel"


def is_table(path: Path) -> bool:
    """Whether the first line has the columns that tell a Sewer-ML table from any other."""
    header = _header(path)
    return FILE in header and len(set(DEFECTS) & set(header)) >= ENOUGH


def read(path: Path, options: Options) -> Source:
    """One table, or all of a folder; the part that a file's name says is the column ``split``."""
    tables = [path] if is_file(path) else sorted(each for each in path.glob("*.csv") if is_table(each))
    if not tables:
        raise BiocosmosError(f"{path} has no table SewerML_Train.csv, SewerML_Val.csv or SewerML_Test.csv")
    sources = [_read(table, options) for table in tables]
    groups: dict[str, Group] = {}
    for source in sources:
        groups |= {group.name: group for group in source.attributes}

    def batches() -> Iterator[pa.RecordBatch]:
        for source in sources:
            yield from source.batches

    return Source(path.name, "sewer-ml", batches(), (), options.failures, attributes=tuple(groups.values()))


def _read(path: Path, options: Options) -> Source:
    header = _header(path)
    if FILE not in header:
        raise BiocosmosError(f"{path} is no table of Sewer-ML: it has no column '{FILE}'")
    defects = tuple(code for code in DEFECTS if code in header)
    if not defects:
        raise BiocosmosError(f"{path} is no table of Sewer-ML: it has none of the columns {', '.join(DEFECTS[:4])} ...")
    found = PARTS.search(path.name)
    part = None if found is None else found[1].lower()
    flags = [name for name in FLAGS if name in header]
    images = _Images(path, options)
    own = {name: name for name in (*defects, *flags, *NUMBERED, WATER_COLUMN) if name in header}
    columns = {FILE: "image_path", **own, **options.columns}
    source = read_text_with(path, replace(options, columns=columns), "sewer-ml", images.find)
    groups = [Group("defects", defects)]
    if {WATER_COLUMN, "water_level"} & set(header):
        groups.append(Group("water_level", ("water_level",), several=False, classes=WATER))
    groups += [Group(ours, (ours,), False, classes) for name, (ours, classes) in NUMBERED.items() if {name, ours} & set(header)]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches:
            yield _labelled(batch, (*defects, *flags), part, options.failures)
        images.tell()

    return replace(source, batches=batches(), attributes=tuple(groups))


class _Images:
    """Finds images by their names; rows without one are kept for their labels, and counted."""

    def __init__(self, table: Path, options: Options) -> None:
        self._table, self._failures = table, options.failures
        self._resolver = Resolver(options.images or table.parent)
        self._rows = self._lost = 0

    def find(self, block: Block) -> set[int]:
        """Fill id and image_path. No row is left out for its image."""
        names = [None if name is None else str(name).strip() or None for name in block.columns["image_path"]]
        found = [None if name is None else self._resolver.find(name) for name in names]
        block.columns["id"] = block.columns.get("id") or names
        block.columns["image_path"] = [None if one is None or not one.there else one.path for one in found]
        self._rows += len(names)
        self._lost += sum(path is None for path in block.columns["image_path"])
        return set()

    def tell(self) -> None:
        """Say how many images are not there."""
        if self._lost:
            lost = f"{self._lost:,} of {self._rows:,} images are not there"
            reason = f"{lost}: kept with their labels alone; --images names the folder"
            self._failures.add(reason, stage="read", source=self._table, severity="warning")


def _labelled(batch: pa.RecordBatch, labels: Sequence[str], part: str | None, failures: Failures) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in batch.schema.names}
    ids = columns["id"].to_pylist()
    for name in labels:
        columns[name] = label_cells(columns[name], name, ids, failures)
    if WATER_COLUMN in columns:
        cells = [_water(cell) for cell in columns[WATER_COLUMN].to_pylist()]
        columns["water_level"] = _told(cells, columns[WATER_COLUMN], WATER_COLUMN, "no per cent", ids, failures)
    for name, (ours, classes) in NUMBERED.items():
        if name in columns:
            cells = [_numbered(cell, classes) for cell in columns[name].to_pylist()]
            columns[ours] = _told(cells, columns[name], name, f"none of the {len(classes)} classes", ids, failures)
    if part is not None and "split" not in columns:
        columns["split"] = pa.array([part] * batch.num_rows, pa.string())
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _told(
    cells: list[str | None], given: pa.Array, name: str, what: str, ids: Sequence[str | None], failures: Failures
) -> pa.Array:
    """The classes as texts; a cell with something in it that is no class is told."""
    for cell, value, id_ in zip(cells, given.to_pylist(), ids):
        if cell is None and is_label_cell(value) != -1:
            reason = f"'{name}' is {str(value)[:40]!r}, {what}: not known"
            failures.add(reason, stage="read", id=id_, severity="warning")
    return pa.array(cells, pa.string())


def _water(cell: Any) -> str | None:
    try:
        percent = float(str(cell).strip().removesuffix("%"))
    except ValueError:
        return None
    return WATER[sum(percent >= cut for cut in WATER_CUTS)] if 0 <= percent <= 100 else None


def _numbered(cell: Any, classes: Sequence[str]) -> str | None:
    text = str(cell).strip().lower().removesuffix(".0")
    if text in classes:
        return text
    return classes[int(text)] if text.isdecimal() and int(text) < len(classes) else None


def _header(path: Path) -> list[str]:
    with unpacked(path).open("rb") as file:
        line = file.read(8192).split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    return [name.strip().strip('"') for name in re.split(r"[,;\t]", line)]
