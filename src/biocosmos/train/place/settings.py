"""What a training of a network over places and taxa is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biocosmos.settings import changed, setting
from biocosmos.train.loop.settings import LoopSettings

SINR, GEO_PRIOR, MLP = "sinr", "geo-prior", "mlp"
NETWORKS = (SINR, GEO_PRIOR, MLP)
AN_FULL, SSDL, SLDS, SOFTMAX = "an-full", "ssdl", "slds", "softmax"
PRESENCE = (AN_FULL, SSDL, SLDS)
INPUTS = ("sphere", "published")
BY_METHOD: dict[str, dict[str, Any]] = {
    SINR: {"loss": AN_FULL, "positive_weight": 2048.0, "width": 256, "blocks": 4, "dropout": 0.5, "weight_decay": 0.0},
    GEO_PRIOR: {"loss": AN_FULL, "positive_weight": 0.0, "width": 256, "blocks": 4, "dropout": 0.5, "weight_decay": 0.0},
    MLP: {"loss": SOFTMAX, "positive_weight": 0.0, "width": 64, "blocks": 1, "dropout": 0.2, "weight_decay": 0.01},
}
"""What holds of each method where nothing else is said."""
LARGEST = {SINR: 2048, GEO_PRIOR: 1024, MLP: 512}
"""Specimens of a batch of a large collection, as published."""


@dataclass(frozen=True)
class NetworkSettings(LoopSettings):
    """A training of a network over places and taxa; what is not here is in :class:`LoopSettings`. The command line has those of
    :class:`biocosmos.jobs.place_settings.PlaceSettings`, which become these.

    Attributes:
        method: of :data:`NETWORKS`.
        loss: "an-full", "ssdl", "slds" (Cole et al. 2023), or "softmax".
        positive_weight: λ of "an-full"; 0 is the number of taxa, as geo_prior has it.
        inputs: "sphere", or "published" planar codes; rasters: folder of rasters that the network sees too, "" for none.
        width, blocks, dropout: of :class:`biocosmos.nn.place.network.PlaceNetwork`.
        hide: share of the specimens of a batch whose place (day, depth) is hidden, so that the network may be asked without.
        decay: the learning rate is so many times as high each epoch, as published.
        held_out: share of the cells whose specimens choose the epoch; 0 for none.
        selection: the specimens, in words, so that a run goes on with the same ones.
    """

    encoder: str = changed(LoopSettings, "encoder", "", told=False)
    method: str = setting(SINR, "Which network.", choices=NETWORKS)
    loss: str = setting(AN_FULL, "Which loss.", choices=(*PRESENCE, SOFTMAX))
    positive_weight: float = setting(2048.0, "λ of a presence.", low=0)
    inputs: str = setting("sphere", "Codes of places.", choices=INPUTS)
    rasters: str = setting("", "A folder of rasters.")
    width: int = setting(256, "Numbers of a vector.", above=0)
    blocks: int = setting(4, "Residual blocks.", low=0)
    dropout: float = setting(0.5, "Dropout.", low=0, below=1)
    hide: float = setting(0.1, "Share hidden.", low=0, below=1)
    decay: float = setting(0.98, "Factor of the rate, each epoch.", above=0, high=1)
    held_out: float = setting(0.1, "Share of the cells.", low=0, below=1)
    selection: str = setting("", "The specimens.")

    def rate(self, step: int, per_epoch: int, steps: int) -> float:
        """See :class:`LoopSettings`: falls by ``decay`` each epoch, without a warm-up."""
        return float(self.decay ** (step // per_epoch))
