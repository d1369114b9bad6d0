"""A Camtrap DP package on the disk: datapackage.json, its three tables, the taxa it names, and where its pictures lie.

Camera Trap Data Package 1.0 (https://camtrap-dp.tdwg.org), a Frictionless Data Package: a folder, or a zip of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.archive import Archive, Member, leads_outside
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.readers.json_stream import as_text
from biocosmos.specimens.readers.media import ADDRESSES
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder
from biocosmos.taxonomy import KNOWN_RANKS

DATAPACKAGE = "datapackage.json"
DEPLOYMENTS, MEDIA, OBSERVATIONS = "deployments", "media", "observations"
KEYS = {DEPLOYMENTS: "deploymentID", MEDIA: "mediaID", OBSERVATIONS: "observationID"}
LARGEST_JSON = 64 << 20

Record = dict[str, str]


@dataclass
class Table:
    """One of the three tables: its header, and the type of each column from one pass over it."""

    member: Member
    encoding: str | None
    separator: str | None
    header: list[str] = field(default_factory=list)
    kinds: dict[str, pa.DataType] = field(default_factory=dict)

    def scan(self, key: str) -> None:
        """Read it once for its types. Raises BiocosmosError if it lacks its key column."""
        with open_table(self.member, encoding=self.encoding, separator=self.separator, failures=Failures()) as table:
            self.header = [name.strip() for name in table.header]
            if key not in self.header:
                raise BiocosmosError(f"{self.member} has no column {key}; it has: {shown(self.header)}")
            finder = TypeFinder(self.header)
            finder.add_all(fields for _, fields in table.rows())
            self.kinds = finder.types()

    def rows(self, failures: Failures | None = None) -> Iterator[tuple[int, Record]]:
        """(row number from 1, cells that are not blank by the names of the header)."""
        given = Failures() if failures is None else failures
        with open_table(self.member, encoding=self.encoding, separator=self.separator, failures=given) as table:
            for number, fields in table.rows():
                yield number, {name: cell for name, cell in zip(self.header, fields) if cell.strip()}


@dataclass
class Package:
    """The tables and taxa of a package, in an open archive."""

    archive: Archive
    folder: str
    tables: dict[str, Table]
    taxa: dict[str, dict[str, str]]
    """Scientific name -> rank -> name, where the package says so."""

    @property
    def ranks(self) -> tuple[str, ...]:
        """The ranks that taxa are given for, coarse to fine."""
        given = {rank for taxon in self.taxa.values() for rank in taxon}
        return tuple(rank for rank in KNOWN_RANKS if rank in given)


def open_package(archive: Archive) -> Package:
    """Read datapackage.json and scan the tables. Raises BiocosmosError for what is missing or damaged."""
    places = sorted((name for name in archive.names if name.rsplit("/", 1)[-1] == DATAPACKAGE), key=lambda name: name.count("/"))
    if not places:
        raise BiocosmosError(f"{archive.path} has no {DATAPACKAGE}")
    folder = places[0].rpartition("/")[0]
    described = _object(archive, places[0])
    tables = {}
    resources = described.get("resources")
    for resource in resources if isinstance(resources, list) else ():
        name = resource.get("name") if isinstance(resource, dict) else None
        if name in KEYS:
            tables[name] = _table(archive, folder, resource)
            tables[name].scan(KEYS[name])
    for name in (DEPLOYMENTS, MEDIA, OBSERVATIONS):
        if name not in tables:
            raise BiocosmosError(f"{archive.path}: {DATAPACKAGE} has no resource called {name}: is it Camtrap DP?")
    return Package(archive, folder, tables, _taxa(described.get("taxonomic")))


def _object(archive: Archive, name: str) -> dict[str, Any]:
    with archive.open(name) as file:
        content = file.read(LARGEST_JSON + 1)
    try:
        found = json.loads(content) if len(content) <= LARGEST_JSON else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BiocosmosError(f"{archive.path}/{name} is damaged: it is no JSON object")
    return found


def _table(archive: Archive, folder: str, resource: dict[str, Any]) -> Table:
    path = resource.get("path")
    path = path[0] if isinstance(path, list) and len(path) == 1 else path
    if not isinstance(path, str):
        raise BiocosmosError(f"{archive.path}: the resource {resource['name']} does not name its one file")
    if path.lower().startswith(ADDRESSES):
        raise BiocosmosError(f"{archive.path}: the table {resource['name']} is on the web ({path[:200]}): download it first")
    member, reason = (None, "leads outside") if leads_outside(path) else archive.find(path, folder)
    if member is None:
        raise BiocosmosError(f"{archive.path}: the table {path[:200]!r} cannot be read: {reason}")
    if member.lower().endswith((".gz", ".zip")):
        raise BiocosmosError(f"{archive.path}: unpack the table {member} first, and name it so in {DATAPACKAGE}")
    dialect = resource.get("dialect")
    separator = dialect.get("delimiter") if isinstance(dialect, dict) else None
    encoding = resource.get("encoding")
    return Table(
        Member(archive, member),
        encoding if isinstance(encoding, str) and encoding.lower() not in ("utf-8", "utf8") else None,
        separator if isinstance(separator, str) and len(separator) == 1 else None,
    )


def _taxa(given: Any) -> dict[str, dict[str, str]]:
    taxa: dict[str, dict[str, str]] = {}
    for taxon in given if isinstance(given, Sequence) and not isinstance(given, str) else ():
        name = as_text(taxon.get("scientificName")) if isinstance(taxon, dict) else None
        if name is not None:
            ranks = {rank: as_text(taxon.get(rank)) for rank in KNOWN_RANKS if rank != "label"}
            own = taxon.get("taxonRank")
            if isinstance(own, str) and own in KNOWN_RANKS and own != "species":
                ranks[own] = ranks.get(own) or name
            taxa[name] = {rank: value for rank, value in ranks.items() if value}
    return taxa
