"""Training recipes over a collection, and the one loop they share."""

from biocosmos.train.unicom import TrainResult, train_unicom
from biocosmos.train.unicom_settings import UnicomSettings, unicom_settings

__all__ = ["TrainResult", "UnicomSettings", "train_unicom", "unicom_settings"]
