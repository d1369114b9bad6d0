"""Scenes that nobody ever saw: the lit screen of a light trap by night, where invented moths arrive, rest, walk and leave.

A scene is a world in continuous time; frames are looks at it, every few seconds or once a minute, and two intervals show the same
moths at the same places. Synthetic: nothing here is an observation, and a table from such scenes must say so.
"""

from __future__ import annotations

from biocosmos.images.invented.scenes.conditions import Conditions, Detector
from biocosmos.images.invented.scenes.scene import Glimpse, Glimpses, Scene

__all__ = ["Conditions", "Detector", "Glimpse", "Glimpses", "Scene"]
