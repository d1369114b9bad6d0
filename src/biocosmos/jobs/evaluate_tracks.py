"""Judge tracks in files against true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biocosmos.errors import BiocosmosError, Failures

if TYPE_CHECKING:
    from biocosmos.evaluate.report import Report
    from biocosmos.sequences import Boxes

SHOWN = 3
"""Reasons of the reader that the page repeats."""


@dataclass(frozen=True)
class JudgedTracks:
    """The report, boxes that were read, and rows that could not be used."""

    report: Report
    boxes: int
    failures: Failures


def evaluate_tracks(truth: str | Path, tracks: Sequence[str | Path], *, format: str | None = None) -> JudgedTracks:
    """A report on tracks against the truth; each a MOTChallenge tree or table, a collection, or any file with frames and tracks;
    the tracks also as the table that ``biocosmos track --boxes`` writes. format: of both sides, as for reading; None: found.

    Raises BiocosmosError for what cannot be read, has no tracks, or does not fit the truth, and without trackeval.
    """
    from biocosmos.evaluate.tracking import tracking_report

    failures = Failures()
    true = _sequences(truth, format, failures)
    found = {name: _found(path, true, format, failures) for name, path in zip(_names(tracks), tracks)}
    facts = {"truth": str(truth), "tracks": [str(path) for path in tracks]}
    report = tracking_report(true, found, facts)
    for reason, count in failures.reasons()[:SHOWN] if failures.errors else ():
        report.caveats.append(f"Reading them: {reason} ({count:,} times).")
    boxes = sum(len(each) for side in (true, *found.values()) for each in side)
    return JudgedTracks(report, boxes, failures)


def _found(path: str | Path, truth: Sequence[Boxes], format: str | None, failures: Failures) -> list[Boxes]:
    """Tracks of one tracker; a table of boxes has no row for a sequence in which nothing was found."""
    from biocosmos.jobs.track_table import box_table, nothing_found

    table = box_table(Path(path), failures) if format is None else None
    if table is None:
        return _sequences(path, format, failures)
    there = {boxes.name for boxes in table}
    return table + [nothing_found(boxes) for boxes in truth if boxes.name not in there and len(truth) > 1]


def _sequences(path: str | Path, format: str | None, failures: Failures) -> list[Boxes]:
    from biocosmos.files import is_there
    from biocosmos.sequences.collected import sequences_of
    from biocosmos.sequences.files import read_sequences
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.creating import is_collection

    path = Path(path)
    if not is_there(path):
        raise BiocosmosError(f"there is nothing at {path}: name a MOTChallenge tree, a table of boxes or a collection")
    if is_collection(path):
        return list(sequences_of(Collection.open(path)))
    found = read_sequences(path, clip=False, failures=failures)
    if not found:
        raise BiocosmosError(f"{path} has no sequence: name a MOTChallenge tree, a table of boxes or a collection")
    return found


def _names(paths: Sequence[str | Path]) -> list[str]:
    """What the trackers are called: the file's name without its ending, the whole path where two are alike."""
    stems = [Path(path).stem for path in paths]
    names = [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BiocosmosError(f"{twice[0]} was named twice: name every tracker once")
    return names
