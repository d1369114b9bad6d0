"""What towers of places and environments share: what they take of any place, so that negatives may be drawn anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.places import Places
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.placed import places_of
from biocosmos.train.batches.drawing import Rows

_TRIES = 20


class Placed(ABC):
    """A tower of places. places: of all rows, nan where not known; there: (n,) bool; learnt: how many rows are learnt from."""

    places: Places
    there: npt.NDArray[np.bool_]
    learnt: int

    @abstractmethod
    def of_places(self, places: Places) -> torch.Tensor:
        """(m, ...) what the module takes of m places; rows of which :meth:`good` is false where nothing is known there."""

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """See :class:`biocosmos.train.contrastive.towers.source.TowerSource`; places are not changed at random."""
        return self.of_places(self.places.take(rows))

    def anywhere(self, count: int, generator: torch.Generator, *, flat: bool = False) -> torch.Tensor:
        """Of points anywhere on earth, even on the sphere, or (flat, as TaxaBind has it) even in degrees; day and depth are those
        of specimens. Where too few points are known, places of specimens fill up."""
        rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
        known = np.flatnonzero(self.there[: self.learnt])
        found: list[torch.Tensor] = []
        missing = count
        for _ in range(_TRIES):
            drawn = self.places.take(rng.choice(known, missing))
            sine = rng.uniform(-1, 1, missing)
            latitude = rng.uniform(-90, 90, missing) if flat else np.degrees(np.arcsin(sine))
            inputs = self.of_places(replace(drawn, latitude=latitude, longitude=rng.uniform(-180, 180, missing)))
            good = self.good(inputs)
            found.append(inputs[good])
            missing -= int(good.sum())
            if not missing:
                return torch.cat(found)
        found.append(self.of_places(self.places.take(rng.choice(known, missing))))
        return torch.cat(found)

    def good(self, inputs: torch.Tensor) -> torch.Tensor:
        """(m,) bool: something is known there."""
        return torch.ones(len(inputs), dtype=torch.bool)


def places_of_rows(collection: Collection, ids: list[str]) -> Places:
    """The places of specimens, in this order."""
    return places_of(collection, ids)[1]
