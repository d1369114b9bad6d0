"""Tables about specimens that are there: any columns, mapped by the user or guessed, of which only the id must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.barcodes.rules import LETTERS_ALONE
from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import Found, Resolver, is_file
from biocosmos.specimens.readers.blocks import Block, Shaper
from biocosmos.specimens.readers.columnar import BYTES_NAMES, FRAME, is_frame, table_of
from biocosmos.specimens.readers.columns import EPITHET, GUESSED_RANKS, SCIENTIFIC_NAME, check_header, our_names, plain, shown
from biocosmos.specimens.readers.packed import SUFFIXES as PACKED
from biocosmos.specimens.readers.packed import TABLE_SUFFIXES
from biocosmos.specimens.readers.row_images import crop_of
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import ADDED_BY_COLLECTION, BATCH_ROWS, EMBEDDING_PREFIX, STANDARD

PARQUET = (".parquet", ".pq")
NAMED_BY = ("id", "image_path")
"""What may say which specimen a row is about; a row without an id is about the specimen that its image file names."""


@dataclass
class Corrections:
    """Rows about specimens.

    table: ``id`` and the columns that were given, under our names and with their types; ranks: the rank columns among them,
    coarse to fine, as they were asked for or are named; by_file: it had no column of ids: ``id`` is the name of an image file.
    """

    table: pa.Table
    ranks: tuple[str, ...]
    by_file: bool = False


def read_corrections(
    given: str | Path | Any,
    *,
    columns: Mapping[str, str] | None = None,
    ranks: Sequence[str] | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    images: str | Path | None = None,
    clear: bool = False,
    failures: Failures,
) -> Corrections:
    """Read a CSV, TSV or Parquet file, or a data frame, of corrections.

    columns: their name -> ours. images: folder that relative image names start from, default the table's own. clear: a blank
    cell clears the value, and so does one that cannot be read. Rows that cannot be read or that name no specimen become rows of
    ``failures``.
    Raises BiocosmosError for a file that is no table, and for one whose columns say nothing about any specimen.
    """
    if is_frame(given) or isinstance(given, Mapping):
        where, names, blocks = _frame(given, columns)
        base = Path()
    else:
        path = Path(given)
        if not is_file(path):
            raise BiocosmosError(f"there is no file {path}")
        ending = (path.with_suffix("") if path.suffix.lower() in PACKED else path).suffix.lower()
        if ending not in (*TABLE_SUFFIXES, *PARQUET):
            raise BiocosmosError(f"{path} is no table: its name must end in one of {', '.join((*TABLE_SUFFIXES, *PARQUET))}")
        where, base = str(path), path.parent
        if ending in PARQUET:
            names, blocks = _parquet(path, columns)
        else:
            names, blocks = _text(path, columns, encoding, separator, failures)
    if not set(NAMED_BY) & set(names):
        raise BiocosmosError(f"{where} has no column of ids: say which, as in --column id=NAME; its columns: {shown(names)}")
    kept = {name: kind for name, kind in names.items() if name not in ADDED_BY_COLLECTION}  # they follow from the image
    kept = {name: kind for name, kind in kept.items() if not name.startswith(EMBEDDING_PREFIX)}
    if "crop" in kept:
        kept["crop"] = STANDARD["crop"]
    wanted = None if ranks is None else [rank for rank in ranks if rank in kept]
    shaper = Shaper(
        kept,
        failures,
        ranks=wanted,
        label_is_rank=False,
        warn_unlabelled=False,
        unreadable="left blank" if clear else "kept as it was",
        rules=LETTERS_ALONE,
        drop=False,
        personal=True,
    )
    resolver = Resolver(Path(images) if images is not None else base)
    batches = list(shaper.batches(_named(block, resolver if "image_path" in names else None, failures) for block in blocks))
    made = _not_given(shaper.schema.names, set(kept))
    if "id" not in names:  # a file that only says which specimen is meant is no new image of it
        made.add("image_path")
    table = pa.Table.from_batches(batches) if batches else shaper.schema.empty_table()  # under the names that are stored
    table = table.select([i for i, name in enumerate(shaper.schema.names) if name not in made])
    return Corrections(table, tuple(shaper.rank_columns), by_file="id" not in names)


def read_ids(path: Path, failures: Failures) -> list[str]:
    """The ids of a file: the column ``id`` of a table, or one a line of a .txt. Raises BiocosmosError where there is none."""
    if path.suffix.lower() == ".txt":
        text = path.read_bytes().decode("utf-8-sig", "replace")
        lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
        if lines and lines[0].strip().lower() != "id" and "\t" not in lines[0]:
            return lines
    found = read_corrections(path, failures=failures).table["id"].to_pylist()
    if not found:
        raise BiocosmosError(f"there is no id in {path}")
    return [str(id_) for id_ in found]


def _not_given(names: Sequence[str], given: set[str]) -> set[str]:
    """Columns that were made up on the way: what a scientific name says is wanted, a label made from ranks is not."""
    named = SCIENTIFIC_NAME in given or EPITHET in given
    made = {name for name in names if name not in given and name != "id"}
    return {name for name in made if not named or (name == "label" and SCIENTIFIC_NAME not in given)}


Blocks = tuple[dict[str, pa.DataType], Iterator[Block]]


def _text(
    path: Path, columns: Mapping[str, str] | None, encoding: str | None, separator: str | None, failures: Failures
) -> Blocks:
    finder: TypeFinder
    with open_table(path, encoding=encoding, separator=separator, failures=Failures()) as table:
        check_header(table.header, str(path))
        names = our_names(table.header, columns, str(path))
        encoding, separator, finder = table.encoding, table.separator, TypeFinder(names)
        finder.add_all(fields for _, fields in table.rows())
    kinds = {name: pa.string() if name in STANDARD else kind for name, kind in finder.types().items()}

    def blocks() -> Iterator[Block]:
        with open_table(path, encoding=encoding, separator=separator, failures=failures) as table:
            rows = table.rows()
            while held := list(islice(rows, BATCH_ROWS)):
                cells = list(zip(*(fields for _, fields in held)))
                values = {name: typed(texts, kinds[name]) for name, texts in zip(names, cells)}
                yield Block(values, [number for number, _ in held], str(path))

    return kinds, blocks()


def _parquet(path: Path, columns: Mapping[str, str] | None) -> Blocks:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BiocosmosError(f"cannot read {path} as Parquet: {first_line(error)}") from error
    return _of_batches(file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS), columns, str(path))


def _frame(given: Any, columns: Mapping[str, str] | None) -> tuple[str, dict[str, pa.DataType], Iterator[Block]]:
    where, table = str(FRAME), table_of(given)
    return where, *_of_batches(table.schema, table.to_batches(BATCH_ROWS), columns, where)


def _of_batches(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch], columns: Mapping[str, str] | None, where: str
) -> Blocks:
    check_header(schema.names, where)
    image = next((field.name for field in schema if _is_image(field) and field.name not in (columns or {})), None)
    others = [name for name in schema.names if name != image]
    ours = dict(zip(others, our_names(others, columns, where)))
    if image is not None:
        ours[image] = "image"
    names = [ours[name] for name in schema.names]
    kinds = {name: _stored_type(name, field.type) for name, field in zip(names, schema)}

    def blocks() -> Iterator[Block]:
        row = 1
        try:
            for batch in batches:
                arrays = [_plain(name, values) for name, values in zip(names, batch.columns)]
                yield Block(dict(zip(names, arrays)), range(row, row + batch.num_rows), where)
                row += batch.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise BiocosmosError(f"{where} is damaged from row {row} on: {first_line(error)}") from error

    return kinds, blocks()


def _is_image(field: pa.Field) -> bool:
    kinds = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view
    return plain(field.name) in BYTES_NAMES and any(is_one(field.type) for is_one in kinds)


def _stored_type(name: str, kind: pa.DataType) -> pa.DataType:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if name in GUESSED_RANKS else kind


def _plain(name: str, values: pa.Array) -> Any:
    """Cells without dictionaries; names as text; ids that pandas has as 7.0, because one of them was missing, as 7."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if name in GUESSED_RANKS and not pa.types.is_string(values.type):
        return [None if value is None else str(value) for value in values.to_pylist()]
    if name == "id" and pa.types.is_floating(values.type):
        try:
            return pc.cast(values, pa.int64())
        except pa.ArrowInvalid:
            return values
    return values


