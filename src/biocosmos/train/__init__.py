"""Training recipes over a collection, and the one loop they share."""

from biocosmos.train.unicom.settings import UnicomSettings, unicom_settings
from biocosmos.train.unicom.training import TrainResult, train_unicom

__all__ = ["TrainResult", "UnicomSettings", "train_unicom", "unicom_settings"]
