"""EcoTaxa's exchange format: a zip (or folder) of images and of tables called ecotaxa*.tsv.

Columns keep their names (object_, sample_, acq_, process_ prefixes), in small letters as EcoTaxa itself reads them; the usual
ones are there under our names as well. What EcoTaxa itself refuses on import is looked for and recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import time
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.dates import When, read_date, read_time
from biocosmos.specimens.readers.archive import Archive, Member, open_archive
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.readers.ecotaxa_table import (
    CATEGORY,
    HIERARCHY,
    IMAGE,
    LATITUDE,
    LEVEL,
    LONGITUDE,
    STATES,
    STATUS,
    VERBATIM_DATE,
    Table,
    inspect,
    number,
    rows_of,
    split_hierarchy,
    tell,
)
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.typing_of_text import is_missing
from biocosmos.specimens.records import Source

OURS = {LATITUDE: "latitude", LONGITUDE: "longitude", CATEGORY: "label"}


def is_table(name: str) -> bool:
    """Whether a file is one of EcoTaxa's tables by its name."""
    base = PurePosixPath(name).name.lower()
    return base.startswith("ecotaxa") and base.endswith((".tsv", ".txt"))


def read(path: Path, options: Options) -> Source:
    """An EcoTaxa zip or folder. The label is object_annotation_category; its hierarchy becomes the ranks level_1, level_2 ..."""
    with open_archive(path, Failures(), options.max_image_bytes) as archive:
        names = [name for name in archive.names if is_table(name)]
        if not names:
            raise BiocosmosError(f"{path} has no table called ecotaxa*.tsv: is it an EcoTaxa export?")
        tables = [inspect(Member(archive, name), options) for name in names]
    if not any(IMAGE in table.columns for table in tables):
        raise BiocosmosError(f"{path}: no table has the column {IMAGE}")
    found = _merged(tables)
    depth = max(table.depth for table in tables)
    levels = [LEVEL.format(i + 1) for i in range(depth)]
    kinds = {name: pa.string() for name in ("id", "image", "image_path")}
    ours = {ours for theirs, ours in OURS.items() if theirs in found} | (
        {"date"} if {"object_date", VERBATIM_DATE} & set(found) else set()
    )
    kinds |= dict.fromkeys(sorted(ours), pa.string()) | dict.fromkeys(levels, pa.string())
    asked = {theirs.strip().lower(): ours for theirs, ours in options.columns.items()}
    renamed = {name: asked.get(name, name) for name in found}
    missing = [theirs for theirs in options.columns if theirs.strip().lower() not in found]
    if missing:
        raise BiocosmosError(f"{path} has no column {missing[0]!r}; it has: {shown(found)}")
    kinds |= {renamed[name]: kind for name, kind in found.items()}
    ranks = options.ranks if options.ranks is not None else (*levels, "label") if "label" in kinds else tuple(levels)
    how: dict[str, Any] = {"taxonomy": options.taxonomy, "warn_unlabelled": False, "tell_dates": False}
    shaper = Shaper(kinds, options.failures, ranks=ranks, **how)
    if options.taxonomy is not None and options.ranks is None:
        shaper = Shaper(kinds, options.failures, label_is_rank=True, **how)
    blocks = gather(_rows(path, tables, found, depth, renamed, options), list(kinds), str(path))
    return Source(path.name, "ecotaxa", shaper.batches(blocks), shaper.rank_columns, options.failures)


def _merged(tables: Sequence[Table]) -> dict[str, pa.DataType]:
    """Name -> type over all tables: numbers only where every table has numbers."""
    found: dict[str, pa.DataType] = {}
    for name, kind in (pair for table in tables for pair in table.kinds.items()):
        if found.setdefault(name, kind) != kind:
            found[name] = pa.string() if pa.string() in (found[name], kind) else pa.float64()
    return found


