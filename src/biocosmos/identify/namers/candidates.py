"""Which taxa may be the answer: those of the gallery, narrowed by a taxon (`within`) or by a list of names (`taxa`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.blocks import NodeArray
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy
from biocosmos.taxonomy.name_lists import NAME_COLUMNS, read_name_list

STAGE = "taxa"

Mask = NDArray[np.bool_]


def labelled(gallery: Gallery) -> Gallery:
    """The rows that carry a taxon. Raises BiocosmosError, naming what is missing, when there is none to name anything by."""
    if len(gallery) == 0:
        raise BiocosmosError(
            "the gallery is empty: embed the collection first, or widen the split, within or where that chose it"
        )
    if gallery.taxonomy is None or gallery.taxa is None:
        raise BiocosmosError("the gallery has no taxa: build it from specimens with rank columns or labels")
    known = gallery.taxa > 0
    if not known.any():
        raise BiocosmosError(f"none of the gallery's {len(gallery):,} specimens has a taxon: add labels or rank columns")
    return gallery if known.all() else gallery.subset(known)


def allowed_nodes(
    taxonomy: Taxonomy,
    *,
    within: str | int | None = None,
    taxa: str | Path | Iterable[str | int] | None = None,
    failures: Failures | None = None,
) -> Mask | None:
    """(len(taxonomy),) bool, True for nodes under ``within`` and under a name of the list ``taxa``; None when all are.

    Names of the list that the taxonomy lacks, or has several of, go to ``failures``; BiocosmosError when none is left.
    """
    if within is None and taxa is None:
        return None
    allowed = np.ones(len(taxonomy), bool)
    if within is not None:
        node = taxonomy.find(within) if isinstance(within, str) else int(within)
        allowed[:] = False
        allowed[taxonomy.slice(node)] = True
    if taxa is not None:
        failures = Failures() if failures is None else failures
        listed = np.zeros(len(taxonomy), bool)
        nodes = find_all(taxonomy, taxa, failures)
        if not nodes:
            raise BiocosmosError(
                f"no name of the taxa list is in the taxonomy ({len(failures)} refused; the first: {_first(failures)})"
            )
        for node in nodes:
            listed[taxonomy.slice(node)] = True
        allowed &= listed
    return allowed


def narrow(gallery: Gallery, allowed: Mask | None) -> Gallery:
    """The rows of ``gallery`` whose taxon is allowed. Raises BiocosmosError when none is."""
    if allowed is None:
        return gallery
    assert gallery.taxa is not None
    keep = allowed[gallery.taxa]
    if not keep.any():
        raise BiocosmosError(
            "no specimen of the gallery is under the asked taxa: widen --within or --taxa, or add such specimens"
        )
    return gallery if keep.all() else gallery.subset(keep)


def refuse_one_taxon(gallery: Gallery) -> None:
    """Raise BiocosmosError where all specimens are of one taxon: there is nothing to tell apart."""
    assert gallery.taxa is not None and gallery.taxonomy is not None
    known = np.unique(gallery.taxa)
    if len(known) < 2:
        name = gallery.taxonomy.names[int(known[0])]
        raise BiocosmosError(
            f"all specimens of the gallery are {name}: naming needs at least two taxa; widen the gallery or the taxa"
        )


def note_absent(taxonomy: Taxonomy, taxa: str | Path | Iterable[str | int], candidates: NodeArray, failures: Failures) -> None:
    """Warn of each listed taxon that no candidate stands under: it was understood, and yet can never be the answer."""
    for node in find_all(taxonomy, taxa, Failures()):
        where = taxonomy.slice(node)
        if np.searchsorted(candidates, where.start) == np.searchsorted(candidates, where.stop):
            failures.add(
                "no specimen of it in the gallery: it cannot be the answer",
                stage=STAGE,
                id=str(taxonomy.names[node]),
                severity="warning",
            )


def find_all(taxonomy: Taxonomy, taxa: str | Path | Iterable[str | int], failures: Failures) -> list[int]:
    """The nodes of a list of names: the path of a list, or names as ``Taxonomy.find`` takes them, or node ids.

    In a table, columns named after ranks of the taxonomy are read together (the lowest filled one names the taxon, the others
    must agree with its path); otherwise a column of :data:`~biocosmos.taxonomy.name_lists.NAME_COLUMNS`, otherwise the first.
    """
    if isinstance(taxa, (str, Path)):
        return _from_file(taxonomy, Path(taxa), failures)
    nodes = []
    for row, name in enumerate(taxa, start=1):
        if isinstance(name, (int, np.integer)):
            nodes.append(int(name))
        else:
            _look_up(taxonomy, name, nodes, failures, None, row)
    return nodes


def _from_file(taxonomy: Taxonomy, path: Path, failures: Failures) -> list[int]:
    listed = read_name_list(path, taxonomy.ranks, failures)
    header = listed.header or []
    lower = [rank.lower() for rank in taxonomy.ranks]
    ranks = [(column, lower.index(name)) for column, name in enumerate(header) if name in lower]
    nodes: list[int] = []
    if ranks:
        for number, row in listed.rows:
            names = {rank: row[column] for column, rank in ranks if column < len(row) and row[column]}
            _look_up_path(taxonomy, names, nodes, failures, path, number)
        return nodes
    column = listed.column(*NAME_COLUMNS) or 0
    for number, row in listed.rows:
        _look_up(taxonomy, row[column] if column < len(row) else "", nodes, failures, path, number)
    return nodes


def _look_up(taxonomy: Taxonomy, name: str, nodes: list[int], failures: Failures, source: Path | None, row: int) -> None:
    try:
        if not name.strip():
            raise BiocosmosError("blank name")
        nodes.append(int(taxonomy.find(name)))
    except BiocosmosError as error:
        failures.add(str(error), stage=STAGE, source=source, row=row, id=name)


def _look_up_path(
    taxonomy: Taxonomy, names: dict[int, str], nodes: list[int], failures: Failures, source: Path, row: int
) -> None:
    """The node that the lowest given rank names and whose path agrees with the other given ranks."""
    if not names:
        failures.add("blank row", stage=STAGE, source=source, row=row)
        return
    lowest = max(names)
    rank, name = taxonomy.ranks[lowest], names[lowest]
    try:
        found = [int(taxonomy.find(f"{rank}:{name}"))]
    except BiocosmosError as error:
        found = [int(node) for node in taxonomy.at_rank(rank) if taxonomy.names[int(node)] == name]
        if not found:
            failures.add(str(error), stage=STAGE, source=source, row=row, id=name)
            return
    agreeing = [node for node in found if all(taxonomy.path(node)[r] == n for r, n in names.items())]
    if len(agreeing) == 1:
        nodes.append(agreeing[0])
        return
    given = ", ".join(f"{taxonomy.ranks[r]} {n}" for r, n in sorted(names.items()))
    reason = f"{len(agreeing)} taxa fit: give more ranks" if agreeing else "its other ranks disagree with the taxonomy"
    failures.add(f"{given}: {reason}", stage=STAGE, source=source, row=row, id=name)


def _first(failures: Failures) -> str:
    return next((failure.reason for failure in failures), "the list is empty")


def names_of(taxonomy: Taxonomy, nodes: Sequence[int] | NodeArray) -> list[str | None]:
    """Names of nodes, None for the root and for -1."""
    return [str(taxonomy.names[int(node)]) if node > 0 else None for node in nodes]
