"""Which embeddings of a collection may be compared: those that towers of one space made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.provenance import encoder_name

MODALITIES = ("image", "dna", "text", "place", "environment", "satellite", "audio")
"""As :mod:`biocosmos.encoders.modality` has them, one floor up."""
AROUND = ("place", "environment", "satellite", "audio")
"""Those that are not of the specimen itself but of where, when and beside what it was found."""


def spaces_among(encoders: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """See :meth:`biocosmos.specimens.collection.Collection.spaces`; encoders: embedding -> what made it."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    made: dict[tuple[str, str], str] = {}
    for modality in MODALITIES:
        for name, facts in encoders.items():
            folder, _, leaf = name.rpartition("/")
            digest = facts.get("space")
            if folder and leaf == modality and isinstance(digest, str):
                found.setdefault(folder, {}).setdefault(digest, {})[modality] = name
                made[folder, digest] = max(made.get((folder, digest), ""), str(facts.get("created", "")))
    return {folder: of[max(of, key=lambda digest, f=folder: made[f, digest])] for folder, of in found.items()}  # type: ignore[misc]


def tower_among(encoders: Mapping[str, Mapping[str, Any]], collection: str, encoder: str | None, modality: str) -> str:
    """See :meth:`biocosmos.specimens.collection.Collection.tower`."""
    spaces = spaces_among(encoders)
    if encoder is None:
        if len(spaces) != 1:
            which = f"several spaces ({', '.join(spaces)}): name one" if spaces else "no space: train and embed one"
            how = "with --encoder" if spaces else f"('biocosmos train contrastive {collection} -o run/')"
            raise BiocosmosError(f"{collection} has {which} {how}")
        name = next(iter(spaces))
    else:
        name = encoder_name(encoder)
        folder, _, leaf = name.rpartition("/")
        name = name if name in spaces else folder if leaf in MODALITIES and folder else name
    if name not in spaces:
        raise BiocosmosError(
            f"'{encoder}' is no space that {collection} is embedded with: run 'biocosmos embed {collection} -e {encoder}', or "
            f"name one of: {', '.join(spaces) or 'none yet'}"
        )
    if modality not in spaces[name]:
        raise BiocosmosError(
            f"{collection} has no vectors of '{name}/{modality}' that belong with {' and '.join(spaces[name].values())}: run "
            f"'biocosmos embed {collection} -e {name}'"
        )
    return spaces[name][modality]
