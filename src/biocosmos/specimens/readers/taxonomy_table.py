"""The `taxonomy=` table: a CSV that says, for every label, which taxa it belongs to."""

from __future__ import annotations

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
        self.ranks = tuple(rank for rank in KNOWN_RANKS if rank in ranks.values() and rank in names)
        self.columns = tuple(name for i, name in enumerate(names) if i != at)

    def find(self, label: str) -> tuple[dict[str, str | None] | None, str | None]:
        """(the row of a label or None, what a person should know of it or None)."""
        row = self.rows.get(label)
        return row, None if row is not None else "not in the taxonomy: kept without ranks"
