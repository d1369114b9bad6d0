"""Wide tables of labels out: a specimen a row; each class of a set a column of 0 and 1, other attributes a column each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from biocosmos.specimens.attributes import Attributes
from biocosmos.specimens.readers.sewer_ml import DEFECTS, FILE
from biocosmos.tables import write_table


def write_wide(attributes: Attributes, path: str | Path) -> int:
    """Write CSV, TSV or Parquet, what is not known empty; returns the number of rows.

    A class of two attributes is ``task:class``, as in tables of probabilities. Defects of Sewer-ML stand beside ``Filename``, as
    its readers want it, all else beside ``id``.
    """
    classes = [name for task in attributes.tasks if task.several for name in task.classes]
    counted = Counter([*classes, *(task.name for task in attributes.tasks if not task.several)])
    columns: dict[str, pa.Array] = {}
    for task in attributes.tasks:
        if not task.several:
            names = pa.array(task.classes, pa.string())
            columns[task.name] = names.take(pa.array(task.targets, pa.int64(), mask=task.targets < 0))
            continue
        for i, name in enumerate(task.classes):
            values = task.values[:, i]
            spelt = name if counted[name] == 1 and name not in ("id", FILE) else f"{task.name}:{name}"
            columns[spelt] = pa.array(values.astype(np.int8), pa.int8(), mask=values < 0)
    key = FILE if classes and set(classes) <= set(DEFECTS) else "id"
    table = pa.table({key: pa.array(attributes.ids.tolist(), pa.string()), **columns})
    write_table(table, Path(path), {})
    return len(table)
