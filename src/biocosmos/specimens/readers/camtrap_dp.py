"""Camtrap DP: observations of camera traps with their pictures, deployments and events."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures, ImageError, Severity
from biocosmos.files import Resolver, is_folder
from biocosmos.images import ImageInfo, oriented
from biocosmos.specimens.readers.archive import Archive, leads_outside, open_archive
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.boxes import UPRIGHT, header
from biocosmos.specimens.readers.camera_traps import COLUMNS, is_film, moment, share_to_crop
from biocosmos.specimens.readers.camtrap_package import (
    DATAPACKAGE,
    DEPLOYMENTS,
    MEDIA,
    OBSERVATIONS,
    Package,
    Record,
    open_package,
)
from biocosmos.specimens.readers.columns import IMAGE_URL
from biocosmos.specimens.readers.frame_columns import FRAME_COLUMNS
from biocosmos.specimens.readers.lookup import Entry, Lookup, Seen
from biocosmos.specimens.readers.media import ADDRESSES
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.places import Inside
from biocosmos.specimens.readers.row_images import tell_on_web
from biocosmos.specimens.readers.typing_of_text import typed
from biocosmos.specimens.records import STANDARD, Source

BOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
JOINS = {OBSERVATIONS: ("observationID", "deploymentID"), MEDIA: ("mediaID", "deploymentID"), DEPLOYMENTS: ("deploymentID",)}
EVENT_NAMES = ("eventID", "sequenceID")
BLANK = "blank"
NO_SPECIMENS = ("human", "vehicle", BLANK)
"""Types of observations of what is no specimen; an animal without a name is one, unlabelled."""
PLACE = ("latitude", "longitude")  # checked later, with a word for what is no number of degrees

Row = tuple[int | None, str | None, dict[str, Any]]


def read(path: Path, options: Options) -> Source:
    """A package: its folder, a zip of it, or its datapackage.json.

    An observation of one picture is a specimen, cropped where it has a box, with the id of the observation. A picture that is
    observed only as part of an event is one under its own id, labelled if its events name one taxon. People, vehicles,
    blank pictures and pictures without any observation are no specimens: they are counted in a warning, and the last two are kept
    whole with ``empty``. The label is the scientific name. ``deployment``, ``sequence`` (the event), ``date``, ``time`` and place
    come from the tables, whose other columns keep their names.
    """
    root = path.parent if path.name == DATAPACKAGE else path
    with open_archive(root, options.failures, options.max_image_bytes) as archive:
        columns = _Columns.of(open_package(archive), packed=not is_folder(root), empty=options.empty)
    shaper = Shaper(columns.kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy, warn_unlabelled=False)

    def rows() -> Iterator[Row]:
        with ExitStack() as stack:
            archive = stack.enter_context(open_archive(root, Failures(), options.max_image_bytes))  # told above already
            yield from _Reading(root, open_package(archive), columns, options, stack).rows()

    blocks = gather(rows(), list(columns.kinds), str(path))
    return Source(path.name, "camtrap-dp", shaper.batches(blocks), shaper.rank_columns, options.failures)


@dataclass(frozen=True)
class _Columns:
    """Which of our columns each column of the tables is, and their types."""

    names: dict[tuple[str, str], str]
    kinds: dict[str, pa.DataType]

    @classmethod
    def of(cls, package: Package, packed: bool, empty: bool) -> _Columns:
        """packed: pictures are in a zip. empty: those in which nothing is are kept.

        A column that another table has too, or that means something else here, is called after its table."""
        kinds: dict[str, pa.DataType] = {name: STANDARD[name] for name in ("id", "image_path", "crop", "label", "date")}
        kinds |= {"image": STANDARD["image"]} if packed else {}
        kinds |= COLUMNS | {IMAGE_URL: pa.string()} | dict.fromkeys(package.ranks, pa.string())
        kinds |= {"empty": FRAME_COLUMNS["empty"]} if empty else {}
        names = {}
        for table in (OBSERVATIONS, MEDIA, DEPLOYMENTS):
            for theirs in package.tables[table].header:
                if not theirs or theirs in JOINS[table]:
                    continue
                ours = theirs
                while ours in kinds or (ours in STANDARD and ours not in PLACE):
                    ours = f"{table}_{ours}"
                names[table, theirs] = ours
                kinds[ours] = STANDARD.get(ours, package.tables[table].kinds.get(theirs, pa.string()))
        return cls(names, kinds)

    def take(self, table: str, record: Record) -> dict[str, Any]:
        """The cells of one row by our names, in the types of their columns."""
        known = {self.names[table, name]: cell for name, cell in record.items() if (table, name) in self.names}
        return {ours: cell if ours in PLACE else typed([cell], self.kinds[ours])[0] for ours, cell in known.items()}


@dataclass(frozen=True)
class _Event:
    """An observation of an event: when, and what was seen."""

    start: float
    end: float
    record: Record


@dataclass(frozen=True)
class _Picture:
    """Where a medium lies: a path, or its bytes, or an address on the web; or why it is of no use."""

    path: str | None = None
    content: bytes | None = None
    url: str | None = None
    problem: str | None = None

    def info(self) -> ImageInfo | None:
        """What its header says; None if there is no picture, or none that can be read."""
        if self.content is None:
            return header(self.path) if self.path is not None else None
        try:
            return oriented(self.content)
        except ImageError:
            return None


@dataclass
class _Reading:
    """One pass over a package."""

    root: Path
    package: Package
    columns: _Columns
    options: Options
    stack: ExitStack
    told: Counter[str] = field(default_factory=Counter)
    on_web: int = 0

    def __post_init__(self) -> None:
        enter = self.stack.enter_context
        self.media, self.deployments, self.events = enter(Lookup()), enter(Lookup()), enter(Lookup())
        self.file_names, self.seen = enter(Lookup()), enter(Seen())
        archive = self.package.archive
        self.archive: Archive | None = None if is_folder(archive.path) else archive
        places = [place for place in (self.options.images, self.root / self.package.folder) if place is not None]
        here = [place if is_folder(place) else place.parent for place in places]
        self.inside = Inside(Resolver(*here, *(place / "media" for place in here if is_folder(place / "media"))))
        self.picture = lru_cache(8)(self._picture)  # observations of one picture mostly come together
        self.events_of = lru_cache(8)(self._events_of)

    def say(self, reason: str, table: str, row: int | None, id: str | None, warning: bool = False) -> None:
        """Add a row about a row of a table."""
        severity: Severity = "warning" if warning else "error"
        where = str(self.package.tables[table].member)
        self.options.failures.add(reason, stage="read", source=where, row=row, id=id, severity=severity)

    def rows(self) -> Iterator[Row]:
        """Specimens: media with observations of their own first, the others after them."""
        self.deployments.fill(self._entries(DEPLOYMENTS, "deploymentID"))
        self.media.fill(self._entries(MEDIA, "mediaID"))
        self.file_names.fill((m["fileName"], n, None) for n, m in self.package.tables[MEDIA].rows() if "fileName" in m)
        self.events.fill(self._event_entries())
        for number, record in self.package.tables[OBSERVATIONS].rows(self.options.failures):
            if _is_of_media(record):
                yield from self._observation(number, record)
        yield from self._other_media()
        for what, count in self.told.items():
            self.say(f"{count:,} {what}", OBSERVATIONS, None, None, warning=True)
        tell_on_web(self.on_web, self.root, self.options.failures)
        self.inside.resolver.tell(self.options.failures, source=self.root)

    def _entries(self, table: str, key: str) -> Iterator[tuple[str, int | None, Any]]:
        for number, record in self.package.tables[table].rows(self.options.failures):
            if key not in record:
                self.say(f"it has no {key}: left out", table, number, None)
            elif self.seen.count(f"{table} {record[key]}") > 1:
                self.say(f"a second row with this {key}: left out", table, number, record[key])
            else:
                yield record[key], number, record

    def _event_entries(self) -> Iterator[tuple[str, int | None, Any]]:
        for number, record in self.package.tables[OBSERVATIONS].rows():
            if _is_of_media(record):
                continue
            start, end = _instant(record.get("eventStart")), _instant(record.get("eventEnd"))
            if "deploymentID" not in record or start is None or end is None:
                reason = "an event without deploymentID, eventStart and eventEnd: no picture can be found for it"
                self.say(reason, OBSERVATIONS, number, record.get("observationID"))
            else:
                yield record["deploymentID"], number, [start, end, record]

    # ------------------------------------------------------------ specimens

    def _observation(self, number: int, record: Record) -> Iterator[Row]:
        own = record.get("observationID")
        if (kind := self._no_specimen(record)) is not None:
            self.media.use(self.media.get(record.get("mediaID", "")))
            self._leave_out(f"observations of type {kind}", keepable=kind == BLANK)
            return
        found = self.media.get(record.get("mediaID", ""))
        if not found:
            self.say(f"its medium {record.get('mediaID', '')[:80]!r} is not in the table of media", OBSERVATIONS, number, own)
            return
        self.media.use(found)
        medium: Record = found[0].value
        id = own or f"{medium['mediaID']}#{number}"
        if (times := self.seen.count(f"specimen {id}")) > 1:
            id = f"{id}-{times}"
            self.say(f"a further observation with this observationID: called {id!r}", OBSERVATIONS, number, own, warning=True)
        yield from self._specimen(number, OBSERVATIONS, id, record, medium)

    def _other_media(self) -> Iterator[Row]:
        """Media that no observation names: part of an event, or not looked at."""
        for number, medium in self.package.tables[MEDIA].rows():
            id = medium.get("mediaID")
            found: list[Entry] = self.media.get(id) if id else []
            if id is None or self.media.use(found):  # used by an observation, or a second row, which was told
                continue
            at_its_time = self._events_at(medium)
            events = [event for event in at_its_time if self._no_specimen(event.record) is None]
            if at_its_time and not events:
                kinds = {str(self._no_specimen(event.record)) for event in at_its_time}
                self._leave_out(f"media of events of type {' and '.join(sorted(kinds))}", keepable=kinds == {BLANK})
                continue
            if not events and not self.options.empty:
                self._leave_out("media without an observation", keepable=True)
                continue
            names = {event.record.get("scientificName") or event.record.get("observationType") for event in events}
            if len(names) > 1:
                shown = ", ".join(sorted(map(str, names))[:5])
                self.say(f"its event has several taxa ({shown}): kept, unlabelled", MEDIA, number, id, warning=True)
            if not events:
                self.told["media without an observation: kept, unlabelled"] += 1
            if self.seen.count(f"specimen {id}") > 1:
                self.say("an observation has the same id: left out", MEDIA, number, id)
                continue
            record = events[0].record if events else {}
            if len(names) > 1:
                record = {name: value for name, value in record.items() if name in EVENT_NAMES}
            yield from self._specimen(number, MEDIA, id, record, medium)
        lost = sum(1 for _ in self.events.unused())
        if lost:
            self.told["observations of events have no picture in their time: left out"] += lost

    def _no_specimen(self, record: Record) -> str | None:
        """The type of an observation of what is no specimen, else None; a blank picture is one if it was asked for."""
        kind = _kind(record)
        return kind if kind in NO_SPECIMENS and not (kind == BLANK and self.options.empty) else None

    def _leave_out(self, what: str, *, keepable: bool) -> None:
        """Count what is told at the end."""
        self.told[f"{what}: left out" + (" (--empty keeps them)" if keepable else ", they are no specimens")] += 1

    def _specimen(self, number: int, table: str, id: str, record: Record, medium: Record) -> Iterator[Row]:
        picture = self.picture(tuple(medium.items()))
        if picture.problem is not None:
            self.say(picture.problem, table, number, id)
            return
        if picture.url is not None:
            self.on_web += 1
        crop = None
        blank = _kind(record) == BLANK
        if not blank and any(side in record for side in BOX) and (info := picture.info()) is not None:
            crop, reason, _ = share_to_crop([record.get(side) for side in BOX], info, self.options.boxes or UPRIGHT)
            if crop is None:
                self.say(str(reason), table, number, id)
                return
        deployment = record.get("deploymentID") or medium.get("deploymentID")
        name = record.get("scientificName")
        label = name or (BLANK if blank else None)
        date, time, problem = moment(medium.get("timestamp") or record.get("eventStart"))
        if problem is not None:
            self.say(problem, table, number, id, warning=True)
        yield (
            number,
            None,
            {
                **self._place(deployment),
                **self.columns.take(MEDIA, medium),
                **self.columns.take(OBSERVATIONS, record),
                **self.package.taxa.get(name or "", {}),
                "id": id,
                "image_path": picture.path,
                "image": picture.content,
                IMAGE_URL: picture.url,
                "crop": crop,
                "label": label,
                "deployment": deployment,
                "sequence": _event_of(record) or _event_of(medium),
                "date": date,
                "time": time,
                "empty": blank or not record,
            },
        )

    def _place(self, deployment: str | None) -> dict[str, Any]:
        found = self.deployments.get(deployment) if deployment is not None else []
        self.deployments.use(found)
        if found:
            return self.columns.take(DEPLOYMENTS, found[0].value)
        self.told["specimens have a deployment that is not in its table: kept without its place"] += 1
        return {}

    # ------------------------------------------------------------ pictures and events

    def _picture(self, cells: tuple[tuple[str, str], ...]) -> _Picture:
        medium: Record = dict(cells)
        path, name = medium.get("filePath", ""), medium.get("fileName", "")
        if medium.get("fileMediatype", "").startswith(("video/", "audio/")) or is_film(name) or is_film(path):
            return _Picture(problem="a film or a sound: left out; save its frames as pictures")
        if path.strip().lower().startswith(ADDRESSES):
            return self._by_name(medium, name) or _Picture(url=path.strip())
        if not path:
            return self._by_name(medium, name) or _Picture(problem="it has no filePath")
        if self.archive is not None and self.options.images is None:
            member, problem = self.archive.find(path, self.package.folder)
            if member is None:
                return _Picture(problem=problem)
            content, place, problem = self.archive.image(member)
            return _Picture(place, content, problem=problem)
        place, problem = self.inside.find(path)
        return _Picture(place, problem=problem)

    def _by_name(self, medium: Record, name: str) -> _Picture | None:
        """A medium on the web that somebody has downloaded: under its deployment, or by a name that no other medium has."""
        if not name or leads_outside(name) or (self.archive is not None and self.options.images is None):
            return None
        tries = [f"{medium['deploymentID']}/{name}"] if "deploymentID" in medium else []
        tries += [name] if len(self.file_names.get(name)) == 1 else []
        for one in tries:
            found = self.inside.resolver.find(one)
            if found.there:
                return _Picture(found.path)
        return None

    def _events_at(self, medium: Record) -> list[_Event]:
        """The event observations of a medium's deployment whose time it lies in."""
        at = _instant(medium.get("timestamp"))
        if at is None or "deploymentID" not in medium:
            return []
        starts, latest, events = self.events_of(medium["deploymentID"])
        found = []
        for i in range(bisect_right(starts, at) - 1, -1, -1):
            if latest[i] < at:
                break
            if events[i][1].end >= at:
                found.append(events[i])
        self.events.use([entry for entry, _ in found])
        return [event for _, event in found[::-1]]

    def _events_of(self, deployment: str) -> tuple[list[float], list[float], list[tuple[Entry, _Event]]]:
        """(starts, the latest end until each, events) of a deployment, in the order of their starts."""
        events = [(entry, _Event(*entry.value)) for entry in self.events.get(deployment)]
        events.sort(key=lambda one: (one[1].start, one[0].place))
        latest: list[float] = []
        for _, event in events:
            latest.append(max(event.end, latest[-1] if latest else event.end))
        return [event.start for _, event in events], latest, events


def _is_of_media(record: Record) -> bool:
    level = record.get("observationLevel", "").strip().lower()
    return level != "event" and (level == "media" or "mediaID" in record)


def _kind(record: Record) -> str:
    return record.get("observationType", "").strip().lower()


def _event_of(record: Record) -> str | None:
    return next((record[name] for name in EVENT_NAMES if name in record), None)


def _instant(text: str | None) -> float | None:
    """Seconds since 1970 of a date with its time in ISO 8601; without a zone it counts as UTC."""
    try:
        found = datetime.fromisoformat((text or "").strip())
        return (found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
