"""Checklists as they are published, brought to one table of name usages: ColDP, GBIF backbone, WoRMS, parent-child tables.

A usage is one name in one sense: an accepted taxon, or a synonym that points to one. The columns of the table are those of
:data:`USAGE`, and one for each rank that a usage names in full (``rank/family``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.taxonomy.checklists.files import Layout, TableFile, layout_of, read_columns, tables_in
from biocosmos.taxonomy.ranks import KNOWN_RANKS

USAGE = ("id", "name", "authorship", "rank", "status", "accepted_id", "parent_id")
RANK_PREFIX = "rank/"
_COLUMNS = {
    "id": "id taxonid aphiaid taxid nodeid usagekey taxonkey tsn key identifier speciesid",
    "parent_id": "parentid parentnameusageid parentaphiaid parenttaxid parenttaxonid parentnodeid parentkey parenttsn "
    "parentidentifier parent parentnameusage parentname idparent",
    "accepted_id": "acceptednameusageid acceptedid acceptedtaxonid validaphiaid aphiaidaccepted validid acceptedkey "
    "acceptedusagekey acceptedtsn acceptednameusage acceptedname validname scientificnameaccepted",
    "canonical": "canonicalname",
    "name": "scientificname canonicalname name taxonname taxon latinname completename label",
    "authorship": "authorship scientificnameauthorship authority author authors nameauthorship",
    "rank": "rank taxonrank rankname taxonomicrank ranktype level",
    "status": "status taxonomicstatus taxonstatus usage",
}
COLUMNS = {ours: tuple(theirs.split()) for ours, theirs in _COLUMNS.items()}
"""Ours -> what it is called, without case, punctuation and a prefix like ``col:`` or ``dwc:``; the first wins."""

# GBIF's simple backbone has no header; these are its columns as its README lists them.
SIMPLE_BACKBONE = [
    "id",
    "parent_id",
    "basionym_id",
    "is_synonym",
    "status",
    "rank",
    "nom_status",
    "constituent_key",
    "origin",
    "source_taxon_key",
    "kingdom_key",
    "phylum_key",
    "class_key",
    "order_key",
    "family_key",
    "genus_key",
    "species_key",
    "name_id",
    "scientific_name",
    "canonical_name",
    "genus_or_above",
    "specific_epithet",
    "infra_specific_epithet",
    "notho_type",
    "authorship",
    "year",
    "bracket_authorship",
    "bracket_year",
    "name_published_in",
    "issues",
]
NOT_IN_THE_TREE = frozenset(
    ("bare name", "uncertain", "taxon inquirendum", "nomen dubium", "unassessed", "unplaced", "quarantined", "deleted")
)
ROOT_MARKS = ("", "0", "-1", "none", "null", "na", "root")
ACCEPTED, SYNONYM, PRO_PARTE, MISAPPLIED, UNPLACED = "accepted", "synonym", "ambiguous synonym", "misapplied", "unplaced"


@dataclass
class Usages:
    """A checklist as one table.

    table: the columns of USAGE as text, and ``rank/NAME`` columns. format: which one was read, for people. lenient: a published
    checklist, whose few faults are told; a table of one's own is refused with them. source: for messages.
    """

    table: pa.Table
    format: str
    source: str
    lenient: bool


def read_usages(path: str | Path, failures: Failures, columns: Mapping[str, str] | None = None) -> Usages:
    """Read a checklist of any known format.

    columns: their column -> ours (id, parent_id, accepted_id, name, authorship, rank, status, or a rank), over every guess.
    Raises BiocosmosError for what is no checklist, naming what it lacks.
    """
    files = {re.sub(r"[-_ ]", "", file.name).rsplit(".", 1)[0]: file for file in tables_in(Path(path))}
    if columns:
        if len(files) > 1:
            raise BiocosmosError(f"{path} holds {len(files)} tables: name the columns of one of them")
        return _one_table(next(iter(files.values())), failures, columns)
    if "nameusage" in files:
        return _one_table(files["nameusage"], failures, {}, "ColDP NameUsage")
    if {"name", "taxon"} <= set(files):
        return _name_taxon_synonym(files, str(path), failures)
    file = files.get("taxon") or files.get("taxa") or (next(iter(files.values())) if len(files) == 1 else None)
    if file is None:
        raise BiocosmosError(
            f"{path} is no checklist: it has {', '.join(sorted(file.name for file in files.values()))}, but neither NameUsage, "
            "nor Name and Taxon (ColDP), nor taxon (Darwin Core)"
        )
    return _one_table(file, failures, {})


def plain(name: str) -> str:
    """A column name without case, punctuation and prefix: "col:parentID" -> "parentid"."""
    return "".join(letter for letter in name.rsplit(":", 1)[-1].lower() if letter.isalnum())


def mapped(header: Sequence[str], columns: Mapping[str, str], where: str) -> dict[str, str]:
    """Our name -> their column. Raises BiocosmosError for a column of ``columns`` that is not there."""
    if missing := [theirs for theirs in columns if theirs not in header]:
        raise BiocosmosError(f"{where} has no column {missing[0]!r}; it has: {', '.join(header)}")
    by_plain: dict[str, str] = {}
    for name in header:
        by_plain.setdefault(plain(name), name)
    found = {}
    for ours, names in COLUMNS.items():
        theirs = next((by_plain[name] for name in names if name in by_plain and by_plain[name] not in columns), None)
        if theirs is not None:
            found[ours] = theirs
    for rank in KNOWN_RANKS:
        if rank in by_plain and rank not in ("label", "status") and by_plain[rank] not in columns:
            found[RANK_PREFIX + rank] = by_plain[rank]
    for theirs, ours in columns.items():
        found[ours if ours in (*USAGE, "canonical") else RANK_PREFIX + ours] = theirs
    return found


def is_checklist(header: Sequence[str]) -> bool:
    """Whether a table of names with this header is a checklist: it points to parents or to accepted names."""
    found = mapped(header, {}, "")
    return "name" in found and ("parent_id" in found or "accepted_id" in found)


def _one_table(file: TableFile, failures: Failures, columns: Mapping[str, str], format: str | None = None) -> Usages:
    layout = layout_of(file)
    if len(layout.header) == len(SIMPLE_BACKBONE) and layout.header[0].isdigit():
        return _simple_backbone(file, layout, failures)
    found = mapped(layout.header, columns, str(file))
    if "name" not in found:
        raise BiocosmosError(f"{file} has no column of names (scientificName, name); it has: {', '.join(layout.header)}")
    table = read_columns(file, layout, list(dict.fromkeys(found.values())), failures)
    theirs = {plain(name) for name in layout.header}
    if format is None:
        prefixed = any(name.lower().startswith("col:") for name in layout.header)
        format = (
            "ColDP NameUsage" if prefixed
            else "WoRMS export" if "aphiaid" in theirs or _has_lsids(table, found)
            else "GBIF backbone" if {"canonicalname", "taxonid", "parentnameusageid"} <= theirs
            else "Darwin Core taxa" if {"taxonid", "scientificname"} <= theirs
            else "parent-child table"
        )  # fmt: skip
    arrays = {ours: table[name].combine_chunks() for ours, name in found.items()}
    return Usages(usage_table(arrays, table.num_rows), format, str(file), lenient=format != "parent-child table")


def _has_lsids(table: pa.Table, found: Mapping[str, str]) -> bool:
    first = table[found["id"]].slice(0, 1).to_pylist() if "id" in found else []
    return bool(first and first[0] and "marinespecies.org" in first[0])


def usage_table(arrays: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """The table of USAGE and ``rank/`` columns from what a format has of them.

    In ColDP and in GBIF's simple backbone a synonym's parent is the accepted taxon. A canonical name wins over one with authors.
    """
    blank = pa.nulls(rows, pa.string())
    columns = {name: arrays.get(name, blank) for name in USAGE}
    if "canonical" in arrays:
        columns["name"] = pc.coalesce(arrays["canonical"], columns["name"])
    columns["rank"] = ranks_as_ours(columns["rank"])
    status = columns["status"] = statuses_as_ours(columns["status"])
    points = pc.and_kleene(pc.is_valid(columns["accepted_id"]), pc.not_equal(columns["accepted_id"], _own(columns)))
    points = pc.fill_null(points, False)
    synonym = pc.fill_null(pc.is_in(status, value_set=pa.array([SYNONYM, PRO_PARTE, MISAPPLIED])), False)
    if "accepted_id" not in arrays:
        columns["accepted_id"] = pc.if_else(synonym, columns["parent_id"], pa.scalar(None, pa.string()))
        points = pc.is_valid(columns["accepted_id"])
    columns["accepted_id"] = pc.if_else(points, columns["accepted_id"], pa.scalar(None, pa.string()))
    columns["parent_id"] = pc.if_else(pc.or_(points, synonym), pa.scalar(None, pa.string()), columns["parent_id"])
    # what points to another name is a synonym, whatever it is called ("unaccepted", "junior homonym" ...)
    other = pc.and_(points, pc.invert(synonym))
    columns["status"] = pc.if_else(other, pa.scalar(SYNONYM), pc.fill_null(status, ACCEPTED))
    ranks = {name: values for name, values in arrays.items() if name.startswith(RANK_PREFIX)}
    return pa.table({**columns, **ranks})


def _own(columns: Mapping[str, pa.Array]) -> pa.Array:
    """What a row is pointed to by: its id, or its name in a table without ids."""
    return pc.coalesce(columns["id"], columns["name"])


_RANK_NAMES = dict.fromkeys(("unranked", "no rank", "clade"))
_RANK_NAMES |= {
    theirs: ours
    for ours, many in {
        "kingdom": ("regnum",),
        "phylum": ("division", "divisio", "phylum (division)"),
        "subphylum": ("subphylum (subdivision)", "subdivision"),
        "class": ("classis",),
        "order": ("ordo", "ord"),
        "family": ("familia", "fam"),
        "tribe": ("tribus",),
        "genus": ("gen",),
        "species": ("spec", "sp"),
        "subspecies": ("subsp", "ssp"),
        "variety": ("varietas", "var"),
        "form": ("forma", "f"),
    }.items()
    for theirs in many
}


def ranks_as_ours(ranks: pa.Array) -> pa.Array:
    """Rank names in lower case and English; those that say nothing (unranked, clade) are null."""
    lower = pc.utf8_rtrim(pc.utf8_trim_whitespace(pc.utf8_lower(ranks)), ".")
    distinct = pc.unique(lower)
    ours = pa.array([_RANK_NAMES.get(rank, rank) if rank else None for rank in distinct.to_pylist()], pa.string())
    return ours.take(pc.index_in(lower, value_set=distinct))


def statuses_as_ours(statuses: pa.Array) -> pa.Array:
    """The status words of the formats as ours; null stays null."""
    lower = pc.utf8_trim_whitespace(pc.utf8_lower(statuses))
    distinct = pc.unique(lower)
    return pa.array([_status(word) for word in distinct.to_pylist()], pa.string()).take(pc.index_in(lower, value_set=distinct))


def _status(word: str | None) -> str | None:
    if not word:
        return None
    word = word.replace("_", " ")
    if "misapplied" in word:
        return MISAPPLIED
    if "ambiguous" in word or "pro parte" in word:
        return PRO_PARTE
    if "synonym" in word or word.startswith(("unaccepted", "invalid", "not accepted", "junior", "superseded")):
        return SYNONYM
    if word in NOT_IN_THE_TREE:
        return UNPLACED
    return ACCEPTED


def _simple_backbone(file: TableFile, layout: Layout, failures: Failures) -> Usages:
    """GBIF's backbone-simple.txt: no header, thirty columns, the accepted taxon of a synonym as its parent."""
    bare = Layout(tuple(SIMPLE_BACKBONE), layout.separator, layout.encoding, False, 0)
    wanted = ("id", "parent_id", "is_synonym", "status", "rank", "scientific_name", "canonical_name", "authorship", "year",
              "bracket_authorship", "bracket_year")  # fmt: skip
    table = read_columns(file, bare, wanted, failures)
    columns = {name: table[name].combine_chunks() for name in wanted}
    synonym = pc.is_in(columns["is_synonym"], value_set=pa.array(["t", "true", "TRUE", "1"]))
    authors = _joined(columns["authorship"], columns["year"])
    basionym = _joined(columns["bracket_authorship"], columns["bracket_year"])
    bracketed = pc.binary_join_element_wise(pa.scalar("("), basionym, pa.scalar(")"), "")
    arrays = {
        "id": columns["id"],
        "parent_id": columns["parent_id"],
        "name": columns["scientific_name"],
        "canonical": columns["canonical_name"],
        "authorship": _joined(bracketed, authors, " "),
        "rank": columns["rank"],
        "status": pc.if_else(synonym, pa.scalar(SYNONYM), columns["status"]),
    }
    return Usages(usage_table(arrays, table.num_rows), "GBIF backbone (simple)", str(file), lenient=True)


