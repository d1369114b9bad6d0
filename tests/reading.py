"""Reading a source to the end, as the tests of every reader do."""

from __future__ import annotations

from pathlib import Path

from biocosmos.errors import Failures
from biocosmos.specimens.readers import read


def rows_of(path: Path, **options: object) -> tuple[list[dict[str, object]], Failures, tuple[str, ...]]:
    """The rows of all batches, what failed on the way, and the ranks the source says it has."""
    failures = Failures()
    source = read(path, failures=failures, **options)  # type: ignore[arg-type]
    rows = [row for batch in source.batches for row in batch.to_pylist()]
    return rows, failures, source.ranks
