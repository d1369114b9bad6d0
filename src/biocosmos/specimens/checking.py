"""A collection looked at whole: every file that it is made of, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder
from biocosmos.specimens import failures_kept
from biocosmos.specimens.care.log import Log
from biocosmos.specimens.checksums import Checksums, stored_files, vectors_damaged
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.damage import reading
from biocosmos.specimens.embedding_columns import embedding_column
from biocosmos.specimens.splits import Split

SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """``what`` was looked at, whether all is ``well`` with it, and what there is to say."""

    what: str
    well: bool
    said: str


def check(path: str | Path) -> list[Finding]:
    """Look at all of a collection. What is wrong says which file, and what to do. Raises BiocosmosError if there is none."""
    path = Path(path)
    if not is_folder(path):
        raise BiocosmosError(f"no collection at {path}")
    found: list[Finding] = []

    def look(what: str, at: Callable[[], str]) -> bool:
        try:
            found.append(Finding(what, True, at()))
        except BiocosmosError as error:
            found.append(Finding(what, False, str(error)))
        return found[-1].well

    opened: list[Collection] = []

    def begin() -> str:
        opened.append(Collection(path))
        return f"{len(opened[0]):,} specimens"

    if not look("collection", begin):
        return found
    collection = opened[0]
    found += _data(collection)
    look("ids", lambda: _ids(collection))
    for name in collection.encoders:
        look(f"embedding {name}", lambda name=name: _vectors(collection, name))  # type: ignore[misc]
    for file in sorted((path / "splits").glob("*.parquet")):
        look(f"split {file.stem}", lambda file=file: f"{len(Split.load(file).ids):,} specimens")  # type: ignore[misc]
    look("failures", lambda: f"{failures_kept.read_failures(path).num_rows:,} rows")
    look("history", lambda: f"{Log(path).check():,} changes")
    for file in sorted((path / "identifications").glob("*.parquet")):
        look(f"identifications {file.stem}", lambda file=file: _table(path, file))  # type: ignore[misc]
    return found


def _data(collection: Collection) -> Iterator[Finding]:
    dataset = collection.dataset
    folder, files, sums = Path(dataset.uri), stored_files(dataset), Checksums(collection.path)
    bad = 0
    names = {embedding_column(name): name for name in collection.encoders}
    for each, reason in sums.check(folder, files):
        bad += 1
        copy = "restore it from a copy, or ingest into a new collection"
        said = str(vectors_damaged(collection.path, each, reason, names)) if each.is_of_vectors else f"{reason}: {copy}"
        yield Finding(f"specimens.lance/{each.name}", False, said)
    unknown = sums.unknown(files)
    if unknown:
        with collection.writing("check"):
            pass  # which keeps the checksums that are missing
    what = f"{len(files) - bad - len(unknown):,} files are what was written"
    yield Finding("data", not bad, what + (f", {len(unknown):,} had no checksum and have one now" if unknown else ""))


def _ids(collection: Collection) -> str:
    with reading(collection.path):
        ids = collection.dataset.to_table(columns=["id"])["id"]
    counts = pc.value_counts(ids.combine_chunks())
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist()
    if twice or ids.null_count:
        shown = ", ".join(map(repr, twice[:SHOWN]))
        raise BiocosmosError(
            f"{len(twice):,} ids are there twice, {ids.null_count:,} missing: {shown}: export it and ingest anew"
        )
    return f"{len(ids):,}, each once"


def _vectors(collection: Collection, name: str) -> str:
    column, rows, bad, without = embedding_column(name), 0, 0, 0
    with reading(collection.path):
        for batch in collection.dataset.to_batches(columns=[column]):
            values = batch.column(column).drop_null()
            without += batch.num_rows - len(values)
            rows += len(values)
            if pa.types.is_fixed_size_list(values.type):  # k-mers are whole numbers
                matrix = values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), values.type.list_size)
                bad += int((~np.isfinite(matrix).all(axis=1)).sum())
    if bad:
        again = f"'biocosmos embed {collection.path} --encoder {name} --overwrite'"
        raise BiocosmosError(f"{bad:,} vectors are not finite: make them anew with {again}")
    return f"{rows:,} vectors" + (f", {without:,} specimens without" if without else "")


def _table(path: Path, file: Path) -> str:
    remedy = f"restore {file} from a copy, or remove it"
    with reading(path, "cannot be read", remedy):
        table: Any = pq.read_table(file, page_checksum_verification=True)
    return f"{table.num_rows:,} rows"
