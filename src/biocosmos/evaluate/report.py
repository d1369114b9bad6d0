"""A report: tables first, then what cannot be concluded from them, then one HTML file that shows both."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.blocks import Card, Page, Section
from biocosmos.evaluate.pages.pictures import Pictures, Thumbnails
from biocosmos.evaluate.pages.render import Frame, flat_facts, write_page
from biocosmos.identify.encoding import encoder_of
from biocosmos.provenance import software
from biocosmos.tables import PROVENANCE_KEY, replacing, write_table

PAGE, RESULTS, PROVENANCE, TABLES = "report.html", "results.parquet", "provenance.json", "tables"
SUFFIXES = ("csv", "parquet", "json")
_SCHEMAS_KEY = b"biocosmos.tables"
# What decides figures, beside the encoder's name and digest, and how it is said in the line under every table.
_DECIDING = ("precision", "backend", "search")


@dataclass
class Report:
    """What an evaluation found.

    kind: the folder of this room that asked; title: one line; tables: name -> table, the first of which is the main one; caveats:
    sentences on what cannot be concluded, and why; provenance: encoder, digest, precision, backend, preprocessing, split hash,
    options, software, stored in every table; page: lays the report out; parts: the reports of a combined one; also: further
    sections at the end of the page.
    """

    kind: str
    title: str
    tables: dict[str, pa.Table]
    caveats: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    page: Callable[[Report, Pictures], Page] | None = None
    parts: list[Report] = field(default_factory=list)
    also: list[Section] = field(default_factory=list)

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

    def laid_out(self, thumbnails: Thumbnails | None = None) -> Page:
        """What the page shows, before it becomes HTML. Raises BiocosmosError for a report without a page."""
        if self.page is None:
            raise BiocosmosError(f"the report “{self.title}” has no page: it is tables only")
        page = self.page(self, Pictures(thumbnails))
        return replace(page, sections=[*page.sections, *self.also]) if self.also else page

    def headlines(self) -> list[dict[str, str]]:
        """The cards at the top of the page as rows of what, value and detail, for a terminal."""
        return [{"what": card.label, "value": card.value, "detail": card.detail} for card in self.cards()]

    def cards(self) -> list[Card]:
        """The headline cards of the page."""
        return list(self.laid_out().cards)

    def write(self, folder: str | Path, *, thumbnails: Thumbnails | None = None, tables: str | None = None) -> Path:
        """Write ``report.html``, ``results.parquet`` and ``provenance.json``; returns the page's path.

        ``results.parquet`` has the rows of all tables, told apart by the column ``table``; :func:`read_tables` gives them back.
        tables: "csv", "parquet" or "json" writes each as a file of its own too, in ``tables/``. Files are replaced whole.
        Raises BiocosmosError for another suffix.
        """
        if tables is not None and tables not in SUFFIXES:
            raise BiocosmosError(f"tables cannot be written as {tables!r}: choose {', '.join(SUFFIXES)}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / RESULTS) as temporary:
            pq.write_table(_together(self.tables), temporary, compression="zstd")
        for name, table in self.tables.items() if tables else ():
            stem = re.sub(r"[^\w.-]+", "_", name)
            write_table(table, folder / TABLES / f"{stem}.{tables}", self.provenance)
        facts = {"title": self.title, "kind": self.kind, "caveats": self.caveats, **self.provenance}
        with replacing(folder / PROVENANCE) as temporary:
            text = json.dumps(facts, indent=1, default=str, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return self.html(folder / PAGE, thumbnails=thumbnails, beside=RESULTS)

    def html(self, path: str | Path, *, thumbnails: Thumbnails | None = None, beside: str | None = None) -> Path:
        """Write one HTML file that opens without a network: styles, charts and pictures are inside it.

        thumbnails: gives the image bytes of an id, or None; without it the page shows names only. beside: the file next to the
        page that has the tables.
        """
        sizes = [(name, table.num_rows) for name, table in self.tables.items()]
        frame = Frame(self.title, self.caveats, flat_facts(self.provenance), self.stamp(), sizes, beside)
        return write_page(self.laid_out(thumbnails), frame, Path(path))

    def stamp(self) -> str:
        """One line under every table: what decides its numbers."""
        facts = self.parts[0].provenance if self.parts else self.provenance
        source = facts.get("gallery") or facts.get("namer") or {}
        made = encoder_of(source) if source else {}
        encoders = dict(facts.get("encoders") or {})
        name = made.get("name") or ", ".join(encoders) or "not recorded"
        parts = [f"encoder {name}"]
        first = {
            **(next(iter(encoders.values())) if len(encoders) == 1 else {}),
            **source,
            **{k: v for k, v in made.items() if v},
        }
        if first.get("digest"):
            parts.append(f"weights {first['digest']}")
        parts += [f"{fact} {first[fact]}" for fact in _DECIDING if first.get(fact)]
        parts.append(f"split {self.provenance.get('split_hash') or 'not recorded'}")
        return " · ".join([*parts, f"biocosmos {self.provenance['software']['biocosmos']}"])


def read_tables(folder: str | Path) -> dict[str, pa.Table]:
    """The tables of a report that was written to ``folder``, as they were. Raises BiocosmosError where there is no report."""
    path = Path(folder) / RESULTS
    try:
        whole = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BiocosmosError(f"there is no report in {folder}: {' '.join(str(error).split())[:200]}") from error
    schemas = json.loads((whole.schema.metadata or {})[_SCHEMAS_KEY])
    which = whole.column("table")
    found = {}
    for name, stored in schemas.items():
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored["schema"])))
        mine = whole.filter(pc.equal(which, name))
        columns = [mine.column(stored["columns"][column]).cast(schema.field(column).type) for column in schema.names]
        found[name] = pa.table(columns, schema=schema) if columns else pa.table({})
    return found


def _together(tables: Mapping[str, pa.Table]) -> pa.Table:
    """All rows, with the table's name in the first column; a column whose type differs between tables gets the table's name."""
    types: dict[str, pa.DataType] = {}
    schemas, parts = {}, []
    for name, table in tables.items():
        names = {}
        for column in table.schema:
            number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
            kind = pa.float64() if number else column.type
            taken = column.name == "table" or not types.get(column.name, kind).equals(kind)
            names[column.name] = f"{name}.{column.name}" if taken else column.name
            types.setdefault(names[column.name], kind)
        which = pa.array([name] * table.num_rows, pa.string())
        parts.append(pa.table([which, *table.columns], names=["table", *names.values()]))
        plain = table.schema.remove_metadata().serialize().to_pybytes()
        schemas[name] = {"schema": base64.b64encode(plain).decode(), "columns": names}
    whole = pa.concat_tables(parts, promote_options="permissive")
    facts = next(iter(tables.values())).schema.metadata if tables else {}
    return whole.replace_schema_metadata({**(facts or {}), _SCHEMAS_KEY: json.dumps(schemas).encode()})


def split_hash(provenance: Mapping[str, Any]) -> str | None:
    """The hash of the split a gallery was selected by, or None."""
    split = provenance.get("split")
    if isinstance(split, Mapping):
        return None if split.get("hash") is None else str(split["hash"])
    found = provenance.get("split_hash")
    return None if found is None else str(found)
