"""Probabilities of attributes as other tools write them: a specimen a row and a class a column, as Sewer-ML wants it.

    Filename,RB,OB,PF            id,life_stage:larva,life_stage:adult,torn
    00001.png,0.91,0.02,0.10     a1,0.8,0.2,0.05

A column is a class, or ``task:class`` where two tasks have a class of one name. Files that share no specimen are parts of one
table.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.identify.attributes import AttributePredictions, TaskPredictions
from biocosmos.specimens.attributes import Attribute
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers.columnar import is_parquet
from biocosmos.specimens.readers.textfile import open_table

IDS = ("id", "filename", "file_name", "file", "image_path", "image")
"""Columns that may name the specimen, the first that is there."""


@dataclass(frozen=True)
class ToldTable:
    """A table of probabilities. keys: (n,) what names each row; columns: name -> (n,) float64."""

    path: Path
    keys: list[str]
    columns: dict[str, npt.NDArray[np.float64]]

    def joined(self, other: ToldTable) -> ToldTable:
        """The rows of both. Raises BiocosmosError where their columns differ."""
        if set(self.columns) != set(other.columns):
            differing = sorted(set(self.columns) ^ set(other.columns))[0]
            raise BiocosmosError(
                f"{self.path} and {other.path} are parts of one table, but only one has the column '{differing}'"
            )
        whole = {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}
        return ToldTable(self.path, [*self.keys, *other.keys], whole)


def read_told(paths: Sequence[Path], tasks: Sequence[Attribute]) -> list[ToldTable]:
    """The tables in files, those that share no specimen as one.

    Raises BiocosmosError for a file that cannot be read, lacks the specimens' column or a class, names one twice, or has a cell
    that is no probability.
    """
    found: list[ToldTable] = []
    for path in paths:
        table = _read(path, tasks)
        together = next((i for i, other in enumerate(found) if not set(other.keys) & set(table.keys)), None)
        if together is None:
            found.append(table)
        else:
            found[together] = found[together].joined(table)
    return found


def said_of(
    table: ToldTable, collection: Collection, ids: npt.NDArray[np.object_], tasks: Sequence[Attribute], part: str
) -> AttributePredictions:
    """What the table says of specimens, in their order; a row means the specimen of that id, or whose image file is called so.

    Raises BiocosmosError where specimens have no row: what is left out might be what is hard.
    """
    place = {key: row for row, key in enumerate(table.keys)}
    rows = [place.get(str(id_), -1) for id_ in ids]
    if -1 in rows:
        rows = [row if row >= 0 else other for row, other in zip(rows, _by_file(table, collection, ids))]
    lacking = [str(id_) for id_, row in zip(ids, rows) if row < 0]
    if len(lacking) == len(ids):
        first = table.keys[0] if table.keys else "no row"
        raise BiocosmosError(
            f"{table.path} says nothing of part '{part}': its rows must be called as the specimens ('{lacking[0]}') or their "
            f"files, not '{first}'"
        )
    if lacking:
        raise BiocosmosError(
            f"{table.path} says nothing of {len(lacking):,} of {len(ids):,} specimens of part '{part}' ({lacking[0]}): add their "
            "rows, or judge fewer with --where"
        )
    at = np.array(rows, np.int64)
    return AttributePredictions(
        ids, tuple(TaskPredictions(task.name, task.classes, task.several, _probabilities(table, task)[at]) for task in tasks)
    )


def _by_file(table: ToldTable, collection: Collection, ids: npt.NDArray[np.object_]) -> list[int]:
    stored = collection.take([str(id_) for id_ in ids], columns=["id", "image_path"])
    by_name: dict[str, int] = {}
    for row, key in enumerate(table.keys):
        name = PurePath(key.replace("\\", "/")).name
        by_name[name] = -1 if name in by_name else row
    paths = dict(zip(stored["id"].to_pylist(), stored["image_path"].to_pylist()))
    return [by_name.get(PurePath(paths.get(str(id_)) or "").name, -1) for id_ in ids]


def _probabilities(table: ToldTable, task: Attribute) -> npt.NDArray[np.float64]:
    columns = [table.columns[str(_column(table.columns, task.name, name))] for name in task.classes]
    return np.stack(columns, axis=1) if columns else np.empty((len(table.keys), 0))


def _column(names: Sequence[str] | dict[str, npt.NDArray[np.float64]], task: str, name: str) -> str | None:
    return next((spelt for spelt in (f"{task}:{name}", name) if spelt in names), None)


def _read(path: Path, tasks: Sequence[Attribute]) -> ToldTable:
    with _opened(path) as (header, rows):
        at_id = next((i for wanted in IDS for i, name in enumerate(header) if name.strip().lower() == wanted), None)
        if at_id is None:
            shown = ", ".join(header[:8])
            raise BiocosmosError(f"{path} has no column that names the specimens ({', '.join(IDS[:3])}): it has {shown}")
        wanted = _wanted(header, tasks, path)
        keys, columns = list[str](), {name: array("d") for name in wanted}
        for number, row in rows:
            keys.append(row[at_id].strip())
            for name, at in wanted.items():
                columns[name].append(_probability(row[at], path, number, name))
    if not keys:
        raise BiocosmosError(f"{path} has no rows")
    if len(set(keys)) < len(keys):
        twice, _ = Counter(keys).most_common(1)[0]
        raise BiocosmosError(f"{path} names the specimen '{twice}' twice: keep one row of it")
    return ToldTable(path, keys, {name: np.array(values, np.float64) for name, values in columns.items()})


def _wanted(header: Sequence[str], tasks: Sequence[Attribute], path: Path) -> dict[str, int]:
    """The columns of all classes, and where they stand. Raises BiocosmosError for a class without one."""
    found: dict[str, int] = {}
    for task in tasks:
        for name in task.classes:
            column = _column(header, task.name, name)
            if column is None:
                what = f"the class '{name}' of the attribute '{task.name}'"
                raise BiocosmosError(f"{path} has no column for {what}: call it '{name}' or '{task.name}:{name}'")
            found[column] = header.index(column)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """(the header, the numbered rows) of a text or of Parquet. Raises BiocosmosError for a row that does not fit the header."""
    if is_parquet(path):
        try:
            file = pq.ParquetFile(path)
            yield file.schema_arrow.names, _parquet_rows(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise BiocosmosError(f"cannot read {path} as Parquet ({first_line(error)}): write it again") from error
        return
    failures = Failures()
    with open_table(path, encoding=None, separator=None, failures=failures) as table:
        yield table.header, table.rows()
        for failure in failures:
            if failure.severity == "error":
                where = "" if failure.row is None else f", row {failure.row}"
                raise BiocosmosError(f"{path}{where}: {failure.reason}: mend the row, so that nothing is left out unsaid")


def _parquet_rows(file: pq.ParquetFile) -> Iterator[tuple[int, list[str]]]:
    number = 0
    for batch in file.iter_batches():
        for cells in zip(*(column.to_pylist() for column in batch.columns)):
            number += 1
            yield number, ["" if cell is None else str(cell) for cell in cells]


def _probability(text: str, path: Path, number: int, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise BiocosmosError(
            f"{path}, row {number}: column '{name}' holds {text[:40]!r}, which is no probability in 0 to 1: scores of another "
            "kind need a sigmoid first"
        )
    return value
