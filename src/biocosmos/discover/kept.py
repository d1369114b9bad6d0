"""What was discovered in a collection, kept in its folder: tables by kind and name, each with where it comes from.

    plankton.cosmos/discoveries/clusters/20261129T101500000000Z.parquet

A table that was kept is never changed; a newer one of the kind stands beside it. Rows are of specimens (column ``id``), and a
specimen that was removed since is still named there: whoever joins them leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.tables import read_provenance, write_table

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Kind = Literal["clusters", "projection", "duplicates", "suspects", "queue", "unknowns", "growing"]
FOLDER = "discoveries"
LATEST = "latest"


@dataclass(frozen=True)
class Discovery:
    """One table that was kept. kept: when, "2026-11-29 10:15:00" UTC; provenance: encoder, settings, seed, software."""

    kind: str
    name: str
    path: Path
    kept: str
    provenance: Mapping[str, Any]

    def table(self) -> pa.Table:
        """Its rows. Raises BiocosmosError where the file is damaged."""
        try:
            return pq.read_table(self.path)
        except (OSError, pa.ArrowException) as error:
            raise BiocosmosError(f"{self.path} is damaged ({first_line(error)}): remove it and discover again") from error


def keep(collection: Collection, kind: Kind, table: pa.Table, provenance: Mapping[str, Any]) -> Discovery:
    """Keep ``table``, which has a column ``id``; what was kept before stays."""
    if "id" not in table.column_names:
        raise ValueError(f"a table of {kind} has rows of specimens: it needs the column 'id'")
    now = datetime.now(timezone.utc)
    path = collection.path / FOLDER / kind / f"{now:%Y%m%dT%H%M%S%f}Z.parquet"
    write_table(table, path, provenance)
    return _described(kind, path)


def kept(collection: Collection, kind: Kind) -> list[Discovery]:
    """All of a kind, oldest first."""
    return [_described(kind, path) for path in sorted((collection.path / FOLDER / kind).glob("*.parquet"))]


def read_kept(collection: Collection, kind: Kind, which: str = LATEST) -> Discovery:
    """The latest of a kind, or the one called ``which``. Raises BiocosmosError that lists what there is."""
    there = kept(collection, kind)
    found = there[-1:] if which == LATEST else [one for one in there if one.name == which]
    if not found:
        have = ", ".join(one.name for one in there) or "none"
        raise BiocosmosError(f"no {kind} '{which}' with {collection.path} (kept: {have}): see 'biocosmos discover --help'")
    return found[0]


def _described(kind: str, path: Path) -> Discovery:
    try:
        when = datetime.strptime(path.stem[:15], "%Y%m%dT%H%M%S").isoformat(sep=" ")
    except ValueError:  # somebody gave it a name of their own
        when = ""
    return Discovery(kind, path.stem, path, when, read_provenance(path) or {})
