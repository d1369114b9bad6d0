"""What is known of taxa without an image of them: how much they share in the tree, in their names, in texts or in attributes.

A geometry is one kernel over all taxa. From it come distances, which the Gromov-Wasserstein term compares with those of the
prototypes, and weights, by which a prototype is predicted from its relatives (:func:`biocosmos.nn.prototypes.from_relatives`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy import Taxonomy
from biocosmos.train.prototypes.settings import COUPLINGS

Array = npt.NDArray[Any]
SOURCES = ("tree", "names", "text", "attributes")
"""Where a geometry may come from; several are joined by "+"."""
NAMES_WEIGHT = 2.0
"""Two taxa of the same words share as much as two ranks: on PlanktonSet with status and group, tree and names count alike."""
OWN = 1.0
"""What each taxon has for itself, in units of one shared rank (tree) or of half the same words (names)."""
FUSED = 0.5
"""Trade-off of the fused coupling, between the labels (0) and the geometries (1)."""
_WORD = re.compile(r"[a-z]+|[A-Z]+[a-z]*|[0-9]+")


@dataclass(frozen=True)
class Geometry:
    """Taxa by what they share.

    taxa: (K,) names, for people; kernel: (K, K) float64, symmetric, positive semi-definite; sources: what made it.
    """

    taxa: Array
    kernel: Array
    sources: tuple[str, ...]

    def distances(self) -> Array:
        """(K, K) float64 in 0..1: k_ii + k_jj - 2 k_ij, and what each taxon has for itself, over the largest."""
        own = np.diag(self.kernel)
        apart = own[:, None] + own[None, :] - 2 * self.kernel + 2 * OWN * (1 - np.eye(len(own)))
        return np.asarray(np.clip(apart, 0.0, None) / apart.max())


def geometry(
    taxonomy: Taxonomy,
    nodes: Array,
    sources: str = "tree+names",
    *,
    attributes: str | Path | None = None,
    encode: Callable[[list[str]], Array] | None = None,
) -> Geometry:
    """The geometry of the taxa ``nodes`` (K,) of a tree.

    sources: one or several of :data:`SOURCES`, joined by "+". "tree": the number of ranks two taxa share, which is the
    covariance of Brownian motion along the tree with a step a rank; "names": cosine of the sets of words in their names
    (copepod_calanoid_eggs and copepod_cyclopoid_oithona_eggs share two); "text": cosine of what ``encode`` makes of "a photo of
    <name>", texts -> (K, d) unit vectors; "attributes": cosine of the standardised rows of a CSV file, a column ``taxon`` and
    numbers.

    Raises BiocosmosError: an unknown source, a file without a taxon or with what is not a number, no text encoder.
    """
    wanted = tuple(part.strip() for part in sources.split("+") if part.strip())
    unknown = [part for part in wanted if part not in SOURCES]
    if unknown or not wanted:
        raise BiocosmosError(f"--geometry '{sources}' is not known: join some of {', '.join(SOURCES)} by +")
    names = taxonomy.names[nodes]
    kernel = np.zeros((len(nodes), len(nodes)))
    if "tree" in wanted:
        kernel += shared_ranks(taxonomy, nodes)
    if "names" in wanted:
        kernel += NAMES_WEIGHT * shared_words([str(name) for name in names])
    if "text" in wanted:
        if encode is None:
            raise BiocosmosError("--geometry text needs a text encoder: name one with --text-encoder")
        vectors = np.asarray(encode([f"a photo of {str(name).replace('_', ' ')}" for name in names]), np.float64)
        kernel += NAMES_WEIGHT * _cosines(vectors - vectors.mean(axis=0))
    if "attributes" in wanted:
        if attributes is None:
            raise BiocosmosError("--geometry attributes needs a table: name a CSV file with --attributes")
        kernel += NAMES_WEIGHT * _cosines(read_attributes(attributes, [str(name) for name in names]))
    return Geometry(names, kernel, wanted)


def shared_ranks(taxonomy: Taxonomy, nodes: Array) -> Array:
    """(K, K) float64: ranks above the taxa at which two have the same taxon; two taxa that are one below the other share all of
    the upper one's. The diagonal is the number of ranks above each."""
    lineage = taxonomy.lineage(nodes)
    same = (lineage[:, None, :] == lineage[None, :, :]) & (lineage[:, None, :] >= 0)
    own = lineage == np.asarray(nodes)[:, None]  # what a taxon has for itself is added apart
    return np.asarray((same & ~(own[:, None, :] & own[None, :, :])).sum(axis=2), np.float64)


