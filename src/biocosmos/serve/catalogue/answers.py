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
from biocosmos.serve.catalogue.distinct import Distinct
from biocosmos.serve.catalogue.stored import BATCH, Stored
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
    return Answers(None, np.full(count, -1, np.int32), _nan(count), _nan(count))


def _tables(collection: Collection) -> list[Path]:
    return sorted((collection.path / FOLDER).glob("*.parquet"))


def read_latest(collection: Collection) -> Read | None:
    """The latest table, ahead of :func:`load_answers`; None where there is none. Raises BiocosmosError for a damaged file."""
    paths = _tables(collection)
    return _read(paths[-1]) if paths else None


def load_answers(collection: Collection, stored: Stored, latest: Read | None = None) -> Answers:
    """The answers to the specimens that are there; raises BiocosmosError for a damaged file. latest: if it was read already."""
    paths = _tables(collection)
    if not paths:
        return no_answers(len(stored))
    confidence, novelty = _nan(len(stored)), _nan(len(stored))
    owner = np.full(len(stored), -1, np.int32)  # which of the tables a row is of
    way = _way(paths[-1])
    trees: list[tuple[Taxonomy | None, Int32, Int32]] = []
    for number, path in enumerate(paths):
        read = latest if latest is not None and latest.path == path else _read(path)
        rows = _rows(stored, read.ids)
        there = rows >= 0
        at = rows[there]
        owner[at] = number
        confidence[at] = read.confidence[there]
        novelty[at] = read.novelty[there] if _way(path) == way else np.nan
        tree, nodes = _paths(read.distinct)
        trees.append((tree, at, nodes[read.codes[there]]))
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


@dataclass(frozen=True)
class Read:
    """A table of answers: what it says, told apart once (``distinct``), and (rows,) which of these each row says."""

    path: Path
    ids: pa.Array
    confidence: Float32
    novelty: Float32
    distinct: pa.Table
    codes: Int32


def _read(path: Path) -> Read:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        texts = [name for name in dict.fromkeys(("taxon", "rank", *answered_ranks(names))) if name in names]
        numbers = [name for name in ("confidence", "novelty") if name in names]
        said, ids, read = Distinct(texts), [pa.array([], pa.string())], {name: [_nan(0)] for name in ("confidence", "novelty")}
        for batch in file.iter_batches(BATCH, columns=["id", *texts, *numbers]):
            ids.append(pc.cast(batch.column("id"), pa.string()))
            for name, parts in read.items():
                parts.append(_numbers(batch, name))
            said.add(batch)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it, or remove it and identify again") from error
    return Read(path, pa.concat_arrays(ids), np.concatenate(read["confidence"]), np.concatenate(read["novelty"]), *said.finish())


def _rows(stored: Stored, ids: pa.Array) -> Int32:
    """Rows of the ids of a table, which are most often those of the collection as they are stored."""
    if len(ids) == len(stored) and ids.equals(stored.ids):
        return np.arange(len(ids), dtype=np.int32)
    return stored.rows_of_ids(ids)


def _nan(count: int) -> Float32:
    return np.full(count, np.nan, np.float32)


def _way(path: Path) -> tuple[str, ...]:
    """By what the novelty of a table was measured."""
    about: Any = read_provenance(path) or {}
    encoder = about.get("encoder")
    return tuple(str(said) for said in (about.get("method"), about.get("detector"), encoder))


def _numbers(batch: pa.RecordBatch, name: str) -> Float32:
    if name not in batch.schema.names:
        return _nan(batch.num_rows)
    numbers = pc.fill_null(pc.cast(batch.column(name), pa.float32(), safe=False), np.nan)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float32)


def _paths(table: pa.Table) -> tuple[Taxonomy | None, Int32]:
    """The tree of the answers ``table``, texts all: each path cut where its answer stops, and (rows,) nodes of it."""
    named, ranks = pc.is_valid(table["taxon"]), [name for name in table.column_names if name not in ("taxon", "rank")]
    said = table["rank"] if "rank" in table.column_names else pa.nulls(table.num_rows, pa.string())
    if not ranks:  # only the name and its rank are told
        ranks = [rank for rank in pc.unique(said).to_pylist() if rank]
        paths = {rank: pc.if_else(pc.fill_null(pc.equal(said, rank), False), table["taxon"], None) for rank in ranks}
    else:
        sure = pc.if_else(named, pc.fill_null(pc.index_in(said, value_set=pa.array(ranks, pa.string())), -1), -1)
        paths = {rank: pc.if_else(pc.greater_equal(sure, i), table[rank], None) for i, rank in enumerate(ranks)}
    if not ranks:
        return None, np.zeros(table.num_rows, np.int32)
    tree = Taxonomy.from_table(pa.table(paths), ranks=ranks)
    return tree, np.maximum(tree.index(pa.table(paths)), 0)
