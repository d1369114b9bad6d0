"""Parquet and data frames: typed columns, images as paths or as packed bytes; any column names, mapped by the user or guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.specimens.readers.blocks import Block, Shaper
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, check_header, our_names, plain
from biocosmos.specimens.readers.delimited import check_content, image_resolver
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.row_images import RowImages
from biocosmos.specimens.records import BATCH_ROWS, Source
from biocosmos.taxonomy.columns import RANKS_KEY, RANKS_SEPARATOR

BYTES_NAMES = ("image", "imagebytes", "bytes", "img", "imagedata")
PACKED_ROWS = 64  # rows with packed images are read in small groups: an image may be megabytes
FRAME = Path("the data frame")
"""What a frame is called in errors; relative image names start from the working folder."""

Numbered = tuple[range, pa.RecordBatch]
"""Row numbers in the source, from 1, and the rows."""


def is_frame(given: object) -> bool:
    """Whether this is a pandas or polars data frame, an Arrow table, or anything else that can be read as one."""
    return hasattr(given, "__arrow_c_stream__")


def read_frame(frame: Any, options: Options) -> Source:
    """A data frame in memory; an index of pandas that has a name is a column as any other."""
    try:
        table = pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read the data frame: {first_line(error)}") from error
    unnamed = [name for name in table.column_names if name.startswith("__index_level_")]
    table = table.drop_columns(unnamed)

    def batches(rows_at_once: int) -> Iterator[Numbered]:
        row = 1
        for batch in table.to_batches(rows_at_once):
            yield range(row, row + batch.num_rows), batch
            row += batch.num_rows

    return _source(table.schema, batches, FRAME, "frame", options)


def read_parquet(path: Path, options: Options) -> Source:
    """A Parquet file; types are kept, and images may be packed as bytes or as Hugging Face structs of bytes and path."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BiocosmosError(f"cannot read {path} as Parquet: {' '.join(str(error).split())}") from error

    def batches(rows_at_once: int) -> Iterator[Numbered]:
        with pq.ParquetFile(path) as file:
            start = 1
            for group in range(file.num_row_groups):
                row = start
                try:
                    for batch in file.iter_batches(batch_size=rows_at_once, row_groups=[group]):
                        yield range(row, row + batch.num_rows), batch
                        row += batch.num_rows
                except (OSError, pa.ArrowInvalid) as error:
                    last = start + file.metadata.row_group(group).num_rows - 1
                    reason = f"rows {row} to {last} are damaged: {error}"
                    options.failures.add(reason, stage="read", source=path, row=row)
                start += file.metadata.row_group(group).num_rows

    return _source(schema, batches, path, "parquet", options)


def _source(schema: pa.Schema, batches: Callable[[int], Iterator[Numbered]], path: Path, format: str, options: Options) -> Source:
    check_header(schema.names, str(path))
    image = next((f.name for f in schema if _is_image(f) and f.name not in options.columns), None)
    theirs = [name for name in schema.names if name != image]
    names = dict(zip(theirs, our_names(theirs, options.columns, str(path))))
    if image is not None:
        names[image] = "image"
    check_content(list(names.values()), schema.names, path, options.failures)
    kinds = {names[f.name]: _plain_type(f.type) for f in schema}
    stored = (schema.metadata or {}).get(RANKS_KEY)
    ranks = options.ranks if options.ranks is not None or stored is None else tuple(stored.decode().split(RANKS_SEPARATOR))
    shaper = Shaper(
        kinds,
        options.failures,
        ranks=ranks,
        taxonomy=options.taxonomy,
        warn_unlabelled=bool({"label", SCIENTIFIC_NAME} & set(names.values())),
    )

    def columns_of(batch: pa.RecordBatch) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for field, array in zip(batch.schema, batch.columns):
            if field.name == image and pa.types.is_struct(field.type):
                array = array.field("bytes")
            ours = names[field.name]
            array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            columns[ours] = array.to_pylist() if ours in ("image_path", "crop", "label", "id") else array
        return columns

    def blocks() -> Iterator[Block]:
        with RowImages(options, path, image_resolver(path, options)) as images:
            for rows, batch in batches(PACKED_ROWS if image else BATCH_ROWS):
                yield from images.finish(Block(columns_of(batch), rows, str(path)))

    return Source(path.name, format, shaper.batches(blocks()), shaper.rank_columns, options.failures)


def _is_image(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        return {kind.field(i).name for i in range(kind.num_fields)} == {"bytes", "path"}
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return plain(field.name) in BYTES_NAMES and binary


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type a column is stored with: polars has views and large strings where Arrow's plain ones do."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else kind
