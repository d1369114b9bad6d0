"""MOTChallenge: every box of the ground truth, or of a detector, is a specimen, cropped from its frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.frame_columns import (
    CLOCK,
    EMPTY_FRAMES,
    FRAME_BOX,
    FRAME_COLUMNS,
    FRAME_RATE,
    FRAME_SIZE,
    clock_cells,
)
from biocosmos.specimens.readers.mot_rows import MotBoxes, read_rows
from biocosmos.specimens.readers.mot_tree import DETECTIONS, MotSequence, sequences_at, with_pictures
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import STANDARD, Source

Row = tuple[int | None, str | None, dict[str, Any]]


def read(path: Path, options: Options) -> Source:
    """A tree, a sequence's folder or one table; ground truth where a sequence has both.

    Ids are sequence/frame#track, of detections sequence/frame#1, #2 ... The label is the class, where classes have names or are
    several. Frames without a box are kept whole with ``empty``. A box whose picture is not there is kept without.
    """
    return _source(path, options, None)


def read_detections(path: Path, options: Options) -> Source:
    """As :func:`read`, from det/det.txt of every sequence."""
    return _source(path, options, DETECTIONS)


def _source(path: Path, options: Options, kind: str | None) -> Source:
    sequences = sequences_at(path, kind, options.images, options.failures)
    kinds = {name: STANDARD[name] for name in ("id", "image_path", "crop", "label")} | FRAME_COLUMNS
    kinds |= FRAME_RATE | FRAME_SIZE | FRAME_BOX
    if any(one.start is not None or one.times for one in sequences):
        kinds |= CLOCK
    said = {name for one in sequences for values in one.species.values() for name in values}
    kinds |= {name: pa.string() for name in sorted(said) if name not in kinds and name not in STANDARD}
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy, warn_unlabelled=False)

    def rows() -> Iterator[Row]:
        for sequence in sequences:
            try:
                yield from _rows(with_pictures(sequence, options.failures), options)
            except BiocosmosError as error:
                if len(sequences) == 1:
                    raise
                options.failures.add(str(error), stage="read", source=sequence.table)

    blocks = gather(rows(), list(kinds), str(path))
    return Source(path.name, "mot", shaper.batches(blocks), shaper.rank_columns, options.failures)


def frame_numbers(sequence: MotSequence, boxes: MotBoxes) -> list[int]:
    """Every frame there is: with a box, with a picture, or within the length that seqinfo.ini says; ascending."""
    numbers = set(boxes.frame.tolist()) | set(sequence.files)
    if sequence.length is not None:
        numbers |= set(range(1, sequence.length + 1))
    return sorted(numbers)


def tell_missing(sequence: MotSequence, boxes: MotBoxes, failures: Failures) -> None:
    """One warning for every frame with boxes whose picture is not there, where others are."""
    for i in np.unique(boxes.frame, return_index=True)[1].tolist() if sequence.files else ():
        number = int(boxes.frame[i])
        if number not in sequence.files:
            reason = f"the picture of frame {number} is not in {sequence.pictures}: its boxes are kept without"
            failures.add(reason, stage="read", source=sequence.table, row=int(boxes.row[i]), severity="warning")


def _rows(sequence: MotSequence, options: Options) -> Iterator[Row]:
    failures, source = options.failures, sequence.table or sequence.pictures
    boxes = read_rows(sequence, failures)
    files = sequence.files
    if not files:
        reason = "no pictures of its frames: boxes are kept without (--images FOLDER says where they lie)"
        failures.add(reason, stage="read", source=source, severity="warning")
    tell_missing(sequence, boxes, failures)
    count: dict[int, int] = {}
    alone = "" if boxes.shape == DETECTIONS else "box"  # of a box that is no individual's, so that no id is that of a track
    for i, number in enumerate(boxes.frame.tolist()):
        count[number] = count.get(number, 0) + 1
        track = boxes.track[i]
        box = boxes.box[i].tolist()
        yield (
            int(boxes.row[i]),
            None,
            {
                **sequence.species.get(track or "", {}),
                **_frame(sequence, number),
                "id": f"{sequence.name}/{number:06d}#{alone + str(count[number]) if track is None else track}",
                "crop": box if number in files else None,
                "frame_box": None if number in files else box,
                "label": boxes.label[i],
                "track": track,
                "visibility": _known(boxes.visibility[i]),
                "detection_confidence": _known(boxes.confidence[i]),
                "empty": False,
            },
        )
    empty = [number for number in frame_numbers(sequence, boxes) if number not in count]
    if empty and not options.empty:
        failures.add(f"{len(empty):,} {EMPTY_FRAMES}", stage="read", source=source, severity="warning")
    for number in empty if options.empty else ():
        yield None, None, {**_frame(sequence, number), "id": f"{sequence.name}/{number:06d}", "empty": True}


def _frame(sequence: MotSequence, number: int) -> dict[str, Any]:
    """What all specimens of a frame have."""
    file = sequence.files.get(number)
    return {
        "image_path": None if file is None else str(file.absolute()),
        "sequence": sequence.name,
        "frame": number,
        "frame_rate": sequence.frame_rate,
        "frame_width": sequence.width or None,
        "frame_height": sequence.height or None,
        **clock_cells(sequence.moment(number)),
    }


def _known(number: float) -> float | None:
    return None if number != number else float(number)
