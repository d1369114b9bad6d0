"""A network over places as a prior: presence scores of SINR and geo_prior, or shares where it was trained by a softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.places.taxa import SOFTMAX, TaxonModel, load_taxon_model, log_chances, save_taxon_model
from biocosmos.places import Places

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NetworkPrior:
    """See :class:`biocosmos.identify.priors.prior.Prior`."""

    model: TaxonModel

    @property
    def taxa(self) -> tuple[str, ...]:
        """Their paths."""
        return self.model.taxa

    @property
    def learnt(self) -> npt.NDArray[np.object_]:
        """Ids of the specimens it was fitted on."""
        return self.model.learnt

    @property
    def presence(self) -> bool:
        """Scores are chances of being there at all, each for itself."""
        return self.model.loss != SOFTMAX

    @cached_property
    def base(self) -> Float64:
        """(C,) π."""
        return np.asarray(self.model.counts / self.model.counts.sum())

    def known(self, places: Places) -> npt.NDArray[np.bool_]:
        """See :class:`biocosmos.identify.priors.prior.Prior`."""
        return self.model.known(places)

    def shares(self, places: Places) -> Float64:
        """(n, C) float64 presence scores, or shares whose rows sum to 1; ``base`` where too little is known of a place."""
        return self._known(places, torch.sigmoid if self.presence else lambda logits: torch.softmax(logits, 1))

    def chances(self, places: Places) -> Float64:
        """(n, C) float64 shares whose rows sum to 1, also of presence scores: see
        :func:`biocosmos.encoders.places.taxa.log_chances`."""
        base = torch.from_numpy(self.base)
        return self._known(places, lambda logits: log_chances(logits, self.model.loss, self.model.weight, base).exp())

    def _known(self, places: Places, what: Callable[[torch.Tensor], torch.Tensor]) -> Float64:
        found = np.tile(self.base, (len(places), 1))
        there = np.flatnonzero(self.known(places))
        if len(there):
            found[there] = what(torch.from_numpy(self.model.logits(places.take(there)))).numpy()
        return found

    def save(self, folder: str | Path) -> Path:
        """See :class:`biocosmos.identify.priors.prior.Prior`."""
        save_taxon_model(folder, self.model, training=self.model.facts)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> NetworkPrior:
        """Read what :meth:`save` wrote. Raises BiocosmosError for a missing or broken file."""
        return cls(load_taxon_model(folder))
