"""CSV, TSV and Parquet out, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import Failures
from biocosmos.files import is_file
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.spreadsheet import MARK, guarded
from biocosmos.specimens.writers.pictures import archive_name
from biocosmos.specimens.writers.sheet import Sheet
from biocosmos.tables import replacing
from biocosmos.taxonomy.columns import RANKS_KEY, RANKS_SEPARATOR


def write_csv(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, *, spreadsheet: bool = False
) -> int:
    """Write CSV (TSV for .tsv), UTF-8, RFC 4180 quoting, blank for null, JSON for lists; returns the number of rows.

    Packed images whose file is not there are written to a folder ``<name>_images`` beside the table, and ``image_path`` names
    them; a path that leads nowhere and has no bytes stays, with a warning.
    Other binary columns are left out, with a warning; columns that say nothing of any row without one. spreadsheet: cells that
    a spreadsheet would run begin with an apostrophe, see :mod:`biocosmos.specimens.readers.spreadsheet`.
    """
    names = [column.name for column in schema if not is_binary(column.type)]
    for column in schema:
        if is_binary(column.type) and column.name != "image":
            reason = f"the column {column.name!r} is binary: not in {path.suffix} files"
            failures.add(reason, stage="write", source=path, severity="warning")
    packed = "image" in schema.names and is_binary(schema.field("image").type)
    if packed and "image_path" not in names:
        names.insert(1, "image_path")
    safe = guarded if spreadsheet else str
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    lost, first_lost = 0, ""
    with replacing(path) as temporary, Sheet(names, path.parent, delimiter=delimiter) as sheet, Seen() as used:
        for row in rows_of(batches):
            lies = row.get("image_path")
            if packed and row.get("image") is not None and (lies is None or not is_file(lies)):
                row["image_path"] = written_beside(path, str(row.get("id")), bytes(row["image"]), used)
            elif isinstance(lies, str) and not is_file(lies):
                lost += 1
                first_lost = first_lost or lies
            cells = (row.get(name) for name in names)
            sheet.write([safe(cell) if isinstance(cell, str) else text_of(cell) for cell in cells])
        if lost:
            remedy = "" if packed else "; where they are packed, write the column 'image' too: they go beside the table"
            reason = f"{lost:,} rows name image files that are not there ({first_lost}){remedy}"
            failures.add(reason, stage="write", source=path, severity="warning")
        keep = [i for i, name in enumerate(names) if sheet.filled_rows[i] or name == "id"]
        with temporary.open("w", encoding="utf-8", newline="") as out:
            out.write(MARK if spreadsheet else "")
            sheet.copy(out, keep, [[safe(names[i]) for i in keep]])
        return sheet.rows


def written_beside(path: Path, id: str, content: bytes, used: Seen) -> str:
    """Write an image into the folder beside the table; its name from there."""
    folder = path.with_name(f"{path.stem}_images")
    name = archive_name(None, id, content, used)
    with replacing(folder / name) as image:
        image.write_bytes(content)
    return f"{folder.name}/{name}"


def write_parquet(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str]
) -> int:
    """Write Parquet (zstd), one row group a batch, the ranks in the schema's metadata; returns the number of rows."""
    metadata = dict(schema.metadata or {})
    if ranks:
        metadata[RANKS_KEY] = RANKS_SEPARATOR.join(ranks).encode()
    schema = schema.with_metadata(metadata or None)
    count = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))
            count += batch.num_rows
    return count


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Every row as a dictionary, a few at a time: a batch may hold a thousand images."""
    for batch in batches:
        for start in range(0, batch.num_rows, 32):
            yield from batch.slice(start, 32).to_pylist()


def text_of(value: Any) -> str:
    """A cell as text: "" for null, true and false, the shortest exact form of a number, JSON for lists and structs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
