"""Class labels of a training part: one for each specimen, of clusters or of taxa, saved with what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.arrays import read_array
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import Number, parse_facts
from biocosmos.search.exact import ExactIndex
from biocosmos.tables import replacing

NEAREST = 16
"""Nearest classes kept with each specimen: MLCD learns 8."""

_KEY = b"biocosmos.clusters"
_SHAPE = {"facts": {}, "names": (None, [str]), "digest": str, "count": Number(1, whole=True)}
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClusterLabels:
    """One class for each specimen of a training part.

    Attributes:
        ids: (n,) object array of str, ascending.
        labels: (n,) int32 in [0, k), every class used.
        near: (n, m) int32, the nearest classes of each specimen, its own first, then by falling similarity; m <= NEAREST.
        centroids: (k, dim) float32 unit vectors in the space that was clustered.
        facts: what made them: source, encoder and digest, split and hash, seed, clusters asked for, left out and so on.
        names: (k,) names of the classes when they are taxa, else None.
    """

    ids: Array
    labels: Array
    near: Array
    centroids: Array
    facts: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        valid = len(self.labels) > 0 and int(self.labels.min()) >= 0
        if not valid or not bool(self.sizes().all()) or len(self.sizes()) != self.count:
            raise BiocosmosError(f"cluster ids must be 0 to {self.count - 1}, every one of them used: number them anew")
        if not len(self.ids) == len(self.labels) == len(self.near):
            raise BiocosmosError(f"{len(self.ids)} ids cannot have {len(self.labels)} labels: pass one for each")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def count(self) -> int:
        """Number of classes k."""
        return len(self.centroids)

    def sizes(self) -> Array:
        """(k,) int64 specimens of each class."""
        return np.bincount(self.labels, minlength=self.count)

    def nearest(self, p: int) -> Array:
        """(n, p) int32: the ``p`` nearest classes of each specimen, its own first (labels for MLCD).

        Raises BiocosmosError when there are not so many classes, or fewer were kept.
        """
        if not 1 <= p <= self.near.shape[1]:
            raise BiocosmosError(
                f"cannot give each specimen its {p} nearest of {self.count} clusters: ask for 1 to {self.near.shape[1]}"
            )
        return np.ascontiguousarray(self.near[:, :p])

    def rows_of(self, ids: Sequence[str] | Array) -> Array:
        """(len(ids),) int64 row of each id, -1 for one that has no label."""
        at = np.searchsorted(self.ids.astype(str), np.asarray(ids, dtype=str))
        at = np.minimum(at, len(self.ids) - 1)
        return np.where(self.ids[at].astype(str) == np.asarray(ids, dtype=str), at, -1)

    @property
    def digest(self) -> str:
        """16 hex digits over every pair of id and label."""
        total = hashlib.sha256("\x1f".join(self.ids.tolist()).encode())
        total.update(np.ascontiguousarray(self.labels, np.int32).tobytes())
        return total.hexdigest()[:16]

    def save(self, path: str | Path) -> Path:
        """Write ids, labels and nearest classes as Parquet, the facts in its metadata, the centroids beside it (.npy)."""
        path = Path(path)
        near = pa.FixedSizeListArray.from_arrays(pa.array(self.near.reshape(-1), pa.int32()), self.near.shape[1])
        columns = {"id": pa.array(self.ids.tolist(), pa.string()), "cluster": pa.array(self.labels, pa.int32()), "nearest": near}
        facts = {"facts": self.facts, "names": self.names, "digest": self.digest, "count": self.count}
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(facts, default=str).encode()})
        with replacing(_centroid_path(path)) as temporary, temporary.open("wb") as file:
            np.save(file, self.centroids)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return path

    @classmethod
    def load(cls, path: str | Path) -> ClusterLabels:
        """Read what :meth:`save` wrote. Raises BiocosmosError if a file is missing, or not whole."""
        path = Path(path)
        try:
            table = pq.read_table(path).select(["id", "cluster", "nearest"])
            stored = parse_facts(
                (table.schema.metadata or {}).get(_KEY), _SHAPE, where=str(path), what="cluster labels", remedy="make them again"
            )
            centroids = read_array(_centroid_path(path), ("f", 2), what="cluster labels", remedy="make them again")
            ids = np.array(table["id"].cast(pa.string()).to_pylist(), dtype=object)
            near = table["nearest"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
            names = None if stored["names"] is None else tuple(stored["names"])
            labels = cls(ids, table["cluster"].to_numpy(), near, centroids, stored["facts"], names)
        except (OSError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
            raise BiocosmosError(f"cannot read cluster labels from {path}: make them again ({first_line(error)})") from error
        if labels.digest != stored["digest"] or labels.count != stored["count"]:
            raise BiocosmosError(f"{path}: the labels do not match their own digest, the file was changed: make them again")
        return labels


def labelled(
    ids: Array,
    vectors: Array,
    labels: Array,
    centroids: Array,
    facts: Mapping[str, Any] | None = None,
    names: tuple[str, ...] | None = None,
) -> ClusterLabels:
    """Labels with the nearest classes of every specimen; the own class comes first even where another is as near."""
    count = min(NEAREST, len(centroids))
    found = ExactIndex(np.ascontiguousarray(centroids, np.float32)).search(vectors, count).rows
    own = np.asarray(labels, dtype=np.int64)
    near = np.concatenate([own[:, None], found], 1)
    again = near[:, 1:] == own[:, None]
    again[~again.any(1), -1] = True  # the own class was not among the nearest: the last gives way
    keep = np.concatenate([np.ones((len(near), 1), bool), ~again], 1)
    near = near[keep].reshape(len(near), count).astype(np.int32)
    return ClusterLabels(np.asarray(ids, object), own.astype(np.int32), near, centroids, dict(facts or {}), names)


def _centroid_path(path: Path) -> Path:
    return path.with_name(path.stem + ".centroids.npy")
