"""The contract of a prior of places, and where one is read from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import described
from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file
from biocosmos.places import Places

Float64 = npt.NDArray[np.float64]
NETWORK, BEGUN = "taxa", "settings.toml"
"""What a network over places is called in the description of its folder, and what a training leaves first."""


@runtime_checkable
class Prior(Protocol):
    """Shares of C taxa at places.

    taxa: their paths, "Animalia/Arthropoda/.../Calanus", as a collection's taxonomy finds them; base: (C,) float64 shares of the
    specimens it was fitted on, sums to 1; learnt: ids of these; presence: scores are chances of being there at all, each for
    itself (SINR), in place of shares that sum to 1.
    """

    @property
    def taxa(self) -> tuple[str, ...]: ...

    @property
    def base(self) -> Float64: ...

    @property
    def learnt(self) -> npt.NDArray[np.object_]: ...

    @property
    def presence(self) -> bool: ...

    def known(self, places: Places) -> npt.NDArray[np.bool_]:
        """(n,) whether anything is known of a place that it looks at, and enough; of others it says ``base``."""
        ...

    def shares(self, places: Places) -> Float64:
        """(n, C) float64; a row of what is not :meth:`known` is ``base``."""
        ...

    def chances(self, places: Places) -> Float64:
        """(n, C) float64 whose rows sum to 1: ``shares``, or of presence scores what they say of the next specimen there."""
        ...

    def save(self, folder: str | Path) -> Path:
        """Write it into a folder that :func:`load_prior` reads."""
        ...


def load_prior(folder: str | Path) -> Prior:
    """The prior that a folder holds.

    Raises:
        BiocosmosError: no such folder, none of a prior, or a damaged one.
    """
    from biocosmos.places.kernel import KERNEL, KernelPrior

    path = Path(folder).expanduser()
    if is_file(path / KERNEL):
        return KernelPrior.load(path)
    if described(path).get("network") == NETWORK:
        from biocosmos.identify.priors.network import NetworkPrior

        return NetworkPrior.load(path)
    if is_file(path / BEGUN):
        raise BiocosmosError(f"the training of {path} has not ended: run the same 'biocosmos train place' again, it goes on")
    raise BiocosmosError(f"{path} holds no prior of places: make one with 'biocosmos train place mine.cosmos -o {path}'")
