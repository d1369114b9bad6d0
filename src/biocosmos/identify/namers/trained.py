"""What every namer has that was trained and lies in a folder: over the ranks, over attributes, or over both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.views import view
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namer import Namer, Takes
from biocosmos.identify.namers.head_model import HeadModel

BLOCK, CPU_BLOCK = 64, 16
"""Images that go through the model at once; on a CPU fewer, so that maps stay in its caches (a third faster at 96 pixels)."""


class TrainedNamer(Namer):
    """A namer out of a folder. A child sets the attributes.

    folder: where it lies; model: in evaluation mode; preprocessing: of images, for a head on stored vectors those of their
    encoder; facts: what the description in the folder says; device: where it computes; views: of each image, which are averaged.
    """

    folder: Path
    model: HeadModel
    preprocessing: Preprocessing
    facts: dict[str, Any]
    device: torch.device
    views: int

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those whose records say what it has seen."""
        return (self.folder,)

    @property
    def takes(self) -> Takes:  # type: ignore[override]
        """Vectors for a frozen head, images for others."""
        return "vectors" if self.frozen else "images"

    @property
    def wants_sizes(self) -> bool:  # type: ignore[override]
        """Whether it wants the height and width of each image."""
        return bool(self.facts["sizes"])

    @property
    def learnt(self) -> npt.NDArray[np.object_]:  # type: ignore[override]
        """Ids of the specimens it was trained on, as far as its folder says."""
        return np.array(self.facts["training"].get("ids", []), object)

    @property
    def frozen(self) -> bool:
        """Whether it takes stored vectors."""
        return bool(self.facts["frozen"])

    @property
    def encoder(self) -> str:
        """The encoder whose vectors a frozen head takes; the one that training began from otherwise."""
        return str(self.facts["encoder"]["name"])

    @property
    def digest(self) -> str:
        """Of weights, what they answer and the encoder's weights, 16 hex digits."""
        return str(self.facts["digest"])

    def at_once(self, count: int) -> int:
        """How many of ``count`` specimens go through the model together."""
        return max(1, count) if self.frozen else CPU_BLOCK if self.device.type == "cpu" else BLOCK

    def views_of(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """What the model looks at: the inputs, or so many turned and mirrored views of images."""
        return [inputs] if self.views == 1 else [view(inputs, number) for number in range(self.views)]

    def of_folder(self) -> dict[str, Any]:
        """What a table of answers says of any of them: where it lies, what it stands on, how it was trained and asked."""
        return {
            "folder": str(self.folder),
            "digest": self.digest,
            "encoder": self.facts["encoder"],
            "frozen": self.frozen,
            "training_settings": self.facts["training"].get("settings", {}),
            "preprocessing": self.facts["preprocessing"],
            "biocosmos": self.facts["biocosmos"],
            "views": self.views,
        }

    def refuse_views_of_vectors(self, views: int) -> None:
        """Raise BiocosmosError for more than one view of stored vectors, which are of one."""
        if views > 1 and self.frozen:
            raise BiocosmosError(
                f"the head in {self.folder} takes stored vectors, which are of one view: leave --views out, "
                "or train without --freeze"
            )


def refuse_unknown_options(path: Path, options: Mapping[str, Any], shape: Mapping[str, Any]) -> None:
    """Raise BiocosmosError for an option in the description ``path`` that is not in the shape of options."""
    if unknown := sorted(set(options) - {key.removesuffix("?") for key in shape}):
        raise BiocosmosError(f"{path} has an option '{unknown[0][:40]}' that no head takes: restore it, or train again")
