"""Sequences as files: MOTChallenge trees for trackers and their scores, and the table of individuals for ecologists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.frames import Boxes, Frames
from biocosmos.sequences.per_individual import individuals
from biocosmos.specimens.readers.mot_beside import TIMES
from biocosmos.specimens.readers.mot_rows import MOT_CLASSES
from biocosmos.specimens.readers.mot_tree import DETECTIONS, GT, RESULTS, SEQINFO
from biocosmos.tables import replacing, write_table

DIGITS = 3
"""Of pixels behind the point: what float32, in which collections keep boxes, holds of pictures up to 8,192 pixels wide."""
VISIBILITY_DIGITS = 6
UNKNOWN = -1
CLOCK_STEP = 0.002
"""Seconds that moments may be off a regular clock."""


def write_mot(
    path: str | Path,
    boxes: Boxes | Iterable[Boxes],
    *,
    kind: str | None = None,
    classes: Sequence[str] | None = None,
) -> list[Path]:
    """Write sequences as MOTChallenge has them; a path ending with .txt is the one table of one sequence.

    Else below ``path``: <sequence>/gt/gt.txt (9 columns) or <sequence>/det/det.txt (10), with seqinfo.ini; of results, as scorers
    want them, <sequence>.txt (10 columns). Pictures are not copied.

    kind: "gt", "det" or "results"; None: "gt" where there are tracks, else "det". classes: names, that of class 1 first; None:
    the names there are in alphabetical order, numbers as they are. Moments of frames are kept in seqinfo.ini, or in times.csv
    beside it where frames are not equally far apart.
    Returns the tables written. Raises BiocosmosError for a kind that is unknown, for two sequences of one name, and for tracks
    that are asked for and not there.
    """
    path, listed = Path(path), [boxes] if isinstance(boxes, Boxes) else list(boxes)
    if kind not in (None, GT, DETECTIONS, RESULTS):
        raise BiocosmosError(f"{kind!r} is no kind of table: say one of {GT}, {DETECTIONS}, {RESULTS}")
    alone = path.suffix.lower() == ".txt"
    if alone and len(listed) != 1:
        raise BiocosmosError(f"{len(listed)} sequences do not go into the one table {path}: name a folder")
    names = [_folder_name(one.name) for one in listed]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BiocosmosError(f"two sequences would be written to {path / twice[0]}: give them different names")
    written = []
    for name, one in zip(names, listed):
        own = kind or (GT if one.track is not None else DETECTIONS)
        if own != DETECTIONS and one.track is None and len(one):
            raise BiocosmosError(f"the sequence {one.name!r} has detections without tracks: write it with kind {DETECTIONS!r}")
        numbers = class_numbers(one, classes)
        place = path if alone else path / f"{name}.txt" if own == RESULTS else path / name / own / f"{own}.txt"
        with replacing(place) as temporary:
            temporary.write_text("".join(_lines(one, own, numbers)), encoding="utf-8")
        if not alone and own != RESULTS:
            if _is_regular(one.frames):
                (path / name / TIMES).unlink(missing_ok=True)  # of what was written here before
            else:
                with replacing(path / name / TIMES) as temporary:
                    temporary.write_text(_times(one.frames), encoding="utf-8")
            with replacing(path / name / SEQINFO) as temporary:
                temporary.write_text(_seqinfo(one, numbers), encoding="utf-8")
        written.append(place)
    return written


def class_numbers(boxes: Boxes, classes: Sequence[str] | None = None) -> dict[str, int]:
    """Label -> number of its class, from 1: as ``classes`` lists them, as they are where all are numbers, else by alphabet.

    Raises BiocosmosError where ``classes`` lacks a label.
    """
    labels = sorted({label for label in ([] if boxes.label is None else boxes.label) if label is not None})
    if classes is not None:
        if missing := [label for label in labels if label not in classes]:
            raise BiocosmosError(f"the sequence {boxes.name!r} has the class {missing[0]!r}, which is not among those given")
        return {label: number for number, label in enumerate(classes, 1)}
    if labels and set(labels) <= set(MOT_CLASSES):
        return {label: MOT_CLASSES.index(label) + 1 for label in labels}
    if all(label.isascii() and label.isdecimal() and int(label) > 0 for label in labels):
        return {label: int(label) for label in labels}
    return {label: number for number, label in enumerate(labels, 1)}


def track_numbers(boxes: Boxes) -> dict[str, int]:
    """Track -> its number in a table: the name itself where every name is a number, else 1, 2 ... as they come."""
    names = list(boxes.tracks())
    if all(re.fullmatch(r"0|[1-9]\d{0,17}", name) for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names, 1)}


def _lines(boxes: Boxes, kind: str, classes: Mapping[str, int]) -> Iterable[str]:
    tracks = track_numbers(boxes)
    numbers = boxes.frames.number[boxes.frame]
    for i, (x, y, w, h) in enumerate(boxes.box.tolist()):
        track = None if boxes.track is None or kind == DETECTIONS else boxes.track[i]
        label = "" if boxes.label is None else boxes.label[i] or ""
        number = UNKNOWN if track is None else tracks[track]
        place = f"{numbers[i]},{number},{_short(x + 1)},{_short(y + 1)},{_short(w)},{_short(h)}"
        if kind == GT:
            seen = np.nan if boxes.visibility is None else boxes.visibility[i]
            visibility = str(UNKNOWN) if np.isnan(seen) else _short(seen, VISIBILITY_DIGITS)
            yield f"{place},1,{classes.get(label, 1)},{visibility}\n"
        else:
            confidence = np.nan if boxes.confidence is None else boxes.confidence[i]
            yield f"{place},{UNKNOWN if np.isnan(confidence) else f'{confidence:.9g}'},-1,-1,-1\n"


def _short(number: float, digits: int = DIGITS) -> str:
    text = f"{number:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _rate(frames: Frames) -> float | None:
    """Frames a second: as told, else between the first and the last known moment."""
    known = np.flatnonzero(np.isfinite(frames.seconds))
    if frames.frame_rate or len(known) < 2 or frames.seconds[known[-1]] <= frames.seconds[known[0]]:
        return frames.frame_rate
    steps = frames.number[known[-1]] - frames.number[known[0]]
    return float(steps / (frames.seconds[known[-1]] - frames.seconds[known[0]]))


def _is_regular(frames: Frames) -> bool:
    """Whether the moments of the frames follow from the first and the frame rate, or are unknown."""
    rate = _rate(frames)
    if frames.start is None or not len(frames):
        return True
    if not rate or not np.isfinite(frames.seconds).all():
        return False
    return bool(np.allclose(frames.seconds, (frames.number - frames.number[0]) / rate, rtol=0, atol=CLOCK_STEP))


def _times(frames: Frames) -> str:
    rows = ["frame,date,time,seconds\n"]
    for place, (number, second) in enumerate(zip(frames.number.tolist(), frames.seconds.tolist())):
        if (moment := frames.moment(place)) is not None:
            date, _, clock = moment.isoformat().partition("T")
            rows.append(f"{number},{date},{clock},{second:.6f}\n")
    return "".join(rows)


def _seqinfo(boxes: Boxes, classes: Mapping[str, int]) -> str:
    frames, rate = boxes.frames, _rate(boxes.frames)
    suffix = next((Path(file).suffix for file in frames.files if file is not None), ".jpg")
    rows: dict[str, Any] = {
        "name": boxes.name,
        "imDir": "img1",
        "frameRate": f"{rate or 1:.9g}",
        "seqLength": int(frames.number[-1]) if len(frames) else 0,
        "imWidth": frames.width or "",
        "imHeight": frames.height or "",
        "imExt": suffix,
    }
    if frames.start is not None and len(frames) and rate and _is_regular(frames):
        rows["startTime"] = (frames.start - timedelta(seconds=(int(frames.number[0]) - 1) / rate)).isoformat()
    if classes and not all(label == str(number) for label, number in classes.items()):
        by_number = {number: label for label, number in classes.items()}
        names = [by_number.get(number, str(number)) for number in range(1, max(by_number) + 1)]
        rows["classNames"] = ",".join(name.replace(",", " ") for name in names)
    return "[Sequence]\n" + "".join(f"{name}={value}\n" for name, value in rows.items())


def _folder_name(name: str) -> str:
    """A sequence's name as that of one folder."""
    plain = re.sub(r"[^\w.\- ]+", "_", name).strip(" .")
    return plain or "sequence"


def write_tracks(path: str | Path, boxes: Boxes | Iterable[Boxes], *, more: pa.Table | None = None, **written: Any) -> Path:
    """One row an individual, as :func:`biocosmos.sequences.per_individual.individuals` makes them; the suffix names the format.

    more: further columns, joined by ``sequence`` and ``track``; one of a name that is there takes its place. written: as for
    :func:`biocosmos.tables.write_table`.
    """
    return write_table(individuals(boxes, more=more), path, **written)
