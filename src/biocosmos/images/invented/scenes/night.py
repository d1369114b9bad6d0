"""Who is on the screen when, and where: visits of moths, in continuous time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.scenes.conditions import Conditions

Array = npt.NDArray[np.float64]
QUIET = 0.05
"""Part of the time before the first moth, and after the last."""
GAP = (0.04, 0.07)
"""Part of the time that each gap takes, in which nothing is on the screen."""
GAP_EVERY = 1200.0
"""Seconds for one gap; there is at least one."""
SHORT, LONG, SHORT_PART = 40.0, 420.0, 0.35
"""Mean seconds of the two kinds of visits, and the part of the short ones."""
ALREADY, MORE = 0.8, 1.1
"""Moths at the start of a bout, and arrivals, over what would keep the density if nobody's stay were cut short or repeated."""
WALK, STEP = 8.0, 1.0
"""Mean seconds of a walk, and seconds of its steps."""
TURN, FLIGHT_TURN = 0.35, math.pi
"""Radians that a step turns (standard deviation), and a flight at most."""
FLIGHT_PART, FLIGHT_SECONDS, FLIGHT_EXTENTS = 0.12, 1.0, 3.5
"""Part of the rests that end in a short flight; how long it takes; the median of its length, in body extents."""
RETURNS, AWAY = 0.2, 90.0
"""Part of those who leave that come back, and mean seconds until then."""
OPENS = 0.15
"""Part of the rests with open wings."""
SPREAD = 0.22
"""Standard deviation of the places of arrivals about the middle, over the picture: they come to the lamp."""
MARGIN = 0.35
"""Body extents from the edge of the picture within which no moth sits."""


@dataclass(frozen=True)
class Visit:
    """One stay of one moth. seconds (k,) ascending, x and y (k,) pixels, heading (k,) radians, wings (k,) bool from that moment.

    level: moths of a higher one lie over those of a lower.
    """

    moth: int
    level: int
    seconds: Array
    x: Array
    y: Array
    heading: Array
    wings: npt.NDArray[np.bool_]

    @property
    def start(self) -> float:
        """When it arrives, seconds."""
        return float(self.seconds[0])

    @property
    def end(self) -> float:
        """When it leaves."""
        return float(self.seconds[-1])

    def at(self, seconds: float) -> tuple[float, float, float, bool]:
        """x, y, heading and whether the wings are open."""
        x, y, heading = (float(np.interp(seconds, self.seconds, each)) for each in (self.x, self.y, self.heading))
        return x, y, heading, bool(self.wings[np.searchsorted(self.seconds, seconds, side="right") - 1])


def bouts(conditions: Conditions, seed: int) -> list[tuple[float, float]]:
    """The stretches of time in which moths may be there, start and end in seconds: quiet at both ends, and gaps between."""
    random = chance(seed, "bouts")
    gaps = max(1, round(conditions.seconds / GAP_EVERY))
    inner = 1 - 2 * QUIET
    places = [QUIET + inner * (number + 1 + random.uniform(-0.2, 0.2)) / (gaps + 1) for number in range(gaps)]
    widths = random.uniform(*GAP, gaps) / gaps
    edges = [QUIET]
    for place, width in zip(places, widths.tolist()):
        edges += [place - width / 2, place + width / 2]
    edges.append(1 - QUIET)
    return [(a * conditions.seconds, b * conditions.seconds) for a, b in zip(edges[::2], edges[1::2])]


def visits(conditions: Conditions, seed: int) -> list[Visit]:
    """All visits of a night, by their start; moths are numbered by their first."""
    stays = _stays(conditions, seed)
    order = sorted(range(len(stays)), key=lambda row: stays[row][1])
    numbers: dict[int, int] = {}
    for row in order:
        numbers.setdefault(stays[row][0], len(numbers))
    found = []
    for level, row in enumerate(order):
        moth, start, end = stays[row]
        found.append(_walked(conditions, seed, numbers[moth], level, start, end))
    return found


