"""What the verbs that correct a collection are told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.settings import GIVEN, SettingError, check, setting
from biocosmos.specimens.settings import Selection, renamed_columns


@dataclass(frozen=True)
class WhoSettings:
    """Who makes a change, and why."""

    by: str | None = setting(None, "Who makes the change.", unset="$BIOCOSMOS_USER, else the account's name")
    note: str | None = setting(None, "Why, in words, for the history.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ChangeSettings(WhoSettings):
    """What every change is told."""

    dry_run: bool = setting(False, "Only show what would change.")

    def __post_init__(self) -> None:
        check(self)

    def changing(self) -> dict[str, Any]:
        """The keyword arguments that the changes of :class:`biocosmos.Collection` share."""
        return {"by": self.by, "note": self.note, "dry_run": self.dry_run}


@dataclass(frozen=True)
class UpdateSettings(ChangeSettings):
    """What a table of corrections means; arguments of :meth:`Collection.update`."""

    column: tuple[str, ...] = setting((), "ours=theirs: --column label=Taxon.", repeated=True)
    taxonomy: Path | None = setting(None, "A table or checklist that gives the ranks of each label, to all specimens.", file=True)
    ranks: tuple[str, ...] = setting((), "Columns that are ranks from now on, coarse to fine: family,genus,species.")
    clear: bool = setting(False, "A blank cell clears the value; without it, it leaves the value alone.")
    images: Path | None = setting(None, "Folder that relative image names start from.", file=True, unset="the table's own")
    encoding: str | None = setting(None, "Of text tables: utf-8, latin-1 ...", unset="found from the file")
    separator: str | None = setting(None, "Of text tables.", unset="found from the file")

    def updating(self) -> dict[str, Any]:
        """The keyword arguments of :meth:`Collection.update`. Raises SettingError for a column without "="."""
        return {
            "columns": renamed_columns(self.column),
            "taxonomy": self.taxonomy,
            "ranks": self.ranks or None,
            "clear": self.clear,
            "images": self.images,
            "encoding": self.encoding,
            "separator": self.separator,
            **self.changing(),
        }


@dataclass(frozen=True)
class Chosen(Selection, ChangeSettings):
    """Which specimens a change is about."""

    id: tuple[str, ...] = setting((), "The specimen of this id.", repeated=True)
    ids: Path | None = setting(None, "The specimens of a file of ids: a table with a column id, or .txt, one a line.", file=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RelabelSettings(Chosen):
    """Which names change, and where; arguments of :meth:`Collection.relabel`."""

    table: Path | None = setting(
        None, "Many at once: a table with the columns old and new, or id and new.", names=("--from",), file=True
    )
    column: tuple[str, ...] = setting((), "ours=theirs: --column new=Accepted.", repeated=True, only={"table": GIVEN})

    def __post_init__(self) -> None:
        check(self)
        self.columns()

    def columns(self) -> dict[str, str]:
        """Their name -> ours. Raises SettingError for a column without "="."""
        return renamed_columns(self.column)


@dataclass(frozen=True)
class RemoveSettings(Chosen):
    """Which specimens go."""

    yes: bool = setting(False, "Do not ask.", names=("--yes", "-y"), only={"dry_run": False})

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MergeSettings(WhoSettings):
    """How collections are put together; arguments of :meth:`Collection.merged`."""

    id_prefix: tuple[str, ...] = setting(
        (),
        "What stands before the ids of one collection from now on: --id-prefix south.cosmos=south-; without a name, of all but "
        "the first.",
        repeated=True,
    )

    def __post_init__(self) -> None:
        check(self)
        self.prefixes()

    def prefixes(self) -> dict[str, str]:
        """Collection -> prefix; under "" that of all but the first. Raises SettingError for two of one collection."""
        found: dict[str, str] = {}
        for value in self.id_prefix:
            name, equals, prefix = value.rpartition("=")
            if not prefix or (equals and not name):
                raise SettingError(f"--id-prefix {value!r} must look like COLLECTION=prefix, or be a prefix")
            if found.setdefault(name, prefix) != prefix:
                raise SettingError(f"--id-prefix: {name or 'one without a collection'} was given twice")
        return found
