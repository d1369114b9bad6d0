"""Networks that say of a place which taxa are there, SINR's and geo_prior's: priors, whose vectors are an encoder of places.

    prior/                   a folder that 'biocosmos train place --method sinr' (geo-prior, mlp) wrote; place:prior/ is the same

A folder holds ``biocosmos.json`` (kind "place", network "taxa"), ``model.safetensors``, ``taxa.npz`` and a model card. Cole et
al., Spatial Implicit Neural Representations for Global-Scale Species Mapping, 2023; Mac Aodha et al., Presence-Only Geographical
Priors, 2019.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.arrays import read_arrays
from biocosmos.encoders.modality import TRAINED, described
from biocosmos.encoders.model_folder import CARD, card_text, describe, refuse_changed_weights, save_weights
from biocosmos.encoders.places.encoder import DAY, DEPTH, PLACE, known
from biocosmos.encoders.places.environment import Environment
from biocosmos.encoders.places.environment_models import RASTERS, remembered_rasters, told_rasters
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.encoders.weights import filled, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, read_facts
from biocosmos.nn.place.inputs import depth_inputs, place_inputs, season_inputs
from biocosmos.nn.place.network import PlaceNetwork
from biocosmos.places import Places, on_sphere
from biocosmos.tables import replacing

FORMAT = 1
TAXA = "taxa"
"""What the description calls such a network."""
WEIGHTS, ARRAYS = "model.safetensors", "taxa.npz"
SOFTMAX, AN_FULL, SSDL, SLDS = "softmax", "an-full", "ssdl", "slds"
LOSSES = (SOFTMAX, AN_FULL, SSDL, SLDS)
LEAST_RADIUS = 1e-5
"""Sixty metres: of specimens of one place."""
FAR = 5.0
"""Radii of the specimens beyond which it matters less and less how far away a place is."""
AT_ONCE = 1 << 14
"""Places that go through the network at once."""

Float64 = npt.NDArray[np.float64]
_WHOLE = Number(1, 1 << 20, whole=True)
_SHAPE = {
    "format": FORMAT,
    "kind": PLACE,
    "network": TAXA,
    "digest": str,
    "shape": {
        "width": _WHOLE,
        "blocks": Number(0, 256, whole=True),
        "published": bool,
        "season": bool,
        "depth": bool,
        "partial": bool,
        "centre": [Number()],
        "radius": Number(LEAST_RADIUS),
        "loss": LOSSES,
        "weight": Number(0),
    },
    "rasters": (None, RASTERS),
    "files": [FILE_NAME],
    "training": {},
}
_TOLD = {
    "what": "the description of a network over places",
    "remedy": "restore it, or make it with 'biocosmos train place'",
}
_WHERE = "bring those it was trained on back there, or beside it as they stood"
_KINDS = {"taxa": ("U", 1), "counts": ("iuf", 1), "learnt": ("U", 1)}


@dataclass(frozen=True)
class Seen:
    """What a network sees of a place, and in which numbers.

    published: the planar codes of the papers, in which both poles are one point, in place of points of the sphere; season, depth:
    it takes them; partial: it was trained with places, days and depths hidden now and then, so that it may be asked without.
    centre, radius: of the specimens that were learnt from, on the unit sphere: beside where a place is on earth stands where it
    is among them, since those of one country differ by hundredths on the sphere; unused as published.
    """

    published: bool = False
    season: bool = True
    depth: bool = False
    partial: bool = True
    centre: tuple[float, ...] = (0.0, 0.0, 0.0)
    radius: float = 1.0

    @staticmethod
    def extent(places: Places) -> tuple[tuple[float, ...], float]:
        """Centre and radius of those of the places that are known: their mean, and the root of their mean squared distance."""
        points = on_sphere(places.latitude, places.longitude)[places.has_place]
        if not len(points):
            return (0.0, 0.0, 0.0), 1.0
        centre = points.mean(0)
        radius = float(np.sqrt(((points - centre) ** 2).sum(1).mean() / 3))
        return tuple(float(value) for value in centre), max(radius, LEAST_RADIUS)

    def among(self, places: Places) -> Float64:
        """(n, 3) where places are among the specimens learnt from, in radii, drawn in where they are far; 0 where not known."""
        apart = (on_sphere(places.latitude, places.longitude) - np.array(self.centre)) / self.radius
        drawn = apart / np.sqrt(1 + (apart**2).sum(1, keepdims=True) / FAR**2)
        return np.asarray(np.nan_to_num(drawn, nan=0.0))


@dataclass(eq=False)
class TaxonModel:
    """A network over places and C taxa, on the CPU in float32.

    whole: inputs -> logits; loss: one of :data:`LOSSES`; weight: λ of "an-full"; taxa: paths; counts: (C,) float64 specimens of
    each that were learnt from; learnt: their ids; environment: of rasters, None without; facts: about the training.
    """

    whole: PlaceNetwork
    seen: Seen
    loss: str
    weight: float
    taxa: tuple[str, ...]
    counts: Float64
    learnt: npt.NDArray[np.object_]
    environment: Environment | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    source: str = "a network over places and taxa"
    kind: str = TAXA

    @property
    def network(self) -> nn.Module:
        """inputs -> vectors."""
        return self.whole.body

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.whole.taxa.in_features)

    @property
    def takes(self) -> tuple[str, ...]:
        """What must be known of a place for a vector."""
        return (PLACE, DAY) if self.seen.season and not self.seen.partial else (PLACE,)

    @property
    def digest(self) -> str:
        """Of the weights, and of what they see."""
        rasters = None if self.environment is None else self.environment.as_dict()
        how = json.dumps([vars(self.seen), self.loss, self.weight, list(self.taxa), rasters], sort_keys=True)
        return hashlib.sha256(f"{weights_digest(plain_state(self.whole))} {how}".encode()).hexdigest()[:DIGEST_LENGTH]

    def inputs(self, places: Places) -> torch.Tensor:
        """(n, inputs) float32 of n places: see :func:`seen_of`."""
        return seen_of(places, self.seen, self.environment)

    def known(self, places: Places) -> npt.NDArray[np.bool_]:
        """(n,) whether enough is known of a place to ask."""
        if not self.seen.partial:
            return known(places, self.takes)
        return places.has_place | (self.seen.season & places.has_day) | (self.seen.depth & np.isfinite(places.depth))

    @torch.no_grad()
    def logits(self, places: Places) -> Float64:
        """(n, C) float64."""
        self.whole.eval()
        inputs = self.inputs(places)
        found = [self.whole(inputs[at : at + AT_ONCE]) for at in range(0, len(inputs), AT_ONCE)]
        return np.asarray(torch.cat(found).double().numpy()) if found else np.zeros((0, len(self.taxa)))


def seen_of(places: Places, seen: Seen, environment: Environment | None) -> torch.Tensor:
    """(n, inputs) float32: place, season, depth, scaled rasters (between cells), side by side; zeros for what is not known."""
    parts = [place_inputs(places.latitude, places.longitude, published=seen.published)]
    if not seen.published:
        parts.append(seen.among(places))
    if seen.season:
        parts.append(season_inputs(places.day, published=seen.published))
    if seen.depth:
        parts.append(depth_inputs(places.depth))
    if environment is not None:
        parts.append(np.nan_to_num(environment.at(places).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0))
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def parts_of(seen: Seen, bands: int) -> dict[str, list[slice]]:
    """What of a place -> the columns of :func:`seen_of` that say it; bands: of the rasters, which say where it is too."""
    place = 4 if seen.published else 6
    season = (2 if seen.published else 4) * seen.season
    depth = 2 * seen.depth
    end = place + season + depth
    columns = {
        PLACE: [slice(0, place), slice(end, end + bands)],
        DAY: [slice(place, place + season)],
        DEPTH: [slice(place + season, end)],
    }
    return {what: [each for each in slices if each.stop > each.start] for what, slices in columns.items()}


def log_chances(logits: torch.Tensor, loss: str, weight: float, base: torch.Tensor) -> torch.Tensor:
    """(n, C) log shares of the taxa among what is collected at each place, from what the loss makes of the logits.

    Presence scores are no shares: with "an-full" a score tends to p_c = λf_c / (λf_c + f - f_c + u), where f_c is how densely
    taxon c was collected there, f the sum, u the density of the random places. So f_c ∝ sigmoid(logit - log λ); with "slds" the
    same with λ = C - 1; with "ssdl", p_c = f_c / (f_c + π_c u), f_c ∝ π_c exp(logit). base: (C,) π.
    """
    if loss == SOFTMAX:
        return torch.log_softmax(logits, 1)
    if loss == SSDL:
        return torch.log_softmax(logits + torch.log(base), 1)
    odds = weight if loss == AN_FULL else float(max(logits.shape[1] - 1, 1))
    return torch.log_softmax(nn.functional.logsigmoid(logits - float(np.log(odds))), 1)


def is_of_taxa(folder: str | Path) -> bool:
    """Whether a folder describes itself as such a network."""
    return described(Path(folder).expanduser()).get("network") == TAXA


def save_taxon_model(folder: str | Path, model: TaxonModel, *, training: Mapping[str, Any]) -> str:
    """Write the network as a folder that is a prior and an encoder of places; returns its digest.

    Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, WEIGHTS, model.whole)
    with replacing(folder / ARRAYS) as temporary, temporary.open("wb") as file:
        np.savez(file, taxa=np.array(model.taxa, np.str_), counts=model.counts, learnt=model.learnt.astype(np.str_))
    facts = {
        "format": FORMAT,
        "kind": PLACE,
        "network": TAXA,
        "digest": model.digest,
        "dim": model.dim,
        "shape": {
            "width": model.dim,
            "blocks": len(model.whole.body) - 2,
            **vars(model.seen) | {"centre": list(model.seen.centre)},
            "loss": model.loss,
            "weight": model.weight,
        },
        "rasters": None if model.environment is None else told_rasters(folder, model.environment),
        "files": [WEIGHTS, ARRAYS, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def load_taxon_model(folder: str | Path) -> TaxonModel:
    """Read what :func:`save_taxon_model` wrote. Raises BiocosmosError where it is missing, damaged or was changed, or where the
    rasters that it reads are."""
    folder = Path(folder).expanduser()
    facts = read_facts(folder / TRAINED, _SHAPE, **_TOLD)
    shape = facts["shape"]
    stored = read_arrays(folder / ARRAYS, _KINDS, what="the taxa of a prior", remedy=_TOLD["remedy"])
    taxa, counts = tuple(stored["taxa"].tolist()), stored["counts"].astype(np.float64)
    if len(taxa) != len(counts) or not len(taxa) or not ((counts > 0) & np.isfinite(counts)).all():
        raise BiocosmosError(f"{folder / ARRAYS} is damaged (its parts do not fit together): {_TOLD['remedy']}")
    told = {name: shape[name] for name in ("published", "season", "depth", "partial", "radius")}
    if len(shape["centre"]) != 3:
        raise BiocosmosError(f"{folder / TRAINED} is damaged (a centre has three numbers): {_TOLD['remedy']}")
    seen = Seen(**told, centre=tuple(shape["centre"]))
    environment = None if facts["rasters"] is None else remembered_rasters(folder, facts["rasters"], remedy=_WHERE)
    bands = 0 if environment is None else len(environment.rasters.bands)
    inputs = sum(each.stop - each.start for slices in parts_of(seen, bands).values() for each in slices)

    def build() -> PlaceNetwork:
        return PlaceNetwork(inputs, len(taxa), width=shape["width"], blocks=shape["blocks"])

    whole = filled(build, read_weights(folder / WEIGHTS), folder / WEIGHTS).eval()
    what = str(facts["training"].get("what") or "a network over places and taxa")
    learnt = stored["learnt"].astype(object)
    model = TaxonModel(whole, seen, shape["loss"], shape["weight"], taxa, counts, learnt, environment, facts["training"], what)
    refuse_changed_weights(folder, model.digest, facts)
    return model


def _card(name: str, facts: Mapping[str, Any]) -> str:
    shape = facts["shape"]
    reads = ["latitude and longitude (WGS84)", *([DAY] if shape["season"] else []), *([DEPTH] if shape["depth"] else [])]
    return card_text(
        name,
        facts,
        tags=("place", "prior"),
        default="A prior of places trained with biocosmos.",
        weights="",
        reads=", ".join([*reads, *(["rasters"] if facts["rasters"] else [])]),
        advice="It is a prior too: it knows where specimens were collected, which is not where taxa live.",
    )


__all__ = [
    "LOSSES",
    "Seen",
    "TaxonModel",
    "is_of_taxa",
    "load_taxon_model",
    "log_chances",
    "parts_of",
    "save_taxon_model",
    "seen_of",
]
