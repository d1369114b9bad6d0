"""Parquet and data frames: typed columns, images as paths or as packed bytes; any column names, mapped by the user or guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_file, is_folder, readable, walk
from biocosmos.specimens.readers.blocks import Block, Shaper
from biocosmos.specimens.readers.columns import (
    EPITHET,
    GUESSED_RANKS,
    SCIENTIFIC_NAME,
    check_header,
    guess_columns,
    is_records,
    our_names,
    plain,
    with_gbif_id,
)
from biocosmos.specimens.readers.delimited import check_content, image_resolver
from biocosmos.specimens.readers.fitting import fitted, fitting_type, is_scalar_text
from biocosmos.specimens.readers.hugging_face import Features, is_media
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.row_images import RowImages
from biocosmos.specimens.records import BATCH_ROWS, Source
from biocosmos.taxonomy.columns import RANKS_KEY, RANKS_SEPARATOR

BYTES_NAMES = ("image", "imagebytes", "bytes", "img", "imagedata")
PACKED_ROWS = 64  # rows with packed images are read in small groups: an image may be megabytes
PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET_MAGIC = b"PAR1"
FRAME = Path("the data frame")
"""What a frame is called in errors; relative image names start from the working folder."""


TEXTS = ("id", "image_path", "label", "barcode", "text", "date", SCIENTIFIC_NAME, EPITHET, *GUESSED_RANKS)
"""Our columns whose values are texts, and never lists or maps."""


class Piece(NamedTuple):
    """Some rows: their numbers in the file, from 1, the rows, and the file."""

    rows: range
    batch: pa.RecordBatch
    source: Path


def is_frame(given: object) -> bool:
    """Whether this is a pandas or polars data frame, an Arrow table, or anything else that can be read as one."""
    return hasattr(given, "__arrow_c_stream__")


def table_of(frame: Any) -> pa.Table:
    """A data frame, or columns by name, as a table without an index of pandas that has no name.

    Raises BiocosmosError for what is none.
    """
    try:
        table = pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read the data frame: {first_line(error)}") from error
    return table.drop_columns([name for name in table.column_names if name.startswith("__index_level_")])


def read_frame(frame: Any, options: Options) -> Source:
    """A data frame in memory; an index of pandas that has a name is a column as any other."""
    table = table_of(frame)

    def pieces(rows_at_once: int) -> Iterator[Piece]:
        row = 1
        for batch in table.to_batches(rows_at_once):
            yield Piece(range(row, row + batch.num_rows), batch, FRAME)
            row += batch.num_rows

    return columnar_source(table.schema, pieces, FRAME, "frame", options)


def read_parquet(path: Path, options: Options) -> Source:
    """A Parquet file, or a folder of them with the same columns, such as a snapshot of GBIF's.

    Types are kept, and images may be packed as bytes or as Hugging Face structs of bytes and path.
    """
    files = parquet_files(path, options.failures) if is_folder(path) else [path]
    if not files:
        raise BiocosmosError(f"{path} has no Parquet file in it")
    schemas = [_schema(file) for file in files]
    schema = schemas[0]
    if len(files) > 1:
        try:
            whole = pa.unify_schemas([one.remove_metadata() for one in schemas], promote_options="permissive")
        except (pa.ArrowException, ValueError) as error:
            raise BiocosmosError(f"the files of {path} do not have the same columns: {first_line(error)}") from error
        schema = whole.with_metadata(schema.metadata)

    def pieces(rows_at_once: int) -> Iterator[Piece]:
        for file in files:
            yield from _pieces(file, rows_at_once, options.failures)

    return columnar_source(schema, pieces, path, "parquet", options)


def parquet_files(folder: Path, failures: Failures) -> list[Path]:
    """The Parquet files below a folder in the order of their names; Spark, as GBIF, gives them no ending."""
    names = [name for name in walk(folder, failures) if not any(part.startswith("_") for part in name.split("/"))]
    return [folder / name for name in names if is_parquet(folder / name)]


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet by its ending, or without one by its first bytes."""
    if file.suffix or not is_file(file):
        return file.suffix.lower() in PARQUET_SUFFIXES and is_file(file)
    try:
        with file.open("rb") as opened:
            return opened.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    except OSError:
        return False


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read {readable(str(file))} as Parquet: {first_line(error)}") from error


def _pieces(path: Path, rows_at_once: int, failures: Failures) -> Iterator[Piece]:
    """The rows of one file; a row group that is damaged costs its own rows only."""
    with pq.ParquetFile(path) as file:
        start = 1
        for group in range(file.num_row_groups):
            row = start
            try:
                for batch in file.iter_batches(batch_size=rows_at_once, row_groups=[group]):
                    yield Piece(range(row, row + batch.num_rows), batch, path)
                    row += batch.num_rows
            except (OSError, ValueError, pa.ArrowException) as error:
                last = start + file.metadata.row_group(group).num_rows - 1
                failures.add(f"rows {row} to {last} are damaged: {first_line(error)}", stage="read", source=path, row=row)
            start += file.metadata.row_group(group).num_rows


