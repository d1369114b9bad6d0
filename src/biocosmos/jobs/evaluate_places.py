"""evaluate --protocol place: priors of places on held-out cells, and on rows beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.held_out_places import held_out_places
from biocosmos.evaluate.held_out_places.report import Fit, Shares
from biocosmos.evaluate.report import Report
from biocosmos.identify.priors.choosing import fit
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.place_settings import KERNEL, PlaceSettings
from biocosmos.jobs.train_place import placed_specimens
from biocosmos.places import Places
from biocosmos.settings import names_in
from biocosmos.specimens.collection import Collection


def judge_places(collection: Collection, settings: EvaluateSettings) -> Report:
    """Fit each way of ``place_method`` on specimens that say where or when, without held-out ones, and judge it on those.

    Nothing that is trained here is kept. Raises BiocosmosError as :func:`held_out_places` and as a training does.
    """
    told = PlaceSettings(rank=settings.place_rank, where=settings.where, device=settings.device, seed=settings.seed)
    found = placed_specimens(collection, told)
    names, numbers, counts = np.unique(found.taxa.astype(str), return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[numbers.reshape(-1)] >= settings.place_least)
    if not len(kept):
        raise BiocosmosError(
            f"no taxon of {len(names):,} has {settings.place_least} specimens with a place or a date: "
            "lower --place-least, or name a higher --place-rank"
        )
    fits = {name: way(replace(told, method=name)) for name in names_in(settings.place_method)}
    report = held_out_places(
        found.taxa[kept],
        found.places.take(kept),
        fits,
        title=f"{collection.path.stem}: priors of places",
        seeds=settings.place_seeds,
        seed=settings.seed,
        provenance={"collection": collection.path.name, "where": settings.where, "rank": settings.place_rank},
    )
    if len(kept) < len(found.taxa):
        rare, lost = int((counts < settings.place_least).sum()), len(found.taxa) - len(kept)
        report.caveats.append(
            f"{lost:,} specimens of {rare:,} taxa with fewer than {settings.place_least} specimens (--place-least) are left out."
        )
    return report


def way(settings: PlaceSettings) -> Fit:
    """How a prior of this method is fitted: a kernel with bandwidths of its own held-out cells, or a network in a folder that is
    gone afterwards."""
    if settings.method == KERNEL:
        return lambda taxa, places, seed: fit(taxa, places, seed=seed)
    return lambda taxa, places, seed: _network(replace(settings, seed=seed), taxa, places)


def _network(settings: PlaceSettings, taxa: np.ndarray, places: Places) -> Shares:
    from biocosmos.identify.priors.network import NetworkPrior
    from biocosmos.train.place.training import train_network

    with TemporaryDirectory() as folder:
        ids = np.arange(len(taxa)).astype(str).astype(object)
        train_network(taxa, places, ids, settings.network(), Path(folder))
        return _Whole(NetworkPrior.load(folder), taxa)


class _Whole:
    """A network's shares over all taxa that were given to it: one whose specimens all chose the epoch has none."""

    def __init__(self, prior: Shares, taxa: np.ndarray) -> None:
        self.taxa = tuple(sorted(set(taxa.tolist())))
        self._chances = prior.chances
        self._columns = [self.taxa.index(taxon) for taxon in prior.taxa]

    def chances(self, places: Places) -> np.ndarray:
        """See :class:`biocosmos.identify.priors.prior.Prior`."""
        found = np.zeros((len(places), len(self.taxa)))
        found[:, self._columns] = self._chances(places)
        return found


__all__ = ["judge_places", "way"]
