"""The `taxonomy=` table: a CSV that says, for every label, which taxa it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_folder
from biocosmos.specimens.readers import textfile
from biocosmos.specimens.readers.checklist_ranks import ChecklistRanks
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, check_header, plain, shown
from biocosmos.specimens.readers.names import clean, clean_taxon
from biocosmos.taxonomy import KNOWN_RANKS
from biocosmos.taxonomy.checklists.files import TableFile, layout_of
from biocosmos.taxonomy.checklists.formats import is_checklist
from biocosmos.taxonomy.scientific_names import parse


def open_taxonomy(path: str | Path, failures: Failures | None = None) -> TaxonomyTable | ChecklistRanks:
    """A table of labels and ranks, or a checklist: a folder, a zip, a gzipped file, or a table that points to parents."""
    path = Path(path)
    if is_folder(path) or path.suffix.lower() in (".zip", ".gz"):
        return ChecklistRanks(path, failures)
    header = layout_of(TableFile(path)).header
    by_label = any(plain(name) in ("label", "labels", "classname") for name in header)
    keyed = by_label and any(plain(name) in KNOWN_RANKS and plain(name) != "label" for name in header)
    if header[0].isdigit() or (is_checklist(header) and not keyed):
        return ChecklistRanks(path, failures)
    return TaxonomyTable(path)


Taxa: TypeAlias = "TaxonomyTable | ChecklistRanks"
KEYS = ("label", "labels", "classname", "name", "scientificname", "species")


class TaxonomyTable:
    """Label -> rank columns, and the other columns of the table with them; one entry a label, held in memory."""

    def __init__(self, path: str | Path) -> None:
        """Read a CSV or TSV. Raises BiocosmosError without a label column, or when a label has two different rows."""
        path = Path(path)
        with textfile.open_table(path) as table:
            check_header(table.header, str(path))
            known = {plain(name): name for name in table.header}
            key = next((known[k] for k in KEYS if k in known), None)
            if key is None:
                raise BiocosmosError(f"{path} has no column 'label' to join on; it has: {shown(table.header)}")
            at = table.header.index(key)
            ranks = {name: plain(name) for name in table.header if plain(name) in KNOWN_RANKS and plain(name) != "label"}
            names = [ranks.get(name, SCIENTIFIC_NAME if plain(name) == "scientificname" else name) for name in table.header]
            self.rows: dict[str, dict[str, str | None]] = {}
            for number, fields in table.rows():
                label = clean(fields[at])
                if label is None:
                    continue
                row = {
                    name: clean_taxon(value) if name in KNOWN_RANKS else clean(value)
                    for i, (name, value) in enumerate(zip(names, fields))
                    if i != at
                }
                if self.rows.setdefault(label, row) != row:
                    raise BiocosmosError(f"{path}: the label {label!r} has two different rows (second in row {number})")
            if table.failures.errors:
                first = next(iter(table.failures))
                raise BiocosmosError(f"{path}, row {first.row}: {first.reason}: mend the taxonomy before it is joined")
        self.path = path
        self.ranks = tuple(rank for rank in KNOWN_RANKS if rank in ranks.values() and rank in names)
        self.columns = tuple(name for i, name in enumerate(names) if i != at)

    def key_of(self, label: str) -> str | None:
        """The label of the table's row for a label: itself, else the one that is the same name but for authors."""
        if label in self.rows:
            return label
        bare = parse(label).canonical
        if bare is None:
            return None
        return bare if bare in self.rows else self._bare.get(bare)

    @cached_property
    def _bare(self) -> dict[str, str]:
        """Name without its authors -> the label of the row that it has; those of two rows are left out."""
        keys: dict[str, list[str]] = {}
        for key in self.rows:
            if (bare := parse(key).canonical) is not None:
                keys.setdefault(bare, []).append(key)
        return {bare: found[0] for bare, found in keys.items() if len(found) == 1}

    def find(self, label: str) -> tuple[dict[str, str | None] | None, str | None]:
        """(the row of a label or None, what a person should know of it or None).

        A name that is not there even without its authors has the ranks of its binomial, or of its genus, and a note says so.
        """
        key = self.key_of(label)
        if key is not None:
            return self.rows[key], None
        name = parse(label)
        for wider in (name.species, name.genus):
            if wider is not None and (row := self.rows.get(wider)) is not None:
                taxa = {rank: row[rank] for rank in self.ranks}
                return taxa, f"in the taxonomy only as {wider!r}: it has the ranks of that"
        return None, "not in the taxonomy: kept without ranks"


def refuse_without_ranks(taxonomy: Taxa, asked: Sequence[str] | None) -> None:
    """Raise BiocosmosError for a taxonomy that gives no rank: neither is a column called so, nor are ``asked`` ranks there."""
    if taxonomy.ranks or set(asked or ()) & set(taxonomy.columns):
        return
    raise BiocosmosError(
        f"{taxonomy.path} gives no rank, since none of its columns is called like one: {shown(taxonomy.columns)}. Name those "
        "that are ranks with --ranks; a table of names and what they belong to needs the header name, parent, rank"
    )
