"""Neighbour-joining against a textbook example, against additive trees and against Biopython."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.barcode.neighbour_joining import midpoint_rooted, neighbour_joining

# The example of the article on neighbour joining in Wikipedia: an additive tree of five leaves with branches
# a 2, b 3, (ab) 3, c 4, (abc) 2, d 2, e 1.
TEXTBOOK = np.array([[0, 5, 9, 9, 8], [5, 0, 10, 10, 9], [9, 10, 0, 8, 7], [9, 10, 8, 0, 3], [8, 9, 7, 3, 0]], float)


def splits(tree):
    """{leaves on the side of a branch without leaf 0: its length} of every branch, branches of two at the root as one."""
    below = [{leaf} if leaf < tree.leaves else set() for leaf in range(len(tree.parent))]
    for leaf in range(tree.leaves):
        node = int(tree.parent[leaf])
        while node >= 0:
            below[node].add(leaf)
            node = int(tree.parent[node])
    found: dict[frozenset, float] = {}
    for node, above in enumerate(tree.parent):
        if above >= 0:
            side = below[node] if 0 not in below[node] else set(range(tree.leaves)) - below[node]
            found[frozenset(side)] = found.get(frozenset(side), 0.0) + float(tree.length[node])
    return found


def by_biopython(distances):
    from Bio.Phylo.TreeConstruction import DistanceMatrix, DistanceTreeConstructor

    names = [str(i) for i in range(len(distances))]
    lower = [[float(distances[i, j]) for j in range(i + 1)] for i in range(len(distances))]
    tree = DistanceTreeConstructor().nj(DistanceMatrix(names, lower))
    found: dict[frozenset, float] = {}
    for clade in tree.find_clades():
        if clade is tree.root:
            continue
        side = {int(leaf.name) for leaf in clade.get_terminals()}
        side = side if 0 not in side else set(range(len(names))) - side
        found[frozenset(side)] = found.get(frozenset(side), 0.0) + clade.branch_length
    return found


def random_tree(seed, leaves):
    """Distances along a random tree with positive branches, written out here: leaves are hung one by one on a random branch."""
    rng = np.random.default_rng(seed)
    ways = np.zeros((1, 1))
    for leaf in range(1, leaves):
        host = int(rng.integers(leaf))
        up, down = rng.uniform(0.01, 1, 2)
        # split the branch above the host: the host grows by `up`, the new leaf hangs there with `down`
        row = ways[host] + up + down
        ways[host] += up
        ways[:, host] += up
        ways[host, host] = 0
        row[host] = up + down
        ways = np.block([[ways, row[:, None]], [row[None], np.zeros((1, 1))]])
    return ways


def test_the_textbook_tree_comes_out_with_its_branches():
    found = splits(neighbour_joining(TEXTBOOK))
    assert {tuple(sorted(side)): round(length, 9) for side, length in found.items()} == {
        (1, 2, 3, 4): 2,  # a
        (1,): 3,
        (2, 3, 4): 3,
        (2,): 4,
        (3, 4): 2,
        (3,): 2,
        (4,): 1,
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 25))
def test_an_additive_tree_is_found_again_exactly_and_rooting_keeps_every_way(seed, leaves):
    ways = random_tree(seed, leaves)
    tree = neighbour_joining(ways)
    assert np.allclose(tree.distances(), ways)
    rooted = midpoint_rooted(tree)
    assert np.allclose(rooted.distances(), ways)
    deep = rooted.depths()[:leaves]
    assert deep.max() == pytest.approx(ways.max() / 2)  # the root is half way between the two that are farthest apart


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 14))
def test_any_distances_give_the_tree_of_biopython(seed, leaves):
    rng = np.random.default_rng(seed)
    ways = random_tree(seed, leaves) + np.abs(rng.normal(0, 0.3, (leaves, leaves)))
    ways = (ways + ways.T) / 2
    np.fill_diagonal(ways, 0)
    ours, theirs = splits(neighbour_joining(ways)), by_biopython(ways)
    assert set(ours) == set(theirs)
    assert all(ours[side] == pytest.approx(theirs[side], abs=1e-9) for side in ours)


def test_newick_is_read_by_biopython_with_names_that_need_quotes():
    from Bio import Phylo

    names = ["Aus bus", "Aus b'us", "x|1", "d", "e-1"]
    tree = midpoint_rooted(neighbour_joining(TEXTBOOK))
    read = Phylo.read(io.StringIO(tree.newick(names)), "newick")
    assert sorted(leaf.name.replace("\\'", "'").replace("''", "'") for leaf in read.get_terminals()) == sorted(names)
    assert read.distance("d", "e-1") == pytest.approx(3)


def test_a_matrix_that_is_none_is_refused_in_one_line():
    with pytest.raises(BiocosmosError, match="at least 2 barcodes"):
        neighbour_joining(np.zeros((1, 1)))
    with pytest.raises(BiocosmosError, match="every distance"):
        neighbour_joining(np.array([[0, np.nan], [np.nan, 0]]))
