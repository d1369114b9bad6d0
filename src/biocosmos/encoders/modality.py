"""What an encoder takes, told by its name: nothing is imported for it.

An encoder takes one modality: images, DNA barcodes, texts, places (latitude, longitude, day, depth), the environment at a place
(rasters), satellite images or sounds. A *space* is a folder of several, trained together (``biocosmos train contrastive``,
``biocosmos train bind``), whose vectors may be compared: ``run/`` holds ``run/image``, ``run/dna``, ``run/text``, ``run/place``,
each an encoder by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, cast, get_args

from biocosmos.encoders.reduction.spec import split_name, with_base
from biocosmos.files import is_file, is_folder

KMER = "kmer"
TRAINED = "biocosmos.json"
"""In the folder of an encoder that this package trained, and of a space."""
CONFIG = "config.json"
BARCODE, TEXT, SPACE = "barcode", "text", "space"
"""What the description of a folder says its kind is; an encoder of images says none."""
Modality = Literal["image", "dna", "text", "place", "environment", "satellite", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
CONTRASTED: tuple[Modality, ...] = ("image", "dna", "text")
"""Those that ``biocosmos train contrastive`` learns together."""
BOUND: tuple[Modality, ...] = ("place", "environment", "satellite", "audio")
"""Those that ``biocosmos train bind`` brings to another: kinds of folders, and what names begin with (place:15km)."""
TAKES: dict[str, str] = {
    "image": "images",
    "dna": "DNA barcodes",
    "text": "texts",
    "place": "places",
    "environment": "places, of which it reads rasters",
    "satellite": "satellite images",
    "audio": "sounds",
}
"""modality -> what an encoder of it takes, in words."""
PRIOR = "kernel.npz"
"""In the folder of a kernel prior, which is an encoder of places."""
_PUBLISHED = ("location_encoder_weights.pth", "model.safetensors")
_SATCLIP = "satclip"
_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
_LOOKED_AT = 1 << 13
_KMER_VOCABULARIES = frozenset(size for k in range(1, 10) for size in (4**k + 2, 4**k + 3, 5**k + 2))
"""Tokens of the three published vocabularies of k-mers: biocosmos.barcodes.tokens."""


def modality_of(name: object) -> Modality:
    """What an encoder of this name, or a loaded one, takes; a look at a file at most, and "image" for what is not known.

    Of a space, what its first tower takes: images where it has such.
    """
    if not isinstance(name, str):
        takes = getattr(name, "modality", None)
        return cast("Modality", takes) if takes in MODALITIES else "image"
    kind = name.partition(":")[0]
    if kind == KMER:
        return "dna"
    if kind in BOUND:
        return kind
    folder = Path(split_name(name)[0])
    facts = described(folder)
    if not facts:
        if is_file(folder / PRIOR):
            return "place"
        return _published(folder) or _of_hugging_face(folder) or "image"
    told = facts.get("kind")
    if told in BOUND:
        return cast("Modality", told)
    if told == SPACE:
        return next(iter(_towers(facts)), "image")
    return "dna" if told == BARCODE else "text" if told == TEXT else "image"


def is_barcode_folder(folder: Path) -> bool:
    """Whether a folder holds a model of barcodes: trained here, or a BERT of k-mers."""
    return described(folder).get("kind") == BARCODE or _of_hugging_face(folder) == "dna"


def is_text_folder(folder: Path) -> bool:
    """Whether a folder holds a model of texts alone: trained here, or a BERT of words."""
    facts = _facts(folder / TRAINED)
    return facts.get("kind") == TEXT or (not facts and _of_hugging_face(folder) == "text")


def towers_of(name: object) -> dict[Modality, str]:
    """The encoders of a space by what they take, in the order of :data:`MODALITIES`; empty for what is no space.

    >>> towers_of("run/")
    {'image': 'run/image', 'dna': 'run/dna', 'text': 'run/text'}
    """
    if not isinstance(name, str) or name.partition(":")[0] in (KMER, *BOUND) or split_name(name)[1] is not None:
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


def published_file(folder: Path) -> Path | None:
    """Where the weights of a published network over places or over the environment may be: in a folder, or the file itself."""
    if folder.suffix in _WEIGHTS and is_file(folder):
        return folder
    if not is_folder(folder):  # also what no folder can be called: the name of an encoder, however long
        return None
    names = (*_PUBLISHED, *sorted(path.name for path in folder.glob(f"{_SATCLIP}*.ckpt")))
    return next((path for name in names if is_file(path := folder / name)), None)


def _published(folder: Path) -> Modality | None:
    """ "place" for GeoCLIP's, TaxaBind's, SatCLIP's encoders of places: by the name of the file, or the first names in it."""
    path = published_file(folder)
    if path is None or is_file(folder / "open_clip_config.json"):
        return None
    if path.name == _PUBLISHED[0] or path.name.startswith(_SATCLIP):
        return "place"
    try:
        with path.open("rb") as file:
            begins = file.read(_LOOKED_AT)
    except OSError:
        return None
    return "place" if path.suffix == ".safetensors" and b"LocEnc0.capsule." in begins else None


def described(folder: Path) -> dict[str, Any]:
    """The description in a folder of ours, as far as it can be read; empty for what is none."""
    return _facts(folder / TRAINED)


def _towers(facts: dict[str, Any]) -> dict[Modality, str]:
    towers = facts.get("towers")
    if not isinstance(towers, dict):
        return {}
    return {modality: modality for modality in MODALITIES if modality in towers}


def _of_hugging_face(folder: Path) -> Modality | None:
    """What a CLAP or a BERT of Hugging Face reads; a BERT, told by its vocabulary: barcodes where it has as many tokens as there
    are k-mers."""
    facts = _facts(folder / CONFIG)
    if str(facts.get("model_type")).startswith("clap"):
        return "audio"
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
