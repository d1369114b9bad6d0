"""An encoder of satellite images or sounds under a projection: what ``biocosmos train bind`` leaves of it.

Its folder (:mod:`biocosmos.encoders.projected`) is of kind "satellite" or "audio".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from biocosmos.encoders.beside.encoder import AUDIO, SATELLITE, FileEncoder, Vectors, load_file_encoder
from biocosmos.encoders.model_folder import card_text
from biocosmos.encoders.projected import NETWORK, Projected, load_projected, save_projected
from biocosmos.nn.projection import Projection


class ProjectedFiles(Projected[FileEncoder]):
    """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""

    def __init__(self, name: str, base: FileEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        super().__init__(name, base, projection, device, source)
        self.modality: Literal["satellite", "audio"] = base.modality

    def encode_paths(self, paths: Sequence[str]) -> tuple[Vectors, dict[int, str]]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
        rows, why = self.base.encode_paths(paths)
        return self.project(rows), why


def is_projected(facts: Mapping[str, Any]) -> bool:
    """Whether the description of a folder says that it holds such an encoder."""
    return facts.get("network") == NETWORK and facts.get("kind") in (SATELLITE, AUDIO)


def save_projected_files(
    folder: str | Path, base: FileEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
) -> str:
    """See :func:`biocosmos.encoders.projected.save_projected`."""
    return save_projected(folder, base.modality, base, projection, _card, training=training, own_base=own_base)


def load_projected_files(name: str, *, device: str = "auto") -> ProjectedFiles:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    return load_projected(
        name,
        (SATELLITE, AUDIO),
        lambda kind, place: load_file_encoder(_called(kind, place), device=device),
        ProjectedFiles,
        device=device,
        what="the description of an encoder of satellite images or sounds",
        remedy="restore it, or train it again",
    )


def _called(kind: str, place: str) -> str:
    return place if place.partition(":")[0] == kind else f"{kind}:{place}"


def _card(name: str, facts: Mapping[str, Any]) -> str:
    return card_text(
        name,
        facts,
        tags=(facts["kind"],),
        default="An encoder that was bound to another with biocosmos.",
        weights=f", over '{facts['base']['name']}'",
        advice="Similar vectors are a reason to look, not an identification.",
    )


__all__ = ["ProjectedFiles", "is_projected", "load_projected_files", "save_projected_files"]