def _joined(one: pa.Array, other: pa.Array, separator: str = ", ") -> pa.Array:
    both = pc.binary_join_element_wise(one, other, separator)
    return pc.coalesce(both, one, other)


def _name_taxon_synonym(files: Mapping[str, TableFile], path: str, failures: Failures) -> Usages:
    """ColDP in its normalised form: Name, Taxon and, mostly, Synonym."""
    names = _read_named(
        files["name"], failures, {"id": "id", "name": "scientificname", "authorship": "authorship", "rank": "rank"}
    )
    taxa = _read_named(files["taxon"], failures, {"id": "id", "name_id": "nameid", "parent_id": "parentid", "status": "status"})
    where = pc.index_in(taxa["name_id"], value_set=names["id"])
    name_parts = ("name", "authorship", "rank")
    accepted = pa.array([ACCEPTED] * len(taxa["id"]), pa.string())
    parts = [{key: names[key].take(where) for key in name_parts} | {key: taxa[key] for key in ("id", "parent_id")}]
    parts[0]["status"] = accepted
    for row in pc.indices_nonzero(pc.is_null(where)).to_pylist():
        reason = f"the name {taxa['name_id'][row].as_py()!r} is not in {files['name'].name}"
        failures.add(reason, stage="read", source=str(files["taxon"]), row=row + 1, id=taxa["id"][row].as_py())
    if "synonym" in files:
        listed = _read_named(files["synonym"], failures, {"name_id": "nameid", "taxon_id": "taxonid", "status": "status"})
        at = pc.index_in(listed["name_id"], value_set=names["id"])
        status = pc.coalesce(listed["status"], pa.scalar(SYNONYM))
        parts.append({key: names[key].take(at) for key in name_parts})
        parts[1] |= {"id": listed["name_id"], "accepted_id": listed["taxon_id"], "status": status}
    tables = [usage_table(part, len(part["id"])) for part in parts]
    whole = pa.concat_tables(tables)
    kept = whole.filter(pc.is_valid(whole["name"]))
    return Usages(kept.combine_chunks(), "ColDP Name, Taxon, Synonym", path, lenient=True)


def _read_named(file: TableFile, failures: Failures, wanted: Mapping[str, str]) -> dict[str, pa.Array]:
    layout = layout_of(file)
    by_plain = {plain(name): name for name in reversed(layout.header)}
    needed = [theirs for theirs in wanted.values() if theirs not in by_plain and theirs not in ("authorship", "status", "rank")]
    if needed:
        raise BiocosmosError(f"{file} has no column {needed[0]!r}; it has: {', '.join(layout.header)}")
    table = read_columns(file, layout, [by_plain[theirs] for theirs in wanted.values() if theirs in by_plain], failures)
    blank = pa.nulls(table.num_rows, pa.string())
    return {ours: table[by_plain[theirs]].combine_chunks() if theirs in by_plain else blank for ours, theirs in wanted.items()}