def _rows(
    path: Path,
    tables: Sequence[Table],
    kinds: dict[str, pa.DataType],
    depth: int,
    renamed: dict[str, str],
    options: Options,
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    with open_archive(path, options.failures, options.max_image_bytes) as archive, Seen() as seen, Seen() as objects:
        for table in tables:
            member = Member(archive, table.member.name)
            for row, cells in rows_of(table, member, options):
                read = _Row(cells, member, row, options)
                values = read.values(archive, table.folder, seen, objects, kinds, depth, renamed)
                if values is not None:
                    yield row, read.fallback, values


class _Row:
    def __init__(self, cells: dict[str, str], member: Member, row: int, options: Options) -> None:
        self.cells, self.member, self.row, self.options = cells, member, row, options
        self.id = cells.get("object_id") or None
        self.fallback: str | None = None

    def values(
        self,
        archive: Archive,
        folder: str,
        seen: Seen,
        objects: Seen,
        kinds: dict[str, pa.DataType],
        depth: int,
        renamed: dict[str, str],
    ) -> dict[str, Any] | None:
        """Everything the row says, or None when it has to be left out (which is then recorded)."""
        name = self.cells.get(IMAGE, "")
        if not name:
            return self._refused("no image: img_file_name is blank")
        if seen.count(f"{folder}\t{name}\t{self.id or ''}") > 1:
            return self._refused(f"a duplicate row: {name!r} of object {self.id or '(no id)'!r} came before")
        found, reason = archive.find(name, folder)
        if found is None:
            return self._refused(str(reason))
        self.fallback = found  # images of two folders may have one name
        image, image_path, reason = archive.image(found)
        if reason is not None:
            return self._refused(f"{name}: {reason}")
        values: dict[str, Any] = {renamed[n]: self._typed(n, kinds[n]) for n in self.cells if n in renamed}
        for theirs, ours in OURS.items():
            place = values.get(renamed.get(theirs, theirs)) if theirs in (LATITUDE, LONGITUDE) else None
            values.setdefault(ours, place if place is not None else self.cells.get(theirs) or None)
        values["date"] = self._date()
        values |= {"image": image, "image_path": image_path} | self._levels(depth)
        if self.id is not None:
            times = objects.count(self.id)
            values["id"] = self.id if times == 1 else f"{self.id}#{times}"
            if times > 1:
                self._warn(f"image {times} of the object {self.id!r}: kept as a specimen of its own")
        self._check_state()
        return values

    def _typed(self, name: str, kind: pa.DataType) -> Any:
        text = self.cells[name]
        if not text:
            return None
        if pa.types.is_string(kind):
            return text
        if is_missing(text):
            return None
        try:
            found = int(text) if pa.types.is_integer(kind) else number(text)
            if math.isinf(found):
                raise OverflowError(text)
            return found
        except (ValueError, OverflowError):
            if name not in (LATITUDE, LONGITUDE):  # who makes them places says it
                self._warn(f"{name} is declared a number [f], but is {text!r}: left blank")
            return None

    def _date(self) -> str | None:
        """object_date and object_time as 2014-05-23T09:25:30; a date that is not certain stays as it is written."""
        text, clock = self.cells.get("object_date", ""), self.cells.get("object_time", "")
        said = read_date(text)
        at: time | None = said.clock
        if text and said.day is None:
            self._warn(f"object_date {text!r} {said.problem}: kept as it is written")
        elif said.problem is not None:
            self._warn(f"object_date {text!r}: {said.problem}")
        if clock and not is_missing(clock):
            told: When = read_time(clock)
            at = told.clock if told.clock is not None else at
            if told.problem is not None:
                self._warn(f"object_time {told.problem}: left out")
        if said.day is None:
            return text or self.cells.get(VERBATIM_DATE) or None
        return said.day.isoformat() + (f"T{at.isoformat('seconds')}" if at is not None else "")

    def _check_state(self) -> None:
        category, state = self.cells.get(CATEGORY), self.cells.get(STATUS, "").lower()
        if category and not state:
            self._warn(f"classified as {category!r} without a state (predicted, validated or dubious): EcoTaxa refuses that")
        elif state and state not in STATES:
            self._warn(f"the state {state!r} is none that EcoTaxa knows ({', '.join(STATES)})")

    def _levels(self, depth: int) -> dict[str, str]:
        parts = split_hierarchy(self.cells.get(HIERARCHY, ""))
        if not parts:
            return {}
        category = (self.cells.get(CATEGORY) or parts[-1]).split("<")[0].strip()
        if not all(parts):
            self._warn(f"a broken hierarchy, with a blank level: {self.cells[HIERARCHY]!r} is not used")
            return {}
        if parts[-1].split("<")[0].strip() != category:
            self._warn(f"a broken hierarchy: {self.cells[HIERARCHY]!r} does not end in {category!r}, and is not used")
            return {}
        return {LEVEL.format(i + 1): part for i, part in enumerate(parts[:depth])}

    def _refused(self, reason: str) -> dict[str, Any] | None:
        tell(self.options, self.member, reason, self.row, self.id)
        return None

    def _warn(self, reason: str) -> None:
        tell(self.options, self.member, reason, self.row, self.id, severity="warning")
