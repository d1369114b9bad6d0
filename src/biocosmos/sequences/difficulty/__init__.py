"""How hard it is to follow the individuals of a sequence: occlusion, motion and appearance, and their mean, MOTCOM.

Pedersen, Haurum, Dendorfer, Moeslund: MOTCOM: The Multi-Object Tracking Dataset Complexity Metric,
ECCV 2022. Each part is in [0, 1], larger is harder.

>>> measure(boxes, features).motcom
"""

from biocosmos.sequences.difficulty.measure import Difficulty, Features, Measuring, measure

__all__ = ["Difficulty", "Features", "Measuring", "measure"]
