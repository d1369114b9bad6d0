"""A download of BIOSCAN, or any part of one, as a collection; what is missing is said before anything is read whole."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.evaluate import Report
from biocosmos.files import is_file, is_there
from biocosmos.jobs.benchmark.parts import BIOSCAN_5M, CLIBD, Parts
from biocosmos.jobs.benchmark.settings import BenchmarkSettings
from biocosmos.jobs.simulate_pictures import PICTURE, SYNTHETIC
from biocosmos.progress import progress
from biocosmos.settings import UnusedSetting, flag
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import read
from biocosmos.specimens.readers.bioscan import has_images, is_table, table_in
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.packed import unpacked
from biocosmos.specimens.split_files import read_parts
from biocosmos.tables import file_stem, replacing

STATE = "benchmark.json"
TOLD_ROWS = 100_000
SPLIT, SAMPLE = "split", "sampleid"
Row = dict[str, Any]


@dataclass(frozen=True)
class Benchmarked:
    """A report and the collection it is about."""

    report: Report
    collection: Collection

    def write(self, folder: Path) -> Path:
        """The report in ``folder``, with pictures of its specimens; the page's path."""
        return self.report.write(folder, thumbnails=self.collection.picture_bytes)


@dataclass
class Data:
    """A collection with its parts, and what a reader of results must know of it."""

    collection: Collection
    parts: Parts
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)

    def there(self, parts: Iterable[str]) -> tuple[str, ...]:
        """Those that have specimens."""
        return tuple(part for part in parts if self.counts.get(part))

    @property
    def drawn(self) -> bool:
        """Whether its pictures were drawn ('biocosmos simulate pictures'): every table says so."""
        there = PICTURE in self.collection.stored_columns
        return there and bool(self.collection.count(where=f"{PICTURE} = '{SYNTHETIC}'"))

    def about(self, text: str) -> str:
        """What is said of the data that figures are about."""
        return f"{text} (synthetic images)" if self.drawn else text

    def rows(self) -> list[Row]:
        """A row a part: specimens, with an image, with a barcode, with a species."""
        has = {"image": "content_hash IS NOT NULL", "barcode": "barcode IS NOT NULL", "species": "species IS NOT NULL"}
        asked = {name: where for name, where in has.items() if where.split()[0] in self.collection.stored_columns}
        found = []
        for part in self.counts:
            chosen = self.parts.spelled([part])
            some = {name: self.collection.count(split=chosen, where=where) for name, where in asked.items()}
            found.append({"part": part, "specimens": self.counts[part], **{name: some.get(name, 0) for name in has}})
        return found


def opened(
    source: Path, folder: Path, settings: BenchmarkSettings, *, needed: Sequence[str], wanted: Sequence[str], images: bool
) -> Data:
    """The collection that a benchmark works on: ``source`` itself, or the needed and the wanted parts of a download, read into
    ``folder``; names of fields of :class:`Parts`. A download that was read is not read again.

    images: the benchmark cannot do without.

    Raises BiocosmosError for a source that is neither, for parts that it does not have, and where images are needed and there
    is no folder of them.
    """
    parts = CLIBD if settings.partition is not None else BIOSCAN_5M
    if not is_there(source):
        raise BiocosmosError(f"there is no file or folder {source}")
    if is_file(source / "collection.json"):
        return _of_collection(Collection.open(source), parts, settings, needed, wanted, images)
    table = source if is_file(source) else table_in(source)
    if not is_table(table):
        raise BiocosmosError(f"{table} is no metadata table of BIOSCAN: it has no columns processid and dna_barcode or nucraw")
    listed = {} if settings.partition is None else read_parts(settings.partition)[0]
    column = SAMPLE if listed else SPLIT
    values = _values(table, column, listed)
    counts = Counter(listed[value] for value in values if value in listed) if listed else values
    _refuse_missing(parts, counts, needed, str(table))
    asked = [part for name in (*needed, *wanted) for part in names_of(parts, name) if counts.get(part)]
    there = has_images(table, Options(images=settings.images, size=settings.size))
    if images and not there:
        raise BiocosmosError(
            f"no folder of images ({settings.size or 'cropped_256, original_256, ...'}) near {table}: fetch an image package, or "
            "name its folder with --images"
        )
    collection, notes = _read(table, folder, settings, column, listed, dict.fromkeys(asked))
    data = Data(collection, parts, _counted(collection, parts), notes)
    if not there:
        data.notes.append("No folder of images was found near the table: all is by barcodes alone.")
    return data


def names_of(parts: Parts, name: str) -> tuple[str, ...]:
    """The parts of a field of :class:`Parts`."""
    value = getattr(parts, name)
    return (value,) if isinstance(value, str) else tuple(value)


