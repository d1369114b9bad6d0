"""Were the queries embedded as the gallery was? Vectors of two encoders must never meet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from biocosmos.errors import BiocosmosError

# What must agree, and how it is called in an error.
_FACTS = {"digest": "weights", "preprocessing": "preprocessing"}
_STATED = ("digest", "dim", "preprocessing", "precision", "backend")


def encoder_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The encoder's metadata in a gallery's provenance: a mapping under "encoder", or flat beside its name, as
    Collection.gallery states it; {} if unsaid."""
    encoder = provenance.get("encoder")
    if isinstance(encoder, Mapping):
        return dict(encoder)
    if encoder is None:
        return {}
    return {"name": str(encoder), **{key: provenance[key] for key in _STATED if key in provenance}}


def refuse_mismatch(gallery: Mapping[str, Any], other: Mapping[str, Any], who: str) -> None:
    """Raise BiocosmosError when both provenances state their encoder and it is not the same; silent where one does not."""
    ours, theirs = encoder_of(gallery), encoder_of(other)
    for key, word in _FACTS.items():
        a, b = ours.get(key), theirs.get(key)
        # Compared as JSON, which a saved gallery has been through: a tuple and a list are the same.
        if (
            a is not None
            and b is not None
            and json.dumps(a, sort_keys=True, default=str) != json.dumps(b, sort_keys=True, default=str)
        ):
            names = f"{theirs.get('name', 'an encoder')} against {ours.get('name', 'the')} gallery's"
            raise BiocosmosError(f"{who} were embedded with other {word} than the gallery ({names}): embed both with one encoder")
