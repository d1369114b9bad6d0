"""Training recipes over a collection, and the one loop they share.

Names are imported on first use: the settings in here are read by ``biocosmos --help``, which must not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biocosmos.train.unicom.settings import UnicomSettings, unicom_settings
    from biocosmos.train.unicom.training import TrainResult, train_unicom

_HOMES = {
    "TrainResult": "biocosmos.train.unicom.training",
    "UnicomSettings": "biocosmos.train.unicom.settings",
    "train_unicom": "biocosmos.train.unicom.training",
    "unicom_settings": "biocosmos.train.unicom.settings",
}

__all__ = ["TrainResult", "UnicomSettings", "train_unicom", "unicom_settings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'biocosmos.train' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
