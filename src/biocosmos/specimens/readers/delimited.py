"""CSV and TSV: any column names, mapped by the user or guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver
from biocosmos.specimens.readers.blocks import DNA, Block, Shaper
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, SOURCE_SUFFIX, check_header, our_names, shown
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.spreadsheet import unguarded
from biocosmos.specimens.readers.textfile import TextTable, open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import BATCH_ROWS, STANDARD, Source

CONTENT = ("image_path", "image", "barcode", "text")
MARKED = "utf-8-sig"
"""The encoding of a text that begins with a byte-order mark, as one for spreadsheets does."""
ADDRESSES = ("http://", "https://", "ftp://", "s3://")


ImageFinder = Callable[[Block], set[int]]


def read_text(path: Path, options: Options) -> Source:
    """A CSV or TSV file. It is read twice: once for the types of its columns, once for its rows."""
    return read_text_with(path, options, "csv", None)


def read_text_with(path: Path, options: Options, format: str, find_images: ImageFinder | None) -> Source:
    """As :func:`read_text`; ``find_images`` sets ``image_path`` itself and returns the rows (from 0) to leave out."""
    scan = Failures()
    with open_table(path, encoding=options.encoding, separator=options.separator, failures=scan) as table:
        encoding, separator, header = table.encoding, table.separator, table.header
        if encoding == MARKED:
            header = [unguarded(name) for name in header]
        check_header(header, str(path))
        names = our_names(header, options.columns, str(path))
        kinds, is_dna = _scan(_rows(table), names)
    for failure in scan:
        if failure.row is None:  # of the file; those of its rows come when the rows are read
            options.failures.add(failure.reason, stage="read", source=path, severity=failure.severity)
    if "barcode" in names and not is_dna and "barcode" not in options.columns.values():
        names[names.index("barcode")] = "barcode" + SOURCE_SUFFIX
        kinds["barcode" + SOURCE_SUFFIX] = kinds.pop("barcode")
    if find_images is None:
        check_content(names, header, path)
    else:
        kinds["image_path"] = pa.string()
    shaper = Shaper(
        kinds,
        options.failures,
        ranks=options.ranks,
        taxonomy=options.taxonomy,
        warn_unlabelled=bool({"label", SCIENTIFIC_NAME} & set(names)),
    )

    def blocks() -> Iterator[Block]:
        with open_table(path, encoding=encoding, separator=separator, failures=options.failures) as table:
            rows, resolver = _rows(table, options.failures), image_resolver(path, options)
            while held := list(islice(rows, BATCH_ROWS)):
                cells = list(zip(*(fields for _, fields in held)))
                columns = {name: typed(values, kinds[name]) for name, values in zip(names, cells)}
                block = Block(columns, [number for number, _ in held], str(path))
                if find_images is None:
                    yield from finish(block, resolver, options)
                else:
                    yield without(block, find_images(block))
            resolver.tell(options.failures, source=path)

    return Source(path.name, format, shaper.batches(blocks()), shaper.rank_columns, options.failures)


def _rows(table: TextTable, failures: Failures | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows, without the apostrophes that keep a spreadsheet from running cells; how many, as a warning."""
    if table.encoding != MARKED:
        yield from table.rows()
        return
    count = 0
    for number, fields in table.rows():
        plain = [unguarded(cell) if cell.startswith("'") else cell for cell in fields]
        count += sum(cell is not given for cell, given in zip(plain, fields))
        yield number, plain
    if count and failures is not None:
        reason = f"{count:,} cells begin with an apostrophe that keeps spreadsheets from running them: read without it"
        failures.add(reason, stage="read", source=table.name, severity="warning")


def _scan(rows: Iterator[tuple[int, list[str]]], names: Sequence[str]) -> tuple[dict[str, pa.DataType], bool]:
    """(Arrow type by column, whether the barcode column holds nothing but DNA) from one pass over the rows."""
    finder, is_dna = TypeFinder(names), True
    at = names.index("barcode") if "barcode" in names else None
    while held := [fields for _, fields in islice(rows, BATCH_ROWS)]:
        finder.add(held)
        if at is not None and is_dna:
            is_dna = all(DNA.fullmatch(fields[at]) for fields in held)
    kinds = finder.types()
    for name in names:
        if name in STANDARD:
            kinds[name] = pa.string()
    return kinds, is_dna


