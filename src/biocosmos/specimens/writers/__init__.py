"""Writers: CSV, Parquet, Darwin Core Archive, EcoTaxa zip and COCO JSON; streamed, and whole or not at all.

>>> write(collection.scan(), "mine.zip", format="darwin-core", ranks=collection.ranks)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file, is_image_name
from biocosmos.outputs import place_of, refuse_source
from biocosmos.specimens.dates import read_date
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.records import BATCH_ROWS
from biocosmos.specimens.survey_settings import SURVEYS, Survey
from biocosmos.specimens.writers.naming import answered_ranks, is_answer_table, software_of
from biocosmos.tables import PROVENANCE_KEY

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".json": "coco"}
ENDINGS = {
    "csv": {".csv", ".tsv"},
    "parquet": {".parquet", ".pq"},
    "darwin-core": {".zip"},
    "ecotaxa": {".zip"},
    "coco": {".json"},
    **{survey: {".zip"} for survey in SURVEYS},
}
FORMATS = ("csv", "parquet", "darwin-core", "ecotaxa", "coco", *SURVEYS)
ALIASES = {"dwca": "darwin-core", "tsv": "csv"}


@dataclass
class Written:
    """How many rows a file got, and what was left out or changed."""

    rows: int
    failures: Failures = field(default_factory=Failures)


def write(
    rows: pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch],
    path: str | Path,
    *,
    format: str | None = None,
    ranks: Sequence[str] = (),
    identifications: pa.Table | None = None,
    failures: Failures | None = None,
    spreadsheet: bool = False,
    survey: Survey | None = None,
) -> Written:
    """Write specimens, or identifications, in the format named or told by the suffix.

    rows: columns as in a collection, ``id`` among them. ranks: rank columns, coarse to fine. identifications: a machine's
    answers by ``id``, for the identification history of a Darwin Core Archive. spreadsheet: a CSV whose cells no spreadsheet
    takes for formulas. survey: which columns are samples and volumes, for the formats of :data:`SURVEYS`: folders or zips.
    Raises BiocosmosError when the format is unclear, there is no ``id``, or there are no rows at all.
    """
    path, failures = place_of(path), Failures() if failures is None else failures
    format = format_of(path, format)
    if identifications is not None and format != "darwin-core":
        raise BiocosmosError(f"identifications go into a Darwin Core Archive, not into {format}")
    if spreadsheet and format != "csv":
        raise BiocosmosError(f"what is safe for spreadsheets is a CSV, not {format}")
    schema, batches = _opened(rows, path)
    if "id" not in schema.names:
        raise BiocosmosError(f"cannot write {path}: the rows have no column 'id'; they have: {shown(schema.names)}")
    if not ranks and is_answer_table(schema.names):
        ranks = answered_ranks(schema.names)
    ranks = tuple(rank for rank in ranks if rank in schema.names)
    if format in SURVEYS:
        return Written(_write_survey(batches, schema, path, format, ranks, failures, survey or Survey()), failures)
    if is_file(path):
        batches = _looked_at(batches, path)
    return Written(_write(batches, schema, path, format, ranks, identifications, failures, spreadsheet), failures)


def _write_survey(
    batches: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    format: str,
    ranks: tuple[str, ...],
    failures: Failures,
    survey: Survey,
) -> int:
    from biocosmos.specimens.writers.surveys import camtrap_dp, ecotaxa_summary, events

    said = provenance_of(schema)
    software, said_on = software_of(said), str((said.get("software") or {}).get("time") or "")
    if format == "camtrap-dp":
        return camtrap_dp.write(batches, schema, path, failures, ranks, survey, software, said_on)
    if format == "ecotaxa-summary":
        return ecotaxa_summary.write(batches, schema, path, failures, ranks, survey)
    return events.write(batches, schema, path, failures, ranks, survey, software, gbif=format == "gbif-event")


def _looked_at(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """The rows, none of whose images is the file that will be replaced."""
    for batch in batches:
        if "image_path" in batch.schema.names:
            refuse_source(path, batch.column("image_path").to_pylist())
        yield batch


def format_of(path: Path, format: str | None = None) -> str:
    """The format that is named, or told by the suffix. Raises BiocosmosError when it is unclear."""
    suffix = path.suffix.lower()
    found = ALIASES.get(format, format) if format is not None else SUFFIXES.get(suffix)
    if found not in FORMATS:
        said = f"unknown format {format!r}" if format else f"cannot tell the format from {path.name!r}"
        raise BiocosmosError(f"{said}: say --format with one of {', '.join(FORMATS)}")
    if is_image_name(path.name) or suffix in (set().union(*ENDINGS.values()) - ENDINGS[found]):
        raise BiocosmosError(f"{path.name!r} is no name for {found}: end it in {' or '.join(sorted(ENDINGS[found]))}")
    return found


def _write(
    batches: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    format: str,
    ranks: tuple[str, ...],
    identifications: pa.Table | None,
    failures: Failures,
    spreadsheet: bool,
) -> int:
    from biocosmos.specimens.writers import coco, darwin_core, ecotaxa, tabular

    said = provenance_of(schema if identifications is None else identifications.schema)
    if format == "csv":
        return tabular.write_csv(batches, schema, path, failures, spreadsheet=spreadsheet)
    if format == "parquet":
        return tabular.write_parquet(batches, schema, path, failures, ranks)
    if format == "coco":
        return coco.write(batches, schema, path, failures, ranks, software_of(said))
    if format == "ecotaxa":
        return ecotaxa.write(batches, schema, path, failures, ranks, software_of(said))
    when = read_date(str((said.get("software") or {}).get("time") or "")).day
    said_on = "" if when is None else when.isoformat()
    return darwin_core.write(batches, schema, path, failures, ranks, identifications, software_of(said), said_on)


def provenance_of(schema: pa.Schema) -> dict[str, Any]:
    """What a table says of what made it; nothing where it says nothing that can be read."""
    try:
        found = json.loads((schema.metadata or {}).get(PROVENANCE_KEY, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _opened(rows: pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch], path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """(schema, batches); the first batch of a stream is read for its schema."""
    if isinstance(rows, pa.Table):
        return rows.schema, iter(rows.to_batches(BATCH_ROWS))
    if isinstance(rows, pa.RecordBatch):
        return rows.schema, iter([rows])
    stream = iter(rows)
    first = next(stream, None)
    if first is None:
        raise BiocosmosError(f"nothing to write to {path}: no specimens are selected")
    return first.schema, chain([first], stream)


__all__ = ["FORMATS", "Written", "format_of", "write"]
