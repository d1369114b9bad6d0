"""The barcodes of a report as specimens of species: their gap, their BINs and their trees as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.barcode.bins import CONCORDANCE, concordance
from biocosmos.evaluate.barcode.distances import Measure
from biocosmos.evaluate.barcode.gap import GAPS, SPREAD, Barcodes, Near, barcode_gaps
from biocosmos.evaluate.barcode.near import NearBarcodes
from biocosmos.evaluate.barcode.provisional import SPECIES, lifted
from biocosmos.evaluate.barcode.trees import TIPS, TREES, most_confused, tips_of, tree_of, tree_rows
from biocosmos.evaluate.numbers.targets import Target, node_paths
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Library:
    """Every labelled specimen with a barcode, whoever asks or answers.

    ids: (n,) object; barcodes: (n,) object, upper case; taxa: (n,) nodes of the taxonomy, 0 none; query: (n,) bool; bins: (n,)
    object BIN or None of each, or None where there are none; near: finds the nearest barcodes, k-mers by default.
    """

    ids: Array
    barcodes: Array
    taxa: Array
    taxonomy: Taxonomy
    query: Array
    bins: Array | None = None
    near: Near | None = None

    def subset(self, rows: Array) -> Library:
        """Some rows, by a mask or numbers."""
        bins = None if self.bins is None else self.bins[rows]
        return Library(self.ids[rows], self.barcodes[rows], self.taxa[rows], self.taxonomy, self.query[rows], bins, None)


def species_of(targets: Sequence[Target]) -> Target:
    """The target of the rank species, or else the finest."""
    return next((target for target in targets if target.name == SPECIES[0]), targets[-1])


def library_tables(
    library: Library,
    confused: Sequence[Row],
    genera: Sequence[str],
    measure: Measure,
    *,
    provisional: bool = False,
    seed: int = 0,
) -> dict[str, pa.Table]:
    """Tables gaps, distances, bins, trees and tips of the barcodes; confused: pairs of species, which choose the tree."""
    taxonomy = library.taxonomy
    taxa = np.maximum(library.taxa, 0)
    taxa = taxa if provisional else lifted(taxonomy, taxa)
    rank = SPECIES[0] if SPECIES[0] in taxonomy.ranks else taxonomy.ranks[-1]
    nodes = taxonomy.ancestor(taxa, rank).astype(np.int64)
    some, codes = np.unique(nodes, return_inverse=True)
    null = int(len(some) > 0 and some[0] < 0)
    species, codes = some[null:], codes.reshape(-1).astype(np.int64) - null
    names, paths = [str(name) for name in taxonomy.names[species]], [str(path) for path in node_paths(taxonomy, species)]
    told = Barcodes(library.ids.tolist(), library.barcodes.tolist(), codes, names, paths)
    gaps, spread = barcode_gaps(told, library.near or NearBarcodes(told.text), measure, seed=seed)
    trees, tips = _trees(library, codes, names, species, confused, genera, measure, seed)
    return {
        "gaps": pa.Table.from_pylist(gaps, GAPS),
        "distances": pa.Table.from_pylist(spread, SPREAD),
        "bins": pa.Table.from_pylist(_bins(library, codes, names, paths), CONCORDANCE),
        "trees": pa.Table.from_pylist(trees, TREES),
        "tips": pa.Table.from_pylist(tips, TIPS),
    }


def _bins(library: Library, codes: Array, names: Sequence[str], paths: Sequence[str]) -> list[Row]:
    """Species are told by their paths, which keep homonyms apart."""
    if library.bins is None:
        return []
    name_of = dict(zip(paths, names))
    rows = concordance([None if code < 0 else paths[code] for code in codes], library.bins.tolist())
    return [
        {
            **row,
            "path": row["species"],
            "species": name_of[row["species"]],
            "shared_with": [name_of[p] for p in row["shared_with"]],
        }
        for row in rows
    ]


def _trees(
    library: Library,
    codes: Array,
    names: Sequence[str],
    species: Array,
    confused: Sequence[Row],
    genera: Sequence[str],
    measure: Measure,
    seed: int,
) -> tuple[list[Row], list[Row]]:
    """A tree of each taxon named; without names of the genus with the most confusions, or else with the most species.

    Raises BiocosmosError for a taxon that is not there, and for one that was named and has too few barcodes.
    """
    taxonomy = library.taxonomy
    nodes = [taxonomy.find(name) for name in genera] or _default(taxonomy, species, confused)
    rows, tips = [], []
    for node in nodes:
        inside = (library.taxa >= node) & (library.taxa < taxonomy.end[node])
        places = np.flatnonzero(inside)
        called = [None if codes[i] < 0 else names[codes[i]] for i in places]
        name, path = str(taxonomy.names[node]), str(node_paths(taxonomy, np.array([node]))[0])
        leaves, left = tips_of(
            library.ids[places].tolist(), library.barcodes[places].tolist(), called, library.query[places], seed=seed
        )
        try:
            tree, kept, apart = tree_of(leaves, measure)
        except BiocosmosError as error:
            if genera:
                raise BiocosmosError(f"no tree of {name}: {error}") from error
            continue
        facts = {"not_drawn": left, "not_comparable": apart, "measure": measure}
        row, more = tree_rows(name, path, tree, kept, facts)
        rows.append(row)
        tips += more
    return rows, tips


def _default(taxonomy: Taxonomy, species: Array, confused: Sequence[Row]) -> list[int]:
    above = taxonomy.parent[species]
    above = above[above > 0]
    if not len(above):
        return []
    path = most_confused(confused)
    parents, counts = np.unique(above, return_counts=True)
    if path is not None:
        paths = node_paths(taxonomy, parents)
        return [int(node) for node in parents[paths == path]][:1]
    return [int(parents[counts.argmax()])] if counts.max() > 1 else []
