"""Suspects: specimens whose label is less likely than another that contradicts it.

    score = log (p(proposal) + e) - log (p(label) + e) + 3 (votes for the proposal - votes for the label)

p is of a linear head that was fitted without the specimen, p(label) the sum over all taxa that do not contradict the label, the
votes those of the 10 nearest other specimens, weighed by the fourth power of their cosine. The logarithm of the ratio finds
flipped labels better than the difference of probabilities, cleanlab's margin, and the votes add to it: chosen on the validation
part of PlanktonSet, judged on its training part (docs/discover.md). Fitting without the specimen is that of confident learning
(Northcutt, Jiang & Chuang 2021, https://doi.org/10.1613/jair.1.12125).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.labels.out_of_fold import consistent, out_of_fold
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import Neighbours, neighbour_graph
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
VOTERS, POWER, VOTES_COUNT, FLOOR = 10, 4, 3.0, 1e-4
SAME = 0.9999
"""Cosine from which on a neighbour is the specimen's double and has no vote, where groups of doubles are not known."""
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("proposal", pa.string()),
        ("rank", pa.string()),
        ("score", pa.float64()),
        ("p_label", pa.float64()),
        ("p_proposal", pa.float64()),
        ("votes_label", pa.float64()),
        ("votes_proposal", pa.float64()),
        ("parts_at", pa.string()),
        ("height", pa.int32()),
        ("common_taxon", pa.string()),
        ("doubles", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, eq=False)
class Audit:
    """table: suspects, the surest first (:data:`SCHEMA`); audited: specimens that were asked about; alone: that could not be,
    being the only one of their taxon; rows: (suspects,) their rows in the gallery; proposals: (suspects,) nodes."""

    table: pa.Table
    audited: int
    alone: int
    rows: Array
    proposals: Array


def audit(gallery: Gallery, *, together: Array | None = None, seed: int = 0) -> Audit:
    """The suspects among the labelled specimens of ``gallery``.

    together: (n,) int64 groups of doubles, -1 for none. A double with another label is named, and votes for nobody.

    Raises BiocosmosError where nothing is labelled, there is one taxon only, or no taxon has two specimens.
    """
    tree = gallery.taxonomy
    if gallery.taxa is None or tree is None or not (gallery.taxa > 0).any():
        raise BiocosmosError("no specimen has a label that could be wrong: 'biocosmos discover clusters' needs none")
    kept = np.flatnonzero(gallery.taxa > 0)
    known = gallery if len(kept) == len(gallery) else gallery.subset(kept)
    assert known.taxa is not None
    if together is not None:
        together = together[kept]
    if len(np.unique(known.taxa)) < 2:
        raise BiocosmosError("all labelled specimens are one taxon: there is no other that a label could be mistaken for")
    found = out_of_fold(known, together, seed)
    if not found.asked.any():
        raise BiocosmosError("no taxon has two specimens: a label can be doubted only where there are others of its taxon")
    graph = neighbour_graph(known.vectors, VOTERS + 5)
    label_votes, rival_votes = votes(known, found.proposal, graph, together)
    ratio = np.log(found.rival + FLOOR) - np.log(found.label + FLOOR)
    score = np.where(found.asked & (found.proposal >= 0), ratio + VOTES_COUNT * (rival_votes - label_votes), -np.inf)
    rows = np.flatnonzero(score > 0)
    rows = rows[np.lexsort((rows, -score[rows]))]
    proposals = found.proposal[rows]
    columns = _described(known, rows, proposals, together)
    numbers = {"score": score, "p_label": found.label, "p_proposal": found.rival}
    numbers |= {"votes_label": label_votes, "votes_proposal": rival_votes}
    columns |= {name: values[rows] for name, values in numbers.items()}
    table = pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
    return Audit(table, int(found.asked.sum()), int((~found.asked).sum()), kept[rows], proposals)


def votes(gallery: Gallery, proposal: Array, graph: Neighbours, together: Array | None) -> tuple[Array, Array]:
    """((n,) share of the neighbours' votes that does not contradict the label, (n,) that is for the proposal or a taxon under
    it); 0 where there is no neighbour. proposal: (n,) nodes, -1 for none."""
    assert gallery.taxa is not None and gallery.taxonomy is not None
    tree, taxa = gallery.taxonomy, gallery.taxa.astype(np.int64)
    near = np.maximum(graph.rows, 0)
    double = graph.scores >= SAME if together is None else (together[near] == together[:, None]) & (together[:, None] >= 0)
    there = (graph.rows >= 0) & ~double
    there &= np.cumsum(there, axis=1) <= VOTERS
    weight = np.where(there, np.maximum(graph.scores, 0.0) ** POWER, 0.0)
    named = taxa[near]
    mine = (named >= taxa[:, None]) & (named < tree.end[taxa][:, None])
    mine |= (taxa[:, None] >= named) & (taxa[:, None] < tree.end[named])
    wanted = np.maximum(proposal, 0)
    rival = (named >= wanted[:, None]) & (named < tree.end[wanted][:, None]) & (proposal >= 0)[:, None]
    whole = np.maximum(weight.sum(axis=1), 1e-12)
    return (weight * mine).sum(axis=1) / whole, (weight * rival).sum(axis=1) / whole


def _described(gallery: Gallery, rows: Array, proposals: Array, together: Array | None) -> dict[str, Any]:
    """The words of suspects: names, and where in the tree the two part."""
    assert gallery.taxa is not None and gallery.taxonomy is not None
    tree, taxa = gallery.taxonomy, gallery.taxa.astype(np.int64)
    labels = taxa[rows]
    common = tree.lowest_common(labels, proposals).astype(np.int64)
    depth = np.maximum(tree.depth[labels], tree.depth[proposals]) - tree.depth[common]
    return {
        "id": gallery.ids[rows].tolist(),
        "label": tree.names[labels].tolist(),
        "proposal": tree.names[proposals].tolist(),
        "rank": [tree.ranks[rank] for rank in tree.rank[proposals]],
        "parts_at": parting_ranks(tree, labels, proposals),
        "height": depth.astype(np.int32),
        "common_taxon": tree.names[common].tolist(),
        "doubles": _doubles(gallery, rows, together),
    }


def parting_ranks(tree: Taxonomy, a: Array, b: Array) -> list[str | None]:
    """The coarsest rank at which both have a name and not the same; None where there is no such rank."""
    first, second = tree.lineage(a), tree.lineage(b)
    differ = (first >= 0) & (second >= 0) & (first != second)
    return [tree.ranks[int(row.argmax())] if row.any() else None for row in differ]


def _doubles(gallery: Gallery, rows: Array, together: Array | None) -> list[list[str]]:
    """Of each suspect, "id: label" of its doubles that are called otherwise."""
    if together is None:
        return [[] for _ in rows]
    assert gallery.taxa is not None and gallery.taxonomy is not None
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(together >= 0):
        members.setdefault(int(together[row]), []).append(int(row))
    tree, taxa = gallery.taxonomy, gallery.taxa.astype(np.int64)
    found = []
    for row in rows:
        others = [other for other in members.get(int(together[row]), []) if other != row] if together[row] >= 0 else []
        differ = [other for other in others if not consistent(tree, taxa[[row]], taxa[[other]])[0, 0]]
        found.append([f"{gallery.ids[other]}: {tree.names[taxa[other]]}" for other in differ])
    return found
