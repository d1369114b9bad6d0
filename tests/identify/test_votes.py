"""How neighbours vote at every rank."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.identify.evidence.votes import votes
from biocosmos.taxonomy import Taxonomy


def test_neighbours_without_a_name_abstain() -> None:
    tree = Taxonomy.from_table({"family": ["Aidae", "Aidae", "Bidae", "Bidae"], "genus": ["Aa", "Ab", "Ba", None]})
    node = {str(name): i for i, name in enumerate(tree.names)}
    taxa = np.array([node["Aa"], node["Ab"], node["Ba"], node["Bidae"], 0, -1])
    scores = np.array([0.9, 0.5, 0.6, 0.4, 0.3, -np.inf], np.float32)
    found = votes(taxa, scores, tree)
    assert [(vote.rank, vote.taxon, vote.count) for vote in found] == [
        ("family", "Aidae", 2),
        ("family", "Bidae", 2),
        ("genus", "Aa", 1),
        ("genus", "Ba", 1),
        ("genus", "Ab", 1),
    ]
    assert [vote.weight for vote in found[:3]] == pytest.approx([1.4 / 2.4, 1.0 / 2.4, 0.9 / 2.0])
    assert votes(np.empty(0, np.int32), np.empty(0), tree) == []
    assert votes(taxa[4:], scores[4:], tree) == []
    assert sum(vote.weight for vote in votes(taxa[:2], np.array([-0.5, -0.1]), tree) if vote.rank == "genus") == 0
