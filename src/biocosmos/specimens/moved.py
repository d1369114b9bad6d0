"""Image files that were moved or renamed: a specimen whose file is gone is found again by the content of a file elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unicodedata import normalize

import lance
import pyarrow as pa

from biocosmos.files import is_there
from biocosmos.specimens.known import Known

_NUMBER = re.compile(r"#\d+$")
"""Behind the file's name where several specimens are in it."""
_COLUMNS = ["id", "content_hash", "crop", "image_path"]


class Moved:
    """The specimens of ``dataset`` whose image a source has elsewhere than it was.

    Attributes:
        paths: id of each -> where its image file lies now.
    """

    def __init__(self, dataset: lance.LanceDataset, known: Known) -> None:
        self._dataset, self._known = dataset, known
        self._is_empty = dataset.count_rows() == 0
        self.paths: dict[str, str] = {}

    def place_of(self, batch: pa.RecordBatch, row: int) -> int | None:
        """The place of the specimen that a row with an unknown id is, if the id is only the path of its file, and the same file
        was stored from a path where it is no more; or from this very path, once that was found. None for a new specimen."""
        if self._is_empty:
            return None
        id_, path, content = (_cell(batch, name, row) for name in ("id", "image_path", "content_hash"))
        if path is None or content is None or not _is_named_by(id_, path):
            return None
        places = self._known.of_content(content)
        if not places:
            return None
        crop = _cell(batch, "crop", row)
        alike = [
            (place, stored)
            for place, stored in zip(places, self._dataset.take(places, columns=_COLUMNS).to_pylist())
            if stored["content_hash"] == content and stored["crop"] == crop and stored["image_path"] is not None
        ]
        there = [place for place, stored in alike if self.paths.get(stored["id"], stored["image_path"]) == path]
        gone = [
            (Path(stored["image_path"]).name != Path(path).name, place)
            for place, stored in alike
            if stored["id"] not in self.paths and not is_there(Path(stored["image_path"]))
        ]
        return there[0] if there else min(gone)[1] if gone else None

    def note(self, stored: dict[str, Any], path: str | None, content: str | None) -> bool:
        """Remember where the image of a specimen lies, ``path``, if it is the same and no more where it was."""
        before = stored.get("image_path")
        if path is None or content is None or before is None or before == path or stored["content_hash"] != content:
            return False
        if is_there(before):
            return False
        self.paths[stored["id"]] = path
        return True

    def table(self) -> pa.Table:
        """What is to be changed: ``id`` and ``image_path``."""
        return pa.table({"id": pa.array(list(self.paths), pa.string()), "image_path": pa.array(self.paths.values(), pa.string())})


def _is_named_by(id_: str, path: str) -> bool:
    """Whether an id is (the end of) a path, maybe behind a prefix of the person's choice."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return normalize("NFC", _NUMBER.sub("", id_)).endswith(normalize("NFC", name))


def _cell(batch: pa.RecordBatch, name: str, row: int) -> Any:
    return batch.column(name)[row].as_py() if name in batch.schema.names else None
