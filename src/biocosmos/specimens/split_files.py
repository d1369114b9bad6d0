"""Splits that come as text files, one for each part, with the id of a specimen on each line: CLIBD's partition of BIOSCAN-1M."""

from __future__ import annotations

from pathlib import Path

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.files import is_folder

SUFFIX = ".txt"


def read_parts(folder: Path) -> tuple[dict[str, str], list[str]]:
    """(id -> part, notes) of the files ``<part>.txt`` in a folder; blank lines are skipped, a name told twice counts once.

    A file that holds exactly what two or more others hold together (CLIBD's all_keys) is no part of its own: it is left out, and
    a note says so. Ask for such a union as "seen_keys+val_unseen_keys".

    Raises BiocosmosError for a folder without such files, one that cannot be read, and an id in two files.
    """
    if not is_folder(folder):
        raise BiocosmosError(f"{folder} is no folder: name the one with a file {SUFFIX} for each part")
    files = sorted(file for file in folder.iterdir() if file.suffix == SUFFIX and not file.name.startswith("."))
    listed = {file.stem: _lines(file) for file in files}
    if not any(listed.values()):
        raise BiocosmosError(f"{folder} has no file {SUFFIX} with an id on each line")
    notes, part_of = [], dict[str, str]()
    unions = {name: inside for name in listed if len(inside := _inside(name, listed)) > 1}
    for name, inside in unions.items():
        notes.append(f"'{name}' is {' and '.join(inside)} together, and no part of its own: ask for {'+'.join(inside)}")
    for name in (name for name in listed if name not in unions):
        for id_ in listed[name]:
            if (other := part_of.setdefault(id_, name)) != name:
                raise BiocosmosError(f"{folder}: {id_} is in {other}{SUFFIX} and in {name}{SUFFIX}: a specimen has one part")
    return part_of, notes


def _inside(name: str, listed: dict[str, dict[str, None]]) -> list[str]:
    """The smaller files that lie whole in ``name``, if they are all of it; those that hold others are not named."""
    mine = listed[name].keys()
    held = [other for other, ids in listed.items() if ids and len(ids) < len(mine) and ids.keys() <= mine]
    held = [one for one in held if not any(one != other and listed[one].keys() > listed[other].keys() for other in held)]
    return held if held and set().union(*(listed[other] for other in held)) == mine else []


def _lines(file: Path) -> dict[str, None]:
    try:
        return dict.fromkeys(line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise BiocosmosError(f"cannot read {file}: {first_line(error)}") from error
