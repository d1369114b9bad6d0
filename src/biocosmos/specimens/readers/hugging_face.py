"""Hugging Face datasets: a folder of Parquet files as repositories have it, or what ``save_to_disk`` wrote; and their features.

Features (https://huggingface.co/docs/datasets/about_dataset_features) say which columns are images and what integer labels mean.
They stand in the metadata of the Arrow schema under "huggingface", and in dataset_info.json.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_file, is_folder, readable, walk
from biocosmos.specimens.readers.archive import leads_outside
from biocosmos.specimens.readers.json_stream import as_text
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import Source

KEY = b"huggingface"
DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
SPLIT, CONFIG = "split", "config"
SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<all>\d{5})(?:-[0-9a-f]+)?\.(?:parquet|arrow)")
SPLITS = frozenset({"train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval", "unlabeled", "holdout"})
MEDIA = frozenset({"Image", "Audio", "Video", "Pdf", "Nifti"})
UNLABELLED = -1
LARGEST_JSON = 64 << 20
FOLDERS_LOOKED_INTO = 20


@dataclass(frozen=True)
class Features:
    """What the columns are: ``images`` and other media by name, and the class names of integer columns."""

    media: dict[str, str] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> Features:
        """From the "features" of a dataset_info; what makes no sense is left out."""
        media: dict[str, str] = {}
        labels: dict[str, list[str]] = {}
        for name, feature in given.items() if isinstance(given, dict) else ():
            listed = isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List", "LargeList")
            kind = feature.get("feature") if listed else feature[0] if isinstance(feature, list) and feature else feature
            if not isinstance(kind, dict):
                continue
            names = kind.get("names")
            if kind.get("_type") == "ClassLabel" and isinstance(names, list):
                labels[name] = [str(as_text(one) or "") for one in names]
            elif kind.get("_type") in MEDIA and not listed and not isinstance(feature, list):
                media[name] = kind["_type"]
        return cls(media, labels)

    @classmethod
    def of_schema(cls, schema: pa.Schema) -> Features | None:
        """From the metadata of an Arrow schema; None if there are none."""
        stored = (schema.metadata or {}).get(KEY)
        if stored is None:
            return None
        found = _json(stored)
        info = found.get("info") if isinstance(found, dict) else None
        return cls.of(info.get("features") if isinstance(info, dict) else None)

    def stored_as(self, field: pa.Field) -> pa.DataType:
        """The type a column has once its classes are names."""
        if field.name not in self.labels:
            return field.type
        return (
            pa.string() if pa.types.is_integer(field.type) else pa.list_(pa.string()) if _of_integers(field.type) else field.type
        )

    def named(self, name: str, values: pa.Array) -> tuple[pa.Array, dict[int, Any]]:
        """(an integer column with the names of its classes, row from 0 -> number that names none)."""
        names = self.labels.get(name)
        if names is None or not (pa.types.is_integer(values.type) or _of_integers(values.type)):
            return values, {}
        odd: dict[int, Any] = {}

        def word(number: int | None, row: int) -> str | None:
            if number is None or number == UNLABELLED:
                return None
            if 0 <= number < len(names):
                return names[number] or None
            odd[row] = number
            return None

        cells = enumerate(values.to_pylist())
        if pa.types.is_integer(values.type):
            return pa.array([word(number, row) for row, number in cells], pa.string()), odd
        lists = [None if numbers is None else [word(number, row) for number in numbers] for row, numbers in cells]
        return pa.array(lists, pa.list_(pa.string())), odd


def _of_integers(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_integer(kind.value_type))


def is_media(kind: pa.DataType) -> bool:
    """Whether a column holds files as Hugging Face packs them: structs of bytes and path, or lists of them."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return pa.types.is_struct(kind) and {kind.field(i).name for i in range(kind.num_fields)} == {"bytes", "path"}


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class Part:
    """One file of a dataset, and the split and configuration it belongs to."""

    path: Path
    split: str | None = None
    config: str | None = None

    def schema(self) -> pa.Schema:
        """Raises BiocosmosError for a file that cannot be read."""
        try:
            if self.path.suffix.lower() in (".parquet", ".pq"):
                return pq.read_schema(self.path)
            with pa.memory_map(str(self.path)) as file:
                return _arrow(file).schema
        except (OSError, ValueError, pa.ArrowException) as error:
            raise BiocosmosError(f"cannot read {self.path}: {first_line(error)}") from error

    def batches(self, rows_at_once: int) -> Iterator[pa.RecordBatch]:
        """Raises OSError, ValueError or pa.ArrowException where the file is damaged."""
        if self.path.suffix.lower() in (".parquet", ".pq"):
            with pq.ParquetFile(self.path) as parquet:
                yield from parquet.iter_batches(batch_size=rows_at_once)
            return
        with pa.memory_map(str(self.path)) as file:
            reader = _arrow(file)
            whole = (
                reader
                if isinstance(reader, pa.RecordBatchStreamReader)
                else map(reader.get_batch, range(reader.num_record_batches))
            )
            for batch in whole:
                batch.validate(full=True)  # offsets that lead out of a damaged file would end the process
                for start in range(0, batch.num_rows, rows_at_once):
                    yield batch.slice(start, rows_at_once)


