"""Vectors that were made elsewhere, matched to specimens by id and never by position."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.arrays import DAMAGE
from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_there
from biocosmos.tables import provenance_beside, replacing

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Ids = Sequence[Any] | npt.NDArray[Any]
GIVEN = "given"
"""What stands as the backend of a column whose vectors no encoder of this package made."""
STAGE = "embed"
BLOCK_ROWS = 16 * 1024
DIGEST_LENGTH = 16
UNIT_WITHIN = 1e-5
"""A vector made unit length in float32 is within so much of it, in up to 4,096 dimensions."""
FACTS_KEY = b"biocosmos.embedding"
UNREADABLE = (*DAMAGE, pa.ArrowException)
"""What reading a damaged file of vectors raises."""
IDS_BESIDE = ".ids.csv"
ID_NAMES = ("id", "ids")
VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings")


class Vectors(NamedTuple):
    """Ids and their vectors, row by row: ids (n,) object array of str, matrix (n, dim) float32."""

    ids: npt.NDArray[np.object_]
    matrix: npt.NDArray[np.float32]


@dataclass
class GivenSummary:
    """What :meth:`Collection.add_embedding` did.

    Attributes:
        stored: specimens that got their vector.
        without: specimens of the collection that none was given for.
        failures: ids that no specimen has, ids given twice, vectors that are zero or not finite; none of them is stored.
    """

    stored: int = 0
    without: int = 0
    failures: Failures = field(default_factory=Failures)


def add(
    collection: Collection,
    name: str,
    ids: Ids,
    vectors: Any,
    *,
    overwrite: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> GivenSummary:
    """See :meth:`Collection.add_embedding`. facts: what made the vectors, as :func:`read_facts` has it of a file of ours."""
    if name in collection.encoders and not overwrite:
        raise BiocosmosError(f"{collection.path} has an embedding '{name}': choose another name, or replace it (--overwrite)")
    summary = GivenSummary()
    given = usable(ids, vectors, summary.failures)
    present = {id_ for block in _ids(collection) for id_ in block.to_pylist()}
    known = np.array([id_ in present for id_ in given.ids], bool)
    for id_ in given.ids[~known]:
        summary.failures.add("no specimen has this id", stage=STAGE, id=id_)
    if not known.any():
        raise BiocosmosError(f"none of the {len(known):,} ids is that of a specimen of {collection.path}: '{given.ids[0]}', say")
    given = Vectors(given.ids[known], given.matrix[known])
    made = {"digest": digest(given), "dim": given.matrix.shape[1], "precision": "float32", "backend": GIVEN}
    is_encoders = facts is not None and (facts["name"], facts["dim"]) == (name, made["dim"]) and facts.get("backend") != GIVEN
    if facts is not None and is_encoders:
        made = {key: value for key, value in facts.items() if key not in ("name", "created")}
    collection.add_vectors(name, made, in_order(_ids(collection), given))
    summary.stored, summary.without = len(given.ids), len(present) - len(given.ids)
    collection.record_failures(summary.failures)
    return summary


def _ids(collection: Collection) -> Iterator[pa.Array]:
    return (batch.column("id") for batch in collection.dataset.to_batches(columns=["id"]))


def usable(ids: Ids, vectors: Any, failures: Failures) -> Vectors:
    """The rows that can be stored, each as a unit vector; of every other the reason, in ``failures``.

    vectors: (n, dim), anything NumPy takes for a matrix of numbers, a torch tensor among them.
    Raises BiocosmosError where these are no matrix, where ids and vectors differ in number, or where no row can be stored.
    """
    names = np.array([str(id_).strip() for id_ in ids], object)
    try:
        given = np.asarray(vectors)
        matrix = given if given.dtype.kind == "f" else given.astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BiocosmosError(f"the vectors are no matrix of numbers: {first_line(error)}") from error
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise BiocosmosError(f"the vectors must be a matrix (rows, dim), but their shape is {matrix.shape}")
    if len(names) != len(matrix):
        raise BiocosmosError(f"{len(names):,} ids for {len(matrix):,} vectors: each vector needs the id of its specimen")
    lengths = _lengths(matrix)
    good = np.isfinite(lengths) & (lengths > 0)
    for row in np.flatnonzero(~good):
        why = "the zero vector has no direction" if lengths[row] == 0 else "the vector is not finite"
        failures.add(why, stage=STAGE, row=int(row) + 1, id=names[row])
    first: dict[str, int] = {}
    for row in np.flatnonzero(good):
        if names[row] in first:
            failures.add(f"the id was given in row {first[names[row]] + 1} before", stage=STAGE, row=int(row) + 1, id=names[row])
            good[row] = False
        first.setdefault(names[row], int(row))
    if not good.any():
        raise BiocosmosError(f"none of the {len(matrix):,} vectors can be stored: {_most_frequent(failures)}")
    rows = np.flatnonzero(good)
    # what has unit length as float32 knows it stays to the last bit: vectors that were written out come back the same
    by = np.where(np.abs(lengths[rows] - 1) < UNIT_WITHIN, 1.0, lengths[rows])
    return Vectors(names[rows], (matrix[rows] / by[:, None]).astype(np.float32))


def in_order(ids: Iterator[pa.Array], vectors: Vectors) -> Iterator[pa.FixedSizeListArray]:
    """One array for each array of ids, with the vector of each id, or null."""
    row_of = {id_: row for row, id_ in enumerate(vectors.ids)}
    dim = vectors.matrix.shape[1]
    for block in ids:
        rows = np.array([row_of.get(id_, -1) for id_ in block.to_pylist()], np.int64)
        values = vectors.matrix[np.maximum(rows, 0)]
        yield pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float32()), dim, mask=pa.array(rows < 0))


def digest(vectors: Vectors) -> str:
    """Hex digits that change when an id or a vector does, and not with the order of the rows."""
    sha = hashlib.sha256()
    for row in np.argsort(vectors.ids):
        sha.update(str(vectors.ids[row]).encode() + b"\0")
        sha.update(vectors.matrix[row].tobytes())
    return sha.hexdigest()[:DIGEST_LENGTH]


def read_vectors(path: str | Path, ids: str | Path | None = None) -> Vectors:
    """Ids and vectors of a file, as they stand there.

    .npz has the arrays ``ids`` and ``vectors``; .parquet a column ``id`` and one of lists (``vector``, ``embedding``), or one of
    numbers for each dimension; .csv a column ``id`` and one for each dimension; .npy a matrix alone, whose ids are in the file
    ``ids``, one a line in the order of its rows (.txt), or in the column ``id`` of a .csv; where none is named, in the one that
    :func:`write_vectors` wrote beside it.
    Raises BiocosmosError for another form, and for a matrix without ids.
    """
    path = Path(path)
    if not is_there(path):
        raise BiocosmosError(f"there is no file {path}")
    kind = path.suffix.lower()
    if ids is not None and kind != ".npy":
        raise BiocosmosError(f"{path} has ids of its own: leave out {ids}")
    try:
        if kind == ".npy":
            ids = ids_beside(path) if ids is None and is_there(ids_beside(path)) else ids
            if ids is None:
                raise BiocosmosError(f"{path} is a matrix without ids, and rows are not matched by position: name a file of ids")
            return Vectors(_read_ids(Path(ids)), np.load(path, mmap_mode="r", allow_pickle=False))
        if kind == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return Vectors(stored["ids"].astype(str).astype(object), stored["vectors"])
        if kind in (".parquet", ".pq"):
            return _of_table(pq.read_table(path), path)
        if kind == ".csv":
            from pyarrow import csv as arrow_csv

            types = arrow_csv.ConvertOptions(column_types=dict.fromkeys(ID_NAMES, pa.string()))
            return _of_table(arrow_csv.read_csv(path, convert_options=types), path)
    except UNREADABLE as error:
        raise BiocosmosError(f"cannot read vectors from {path}: {first_line(error)}") from error
    raise BiocosmosError(f"cannot read vectors from {path}: the name must end in .npy, .npz, .parquet or .csv")


def read_facts(path: str | Path) -> dict[str, Any] | None:
    """What made the vectors in a file that :func:`write_vectors` wrote: name, digest, dim and the rest; None where nothing is."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                text = str(stored["facts"])
        elif path.suffix.lower() in (".parquet", ".pq"):
            text = (pq.read_schema(path).metadata or {}).get(FACTS_KEY, b"").decode()
        else:
            text = provenance_beside(path).read_text(encoding="utf-8")
        facts = json.loads(text)
    except UNREADABLE:
        return None
    wanted = {"name": str, "digest": str, "dim": int, "preprocessing": dict | None}
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), kind) for key, kind in wanted.items()):
        return None
    return facts


