"""What a namer says of some specimens: log p of every node of its tree, and what it was computed from.

Roll-back, promises, sets, novelty, evidence and metrics read this table and never ask which namer filled it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.arrays import read_arrays
from biocosmos.errors import BiocosmosError
from biocosmos.facts import parse_facts
from biocosmos.identify.paths import CandidateTree, candidate_tree
from biocosmos.tables import replacing
from biocosmos.taxonomy import Taxonomy

_ARRAYS = {
    "ids": ("U", 1),
    "classes": ("iu", 1),
    "logits": ("f", 2),
    "features": ("f", 2),
    "truth": ("iu", 1),
    "facts": ("U", 0),
    "taxonomy": ("u", 1),
}
"""Of a file that :meth:`Predictions.save` wrote."""
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a namer says of n specimens, over a tree of N nodes, C of which are classes, with L ranks.

    Attributes:
        ids: (n,) object array of str.
        taxonomy: the namer's tree, over the ranks it names.
        classes: (C,) int32 ascending nodes: the taxa it chooses among, the deepest known ones of the specimens it learnt from.
        logits: (n, C) float32 class scores; their softmax is the distribution over the classes.
        features: (n, d) float32, what the finest rank's classifier sees; not normalised.
        truth: (n,) int32, the deepest known node of each specimen; 0 nothing is known; -1 its path is not in the tree.
        rank_scores: per rank, (n, n_r) float32 log-softmax as a classifier of that rank alone says it, before it is made
            consistent; None for namers that have no such thing.
        rank_nodes: per rank, (n_r,) int32, the nodes of the columns of ``rank_scores``.
        facts: namer, encoder, digest, split, part: JSON-ready.
        columns: one row a specimen (label, group, ...), or None.
    """

    ids: npt.NDArray[np.object_]
    taxonomy: Taxonomy
    classes: Int32
    logits: Float32
    features: Float32
    truth: Int32
    rank_scores: tuple[Float32, ...] | None = None
    rank_nodes: tuple[Int32, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    columns: pa.Table | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        for name in ("logits", "features", "truth", "columns"):
            part = getattr(self, name)
            if part is not None and len(part) != n:
                raise BiocosmosError(f"predictions of {n} specimens cannot have {len(part)} rows of {name}")
        if self.logits.shape[1] != len(self.classes):
            raise BiocosmosError(f"predictions need a score for each of {len(self.classes)} classes, not {self.logits.shape[1]}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ranks(self) -> tuple[str, ...]:
        """The ranks of the tree, coarsest first."""
        return self.taxonomy.ranks

    @cached_property
    def tree(self) -> CandidateTree:
        """The part of the taxonomy above the classes."""
        return candidate_tree(self.taxonomy, self.classes)

    @cached_property
    def log_p(self) -> Float32:
        """(n, N) float32, log p of every node, made from the logits when first asked for and then kept; consistent: the root is
        0, a parent is the sum of what is under it; -inf for nodes with no class at or under them."""
        return node_log_p(self.tree, self.logits)

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """(n,) whether something is known about the specimen: its truth is a node below the root."""
        return self.truth > 0

    @cached_property
    def answerable(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the truth is a node with a class at or under it: only then can it be right at the deepest rank."""
        known = np.maximum(self.truth, 0)
        first = np.searchsorted(self.classes, known)
        return (self.truth > 0) & (np.searchsorted(self.classes, self.taxonomy.end[known]) > first)

    def class_probabilities(self, temperature: float = 1.0) -> Float64:
        """(n, C) float64: softmax of the logits."""
        scores = self.logits.astype(np.float64) / temperature
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    def best_path(self, temperature: float = 1.0) -> tuple[Int32, Float64]:
        """From the root each time to the most probable child: nodes (n, L) int32, -1 null, and their p (n, L), NaN there."""
        return self.tree.best_path(self.class_probabilities(temperature))

    def subset(self, rows: npt.NDArray[Any]) -> Predictions:
        """The specimens of a mask or of row numbers."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            ids=self.ids[rows],
            logits=self.logits[rows],
            features=self.features[rows],
            truth=self.truth[rows],
            rank_scores=None if self.rank_scores is None else tuple(scores[rows] for scores in self.rank_scores),
            columns=None if self.columns is None else self.columns.take(pa.array(rows)),
        )

    def joined(self, other: Predictions) -> Predictions:
        """These specimens and then those of ``other``; raises BiocosmosError for predictions of another namer."""
        return self.concatenate([self, other]).described(part=f"{self.facts.get('part')} and {other.facts.get('part')}")

    @classmethod
    def concatenate(cls, blocks: Iterable[Predictions]) -> Predictions:
        """All specimens of one or more blocks in their order, with the facts of the first.

        Raises BiocosmosError without a block, and for blocks of two namers.
        """
        parts = list(blocks)
        if not parts:
            raise BiocosmosError("no predictions to put together: name at least one block of specimens")
        first = parts[0]
        for other in parts[1:]:
            same = first.taxonomy == other.taxonomy and np.array_equal(first.classes, other.classes)
            if not same or first.facts.get("digest") != other.facts.get("digest"):
                raise BiocosmosError("predictions of two namers cannot be joined: make both with one")
        if len(parts) == 1:
            return first
        by_rank = [part.rank_scores for part in parts if part.rank_scores is not None]
        tables = [part.columns for part in parts if part.columns is not None]
        return replace(
            first,
            ids=np.concatenate([part.ids for part in parts]),
            logits=np.concatenate([part.logits for part in parts]),
            features=np.concatenate([part.features for part in parts]),
            truth=np.concatenate([part.truth for part in parts]),
            rank_scores=tuple(map(np.concatenate, zip(*by_rank, strict=True))) if len(by_rank) == len(parts) else None,
            columns=pa.concat_tables(tables) if len(tables) == len(parts) else None,
        )

    def described(self, **facts: Any) -> Predictions:
        """The same answers with more facts."""
        return replace(self, facts={**self.facts, **facts})

    def save(self, path: str | Path) -> Path:
        """Write one compressed file that :meth:`load` reads, whole or not at all."""
        path = Path(path)
        arrays: dict[str, npt.NDArray[Any]] = {
            "ids": np.array([str(id_) for id_ in self.ids], np.str_),
            "classes": self.classes,
            "logits": self.logits,
            "features": self.features,
            "truth": self.truth,
            "facts": np.array(json.dumps(self.facts, default=str)),
            "taxonomy": _bytes(self.taxonomy.to_table()),
        }
        if self.columns is not None:
            arrays["columns"] = _bytes(self.columns)
        for i, (scores, nodes) in enumerate(zip(self.rank_scores or (), self.rank_nodes)):
            arrays[f"rank_scores_{i}"], arrays[f"rank_nodes_{i}"] = scores, nodes
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote. Raises BiocosmosError for another or a broken file."""
        try:
            return cls._from(read_arrays(path, _ARRAYS, what="predictions", remedy="make them again"))
        except (OSError, ValueError, TypeError, LookupError, pa.ArrowException) as error:
            raise BiocosmosError(f"cannot read predictions from {path}: {' '.join(str(error).split())[:200]}") from error

    @classmethod
    def _from(cls, stored: Mapping[str, npt.NDArray[Any]]) -> Predictions:
        count = sum(name.startswith("rank_nodes_") for name in stored)
        return cls(
            ids=stored["ids"].astype(object),
            taxonomy=Taxonomy.from_table(_table(stored["taxonomy"])),
            classes=stored["classes"],
            logits=stored["logits"],
            features=stored["features"],
            truth=stored["truth"],
            rank_scores=tuple(stored[f"rank_scores_{i}"] for i in range(count)) or None,
            rank_nodes=tuple(stored[f"rank_nodes_{i}"] for i in range(count)),
            facts=parse_facts(str(stored["facts"]), {}, where="its facts", what="a description", remedy="make them again"),
            columns=_table(stored["columns"]) if "columns" in stored else None,
        )


def node_log_p(tree: CandidateTree, logits: npt.NDArray[Any]) -> Float32:
    """log p of every node of the whole taxonomy from class scores (n, C): (n, N) float32, -inf where no class is under a node."""
    scores = logits.astype(np.float64)
    scores = scores - scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    out = np.full((len(scores), len(tree.taxonomy)), -np.inf, np.float32)
    for place, node in enumerate(tree.nodes):  # a sum of its own for each node: differences of sums would lose small p
        out[:, node] = np.logaddexp.reduce(scores[:, tree.start[place] : tree.stop[place]], axis=1)
    out[:, 0] = 0.0
    return out


def _bytes(table: pa.Table) -> npt.NDArray[np.uint8]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def _table(stored: npt.NDArray[np.uint8]) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stored.tobytes())).read_all()
