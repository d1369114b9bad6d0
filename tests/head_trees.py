"""Small trees for tests of heads: the golden one of the facts, one with every oddity, and random ones."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from biocosmos.nn.heads import HeadOutput
from biocosmos.nn.heads.output import answer
from biocosmos.nn.tree import Tree

ODD_PARENTS = [-1, 0, 1, 2, 2, 1, 1, 0, 7, 7, 0, 0]
ODD_LEVELS = [-1, 0, 1, 2, 2, 1, 2, 0, 1, 2, 2, 1]
ODD_CLASSES = [2, 3, 4, 6, 8, 9, 10]
"""Node 2 is a class with classes 3 and 4 under it; 5 and 11 hold none; 6 and 9 have no rank 1; 10 hangs under the root."""


def golden() -> Tree:
    parents = [-1, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4, 5, 5]
    ranks = [-1, 0, 0, 1, 1, 1] + [2] * 7
    return Tree(torch.tensor(parents), torch.tensor(ranks), 3, torch.arange(6, 13))


def odd() -> Tree:
    return Tree(torch.tensor(ODD_PARENTS), torch.tensor(ODD_LEVELS), 3, torch.tensor(ODD_CLASSES))


def climb(tree: Tree, node: int) -> list[int]:
    """The node and what is above it, without the root, deepest first."""
    path = []
    while node > 0:
        path.append(node)
        node = int(tree.parent[node])
    return path


def classes_under(tree: Tree, node: int) -> list[int]:
    """Columns of the classes at or under a node."""
    return [i for i, c in enumerate(tree.classes.tolist()) if node == 0 or node in climb(tree, c)]


def at_rank(tree: Tree, node: int, rank: int) -> int:
    """The node of the path at a rank, -1 if null."""
    return next((v for v in climb(tree, node) if int(tree.rank[v]) == rank), -1)


def flat_output(tree: Tree, logits: torch.Tensor) -> HeadOutput:
    return answer(tree, logits, logits)


def rank_output(tree: Tree, raw: list[torch.Tensor]) -> HeadOutput:
    """As a head with a softmax for each rank gives it, except that its class scores are all alike."""
    output = answer(tree, raw[0].new_zeros(len(raw[0]), len(tree.classes)) + 0 * raw[0].sum(), raw[-1])
    output.rank_scores = [rank.log_softmax(1) for rank in raw]
    return output


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Up to 25 nodes over three ranks, in no particular order of depth, any nodes as classes, some of them inner."""
    parents, ranks = [-1], [-1]
    for node in range(1, draw(st.integers(3, 25))):
        above = draw(st.sampled_from([v for v in range(node) if ranks[v] < 2]))
        parents.append(above)
        ranks.append(draw(st.integers(ranks[above] + 1, 2)))
    chosen = set(draw(st.lists(st.integers(1, len(parents) - 1), min_size=1)))
    for rank in range(3):
        if rank not in ranks:  # a rank of its own under the root
            parents.append(0)
            ranks.append(rank)
        chosen.add(ranks.index(rank))
    return Tree(torch.tensor(parents), torch.tensor(ranks), 3, torch.tensor(sorted(chosen)))
