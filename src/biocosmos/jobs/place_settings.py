"""What ``train place`` can be told. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biocosmos.settings import setting
from biocosmos.specimens.settings import Selection
from biocosmos.train.place.settings import (
    AN_FULL,
    BY_METHOD,
    GEO_PRIOR,
    INPUTS,
    LARGEST,
    MLP,
    NETWORKS,
    PRESENCE,
    SINR,
    NetworkSettings,
)

KERNEL = "kernel"
METHODS = (KERNEL, *NETWORKS)
WIDTHS = "The kernel: bandwidths, chosen on held-out cells unless told"
NETWORK = "Networks (--method sinr, geo-prior, mlp)"
_NET = {"method": NETWORKS}


def by_method(name: str) -> str:
    """The values of a setting of each network, in words."""
    return ", ".join(f"{BY_METHOD[method][name]:g} ({method})" for method in NETWORKS)


@dataclass(frozen=True)
class PlaceSettings(Selection):
    """Settings of :func:`biocosmos.jobs.train_place.train_place`."""

    rank: str | None = setting(None, "Taxa of this rank; specimens without a name there are left out.", unset="the deepest known")
    method: str = setting(
        KERNEL,
        "kernel: what was collected near by; sinr, geo-prior: presence scores of a network; mlp: shares of a small one.",
        choices=METHODS,
    )
    kilometres: float | None = setting(
        None, "How far a specimen counts (a standard deviation).", above=0, only={"method": KERNEL}, panel=WIDTHS
    )
    days: float | None = setting(
        None, "How long before and after its day of the year.", above=0, only={"method": KERNEL}, panel=WIDTHS
    )
    metres: float | None = setting(None, "How far above and below its depth.", above=0, only={"method": KERNEL}, panel=WIDTHS)
    specimens: float | None = setting(
        None,
        "How many specimens the overall shares count for, whatever was collected near by.",
        above=0,
        only={"method": KERNEL},
        panel=WIDTHS,
    )
    loss: str | None = setting(
        None, "Of sinr: all other taxa are absent, one place, or one taxon.", choices=PRESENCE, unset=AN_FULL,
        only={"method": SINR}, panel=NETWORK,
    )  # fmt: skip
    positive_weight: float | None = setting(
        None,
        "How much more a presence counts than an absence, of an-full.",
        above=0,
        unset="2048 (sinr); geo-prior: the number of taxa",
        only={"method": SINR, "loss": (None, AN_FULL)},
        panel=NETWORK,
    )
    inputs: str = setting(
        "sphere",
        "Places on the sphere, or the planar codes of the papers, in which both poles are one.",
        choices=INPUTS,
        only=_NET,
        panel=NETWORK,
    )
    rasters: str | None = setting(
        None, "A folder of GeoTIFF or NetCDF that it sees too.", file=True, unset="none", only=_NET, panel=NETWORK
    )
    width: int | None = setting(
        None, "Numbers of a vector.", above=0, high=1 << 14, unset=by_method("width"), only=_NET, panel=NETWORK
    )
    blocks: int | None = setting(None, "Residual blocks.", low=0, high=64, unset=by_method("blocks"), only=_NET, panel=NETWORK)
    dropout: float | None = setting(None, "Dropout.", low=0, below=1, unset=by_method("dropout"), only=_NET, panel=NETWORK)
    hide: float = setting(
        0.1, "Share of a batch whose place, day or depth is hidden; 0: it cannot be asked without.", low=0, below=1, only=_NET,
        panel=NETWORK,
    )  # fmt: skip
    epochs: int = setting(40, "Passes over the specimens.", above=0, only=_NET, panel=NETWORK)
    batch_size: int | None = setting(
        None,
        "Specimens of a step.",
        above=0,
        unset=f"{', '.join(f'{LARGEST[method]} ({method})' for method in NETWORKS)}, fewer of a small collection",
        only=_NET,
        panel=NETWORK,
    )
    lr: float = setting(5e-4, "Learning rate of Adam, times .98 each epoch.", above=0, only=_NET, panel=NETWORK)
    weight_decay: float | None = setting(None, "Of AdamW.", low=0, unset=by_method("weight_decay"), only=_NET, panel=NETWORK)
    held_out: float = setting(
        0.1, "Share of the cells of 0.1 degrees whose specimens choose the epoch; 0 for none.", low=0, below=1, only=_NET,
        panel=NETWORK,
    )  # fmt: skip
    patience: int | None = setting(5, "Stop after so many epochs that were no better there.", above=0, only=_NET, panel=NETWORK)
    seed: int = setting(0, "Seed of the held-out cells, and of all that is random in a training.", low=0)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1 or mps.", only=_NET, panel=NETWORK)

    def network(self, selection: str = "") -> NetworkSettings:
        """As the training of a network takes them; selection: the specimens, in words."""
        own = dict(BY_METHOD[self.method])
        for name in own:
            if getattr(self, name, None) is not None:
                own[name] = getattr(self, name)
        told: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("method", "inputs", "hide", "epochs", "batch_size", "lr", "held_out", "seed", "device")
        }
        watched = self.held_out > 0
        return NetworkSettings(
            **own,
            **told,
            rasters=self.rasters or "",
            patience=self.patience if watched else None,
            keep="best" if watched else "last",
            clip=0.0,
            precision="float32",
            selection=selection,
        )


__all__ = ["GEO_PRIOR", "KERNEL", "METHODS", "MLP", "NETWORKS", "SINR", "PlaceSettings"]
