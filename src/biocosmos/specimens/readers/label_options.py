"""What a caller says of label columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.attribute_groups import Group, parse_group


@dataclass(frozen=True)
class LabelColumns:
    """What a caller says of label columns. groups: * and ? may stand in the names of columns; sets: column -> separator."""

    groups: tuple[Group, ...] = ()
    sets: Mapping[str, str] | None = None

    @classmethod
    def of(cls, groups: Sequence[str] = (), sets: Sequence[str] = ()) -> LabelColumns:
        """From ``NAME=COLUMN+COLUMN`` and ``COLUMN=SEPARATOR``. Raises BiocosmosError for anything else, and for names twice."""
        parsed: dict[str, Group] = {}
        for text in groups:
            group = parse_group(text)
            if group is None:
                raise BiocosmosError(f"--group {text!r} must look like NAME=COLUMN+COLUMN: --group damage=torn+mouldy")
            if group.name in parsed:
                raise BiocosmosError(f"--group {group.name} is given twice: name all its columns at once")
            parsed[group.name] = group
        separators: dict[str, str] = {}
        for text in sets:
            column, equals, separator = text.partition("=")
            if not equals or not column or not separator:
                raise BiocosmosError(f"--sets {text!r} must look like COLUMN=SEPARATOR: --sets 'species=;'")
            if column in separators:
                raise BiocosmosError(f"--sets {column} is given twice: a column has one separator")
            separators[column] = separator
        return cls(tuple(parsed.values()), separators)

    def __bool__(self) -> bool:
        return bool(self.groups or self.sets)
