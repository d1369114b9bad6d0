"""EcoTaxa zip out: ecotaxa_export.tsv with its line of types, and the images."""

from __future__ import annotations

import codecs
import csv
import re
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.readers.ecotaxa_table import CATEGORY, HIERARCHY, IMAGE, STATUS
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.records import ADDED_BY_COLLECTION
from biocosmos.specimens.writers.pictures import archive_name, cropped, image_of
from biocosmos.specimens.writers.tabular import rows_of, text_of
from biocosmos.tables import replacing

TABLE = "ecotaxa_export.tsv"
PREFIXES = ("object_", "sample_", "acq_", "process_", "img_")
OURS = {"id": "object_id", "label": CATEGORY, "latitude": "object_lat", "longitude": "object_lon"}
LEFT_OUT = {"image", "image_path", "crop", *ADDED_BY_COLLECTION}
LEVEL = re.compile(r"level_\d+")


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str]) -> int:
    """Write the zip; a specimen without a readable image is left out and recorded. Crops are cut out. Returns the rows written.

    Columns that have EcoTaxa's prefixes keep their names, ours go by EcoTaxa's, all others get "object_" before them. The
    ranks become the hierarchy. A label is "validated" unless a column or a machine's identification says otherwise.
    """
    columns = _columns(schema, ranks)
    state = "predicted" if {"taxon", "confidence", "method"} <= set(schema.names) else "validated"
    count = 0
    with replacing(path) as temporary, tempfile.TemporaryDirectory(prefix="biocosmos-") as folder, Seen() as used:
        table = Path(folder) / TABLE
        with (
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
            table.open("w", encoding="utf-8", newline="") as out,
        ):
            out.write(codecs.BOM_UTF8.decode("utf-8"))  # without it EcoTaxa takes the text for latin-1
            writer = csv.writer(out, delimiter="\t", lineterminator="\r\n")
            writer.writerow(columns)
            writer.writerow("[f]" if kind == "f" else "[t]" for kind, _ in columns.values())
            for row in rows_of(batches):
                id = str(row["id"])
                content, reason = image_of(row)
                if content is not None and row.get("crop") is not None:
                    content, reason = cropped(content, row["crop"])
                if content is None:
                    failures.add(reason or "no image: EcoTaxa takes none without", stage="write", source=path, id=id)
                    continue
                row[IMAGE] = archive_name(row.get(IMAGE), id, content, used)
                archive.writestr(zipfile.ZipInfo(row[IMAGE]), content)
                _fill(row, ranks, state)
                writer.writerow(text_of(row.get(source)) for _, source in columns.values())
                count += 1
            out.flush()
            archive.write(table, TABLE, zipfile.ZIP_DEFLATED)
    return count


def _columns(schema: pa.Schema, ranks: Sequence[str]) -> dict[str, tuple[str, str]]:
    """EcoTaxa's column name -> (t or f, the key of our row it comes from), in EcoTaxa's customary order."""
    numeric = {c.name for c in schema if pa.types.is_integer(c.type) or pa.types.is_floating(c.type)}
    columns: dict[str, tuple[str, str]] = {IMAGE: ("t", IMAGE)}

    def put(name: str, source: str) -> None:
        columns.setdefault(name, ("f" if source in numeric else "t", source))

    own = [name for name in schema.names if name.startswith(PREFIXES)]
    for name in own:
        put(name, name)
    for ours, theirs in OURS.items():
        if ours in schema.names:
            put(theirs, ours)
    if "date" in schema.names and "object_date" not in own:
        put("object_date", "object_date")
        put("object_time", "object_time")
    if "label" in schema.names:
        put(STATUS, STATUS)
    if HIERARCHY not in own and [rank for rank in ranks if rank != "label"]:
        put(HIERARCHY, HIERARCHY)
    derived = set(OURS) | LEFT_OUT | set(own) | {"date"} | {name for name in ranks if LEVEL.fullmatch(name)}
    for name in schema.names:
        if name not in derived:
            put(f"object_{name}", name)
    return columns


def _fill(row: dict[str, Any], ranks: Sequence[str], state: str) -> None:
    """Add what EcoTaxa wants and the row does not say yet."""
    if row.get("date") and not row.get("object_date"):
        found = re.match(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?", str(row["date"]))
        if found:
            row["object_date"] = "".join(found.groups()[:3])
            row["object_time"] = "".join(part or "00" for part in found.groups()[3:]) if found.group(4) else None
    label = row.get("label")
    if label and not row.get(STATUS):
        row[STATUS] = state
    if HIERARCHY not in row and label:
        parts = [str(row[rank]) for rank in ranks if rank != "label" and row.get(rank)]
        row[HIERARCHY] = ">".join([*parts, label] if not parts or parts[-1] != label else parts)
