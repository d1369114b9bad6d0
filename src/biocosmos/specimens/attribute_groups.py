"""Groups of columns that are one task together, and what a cell of 0 and 1 may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from biocosmos.errors import BiocosmosError

GROUPS_SHAPE = {str: {"columns": [str], "several": bool, "classes?": ([str], None)}}
"""What ``attributes`` of ``collection.json`` may say."""
_MEANINGS = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), 1),
    **dict.fromkeys(("0", "0.0", "false", "no"), 0),
    **dict.fromkeys(("", "-1", "-1.0", "na", "nan"), -1),
}


@dataclass(frozen=True)
class Group:
    """Columns that are one task. ``several``: any number of its classes is true; ``classes``: their order, None for as found."""

    name: str
    columns: tuple[str, ...]
    several: bool = True
    classes: tuple[str, ...] | None = None

    def as_facts(self) -> dict[str, Any]:
        """What ``collection.json`` keeps of it."""
        return {"columns": list(self.columns), "several": self.several, "classes": self.classes and list(self.classes)}


Groups: TypeAlias = Mapping[str, Group]


def groups_from(facts: Mapping[str, Any]) -> dict[str, Group]:
    """The groups that ``collection.json`` declares."""
    found = {}
    for name, said in facts.items():
        classes = said.get("classes")
        found[name] = Group(name, tuple(said["columns"]), said["several"], None if classes is None else tuple(classes))
    return found


def parse_group(text: str) -> Group | None:
    """``name=column+column`` as a group, None for a name alone. Raises BiocosmosError for one without a name or columns."""
    name, equals, columns = text.partition("=")
    if not equals:
        return None
    listed = tuple(column.strip() for column in columns.split("+"))
    if not name.strip() or not all(listed):
        raise BiocosmosError(f"the attribute {text!r} is no group: write NAME=COLUMN+COLUMN, as in damage=torn+mouldy")
    if len(set(listed)) != len(listed):
        raise BiocosmosError(f"the attribute {text!r} names a column twice: once is enough")
    return Group(name.strip(), listed)


def is_label_cell(cell: Any) -> int | None:
    """1, 0 or -1 (not known) for a cell of a column of 0 and 1; None for anything else."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return -1
    if isinstance(cell, str):
        return _MEANINGS.get(cell.strip().lower())
    if isinstance(cell, (bool, int, float)):
        return int(cell) if cell in (0, 1, -1) else None
    return None
