"""Naming by one prototype for each taxon, some of which were never trained on and stand where their relatives say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.arrays import read_arrays
from biocosmos.errors import BiocosmosError
from biocosmos.facts import parse_facts
from biocosmos.identify.predictions import Predictions
from biocosmos.tables import replacing
from biocosmos.taxonomy import Taxonomy

PROTOTYPES, TREE = "prototypes.npz", "prototypes_taxonomy.parquet"
SEEN, CHOSEN_ON, UNSEEN = "seen", "chosen on", "unseen"
"""Roles: trained on; left out of training and used to choose by; left out, and asked about."""
Array = npt.NDArray[Any]
_ARRAYS = {"nodes": ("iu", 1), "points": ("f", 2), "roles": ("U", 1), "handicaps": ("f", 1), "facts": ("U", 0)}
"""Of :data:`PROTOTYPES`."""


@dataclass(frozen=True, eq=False)
class PlacedPrototypes:
    """K taxa as points.

    taxonomy: the tree; nodes: (K,) int32 ascending, the taxa; points: (K, d) float32 unit vectors; roles: (K,) str; handicaps:
    (K,) float32, what is taken from the cosine of each taxon, since those with training images win too often (calibrated
    stacking, Chao et al. 2016, arXiv:1605.04253), 0 for unseen ones; scale: logits are scale * (cosine - handicap); facts:
    encoder, digest, split, JSON-ready.
    """

    taxonomy: Taxonomy
    nodes: npt.NDArray[np.int32]
    points: npt.NDArray[np.float32]
    roles: Array
    handicaps: npt.NDArray[np.float32]
    scale: float
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.nodes)

    def scores(self, vectors: Array) -> npt.NDArray[np.float32]:
        """vectors: (n, d) unit -> (n, K) float32 cosines, less the handicaps."""
        if vectors.shape[1] != self.points.shape[1]:
            raise BiocosmosError(
                f"vectors of {vectors.shape[1]} numbers cannot be compared with prototypes of {self.points.shape[1]}: "
                f"use those of the encoder '{self.facts.get('folder', self.facts.get('encoder'))}'"
            )
        cosines = np.asarray(vectors, np.float32) @ self.points.T
        return np.asarray(cosines - self.handicaps, np.float32)

    def places(self, vectors: Array, truth: Array, among: Array | None = None) -> npt.NDArray[np.int64]:
        """(n,) place of the true taxon from 0, equal scores counting against it.

        truth: (n,) indices of taxa; among: (K,) bool, the candidates, the truth among them.
        """
        scores = self.scores(vectors)
        if among is not None:
            scores = np.where(among, scores, -np.inf)
        own = scores[np.arange(len(truth)), truth][:, None]
        return np.asarray((scores >= own).sum(axis=1) - 1, np.int64)

    def predictions(self, ids: Sequence[str], vectors: Array, truth: Array, columns: pa.Table | None = None) -> Predictions:
        """What it says of n specimens, over the whole tree, unseen taxa included.

        vectors: (n, d) unit; truth: (n,) nodes as in :class:`Predictions`.
        """
        logits = self.scale * self.scores(vectors)
        names = np.empty(len(ids), object)
        names[:] = [str(id_) for id_ in ids]
        return Predictions(
            names,
            self.taxonomy,
            self.nodes,
            logits,
            np.asarray(vectors, np.float32),
            np.asarray(truth, np.int32),
            facts={"head": "placed prototypes", **self.facts},
            columns=columns,
        )

    def save(self, folder: str | Path) -> Path:
        """Write :data:`TREE` and, last, :data:`PROTOTYPES` into the folder."""
        path = Path(folder) / PROTOTYPES
        self.taxonomy.save(path.with_name(TREE))
        arrays: dict[str, Array] = {
            "nodes": self.nodes,
            "points": self.points,
            "roles": self.roles.astype(np.str_),
            "handicaps": self.handicaps,
            "facts": np.array(json.dumps({"scale": self.scale, "facts": self.facts}, default=str)),
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, folder: str | Path) -> PlacedPrototypes:
        """Read what :meth:`save` wrote. Raises BiocosmosError for a folder without it, or a broken file."""
        path = Path(folder) / PROTOTYPES
        if not path.exists():
            raise BiocosmosError(f"{folder} has no {PROTOTYPES}: it is not the folder of a finished 'biocosmos train zero-shot'")
        told = {"what": "prototypes", "remedy": "restore the file, or train again"}
        stored = read_arrays(path, _ARRAYS, **told)
        facts = parse_facts(str(stored["facts"]), {"scale": float, "facts": {}}, where=str(path), **told)
        taxonomy, nodes, count = Taxonomy.load(path.with_name(TREE)), stored["nodes"], len(stored["nodes"])
        fits = all(len(stored[name]) == count for name in ("points", "roles", "handicaps"))
        if not fits or (count and not 0 <= int(nodes.min()) <= int(nodes.max()) < len(taxonomy)):
            raise BiocosmosError(f"the prototypes in {path} are not those of {TREE} beside it: restore both, or train again")
        roles = stored["roles"].astype(object)
        return cls(taxonomy, nodes, stored["points"], roles, stored["handicaps"], float(facts["scale"]), facts["facts"])