def _refuse_missing(parts: Parts, counts: Mapping[str, int], needed: Sequence[str], where: str) -> None:
    missing = ["+".join(names_of(parts, name)) for name in needed if not any(counts.get(each) for each in names_of(parts, name))]
    if missing:
        there = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if name) or "none"
        raise BiocosmosError(
            f"{where} has no specimen of part {' and '.join(missing)}, which this benchmark needs; it has: {there}"
        )


def _values(table: Path, column: str, listed: Some[str]) -> Counter[str]:
    """How often each value stands in a column of the table, in one pass that looks at nothing else. Raises BiocosmosError."""
    found: Counter[str] = Counter()
    try:
        with unpacked(table).open("rb") as file:
            text = TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
            header = text.readline()
            separator = "\t" if "\t" in header else ","
            names = next(csv.reader([header], delimiter=separator), [])
            if column not in names:
                other = "" if listed else "; of BIOSCAN-1M give --partition, CLIBD's files of sample ids"
                raise BiocosmosError(f"{table} has no column '{column}', which says the part of a specimen{other}")
            place = names.index(column)
            with progress(f"look at {table.name}", unit="rows") as bar:
                for number, row in enumerate(csv.reader(text, delimiter=separator), start=1):
                    if place < len(row):
                        found[row[place].strip()] += 1
                    if number % TOLD_ROWS == 0:
                        bar.advance(TOLD_ROWS)
    except (OSError, csv.Error) as error:
        raise BiocosmosError(f"cannot read {table}: {first_line(error)}") from error
    return found


def _read(
    table: Path, folder: Path, settings: BenchmarkSettings, column: str, listed: Mapping[str, str], parts: Some[str]
) -> tuple[Collection, list[str]]:
    """The collection in ``folder``, with these parts of the table in it; what an earlier run has read is not read again."""
    place, state = folder / f"{file_stem(table.stem)}.cosmos", folder / STATE
    facts = {"table": str(table.absolute()), "bytes": table.stat().st_size, "partition": str(settings.partition or "")}
    facts |= {"images": str(settings.images or ""), "size": settings.size or ""}
    before = _state(state)
    if before and {name: before.get(name) for name in facts} != facts:
        raise BiocosmosError(
            f"{folder} holds a benchmark of {before.get('table')} as it was then: choose another folder for {table}, or remove it"
        )
    was_there = is_there(place)
    collection = Collection.open_or_create(place)
    known = set(before.get("parts", [])) if was_there else set()
    missing = sorted(set(parts) - known)
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        values = {id_ for id_, part in listed.items() if part in missing} if listed else set(missing)
        failures = Failures()
        source = read(
            table,
            format="bioscan",
            images=settings.images,
            size=settings.size,
            rows=(column, values),
            provisional=True,
            failures=failures,
        )
        _keep(state, {**facts, "parts": sorted(known)})
        collection.add(source)
        _split(collection, settings.partition)
        _keep(state, {**facts, "parts": sorted(known | set(missing))})
    failed = len(collection.failures)
    notes = [f"{failed:,} notes on single rows of the table: biocosmos failures {place}."] if failed else []
    return collection, notes


def _split(collection: Collection, partition: Path | None) -> None:
    if partition is None:
        collection.make_split("column", column=SPLIT)
    else:
        collection.make_split("files", name=CLIBD.split, files=partition, column=SAMPLE)


def _state(path: Path) -> dict[str, Any]:
    if not is_file(path):
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BiocosmosError(f"{path} cannot be read ({first_line(error)}): remove it to begin anew") from error
    return found if isinstance(found, dict) else {}


def _keep(path: Path, facts: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _of_collection(
    collection: Collection,
    parts: Parts,
    settings: BenchmarkSettings,
    needed: Sequence[str],
    wanted: Sequence[str],
    images: bool,
) -> Data:
    for name in ("images", "size"):
        if getattr(settings, name) is not None:
            raise UnusedSetting(name, flag(name), f"on a download, and {collection.path} is a collection")
    name = parts.split or "default"
    if name not in collection.split_names:
        if settings.partition is None and SPLIT not in collection.stored_columns:
            raise BiocosmosError(f"{collection.path} has no split and no column '{SPLIT}': make one with 'biocosmos split'")
        _split(collection, settings.partition)
    counts = _counted(collection, parts)
    _refuse_missing(parts, counts, needed, f"split '{name}' of {collection.path}")
    chosen = {part for field in (*needed, *wanted) for part in names_of(parts, field)}
    data = Data(collection, parts, {part: count for part, count in counts.items() if part in chosen})
    if images and not collection.count(where="content_hash IS NOT NULL"):
        raise BiocosmosError(f"{collection.path} has no images, and this benchmark needs them: read them with 'biocosmos ingest'")
    return data


def _counted(collection: Collection, parts: Parts) -> dict[str, int]:
    return collection.split(parts.split or "default").counts()
