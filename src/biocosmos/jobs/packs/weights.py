"""The folder of an encoder, as it goes into a pack, and the digest by which it is known again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biocosmos.encoders.modality import TRAINED
from biocosmos.encoders.model_folder import CARD
from biocosmos.errors import BiocosmosError
from biocosmos.facts import read_facts
from biocosmos.files import is_file, is_folder
from biocosmos.specimens.packs.layout import is_pack_path

_SHAPE = {"digest": str, "frozen?": bool, "files?": [str], "base?": {}}
_ALLOWED = (".safetensors", ".json", ".txt", ".md", ".model")
"""What a file of an encoder may end in: weights that are data, descriptions and vocabularies."""


def description(folder: Path) -> dict[str, Any] | None:
    """What a folder says of the encoder in it; None for a folder that this package did not write."""
    if not is_file(folder / TRAINED):
        return None
    return read_facts(folder / TRAINED, _SHAPE, what="the description of a trained encoder", remedy="train it again")


def digest_of(name: str) -> str | None:
    """The digest of the encoder in a folder; of one that another tool wrote it is loaded for that. None where there is none."""
    if not is_folder(name):
        return None
    facts = description(Path(name))
    if facts is not None:
        return str(facts["digest"])
    from biocosmos.encoders.registry import load_encoder

    return str(load_encoder(name).metadata()["digest"])


def encoder_files(folder: Path) -> list[str]:
    """The files of an encoder that stands by itself in its folder.

    Raises BiocosmosError for a name that is no folder's, for one that lies upon another encoder, for a tower that needs others
    beside it, and where there are no weights as safetensors: other files of weights may hold code.
    """
    if not is_folder(folder):
        raise BiocosmosError(f"--weights puts the folder of an encoder into a pack, and {folder} is none: leave it out")
    facts = description(folder)
    if facts is not None and (facts.get("frozen") or "files" not in facts):
        raise BiocosmosError(f"{folder} is a part of an encoder, which needs others beside it: leave --weights out")
    there = sorted(each.name for each in folder.iterdir() if is_file(each) and each.name.endswith(_ALLOWED))
    names = there if facts is None else list(dict.fromkeys([*facts["files"], TRAINED, CARD]))
    for name in names:
        if not name.endswith(_ALLOWED) or not is_pack_path(name) or not is_file(folder / name):
            raise BiocosmosError(f"{folder / name} is missing, or no file of weights as data: a pack holds safetensors alone")
    if not any(name.endswith(".safetensors") for name in names):
        raise BiocosmosError(f"{folder} has no weights as safetensors: a pack holds no others, leave --weights out")
    return names
