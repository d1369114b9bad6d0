"""Tables in and out: one writer for CSV, TSV, Parquet and JSON, whole or not at all, with their provenance beside them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError

SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
PROVENANCE_KEY = b"biocosmos.provenance"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place on success; a crash leaves the old file as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_stem(name: str) -> str:
    """A name of anything (an encoder, say) as a file name of its own: letters, digits, "-" and "_" stay, the rest becomes "_".

    A name that this changes gets eight digits of its sha256 behind it: "a/b" and "a:b" are two files.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def table_suffix(path: str | Path) -> str:
    """The file's suffix if it is a table format. Raises BiocosmosError otherwise."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise BiocosmosError(f"cannot write a table to {path}: the name must end in one of {', '.join(SUFFIXES)}")
    return suffix


def write_table(table: pa.Table, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write ``table`` in the format its suffix names.

    Provenance goes into the Parquet schema metadata and into the JSON object; CSV and TSV have no place for it, so it is
    written to ``<path>.provenance.json``. List and struct cells become JSON text in CSV and TSV.
    """
    path, suffix = Path(path), table_suffix(path)
    facts = None if provenance is None else json.dumps(dict(provenance), indent=1, default=str)
    with replacing(path) as temporary:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            if facts is not None:
                table = table.replace_schema_metadata({**(table.schema.metadata or {}), PROVENANCE_KEY: facts.encode()})
            pq.write_table(table, temporary, compression="zstd")
        elif suffix in (".csv", ".tsv"):
            import pyarrow.csv as pc

            options = pc.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",")
            pc.write_csv(_flat(table), temporary, options)
        else:
            rows = table.to_pylist()
            with temporary.open("w", encoding="utf-8") as out:
                if suffix == ".jsonl":
                    out.writelines(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows)
                else:
                    json.dump({"provenance": provenance or {}, "rows": rows}, out, default=str, ensure_ascii=False, indent=1)
    if facts is not None and suffix in (".csv", ".tsv", ".jsonl"):
        path.with_name(path.name + ".provenance.json").write_text(facts + "\n", encoding="utf-8")
    return path


def _flat(table: pa.Table) -> pa.Table:
    for i, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            cells = table.column(i).to_pylist()
            text = [None if cell is None else json.dumps(cell, default=str, ensure_ascii=False) for cell in cells]
            table = table.set_column(i, field.name, pa.array(text, pa.string()))
    return table