def _arrow(file: Any) -> Any:
    """A reader of the stream format, as ``save_to_disk`` writes it, or of the file format."""
    if bytes(file.read(6)) == b"ARROW1":
        file.seek(0)
        return pa.ipc.open_file(file)
    file.seek(0)
    return pa.ipc.open_stream(file)


def read(path: Path, options: Options) -> Source:
    """A folder of ``save_to_disk``, of Parquet files with their splits in their names, or one .arrow file.

    Images are packed or lie where their path says; class labels become their names; ``split`` is a column.
    """
    from biocosmos.specimens.readers.columnar import Piece, columnar_source  # it asks this module for features

    parts = parts_of(path, options.failures)
    schemas = [part.schema() for part in parts]
    extra = [(SPLIT, [part.split for part in parts]), (CONFIG, [part.config for part in parts])]
    added = [name for name, values in extra if any(values) and not any(name in schema.names for schema in schemas)]
    try:
        whole = pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")
    except (pa.ArrowException, ValueError) as error:
        raise BiocosmosError(f"the files of {path} do not have the same columns: {first_line(error)}") from error
    for name in added:
        whole = whole.append(pa.field(name, pa.string()))
    features = next((found for schema in schemas if (found := Features.of_schema(schema)) is not None), None)
    if features is None:
        features = Features.of(_info(path if is_folder(path) else path.parent, parts).get("features"))

    def pieces(rows_at_once: int) -> Iterator[Piece]:
        for part in parts:
            row = 1
            values = {SPLIT: part.split, CONFIG: part.config}
            try:
                for batch in part.batches(rows_at_once):
                    for name in added:
                        batch = batch.append_column(name, pa.array([values[name]] * batch.num_rows, pa.string()))
                    yield Piece(range(row, row + batch.num_rows), batch, part.path)
                    row += batch.num_rows
            except (OSError, ValueError, pa.ArrowException) as error:
                reason = f"from row {row} on the file is damaged: {first_line(error)}"
                options.failures.add(reason, stage="read", source=part.path, row=row)

    base = path if is_folder(path) else path.parent
    return columnar_source(whole, pieces, path, "hugging-face", options, features=features, base=base)


def parts_of(path: Path, failures: Failures) -> list[Part]:
    """The files of a dataset in the order of its splits. Raises BiocosmosError if it has none."""
    if is_file(path):
        return [Part(path)]
    if is_file(path / DICT):
        names = _read(path / DICT).get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BiocosmosError(f"{path / DICT} does not list the splits")
        parts = []
        for name in names:
            if leads_outside(name) or not is_file(path / name / STATE):
                failures.add(f"the split {readable(name)!r} has no {STATE}: left out", stage="read", source=path)
            else:
                parts += _saved(path / name, name, failures)
    elif is_file(path / STATE):
        parts = _saved(path, None, failures)
    else:
        parts = _repository(path, failures)
    if not parts:
        raise BiocosmosError(f"{path} has no Parquet or Arrow files of a dataset")
    return parts


