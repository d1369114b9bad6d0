"""What is looked for before anything heavy is imported, so that a typing error is told in under a second."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder, is_there
from biocosmos.plugins import plug_ins
from biocosmos.settings import SettingError, defaults_of, names_in, settings_of, spelled
from biocosmos.unfinished import LONGEST_NAME


def look_first(
    kind: type, given: Mapping[str, Any], collection: Path | None, output: Path | None, *, table: bool = False
) -> None:
    """Refuse what is not there: the collection, the parts of splits, the files that settings name, a place for the output.

    table: the output is one table, whose name says its format.

    Raises BiocosmosError that names what is missing and the verb that makes it.
    """
    if output is not None:
        can_be_written(output)
    if output is not None and table:
        from biocosmos.tables import table_suffix

        table_suffix(output)
    from biocosmos.specimens.settings import UNLABELLED

    parts, embeddings = [], []
    for name, shape in settings_of(kind).items():
        value = given.get(name, defaults_of(kind)[name] if shape.part == "always" else None)
        if shape.file and value:
            for path in value if isinstance(value, tuple) else (value,):
                if not is_there(path):
                    raise SettingError(f"{spelled(kind, name)}: there is no file or folder {path}")
        if shape.part and value and not (shape.part == "named" and value == UNLABELLED):
            parts.append(str(value))
        if shape.embedding and (name in given or not (shape.conditions or shape.embedding == "named")):
            embeddings.append(given.get(name))
        if shape.plugged and name in given:
            for each in names_in(str(given[name])):
                is_known(each, *shape.plugged)
    if collection is not None:
        holds(collection, parts, embeddings)


def is_known(name: str, what: str, kind: str, built_in: tuple[str, ...]) -> None:
    """Refuse a name that neither biocosmos nor an installed package has."""
    if name not in built_in and name not in (added := plug_ins(kind, built_in)):
        raise BiocosmosError(f"no {what} {name!r}: choose one of {', '.join([*built_in, *added])}")


def holds(collection: Path, parts: list[str], embeddings: list[str | None]) -> None:
    """Refuse a folder that is no collection, parts that its splits do not have, and embeddings that it does not have."""
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.settings import EVERYTHING

    opened = Collection.open(collection)
    for part in parts:
        if part == EVERYTHING:
            continue
        name, _, short = part.rpartition(":")
        opened.split(name or "default").part(short)
    for embedding in embeddings:
        opened.encoder_name(embedding)


def can_be_written(output: Path) -> None:
    """Refuse an output whose folder cannot be made or written, and one inside a collection."""
    if long := [part for part in output.parts if len(os.fsencode(part)) > LONGEST_NAME]:
        raise SettingError(
            f"--output {long[0][:20]}...: the name is too long, {len(os.fsencode(long[0]))} bytes: choose a shorter one"
        )
    folder = next((parent for parent in output.absolute().parents if is_there(parent)), Path("/"))
    if not is_folder(folder):
        raise SettingError(f"--output {output}: {folder} is a file, not a folder")
    if not os.access(folder, os.W_OK):
        raise SettingError(f"--output {output}: no permission to write in {folder}")
    from biocosmos.outputs import refuse_inside

    refuse_inside(output)