def _stays(conditions: Conditions, seed: int) -> list[tuple[int, float, float]]:
    """Moth, start and end of each stay."""
    random, stretches, moth = chance(seed, "stays"), bouts(conditions, seed), 0
    mean = SHORT_PART * SHORT + (1 - SHORT_PART) * LONG
    found = []
    for start, end in stretches:
        length = end - start
        early = np.sort(start + random.uniform(0, 0.1, int(random.poisson(ALREADY * conditions.density))) * length)
        later = start + random.uniform(0, 1, int(random.poisson(MORE * conditions.density * length / mean))) * length
        for arrival in [*early.tolist(), *np.sort(later).tolist()]:
            found += _stay(random, stretches, moth, arrival)
            moth += 1
    return found


def _stay(
    random: np.random.Generator, stretches: list[tuple[float, float]], moth: int, arrival: float
) -> list[tuple[int, float, float]]:
    """The stays of one moth: after the first it may come back."""
    found = list[tuple[int, float, float]]()
    while True:
        last = next((end for start, end in stretches if start <= arrival < end), None)
        if last is None:  # nobody is there in a gap: with the next bout
            following = [start for start, _ in stretches if start >= arrival]
            if not following:
                return found
            arrival = following[0] + random.exponential(20.0)
            continue
        length = random.exponential(SHORT if random.random() < SHORT_PART else LONG)
        end = min(arrival + max(length, 5.0), last - random.uniform(0, 0.1) * (last - arrival))
        found.append((moth, arrival, end))
        if random.random() >= RETURNS:
            return found
        arrival = end + 5.0 + random.exponential(AWAY)


def _walked(conditions: Conditions, seed: int, moth: int, level: int, start: float, end: float) -> Visit:
    """Rests, walks and short flights of one stay."""
    random = chance(seed, "walk", str(moth), str(level))
    extent = conditions.body * conditions.width
    low = np.array([1.0, 1.0]) * MARGIN * extent
    high = np.maximum(np.array([conditions.width, conditions.height]) - low, low + 1.0)
    middle = np.array([conditions.width, conditions.height]) / 2
    place = np.clip(middle + random.normal(0, SPREAD, 2) * 2 * middle, low, high)
    heading, seconds = float(random.uniform(-math.pi, math.pi)), start
    rest = WALK * (1 - conditions.restless) / max(conditions.restless, 1e-3)
    speed = conditions.speed * extent * math.exp(random.normal(0, 0.3))
    points: list[tuple[float, float, float, float, bool]] = []

    def note(wings: bool) -> None:
        points.append((seconds, float(place[0]), float(place[1]), heading, wings))

    while seconds < end:
        note(random.random() < OPENS)
        seconds += random.exponential(rest)
        if random.random() < FLIGHT_PART:
            note(True)
            seconds += FLIGHT_SECONDS
            away = extent * FLIGHT_EXTENTS * math.exp(random.normal(0, 0.5))
            direction = random.uniform(-math.pi, math.pi)
            place = np.clip(place + away * np.array([math.cos(direction), math.sin(direction)]), low, high)
            heading += float(random.uniform(-FLIGHT_TURN, FLIGHT_TURN))
            continue
        for _ in range(1 + int(random.exponential(WALK) / STEP)):
            note(False)
            seconds += STEP
            heading += float(random.normal(0, TURN))
            place = place + speed * STEP * np.array([math.cos(heading), -math.sin(heading)])
            if np.any(place < low) or np.any(place > high):
                place, heading = np.clip(place, low, high), heading + math.pi / 2
    note(False)
    return _cut(moth, level, end, points)


def _cut(moth: int, level: int, end: float, points: list[tuple[float, float, float, float, bool]]) -> Visit:
    """The visit, whose last point is moved back to when it leaves."""
    columns = [np.array(column) for column in zip(*points)]
    seconds, kept = columns[0], int(np.searchsorted(columns[0], end))
    last = [float(np.interp(end, seconds, column)) for column in columns[1:4]]
    x, y, heading = (np.append(column[:kept], value) for column, value in zip(columns[1:4], last))
    return Visit(moth, level, np.append(seconds[:kept], end), x, y, heading, np.append(columns[4][:kept], False).astype(bool))
