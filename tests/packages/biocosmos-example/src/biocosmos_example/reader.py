"""A reader of JSON lines: one specimen a line, {"id": ..., "image_path": ..., "class": ..., "label": ...}."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from biocosmos.specimens.readers import Options, Reader, Source

BATCH_ROWS = 1024
RANKS = ("class", "label")


def read(path: Path, options: Options) -> Source:
    """Open a file of JSON lines; a line that is not JSON, or has no id, becomes a row of the failures table."""
    columns = {name: pa.string() for name in ("id", "image_path", *(options.ranks or RANKS))}
    folder = options.images or path.parent

    def batches() -> Iterator[pa.RecordBatch]:
        rows = []
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                    row["id"], row["image_path"] = str(row["id"]), str(folder / row["image_path"])
                except (ValueError, KeyError, TypeError) as error:
                    options.failures.add(f"not a specimen: {error!r}", stage="read", source=path, row=number)
                    continue
                rows.append(row)
                if len(rows) == BATCH_ROWS:
                    yield pa.RecordBatch.from_pylist(rows, schema=pa.schema(columns))
                    rows = []
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=pa.schema(columns))

    return Source(path.name, "json-lines", batches(), options.ranks or RANKS, options.failures)


JSON_LINES = Reader(read, suffixes=(".jsonl",))
