"""The scores of classes of which several may be true, as Sewer-ML's predictions CSV: a row a picture, a column a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, is_there
from biocosmos.identify.attribute_columns import PROBABILITIES, AskedTask, predictions_of, unpacked
from biocosmos.outputs import place_of
from biocosmos.settings import SettingError
from biocosmos.tables import table_suffix, write_tables

FILENAME = "Filename"


def check_scores(path: Path, output: Path | None, overwrite: bool) -> None:
    """Refuse a place where no table of scores can be written, or where something else lies. Raises SettingError."""
    try:
        place_of(path)
        table_suffix(path)
    except BiocosmosError as error:
        raise SettingError(f"--scores: {error}") from error
    if output is not None and path.resolve() == output.resolve():
        raise SettingError(f"--scores and --output are both {path}: give each a file of its own")
    if not overwrite and is_there(path) and not _holds_scores(path):
        raise SettingError(f"{path} exists and holds no scores: replace it with --overwrite, or name another file")


def _holds_scores(path: Path) -> bool:
    if not is_file(path):
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip(b'"').startswith((FILENAME.encode(), b"PAR1"))


def write_scores(path: Path, tables: Iterable[pa.Table], tasks: Sequence[AskedTask]) -> Path:
    """Write them, one block of the table of answers in memory at a time.

    tables: with the column :data:`PROBABILITIES`. The rows are called by the name of the picture's file, by their id without one.
    Raises BiocosmosError for two classes of one name, and for a path that is no table.
    """
    several = [task for task in tasks if task.several]
    names = [name for task in several for name in task.classes]
    if repeated := sorted({name for name in names if names.count(name) > 1 or name == FILENAME}):
        raise BiocosmosError(f"two columns of the scores would be called '{repeated[0]}': score one attribute at a time")
    schema = pa.schema([(FILENAME, pa.string()), *((name, pa.float64()) for name in names)])
    count = sum(len(task.classes) for task in tasks)

    def pieces() -> Iterable[pa.Table]:
        for table in tables:
            if not len(table):
                continue
            ids = np.array(table["id"].to_pylist(), object)
            said = predictions_of(ids, tasks, unpacked(table[PROBABILITIES], count))
            files = [PurePath(given).name if given else id_ for given, id_ in zip(table["image_path"].to_pylist(), ids)]
            columns = [pa.array(column) for task in said.tasks if task.several for column in task.probabilities.T]
            yield pa.table([pa.array(files, pa.string()), *columns], schema=schema)

    return write_tables(pieces(), schema, path, {"tasks": [task.name for task in several]})
