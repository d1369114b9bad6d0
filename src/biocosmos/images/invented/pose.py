"""How one specimen lies on the tray, and how it was photographed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OPEN = 0.25
"""Part of the specimens whose wings stand open."""


@dataclass(frozen=True)
class Pose:
    """Angles in radians but ``wings``, which is in degrees; lengths as parts."""

    turn: float
    mirrored: bool
    tilt: float
    """Width that is seen of the body."""
    bend: float
    stretch: float
    wings: float
    """How much further the wings are opened, degrees."""
    size: float
    shift: tuple[float, float]
    lost: float
    """Part of the legs and antennae that broke off."""
    light: tuple[float, float, float]
    """Gain of red, green and blue."""
    lit_from: float
    slope: float
    """Gain at one side over that of the other."""
    blur: float
    """Pixels at 160."""
    noise: float
    """Standard deviation in grey levels."""
    ground: tuple[int, int, int]
    debris: int


def pose_of(random: np.random.Generator) -> Pose:
    """A pose and a photograph, from a specimen's own random numbers."""
    gain = 1 + random.normal(0, 0.09)
    grounds = ((236, 236, 232), (222, 222, 224), (240, 234, 220), (214, 220, 224), (228, 224, 216))
    ground = np.array(grounds[int(random.integers(len(grounds)))]) + random.normal(0, 2.5, 3)
    open_wings = random.random() < OPEN
    return Pose(
        turn=float(random.normal(np.pi / 2, 0.7)),
        mirrored=bool(random.random() < 0.5),
        tilt=float(random.uniform(0.72, 1.0)),
        bend=float(random.normal(0, 0.16)),
        stretch=float(np.clip(random.normal(1, 0.05), 0.85, 1.15)),
        wings=float(abs(random.normal(35, 14)) if open_wings else random.normal(0, 5)),
        size=float(np.clip(random.normal(1, 0.05), 0.85, 1.1)),
        shift=(float(random.normal(0, 0.03)), float(random.normal(0, 0.03))),
        lost=float(random.choice([0.0, 0.0, 0.0, 0.1, 0.3])),
        light=tuple(float(x) for x in gain * (1 + random.normal(0, 0.02, 3))),  # type: ignore[arg-type]
        lit_from=float(random.uniform(0, 2 * np.pi)),
        slope=float(random.uniform(0, 0.16)),
        blur=float(random.choice([0.35, 0.5, 0.7, 1.1], p=[0.4, 0.3, 0.2, 0.1])),
        noise=float(random.uniform(1.5, 5.0)),
        ground=tuple(int(x) for x in np.clip(ground, 150, 250)),  # type: ignore[arg-type]
        debris=int(random.poisson(1.5)),
    )
