"""What a tool says of queries as rows of our own table of names: taxon per rank, confidence, where the answer stops, method.

Hits (blast6, uc): the best hit names, by bit score where the tool gives one, else by identity and then by the length of the
alignment; hits as good as the best are taken together, and name the lowest taxon common to all. Its confidence at every rank is
the identity of the best hit, 0 to 1, and no probability. A hit of a specimen without a name, or of the query itself, is none.

SINTAX: the confidence of a rank is its bootstrap support. A rank that SINTAX has no letter for (subfamily, tribe) has the support
of the next finer one that it has: whoever is of the genus is of its subfamily.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.identify.adapters.formats import SINTAX, STAGE, Hit, Parsed, Support
from biocosmos.identify.adapters.letters import Headers, lettered
from biocosmos.identify.answers import EVIDENCE, NEIGHBOURS, BestPaths, answer_table
from biocosmos.taxonomy import Taxonomy

CUTOFFS = {SINTAX: 0.8, "blast6": 0.97, "uc": 0.97}
"""Where answers stop unless it is said: the cutoff of SINTAX's author, and 3 % of distance within a species of animals (P. Hebert
and others, Biological identifications through DNA barcodes, Proc. R. Soc. B 2003, doi:10.1098/rspb.2002.2218)."""
RULES = {
    SINTAX: "the taxa that SINTAX says, as sure as its bootstrap",
    "blast6": "the best hit; hits as good as it are taken together, to their lowest common taxon; as sure as it is identical",
    "uc": "the best hit; hits as good as it are taken together, to their lowest common taxon; as sure as it is identical",
}
MOST_HITS = 100_000
"""Hits of one query that are looked at."""


@dataclass
class ToolNames:
    """Turns what a tool says into tables.

    taxonomy: of the collection; taxa: specimen id -> node of those that may name, 0 for one without a name; everyone: has every
    id of the collection, of those that may not name too; method: as the column ``method`` says it; threshold: of the confidence.
    """

    taxonomy: Taxonomy
    taxa: Mapping[str, int]
    method: str
    threshold: float
    everyone: Mapping[str, Any] = field(default_factory=dict)
    aside: dict[str, int] = field(default_factory=lambda: {"itself": 0, "of another part": 0})
    """Hits that were left out: of the query itself, and of specimens of the collection that may not name."""
    _strange: set[str] = field(default_factory=set)
    _resolved: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)

    def table(self, said: Sequence[tuple[str, Sequence[Parsed]]], failures: Failures, source: Path | str | None) -> pa.Table:
        """One row a query. said: (id, its hits or what SINTAX says); ids and names that are not in the collection are warnings,
        once each."""
        ranks = len(self.taxonomy.ranks)
        nodes = np.zeros(len(said), np.int64)
        confidence = np.full((len(said), ranks), np.nan)
        evidence: list[list[dict[str, Any]]] = []
        for row, (query, lines) in enumerate(said):
            hits = [line for line in lines if isinstance(line, Hit)]
            supports = [line for line in lines if isinstance(line, Support)]
            if supports:
                nodes[row], confidence[row] = self._of_support(supports[0], failures, source)
                evidence.append([])
                continue
            known = self._known(query, hits, failures, source)
            node, sure = self._of_hits(known)
            nodes[row], confidence[row] = node, sure
            evidence.append([self._shown(hit) for hit in known[:EVIDENCE]])
        paths = self.taxonomy.lineage(nodes)
        paths[nodes <= 0] = -1
        confidence[paths < 0] = np.nan
        none = np.full(len(said), np.nan)
        best = BestPaths([query for query, _ in said], [None] * len(said), paths, confidence, none, none, None)
        table = answer_table(best, self.taxonomy, threshold=self.threshold, false_alarm_rate=0, method=self.method, provenance={})
        at = table.column_names.index("neighbours")
        return table.set_column(at, "neighbours", pa.array(evidence, NEIGHBOURS))

    # ---- hits ----------------------------------------------------------------------------------------------------------

    def _known(self, query: str, hits: Iterable[Hit], failures: Failures, source: Path | str | None) -> list[Hit]:
        """Hits of specimens that have a name, best first; with the id that the collection knows."""
        found = []
        for hit in hits:
            if hit.target is None:
                continue
            id_ = hit.target if hit.target in self.taxa else hit.target.split(";", 1)[0]
            if id_ == query.split(";", 1)[0] or hit.target == query:
                self.aside["itself"] += 1
            elif id_ in self.taxa:
                if self.taxa[id_] > 0:
                    found.append(hit._replace(target=id_))
            elif id_ in self.everyone:
                self.aside["of another part"] += 1
            else:
                self._tell(id_, f"a hit of '{id_}', which is not in the collection", failures, source)
        return sorted(found, key=_goodness, reverse=True)

    def _of_hits(self, hits: Sequence[Hit]) -> tuple[int, float]:
        """(node, confidence) by the rule of this module; (0, nan) without a hit."""
        if not hits:
            return 0, np.nan
        best = [self.taxa[str(hit.target)] for hit in hits if _goodness(hit) == _goodness(hits[0])]
        return int(self.taxonomy.lowest_common(min(best), max(best))), hits[0].identity

    def _shown(self, hit: Hit) -> dict[str, Any]:
        return {"id": hit.target, "taxon": self.taxonomy.name(self.taxa[str(hit.target)]), "score": hit.identity}

    # ---- supports ------------------------------------------------------------------------------------------------------

    def _of_support(self, said: Support, failures: Failures, source: Path | str | None) -> tuple[int, npt.NDArray[np.float64]]:
        """(node, confidence of every rank) of what SINTAX says."""
        confidence = np.full(len(self.taxonomy.ranks), np.nan)
        letters = self._headers.letters
        node = self._node(tuple((letter, name) for letter, name, _ in said.ranks if letter in letters), failures, source)
        for letter, _, support in said.ranks:
            if letter in letters:
                confidence[self.taxonomy.rank_index(letters[letter])] = support
        for rank in reversed(range(len(confidence) - 1)):
            if np.isnan(confidence[rank]):
                confidence[rank] = confidence[rank + 1]
        return node, confidence

    def _node(self, path: tuple[tuple[str, str], ...], failures: Failures, source: Path | str | None) -> int:
        """The deepest taxon of ours on a path of (letter, name); 0 where none is."""
        if path not in self._resolved:
            if len(self._resolved) > MOST_HITS:
                self._resolved.clear()
            self._resolved[path] = self._find(path, failures, source)
        return self._resolved[path]

    def _find(self, path: tuple[tuple[str, str], ...], failures: Failures, source: Path | str | None) -> int:
        letters = self._headers.letters
        for i in reversed(range(len(path))):
            letter, name = path[i]
            if (node := self._headers.node(name)) is not None:
                return node
            nodes = self._named.get((letters[letter], _spaced(name)), [])
            if len(nodes) > 1:  # a homonym: the one under the taxa that stand above it
                nodes = [node for node in nodes if self._agrees(node, path[:i])]
            if len(nodes) == 1:
                return nodes[0]
            why = "several taxa of the collection" if nodes else "no taxon of the collection"
            rank = letters[letter]
            self._tell(f"{rank}:{name}", f"the {rank} '{name}' is the name of {why}: read as the rank above", failures, source)
        return 0

    def _agrees(self, node: int, above: Sequence[tuple[str, str]]) -> bool:
        line, letters = dict(zip(self.taxonomy.ranks, self.taxonomy.path(node), strict=True)), self._headers.letters
        return all(_spaced(line[letters[letter]] or "") == _spaced(name) for letter, name in above)

    @cached_property
    def _headers(self) -> Headers:
        return Headers(self.taxonomy)

    @cached_property
    def _named(self) -> dict[tuple[str, str], list[int]]:
        """(rank, name) -> nodes, of the ranks that SINTAX has letters for."""
        found: dict[tuple[str, str], list[int]] = {}
        for rank in lettered(self.taxonomy.ranks).values():
            for node in self.taxonomy.at_rank(rank).tolist():
                found.setdefault((rank, _spaced(str(self.taxonomy.names[node]))), []).append(node)
        return found

    def _tell(self, what: str, reason: str, failures: Failures, source: Path | str | None) -> None:
        if what not in self._strange:
            self._strange.add(what)
            failures.add(reason, stage=STAGE, source=source, id=what, severity="warning")


def _goodness(hit: Hit) -> tuple[float, float, int]:
    """What the better of two hits has more of. A tool that gives bit scores ranks by these alone."""
    return (hit.bits, 0.0, 0) if hit.bits > 0 else (0.0, hit.identity, hit.length)


def _spaced(name: str) -> str:
    """A name as it reads: headers of SINTAX have underscores for spaces."""
    return " ".join(name.replace("_", " ").split())
