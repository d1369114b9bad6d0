"""Darwin Core Archives, zipped or as a folder: the occurrences, their first image, and their other extensions beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.archive import Archive, open_archive
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import GUESSED_RANKS, IMAGE_URL, SCIENTIFIC_NAME, our_names, with_gbif_id
from biocosmos.specimens.readers.darwin_core_events import MEASUREMENTS, Events, Facts, Measured, free_name
from biocosmos.specimens.readers.darwin_core_meta import Table, parse_meta
from biocosmos.specimens.readers.lookup import Lookup, Seen
from biocosmos.specimens.readers.media import ADDRESSES, media_of
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.row_images import tell_on_web
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import STANDARD, Source
from biocosmos.taxonomy.scientific_names import parse

OCCURRENCES = frozenset({"occurrence", "simpledarwinrecord", "darwinrecord", "darwincore"})
"""Row types of specimens in any case: today's, and those of the XML schema and of Darwin Core before 2009."""
OTHER_CORES = frozenset({"taxon", "event", "location", "resource", "description", "distribution", "vernacularname", "reference"})
RECORD_TERMS = frozenset({"occurrenceid", "catalognumber", "basisofrecord"})
STATUS = "occurrenceStatus"
TOO_MANY = "are of further kinds, which are too many to be columns: left out"
MEDIA = ("multimedia", "image")  # GBIF's two and Audubon Core's
ASSOCIATED_MEDIA = "associatedMedia"
MEDIA_ADDRESS = ("identifier", "accessURI", "goodQualityAccessURI", "thumbnailAccessURI")


def read(path: Path, options: Options) -> Source:
    """Occurrences of an archive whose core is Occurrence, or Event with an occurrence extension.

    The first picture of the multimedia extension is the specimen's image if it lies in the archive, and ``image_url`` if it
    is on the web (nothing is fetched). Every extension's rows are kept as JSON in a column named by its row type
    ("multimedia", "identification"). An occurrence has the place, date and depth of its event, and of those that the event is a
    part of; measurements of either are columns. What is said to be absent is no specimen.
    """
    with open_archive(path, Failures(), options.max_image_bytes) as archive:
        core, extensions = parse_meta(archive)
        main, event = _main_table(core, extensions, path, options.failures)
        others = [table for table in extensions if table is not main]
        stated, main = main.ranks, main.without_ranks()
        theirs = [term.name for term in main.terms]
        theirs += [term.name for term in event.terms if term.name not in theirs] if event is not None else []
        ours = dict(zip(theirs, our_names(theirs, options.columns, str(path))))
        if "id" not in options.columns.values():
            declared = any(term.name == "gbifID" and term.index == main.id_index for term in main.terms if term.index is not None)
            ours = with_gbif_id(ours, path, options.failures, declared=declared)
        id_term = next((name for name, column in ours.items() if column == "id"), None)
        scan = _scan(main, event, archive, theirs, id_term if id_term not in options.columns else None)
        kinds = scan.kinds
        facts = [table for table in others if table.kind in MEASUREMENTS]
        measured = Measured.scan(
            facts, archive, {*ours.values(), *(name for _, name in _named(others, ours.values())), *STANDARD}
        )
    if scan.repeats:
        ours = _by_declared_id(ours, main, path, options.failures)
    columns = {ours[name]: kinds[name] for name in theirs} | measured.kinds
    named = _named(others, columns)
    texts = ["id", *[name for _, name in named if event is None]]
    if ASSOCIATED_MEDIA in theirs or (event is None and any(table.kind in MEDIA for table in others)):
        texts += ["image_path", IMAGE_URL]
        columns["image"] = pa.large_binary()
    columns |= {name: STANDARD.get(name, pa.string()) for name in texts}
    ranks = options.ranks
    if ranks is None and stated is not None and options.taxonomy is None:
        ranks = tuple(rank for rank in stated if rank in columns)
    # names that are no taxon anywhere in the archive, such as those of folders, are the taxa that there are
    by_label = True if not scan.has_taxa and options.taxonomy is None and {"label", SCIENTIFIC_NAME} & set(columns) else None
    shaper = Shaper(
        columns,
        options.failures,
        ranks=ranks,
        taxonomy=options.taxonomy,
        label_is_rank=by_label,
        drop=False,
        **options.shaping() | {"personal": True},  # the terms of the standard, which export gives back
    )
    rows = _rows(path, main, event, named, ours, kinds, options, measured)
    blocks = gather(rows, list(columns), f"{path}/{main.files[0]}")
    return Source(path.name, "darwin-core", shaper.batches(blocks), shaper.rank_columns, options.failures)


def _main_table(core: Table, extensions: tuple[Table, ...], path: Path, failures: Failures) -> tuple[Table, Table | None]:
    """(the occurrences, the core they hang on or None)."""
    if core.kind in OCCURRENCES:
        return core, None
    found = next((table for table in extensions if table.kind in OCCURRENCES), None)
    if found is not None:
        return found, core
    if core.kind not in OTHER_CORES and {term.name.lower() for term in core.terms} & RECORD_TERMS:
        reason = f"records of the row type {core.row_type!r}, which Darwin Core does not know: read as occurrences by their terms"
        failures.add(reason, stage="read", source=path, severity="warning")
        return core, None
    raise BiocosmosError(f"{path} has {core.shown_kind or 'unnamed'} records and no occurrences: there are no specimens in it")


def _named(tables: Sequence[Table], taken: Iterable[str]) -> list[tuple[Table, str]]:
    """Each extension with the column that its rows are kept in: its row type in lower case, with a number where that is taken."""
    used, named = set(taken), []
    for table in tables:
        name = free_name(table.kind or "extension", used)
        used.add(name)
        named.append((table, name))
    return named


