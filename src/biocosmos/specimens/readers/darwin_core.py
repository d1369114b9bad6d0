"""Darwin Core Archives, zipped or as a folder: the occurrences, their first image, and their other extensions beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.archive import Archive, open_archive
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import GUESSED_RANKS, SCIENTIFIC_NAME, our_names
from biocosmos.specimens.readers.darwin_core_meta import Table, parse_meta
from biocosmos.specimens.readers.delimited import ADDRESSES
from biocosmos.specimens.readers.lookup import Lookup
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import STANDARD, Source
from biocosmos.taxonomy.scientific_names import parse

OCCURRENCE = "Occurrence"
MEDIA = ("Multimedia", "Image")  # GBIF's two and Audubon Core's
MEDIA_ADDRESS = ("identifier", "accessURI", "goodQualityAccessURI", "thumbnailAccessURI")


def read(path: Path, options: Options) -> Source:
    """Occurrences of an archive whose core is Occurrence, or Event with an occurrence extension.

    The first picture of the multimedia extension is the specimen's image if it lies in the archive, and ``image_url`` if it
    is on the web (nothing is fetched). Every extension's rows are kept as JSON in a column named by its row type
    ("multimedia", "identification").
    """
    with open_archive(path, Failures(), options.max_image_bytes) as archive:
        core, extensions = parse_meta(archive)
        main, event = _main_table(core, extensions, path)
        others = [table for table in extensions if table is not main]
        stated, main = main.ranks, main.without_ranks()
        theirs = [term.name for term in main.terms]
        theirs += [term.name for term in event.terms if term.name not in theirs] if event is not None else []
        kinds, has_taxa = _scan(main, event, archive, theirs)
    ours = dict(zip(theirs, our_names(theirs, options.columns, str(path))))
    columns = {ours[name]: kinds[name] for name in theirs}
    texts = ["id", *[_column(table) for table in others if event is None]]
    if event is None and any(table.kind in MEDIA for table in others):
        texts += ["image_path", "image_url"]
        columns["image"] = pa.large_binary()
    columns |= {name: STANDARD.get(name, pa.string()) for name in texts}
    ranks = options.ranks
    if ranks is None and stated is not None and options.taxonomy is None:
        ranks = tuple(rank for rank in stated if rank in columns)
    # names that are no taxon anywhere in the archive, such as those of folders, are the taxa that there are
    by_label = True if not has_taxa and options.taxonomy is None and {"label", SCIENTIFIC_NAME} & set(columns) else None
    shaper = Shaper(columns, options.failures, ranks=ranks, taxonomy=options.taxonomy, label_is_rank=by_label)
    rows = _rows(path, main, event, others, ours, kinds, options)
    blocks = gather(rows, list(columns), f"{path}/{main.files[0]}")
    return Source(path.name, "darwin-core", shaper.batches(blocks), shaper.rank_columns, options.failures)


def _main_table(core: Table, extensions: tuple[Table, ...], path: Path) -> tuple[Table, Table | None]:
    """(the occurrences, the core they hang on or None)."""
    if core.kind == OCCURRENCE:
        return core, None
    found = next((table for table in extensions if table.kind == OCCURRENCE), None)
    if found is None:
        raise BiocosmosError(f"{path} has {core.kind or 'unnamed'} records and no occurrences: there are no specimens in it")
    return found, core


def _column(table: Table) -> str:
    return table.kind.lower()


def _scan(main: Table, event: Table | None, archive: Archive, names: list[str]) -> tuple[dict[str, pa.DataType], bool]:
    """(Arrow type by column, whether any row has a name at one of the known ranks) from one pass over the rows."""
    finder, has_taxa = TypeFinder(names), False
    ranked = [name for name in names if name in GUESSED_RANKS]

    def cells(table: Table) -> Iterator[list[str]]:
        nonlocal has_taxa
        for _, _, row in table.rows(archive, Failures()):
            if not has_taxa:
                named = row.get(SCIENTIFIC_NAME)
                has_taxa = any(row.get(name) for name in ranked) or (bool(named) and parse(str(named)).genus is not None)
            yield [row.get(name) or "" for name in names]

    for table in (main, event):
        if table is not None:
            finder.add_all(cells(table))
    return finder.types(), has_taxa


def _rows(
    path: Path,
    main: Table,
    event: Table | None,
    others: list[Table],
    ours: dict[str, str],
    kinds: dict[str, pa.DataType],
    options: Options,
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    failures, on_web = options.failures, 0
    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(path, failures, options.max_image_bytes))
        events = stack.enter_context(_lookup(event, archive, failures)) if event is not None else None
        if event is not None and others:
            names = ", ".join(sorted(_column(table) for table in others))
            failures.add(f"extensions of an event are not read: {names}", stage="read", source=path, severity="warning")
            others = []
        joined = [(table, stack.enter_context(_lookup(table, archive, failures))) for table in others]
        for number, core_id, row in main.rows(archive, failures):
            if events is not None and core_id is not None:
                for entry in events.get(core_id)[:1]:
                    row = {**entry.value, **{name: value for name, value in row.items() if value is not None}}
            values: dict[str, Any] = {}
            for name, text in row.items():
                column = ours[name]
                values[column] = text if column in STANDARD else typed([text or ""], kinds[name])[0]
            for table, lookup in joined:
                entries = lookup.get(core_id) if core_id is not None else []
                lookup.use(entries)
                attached = [entry.value for entry in entries]
                if attached:
                    values[_column(table)] = json.dumps(attached, ensure_ascii=False)
                if table.kind in MEDIA:
                    on_web += _image(values, attached, archive, failures, number, core_id)
            yield number, core_id, values
        for table, lookup in joined:
            for key, line in lookup.unused():
                reason = f"belongs to the core record {key!r}, which is not there"
                failures.add(reason, stage="read", source=f"{path}/{table.files[0]}", row=line)
    if on_web:
        reason = f"{on_web} specimens have their image on the web: the address is kept as image_url, nothing was fetched"
        failures.add(reason, stage="read", source=path, severity="warning")


def _lookup(table: Table, archive: Archive, failures: Failures) -> Lookup:
    lookup = Lookup()
    rows = table.rows(archive, failures)
    lookup.fill((key or "", number, {n: v for n, v in row.items() if v is not None}) for number, key, row in rows)
    return lookup


def _image(
    values: dict[str, Any], media: list[dict[str, str]], archive: Archive, failures: Failures, number: int, id: str | None
) -> bool:
    """Put the first usable picture into ``values``; whether it is on the web."""
    reasons = []
    for medium in media:
        address = next((medium[name].strip() for name in MEDIA_ADDRESS if name in medium), "")
        if not address or not _is_picture(medium):
            continue
        if address.lower().startswith(ADDRESSES):
            values["image_url"] = address
            return True
        found, reason = archive.find(address)
        if found is not None:
            image, image_path, reason = archive.image(found)
            if reason is None:
                values |= {"image": image, "image_path": image_path}
                return False
        reasons.append(str(reason))
    if reasons:
        failures.add(
            f"{reasons[0]}; kept without an image", stage="read", source=archive.path, row=number, id=id, severity="warning"
        )
    return False


def _is_picture(medium: dict[str, str]) -> bool:
    """Not said to be a sound, a film or a page."""
    kind = medium.get("type", "").lower().rsplit("/", 1)[-1].replace(" ", "")
    form = medium.get("format", "").lower()
    return kind in ("", "stillimage", "image") and (not form or form.startswith("image") or "/" not in form)
