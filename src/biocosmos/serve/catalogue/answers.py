"""What machines said of the specimens: the identifications that were kept, of each specimen the latest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.serve.catalogue.stored import Stored
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import FOLDER
from biocosmos.specimens.writers.naming import answered_ranks
from biocosmos.tables import read_provenance
from biocosmos.taxonomy import Taxonomy

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """taxonomy: of the answers, None where there is none; nodes: (n,) int32 into it, 0 for an answer that names nothing, -1 where
    none is kept; confidence, novelty: (n,) float32, NaN where none. Novelties of two ways of measuring are not put side by side:
    they are those of the way that the latest table has."""

    taxonomy: Taxonomy | None
    nodes: Int32
    confidence: Float32
    novelty: Float32


def no_answers(count: int) -> Answers:
    nan = np.full(count, np.nan, np.float32)
    return Answers(None, np.full(count, -1, np.int32), nan, nan)


def load_answers(collection: Collection, stored: Stored) -> Answers:
    """The answers to the specimens that are there; raises BiocosmosError for a damaged file."""
    paths = sorted((collection.path / FOLDER).glob("*.parquet"))
    if not paths:
        return no_answers(len(stored))
    confidence, novelty = (np.full(len(stored), np.nan, np.float32) for _ in range(2))
    owner = np.full(len(stored), -1, np.int32)  # which of the tables a row is of
    way = _way(paths[-1])
    trees: list[tuple[Taxonomy | None, Int32, Int32]] = []
    for number, path in enumerate(paths):
        table = _read(path)
        rows = stored.rows_of_ids(table["id"].combine_chunks())
        there = np.flatnonzero(rows >= 0)
        at = rows[there]
        owner[at] = number
        confidence[at] = _numbers(table, "confidence")[there]
        novelty[at] = _numbers(table, "novelty")[there] if _way(path) == way else np.nan
        tree, nodes = _paths(table)
        trees.append((tree, at, nodes[there]))
    return Answers(*_joined(trees, owner), confidence, novelty)


def _joined(trees: list[tuple[Taxonomy | None, Int32, Int32]], owner: Int32) -> tuple[Taxonomy | None, Int32]:
    """One tree of all the tables, and the node of each specimen by the latest that has it."""
    ranks = next((tree.ranks for tree, _, _ in reversed(trees) if tree is not None), None)
    nodes = np.where(owner >= 0, 0, -1).astype(np.int32)
    if ranks is None:
        return None, nodes
    # a table of other ranks brings what of them the latest has too
    shared = [_on_ranks(tree, ranks) if tree is not None else None for tree, _, _ in trees]
    whole = Taxonomy.from_table(pa.concat_tables([each for each in shared if each is not None]), ranks=ranks)
    for number, ((_, at, of), table) in enumerate(zip(trees, shared, strict=True)):
        if table is not None:
            mine = owner[at] == number
            nodes[at[mine]] = np.maximum(whole.index(table), 0)[of[mine]]
    return whole, nodes


def _on_ranks(tree: Taxonomy, ranks: tuple[str, ...]) -> pa.Table:
    """A row per node of ``tree``: its names at these ranks."""
    table = tree.rank_table(np.arange(len(tree)))
    null = pa.nulls(len(tree), pa.string())
    return pa.table({rank: table[rank] if rank in tree.ranks else null for rank in ranks})


def _read(path: Path) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        wanted = [name for name in ("id", "taxon", "rank", "confidence", "novelty", *answered_ranks(names)) if name in names]
        texts = [name for name in wanted if name not in ("id", "confidence", "novelty")]
        return pq.read_table(path, columns=wanted, read_dictionary=texts)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it, or remove it and identify again") from error


def _way(path: Path) -> tuple[str, ...]:
    """By what the novelty of a table was measured."""
    about: Any = read_provenance(path) or {}
    encoder = about.get("encoder")
    return tuple(str(said) for said in (about.get("method"), about.get("detector"), encoder))


def _numbers(table: pa.Table, name: str) -> Float32:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan, np.float32)
    numbers = pc.fill_null(pc.cast(table[name], pa.float32(), safe=False), np.nan)
    return np.asarray(numbers.to_numpy(), np.float32)


def _paths(table: pa.Table) -> tuple[Taxonomy | None, Int32]:
    """The tree of the answers of one table, each path cut where its answer stops, and (rows,) nodes of it."""
    ranks = answered_ranks([*table.column_names, *(f"{name}_confidence" for name in table.column_names)])
    ranks = tuple(rank for rank in ranks if rank not in ("id", "taxon", "rank", "confidence", "novelty"))
    named = pc.is_valid(table["taxon"]).to_numpy()
    if not ranks:  # only the name and its rank are told
        return _by_rank(table, named)
    place = {rank: i for i, rank in enumerate(ranks)}
    said = table["rank"].combine_chunks()
    codes = said.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    sure = np.array([*(place.get(rank, -1) for rank in said.dictionary.to_pylist()), -1])[codes]
    sure = np.where(named, sure, -1)
    cut = {}
    for i, rank in enumerate(ranks):
        whole = table[rank].unify_dictionaries().combine_chunks()
        indices = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        kept = pa.array(np.asarray(indices, np.int32), mask=(indices < 0) | (sure < i))
        cut[rank] = pa.DictionaryArray.from_arrays(kept, whole.dictionary)
    paths = pa.table(cut)
    tree = Taxonomy.from_table(paths, ranks=ranks)
    return tree, np.maximum(tree.index(paths), 0)


def _by_rank(table: pa.Table, named: npt.NDArray[np.bool_]) -> tuple[Taxonomy | None, Int32]:
    taxa, ranks = (pc.cast(table[name], pa.string()).combine_chunks() for name in ("taxon", "rank"))
    distinct = [rank for rank in pc.unique(ranks).to_pylist() if rank]
    if not distinct:
        return None, np.zeros(len(named), np.int32)
    paths = pa.table({rank: pc.if_else(pc.fill_null(pc.equal(ranks, rank), False), taxa, None) for rank in distinct})
    tree = Taxonomy.from_table(paths, ranks=distinct)
    return tree, np.maximum(tree.index(paths), 0)
