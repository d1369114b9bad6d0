"""Track the animals of sequences: a row for every individual, and for every box whose it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.track_settings import GIVEN_TRACKS, TrackSettings
from biocosmos.jobs.track_sources import Source, source_of
from biocosmos.progress import progress
from biocosmos.provenance import software
from biocosmos.sequences import Boxes, individuals
from biocosmos.sequences.tracking import track
from biocosmos.sequences.tracking.settings import OURS
from biocosmos.settings import told

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

FILM = 0.5
"""Seconds between frames below which a sequence is a film."""
SHOWN = 20
"""Sequences whose boxes are kept for a page."""


@dataclass
class Tracked:
    """What was found.

    individuals: a row each (:func:`biocosmos.sequences.individuals`), with names where they were asked for; boxes: a row each:
    sequence, frame, seconds, track (null: left out), x, y, width, height, confidence, image_path, specimen; sequences, frames:
    how many; shown: the first sequences, for a page; notes: what a user should know; promised: what is promised of the names.
    """

    individuals: pa.Table
    boxes: pa.Table
    sequences: int
    frames: int
    failures: Failures
    shown: list[Boxes] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)
    promised: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def track_sequences(path: str | Path, settings: TrackSettings | None = None, **options: Any) -> Tracked:
    """Link the boxes of sequences to individuals, and name these.

    path: a collection with sequences, a file of detections, a MOTChallenge tree, or with ``detections`` the folder of pictures.
    settings, or as options: see :class:`TrackSettings`. Sequences are tracked one at a time; the same call gives the same. Where
    individuals are named all are tracked before the first has a name, since held-out tracks set what is promised.

    Raises BiocosmosError: nothing there, no boxes, options of the other kind of source, a promise that cannot be given.
    """
    settings = told(TrackSettings, **options) if settings is None else settings
    failures = Failures()
    source = source_of(Path(path), settings, failures)
    namer = None
    notes = list(source.notes)
    every: Iterable[Boxes] = tracked_sequences(source, settings)
    if settings.names:
        from biocosmos.jobs.track_names import TrackNamer

        assert source.collection is not None
        namer = TrackNamer(source.collection, settings, failures)
        every = list(every)
        namer.calibrate(every)
    rows: list[pa.Table] = []
    boxes: list[pa.Table] = []
    shown: list[Boxes] = []
    frames = count = 0
    films: list[str] = []
    for one in every:
        count, frames = count + 1, frames + len(one.frames)
        if settings.tracker == OURS and seconds_apart(one) < FILM:
            films.append(one.name)
        boxes.append(box_rows(one))
        more = None if namer is None else namer.table(one)
        rows.append(individuals(one, more=more))
        if len(shown) < SHOWN:
            shown.append(one)
    if films:
        others = f", and {len(films) - 1:,} more are" if films[1:] else ""
        notes.append(
            f"{films[0]!r} is a film{others}: this tracker is made for pictures seconds apart, and in films --tracker sort "
            "follows better"
        )
    if not count:
        raise BiocosmosError(f"there is no sequence in {path}: nothing to track")
    promised = None
    if namer is not None and namer.naming is not None:
        promised = namer.naming.describe()
        notes += namer.naming.notes if namer.naming.promise is not None else ()
    table = pa.concat_tables(rows, promote_options="permissive")
    facts = {
        "source": str(path),
        "settings": {name: str(value) for name, value in asdict(settings).items() if value is not None},
        "individuals": len(table),
        "software": software(),
    }
    if namer is not None and namer.naming is not None:
        facts |= {"namer": namer.namer.about(), "fusion": namer.naming.fusion.to_dict(), "promised": promised}
    return Tracked(table, pa.concat_tables(boxes), count, frames, failures, shown, notes, promised, facts)


def seconds_apart(boxes: Boxes) -> float:
    """The median time between frames, in seconds; infinite for fewer than two frames."""
    return float(np.median(np.diff(boxes.frames.times()))) if len(boxes.frames) > 1 else float("inf")


def tracked_sequences(source: Source, settings: TrackSettings) -> Iterator[Boxes]:
    """Sequence after sequence with its tracks."""
    for boxes in source.sequences():
        if settings.tracker == GIVEN_TRACKS:
            if boxes.track is None and len(boxes):
                raise BiocosmosError(f"the sequence {boxes.name!r} has no tracks: choose a --tracker that makes them")
            yield boxes
            continue
        with progress(f"track {boxes.name}", total=len(boxes.frames), unit="frames") as bar:
            yield track(boxes, source.vectors(boxes), settings.of_tracker(), advance=bar.advance)


def box_rows(boxes: Boxes) -> pa.Table:
    """A row for every box."""
    times = boxes.frames.times()[boxes.frame]
    count = len(boxes)
    files = [boxes.frames.files[place] for place in boxes.frame.tolist()]
    nothing = [None] * count
    columns: dict[str, Any] = {
        "sequence": pa.array([boxes.name] * count, pa.string()),
        "frame": pa.array(boxes.frames.number[boxes.frame], pa.int64()),
        "seconds": pa.array(times, pa.float64()),
        "track": pa.array(nothing if boxes.track is None else boxes.track.tolist(), pa.string()),
    }
    for i, name in enumerate(("x", "y", "width", "height")):
        columns[name] = pa.array(boxes.box[:, i], pa.float64())
    sure = np.full(count, np.nan) if boxes.confidence is None else boxes.confidence
    columns["confidence"] = pa.array(sure, pa.float64(), from_pandas=True)
    columns["image_path"] = pa.array(files, pa.string())
    columns["specimen"] = pa.array(nothing if boxes.ids is None else boxes.ids.tolist(), pa.string())
    return pa.table(columns)


def save_tracks(source: Path, done: Tracked, settings: TrackSettings, *, say: Callable[[str], None] = print) -> int:
    """Write the column ``track`` of a collection, as one change that can be undone; returns how many specimens changed.

    Raises BiocosmosError where it has tracks already, unless they may be overwritten.
    """
    collection = refuse_tracks(source, settings)
    table = done.boxes.select(["specimen", "track"]).rename_columns(["id", "track"])
    arguments = {"tracker": settings.tracker, "encoder": settings.encoder}
    summary = collection.change(table, verb="track", arguments=arguments, clear=True)
    say(f"{source}: {summary.specimens:,} specimens have their track")
    return summary.specimens


def refuse_tracks(source: Path, settings: TrackSettings) -> Collection:
    """The collection, whose tracks may be written. Raises BiocosmosError where it has some that may not be overwritten."""
    from biocosmos.specimens.collection import Collection

    collection = Collection.open(source)
    there = "track" in collection.stored_columns and collection.dataset.count_rows(filter="track IS NOT NULL")
    if there and not settings.overwrite:
        raise BiocosmosError(
            f"{source} has tracks already, of {there:,} specimens: --overwrite replaces them, 'biocosmos undo' brings them back"
        )
    return collection
