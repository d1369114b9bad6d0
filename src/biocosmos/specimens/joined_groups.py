"""Groups of columns that come to a collection: under the names that columns are stored by, joined with those it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.attribute_groups import Group, Groups
from biocosmos.specimens.stored_types import column_name


def joined_groups(have: Groups, more: Iterable[Group], where: str) -> dict[str, Group]:
    """The groups of a collection with those of a source that comes to it, under the names columns are stored by.

    Groups of 0 and 1 of one name have the columns of both; of one column's classes, the order stays and new ones come last.
    Raises BiocosmosError where one name means different things.
    """
    found = dict(have)
    for group in more:
        group = replace(group, columns=tuple(column_name(column) for column in group.columns))
        old = found.get(group.name, group)
        if old.several != group.several or (not group.several and old.columns != group.columns):
            raise BiocosmosError(f"the attribute '{group.name}' means other columns in {where}: give the group another name")
        classes = None if old.classes is None and group.classes is None else _union(old.classes or (), group.classes or ())
        found[group.name] = replace(old, columns=_union(old.columns, group.columns), classes=classes)
    return found


def _union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