def check_content(names: Sequence[str], header: Sequence[str], path: Path) -> None:
    """Refuse a table without any column of images, barcodes or texts."""
    if not set(CONTENT) & set(names):
        raise BiocosmosError(
            f"{path} has no column that is surely an image file, barcode or text: say which, as in "
            f"--column image_path=NAME; its columns: {shown(header)}"
        )


def finish(block: Block, resolver: Resolver | None, options: Options) -> Iterator[Block]:
    """Resolve image paths and crops of a block; rows whose image cannot be had are left out and recorded.

    resolver: None where the paths are those of the disk already.
    """
    columns, bad = block.columns, set()
    given = columns.get("image_path")
    packed = columns.get("image")
    if given is not None:
        names = [None if value is None or not str(value).strip() else str(value) for value in given]
        paths: list[str | None] = []
        for i, name in enumerate(names):
            own = packed is not None and packed[i] is not None and getattr(packed[i], "is_valid", True)
            if name and name.strip().lower().startswith(ADDRESSES) and not own:
                _fail(options, block, i, f"the image is a web address ({name}): download it first")
                bad.add(i)
            elif not name and not own and not any(_filled(columns, other, i) for other in ("barcode", "text")):
                _fail(options, block, i, "the name of the image is blank: kept without an image", warning=True)
            if name is None or own or resolver is None or i in bad:
                paths.append(name)
                continue
            found = resolver.find(name)
            if found.ambiguous:
                _fail(options, block, i, str(found.problem))
                bad.add(i)
            paths.append(found.path)
        columns["image_path"] = paths
        if block.fallback_ids is None:
            block.fallback_ids = names
    if "crop" in columns and isinstance(columns["crop"], list):
        crops: list[list[float] | None] = []
        for i, value in enumerate(columns["crop"]):
            crop, reason = crop_of(value)
            if reason:
                _fail(options, block, i, reason)
                bad.add(i)
            crops.append(crop)
        columns["crop"] = crops
    if bad:
        block = without(block, bad)
    if block.rows:
        yield block


def without(block: Block, bad: set[int]) -> Block:
    """The block without some of its rows (positions from 0)."""
    keep = [i for i in range(len(block.rows)) if i not in bad]
    columns: dict[str, Any] = {
        name: values.take(pa.array(keep, pa.int64())) if isinstance(values, pa.Array) else [values[i] for i in keep]
        for name, values in block.columns.items()
    }
    fallback = None if block.fallback_ids is None else [block.fallback_ids[i] for i in keep]
    return Block(columns, [block.rows[i] for i in keep], block.source, fallback)


def image_resolver(path: Path, options: Options) -> Resolver:
    """Finds the images of a table: below the folder asked for, else below the table's own."""
    return Resolver(options.images or path.parent)


def _filled(columns: dict[str, Any], name: str, i: int) -> bool:
    return name in columns and columns[name][i] is not None and bool(str(columns[name][i]).strip())


def crop_of(value: Any) -> tuple[list[float] | None, str | None]:
    """([x, y, width, height] or None, what is wrong or None)."""
    if value is None:
        return None, None
    try:
        numbers = [float(part) for part in json.loads(value)] if isinstance(value, str) else [float(part) for part in value]
    except (TypeError, ValueError):
        return None, f"the crop {value!r} is not [x, y, width, height]"
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or numbers[2] <= 0 or numbers[3] <= 0:
        return None, f"the crop {value!r} is not [x, y, width, height] with a positive size"
    return numbers, None


def _fail(options: Options, block: Block, i: int, reason: str, warning: bool = False) -> None:
    id = block.columns["id"][i] if "id" in block.columns else None
    options.failures.add(
        reason,
        stage="read",
        source=block.source,
        row=block.rows[i],
        id=None if id is None else str(id),
        severity="warning" if warning else "error",
    )
