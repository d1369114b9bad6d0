"""What an encoder takes, told by its name: nothing is imported for it.

An encoder takes one modality. A *space* is a folder of several, trained together (``biocosmos train contrastive``), whose
vectors may be compared: ``run/`` holds ``run/image``, ``run/dna``, ``run/text``, each an encoder by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, cast, get_args

from biocosmos.encoders.reduction.spec import split_name, with_base
from biocosmos.files import is_file

KMER = "kmer"
TRAINED = "biocosmos.json"
"""In the folder of an encoder that this package trained, and of a space."""
CONFIG = "config.json"
BARCODE, TEXT, SPACE = "barcode", "text", "space"
"""What the description of a folder says its kind is; an encoder of images says none."""
Modality = Literal["image", "dna", "text"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
_KMER_VOCABULARIES = frozenset(size for k in range(1, 10) for size in (4**k + 2, 4**k + 3, 5**k + 2))
"""Tokens of the three published vocabularies of k-mers: biocosmos.barcodes.tokens."""


def modality_of(name: object) -> Modality:
    """What an encoder of this name, or a loaded one, takes; a look at a file at most, and "image" for what is not known.

    Of a space, what its first tower takes: images where it has such.
    """
    if not isinstance(name, str):
        told = getattr(name, "modality", None)
        return cast("Modality", told) if told in MODALITIES else "image"
    if name.partition(":")[0] == KMER:
        return "dna"
    folder = Path(split_name(name)[0])
    facts = described(folder)
    if facts.get("kind") == SPACE:
        return next(iter(_towers(facts)), "image")
    if facts.get("kind") == BARCODE or (not facts and _bert_of(folder) == "dna"):
        return "dna"
    return "text" if is_text_folder(folder) else "image"


def is_barcode_folder(folder: Path) -> bool:
    """Whether a folder holds a model of barcodes: trained here, or a BERT of k-mers."""
    return described(folder).get("kind") == BARCODE or _bert_of(folder) == "dna"


def is_text_folder(folder: Path) -> bool:
    """Whether a folder holds a model of texts alone: trained here, or a BERT of words."""
    facts = _facts(folder / TRAINED)
    return facts.get("kind") == TEXT or (not facts and _bert_of(folder) == "text")


def towers_of(name: object) -> dict[Modality, str]:
    """The encoders of a space by what they take, image, DNA, text; empty for what is no space.

    >>> towers_of("run/")
    {'image': 'run/image', 'dna': 'run/dna', 'text': 'run/text'}
    """
    if not isinstance(name, str) or name.partition(":")[0] == KMER or split_name(name)[1] is not None:
        return {}
    folder = Path(name)
    facts = described(folder)
    if facts.get("kind") != SPACE:
        return {}
    return {modality: (folder / tower).as_posix() for modality, tower in _towers(facts).items()}


def tower_name(name: str, modality: Modality = "image") -> str:
    """The encoder of this modality in a space; of a space without it, its first; the name itself for what is no space."""
    base, _ = split_name(name)
    towers = towers_of(base)
    return with_base(name, towers.get(modality) or next(iter(towers.values()), base))


def described(folder: Path) -> dict[str, Any]:
    """The description in a folder of ours, as far as it can be read; empty for what is none."""
    return _facts(folder / TRAINED)


def _towers(facts: dict[str, Any]) -> dict[Modality, str]:
    towers = facts.get("towers")
    if not isinstance(towers, dict):
        return {}
    return {modality: modality for modality in MODALITIES if modality in towers}


def _bert_of(folder: Path) -> Modality | None:
    """What a BERT of Hugging Face reads, told by its vocabulary: barcodes where it has as many tokens as there are k-mers."""
    facts = _facts(folder / CONFIG)
    if facts.get("model_type") != "bert":
        return None
    size = facts.get("vocab_size")
    return "dna" if size in _KMER_VOCABULARIES or not isinstance(size, int) else "text"


def _facts(path: Path) -> dict[str, Any]:
    """A description as far as it can be read; whoever loads the encoder says what is wrong with it."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8")) if is_file(path) else None
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
