"""A table of MOTChallenge: ground truth (9 columns), detections and results of trackers (7 or 10), row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.boxes import to_crop
from biocosmos.specimens.readers.encoding import LOST
from biocosmos.specimens.readers.mot_tree import DETECTIONS, GT, LONGEST, RESULTS, MotSequence
from biocosmos.specimens.readers.track_checks import TrackChecks

RAW_COLUMNS = 9
FEWEST, TRUTH_COLUMNS = 6, 9
NO_TRACK = -1
LONGEST_LINE = 10_000
MOT_CLASSES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
    "crowd",
)
"""Of MOT16, MOT17 and MOT20."""
Found = tuple[int, list[float], list[float], str | None, float]
"""A row that can be used: its line, its numbers as they stand in the file, its box, its track and its visibility."""


@dataclass(frozen=True)
class MotBoxes:
    """The boxes of one table, by frame, in file order within one.

    row: (n,) int64, lines of the file from 1. frame: (n,) int64 numbers. box: (n, 4) float64 x, y, width, height, 0-based,
    clipped to the picture where its size is known. track: (n,) object, text or None. confidence, visibility: (n,) float64, nan
    unknown. label: (n,) object, the class. raw: (n, 9) float64 as in the file, nan where it has fewer
    columns. shape: GT, DETECTIONS or RESULTS.
    """

    row: np.ndarray
    frame: np.ndarray
    box: np.ndarray
    track: np.ndarray
    confidence: np.ndarray
    visibility: np.ndarray
    label: np.ndarray
    raw: np.ndarray
    shape: str


def read_rows(sequence: MotSequence, failures: Failures, *, everything: bool = False, clip: bool = True) -> MotBoxes:
    """The boxes of a sequence's table; rows that cannot be right become failures, with their line, and the rest goes on.

    everything: rows that are not to be counted, and boxes outside, are kept, with boxes as they stand in the file less 1: for
    whoever repeats what other code does with a table. clip: cut boxes at the edges of the picture; without, as where its size is
    not known, they reach as far as the file says.
    Raises BiocosmosError for a file that cannot be opened or has no row that can be used.
    """
    if sequence.table is None:
        return _arrays(sequence, [], sequence.kind)
    checks = TrackChecks(sequence.table, failures)
    reading = _Reading(sequence, checks, everything, clip)
    kept: list[tuple[int, list[float]]] = []
    lines = refused = widest = 0
    for number, fields, problem in _lines(sequence.table):
        lines += 1
        problem = problem or _impossible(fields)
        if problem is not None:
            checks.say(problem, number)
            refused += 1
            continue
        widest = max(widest, len(fields))
        kept.append((number, fields))
    if refused and not kept:
        raise BiocosmosError(f"{sequence.table} has no row of MOTChallenge (frame, id, left, top, width, height, ...)")
    shape = shape_of(sequence.kind, widest, kept)
    result = reading.boxes(kept, shape)
    checks.tell()
    return result


def shape_of(kind: str, widest: int, rows: list[tuple[int, list[float]]]) -> str:
    """GT, DETECTIONS or RESULTS: as the file is called, else by its ids and columns."""
    if kind in (GT, DETECTIONS):
        return kind
    if rows and all(fields[1] == NO_TRACK for _, fields in rows):
        return DETECTIONS
    return GT if widest == TRUTH_COLUMNS else RESULTS


def _lines(path: Path) -> Iterator[tuple[int, list[float], str | None]]:
    try:
        with path.open(encoding="utf-8-sig", errors=LOST) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if len(line) > LONGEST_LINE:
                    yield number, [], f"a line of more than {LONGEST_LINE:,} characters"
                    continue
                cells = line.split(",") if "," in line else line.replace(";", " ").split()
                while cells and not cells[-1].strip():
                    cells.pop()
                try:
                    yield number, [float(cell) for cell in cells], None
                except ValueError:
                    shown = line.strip()[:60].encode("ascii", "backslashreplace").decode()
                    yield number, [], f"not numbers by commas: {shown!r}"
    except OSError as error:
        raise BiocosmosError(f"cannot read {path}: {error.strerror or error}") from error


def _impossible(fields: list[float]) -> str | None:
    if len(fields) < FEWEST:
        return f"{len(fields)} columns where frame, id, left, top, width and height are needed"
    if not all(map(math.isfinite, fields[:FEWEST])):
        return "a number that is not finite"
    if fields[0] != int(fields[0]) or not 0 <= fields[0] <= LONGEST:
        return f"{fields[0]:g} is no number of a frame"
    return None


@dataclass
class _Reading:
    sequence: MotSequence
    checks: TrackChecks
    everything: bool
    clip: bool

    def boxes(self, rows: list[tuple[int, list[float]]], shape: str) -> MotBoxes:
        """What can be used of the rows."""
        name, beyond, ignored, unlikely = self.sequence.name, 0, 0, 0
        size = (float(self.sequence.width), float(self.sequence.height)) if self.sequence.width and self.sequence.height else None
        found: list[Found] = []
        for number, fields in rows:
            truth = shape == GT
            if self.everything:
                box: list[float] = [fields[2] - 1, fields[3] - 1, fields[4], fields[5]]
                found.append((number, fields, box, _track(fields[1]), _visibility(fields, truth)))
                continue
            if truth and len(fields) > 6 and fields[6] == 0:
                ignored += 1
                continue
            crop = self._crop(fields, number, size)
            track = _track(fields[1]) if shape != DETECTIONS else None
            if crop is None or not self.checks.is_new(name, track, int(fields[0]), number):
                continue
            visibility = _visibility(fields, truth)
            if truth and len(fields) == TRUTH_COLUMNS and math.isnan(visibility) and fields[8] != NO_TRACK:
                unlikely += 1
            beyond += self.sequence.length is not None and fields[0] > self.sequence.length
            found.append((number, fields, crop, track, visibility))
        if ignored:
            self.checks.say(f"{_rows_are(ignored)} marked as not to be counted: left out", severity="warning")
        if unlikely:
            self.checks.say(
                f"{_rows_are(unlikely)} of a visibility that is not from 0 to 1: taken as unknown", severity="warning"
            )
        if beyond:
            reason = f"{_rows_are(beyond)} of frames beyond the {self.sequence.length:,} of seqinfo.ini: kept"
            self.checks.say(reason, severity="warning")
        return _arrays(self.sequence, found, shape)

    def _crop(self, fields: list[float], number: int, size: tuple[float, float] | None) -> list[float] | None:
        box = [fields[2] - 1, fields[3] - 1, fields[4], fields[5]]
        width, height = size or (0.0, 0.0)
        if box[2] > 0 < box[3] and box[0] >= 0 <= box[1] and box[0] + box[2] <= width and box[1] + box[3] <= height:
            return box  # as it is: sums of floats are not what they were
        crop, reason, cut = to_crop(box, None, size)
        if crop is None:
            self.checks.say(str(reason), number)
            return None
        if cut and self.clip:
            shown, done = ", ".join(f"{side:g}" for side in fields[2:6]), "clipped" if size else "kept, its size is not known"
            self.checks.say(f"the box '{shown}' reaches outside the picture: {done}", number, severity="warning")
        return box if size is None or not self.clip else crop


def _arrays(sequence: MotSequence, found: list[Found], shape: str) -> MotBoxes:
    n, truth = len(found), shape == GT
    found = sorted(found, key=lambda one: one[1][0])
    raw = np.full((n, RAW_COLUMNS), np.nan)
    for i, (_, fields, *_) in enumerate(found):
        raw[i, : len(fields)] = fields[:RAW_COLUMNS]
    track, label = np.full(n, None, object), np.full(n, None, object)
    track[:] = [one[3] for one in found]
    known = truth and all(len(fields) <= TRUTH_COLUMNS for _, fields, *_ in found)  # column 8 is x where there are 10
    kinds = np.where((raw[:, 7] > 0) & (raw[:, 7] < LONGEST) & known, raw[:, 7], 0).astype(np.int64)
    label[:] = _labels(sequence, kinds)
    if sequence.species:
        label[:] = [sequence.species.get(own or "", {}).get("label", said) for own, said in zip(track, label)]
    confidence = np.full(n, np.nan) if truth else raw[:, 6].copy()
    if shape == RESULTS and np.all(confidence == NO_TRACK):
        confidence[:] = np.nan
    return MotBoxes(
        np.array([one[0] for one in found], np.int64),
        raw[:, 0].astype(np.int64),
        np.array([one[2] for one in found], np.float64).reshape(n, 4),
        track,
        confidence,
        np.array([one[4] for one in found], np.float64),
        label,
        raw,
        shape,
    )


def _labels(sequence: MotSequence, kinds: np.ndarray) -> list[str | None]:
    """Names of classes: of seqinfo.ini, or of the benchmark; numbers where there are several without a name."""
    names = sequence.classes
    if not names and sequence.name.rpartition("/")[2].startswith(("MOT16-", "MOT17-", "MOT20-")):
        names = MOT_CLASSES
    if not names and len(set(kinds.tolist()) - {0}) < 2:
        return [None] * len(kinds)
    return [names[kind - 1] if 0 < kind <= len(names) else (str(kind) if kind else None) for kind in kinds.tolist()]


def _rows_are(count: int) -> str:
    return "1 row is" if count == 1 else f"{count:,} rows are"


def _track(number: float) -> str | None:
    if number == NO_TRACK:
        return None
    return str(int(number)) if number == int(number) else f"{number:g}"


def _visibility(fields: list[float], truth: bool) -> float:
    if not truth or len(fields) != TRUTH_COLUMNS or not 0 <= fields[8] <= 1:
        return math.nan
    return fields[8]