def write_vectors(vectors: Vectors, path: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
    """Ids and vectors as :func:`read_vectors` reads them, and ``facts``, what made them, as :func:`read_facts` does.

    .npz; .parquet with the columns ``id`` and ``vector``; or .npy, whose ids are in ``<name>.ids.csv`` beside it, and whose
    facts in ``<name>.npy.provenance.json``.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".npz", ".parquet", ".npy"):
        raise BiocosmosError(f"cannot write vectors to {path}: the name must end in .npz, .npy or .parquet")
    said = json.dumps(dict(facts or {}), default=str)
    with replacing(path) as temporary:
        if kind == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, ids=vectors.ids.astype(str), vectors=vectors.matrix, facts=np.array(said))
        elif kind == ".parquet":
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.matrix.ravel()), vectors.matrix.shape[1])
            columns = {"id": pa.array(vectors.ids, pa.string()), "vector": column}
            pq.write_table(pa.table(columns, metadata={FACTS_KEY: said.encode()}), temporary, compression="zstd")
        else:
            with temporary.open("wb") as file:
                np.save(file, vectors.matrix)
            with replacing(ids_beside(path)) as ids, ids.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows([["id"], *([str(id_)] for id_ in vectors.ids)])
            with replacing(provenance_beside(path)) as beside:
                beside.write_text(said + "\n", encoding="utf-8")
    return path


def ids_beside(path: Path) -> Path:
    """Where the ids of the rows of a .npy of ours are."""
    return path.with_name(path.stem + IDS_BESIDE)


def _read_ids(path: Path) -> npt.NDArray[np.object_]:
    if not is_there(path):
        raise BiocosmosError(f"there is no file {path}")
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False).astype(str).astype(object))
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() != ".csv":
            return np.array(file.read().splitlines(), object)
        rows = csv.DictReader(file)
        column = next((name for name in rows.fieldnames or () if name.strip().lower() in ID_NAMES), None)
        if column is None:
            raise BiocosmosError(f"{path} has no column 'id'; it has: {', '.join(rows.fieldnames or ())}")
        return np.array([row[column] for row in rows], object)


def _of_table(table: pa.Table, path: Path) -> Vectors:
    named = {name.lower(): name for name in table.column_names}
    own = next((named[name] for name in ID_NAMES if name in named), None)
    if own is None:
        raise BiocosmosError(f"{path} has no column 'id'; it has: {', '.join(table.column_names[:8])}")
    ids = np.array(table[own].to_pylist(), object)
    lists = next((named[name] for name in VECTOR_NAMES if name in named), None)
    if lists is not None:
        rows = table[lists].combine_chunks()
        if rows.null_count:
            raise BiocosmosError(f"{path}: {rows.null_count:,} rows have no vector: leave them out")
        return Vectors(ids, rows.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1))
    numbers = [field.name for field in table.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]
    columns = [table[name].to_numpy() for name in numbers if name != own]
    if not columns:
        raise BiocosmosError(f"{path} has no column of vectors ({', '.join(VECTOR_NAMES)}) and none of numbers")
    return Vectors(ids, np.stack(columns, axis=1).astype(np.float32))


def _lengths(matrix: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    lengths = np.empty(len(matrix))
    for start in range(0, len(matrix), BLOCK_ROWS):  # in float64 block by block: half precision overflows at 256 squared
        block = matrix[start : start + BLOCK_ROWS].astype(np.float64)
        lengths[start : start + len(block)] = np.sqrt(np.einsum("nd,nd->n", block, block))
    return lengths


def _most_frequent(failures: Failures) -> str:
    return failures.reasons()[0][0] if len(failures) else "there is none"
