"""Which taxa a zero-shot training sees, which it chooses by, and which it never sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN, UNSEEN
from biocosmos.settings import names_in
from biocosmos.specimens.collection import Collection
from biocosmos.taxonomy import Taxonomy
from biocosmos.train.batches.taxa import chosen_ranks, nodes_under, tree_of

ENOUGH = 10
"""Training specimens that a taxon must have to be drawn: rarer ones would be asked about with one or two images."""
LABEL = "label"


@dataclass(frozen=True)
class TaxaRoles:
    """taxonomy: the tree; nodes: (K,) int32 ascending, the taxa; roles: (K,) object, one of seen, chosen on, unseen."""

    taxonomy: Taxonomy
    nodes: npt.NDArray[np.int32]
    roles: npt.NDArray[np.object_]

    def of(self, *roles: str) -> npt.NDArray[np.bool_]:
        """(K,) whether a taxon has one of these roles."""
        return np.isin(self.roles.astype(str), roles)

    def named(self, role: str) -> list[str]:
        """Names of the taxa of a role."""
        return [str(name) for name in self.taxonomy.names[self.nodes[self.of(role)]]]


@dataclass(frozen=True)
class LabelledPart:
    """A part's specimens whose deepest name is one of the taxa. ids: (n,) object; taxa: (n,) int64 index into the taxa; other:
    how many specimens of the part are of none of them, or have no name."""

    ids: npt.NDArray[np.object_]
    taxa: npt.NDArray[np.int64]
    other: int

    def only(self, taxa: npt.NDArray[np.bool_]) -> LabelledPart:
        """The specimens of some taxa, (K,) bool."""
        keep = taxa[self.taxa]
        return LabelledPart(self.ids[keep], self.taxa[keep], self.other)


def labelled_part(collection: Collection, taxa: TaxaRoles, split: str) -> LabelledPart:
    """The specimens of a part, sorted by id."""
    ids, nodes = _nodes(collection, taxa.taxonomy, split)
    at = np.searchsorted(taxa.nodes, nodes)
    hit = taxa.nodes[np.minimum(at, len(taxa.nodes) - 1)] == nodes
    return LabelledPart(ids[hit], at[hit].astype(np.int64), int((~hit).sum()))


def taxa_roles(
    collection: Collection, *, ranks: str = "", hold_out: str = "12", choose_on: int = 8, draw: int = 0, split: str = "train"
) -> TaxaRoles:
    """Share out the deepest taxa of the training part.

    ranks: columns, coarsest first, comma-separated; "" is the collection's ranks, and ``label`` below them where there is such a
    column. hold_out: how many unseen taxa to draw, or their names, comma-separated (of an inner taxon: all below it). Taxa with
    :data:`ENOUGH` training specimens are drawn, none that would be left without a seen relative under its parent where the tree
    has parents: from its place in the tree it could not be told from any other such taxon.

    Raises BiocosmosError when so many cannot be drawn, saying how many can; fewer than two seen taxa; an unknown name.
    """
    columns = names_in(ranks)
    if not columns and LABEL in collection.stored_columns and LABEL not in collection.ranks:
        columns = (*collection.ranks, LABEL)
    columns = chosen_ranks(collection, columns)
    taxonomy = tree_of(collection, columns)
    _, found = _nodes(collection, taxonomy, split)
    nodes, counts = np.unique(found[found > 0], return_counts=True)
    roles = np.full(len(nodes), SEEN, object)
    generator = np.random.default_rng([draw, 4])
    if hold_out.strip().isdigit():
        _draw(roles, UNSEEN, int(hold_out), taxonomy, nodes, counts, generator, "--hold-out")
    else:
        roles[nodes_under(taxonomy, names_in(hold_out))[nodes]] = UNSEEN
        if not (roles == UNSEEN).any():
            raise BiocosmosError(f"--hold-out {hold_out}: no specimen of the training part is of these taxa")
    _draw(roles, CHOSEN_ON, choose_on, taxonomy, nodes, counts, generator, "--choose-on")
    if (roles == SEEN).sum() < 2:
        raise BiocosmosError(f"{int((roles == SEEN).sum())} of {len(nodes)} taxa would be trained on: hold out fewer")
    return TaxaRoles(taxonomy, nodes.astype(np.int32), roles)


def _nodes(collection: Collection, taxonomy: Taxonomy, split: str) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    table = collection.table(["id", *taxonomy.ranks], split=split)
    ids = np.array(table["id"].to_pylist(), object)
    order = np.argsort(ids.astype(str), kind="stable")
    return ids[order], taxonomy.index(table).astype(np.int64)[order]


def _draw(
    roles: npt.NDArray[np.object_],
    role: str,
    wanted: int,
    taxonomy: Taxonomy,
    nodes: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    generator: np.random.Generator,
    flag: str,
) -> None:
    """Give ``role`` to ``wanted`` seen taxa."""
    parents = taxonomy.parent[nodes]
    flat = not (parents > 0).any()
    drawn = 0
    for i in generator.permutation(len(nodes)):
        if drawn == wanted:
            return
        left = np.count_nonzero((parents == parents[i]) & (roles == SEEN)) - 1
        if roles[i] == SEEN and counts[i] >= ENOUGH and (flat or (parents[i] > 0 and left > 0)):
            roles[i] = role
            drawn += 1
    if drawn < wanted:
        raise BiocosmosError(
            f"{flag} {wanted}: only {drawn} taxa can be held out, which have {ENOUGH} training specimens and leave a seen taxon "
            f"under their parent; ask for {drawn} or fewer"
        )


def role_rows(taxa: TaxaRoles, counts: Sequence[int]) -> list[tuple[str, str, str]]:
    """(role, how many taxa, their names or how many specimens) for people; counts: training specimens of each taxon."""
    rows = []
    for role in (SEEN, CHOSEN_ON, UNSEEN):
        own = taxa.of(role)
        named = ", ".join(taxa.named(role)) if role != SEEN else f"{int(np.asarray(counts)[own].sum()):,} training specimens"
        rows.append((role, f"{int(own.sum()):,}", named))
    return rows