def shared_words(names: Sequence[str]) -> Array:
    """(K, K) float64 in 0..1: |A and B| / sqrt(|A| |B|) of the sets of words of two names. A word ends where a capital follows a
    small letter, and at what is neither letter nor digit."""
    words = [{word.lower() for word in _WORD.findall(name)} for name in names]
    vocabulary = {word: i for i, word in enumerate(sorted(set().union(*words)))}
    table = np.zeros((len(names), max(len(vocabulary), 1)))
    for row, found in enumerate(words):
        table[row, [vocabulary[word] for word in found]] = 1.0
    return _cosines(table)


def read_attributes(path: str | Path, taxa: Sequence[str]) -> Array:
    """(K, attributes) float64, each attribute standardised over the taxa asked for. Raises as :func:`geometry`."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BiocosmosError(f"cannot read the attributes in {path}: {error}") from error
    columns = [name for name in (rows[0] if rows else {}) if name != "taxon"]
    if not rows or "taxon" not in rows[0] or not columns:
        raise BiocosmosError(f"{path} must have a column 'taxon' and at least one column of numbers")
    of = {str(row["taxon"]): row for row in rows}
    missing = [taxon for taxon in taxa if taxon not in of]
    if missing:
        raise BiocosmosError(f"{path} has no row for taxon '{missing[0]}' ({len(missing):,} of {len(taxa):,} taxa are missing)")
    try:
        table = np.array([[float(of[taxon][name]) for name in columns] for taxon in taxa])
    except (TypeError, ValueError) as error:
        raise BiocosmosError(f"{path} has an attribute that is not a number: {error}") from error
    if not np.isfinite(table).all():
        raise BiocosmosError(f"{path} has an attribute that is not a finite number")
    spread = table.std(axis=0)
    return np.asarray((table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def coupling(kind: str, prototypes: Array, taxa: Array, seen: Array) -> Array:
    """Which prototype is which taxon: (K, K) float64, margins 1/K, rows prototypes and columns taxa.

    kind: "labels": each is its own, known beforehand; "free": POT's Gromov-Wasserstein solver, which looks at the two geometries
    alone and cannot tell a taxon from another in the same place of the tree; "fused": POT's fused solver (Vayer et al. 2019,
    arXiv:1805.09114), for which a prototype of a seen taxon costs 1 at any taxon but its own and the unseen ones are free.
    prototypes, taxa: (K, K) distances. seen: (K,) bool.
    """
    count = len(taxa)
    margin = np.full(count, 1.0 / count)
    if kind == "labels":
        return np.asarray(np.diag(margin))
    import ot  # type: ignore[import-untyped]

    first, second = np.asarray(prototypes, np.float64), np.asarray(taxa, np.float64)
    if kind == "free":
        return np.asarray(ot.gromov.gromov_wasserstein(first, second, margin, margin, "square_loss"))
    if kind != "fused":
        raise BiocosmosError(f"--coupling '{kind}' is not known: choose {', '.join(COUPLINGS[:-1])} or {COUPLINGS[-1]}")
    cost = np.where(np.eye(count, dtype=bool) | ~(seen[:, None] | seen[None, :]), 0.0, 1.0)
    return np.asarray(ot.gromov.fused_gromov_wasserstein(cost, first, second, margin, margin, "square_loss", alpha=FUSED))


def _cosines(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(unit @ unit.T)
