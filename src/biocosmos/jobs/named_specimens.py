"""Specimens with the names that a table of answers gives them, as exports and summaries take them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import Failures
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.positions import positions_of
from biocosmos.specimens.readers.ecotaxa_table import STATUS
from biocosmos.specimens.survey_settings import SURVEYS
from biocosmos.specimens.writers.naming import PREDICTED

ROWS = 64
"""Rows in memory at once: packed images are in them."""
OWN_LABEL = "own_label"
"""What a specimen was called before a machine named it."""
BY_A_PERSON = ("validated", "dubious", "discarded")
PREFIXED = ("id", "image", "image_path", "crop")


class Answers:
    """The answers by id; of one that occurs more than once the last counts."""

    def __init__(self, table: pa.Table, failures: Failures, output: Path) -> None:
        self.table, self.failures, self.output = table, failures, output
        self.row_of: dict[str, int] = {id: row for row, id in enumerate(table["id"].to_pylist())}
        if twice := len(table) - len(self.row_of):
            reason = f"{twice:,} rows name an id that comes again: the last answer counts"
            failures.add(reason, stage="write", source=output, severity="warning")

    def take(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Their answers, in this order."""
        rows: list[dict[str, Any]] = self.table.take(pa.array([self.row_of[id] for id in ids], pa.int64())).to_pylist()
        return rows

    def left(self, collection: Collection, only_named: bool) -> Iterator[list[dict[str, Any]]]:
        """Answers of what is no specimen of the collection, some at a time; only_named: without those that have no name."""
        ids = list(self.row_of)
        known = positions_of(collection.dataset, ids)
        others = [id for id, place in zip(ids, known) if place < 0]
        for start in range(0, len(others), ROWS):
            part = self.table.take(pa.array([self.row_of[id] for id in others[start : start + ROWS]], pa.int64()))
            yield (answered(part, self.failures, self.output) if only_named else part).to_pylist()


def batches_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if rows:
        yield pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def joined(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A specimen with a machine's answer; its image is the collection's."""
    own = {name: value for name, value in row.items() if name in PREFIXED or name not in answer}
    return {**answer, **own, OWN_LABEL: row.get("label")} | ({} if "label" in answer else {"label": None})


def joined_schema(collection: Collection, table: pa.Table, names: Sequence[str]) -> pa.Schema:
    """Columns of the rows: the answer's, then the specimen's, the types of each as they are."""
    stored, fields = collection.dataset.schema, {field.name: field for field in table.schema}
    for name in names:
        fields[name] = stored.field(name)
    if "label" in fields or "label" in stored.names:
        fields[OWN_LABEL] = pa.field(OWN_LABEL, pa.string())
    return pa.schema(list(fields.values()), metadata=table.schema.metadata)


def own_names(
    collection: Collection, columns: Sequence[str], selection: dict[str, Any], ids: Container[str], format: str
) -> set[str]:
    """Ids of specimens whose own name stays: a person's in EcoTaxa and in a survey, any in Darwin Core."""
    if format in ("ecotaxa", *SURVEYS) and STATUS in columns:
        wanted = [STATUS]
    elif format == "darwin-core":
        wanted = [name for name in dict.fromkeys(("label", STATUS, *collection.ranks)) if name in columns]
    else:
        return set()
    found = set()
    for batch in collection.scan(["id", *wanted], **selection):
        for row in batch.to_pylist():
            state = str(row.get(STATUS) or "").lower()
            named = any(row.get(name) for name in wanted if name != STATUS) and state != PREDICTED
            if row["id"] in ids and (state in BY_A_PERSON or (format == "darwin-core" and named)):
                found.add(row["id"])
    return found


def answered(table: pa.Table, failures: Failures, output: Path) -> pa.Table:
    """The rows that have a name: an image nobody has a name for is no occurrence, unless a collection has it as a specimen."""
    named = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(table["taxon"]), ""), False)
    reason = (
        "no name was sure enough, which makes no occurrence: left out (with a collection and --identifications specimens stay)"
    )
    for id in table.filter(pc.invert(named))["id"].to_pylist():
        failures.add(reason, stage="write", source=output, id=id, severity="warning")
    return table.filter(named)
