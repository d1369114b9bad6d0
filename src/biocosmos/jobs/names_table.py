"""The table of names as a file: whether it may be replaced, what it has already, and how more is added."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failure, Failures, first_line
from biocosmos.files import is_there
from biocosmos.jobs.listing import same_file
from biocosmos.settings import SettingError, flag
from biocosmos.specimens.readers.textfile import separator_of
from biocosmos.tables import SUFFIXES, flat, provenance_beside, read_provenance, table_suffix, write_table, write_tables

ASKED = "asked"
"""In the provenance: every option that names depend on."""
_TEXT = (".csv", ".tsv")


def failures_beside(output: Path) -> Path:
    """``names.csv`` has its failures in ``names.failures.csv``."""
    return output.with_name(f"{output.stem}.failures.csv")


@dataclass(frozen=True)
class NamesTable:
    """A table of names at a path, there or not."""

    path: Path

    @property
    def there(self) -> bool:
        """Whether there is a file with something in it."""
        return is_there(self.path) and self.path.stat().st_size > 0

    @property
    def is_of_identify(self) -> bool:
        """Whether 'biocosmos identify' made it, as its provenance says."""
        is_table = self.path.suffix.lower() in SUFFIXES
        return is_table and self.there and "method" in (read_provenance(self.path) or {})

    def forget(self) -> None:
        """Remove what lies beside the table and says who made it: another table is there now."""
        provenance_beside(self.path).unlink(missing_ok=True)

    def remove(self) -> None:
        """The table with what lies beside it."""
        for path in (self.path, provenance_beside(self.path), failures_beside(self.path)):
            path.unlink(missing_ok=True)

    # ------------------------------------------------------------------ may it be changed?

    def refuse_loss(self, asked: Mapping[str, Any], images: Iterable[str] | None) -> str | None:
        """Refuse to replace what would not come again: names of other images, or a table of another origin.

        images: that are asked about now; None where a part of the collection is. Returns which option differs from those of the
        names that will be replaced, in words; None where all are as they were.
        """
        if not self.there:
            return None
        remedy = f"replace it with --overwrite, or write to another {flag('output')}"
        before = self._asked(remedy)
        if before.get("part") != asked.get("part"):
            raise SettingError(f"{self.path} was made with --part {_told(before.get('part'))}: {remedy}")
        now = {same_file(path) for path in images or ()}
        lost = [] if images is None else [path for path in self.images() if same_file(path) not in now]
        if lost:
            raise SettingError(
                f"{self.path} has names of {len(lost):,} images that are not asked about now ({lost[0]}): add to it with "
                f"--append, {remedy}"
            )
        return _difference(before, asked)

    def refuse_other_files(self, files: Sequence[str]) -> None:
        """Refuse to replace names of sequences in other files than ``files``."""
        if not self.there:
            return
        before = (read_provenance(self.path) or {}).get("queries", {}).get("files")
        if before is None or not {*map(same_file, before)} <= {*map(same_file, files)}:
            named = "other things" if before is None else before[0] if len(before) == 1 else f"{len(before):,} files"
            raise SettingError(
                f"{self.path} has names of {named}, which are not asked about now: replace it with --overwrite, or write to "
                f"another {flag('output')}"
            )

    def refuse_unlike(self, asked: Mapping[str, Any], namer: str | None = None) -> None:
        """Refuse to add names to those made with other options or by another namer; None where it is not known yet."""
        if not self.there:
            return
        remedy = f"replace it with --overwrite, or write to another {flag('output')}"
        if (difference := _difference(self._asked(remedy), asked)) is not None:
            raise SettingError(f"{self.path} was made with {difference}: ask as then, {remedy}")
        before = (read_provenance(self.path) or {}).get("namer", {}).get("digest")
        if namer is not None and before != namer:
            raise SettingError(
                f"{self.path} was made by another namer (digest {before}, now {namer}), as the collection or a head was changed "
                f"since: {remedy}"
            )

    def _asked(self, remedy: str) -> dict[str, Any]:
        """The options that its names were made with."""
        facts = read_provenance(self.path)
        if facts is None or "method" not in facts:
            raise SettingError(f"{self.path} exists and was not made by 'biocosmos identify': {remedy}")
        before = facts.get(ASKED)
        return before if isinstance(before, dict) else {}

    # ------------------------------------------------------------------ what it has

    def images(self) -> Iterator[str]:
        """Paths in the table, as they were given."""
        for table in self.tables(None, ["image_path", "id"]):
            column = table["image_path"] if "image_path" in table.column_names else table["id"]
            yield from (path for path in column.to_pylist() if path is not None)

    def failures(self) -> list[Failure]:
        """The failures beside it."""
        try:
            options = pyarrow.csv.ConvertOptions(
                column_types={
                    "row": pa.int64(),
                    **{name: pa.string() for name in ("stage", "severity", "source", "id", "reason")},
                },
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            )
            rows = pyarrow.csv.read_csv(failures_beside(self.path), convert_options=options).to_pylist()
            return [Failure(**{each.name: row[each.name] for each in fields(Failure)}) for row in rows]
        except (OSError, LookupError, TypeError, pa.ArrowException):
            return []

    def tables(self, schema: pa.Schema | None, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in pieces, with the types of ``schema`` where it has the column; columns: those of them that are there.

        Raises BiocosmosError where another program has changed it so that it cannot be read.
        """
        if not self.there:
            return
        try:
            for table in self._pieces(schema):
                kept = table.column_names if columns is None else [name for name in columns if name in table.column_names]
                yield table.select(kept)
        except (OSError, LookupError, TypeError, ValueError, pa.ArrowException) as error:
            raise BiocosmosError(
                f"cannot read the names in {self.path}: {first_line(error)}; write to another --output"
            ) from error

    def _pieces(self, schema: pa.Schema | None) -> Iterator[pa.Table]:
        suffix = table_suffix(self.path)
        if suffix == ".parquet":
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches():
                    yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
        elif suffix in _TEXT:
            yield from self._text(suffix, schema)
        else:
            yield self._rows(suffix, schema)

    def _text(self, suffix: str, schema: pa.Schema | None) -> Iterator[pa.Table]:
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            header, first = file.readline(), file.readline()
        # a spreadsheet may have saved the table anew, with the separator and the decimal sign of its country
        separator = "\t" if suffix == ".tsv" else separator_of(header, str(self.path))[0]
        parse = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
        decimal = "," if separator == ";" and re.search(r";-?\d+,\d+(;|$)", first.strip()) else "."
        names = pyarrow.csv.read_csv(pa.py_buffer(header.encode()), parse_options=parse).column_names
        known = {} if schema is None else {field.name: field.type for field in flat(schema.empty_table()).schema}
        convert = pyarrow.csv.ConvertOptions(
            column_types={name: known.get(name, pa.string()) for name in names},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            decimal_point=decimal,
        )
        with pyarrow.csv.open_csv(self.path, parse_options=parse, convert_options=convert) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def _rows(self, suffix: str, schema: pa.Schema | None) -> pa.Table:
        """JSON is read whole: it has no rows until its end."""
        text = self.path.read_text(encoding="utf-8")
        rows = json.loads(text)["rows"] if suffix == ".json" else [json.loads(line) for line in text.splitlines() if line]
        names = list(dict.fromkeys(name for row in rows for name in row))
        known = {} if schema is None else {field.name: field.type for field in schema}
        columns = {name: pa.array([row.get(name) for row in rows], known.get(name)) for name in names}
        return pa.table(columns)

    # ------------------------------------------------------------------ write

    def write(
        self,
        tables: Iterable[pa.Table],
        schema: pa.Schema,
        columns: Iterable[str],
        facts: Mapping[str, Any],
        failures: Failures,
        *,
        after: NamesTable | None = None,
    ) -> None:
        """Write the columns that say something, and the failures beside; after: names that stand before them, with their columns.

        The failures come first, so that a table that is there has all that belongs to it.
        """
        wanted = set(columns)
        chosen = pa.schema([field for field in schema if field.name in wanted])
        mine = chosen.names
        pieces: Iterable[pa.Table] = (table.select(mine) for table in tables)
        if after is not None and after.there:
            if table_suffix(self.path) in _TEXT:
                chosen, pieces = flat(chosen.empty_table()).schema, map(flat, pieces)
            old = next(after.tables(schema), chosen.empty_table()).schema
            types = {field.name: field for field in (*old, *chosen)}
            names = [*old.names, *(name for name in mine if name not in old.names)]
            chosen = pa.schema([types[name] for name in names])
            pieces = map(partial(_as, chosen), chain(after.tables(schema), pieces))
        self.write_failures(failures)
        write_tables(pieces, chosen, self.path, facts)

    def write_failures(self, failures: Failures) -> None:
        """The failures beside the table; without one there is no such file."""
        beside = failures_beside(self.path)
        if len(failures):
            write_table(failures.table(), beside)
        else:
            beside.unlink(missing_ok=True)

    def added_to(self, facts: Mapping[str, Any], rows: int, time: str) -> dict[str, Any]:
        """What is said of more names, joined to what was said of these; rows: images asked about now."""
        before = read_provenance(self.path) or {}
        queries = dict(facts["queries"])
        queries["images"] = int(before.get("queries", {}).get("images") or 0) + rows
        return {**facts, "queries": queries, "added": [*before.get("added", []), {"time": time, "images": rows}]}

    def failures_with(self, new: Failures, files: Iterable[str]) -> Failures:
        """The failures of before, but for the files that were asked about again, and then the new ones."""
        again, known = {same_file(path) for path in files}, {(row.source, row.reason) for row in new}
        joined = Failures()
        for row in self.failures():
            if (row.source, row.reason) not in known and same_file(row.source or "") not in again:
                joined.append(row)
        joined.extend(new)
        return joined


def _as(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The table with the columns of a schema; null where it lacks one."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _difference(before: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """The first option that differs, in words; None where none does."""
    now = json.loads(json.dumps(dict(asked), default=str))
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{flag(name)} {_told(before.get(name))}, now it is {_told(now.get(name))}"
    return None


def _told(value: Any) -> str:
    return "not given" if value is None else str(value)
