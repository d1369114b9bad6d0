"""What a head says of some specimens: log p of every node of its tree, and what it was computed from.

Roll-back, promises, sets, novelty and metrics read this table and never ask which head filled it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.identify.paths import CandidateTree
from biocosmos.tables import replacing
from biocosmos.taxonomy import Taxonomy

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers of a head about n specimens, over a tree of N nodes, C of which are classes, with L ranks.

    Attributes:
        ids: (n,) object array of str.
        taxonomy: the head's tree, over the ranks it was trained on.
        classes: (C,) int32 ascending nodes: the deepest known taxa of the training specimens.
        log_p: (n, N) float32, log p of every node; consistent: the root is 0, a parent is the sum of what is under it;
            -inf for nodes with no class at or under them.
        logits: (n, C) float32 class scores; their softmax is the distribution over the classes.
        features: (n, d) float32, what the finest level's classifier sees; not normalised.
        truth: (n,) int32, the deepest known node of each specimen; 0 nothing is known; -1 its path is not in the tree.
        levels: per rank, (n, n_l) float32 log-softmax as that level says it before it is made consistent; None for heads that
            have no such thing.
        level_nodes: per rank, (n_l,) int32, the nodes of the columns of ``levels``.
        facts: head, encoder, digest, split, part: JSON-ready.
        columns: one row a specimen (label, group, ...), or None.
    """

    ids: npt.NDArray[np.object_]
    taxonomy: Taxonomy
    classes: Int32
    log_p: Float32
    logits: Float32
    features: Float32
    truth: Int32
    levels: tuple[Float32, ...] | None = None
    level_nodes: tuple[Int32, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    columns: pa.Table | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        for name in ("log_p", "logits", "features", "truth", "columns"):
            part = getattr(self, name)
            if part is not None and len(part) != n:
                raise BiocosmosError(f"predictions of {n} specimens cannot have {len(part)} rows of {name}")
        if self.log_p.shape[1] != len(self.taxonomy) or self.logits.shape[1] != len(self.classes):
            raise BiocosmosError(
                f"predictions need a column for each of {len(self.taxonomy)} nodes and {len(self.classes)} classes, "
                f"not {self.log_p.shape[1]} and {self.logits.shape[1]}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ranks(self) -> tuple[str, ...]:
        """The ranks of the tree, coarsest first."""
        return self.taxonomy.ranks

    @cached_property
    def tree(self) -> CandidateTree:
        """The part of the taxonomy above the classes."""
        return CandidateTree(self.taxonomy, self.classes)

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """(n,) whether something is known about the specimen: its truth is a node below the root."""
        return self.truth > 0

    @cached_property
    def answerable(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the truth is a node with a class at or under it: only then can the head be right at the deepest rank."""
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
            log_p=self.log_p[rows],
            logits=self.logits[rows],
            features=self.features[rows],
            truth=self.truth[rows],
            levels=None if self.levels is None else tuple(level[rows] for level in self.levels),
            columns=None if self.columns is None else self.columns.take(pa.array(rows)),
        )

    def joined(self, other: Predictions) -> Predictions:
        """These specimens and then those of ``other``; raises BiocosmosError for predictions of another head."""
        same = self.taxonomy == other.taxonomy and np.array_equal(self.classes, other.classes)
        if not same or self.facts.get("digest") != other.facts.get("digest"):
            raise BiocosmosError("predictions of two heads cannot be joined: make both with one head")
        both = self.levels is not None and other.levels is not None
        return replace(
            self,
            ids=np.concatenate([self.ids, other.ids]),
            log_p=np.concatenate([self.log_p, other.log_p]),
            logits=np.concatenate([self.logits, other.logits]),
            features=np.concatenate([self.features, other.features]),
            truth=np.concatenate([self.truth, other.truth]),
            levels=tuple(map(np.concatenate, zip(self.levels or (), other.levels or ()))) if both else None,
            facts={**self.facts, "part": f"{self.facts.get('part')} and {other.facts.get('part')}"},
            columns=None if self.columns is None or other.columns is None else pa.concat_tables([self.columns, other.columns]),
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
            "log_p": self.log_p,
            "logits": self.logits,
            "features": self.features,
            "truth": self.truth,
            "facts": np.array(json.dumps(self.facts, default=str)),
            "taxonomy": _bytes(self.taxonomy.to_table()),
        }
        if self.columns is not None:
            arrays["columns"] = _bytes(self.columns)
        for i, (level, nodes) in enumerate(zip(self.levels or (), self.level_nodes)):
            arrays[f"level_{i}"], arrays[f"level_nodes_{i}"] = level, nodes
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote. Raises BiocosmosError for another or a broken file."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls._from(stored)
        except (OSError, ValueError, KeyError, pa.ArrowInvalid) as error:
            raise BiocosmosError(f"cannot read predictions from {path}: {' '.join(str(error).split())[:200]}") from error

    @classmethod
    def _from(cls, stored: Mapping[str, npt.NDArray[Any]]) -> Predictions:
        count = sum(name.startswith("level_nodes_") for name in stored)
        return cls(
            ids=stored["ids"].astype(object),
            taxonomy=Taxonomy.from_table(_table(stored["taxonomy"])),
            classes=stored["classes"],
            log_p=stored["log_p"],
            logits=stored["logits"],
            features=stored["features"],
            truth=stored["truth"],
            levels=tuple(stored[f"level_{i}"] for i in range(count)) or None,
            level_nodes=tuple(stored[f"level_nodes_{i}"] for i in range(count)),
            facts=json.loads(str(stored["facts"])),
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
