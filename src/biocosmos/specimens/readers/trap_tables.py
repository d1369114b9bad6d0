"""Tables of detections that insect cameras write, one row a box: what their formats have in common.

A dialect understands the cells of a row; here pictures are found, frames are numbered in order of time, boxes become crops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver, is_file, is_folder, is_image_name, is_junk, tidy
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.boxes import Size, header, to_crop, upright_size
from biocosmos.specimens.readers.camera_traps import A_LITTLE_OUTSIDE
from biocosmos.specimens.readers.camera_traps import moment as read_moment
from biocosmos.specimens.readers.frame_columns import CLOCK, EMPTY_FRAMES, FRAME_BOX, FRAME_COLUMNS, FRAME_SIZE, clock_cells
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.places import Inside
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.track_checks import TrackChecks
from biocosmos.specimens.readers.trap_rows import Detection, Dialect, Unclear, moment_in
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import BATCH_ROWS, STANDARD, Source

OWN: dict[str, pa.DataType] = {"deployment": pa.string(), "classification_confidence": pa.float64()}
ONE_FRAME = 0.5
"""Seconds within which boxes are of one frame, where their moments are when each was saved."""
TIMELAPSE = "timelapse"
"""The folder in which Insect Detect keeps frames in which nothing was tracked."""

Row = tuple[int | None, str | None, dict[str, Any]]


def read_with(path: Path, options: Options, dialect: Dialect) -> Source:
    """The source of a table of this dialect; it is read twice, for its frames and for its rows."""
    night = _Night(path, options, dialect)
    night.look()
    kinds = {name: STANDARD[name] for name in ("id", "image_path", "crop", "label")} | FRAME_COLUMNS | CLOCK | OWN
    kinds |= FRAME_SIZE | FRAME_BOX
    others = {theirs: _name(theirs, kinds) for theirs in night.types if theirs not in dialect.taken}
    kinds |= {ours: night.types[theirs] for theirs, ours in others.items()}
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy, warn_unlabelled=False)
    blocks = gather(night.rows(others, kinds), list(kinds), str(path))
    return Source(path.name, dialect.name, shaper.batches(blocks), shaper.rank_columns, options.failures)


def _name(theirs: str, taken: Mapping[str, Any]) -> str:
    ours = theirs or "unnamed"
    while ours in taken or ours in STANDARD or ours in ("width", "height", "content_hash"):
        ours = f"table_{ours}"
    return ours


@dataclass(eq=False)
class _Frame:
    """One frame of a sequence: its picture as found, and its number."""

    sequence: str
    name: str | None
    moment: datetime | None
    deployment: str | None
    path: str | None = None
    row: int = 0
    number: int = 0
    boxes: int = 0
    size: Size | None = None
    tracks: set[str | None] = field(default_factory=set)
    """Of a frame without a picture: the individuals that are in it so far."""


@dataclass
class _Night:
    """One pass over a table for its frames, then one for its rows."""

    path: Path
    options: Options
    dialect: Dialect
    frames: dict[tuple[str, str], _Frame] = field(default_factory=dict)
    types: dict[str, pa.DataType] = field(default_factory=dict)
    last: dict[str, _Frame] = field(default_factory=dict)
    told_size: bool = False

    def __post_init__(self) -> None:
        roots = [self.options.images] if self.options.images is not None else [self.path.parent, self.path.parent.parent]
        beside = [root / name for root in roots for name in ("images", "crops") if is_folder(root / name)]
        self.inside = Inside(Resolver(*roots, *beside))

    @contextmanager
    def table(self, failures: Failures) -> Iterator[tuple[Sequence[str], Iterator[tuple[int, list[str]]]]]:
        """(names of the columns, numbered rows)."""
        options = self.options
        with open_table(self.path, encoding=options.encoding, separator=options.separator, failures=failures) as table:
            names = None if self.dialect.unheaded is None else self.dialect.unheaded(table.header)
            if names is None:
                yield table.header, table.rows()
                return
            rows = ((row + 1, cells) for row, cells in table.rows())
            yield names, chain([(1, table.header)], rows)

    def look(self) -> None:
        """Learn the frames and the types of columns. Raises BiocosmosError where no row can be understood."""
        reason = "it has no rows"
        with self.table(Failures()) as (names, rows):
            finder = TypeFinder(list(names))
            while held := list(islice(rows, BATCH_ROWS)):
                finder.add([cells for _, cells in held])
                for row, cells in held:
                    try:
                        self._frame(self.dialect.understand(dict(zip(names, cells)), self.path), row)
                    except Unclear as error:
                        reason = f"row {row}: {error}"
            self.types = finder.types()
        if not self.frames:
            raise BiocosmosError(f"{self.path} has no row of a table of {self.dialect.name}: {reason}")
        self._find_pictures()
        self._add_empty()
        self._number()

    def _frame(self, detection: Detection, row: int = 0) -> _Frame:
        said = detection.file or (detection.moment.isoformat() if detection.moment is not None else None) or detection.cut or ""
        frame = self.frames.get((detection.sequence, said)) or self._same_moment(detection)
        if frame is None:
            moment, place = detection.moment, detection.deployment
            frame = _Frame(detection.sequence, detection.file, moment, place, row=row, size=detection.size)
        self.frames[detection.sequence, said] = self.last[detection.sequence] = frame
        if row:
            frame.tracks.add(detection.track)
        return frame

    def _same_moment(self, detection: Detection) -> _Frame | None:
        """The frame of the row before, where each box of one frame has a moment and a picture of its own."""
        last = self.last.get(detection.sequence)
        if detection.file is not None or last is None or last.moment is None or detection.moment is None:
            return None
        apart = (detection.moment.replace(tzinfo=None) - last.moment.replace(tzinfo=None)).total_seconds()
        return last if 0 <= apart < ONE_FRAME and detection.track not in last.tracks else None

    def all_frames(self) -> list[_Frame]:
        """Each once."""
        return list(dict.fromkeys(self.frames.values()))

    def _find_pictures(self) -> None:
        lost: list[_Frame] = []
        named = [frame for frame in self.all_frames() if frame.name is not None]
        for frame in named:
            frame.path = self._there(str(frame.name), PurePosixPath(tidy(str(frame.name))).name)
            if frame.path is None:
                lost.append(frame)
        if named and len(lost) == len(named):
            reason = "no pictures of its frames: boxes are kept without (--images FOLDER says where they lie)"
            self._warn(reason, None)
        else:
            for frame in lost:
                self._warn(f"the picture {str(frame.name)!r} is not there: its boxes are kept without", frame.row)
        self.inside.resolver.tell(self.options.failures, source=self.path)

    def _there(self, *names: str) -> str | None:
        """The path of the first of these pictures that is there."""
        for one in names:
            path, problem = self.inside.find(one)
            if problem is None and is_file(path):
                return path
        return None

    def _add_empty(self) -> None:
        """Frames without a box: other pictures that lie beside those of the table."""
        known = {frame.path for frame in self.all_frames()}
        folders: dict[Path, list[_Frame]] = {}
        for frame in self.all_frames():
            if frame.path is not None:
                folders.setdefault(Path(frame.path).parent, []).append(frame)
        for folder, frames in folders.items():
            if len({frame.sequence for frame in frames}) > 1 and any(frame.moment is None for frame in frames):
                continue  # nothing tells of which sequence another picture is
            for file in sorted(chain(folder.iterdir(), (folder / TIMELAPSE).glob("*"))):
                if str(file) in known or not is_image_name(file.name) or is_junk(file.name):
                    continue
                moment = moment_in(file.name) or _taken(str(file))
                nearest = _nearest(frames, moment)
                frame = _Frame(nearest.sequence, file.name, moment, nearest.deployment, str(file))
                self.frames[frame.sequence, str(file)] = frame

    def _number(self) -> None:
        """Frames of a sequence from 1 in order of time, of names where there is none."""
        by_sequence: dict[str, list[_Frame]] = {}
        for frame in self.all_frames():
            by_sequence.setdefault(frame.sequence, []).append(frame)
        for frames in by_sequence.values():
            timed = all(frame.moment is not None for frame in frames)
            zones = {frame.moment.tzinfo is None for frame in frames if frame.moment is not None}
            if timed and len(zones) == 1:
                frames.sort(key=lambda frame: (frame.moment, frame.name or ""))
            else:
                frames.sort(key=lambda frame: (frame.name or "", str(frame.moment or "")))
            for place, frame in enumerate(frames, 1):
                frame.number = place

    def rows(self, others: Mapping[str, str], kinds: Mapping[str, pa.DataType]) -> Iterator[Row]:
        """A specimen for every row that can be used, then the empty frames if they are asked for."""
        failures = self.options.failures
        checks = TrackChecks(self.path, failures)
        with self.table(failures) as (names, rows), Seen() as seen:
            for row, cells in rows:
                given = dict(zip(names, cells))
                try:
                    detection = self.dialect.understand(given, self.path)
                except Unclear as error:
                    checks.say(str(error), row)
                    continue
                values = self._specimen(detection, row, checks, seen)
                if values is None:
                    continue
                for theirs, ours in others.items():
                    values[ours] = typed([given[theirs]], kinds[ours])[0]
                yield row, None, values
            checks.tell()
            yield from self._empty(seen)

    def _empty(self, seen: Seen) -> Iterator[Row]:
        empty = [frame for frame in self.all_frames() if not frame.boxes and not frame.row]
        if empty and not self.options.empty:
            self._warn(f"{len(empty):,} {EMPTY_FRAMES}", None)
        for frame in empty if self.options.empty else ():
            id = _unique(PurePosixPath(frame.name or "").name, seen)
            yield None, None, {**self._shared(frame), "id": id, "empty": True}

    def _specimen(self, detection: Detection, row: int, checks: TrackChecks, seen: Seen) -> dict[str, Any] | None:
        frame = self._frame(detection)
        picture, size = frame.path, self._size(frame, detection)
        cut = self._there(detection.cut) if picture is None and detection.cut is not None else None
        x1, y1, x2, y2 = detection.box
        if detection.shares:
            size = size or self._default(frame, row)
            if size is None or min(x1, y1) < -A_LITTLE_OUTSIDE or max(x2, y2) > 1 + A_LITTLE_OUTSIDE:
                what = "of a frame of known size" if size is None else "of the frame, 0 to 1"
                checks.say(f"the box '{_shown(detection.box)}' is not in shares {what}", row)
                return None
            x1, x2, y1, y2 = x1 * size[0], x2 * size[0], y1 * size[1], y2 * size[1]
        crop, reason, clipped = to_crop([x1, y1, x2 - x1, y2 - y1], None, size)
        if crop is None:
            checks.say(str(reason), row)
            return None
        if clipped:
            checks.say(f"the box '{_shown(detection.box)}' reaches outside the picture: clipped", row, severity="warning")
        if not checks.is_new(detection.sequence, detection.track, frame.number, row):
            return None
        frame.boxes += 1
        name = PurePosixPath(tidy(detection.file)).name if detection.file else f"{detection.sequence}/{frame.number:06d}"
        return {
            **self._shared(frame),
            "id": _unique(f"{name}#{frame.boxes}", seen),
            "image_path": picture or cut,
            "crop": crop if picture is not None else None,
            "frame_box": None if picture is not None else crop,
            "frame_width": None if size is None else int(size[0]),
            "frame_height": None if size is None else int(size[1]),
            "label": detection.label,
            "track": detection.track,
            "detection_confidence": detection.confidence,
            "classification_confidence": detection.classification,
            "empty": False,
        }

    def _size(self, frame: _Frame, detection: Detection) -> Size | None:
        if frame.size is None and frame.path is not None and (info := header(frame.path)) is not None:
            frame.size = upright_size(info)
        return frame.size or detection.size

    def _default(self, frame: _Frame, row: int) -> Size | None:
        """The size that frames of this format have where nobody says otherwise."""
        frame.size = size = self.dialect.default_size
        if size is not None and not self.told_size:
            self.told_size = True
            self._warn(f"the size of its frames is not known: taken as {size[0]:g} x {size[1]:g} pixels", row)
        return size

    def _shared(self, frame: _Frame) -> dict[str, Any]:
        return {
            "image_path": frame.path,
            "sequence": frame.sequence,
            "deployment": frame.deployment,
            "frame": frame.number,
            **clock_cells(frame.moment),
        }

    def _warn(self, reason: str, row: int | None) -> None:
        self.options.failures.add(reason, stage="read", source=self.path, row=row, severity="warning")


def _unique(id: str, seen: Seen) -> str:
    times = seen.count(id)
    return id if times == 1 else _unique(f"{id}-{times}", seen)


def _nearest(frames: Sequence[_Frame], moment: datetime | None) -> _Frame:
    if moment is None or len({frame.sequence for frame in frames}) == 1:
        return frames[0]
    plain = moment.replace(tzinfo=None)
    return min(
        frames, key=lambda frame: abs((frame.moment.replace(tzinfo=None) - plain).total_seconds()) if frame.moment else 1e12
    )


def _taken(path: str) -> datetime | None:
    """When a picture was taken, by its EXIF data."""
    info = header(path)
    date, clock, _ = read_moment(info.taken if info is not None else None)
    return datetime.fromisoformat(date) if date is not None and clock is not None else None


def _shown(box: Sequence[float]) -> str:
    return ", ".join(f"{side:g}" for side in box)
