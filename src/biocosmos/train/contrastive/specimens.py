"""The specimens that a space is learnt from, and those by which it is watched: what each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import Modality
from biocosmos.specimens.collection import Collection
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ModalRows:
    """n specimens, by ascending id: first those that are learnt from, then those that are only watched.

    collection: whose they are; ids: (n,); learnt: how many are learnt from; nodes: (n,) int64 deepest taxon, 0 for none;
    taxonomy: of the whole collection; there: of each modality (n,) bool, whether the collection has it: a picture, a barcode, a
    name; facts: counts for people.
    """

    collection: Collection
    ids: list[str]
    learnt: int
    nodes: npt.NDArray[np.int64]
    taxonomy: Taxonomy
    there: Mapping[Modality, npt.NDArray[np.bool_]]
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)
