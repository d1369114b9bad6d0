"""What a scene is like, and how well a detector sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conditions:
    """Of one scene.

    width, height: pixels. seconds: how long it lasts. density: moths on the screen at a time, on average while any may be there.
    body: extent of a moth of middle size over the width of the picture. speed: body extents a second of a moth that walks.
    restless: the part of its time that it walks.
    """

    width: int = 640
    height: int = 480
    seconds: float = 1800.0
    density: float = 6.0
    body: float = 0.09
    speed: float = 0.3
    restless: float = 0.15


@dataclass(frozen=True)
class Detector:
    """What a detector makes of a scene.

    miss: part of the moths in full view that it does not find; the more of one is hidden, the more often. alarms: boxes around
    nothing, of each frame. spots: stains of the screen that are taken for moths again and again. jitter: standard deviation of an
    edge over the extent of the box. together: of two boxes that overlap more (intersection over union) only the surer one stays.
    """

    miss: float = 0.05
    alarms: float = 0.1
    spots: int = 1
    jitter: float = 0.03
    together: float = 0.6
