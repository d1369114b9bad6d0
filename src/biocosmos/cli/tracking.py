"""track: which boxes of a time-lapse show the same animal, and what it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from biocosmos.cli.generated import FOUND, takes
from biocosmos.cli.options import OUTPUT, STRICT
from biocosmos.cli.printing import counted, failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.track_settings import TrackSettings
from biocosmos.settings import SettingError

MOT = ".txt"
SHOWN = ("sequence", "track", "label", "taxon", "rank", "confidence", "first_seen", "duration", "frames", "distance")


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, track)


@takes(TrackSettings, leave_out=FOUND)
def track(
    source: Annotated[
        Path,
        typer.Argument(
            help="A collection, a file of detections, a MOTChallenge tree, or with --detections the folder of the pictures.",
            show_default=False,
        ),
    ],
    settings: TrackSettings,
    output: OUTPUT = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Write a row for every box with its track here; .txt: as MOTChallenge has results.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="A page with the timeline of every sequence and the crops of its animals.", show_default=False),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write the column 'track' of the collection; 'biocosmos undo' takes it back.")
    ] = False,
    strict: STRICT = False,
) -> None:
    """Link the boxes of time-lapse pictures to individuals: one row for each, as ecologists count them.

    biocosmos track night1/ --detections night1.csv -o tracks.csv

    biocosmos track night.cosmos -e efficientnet-lite0 -o tracks.csv --report tracks.html

    biocosmos track night.cosmos --head run/ --error-rate 0.05 -o tracks.csv --save

    biocosmos track MOT/train/night1 --tracker sort --boxes sort.txt

    A box goes on with an animal seen before where that is likelier than a new one, by place, size, looks and the time between.
    With a namer what is said of all crops of an animal is fused, and the promise counts animals. Run it again: it says the same.
    """
    from biocosmos.jobs.track import refuse_tracks, save_tracks, track_sequences
    from biocosmos.outputs import place_of
    from biocosmos.specimens.creating import is_collection
    from biocosmos.tables import table_suffix

    if save and not is_collection(source):
        raise SettingError(f"--save writes into a collection, and {source} is none: write a table with -o")
    if save:
        refuse_tracks(source, settings)
    for place in (output, boxes):
        if place is not None and not (place is boxes and place.suffix.lower() == ".txt"):
            table_suffix(place)
    if settings.overwrite and not save:
        raise SettingError("--overwrite does nothing here: it is used with --save")
    if boxes is not None:
        boxes = place_of(boxes)
        if boxes.suffix.lower() != MOT:
            table_suffix(boxes)
    report = None if report is None else place_of(report)
    done = track_sequences(source, settings)
    table = done.individuals
    if output is None:
        show_arrow(table, [name for name in SHOWN if name in table.column_names and table[name].null_count < len(table)])
    else:
        _write(table, output, done.provenance)
    people = f"{counted(len(table), 'individual')} in {counted(done.sequences, 'sequence')} of {counted(done.frames, 'frame')}"
    say(people if output is None else f"{output}: {people}")
    for line in (*([done.promised] if done.promised else []), *(f"note: {note}" for note in done.notes)):
        say(line)
    if boxes is not None:
        _write_boxes(done, boxes)
    if report is not None:
        from biocosmos.jobs.track_page import tracks_page

        page, pictures = tracks_page(source, done)
        say(f"page: {page.html(report, thumbnails=pictures)}")
    if save:
        save_tracks(source, done, settings, say=say)
    finish(done.failures, len(done.boxes), "boxes", table=failures_beside(output), strict=strict)


def _write(table: Any, output: Path, facts: dict[str, object]) -> None:
    from biocosmos.tables import write_table

    write_table(table, output, facts)


def _write_boxes(done: Any, place: Path) -> None:
    from biocosmos.sequences import write_mot

    if place.suffix.lower() == MOT:
        if done.sequences != 1:
            raise BiocosmosError(f"{done.sequences} sequences do not go into the one table {place}: write .csv or .parquet")
        write_mot(place, done.shown[0], kind="results")
    else:
        _write(done.boxes, place, done.provenance)
    say(f"boxes: {place}")
