"""Bursts: specimens of one place or sample that were taken moments apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ALONE = -1


def bursts(keys: Sequence[tuple[Any, ...]], times: Sequence[str | None], minutes: float | None) -> tuple[Array, int]:
    """((n,) int64 burst of each row, numbered by their first row, -1 for one that is alone; rows that were left out).

    keys: what must be equal (sample, site, camera); a row with a None in its key is left out. times: ISO 8601 dates and times.
    minutes: two rows of one key belong together when no more lies between one and the next, and a row without a time of day is
    left out; without it all rows of one key do.
    """
    burst = np.full(len(keys), ALONE, np.int64)
    groups: dict[tuple[Any, ...], list[int]] = {}
    left = 0
    moments = [_moment(text) if minutes is not None else 0.0 for text in times]
    for row, key in enumerate(keys):
        if any(part is None or part == "" for part in key) or moments[row] is None:
            left += 1
        else:
            groups.setdefault(key, []).append(row)
    runs: list[list[int]] = []
    for rows in groups.values():
        rows.sort(key=lambda row: (moments[row] or 0.0, row))
        run = rows[:1]
        for before, row in pairwise(rows):
            if minutes is not None and (moments[row] or 0.0) - (moments[before] or 0.0) > minutes * 60:
                runs.append(run)
                run = []
            run.append(row)
        runs.append(run)
    kept = sorted((run for run in runs if len(run) > 1), key=min)
    for number, run in enumerate(kept):
        burst[run] = number
    return burst, left


def _moment(text: str | None) -> float | None:
    """Seconds since 1970 of an ISO 8601 date with a time of day, None for anything else; without a zone it is taken for UTC."""
    if not text or "T" not in text.upper().replace(" ", "T"):
        return None
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
