"""A merger that is being written: the parts of it that Lance has already, so that a killed one goes on.

Nothing of it is in the collection until all is written; then one commit takes it in.

    work/merge/plan.json    which collections, in which version, into which; and the fragments written so far
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import lance

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import FILE_NAME, Named, Number, parse_facts
from biocosmos.files import is_folder, is_there
from biocosmos.specimens.care.entry import is_fragment
from biocosmos.specimens.recovery import MERGER
from biocosmos.tables import replacing

FOLDER, FILE = MERGER, "plan.json"


def _is_done(row: Any) -> bool:
    """Whether this is a row of what is done: the part, the rows read, the fragment."""
    counts = isinstance(row, list) and len(row) == 3 and all(type(each) is int and each >= 0 for each in row[:2])
    return counts and is_fragment(row[2])


def _is_warning(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(each, str) for each in row)


_SHAPE = {
    "what": {"parts": [{str: object}], "version": Number(0, whole=True)},
    "files": [FILE_NAME],
    "made_columns": [str],
    "warnings": [Named("an id and a reason", _is_warning)],
    "done": [Named("a part, the rows of it and a fragment of this data set", _is_done)],
}
"""A collection may come from somebody else: what its plan names is removed or committed, so it is nothing outside its folder."""


@dataclass
class Plan:
    """What is merged and how far it is.

    Attributes:
        what: the parts and the whole, as they were when it began: another ``what`` begins anew.
        files: data files that the whole had before.
        made_columns: those that were made for it.
        warnings: (id, reason) of the values in what is written that did not fit.
        done: for each fragment, the part it is of, the rows of that part read by its end, and the fragment as Lance's JSON.
    """

    what: Mapping[str, Any]
    files: list[str]
    made_columns: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    done: list[tuple[int, int, str]] = field(default_factory=list)

    @staticmethod
    def load(collection_path: Path) -> Plan | None:
        """The one that an earlier process left; None where there is none.

        Raises BiocosmosError for one that cannot be read, or that names files which are not the data set's own.
        """
        path = collection_path / FOLDER / FILE
        if not is_there(path):
            return None
        try:
            text = path.read_bytes()
        except OSError as error:
            raise BiocosmosError(f"cannot read {path} ({first_line(error)})") from error
        facts = parse_facts(text, _SHAPE, where=str(path), what="the plan of a merger", remedy="it is passed over")
        known = {each.name: facts[each.name] for each in fields(Plan)}
        known |= {name: [tuple(row) for row in facts[name]] for name in ("warnings", "done")}
        return Plan(**known)

    def save(self, collection_path: Path) -> None:
        """Write it, whole or not at all."""
        with replacing(collection_path / FOLDER / FILE) as temporary, temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())

    @property
    def fragments(self) -> list[str]:
        """As Lance's JSON, in order."""
        return [fragment for _, _, fragment in self.done]

    def reached(self) -> tuple[int, int]:
        """The part to go on with, and the rows of it that were read already."""
        if not self.done:
            return 0, 0
        part, rows, _ = self.done[-1]
        return part, rows

    def sweep(self, dataset: lance.LanceDataset, *, all_of_it: bool = False) -> None:
        """Remove data files that a killed process wrote and that are in no fragment; or ``all_of_it``."""
        mine = {name for fragment in self.fragments for name in files_of(fragment)}
        used = {file.path for fragment in dataset.get_fragments() for file in fragment.data_files()}
        gone = mine - used if all_of_it else set()
        if dataset.version == self.what.get("version"):  # nobody has written since: what is new is of the killed process
            new = {path.name for path in data_folder(dataset).glob("*.lance")} - set(self.files)
            gone |= new - used - mine
        for name in gone:
            (data_folder(dataset) / name).unlink(missing_ok=True)


def clear(collection_path: Path) -> None:
    """Remove the plan."""
    shutil.rmtree(collection_path / FOLDER, ignore_errors=True)
    folder = (collection_path / FOLDER).parent
    if is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def data_folder(dataset: lance.LanceDataset) -> Path:
    """Where a dataset keeps its data files."""
    return Path(dataset.uri.removeprefix("file://")) / "data"


def files_of(fragment: str) -> list[str]:
    """The data files of a fragment, given as Lance's JSON."""
    return [file["path"] for file in json.loads(fragment)["files"]]