def _named(block: Block, resolver: Resolver | None, failures: Failures) -> Block:
    """The block with image files as they lie on the disk, which name a row that has no id."""
    for name in set(ADDED_BY_COLLECTION) & set(block.columns):
        del block.columns[name]
    if "crop" in block.columns:
        block.columns["crop"] = _crops(block, failures)
    if resolver is None:
        return block
    given = block.columns["image_path"]
    names = [None if v is None else str(v) for v in (given.to_pylist() if isinstance(given, pa.Array) else given)]
    block.fallback_ids = names
    paths: list[str | None] = []
    for row, own in zip(block.rows, names):
        found: Found | None = None if own is None else resolver.find(own)
        if found is not None and found.ambiguous:
            failures.add(str(found.problem), stage="read", source=block.source, row=row, severity="warning")
        paths.append(None if found is None or found.ambiguous else found.path)
    block.columns["image_path"] = paths
    return block


def _crops(block: Block, failures: Failures) -> list[list[float] | None]:
    given = block.columns["crop"]
    crops: list[list[float] | None] = []
    for row, value in zip(block.rows, given.to_pylist() if isinstance(given, pa.Array) else given):
        crop, problem = crop_of(value)
        if problem is not None:
            failures.add(f"{problem}: left as it was", stage="read", source=block.source, row=row)
        crops.append(crop)
    return crops
