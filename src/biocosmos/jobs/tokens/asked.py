"""The specimens that a study of token reductions asks about and answers with: their ids, taxa and prepared images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.clustering.work import digest
from biocosmos.jobs.tokens.nearest import nearest
from biocosmos.jobs.tokens.prepared import Prepared, files, prepare
from biocosmos.jobs.tokens.settings import TokensStudySettings
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Specimens:
    """ids: (n,) object; table: id and ranks, the same rows; nodes: (n,) the taxon at ``rank`` that is judged, -1 without one."""

    ids: Array
    table: pa.Table
    nodes: Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Asked:
    """queries, gallery: who asks and who answers; rank: at which neighbours must share a taxon; same: (queries, ) places in the
    gallery of the queries themselves, -1 where they are not in it; answerable: (queries,) bool, another of the taxon is there."""

    queries: Specimens
    gallery: Specimens
    rank: str
    same: Array
    answerable: Array

    def nearest_is_right(self, queries: Array, gallery: Array) -> Array:
        """(queries,) float64 1 where the nearest other specimen is of the query's taxon, NaN where none could be.

        queries, gallery: unit vectors (n, d) float32.
        """
        right: Array = (self.gallery.nodes[nearest(queries, gallery, own=self.same)] == self.queries.nodes).astype(np.float64)
        right[~self.answerable] = np.nan
        return right


def choose_specimens(collection: Collection, settings: TokensStudySettings) -> Asked:
    """Who asks and who answers, seeded samples of what is more. Raises BiocosmosError where nobody asks or could be answered."""
    chosen = []
    for part, limit in ((settings.split, settings.limit), (settings.gallery, settings.gallery_limit)):
        table = collection.table(["id", *collection.ranks], split=part, where=settings.where)
        if not table.num_rows:
            raise BiocosmosError(f"no specimen of part '{part}' of {collection.path} was selected: name another part")
        # in no order: the first of them are traced, and a collection is often ordered by taxon
        rows = np.random.default_rng(settings.seed).permutation(table.num_rows)[:limit]
        chosen.append(table.take(pa.array(rows)))
    taxonomy = collection.taxonomy
    nodes = [taxonomy.index(table) for table in chosen]
    named = [rank for rank in taxonomy.ranks if 2 * (taxonomy.ancestor(nodes[0], rank) >= 0).sum() >= len(nodes[0])]
    if not named:
        raise BiocosmosError(
            f"most specimens of part '{settings.split}' have no name at any rank, so that nothing can be right: name another part"
        )
    asking, answering = (
        Specimens(np.array(table["id"].to_pylist(), object), table, taxonomy.ancestor(found, named[-1]))
        for table, found in zip(chosen, nodes)
    )
    return asked_of(asking, answering, named[-1])


def asked_of(queries: Specimens, gallery: Specimens, rank: str) -> Asked:
    """Queries against a gallery, in which they do not find themselves."""
    places = {id_: row for row, id_ in enumerate(gallery.ids)}
    same = np.array([places.get(id_, -1) for id_ in queries.ids], np.int64)
    there = np.bincount(gallery.nodes[gallery.nodes >= 0], minlength=int(max(queries.nodes.max(), gallery.nodes.max())) + 1)
    enough = there[np.maximum(queries.nodes, 0)] > (same >= 0)
    return Asked(queries, gallery, rank, same, (queries.nodes >= 0) & enough)


def readable(collection: Collection, asked: Asked, preprocessing: Preprocessing, folder: Path) -> tuple[Asked, Pixels, Pixels]:
    """The specimens whose images can be read, and these as the encoder takes them.

    Raises BiocosmosError where no image can be read.
    """
    failures = Failures()
    sides, pixels = [], []
    for side in (asked.queries, asked.gallery):
        prepared = Pixels.of(collection, side.ids, preprocessing, folder, failures)
        kept = np.flatnonzero(prepared.good)
        if not len(kept):
            raise BiocosmosError(f"no image that was asked for can be read in {collection.path}: see 'biocosmos failures'")
        sides.append(Specimens(side.ids[kept], side.table.take(pa.array(kept)), side.nodes[kept]))
        pixels.append(prepared)
    return asked_of(sides[0], sides[1], asked.rank), pixels[0], pixels[1]


@dataclass(frozen=True)
class Pixels:
    """Prepared images in files, so that every setting reads them without decoding; stem: the files begin with it; prepared: those
    that could be read; good: (n,) bool, which these are."""

    stem: Path
    prepared: Prepared
    good: Array

    @classmethod
    def of(
        cls, collection: Collection, ids: Sequence[str] | Array, preprocessing: Preprocessing, folder: Path, failures: Failures
    ) -> Pixels:
        """Read and prepare the images of ``ids`` once; files that are whole are taken as they are."""
        facts = hashlib.sha256(f"{digest(np.asarray(ids, object))} {preprocessing.as_dict()} {collection.path}".encode())
        stem = folder / f"pixels-{facts.hexdigest()[:20]}"
        return cls(stem, *prepare(collection, list(ids), preprocessing, stem, stage="tokens study", failures=failures))

    def batches(self, size: int, most: int | None = None) -> Iterator[torch.Tensor]:
        """The images that could be read, ``size`` at a time, ``most`` at most."""
        images = self.prepared.pixels[:most]
        for start in range(0, len(images), size):
            yield torch.from_numpy(np.array(images[start : start + size]))

    def first(self, count: int) -> Array:
        """(count, size, size, 3) uint8: the first that could be read, to be looked at."""
        return np.ascontiguousarray(self.prepared.pixels[:count].transpose(0, 2, 3, 1))

    def remove(self) -> None:
        """When nobody reads them any more."""
        for path in files(self.stem):
            path.unlink(missing_ok=True)
