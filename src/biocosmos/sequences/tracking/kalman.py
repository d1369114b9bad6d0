"""Constant velocity, as SORT and ByteTrack assume it: a Kalman filter whose step is one frame, whatever the time between two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass
class Filter:
    """The belief about one animal: mean (2 k or fewer,) and covariance; the first ``seen`` of them are measured.

    Kalman: A New Approach to Linear Filtering and Prediction Problems, 1960.
    """

    mean: Float64
    covariance: Float64
    seen: int

    def predict(self, step: Float64, noise: Float64) -> None:
        """One frame later. step: the transition; noise: its covariance."""
        self.mean = step @ self.mean
        self.covariance = step @ self.covariance @ step.T + noise

    def update(self, measured: Float64, noise: Float64) -> None:
        """By a measurement (seen,) with noise (seen, seen)."""
        k = self.seen
        gain = np.linalg.solve(self.covariance[:k, :k] + noise, self.covariance[:k]).T
        self.mean = self.mean + gain @ (measured - self.mean[:k])
        self.covariance = self.covariance - gain @ self.covariance[:k]


def transition(seen: int, moving: int) -> Float64:
    """Of ``seen`` measured values, the first ``moving`` have a velocity: (seen + moving, seen + moving)."""
    step = np.eye(seen + moving)
    step[np.arange(moving), seen + np.arange(moving)] = 1
    return step


class AreaFilter:
    """SORT's: centre, area and aspect (width over height); the first three have a velocity.

    Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016, arXiv:1602.00763, with the noise of its
    public settings: measurement 1, 1, 10, 10; first belief 10, of velocities 10,000; process 1, 0.01 for velocities, 0.0001 for
    that of the area.
    """

    _STEP = transition(4, 3)
    _PROCESS = np.diag([1, 1, 1, 1, 0.01, 0.01, 0.0001])
    _MEASURED = np.diag([1.0, 1.0, 10.0, 10.0])

    def __init__(self, box: Float64) -> None:
        self._belief = Filter(np.append(self._measure(box), np.zeros(3)), np.diag([10.0] * 4 + [10_000.0] * 3), 4)

    def predict(self) -> Float64:
        """The box (4,) expected in the next frame."""
        if self._belief.mean[6] + self._belief.mean[2] <= 0:
            self._belief.mean[6] = 0
        self._belief.predict(self._STEP, self._PROCESS)
        return self.box

    def update(self, box: Float64) -> None:
        """By the box of this frame."""
        self._belief.update(self._measure(box), self._MEASURED)

    @property
    def box(self) -> Float64:
        """(4,) x, y, width, height as believed now."""
        x, y, area, aspect = self._belief.mean[:4]
        width = np.sqrt(max(area * aspect, 1e-9))
        height = max(area, 1e-9) / width
        return np.array([x - width / 2, y - height / 2, width, height])

    @staticmethod
    def _measure(box: Float64) -> Float64:
        x, y, width, height = box
        return np.array([x + width / 2, y + height / 2, width * height, width / height])


class HeightFilter:
    """ByteTrack's: centre, aspect (width over height) and height, all with a velocity; the noise grows with the height.

    Zhang and others: ByteTrack, ECCV 2022, arXiv:2110.06864; noise as in DeepSORT (Wojke, Bewley, Paulus, ICIP 2017): places 1/20
    of the height, velocities 1/160; of the aspect 0.01 and 0.00001, measured 0.1; the first belief twice and ten times as wide.
    """

    _STEP = transition(4, 4)
    _PLACE, _VELOCITY = 1 / 20, 1 / 160

    def __init__(self, box: Float64) -> None:
        mean, height = np.append(self._measure(box), np.zeros(4)), box[3]
        self._belief = Filter(mean, np.diag(self._spread(height, 2 * self._PLACE, 10 * self._VELOCITY) ** 2), 4)

    def predict(self, lost: bool) -> Float64:
        """The box (4,) expected in the next frame; a lost one keeps its height."""
        if lost:
            self._belief.mean[7] = 0
        self._belief.predict(self._STEP, np.diag(self._spread(self._belief.mean[3], self._PLACE, self._VELOCITY) ** 2))
        return self.box

    def update(self, box: Float64) -> None:
        """By the box of this frame."""
        place = self._PLACE * self._belief.mean[3]
        self._belief.update(self._measure(box), np.diag([place, place, 0.1, place]) ** 2)

    @property
    def box(self) -> Float64:
        """(4,) x, y, width, height as believed now."""
        x, y, aspect, height = self._belief.mean[:4]
        height = max(height, 1e-9)
        width = max(aspect * height, 1e-9)
        return np.array([x - width / 2, y - height / 2, width, height])

    @staticmethod
    def _spread(height: float, place: float, velocity: float) -> Float64:
        places, velocities = place * height, velocity * height
        return np.array([places, places, 0.01, places, velocities, velocities, 0.00001, velocities])

    @staticmethod
    def _measure(box: Float64) -> Float64:
        x, y, width, height = box
        return np.array([x + width / 2, y + height / 2, width / height, height])
