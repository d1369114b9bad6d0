"""A space: encoders of several modalities that were trained together, so that their vectors may be compared.

    run/biocosmos.json    kind "space", the digest of each tower, the length of all vectors, facts about the training
    run/image/            an encoder of images, as every command takes it
    run/dna/              an encoder of barcodes
    run/text/             an encoder of texts
    run/place/            an encoder of places; environment/, satellite/ and audio/ likewise

Two columns of a collection may be compared where both are of one space: each has its digest among its facts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biocosmos.encoders.modality import MODALITIES, SPACE, TRAINED, Modality
from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_facts
from biocosmos.files import is_file
from biocosmos.provenance import now, package_version
from biocosmos.tables import write_facts

FORMAT = 1
DIGEST_LENGTH = 16
_SHAPE = {
    "format": FORMAT,
    "kind": SPACE,
    "digest": str,
    "dim": Number(1, 1 << 20, whole=True),
    "towers": {f"{modality}?": {"digest": str} for modality in MODALITIES},
    "training": {},
}
_TOLD = {"what": "the description of a space", "remedy": "restore it, or train the space again"}


@dataclass(frozen=True)
class Space:
    """folder: as it was named; towers: modality -> name of its encoder; digests: of each; dim: length of the vectors of all;
    digest: of the space; training: facts."""

    folder: Path
    towers: dict[Modality, str]
    digests: dict[Modality, str]
    dim: int
    digest: str
    training: dict[str, Any] = field(default_factory=dict)


def space_digest(digests: Mapping[Modality, str]) -> str:
    """Of a space, from those of its towers: 16 hex digits."""
    told = json.dumps({modality: digests[modality] for modality in MODALITIES if modality in digests})
    return hashlib.sha256(f"space {told}".encode()).hexdigest()[:DIGEST_LENGTH]


def save_space(folder: str | Path, digests: Mapping[Modality, str], *, dim: int, training: Mapping[str, Any]) -> str:
    """Write the description of a space whose towers stand in sub-folders already; returns its digest.

    It comes last: a kill leaves a folder that is not yet a space. Raises BiocosmosError for fewer than two towers.
    """
    folder = Path(folder)
    if len(digests) < 2:
        raise BiocosmosError(f"{folder} has {len(digests)} tower: a space has at least two, of {', '.join(MODALITIES)}")
    facts = {
        "format": FORMAT,
        "kind": SPACE,
        "digest": space_digest(digests),
        "dim": dim,
        "towers": {modality: {"digest": digests[modality]} for modality in MODALITIES if modality in digests},
        "training": dict(training),
        "biocosmos": package_version(),
        "created": now(),
    }
    write_facts(folder / TRAINED, facts)
    return str(facts["digest"])


def read_space(folder: str | Path) -> Space:
    """The space in a folder. Raises BiocosmosError for another folder, and a description that was damaged."""
    folder = Path(folder)
    facts = read_facts(folder / TRAINED, _SHAPE, **_TOLD)
    digests = {modality: str(facts["towers"][modality]["digest"]) for modality in MODALITIES if modality in facts["towers"]}
    if space_digest(digests) != facts["digest"]:
        raise BiocosmosError(f"{folder / TRAINED} was changed after it was saved: restore it, or train the space again")
    towers = {modality: (folder / modality).as_posix() for modality in digests}
    return Space(folder, towers, digests, int(facts["dim"]), str(facts["digest"]), dict(facts["training"]))


def space_of(name: str, digest: str) -> str | None:
    """The digest of the space that the encoder ``name`` is a tower of, if its weights are still those of the space."""
    folder = Path(name)
    if folder.name not in MODALITIES or not is_file(folder.parent / TRAINED):
        return None
    try:
        space = read_space(folder.parent)
    except BiocosmosError:
        return None
    return space.digest if space.digests.get(folder.name) == digest else None


def space_facts(name: str, digest: str) -> dict[str, str]:
    """What the facts of an encoder say of its space: nothing where it is of none."""
    space = space_of(name, digest)
    return {} if space is None else {"space": space}


def sibling(name: str, digest: str, modality: Modality) -> str | None:
    """The encoder of another modality in the space that ``name`` is a tower of; None where there is none."""
    if space_of(name, digest) is None:
        return None
    return read_space(Path(name).parent).towers.get(modality)
