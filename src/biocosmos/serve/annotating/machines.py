"""What machines said of one specimen: its rows of the identifications that were kept."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import FOLDER
from biocosmos.tables import read_provenance

_COLUMNS = ("id", "taxon", "rank", "confidence", "novelty", "method")


def answers_to(collection: Collection, id_: str) -> list[dict[str, Any]]:
    """Answers that were kept, oldest first, in the form of :meth:`Annotations.history`. Raises BiocosmosError for a damaged
    file."""
    found = []
    for path in sorted((collection.path / FOLDER).glob("*.parquet")):
        try:
            have = pq.read_schema(path).names
            rows = pq.read_table(path, columns=[c for c in _COLUMNS if c in have], filters=[("id", "==", id_)]).to_pylist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BiocosmosError(
                f"{path} is damaged ({first_line(error)}): restore it, or remove it and identify again"
            ) from error
        found += [_in_words(row, path) for row in rows]
    return found


def _in_words(row: dict[str, Any], path: Path) -> dict[str, Any]:
    about = read_provenance(path) or {}
    encoder = about.get("encoder")
    model = encoder.get("name") if isinstance(encoder, dict) else encoder
    return {
        "kind": "machine",
        "at": _kept_at(path),
        "by": str(row.get("method") or about.get("method") or "machine"),
        "model": None if model is None else str(model),
        "taxon": row.get("taxon"),
        "rank": row.get("rank"),
        "status": "predicted",
        "confidence": row.get("confidence"),
        "how": "identify",
        "note": path.stem,
        "act": path.stem,
        "undoes": None,
        "stands": True,
    }


def _kept_at(path: Path) -> str:
    try:
        when = datetime.strptime(path.stem[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:  # somebody gave it a name of their own
        when = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return when.isoformat(timespec="microseconds")