def _saved(folder: Path, split: str | None, failures: Failures) -> list[Part]:
    """The Arrow files of one folder of ``save_to_disk``."""
    state = _read(folder / STATE)
    if state.get("_indices_data_files"):
        raise BiocosmosError(f"{folder} was saved with a selection of rows beside it: save it again after flatten_indices()")
    files = state.get("_data_files")
    names = [one.get("filename") for one in files if isinstance(one, dict)] if isinstance(files, list) else []
    own = state.get("_split")
    parts = []
    for name in names:
        if not isinstance(name, str) or leads_outside(name) or not is_file(folder / name):
            failures.add(f"the file {str(as_text(name))[:200]!r} of the dataset is not there", stage="read", source=folder)
        else:
            parts.append(Part(folder / name, split or (own if isinstance(own, str) else None)))
    return parts


def _repository(folder: Path, failures: Failures) -> list[Part]:
    """Parquet files below a folder, with the splits that their names or folders say."""
    names = [name for name in walk(folder, failures) if name.lower().endswith((".parquet", ".pq"))]
    parts = [Part(folder / name, _split_of(name), _config_of(name)) for name in names]
    if len({part.config for part in parts}) < 2:
        parts = [Part(part.path, part.split) for part in parts]
    here = Counter[tuple[Path, str, str]]()
    for part in parts:
        if found := SHARD.fullmatch(part.path.name):
            here[part.path.parent, found["split"], found["all"]] += 1
    for (where, split, promised), count in here.items():
        if count < int(promised):
            reason = f"{count} of {int(promised)} files of the split {split!r} are here: the others are missing"
            failures.add(reason, stage="read", source=where, severity="warning")
    return parts


def _split_of(name: str) -> str | None:
    *folders, base = name.split("/")
    if found := SHARD.fullmatch(base):
        return found["split"]
    stem = base.rsplit(".", 1)[0].lower()
    words: Sequence[str] = [*folders[::-1], re.split(r"[-_.]", stem)[0]]
    return next((word for word in words if word.lower() in SPLITS), None)


def _config_of(name: str) -> str | None:
    folders = [part for part in name.split("/")[:-1] if part.lower() not in SPLITS and part != "data"]
    return "/".join(folders) or None


def is_dataset(folder: Path) -> bool:
    """Whether a folder is surely a dataset: by the files of ``save_to_disk``, or Parquet files named or marked as its are."""
    if is_file(folder / DICT) or (is_file(folder / STATE) and is_file(folder / INFO)):
        return True
    below = [
        place for pattern in ("*/", "*/*/") for place in islice(folder.glob(pattern), FOLDERS_LOOKED_INTO) if is_folder(place)
    ]
    files = [file for place in (folder, *below) for file in sorted(place.glob("*.parquet"))[:1] if is_file(file)]
    return any(SHARD.fullmatch(file.name) or _is_marked(file) for file in files[:FOLDERS_LOOKED_INTO])


def _is_marked(file: Path) -> bool:
    try:
        return KEY in (pq.read_schema(file).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return False


def _info(folder: Path, parts: Sequence[Part]) -> dict[str, Any]:
    for place in (folder, *dict.fromkeys(part.path.parent for part in parts)):
        if is_file(place / INFO):
            return _read(place / INFO)
    return {}


def _read(file: Path) -> dict[str, Any]:
    """Raises BiocosmosError for a file that is no JSON object."""
    if file.stat().st_size > LARGEST_JSON:
        raise BiocosmosError(f"{file} has more than {LARGEST_JSON:,} bytes: refused")
    found = _json(file.read_bytes())
    if not isinstance(found, dict):
        raise BiocosmosError(f"{file} is damaged: it is no JSON object")
    return found


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
