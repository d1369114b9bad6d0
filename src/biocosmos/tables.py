"""Tables in and out: one writer for CSV, TSV, Parquet and JSON, whole or not at all, with their provenance beside them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.unfinished import remove, unfinished_path, writing

SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
PROVENANCE_KEY = b"biocosmos.provenance"
GROUP_ROWS = 1 << 16
"""Rows of a row group of Parquet."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place on success; a crash leaves the old file as it was.

    What a killed process left there is removed by the next (:mod:`biocosmos.unfinished`). Raises BiocosmosError, one line, where
    the disk is full, the folder may not be written to, or ``path`` cannot be a file.
    """
    path = Path(path)
    with writing(path):
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():  # said before the work, not after it
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        temporary = unfinished_path(path)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            remove(temporary)


def write_facts(path: str | Path, facts: Mapping[str, Any]) -> None:
    """Write a JSON of ours, whole or not at all; :func:`biocosmos.facts.read_facts` reads it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")


STEM_BYTES = 180
"""Of a file's name for what has a name of any length; 255 are possible, and something is put before and behind it."""


def file_stem(name: str) -> str:
    """A name of anything (an encoder, say) as a file name of its own: letters, digits, "-" and "_" stay, the rest becomes "_".

    What goes past STEM_BYTES is cut off. A name that this changes gets eight digits of its sha256 behind it: "a/b" and "a:b" are
    two files.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    plain = plain.encode()[:STEM_BYTES].decode(errors="ignore")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def table_suffix(path: str | Path) -> str:
    """The file's suffix if it is a table format. Raises BiocosmosError otherwise."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise BiocosmosError(f"cannot write a table to {path}: the name must end in one of {', '.join(SUFFIXES)}")
    return suffix


def write_table(table: pa.Table, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write ``table`` in the format its suffix names; see :func:`write_tables`."""
    return write_tables([table], table.schema, path, provenance)


def write_tables(
    tables: Iterable[pa.Table], schema: pa.Schema, path: str | Path, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write tables of one schema as one, in the format the suffix names, with one of them in memory at a time.

    Provenance goes into the Parquet schema metadata and into the JSON object; CSV and TSV have no place for it, so it is
    written to ``<path>.provenance.json``, before the table. List and struct cells become JSON text in CSV and TSV. The file
    depends on the rows alone, not on how they are cut into tables.
    """
    path, suffix = Path(path), table_suffix(path)
    facts = None if provenance is None else json.dumps(dict(provenance), indent=1, default=str)
    with replacing(path) as temporary:
        _WRITERS[suffix](tables, schema, temporary, facts)
        if facts is not None and suffix in (".csv", ".tsv", ".jsonl"):
            with replacing(provenance_beside(path)) as beside:
                beside.write_text(facts + "\n", encoding="utf-8")
    return path


def provenance_beside(path: Path) -> Path:
    """Where the provenance of a table lies whose format has no place for it."""
    return path.with_name(path.name + ".provenance.json")


def read_provenance(path: str | Path) -> dict[str, Any] | None:
    """What :func:`write_tables` said of a table; None where nothing is said or it cannot be read."""
    path, suffix = Path(path), table_suffix(path)
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            stated = (pq.read_schema(path).metadata or {}).get(PROVENANCE_KEY, b"null")
            found = json.loads(stated)
        elif suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        else:
            found = json.loads(provenance_beside(path).read_text(encoding="utf-8"))
    except (OSError, LookupError, TypeError, ValueError, RecursionError, pa.ArrowException):
        return None
    return found if isinstance(found, dict) else None


def _write_parquet(tables: Iterable[pa.Table], schema: pa.Schema, path: Path, facts: str | None) -> None:
    import pyarrow.parquet as pq

    if facts is not None:
        schema = schema.with_metadata({**(schema.metadata or {}), PROVENANCE_KEY: facts.encode()})
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        waiting, rows = list[pa.Table](), 0
        for table in tables:
            waiting, rows = [*waiting, table], rows + len(table)
            while rows >= GROUP_ROWS:
                whole = pa.concat_tables(waiting).replace_schema_metadata(schema.metadata)
                out.write_table(whole.slice(0, GROUP_ROWS))
                waiting, rows = [whole.slice(GROUP_ROWS)], rows - GROUP_ROWS
        if rows:
            out.write_table(pa.concat_tables(waiting).replace_schema_metadata(schema.metadata))


def _write_csv(tables: Iterable[pa.Table], schema: pa.Schema, path: Path, delimiter: str) -> None:
    import pyarrow.csv as pc

    with pc.CSVWriter(path, flat(schema.empty_table()).schema, write_options=pc.WriteOptions(delimiter=delimiter)) as out:
        for table in tables:
            out.write_table(flat(table))


def _write_json(tables: Iterable[pa.Table], schema: pa.Schema, path: Path, facts: str | None) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write(f'{{"provenance": {facts or "{}"},\n"rows": [')
        before = "\n"
        for table in tables:
            for row in table.to_pylist():
                out.write(before + _json(row))
                before = ",\n"
        out.write("\n]}\n")


def _write_lines(tables: Iterable[pa.Table], schema: pa.Schema, path: Path, facts: str | None) -> None:
    with path.open("w", encoding="utf-8") as out:
        for table in tables:
            out.writelines(_json(row) + "\n" for row in table.to_pylist())


_WRITERS: dict[str, Callable[[Iterable[pa.Table], pa.Schema, Path, str | None], None]] = {
    ".csv": lambda tables, schema, path, _: _write_csv(tables, schema, path, ","),
    ".tsv": lambda tables, schema, path, _: _write_csv(tables, schema, path, "\t"),
    ".parquet": _write_parquet,
    ".json": _write_json,
    ".jsonl": _write_lines,
}


def _json(cell: Any) -> str:
    return json.dumps(cell, default=str, ensure_ascii=False)


def flat(table: pa.Table) -> pa.Table:
    """The table as CSV can hold it: list and struct cells become JSON text."""
    for i, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            cells = table.column(i).to_pylist()
            text = [None if cell is None else _json(cell) for cell in cells]
            table = table.set_column(i, field.name, pa.array(text, pa.string()))
    return table
