"""What an encoder of files beside a specimen is, and where one is found by its name.

    satellite:open_clip:ViT-B-16@weights.pt     any encoder of images, over the files of the column satellite_path
    audio:clap/                                 a folder of a CLAP model as Hugging Face keeps it, over those of audio_path
    run/satellite, run/audio                    folders that 'biocosmos train bind' wrote

Nothing heavy is imported until a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import described, modality_of, tower_name
from biocosmos.errors import BiocosmosError

Vectors = npt.NDArray[np.float32]
SATELLITE, AUDIO = "satellite", "audio"
COLUMNS = {SATELLITE: "satellite_path", AUDIO: "audio_path"}
"""modality -> the stored column that names the files."""


@runtime_checkable
class FileEncoder(Protocol):
    """What :func:`load_file_encoder` gives.

    name: the string it was loaded by; dim: numbers of a vector; modality: what the files are; digest: of what it computes with,
    16 hex digits; batch_size: files of a call.
    """

    name: str
    dim: int
    modality: Literal["satellite", "audio"]
    digest: str
    batch_size: int

    def metadata(self) -> dict[str, Any]:
        """What must be known to compare rows: name, digest, dim, modality, preprocessing, precision, backend, device; and space,
        the digest of the space it is a tower of, if it is one."""

    def encode_paths(self, paths: Sequence[str]) -> tuple[Vectors, dict[int, str]]:
        """(n, dim) float32 unit vectors of n files, rows of zeros for those that cannot be read, and of these row -> why."""


def load_file_encoder(name: str, modality: str | None = None, *, device: str = "auto", precision: str = "auto") -> FileEncoder:
    """Load an encoder of satellite images or of sounds; modality: which, of a space with both.

    Raises BiocosmosError: an unknown name, a folder without such a model, another precision, a package that is not installed.
    """
    if precision not in ("auto", "float32"):
        raise BiocosmosError(
            f"encoders of satellite images and sounds compute in float32, not in {precision}: leave --precision out"
        )
    if modality is not None:
        name = tower_name(name, modality)  # type: ignore[arg-type]
    kind, _, rest = name.partition(":")
    found = modality_of(name)
    if found not in COLUMNS:
        raise BiocosmosError(
            f"encoder '{name}' is no encoder of satellite images or sounds: write satellite:NAME or audio:FOLDER"
        )
    if kind in COLUMNS and not rest:
        raise BiocosmosError(f"'{name}' names no encoder: write satellite:NAME of one of images, or audio:FOLDER of a CLAP model")
    from biocosmos.encoders.beside.projected import is_projected, load_projected_files

    folder = Path(rest if kind in COLUMNS else name).expanduser()
    if is_projected(described(folder)):
        return load_projected_files(str(folder), device=device)
    if found == SATELLITE:
        from biocosmos.encoders.beside.satellite import SatelliteEncoder

        return SatelliteEncoder(name, rest, device=device)
    from biocosmos.encoders.beside.audio import ClapEncoder

    return ClapEncoder(name, folder, device=device)
