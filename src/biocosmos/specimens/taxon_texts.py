"""What a text tower reads of a specimen: the names of its taxon, as BioCLIP and CLIBD write them.

    taxon_texts(table, ("order", "family", "genus", "species"))      # ["Diptera Culicidae Aedes vexans", "Diptera", None]

Text types are those of TreeOfLife-10M (Stevens et al., BioCLIP, CVPR 2024, arXiv:2311.18803).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers.names import clean_taxon
from biocosmos.taxonomy.columns import as_table
from biocosmos.taxonomy.scientific_names import parse

TextType = Literal["taxon", "sci", "com", "sci_com", "taxon_com", "taxonTag"]
Missing = Literal["left out", "not_classified"]
TEXT_TYPES: tuple[TextType, ...] = ("taxon", "sci", "com", "sci_com", "taxon_com", "taxonTag")
"""taxon: the names from coarse to fine; sci: the finest name; com: the common name, the finest name where there is none; X_com:
"X with common name Y"; taxonTag: each name behind its rank, "order Diptera family Culicidae", no name left out."""
NOT_CLASSIFIED: Missing = "not_classified"
"""What CLIBD writes for a rank without a name. It is a word in a text and never a name: no metric counts two of them as equal."""
COMMON_COLUMNS = ("vernacularName", "common_name", "commonName", "common name", "common")
_WITHOUT_AUTHORS = ("species", "infraspecies", "hybrid", "uninomial")


def taxon_texts(
    table: Any,
    ranks: Sequence[str],
    *,
    missing: Missing = "left out",
    kind: TextType = "taxon",
    common: str | None = None,
) -> list[str | None]:
    """A text for each row of a table (anything :func:`as_table` reads); None where no rank has a name.

    Args:
        ranks: columns of names, coarse to fine.
        missing: "left out": a rank without a name is not written, and a genus that its species begins with is not written twice
            ("Diptera Culicidae Aedes vexans"). "not_classified", as published by CLIBD (arXiv:2405.17537): every rank is written,
            the genus and the binomial too ("Diptera Culicidae Aedes Aedes vexans", "Diptera not_classified not_classified
            not_classified").
        common: the column of common names, for the types that use them.

    Authors and years are left out of names, underscores are blanks. Raises BiocosmosError for an unknown type or column, and for
    a type with common names where no column is given.
    """
    check_text_type(kind, common)
    table = as_table(table, [*ranks, *([common] if common else [])])
    wanted = [*ranks, *([common] if common and "com" in kind.split("_") else [])]
    if lacking := [name for name in wanted if name not in table.column_names]:
        raise BiocosmosError(f"no column '{lacking[0]}' to write texts from: its columns are {', '.join(table.column_names)}")
    columns = [table[name].to_pylist() for name in wanted]
    known: dict[tuple[Any, ...], str | None] = {}  # a collection has far fewer taxa than specimens
    texts = []
    for row in zip(*columns) if columns else [()] * len(table):
        if row not in known:
            names, vernacular = row[: len(ranks)], row[len(ranks)] if len(row) > len(ranks) else None
            known[row] = text_of(names, ranks, missing=missing, kind=kind, common=vernacular)
        texts.append(known[row])
    return texts


def check_text_type(kind: str, common: str | None) -> None:
    """Raise BiocosmosError for an unknown text type, and for one with common names where there are none."""
    if kind not in TEXT_TYPES:
        raise BiocosmosError(f"no text type '{kind}': choose {', '.join(TEXT_TYPES)}")
    if "com" in kind.split("_") and common is None:
        raise BiocosmosError(
            f"text type {kind} writes common names, and no column has them: call one {COMMON_COLUMNS[0]}, or choose taxon"
        )


def text_of(
    names: Sequence[str | None],
    ranks: Sequence[str],
    *,
    missing: Missing = "left out",
    kind: TextType = "taxon",
    common: str | None = None,
) -> str | None:
    """The text of one taxon: its names, one for each of ``ranks``; arguments as for :func:`taxon_texts`, ``common`` a name."""
    clean = [_written(name) for name in names]
    there = [(rank, name) for rank, name in zip(ranks, clean) if name is not None]
    if not there:
        return None
    genus = dict(there).get("genus")
    if genus is not None:
        there = [(rank, f"{genus} {name}" if rank == "species" and " " not in name else name) for rank, name in there]
    finest = there[-1][1]
    if missing == NOT_CLASSIFIED:
        named = dict(there)
        parts = [(rank, named.get(rank, NOT_CLASSIFIED)) for rank in ranks]
    elif kind == "taxonTag":
        parts = there
    else:
        parts = [pair for i, pair in enumerate(there) if i + 1 == len(there) or not _repeats(pair[1], there[i + 1][1])]
    if kind == "taxonTag":
        return " ".join(f"{rank} {name}" for rank, name in parts)
    text = " ".join(name for _, name in parts) if kind.startswith("taxon") else finest
    vernacular = _written(common)
    if kind == "com":
        return vernacular or finest
    return f"{text} with common name {vernacular}" if kind.endswith("_com") and vernacular else text


def common_name_column(columns: Sequence[str]) -> str | None:
    """The column that holds common names, if one is called as they are elsewhere."""
    return next((name for name in COMMON_COLUMNS if name in columns), None)


def _written(name: str | None) -> str | None:
    """A name as it is written: without authors where it can be read with certainty; None for the ways tables write "none"."""
    name = clean_taxon(None if name is None else str(name).replace("_", " "))
    if name is None:
        return None
    read = parse(name)
    return read.canonical if read.authorship and read.canonical and read.kind in _WITHOUT_AUTHORS else name


def _repeats(name: str, finer: str) -> bool:
    """Whether a finer name says this one again: a genus before its epithet, a label that is the name of its taxon."""
    return finer.lower() == name.lower() or finer.lower().startswith(f"{name.lower()} ")


@dataclass(frozen=True)
class Wording:
    """How a text tower's texts are written: alike in training, when a collection is embedded and when a taxon is asked for.

    ranks: coarse to fine, () for all that the collection has; kind, missing: see :func:`taxon_texts`.
    """

    ranks: tuple[str, ...] = ()
    kind: TextType = "taxon"
    missing: Missing = "left out"

    def ranks_of(self, known: Sequence[str]) -> tuple[str, ...]:
        """Those of the ranks that are known here. Raises BiocosmosError where none is."""
        found = tuple(rank for rank in self.ranks or known if rank in known)
        if not found:
            wanted = f"at {', '.join(self.ranks)}" if self.ranks else "of taxa"
            has = f"its ranks are {', '.join(known)}" if known else "it has no ranks"
            raise BiocosmosError(f"there are no names {wanted} to write texts from: {has}; give it names, or --ranks")
        return found

    def columns(self, known: Sequence[str], stored: Sequence[str]) -> tuple[str, ...]:
        """What a collection's texts are written from: ranks, and the column of common names where the type uses it."""
        common = common_name_column(stored) if "com" in self.kind.split("_") else None
        return (*self.ranks_of(known), *([common] if common else []))

    def texts(self, table: Any, known: Sequence[str]) -> list[str | None]:
        """A text for each row of a table of a collection with the ranks ``known``; see :func:`taxon_texts`."""
        table = as_table(table)
        common = common_name_column(table.column_names)
        return taxon_texts(table, self.ranks_of(known), missing=self.missing, kind=self.kind, common=common)

    def text(self, names: Sequence[str | None], known: Sequence[str], common: str | None = None) -> str | None:
        """The text of one taxon, from its names at the ranks ``known``; None where it has no name at the ranks of the wording."""
        named = dict(zip(known, names))
        ranks = [rank for rank in self.ranks or known if rank in known]
        return text_of([named.get(rank) for rank in ranks], ranks, missing=self.missing, kind=self.kind, common=common)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ranks": list(self.ranks), "kind": self.kind, "missing": self.missing}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Wording:
        """From what :meth:`as_dict` gives."""
        return cls(tuple(facts["ranks"]), facts["kind"], facts["missing"])
