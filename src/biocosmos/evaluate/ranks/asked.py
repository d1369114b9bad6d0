"""What a report on names asks of each specimen, and what a namer could have answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.targets import Target, node_paths
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
ALL = "all"


@dataclass(frozen=True)
class Asked:
    """The specimens of a report: what is true of them, what a namer could have answered, and the branch each belongs to.

    truth: (n,) deepest known node, 0 unknown, -1 not in the tree; able: (nodes,) bool, taxa that the namer knows one at or under;
    knows: False where nobody said which taxa those are, and all are taken to be.
    """

    ids: Array
    taxonomy: Taxonomy
    truth: Array
    able: Array
    branch_rank: str
    knows: bool = True

    @classmethod
    def of(cls, predictions: Predictions, branch: str | None = None) -> Asked:
        """From predictions; branch: the rank whose taxa are reported apart, the first by default."""
        able = np.zeros(len(predictions.taxonomy), bool)
        able[predictions.tree.nodes] = True
        return cls.over(predictions.ids, predictions.taxonomy, predictions.truth, able, branch)

    @classmethod
    def over(cls, ids: Array, taxonomy: Taxonomy, truth: Array, able: Array | None, branch: str | None = None) -> Asked:
        """From ids and nodes; able: None where it is not known what could have been answered."""
        rank = taxonomy.ranks[taxonomy.rank_index(0 if branch is None else branch)]
        return cls(ids, taxonomy, truth, np.ones(len(taxonomy), bool) if able is None else able, rank, able is not None)

    @property
    def true(self) -> Array:
        """(n, ranks) int32 true nodes, -1 null."""
        return self.taxonomy.lineage(np.maximum(self.truth, 0))

    @property
    def judged(self) -> Array:
        """(n,) bool: something is known."""
        return self.truth > 0

    @property
    def answerable(self) -> Array:
        """(n,) bool: the namer knows the deepest known taxon, or one under it."""
        return self.judged & self.able[np.maximum(self.truth, 0)]

    @property
    def novel(self) -> Array:
        """(n,) bool: of a taxon that the namer does not know."""
        return self.judged & ~self.answerable

    def targets(self) -> list[Target]:
        """One a rank at which some specimen has a name; its "gallery" is one row for each taxon that can be answered.

        Raises BiocosmosError where nothing is known of any specimen.
        """
        found = []
        for rank, name in enumerate(self.taxonomy.ranks):
            true = self.true[:, rank]
            if not (true >= 0).any():
                continue
            nodes = self.taxonomy.at_rank(rank).astype(np.int64)
            able = np.flatnonzero(self.able[nodes])
            names, paths = self.taxonomy.names[nodes], node_paths(self.taxonomy, nodes)
            found.append(Target(name, "rank", columns_of(nodes, true), able, nodes, names, paths))
        if not found:
            raise BiocosmosError(
                f"nothing to judge: none of {len(self.ids):,} specimens has a taxon of the namer's tree "
                f"({', '.join(self.taxonomy.ranks)}); label them, or ask a part that is labelled"
            )
        return found

    def main_target(self, targets: Sequence[Target]) -> Target:
        """The finest rank at which at least half of the judged specimens have a name."""
        half = self.judged.sum() / 2
        return next((target for target in reversed(targets) if (target.query >= 0).sum() >= half), targets[0])

    def branches(self) -> Iterator[tuple[str, Array]]:
        """All specimens (n,) bool, then those of each taxon of the branch rank, then those with no name there; none if only
        one is left."""
        true = self.true[:, self.taxonomy.rank_index(self.branch_rank)]
        yield ALL, np.ones(len(true), bool)
        parts = [(str(self.taxonomy.names[node]), true == node) for node in np.unique(true[true >= 0])]
        nameless = self.judged & (true < 0)
        if nameless.any():
            parts.append((f"{self.branch_rank} unknown", nameless))
        if len(parts) > 1:
            yield from parts

    def scopes(self, target: Target) -> Iterator[tuple[str, str, Target]]:
        """Branch, "all" or "answerable", and the target of those specimens alone; only where there are any."""
        able = target.answerable(all_vs_all=False)
        for branch, rows in self.branches():
            for over, keep in (("all", rows), ("answerable", rows & able)):
                part = replace(target, query=np.where(keep, target.query, -1))
                if (part.query >= 0).any():
                    yield branch, over, part


def columns_of(nodes: Array, wanted: Array) -> Array:
    """Index into ascending ``nodes`` of each of ``wanted`` (n,), -1 where it is not among them."""
    if not len(nodes):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(nodes, wanted), len(nodes) - 1)
    return np.where(nodes[at] == wanted, at, -1).astype(np.int64)
