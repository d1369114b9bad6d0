"""Tables of names that a machine gave: those kept with a collection, and those in files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.writers.naming import answered_ranks, is_answer_table
from biocosmos.tables import PROVENANCE_KEY, SUFFIXES, read_provenance

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

FOLDER = "identifications"
LATEST = "latest"
NUMBERS = ("confidence", "novelty", "novelty_p")
TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Kept:
    """One table that ``identify --save`` kept: when, and what it says of itself.

    name: by which it is asked for. specimens, named: rows, and how many of them have an answer.
    """

    name: str
    path: Path
    kept: str
    specimens: int
    named: int
    method: str
    encoder: str


def kept(collection: Collection) -> list[Kept]:
    """What is kept with a collection, oldest first."""
    return [_described(path) for path in sorted((collection.path / FOLDER).glob("*.parquet"))]


def _described(path: Path) -> Kept:
    try:
        file = pq.ParquetFile(path)
        taxa = pq.read_table(path, columns=["taxon"])["taxon"]
        about = read_provenance(path) or {}
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it, or remove it and identify again") from error
    rows = file.metadata.num_rows
    return Kept(path.stem, path, _when(path), rows, rows - taxa.null_count, str(about.get("method") or ""), _encoder(about))


def _when(path: Path) -> str:
    try:
        return datetime.strptime(path.stem[:15], "%Y%m%dT%H%M%S").isoformat(sep=" ")
    except ValueError:
        return ""


def _encoder(about: Mapping[str, Any]) -> str:
    encoder = about.get("encoder")
    return str((encoder.get("name") if isinstance(encoder, dict) else encoder) or "")


@dataclass(frozen=True)
class KeptAnswer:
    """What one kept table says of one specimen. row: its cells; ranks: coarse to fine; the rest as in :class:`Kept`; about: what
    the table says of itself; written: when its file was, in seconds since 1970."""

    name: str
    kept: str
    written: float
    method: str
    encoder: str
    row: dict[str, Any]
    ranks: tuple[str, ...]
    about: dict[str, Any]


def answers_of(collection: Collection, id_: str) -> list[KeptAnswer]:
    """What machines said of one specimen, as far as it is kept, oldest first. Raises BiocosmosError for a damaged table."""
    found = []
    for path in sorted((collection.path / FOLDER).glob("*.parquet")):
        try:
            schema = pq.read_schema(path)
            rows = pq.read_table(path, filters=[("id", "=", id_)]).to_pylist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BiocosmosError(
                f"{path} is damaged ({first_line(error)}): restore it, or remove it and identify again"
            ) from error
        if rows:
            about = read_provenance(path) or {}
            method = str(rows[-1].get("method") or about.get("method") or "")
            ranks = answered_ranks(schema.names)
            written = path.stat().st_mtime
            found.append(KeptAnswer(path.stem, _when(path), written, method, _encoder(about), rows[-1], ranks, about))
    return found


def runners_up(row: Mapping[str, Any], rank: str) -> list[tuple[str, float | None]]:
    """(taxon, confidence) of a rank in one row of a table of names: that of the best path, then the next in columns like
    genus_2."""
    found = []
    names = (rank, *(f"{rank}_{place}" for place in itertools.takewhile(lambda n: f"{rank}_{n}" in row, itertools.count(2))))
    for name in names:
        if row.get(name) is not None:
            found.append((str(row[name]), row.get(f"{name}_confidence")))
    return found


def read_kept(collection: Collection, which: str) -> pa.Table:
    """A table of names: ``latest`` or the name of one that is kept, or a file that ``identify -o`` wrote.

    Raises BiocosmosError that lists what there is.
    """
    there = kept(collection)
    chosen = there[-1:] if which == LATEST else [one for one in there if one.name == which]
    if not chosen and Path(which).suffix.lower() in SUFFIXES:
        return read_names(which)
    if not chosen:
        have = ", ".join(one.name for one in there) or "none"
        keep = f"keep some with 'biocosmos identify {collection.path} ... --save'"
        raise BiocosmosError(
            f"no identifications '{which}' with {collection.path} (kept: {have}): {keep}, or name a table of them"
        )
    return _checked(pq.read_table(chosen[0].path), chosen[0].path)


def read_names(path: str | Path) -> pa.Table:
    """A table of names from a file that ``identify -o`` wrote, its provenance in the schema's metadata.

    .parquet, .csv, .tsv, .json or .jsonl; a text that went through a spreadsheet is understood. Raises BiocosmosError for a table
    of anything else.
    """
    path = Path(path)
    if not path.exists():
        raise BiocosmosError(f"there is no file {path}")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            table = pq.read_table(path)
        elif suffix in (".csv", ".tsv"):
            table = text_table(path)
        elif suffix in (".json", ".jsonl"):
            table = _of_rows(list(_json_rows(path)))
        else:
            raise BiocosmosError(f"{path} is no table of names: it must end in one of {', '.join(SUFFIXES)}")
    except (OSError, ValueError, TypeError, KeyError, RecursionError, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read names from {path}: {first_line(error)}") from error
    about = read_provenance(path)
    if about is not None:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), PROVENANCE_KEY: json.dumps(about).encode()})
    return _checked(table, path)


def _checked(table: pa.Table, path: Path) -> pa.Table:
    if "id" not in table.column_names or "taxon" not in table.column_names or not is_answer_table(table.column_names):
        columns = " ".join(", ".join(table.column_names[:12]).split())
        raise BiocosmosError(
            f"{path} is no table of names as 'biocosmos identify -o' writes it (id, taxon, rank, confidence, novelty, method): "
            f"it has {columns}; a table of specimens goes in with 'biocosmos ingest {path} -o NEW.cosmos'"
        )
    ids = table["id"].cast(pa.string())
    if ids.null_count:
        raise BiocosmosError(f"{path}: {ids.null_count:,} rows have no id: say whose names they are, or leave them out")
    return table.set_column(table.column_names.index("id"), "id", ids)


def text_table(path: Path) -> pa.Table:
    """A delimited text, also one that a spreadsheet wrote: cells are texts, but for the numbers of names; blank ones are null.

    Raises BiocosmosError for a row that cannot be read and for a column that occurs twice.
    """
    failures = Failures()
    with open_table(path, separator="\t" if path.suffix.lower() == ".tsv" else None, failures=failures) as opened:
        header, rows = opened.header, [fields for _, fields in opened.rows()]
    if failures.errors:
        first = next(failure for failure in failures if failure.severity == "error")
        raise BiocosmosError(f"{path}, row {first.row}: {first.reason}")
    if len(set(header)) < len(header):
        raise BiocosmosError(f"{path}: a column occurs twice: {', '.join(header)}")
    return pa.table({name: _typed(name, [fields[i] for fields in rows]) for i, name in enumerate(header)})


def _typed(name: str, cells: Sequence[str]) -> pa.Array:
    if name in NUMBERS or name.endswith("_confidence"):
        return pa.array([float(cell.replace(",", ".")) if cell.strip() else None for cell in cells], pa.float64())
    if name == "novel":
        return pa.array([TRUTH.get(cell.strip().lower()) for cell in cells], pa.bool_())
    return pa.array([cell if cell.strip() else None for cell in cells], pa.string())


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        if path.suffix.lower() == ".jsonl":
            yield from (json.loads(line) for line in file if line.strip())
        else:
            yield from json.load(file)["rows"]


def _of_rows(rows: list[dict[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, pa.Array] = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        if name in ("id", "image_path", "taxon", "rank", "method"):
            cells = [None if cell is None else str(cell) for cell in cells]
        columns[name] = pa.array(cells)
    return pa.table(columns)


__all__ = [
    "LATEST",
    "Kept",
    "KeptAnswer",
    "answered_ranks",
    "answers_of",
    "kept",
    "read_kept",
    "read_names",
    "text_table",
    "runners_up",
]