@dataclass
class _Scan:
    """What one pass over the rows says: Arrow type by column; whether any row has a name at one of the known ranks; whether the
    ids that a term gives repeat where the declared ones do not."""

    kinds: dict[str, pa.DataType]
    has_taxa: bool = False
    repeats: bool = False


def _scan(main: Table, event: Table | None, archive: Archive, names: list[str], id_term: str | None) -> _Scan:
    finder, found = TypeFinder(names), _Scan({})
    ranked = [name for name in names if name in GUESSED_RANKS]
    declared_repeats = main.id_index is None

    def cells(table: Table, given: Seen, declared: Seen) -> Iterator[list[str]]:
        nonlocal declared_repeats
        for _, core_id, row in table.rows(archive, Failures()):
            if not found.has_taxa:
                named = row.get(SCIENTIFIC_NAME)
                found.has_taxa = any(row.get(name) for name in ranked) or (bool(named) and parse(str(named)).genus is not None)
            if table is main and id_term is not None and not declared_repeats:
                own = row.get(id_term)
                found.repeats = found.repeats or (own is not None and given.count(own) > 1)
                declared_repeats = core_id is None or declared.count(core_id) > 1
            yield [row.get(name) or "" for name in names]

    for table in (main, event):
        if table is not None:
            with Seen() as given, Seen() as declared:
                finder.add_all(cells(table, given, declared))
    found.kinds = finder.types()
    found.repeats = found.repeats and not declared_repeats
    return found


def _by_declared_id(ours: dict[str, str], main: Table, path: Path, failures: Failures) -> dict[str, str]:
    """Our names without a term for the id: the one that the archive declares is taken, since it does not repeat."""
    term = next(name for name, column in ours.items() if column == "id")
    declared = next((t.name for t in main.terms if t.index == main.id_index), "the declared id")
    reason = f"the values of {term} repeat: {declared} is the id"
    failures.add(reason, stage="read", source=path, severity="warning")
    return {**ours, term: term if term != "id" else "id_source"}


def _rows(
    path: Path,
    main: Table,
    event: Table | None,
    others: list[tuple[Table, str]],
    ours: dict[str, str],
    kinds: dict[str, pa.DataType],
    options: Options,
    measured: Measured,
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    failures, on_web, absent = options.failures, 0, 0
    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(path, failures, options.max_image_bytes))
        events = stack.enter_context(Events(event, archive, failures)) if event is not None else None
        tables = [table for table, _ in others if table.kind in MEASUREMENTS]
        facts = stack.enter_context(Facts(tables, archive, measured, failures, event is not None)) if tables else None
        if event is not None:
            if unread := sorted(name for table, name in others if table not in tables):
                reason = f"extensions of an event are not read: {', '.join(unread)}"
                failures.add(reason, stage="read", source=path, severity="warning")
            others = []
        joined = [(table, name, stack.enter_context(_lookup(table, archive, failures))) for table, name in others]
        for number, core_id, row in main.rows(archive, failures):
            if (row.get(STATUS) or "").strip().lower() == "absent":
                absent += 1
                continue
            cores = [core_id] if core_id is not None else []
            own = row.get("occurrenceID")
            if events is not None:
                of = events.line(core_id) if core_id is not None else []
                if not of:
                    reason = f"belongs to the event {core_id!r}, which is not there" if core_id is not None else "names no event"
                    failures.add(reason, stage="read", source=f"{path}/{main.files[0]}", row=number)
                    continue
                cores = [id for id, _ in of]
                row = {**events.joined(of), **{name: value for name, value in row.items() if value is not None}}
            values: dict[str, Any] = {}
            for name, text in row.items():
                column = ours[name]
                values[column] = text if column in STANDARD else typed([text or ""], kinds[name])[0]
            if facts is not None:
                values |= facts.of(own.strip() if own else None, cores)
            media: list[dict[str, str]] = []
            for table, column, lookup in joined:
                entries = lookup.get(core_id) if core_id is not None else []
                lookup.use(entries)
                attached = [entry.value for entry in entries]
                if attached:
                    values[column] = json.dumps(attached, ensure_ascii=False)
                if table.kind in MEDIA:
                    media += attached
            media += [{"identifier": address} for address in media_of(row.get(ASSOCIATED_MEDIA))]
            on_web += _image(values, media, archive, failures, number, core_id)
            yield number, core_id, values
        for table, _, lookup in joined:
            for key, line in lookup.unused():
                reason = f"belongs to the core record {key!r}, which is not there"
                failures.add(reason, stage="read", source=f"{path}/{table.files[0]}", row=line)
        if facts is not None:
            _tell_facts(facts, measured, f"{path}/{tables[0].files[0]}", failures)
    if absent:
        reason = f"{absent:,} occurrences are absent: no specimens, left out"
        failures.add(reason, stage="read", source=path, severity="warning")
    tell_on_web(on_web, path, failures)


def _tell_facts(facts: Facts, measured: Measured, source: str, failures: Failures) -> None:
    """Measurements of occurrences that are not there, that come again, and that are too many to be columns."""
    for id, line in facts.unused():
        reason = f"is of the occurrence {id!r}, which is not there or is absent"
        failures.add(reason, stage="read", source=source, row=line, severity="warning")
    for count, what in ((facts.again, "come again for one occurrence: the first counts"), (measured.left, TOO_MANY)):
        if count:
            failures.add(f"{count:,} measurements {what}", stage="read", source=source, severity="warning")


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
            values[IMAGE_URL] = address
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
