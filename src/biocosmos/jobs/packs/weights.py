"""The folder of a trained encoder, as it goes into a pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biocosmos.encoders.modality import TRAINED
from biocosmos.encoders.model_folder import CARD
from biocosmos.errors import BiocosmosError
from biocosmos.facts import read_facts
from biocosmos.files import is_file

_SHAPE = {"digest": str, "frozen?": bool, "files?": [str], "base?": {}}
_ALLOWED = (".safetensors", ".json", ".txt", ".md", ".model")
"""What a file of an encoder may end in: weights that are data, descriptions and vocabularies."""


def description(folder: Path) -> dict[str, Any] | None:
    """What a folder says of the encoder in it; None for a folder of none of ours."""
    if not is_file(folder / TRAINED):
        return None
    return read_facts(folder / TRAINED, _SHAPE, what="the description of a trained encoder", remedy="train it again")


def encoder_files(folder: Path) -> list[str]:
    """The files of a trained encoder that stands by itself.

    Raises BiocosmosError for one that lies upon another, for one of several towers, and for files that might hold code.
    """
    facts = description(folder)
    if facts is None:
        raise BiocosmosError(f"--weights puts the folder of a trained encoder into a pack, and {folder} is none: leave it out")
    if facts.get("frozen") or "files" not in facts:
        raise BiocosmosError(f"{folder} is a part of an encoder, which needs others beside it: leave --weights out")
    names = list(dict.fromkeys([*facts["files"], TRAINED, CARD]))
    for name in names:
        if not name.endswith(_ALLOWED) or not is_file(folder / name):
            raise BiocosmosError(f"{folder / name} is missing, or no file of weights as data: a pack holds safetensors alone")
    return names
