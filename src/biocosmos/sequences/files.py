"""Sequences in files: MOTChallenge trees and tables as they are, every other format with frames through its reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file
from biocosmos.sequences.collected import BY, boxes_by_sequence
from biocosmos.sequences.frames import Boxes, Frames
from biocosmos.specimens import readers
from biocosmos.specimens.readers.mot import frame_numbers, tell_missing
from biocosmos.specimens.readers.mot_rows import read_rows
from biocosmos.specimens.readers.mot_tree import DETECTIONS, KINDS, MotSequence, sequences_at, with_pictures
from biocosmos.specimens.records import Source

MOT = ("mot", "mot-detections")


def read_sequences(
    path: str | Path,
    *,
    format: str | None = None,
    which: str | None = None,
    images: str | Path | None = None,
    raw: bool = False,
    clip: bool = True,
    failures: Failures | None = None,
) -> list[Boxes]:
    """Every sequence of a MOTChallenge tree, or of any file whose format has frames; frames without boxes are kept.

    format: one of :data:`biocosmos.specimens.readers.FORMATS`, found when None. which: "gt" or "det" of a MOTChallenge tree, the
    ground truth where there is one when None. images: folder of the pictures, where they are not beside the tables. raw: rows
    of MOTChallenge that are not to be counted are there too, unclipped, with the numbers of the file in ``Boxes.raw``. clip: cut
    boxes at the edges of their picture; scorers of MOTChallenge compare them uncut. failures: takes what is wrong with rows.
    Raises BiocosmosError for a path that is missing, of no clear format, or without frames.
    """
    path, failures = Path(path), Failures() if failures is None else failures
    if which not in (None, *KINDS):
        raise BiocosmosError(f"{which!r} is no table of a sequence: say one of {', '.join(KINDS)}")
    format = readers.detect(path) if format is None and path.exists() else readers.ALIASES.get(format or "", format)
    if format in MOT:
        kind = DETECTIONS if format == MOT[1] else which
        found = sequences_at(path, kind, None if images is None else Path(images), failures)
        return list(_of_tree(found, raw, clip, failures))
    if raw or which is not None:
        raise BiocosmosError(f"{path} is no MOTChallenge tree: raw numbers and {' and '.join(KINDS)} are of those alone")
    empty = "empty" in readers.USES.get(format or "", ())
    source = readers.read(path, format=format, images=images, failures=failures, empty=empty)
    read = list(boxes_by_sequence(_with_frames(source), path.stem))
    if not read:
        raise _no_frames(source)
    return [_with_files(boxes, source, failures) for boxes in read]


def read_sequence(
    path: str | Path,
    *,
    format: str | None = None,
    which: str | None = None,
    images: str | Path | None = None,
    raw: bool = False,
    clip: bool = True,
    failures: Failures | None = None,
) -> Boxes:
    """The one sequence of a folder or file, as :func:`read_sequences`. Raises BiocosmosError where there are several, or none."""
    found = read_sequences(path, format=format, which=which, images=images, raw=raw, clip=clip, failures=failures)
    if len(found) != 1:
        names = ", ".join(boxes.name for boxes in found[:5])
        raise BiocosmosError(f"{path} has {len(found)} sequences{f' ({names})' if names else ''}: name the folder of one")
    return found[0]


def _with_frames(source: Source) -> Iterator[pa.RecordBatch]:
    """The batches of a source. Raises BiocosmosError where none of its columns says that they are frames."""
    for batch in source.batches:
        if not {*BY, "frame"} & set(batch.schema.names):
            raise _no_frames(source)
        yield batch


def _no_frames(source: Source) -> BiocosmosError:
    formats = [name for name, used in readers.USES.items() if "empty" in used]
    return BiocosmosError(
        f"{source.origin} ({source.format}) has no frames of a sequence: these formats have: {', '.join(formats)}"
    )


def _with_files(boxes: Boxes, source: Source, failures: Failures) -> Boxes:
    """The sequence without the paths of pictures that are not there, which one warning counts."""
    lost = [file for file in boxes.frames.files if file is not None and not is_file(file)]
    if not lost:
        return boxes
    many = "1 frame has" if len(lost) == 1 else f"{len(lost):,} frames have"
    reason = f"{many} no picture on disk, first {lost[0]!r}"
    failures.add(reason, stage="read", source=source.origin, id=boxes.name, severity="warning")
    gone = set(lost)
    files = tuple(None if file in gone else file for file in boxes.frames.files)
    return replace(boxes, frames=replace(boxes.frames, files=files))


def _of_tree(found: list[MotSequence], raw: bool, clip: bool, failures: Failures) -> Iterator[Boxes]:
    for sequence in found:
        try:
            yield _of_mot(with_pictures(sequence, failures), raw, clip, failures)
        except BiocosmosError as error:
            if len(found) == 1:
                raise
            failures.add(str(error), stage="read", source=sequence.table)


def _of_mot(sequence: MotSequence, raw: bool, clip: bool, failures: Failures) -> Boxes:
    boxes = read_rows(sequence, failures, everything=raw, clip=clip)
    numbers = np.array(frame_numbers(sequence, boxes), np.int64)
    moments = [sequence.moment(number) for number in numbers.tolist()]
    start = min((moment for moment in moments if moment is not None), default=None)
    times = [np.nan if moment is None or start is None else (moment - start).total_seconds() for moment in moments]
    files = sequence.files
    frames = Frames(
        numbers,
        np.array(times, np.float64),
        tuple(str(files[number].absolute()) if number in files else None for number in numbers.tolist()),
        sequence.width,
        sequence.height,
        sequence.frame_rate,
        start,
    )
    tell_missing(sequence, boxes, failures)
    n = len(boxes.row)
    return Boxes(
        sequence.name,
        frames,
        np.searchsorted(numbers, boxes.frame),
        boxes.box,
        None if boxes.shape == DETECTIONS or (n and all(track is None for track in boxes.track)) else boxes.track,
        None if np.isnan(boxes.confidence).all() else boxes.confidence,
        None if all(label is None for label in boxes.label) else boxes.label,
        None if np.isnan(boxes.visibility).all() else boxes.visibility,
        None,
        boxes.raw if raw else None,
    )