def columnar_source(
    schema: pa.Schema,
    pieces: Callable[[int], Iterator[Piece]],
    path: Path,
    format: str,
    options: Options,
    *,
    features: Features | None = None,
    base: Path | None = None,
) -> Source:
    """Specimens from typed columns.

    pieces: the rows, so many at once. features: what Hugging Face says of the columns; None asks the schema. base: the folder
    that relative image names start from, else the path's own.
    """
    check_header(schema.names, str(path))
    columns = _Columns.of(schema, features or Features.of_schema(schema) or Features(), path, options)
    names = columns.names
    check_content(list(names.values()), schema.names, path, options.failures)
    kinds = columns.kinds(schema)
    stored = (schema.metadata or {}).get(RANKS_KEY)
    ranks = options.ranks if options.ranks is not None or stored is None else tuple(stored.decode().split(RANKS_SEPARATOR))
    shaper = Shaper(
        kinds,
        options.failures,
        ranks=ranks,
        taxonomy=options.taxonomy,
        warn_unlabelled=bool({"label", SCIENTIFIC_NAME} & set(names.values())),
        drop=not is_records(schema.names),
        **options.shaping(),
    )

    def blocks() -> Iterator[Block]:
        resolver = image_resolver(path if base is None else base / "_", options)
        with RowImages(options, path, resolver, records=is_records(schema.names)) as images:
            for piece in pieces(PACKED_ROWS if columns.image else BATCH_ROWS):
                for block in images.finish(columns.block(piece, options.failures)):
                    yield columns.without_names(block)

    return Source(path.name, format, shaper.batches(blocks()), shaper.rank_columns, options.failures)


@dataclass(frozen=True)
class _Columns:
    """Our names of the columns that are used, which of them is the image, and what Hugging Face says of them."""

    names: dict[str, str]
    image: str | None
    structs: bool
    """Whether images are structs of bytes and path."""
    features: Features

    @classmethod
    def of(cls, schema: pa.Schema, features: Features, path: Path, options: Options) -> _Columns:
        """Choose the image and name the others; further images, and sounds, are left out with a warning."""
        declared = [name for name, kind in features.media.items() if kind == "Image" and name in schema.names]
        images = [f.name for f in schema if _is_image(f) and features.media.get(f.name, "Image") == "Image"]
        image = next((name for name in (*declared, *images) if name in images and name not in options.columns), None)
        further = [f.name for f in schema if f.name != image and f.name not in options.columns and is_media(f.type)]
        for name in further:
            reason = f"the column {name!r} is left out: a specimen has one image, and no sound or film"
            options.failures.add(reason, stage="read", source=path, severity="warning")
        unfit = {f.name: f.type for f in schema if f.name != image and f.name not in further and fitting_type(f.type) is None}
        for name, kind in unfit.items():
            reason = f"the column {readable(name)!r} is left out: no collection holds {kind}"
            options.failures.add(reason, stage="read", source=path, severity="warning")
        theirs = [name for name in schema.names if name != image and name not in further and name not in unfit]
        scalar = [name for name in theirs if is_scalar_text(schema.field(name).type) or name.lower() == "crop"]
        asked = {**_label(features, theirs), **options.columns}
        names = dict(zip(theirs, our_names(theirs, asked, str(path), guessable=scalar)))
        if "id" not in options.columns.values():
            names = with_gbif_id(names, path, options.failures)
        for theirs_, ours in names.items():
            if ours in TEXTS and theirs_ not in scalar and theirs_ not in features.labels:
                kind = schema.field(theirs_).type
                raise BiocosmosError(f"{path}: the column {readable(theirs_)!r} holds {kind}, and {ours} is a text: map another")
        if image is not None:
            names[image] = "image"
        structs = image is not None and is_media(schema.field(image).type)
        return cls(names, image, structs and "image_path" not in names.values(), features)

    def kinds(self, schema: pa.Schema) -> dict[str, pa.DataType]:
        """Our name -> type."""
        kinds = {self.names[f.name]: fitting_type(self.features.stored_as(f)) for f in schema if f.name in self.names}
        if self.structs and self.image is not None:
            kinds["image"] = pa.large_binary()
        return kinds | ({"image_path": pa.string()} if self.structs else {})

    def block(self, piece: Piece, failures: Failures) -> Block:
        """The rows under our names; a packed image without a name is called by its file and row."""
        columns: dict[str, Any] = {}
        for field, array in zip(piece.batch.schema, piece.batch.columns):
            if field.name not in self.names:
                continue
            if field.name == self.image and pa.types.is_struct(field.type):
                if self.structs:
                    columns["image_path"] = self._paths(array, piece)
                array = pc.struct_field(array, "bytes")  # null where the struct is
            array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            array, odd = self.features.named(field.name, array)
            reasons = {i: f"{field.name} {number} names no class: left blank" for i, number in odd.items()}
            array, bad = fitted(array, fitting_type(array.type))
            reasons |= {i: f"{readable(field.name)}: {why}: left blank" for i, why in bad.items()}
            for i, reason in reasons.items():
                failures.add(reason, stage="read", source=piece.source, row=piece.rows[i], severity="warning")
            ours = self.names[field.name]
            columns[ours] = array.to_pylist() if ours in ("image_path", "crop", "label", "id") else array
        return Block(columns, piece.rows, str(piece.source))

    def _paths(self, images: pa.Array, piece: Piece) -> list[str | None]:
        paths = pc.struct_field(images, "path").to_pylist()
        packed = pc.is_valid(pc.struct_field(images, "bytes")).to_pylist()
        stem = piece.source.name.removesuffix(piece.source.suffix)
        return [
            str(path) if path is not None and str(path).strip() else f"{stem}#{row}" if there else None
            for path, there, row in zip(paths, packed, piece.rows)
        ]

    def without_names(self, block: Block) -> Block:
        """The block in which a packed image has no path: what stood there was its name."""
        if self.structs:
            packed = block.columns["image"]
            block.columns["image_path"] = [
                None if image.is_valid else name for image, name in zip(packed, block.columns["image_path"])
            ]
        return block


def _label(features: Features, theirs: Sequence[str]) -> dict[str, str]:
    """The one column of class labels is the label, whatever it is called."""
    classes = [name for name in theirs if name in features.labels]
    return {classes[0]: "label"} if len(classes) == 1 and "label" not in guess_columns(theirs).values() else {}


def _is_image(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        return is_media(kind)
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return plain(field.name) in BYTES_NAMES and binary
