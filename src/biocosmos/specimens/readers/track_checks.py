"""What is told of tracks as they are read, the same for every format: once a file where it is usual, else a row each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from biocosmos.errors import Failures, Severity

SHOWN = 5
"""So many tracks one warning names."""


@dataclass
class TrackChecks:
    """Boxes of one file on their way: repeated boxes are refused one by one, the rest is counted and told at the end.

    Call :meth:`is_new` for every box in the order of the file, then :meth:`tell`.
    """

    source: Path
    failures: Failures
    _last: dict[str, int] = field(default_factory=dict)
    _unsorted: int | None = None
    _disorder: int = 0
    _frames: dict[tuple[str, str], dict[int, int | None]] = field(default_factory=dict)

    def say(self, reason: str, row: int | None = None, id: str | None = None, severity: Severity = "error") -> None:
        """Add a row about a row of the file."""
        self.failures.add(reason, stage="read", source=self.source, row=row, id=id, severity=severity)

    def is_new(self, sequence: str, track: str | None, frame: int, row: int | None) -> bool:
        """Whether a track is not in this frame yet; where it is, a row of the failures says so."""
        if frame < self._last.get(sequence, frame):
            self._unsorted = self._unsorted if self._disorder else row
            self._disorder += 1
        else:
            self._last[sequence] = frame
        if track is None:
            return True
        frames = self._frames.setdefault((sequence, track), {})
        if frame in frames:
            first = "" if frames[frame] is None else f" (first in row {frames[frame]})"
            self.say(f"the track {track!r} has a second box in frame {frame}{first}: left out", row)
            return False
        frames[frame] = row
        return True

    def tell(self) -> None:
        """One warning for rows out of order, one for tracks of a single frame, one for tracks with gaps."""
        if self._disorder:
            stand = "1 row stands" if self._disorder == 1 else f"{self._disorder:,} rows stand"
            self.say(f"{stand} behind those of a later frame: sorted by frame", self._unsorted, severity="warning")
        single = [(name, next(iter(rows.values()))) for (_, name), rows in self._frames.items() if len(rows) == 1]
        if single:
            reason = f"{_tracks(len(single))} in one frame only: {_shown(name for name, _ in single)}"
            self.say(reason, single[0][1], severity="warning")
        gaps: list[tuple[str, int, int, int | None]] = []
        for (_, name), rows in self._frames.items():
            for before, after in pairwise(sorted(rows)):
                if after - before > 1:
                    gaps.append((name, before, after, rows[after]))
                    break
        if gaps:
            name, before, after, row = gaps[0]
            reason = f"{_tracks(len(gaps))} not in every frame, first {name!r} between frames {before} and {after}"
            self.say(reason, row, severity="warning")


def _tracks(count: int) -> str:
    return "1 track is" if count == 1 else f"{count:,} tracks are"


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(repr(name) for name in listed[:SHOWN]) + (" ..." if len(listed) > SHOWN else "")
