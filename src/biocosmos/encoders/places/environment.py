"""The environment at a place as an encoder: what rasters say there, scaled, and a network over it where one was trained.

    environment:rasters/             nothing is learnt: a Gaussian kernel over the scaled values
    environment:rasters/@taxabind/   a network over the bands of these rasters: TaxaBind's, or a folder that was trained here
    run/environment                  a folder that was trained here, which remembers where its rasters are
    environment:rasters/!published   as published: what no raster knows is 0, the mean over land, also at sea

A band is scaled to mean 0 and deviation 1 over its cells. A place where a band has no value (sea, no data, off the grid) has no
vector, and it is said which band that was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from biocosmos.encoders.places.encoder import PLACE, PLACES_AT_ONCE, Vectors
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.errors import BiocosmosError
from biocosmos.nn.location.environment import ResidualNet
from biocosmos.places import Places
from biocosmos.places.rasters.folder import METHODS, Rasters
from biocosmos.places.rasters.raster import Array
from biocosmos.provenance import encoder_name

FREQUENCIES, SEED = 512, 0
PUBLISHED = "!published"


@dataclass(frozen=True, eq=False)
class Environment:
    """What is read at a place.

    rasters: of a user; mean, deviation: (bands,) float64, of each; method: "nearest", or "bilinear"; zeros: what is not known is
    0, as TaxaBind and SINR have it, and else nan.
    """

    rasters: Rasters
    mean: Array
    deviation: Array
    method: str = "nearest"
    zeros: bool = False

    @classmethod
    def of(cls, folder: str | Path, *, method: str = "nearest", zeros: bool = False) -> Environment:
        """Of the rasters in a folder. Raises BiocosmosError as :class:`Rasters` does, and for an unknown method."""
        if method not in METHODS:
            raise BiocosmosError(f"rasters are not read by '{method}': choose {' or '.join(METHODS)}")
        rasters = Rasters(folder)
        return cls(rasters, *rasters.spread(), method=method, zeros=zeros)

    def at(self, places: Places) -> Array:
        """(n, bands) float32 scaled values; nan where not known, or 0 with ``zeros``."""
        values = (self.rasters.at(places.latitude, places.longitude, self.method) - self.mean) / self.deviation
        if self.zeros:
            values[~np.isfinite(values) & np.asarray(places.has_place)[:, None]] = 0.0
        return values.astype(np.float32)

    def as_dict(self) -> dict[str, Any]:
        """For the facts of a column, and of a folder."""
        return {
            "bands": list(self.rasters.bands),
            "mean": np.round(self.mean, 9).tolist(),
            "deviation": np.round(self.deviation, 9).tolist(),
            "method": self.method,
            "unknown": "zero" if self.zeros else "none",
        }


class EnvironmentEncoder:
    """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`. network: over the scaled bands; None for a Gaussian kernel,
    in which two places differ as much as their bands do on average: exp(-mean((z - z')²)/2).

    Raises BiocosmosError for a network over another number of bands.
    """

    modality: Literal["place", "environment"] = "environment"
    batch_size = PLACES_AT_ONCE
    takes: tuple[str, ...] = (PLACE,)

    def __init__(
        self, name: str, environment: Environment, network: ResidualNet | None = None, device: str = "auto", source: str = ""
    ) -> None:
        self.name, self.environment, self.network, self.source = encoder_name(name), environment, network, source
        bands = len(environment.rasters.bands)
        if network is not None and network.inputs != bands:
            raise BiocosmosError(
                f"'{name}' takes {network.inputs} values, and the rasters in {environment.rasters.folder} have {bands} bands: "
                "give it those it was trained on, in their order"
            )
        self.device = torch.device("cpu" if network is None else choose_device(device))
        told = json.dumps(environment.as_dict(), sort_keys=True)
        if network is None:
            frequencies = np.random.default_rng(SEED).standard_normal((bands, FREQUENCIES))
            self._frequencies = frequencies / np.sqrt(bands)
            self.dim = 2 * FREQUENCIES
            of = f"random Fourier features, {FREQUENCIES}, seed {SEED}"
        else:
            network.eval().to(self.device)
            self.dim, of = network.dim, weights_digest(plain_state(network))
        self.digest = hashlib.sha256(f"{of} {told}".encode()).hexdigest()[:DIGEST_LENGTH]

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": {"takes": list(self.takes), "environment": self.environment.as_dict()},
            "source": self.source or "a Gaussian kernel over scaled rasters",
            "precision": "float32",
            "backend": "numpy" if self.network is None else "torch",
            "device": self.device.type,
            **space_facts(self.name, self.digest),
        }

    @torch.no_grad()
    def encode_places(self, places: Places) -> Vectors:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        values = self.environment.at(places)
        there = np.flatnonzero(np.isfinite(values).all(axis=1))
        vectors = np.zeros((len(places), self.dim), np.float32)
        if not len(there):
            return vectors
        if self.network is None:
            phase = values[there] @ self._frequencies
            vectors[there] = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / np.sqrt(FREQUENCIES)
            return vectors
        from biocosmos.encoders.projected import unit_rows

        vectors[there] = unit_rows(self.network, torch.from_numpy(values[there]).to(self.device))
        return vectors

    def reasons(self, places: Places) -> list[str]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        known = np.isfinite(self.environment.at(places))
        bands = self.environment.rasters.bands
        return [_why([band for band, there in zip(bands, row) if not there], len(bands)) for row in known]


def _why(lacking: list[str], bands: int) -> str:
    if not lacking:
        return "the network gives no vector here"
    which = (
        "no raster has" if len(lacking) == bands else f"{', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''} lacks"
    )
    return f"{which} a value here (sea, no data, or off the grid)"


def load_environment(rest: str, *, device: str = "auto") -> EnvironmentEncoder:
    """What "environment:REST" names: FOLDER, FOLDER@NETWORK, either with !published. Raises BiocosmosError for rasters or a
    network that cannot be read."""
    spelled, published = rest.removesuffix(PUBLISHED), rest.endswith(PUBLISHED)
    folder, _, network = spelled.partition("@")
    if not folder:
        raise BiocosmosError("environment: name a folder of rasters behind it, such as environment:rasters/")
    name = f"environment:{Path(folder).as_posix()}{f'@{Path(network).as_posix()}' if network else ''}{PUBLISHED * published}"
    if not network:
        return EnvironmentEncoder(name, Environment.of(folder, zeros=published))
    from biocosmos.encoders.places.environment_models import load_over

    return load_over(name, folder, network, zeros=published, device=device)
