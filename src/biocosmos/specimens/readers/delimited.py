"""CSV and TSV, packed or in a zip or not: any column names, mapped by the user or guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver, is_image_name
from biocosmos.specimens.readers.archive import Archive, Member, open_archive
from biocosmos.specimens.readers.blocks import DNA, Block, Shaper
from biocosmos.specimens.readers.columns import (
    IMAGE_URL,
    SCIENTIFIC_NAME,
    SOURCE_SUFFIX,
    check_header,
    is_media_list,
    is_records,
    our_names,
    place_column,
    plain,
    shown,
    with_gbif_id,
)
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.media import first_address
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.packed import is_zip, table_among
from biocosmos.specimens.readers.row_images import RowImages, without
from biocosmos.specimens.readers.spreadsheet import unguarded
from biocosmos.specimens.readers.textfile import Readable, TextTable, open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.readers.workbook import Workbook, is_workbook
from biocosmos.specimens.records import BATCH_ROWS, STANDARD, Source

CONTENT = ("image_path", "image", "barcode", "text")
MARKERS = ("markercode", "marker")
"""Columns that say which gene a sequence is of, as BOLD calls them."""
MARKED = "utf-8-sig"
"""The encoding of a text that begins with a byte-order mark, as one for spreadsheets does."""
DEGREES = re.compile(r"[\[(]?\s*(-?\d+(?:\.\d+)?)\s*[,;\s]\s*(-?\d+(?:\.\d+)?)\s*[\])]?")
"""Latitude and longitude in one cell: "(48.1, 11.5)", "48.1,11.5"."""
UNPACKED_ROWS = 64  # rows with images out of a zip are read in small groups: an image may be megabytes


ImageFinder = Callable[[Block], set[int]]


def read_text(path: Path, options: Options) -> Source:
    """A CSV or TSV file, or the one table of a zip. It is read twice: for the types of its columns, then for its rows."""
    return read_text_with(path, options, "csv", None)


def read_text_with(
    path: Path, options: Options, format: str, find_images: ImageFinder | None, sets: Sequence[str] = ("image_path",)
) -> Source:
    """As :func:`read_text`; ``find_images`` fills the columns of paths ``sets`` and returns the rows (from 0) to leave out."""
    plan = _plan(path, options, find_images is None)
    if find_images is not None:
        plan.kinds |= dict.fromkeys(sets, pa.string())
    shaper = Shaper(
        plan.kinds,
        options.failures,
        ranks=options.ranks,
        taxonomy=options.taxonomy,
        warn_unlabelled=bool({"label", SCIENTIFIC_NAME} & set(plan.names)),
        drop=not plan.records,
        **options.shaping(),
    )

    def blocks() -> Iterator[Block]:
        with (
            table_at(path, options, options.failures) as (file, archive),
            open_table(file, encoding=plan.encoding, separator=plan.separator, failures=options.failures) as table,
            RowImages(
                options, path, None if archive else image_resolver(path, options), archive, records=is_records(table.header)
            ) as images,
        ):
            rows = _rows(table, options.failures)
            wanted = None if options.marker is None else _Marker(options.marker, plan.names, path)
            while held := list(islice(rows, UNPACKED_ROWS if archive else BATCH_ROWS)):
                block = plan.block(held, path)
                if wanted is not None:
                    block = wanted.of(block)
                if find_images is None:
                    yield from images.finish(block)
                else:
                    yield without(block, find_images(block))
            if wanted is not None:
                wanted.tell(options.failures)

    return Source(path.name, format, shaper.batches(blocks()), shaper.rank_columns, options.failures)


@dataclass
class _Plan:
    """What the first pass over a table says: how it is read, our names of its columns, and their Arrow types."""

    encoding: str
    separator: str
    names: list[str]
    kinds: dict[str, pa.DataType]
    media: str | None
    """The column of addresses that ``image_url`` is taken from, if it has none itself."""
    place: str | None
    """The column that latitude and longitude are taken from, if they have none themselves."""
    records: bool = False
    """Whether its rows are records of occurrences, which stand for themselves."""

    def block(self, rows: Sequence[tuple[int, list[str]]], path: Path) -> Block:
        """Some rows as typed columns under our names."""
        cells = zip(*(fields for _, fields in rows))
        columns = {name: typed(values, self.kinds[name]) for name, values in zip(self.names, cells)}
        if self.media is not None:
            columns[IMAGE_URL] = [first_address(str(text or "")) for text in columns[self.media]]
        if self.place is not None:
            columns |= places(columns[self.place])
        return Block(columns, [number for number, _ in rows], str(path))


def _plan(path: Path, options: Options, check: bool) -> _Plan:
    scan = Failures()
    with (
        table_at(path, options, Failures()) as (file, archive),
        open_table(file, encoding=options.encoding, separator=options.separator, failures=scan) as table,
    ):
        for failure in list(scan):  # of the file; what its rows have comes when the rows are read
            options.failures.add(failure.reason, stage="read", source=path, severity=failure.severity)
        header = [unguarded(name) for name in table.header] if table.encoding == MARKED else table.header
        check_header(header, str(path))
        names = our_names(header, options.columns, str(path))
        types, is_dna, repeated = _scan(_rows(table), names, header)
        encoding, separator = table.encoding, table.separator
    if "id" not in options.columns.values():
        found = list(with_gbif_id(dict(zip(header, names)), path, options.failures).values())
        names = _by_gbif_id(names, header, path, options.failures) if repeated and found == names else found
    if "barcode" in names and not is_dna and "barcode" not in options.columns.values():
        names[names.index("barcode")] = "barcode" + SOURCE_SUFFIX
    kinds = {ours: pa.string() if ours in STANDARD else kind for ours, kind in zip(names, types)}
    media = next((ours for ours in names if is_media_list(ours)), None) if IMAGE_URL not in names else None
    if media is not None:
        kinds[IMAGE_URL] = pa.string()
        kinds[media] = pa.string()
    place = place_column(names)
    if place is not None:
        kinds |= {place: pa.string(), "latitude": STANDARD["latitude"], "longitude": STANDARD["longitude"]}
    if check:
        check_content([*names, *kinds], header, path, options.failures)
    if archive is not None and "image_path" in names:
        kinds["image"] = STANDARD["image"]
    return _Plan(encoding, separator, names, kinds, media, place, is_records(header))


class _Marker:
    """Keeps the rows of one marker, by the column that says it, and counts the others."""

    def __init__(self, marker: str, names: Sequence[str], path: Path) -> None:
        self.path, self._marker, self._others = path, marker, 0
        self._column = next((name for name in names if plain(name) in MARKERS), None)
        if self._column is None:
            raise BiocosmosError(f"{path} has no column of markers ({', '.join(MARKERS)}), which --marker needs: leave it out")

    def of(self, block: Block) -> Block:
        """The block without the rows of other markers."""
        said = [str(value or "").strip().lower() for value in block.columns[str(self._column)]]
        others = {i for i, value in enumerate(said) if value != self._marker.lower()}
        self._others += len(others)
        return without(block, others) if others else block

    def tell(self, failures: Failures) -> None:
        """Say how many rows were left out."""
        if self._others:
            reason = f"of other markers than {self._marker}, {self._others:,} left out"
            failures.add(reason, stage="read", source=self.path, severity="warning")


def places(cells: Sequence[object]) -> dict[str, list[object]]:
    """Latitude and longitude out of one cell each; what is no such pair stays whole, for the check of degrees to refuse."""
    texts = [str(cell).strip() if cell is not None else "" for cell in cells]
    pairs = [DEGREES.fullmatch(text) for text in texts]
    return {
        "latitude": [pair[1] if pair else text or None for pair, text in zip(pairs, texts)],
        "longitude": [pair[2] if pair else None for pair in pairs],
    }


def _by_gbif_id(names: list[str], header: Sequence[str], path: Path, failures: Failures) -> list[str]:
    """Our names with gbifID as the id, since the occurrenceID that would be it repeats from dataset to dataset."""
    gbif = next(i for i, name in enumerate(header) if plain(name) == "gbifid")
    occurrence = names.index("id")
    names = list(names)
    names[gbif], names[occurrence] = "id", header[occurrence]
    reason = f"the values of {header[occurrence]} repeat: {header[gbif]} is the id"
    failures.add(reason, stage="read", source=path, severity="warning")
    return names


@contextmanager
def table_at(path: Path, options: Options, failures: Failures) -> Iterator[tuple[Readable, tuple[Archive, str] | None]]:
    """(the table, the archive that its images are in and its folder there, or None) of a file, or of a zip with one table."""
    if is_workbook(path):
        with closing(Workbook(path, failures)) as workbook:
            yield workbook, None
        return
    if not is_zip(path):
        yield path, None
        return
    with open_archive(path, failures, options.max_image_bytes) as archive:
        name, reason = table_among(archive.names)
        if name is None:
            raise BiocosmosError(f"{path} {reason}: unpack it and name the table")
        with_images = options.images is None and any(map(is_image_name, archive.names))
        yield Member(archive, name), (archive, name.rpartition("/")[0]) if with_images else None


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


def _scan(
    rows: Iterator[tuple[int, list[str]]], names: Sequence[str], header: Sequence[str]
) -> tuple[list[pa.DataType], bool, bool]:
    """(Arrow type of each column, whether most barcodes are DNA, whether occurrence ids repeat beside GBIF's own)."""
    finder, dna, filled, repeated = TypeFinder(names), 0, 0, False
    at = names.index("barcode") if "barcode" in names else None
    id_at = names.index("id") if "id" in names else None
    if id_at is not None and (plain(header[id_at]) != "occurrenceid" or "gbifid" not in map(plain, header)):
        id_at = None
    with Seen() as seen:
        while held := [fields for _, fields in islice(rows, BATCH_ROWS)]:
            finder.add(held)
            if at is not None:
                cells = [fields[at] for fields in held if fields[at].strip()]
                filled += len(cells)
                dna += sum(DNA.fullmatch(cell) is not None for cell in cells)
            if id_at is not None and not repeated:
                repeated = any(seen.count(fields[id_at]) > 1 for fields in held if fields[id_at].strip())
    return list(finder.types().values()), 2 * dna > filled or not filled, repeated


def check_content(names: Sequence[str], header: Sequence[str], path: Path, failures: Failures) -> None:
    """Refuse a table without any column of images, barcodes or texts, unless it surely has records of occurrences."""
    if set(CONTENT) & set(names):
        return
    if not is_records(header) and IMAGE_URL not in names:
        raise BiocosmosError(
            f"{path} has no column that is surely an image file, barcode or text: say which, as in "
            f"--column image_path=NAME; its columns: {shown(header)}"
        )
    reason = "no column of image files, barcodes or texts: the records are read without; --column image_path=NAME names one"
    failures.add(reason, stage="read", source=path, severity="warning")


def image_resolver(path: Path, options: Options) -> Resolver:
    """Finds the images of a table: below the folder asked for, else below the table's own."""
    return Resolver(options.images or path.parent)
