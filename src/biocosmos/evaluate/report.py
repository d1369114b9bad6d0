"""A report: tables first, then what cannot be concluded from them, then one HTML file that shows both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.provenance import software
from biocosmos.tables import PROVENANCE_KEY, write_table

Kind = Literal[
    "retrieval",
    "naming",
    "comparison",
    "few_shot",
    "zero_shot",
    "interpolation",
    "sweep",
    "combined",
    "ranks",
    "side_by_side",
    "promises",
    "novelty",
    "generalised_zero_shot",
    "evidence",
]
"""Each but "combined" is a folder of this room, whose page.py shows it."""
Thumbnails = Callable[[str], bytes | None]
PAGE = "report.html"


@dataclass
class Report:
    """What an evaluation found.

    kind: which page shows it; title: one line; tables: name -> table, the first of which is the main one; caveats: sentences
    on what cannot be concluded, and why; parts: the reports of a combined one; provenance: encoder, digest, preprocessing,
    split hash, options, software; it is stored in every table.
    """

    kind: Kind
    title: str
    tables: dict[str, pa.Table]
    caveats: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    parts: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provenance = {**self.provenance, "software": self.provenance.get("software") or software()}
        facts = json.dumps(self.provenance, default=str).encode()
        self.tables = {
            name: table.replace_schema_metadata({**(table.schema.metadata or {}), PROVENANCE_KEY: facts})
            for name, table in self.tables.items()
        }

    def table(self, name: str | None = None) -> pa.Table:
        """The table called ``name``, the main one without a name. Raises BiocosmosError listing the names there are."""
        if name is None:
            return next(iter(self.tables.values()))
        if name not in self.tables:
            raise BiocosmosError(f"this report has no table {name!r}: it has {', '.join(self.tables)}")
        return self.tables[name]

    def rows(self, name: str | None = None, **where: Any) -> list[dict[str, Any]]:
        """Rows of a table as dictionaries, those whose columns equal ``where``: ``report.rows(target="species", k=1)``."""
        rows: list[dict[str, Any]] = self.table(name).to_pylist()
        unknown = [column for column in where if column not in self.table(name).column_names]
        if unknown:
            raise BiocosmosError(f"table has no column {unknown[0]!r}: it has {', '.join(self.table(name).column_names)}")
        return [row for row in rows if all(row[column] == value for column, value in where.items())]

    def headlines(self) -> list[dict[str, str]]:
        """The cards at the top of the page as rows of what, value and detail, for a terminal."""
        from biocosmos.evaluate.pages.render import cards

        return [{"what": card.label, "value": card.value, "detail": card.detail} for card in cards(self)]

    def write(self, folder: str | Path, *, thumbnails: Thumbnails | None = None) -> Path:
        """Write every table as CSV and JSON, ``provenance.json``, and the page; returns the page's path.

        CSV files have their provenance beside them, JSON files inside. Files are replaced whole.
        """
        folder = Path(folder)
        for name, table in self.tables.items():
            stem = re.sub(r"[^\w.-]+", "_", name)
            for suffix in (".csv", ".json"):
                write_table(table, folder / f"{stem}{suffix}", self.provenance)
        facts = {"title": self.title, "kind": self.kind, "caveats": self.caveats, **self.provenance}
        (folder / "provenance.json").write_text(
            json.dumps(facts, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return self.html(folder / PAGE, thumbnails=thumbnails)

    def html(self, path: str | Path, *, thumbnails: Thumbnails | None = None) -> Path:
        """Write one HTML file that opens without a network: styles, charts and pictures are inside it.

        thumbnails: gives the image bytes of an id, or None; without it the page shows names only.
        """
        from biocosmos.evaluate.pages.render import write_page

        return write_page(self, Path(path), thumbnails)


def combine(*reports: Report, title: str | None = None, names: Sequence[str] | None = None) -> Report:
    """One report, and one page, of several: tables are named ``<name>_<table>``, the first report's main table first.

    names: of the parts, their kinds by default. Raises BiocosmosError without a report, and with two of one name.
    """
    kinds = list(names or [report.kind for report in reports])
    if not reports or len(kinds) != len(reports) or len(set(kinds)) < len(kinds):
        raise BiocosmosError(f"cannot combine reports of {', '.join(kinds) or 'no kind'}: pass one of each kind, or names=")
    tables = {f"{name}_{key}": table for name, report in zip(kinds, reports) for key, table in report.tables.items()}
    caveats = list(dict.fromkeys(caveat for report in reports for caveat in report.caveats))
    facts = [{key: value for key, value in report.provenance.items() if key != "software"} for report in reports]
    provenance: dict[str, Any] = {
        "protocol": " and ".join(kinds),
        "parts": kinds,
        "split_hash": next((fact["split_hash"] for fact in facts if fact.get("split_hash")), None),
        **dict(zip(kinds, facts)),
    }
    return Report("combined", title or "; ".join(report.title for report in reports), tables, caveats, provenance, list(reports))


def split_hash(provenance: Mapping[str, Any]) -> str | None:
    """The hash of the split a gallery was selected by, or None."""
    split = provenance.get("split")
    if isinstance(split, Mapping):
        return None if split.get("hash") is None else str(split["hash"])
    found = provenance.get("split_hash")
    return None if found is None else str(found)
