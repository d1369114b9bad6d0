"""One change of a collection, as its history keeps it."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from biocosmos.facts import FILE_NAME, Named, Number, Several, is_file_name, misfit
from biocosmos.provenance import now, package_version

CELLS, REMOVED, ADDED = "cells", "removed", "added"
"""Kinds of pieces: values that changed, rows that went (whole, with their vectors), rows that came (their ids)."""
OLD, NEW = "old/", "new/"
"""A column of a piece of cells: the value before the change, and after it."""
UNDO = "undo"
WHO = "BIOCOSMOS_USER"
"""Environment variable: who makes changes, in place of the name of the account."""


@dataclass(frozen=True)
class Piece:
    """A Parquet file of a change. Cells: ``id``, and for each column ``old/NAME`` and ``new/NAME``; removed: the rows as they
    were stored; added: ``id``.

    columns: of cells, those that changed. rows_from: of added rows, the file in the history that holds them; fragments: what was
    written of them beforehand, as Lance's JSON. One of the two is there.
    """

    kind: str
    file: str
    rows: int
    columns: tuple[str, ...] = ()
    rows_from: str | None = None
    fragments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """What was done to a collection, by whom and when.

    Attributes:
        number: from 1, in the order they were made.
        time: UTC, ISO 8601; by: the person; verb, arguments: what was called; biocosmos: version of the package.
        note: in words, for people; counts: of specimens and cells, by name.
        pieces: what changed.
        new_columns, dropped_columns: columns that this change made, or took away.
        ranks: those of the collection before and after, where they changed.
        splits: name of each split that this change saved -> whether it was there before.
        undoes: the number of the change that this one wrote back.
    """

    number: int
    verb: str
    by: str
    time: str = field(default_factory=now)
    biocosmos: str = field(default_factory=package_version)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()
    new_columns: tuple[str, ...] = ()
    dropped_columns: tuple[str, ...] = ()
    ranks: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    splits: Mapping[str, bool] = field(default_factory=dict)
    undoes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Entry:
        """What :meth:`as_dict` gave, of the shape ENTRY; facts that a later version added are passed over."""
        values = _known(cls, facts)
        lists = ("columns", "fragments")
        pieces = [_known(Piece, piece) for piece in values.get("pieces", ())]
        values["pieces"] = tuple(Piece(**{**piece, **{name: tuple(piece.get(name, ())) for name in lists}}) for piece in pieces)
        for name in ("new_columns", "dropped_columns"):
            values[name] = tuple(values.get(name, ()))
        if values.get("ranks") is not None:
            before, after = values["ranks"]
            values["ranks"] = (tuple(before), tuple(after))
        return cls(**values)


def _known(kind: type[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    known = {each.name for each in fields(kind)}
    return {name: value for name, value in facts.items() if name in known}


def is_fragment(text: Any) -> bool:
    """Whether this is a fragment as Lance's JSON whose data files lie, by plain names, in the data set's own folder."""
    try:
        facts = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return False
    if misfit(facts, _FRAGMENT) is not None or facts.get("deletion_file") is not None:
        return False
    return all(file["path"].endswith(".lance") and file.get("base_id") is None for file in facts["files"])


_FRAGMENT = {"files": [{"path": Named("the plain name of a file", is_file_name)}], "physical_rows": Number(0, whole=True)}
FRAGMENT = Named("a fragment of this data set", is_fragment)
PIECE = {
    "kind": (CELLS, REMOVED, ADDED),
    "file": FILE_NAME,
    "rows": Number(0, whole=True),
    "columns?": [str],
    "rows_from?": (FILE_NAME, None),
    "fragments?": [FRAGMENT],
}
ENTRY = {
    "number": Number(1, whole=True),
    "verb": str,
    "by": str,
    "time": str,
    "biocosmos": str,
    "arguments?": {str: object},
    "note?": (str, None),
    "counts?": {str: int},
    "pieces?": [PIECE],
    "new_columns?": [str],
    "dropped_columns?": [str],
    "ranks?": (Several([str], 2), None),
    "splits?": {str: bool},
    "undoes?": (Number(1, whole=True), None),
}
"""The shape of an entry as JSON: a history that somebody else wrote names no file outside its folder."""


def who(by: str | None = None) -> str:
    """The person who makes a change: ``by``, else the environment's, else the account's name."""
    given = by or os.environ.get(WHO)
    if given and given.strip():
        return " ".join(given.split())
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        return "unknown"
