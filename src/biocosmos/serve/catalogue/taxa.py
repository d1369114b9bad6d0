"""Taxa as people ask for them: by address, and by the beginning of a name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue.one_tree import nodes_called
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.synonyms import synonyms_of
from biocosmos.serve.catalogue.words import fold, fold_all
from biocosmos.taxonomy import Taxonomy

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """A taxon that was found. taxon: its address, as a view takes it; path: names above it, coarsest first; specimens: at and
    below it; synonym: the other name by which it was found, "" where it was its own."""

    node: int
    name: str
    rank: str
    path: tuple[str, ...]
    specimens: int
    taxon: str
    synonym: str = ""


def address(tree: Taxonomy, node: int) -> str:
    """What a view says for a taxon: "genus:Calanus" where that is one taxon, else its path with ranks; "" for the root."""
    if node <= 0:
        return ""
    rank, name = tree.ranks[tree.rank[node]], str(tree.names[node])
    if len(nodes_called(tree, name, rank)) == 1:
        return f"{rank}:{name}"
    steps = zip(tree.ranks, tree.path(node))
    parts = [f"{rank}:{name}" for rank, name in steps if name is not None]
    return "/".join(parts if len(parts) > 1 else [str(tree.names[0]), *parts])


def resolve(tree: Taxonomy, taxon: str) -> int:
    """The node of an address, or of what a person typed. Raises BiocosmosError for an unknown or ambiguous name."""
    rank, colon, name = taxon.partition(":")
    if colon and rank in tree.ranks:
        found = nodes_called(tree, name, rank)
        if len(found) == 1:
            return int(found[0])
    try:
        return tree.find(taxon)
    except BiocosmosError:
        node = _at_path(tree, 0, taxon.removeprefix(f"{tree.names[0]}/")) if "/" in taxon else None
        if node is None:
            raise
        return node


def _at_path(tree: Taxonomy, node: int, path: str) -> int | None:
    """The node below ``node`` whose :func:`address` is a path, some name of which holds a slash itself."""
    for child in tree.children(node).tolist():
        step = f"{tree.ranks[tree.rank[child]]}:{tree.names[child]}"
        if path == step:
            return int(child)
        if path.startswith(f"{step}/") and (found := _at_path(tree, child, path[len(step) + 1 :])) is not None:
            return found
    return None


def above(tree: Taxonomy, node: int) -> tuple[str, ...]:
    """Names of the taxa above a node, coarsest first, without the root."""
    return tuple(str(name) for name in tree.path(node)[: max(int(tree.rank[node]), 0)] if name is not None)


def find_taxa(moment: Moment, words: str, limit: int) -> list[Found]:
    """Taxa with names like ``words``, accent- and case-blind: the same, beginning so, with a word that begins so, holding it; of
    equals those with more specimens first. A label that repeats its taxon is not told apart from it."""
    wanted, tree = fold(words), moment.taxonomy
    if not wanted or limit < 1:
        return []
    names = moment.stored.of_tree(tree, "names", lambda: fold_all(tree.name_array))
    score = _scores(names, wanted)
    texts, nodes, written = synonyms_of(moment)
    by_synonym = _scores(texts, wanted) + 1
    said = np.full(len(tree), -1, np.int64)
    pairs = np.flatnonzero(by_synonym < _NOT)
    pairs = pairs[np.lexsort((pairs, by_synonym[pairs]))]
    named, first = np.unique(nodes[pairs], return_index=True)
    better = by_synonym[pairs[first]] < score[named]
    score[named[better]], said[named[better]] = by_synonym[pairs[first]][better], pairs[first][better]
    score[0] = _NOT
    score[tree.repeats] = _NOT
    found = np.flatnonzero(score < _NOT)
    counts = counts_of(moment)
    order = found[np.lexsort((found, -counts[found], score[found]))][:limit]
    synonyms = ["" if said[node] < 0 else str(written[int(said[node])]) for node in order]
    return [_found(moment, int(node), int(counts[node]), synonym) for node, synonym in zip(order, synonyms)]


_NOT = 100


def _scores(names: pa.Array, wanted: str) -> npt.NDArray[np.int64]:
    """0 the same, 2 beginning so, 4 a word that begins so, 6 holding it; 100 none of these."""
    score = np.full(len(names), _NOT, np.int64)
    for value, holds in (
        (6, pc.match_substring(names, wanted)),
        (4, pc.match_substring(names, f" {wanted}")),
        (2, pc.starts_with(names, wanted)),
        (0, pc.equal(names, wanted)),
    ):
        score[pc.fill_null(holds, False).to_numpy(zero_copy_only=False)] = value
    return score


def _found(moment: Moment, node: int, specimens: int, synonym: str) -> Found:
    tree = moment.taxonomy
    return Found(
        node, str(tree.names[node]), tree.ranks[tree.rank[node]], above(tree, node), specimens, address(tree, node), synonym
    )


def counts_of(moment: Moment, mask: Bool | None = None) -> npt.NDArray[np.int64]:
    """(nodes,) specimens at and below each node, of those in the mask."""
    if mask is None:
        return moment.kept.get("counts", lambda: moment.taxonomy.count(moment.nodes))
    return moment.taxonomy.count(moment.nodes[mask])
