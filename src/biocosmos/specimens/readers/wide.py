"""Wide tables of labels: a specimen a row, a class a column, and 0, 1, -1 or nothing in it.

The columns that hold nothing else are one group, ``labels``, unless the caller names groups. -1 and empty are not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from biocosmos.errors import Failures
from biocosmos.specimens.attribute_groups import Group, is_label_cell
from biocosmos.specimens.readers.columns import GUESSED_RANKS, our_names, shown
from biocosmos.specimens.readers.delimited import read_text, table_at
from biocosmos.specimens.readers.label_options import LabelColumns
from biocosmos.specimens.readers.labels import labelled
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.records import BATCH_ROWS, STANDARD, Source

LABELS = "labels"
NEARLY = 0.9
"""A column so full of 0 and 1 is told: its other cells may be errors, or it counts something."""
TOLD = 5
"""So many of these are told each by itself."""


def read(path: Path, options: Options) -> Source:
    """A CSV or TSV file, or the one table of a zip, read twice more than its rows: to find its columns of labels."""
    source = replace(read_text(path, options), format="wide")
    if options.labels.groups:
        return source  # they are taken as with any format
    found, told = _label_columns(path, options)
    if not found:
        told = [f"no column holds only 0, 1, -1 or nothing: --group {LABELS}=COLUMN+COLUMN names those that are labels", *told]
    for reason in told:
        options.failures.add(reason, stage="read", source=path, severity="warning")
    return labelled(source, LabelColumns((Group(LABELS, tuple(found)),))) if found else source


def _label_columns(path: Path, options: Options) -> tuple[list[str], list[str]]:
    """(our names of the columns of labels, what is to be told of others)."""
    with (
        table_at(path, options, Failures()) as (file, _),
        open_table(file, encoding=options.encoding, separator=options.separator, failures=Failures()) as table,
    ):
        names = our_names(table.header, options.columns, str(path))
        labels, others, first = [0] * len(names), [0] * len(names), [""] * len(names)
        rows: Iterator[tuple[int, list[str]]] = table.rows()
        while held := list(islice(rows, BATCH_ROWS)):
            for number, cells in held:
                for i, cell in enumerate(cells):
                    meaning = is_label_cell(cell)
                    if meaning is None:
                        others[i] += 1
                        first[i] = first[i] or f"{cell[:40]!r} in row {number}"
                    else:
                        labels[i] += meaning >= 0
    free = [i for i, name in enumerate(names) if name not in STANDARD and name not in GUESSED_RANKS]
    found = [names[i] for i in free if labels[i] and not others[i]]
    nearly = [i for i in free if others[i] and labels[i] >= NEARLY * (labels[i] + others[i])]
    told = [
        f"the column '{names[i]}' holds 0 and 1 but for {others[i]:,} cells ({first[i]}): no label; --group {LABELS}="
        f"{names[i]} makes it one, without these cells"
        for i in nearly[:TOLD]
    ]
    if more := [names[i] for i in nearly[TOLD:]]:
        told.append(f"nor are {shown(more)} labels, for the same reason")
    return found, told
