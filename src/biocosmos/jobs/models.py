"""Models of a collection: heads that were fitted for it, what each changed, and the one that a person put to use.

plankton.cosmos/models/refit-20261129T101500/
    identifier.json ...   the identifier, as :meth:`Identifier.save` writes it, with the record of what it learnt from
    model.json            when, by whom, on what, and how it did on held-out specimens beside the one in use
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.facts import is_file_name, misfit, read_facts
from biocosmos.files import is_file
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.keeping import STATE
from biocosmos.outputs import MODELS
from biocosmos.provenance import now
from biocosmos.specimens.care.entry import who
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing

FACTS = "model.json"
PROMOTED = "promoted"
"""In ``collection.json``: name, by, at."""
_PROMOTED = {"name": str, "by": str, "at": str}
_NUMBER = (None, int, float)
_CHANGE = {"specimens": int, "before": _NUMBER, "after": _NUMBER, "value": _NUMBER, "low": _NUMBER, "high": _NUMBER}
_SHAPE = {
    "name": str,
    "made": str,
    "by": str,
    "encoder": str,
    "says": str,
    "against": (None, str),
    "counts": {str: int},
    "ranks": [{"what": str, "measure": str, **_CHANGE}],
    "taxa": [{"taxon": str, "rank": str, "gained": int, "lost": int, **_CHANGE}],
    "notes": [str],
    "report": (None, str),
}


@dataclass(frozen=True)
class Model:
    """What is told of one model.

    made: ISO, UTC; by: who asked for it; says: in a sentence; against: whom it was compared with, None for nobody; counts:
    fitted, by_people, left_out, held_out; ranks: a row for each rank and for the answers (what, measure, specimens, before,
    after, value = after - before, low, high); taxa: those that changed, the most first; report: name of its page in ``reports``.
    """

    name: str
    made: str
    by: str
    encoder: str
    says: str
    against: str | None
    counts: dict[str, int]
    ranks: list[dict[str, Any]] = field(default_factory=list)
    taxa: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: str | None = None

    def save(self, folder: Path) -> Path:
        """Write it into its folder."""
        with replacing(folder / FACTS) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return folder / FACTS


@dataclass(frozen=True)
class Promotion:
    """The model in use: its name, who said so, and when (ISO, UTC)."""

    name: str
    by: str
    at: str


def folder_of(collection: Collection, name: str) -> Path:
    """Where a model of this name is. Raises BiocosmosError for a name that no folder has."""
    if not is_file_name(name) or name.startswith("."):
        raise BiocosmosError(f"no model can be called {name[:60]!r}")
    return collection.path / MODELS / name


def model(collection: Collection, name: str) -> Model:
    """One by its name. Raises BiocosmosError where there is none, or it is damaged."""
    folder = folder_of(collection, name)
    if not is_file(folder / FACTS) or not is_file(folder / STATE):
        there = ", ".join(each.name for each in models(collection)) or "none yet: biocosmos refit makes one"
        raise BiocosmosError(f"{collection.path} has no model {name!r}: there are {there}")
    facts = read_facts(folder / FACTS, _SHAPE, what="what is told of a model", remedy="fit it again")
    return Model(**{each: facts[each] for each in Model.__dataclass_fields__} | {"name": folder.name})


def models(collection: Collection) -> list[Model]:
    """All of them, the latest first; a folder that cannot be read is passed over."""
    folder = collection.path / MODELS
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_file(path / FACTS) and is_file(path / STATE) and not path.name.startswith("."):
            try:
                found.append(model(collection, path.name))
            except BiocosmosError:
                continue
    return sorted(found, key=lambda each: (each.made, each.name), reverse=True)


def promoted(collection: Collection) -> Promotion | None:
    """The model in use; None where nobody promoted one, or it is gone."""
    said = collection.facts_now().get(PROMOTED)
    if said is None or misfit(said, _PROMOTED) or not is_file(folder_of(collection, said["name"]) / STATE):
        return None
    return Promotion(said["name"], said["by"], said["at"])


def promote(collection: Collection, name: str, *, by: str | None = None) -> Promotion:
    """Use this model from now on wherever the collection names and nothing else is asked for; by: who says so.

    Raises BiocosmosError where there is none of this name, it cannot be read, or its vectors are others than the collection's.
    """
    found = model(collection, name)
    identifier = Identifier.load(folder_of(collection, name))
    check_vectors(collection, found, identifier)
    said = Promotion(found.name, who(by), now())
    collection.save_facts(**{PROMOTED: asdict(said)})
    return said


def check_vectors(collection: Collection, found: Model, identifier: Identifier) -> None:
    """Raise BiocosmosError unless the collection has the vectors that a model was fitted on."""
    stored = collection.encoders.get(found.encoder)
    fitted = {} if identifier.known is None else identifier.known.provenance
    if stored is None or stored.get("digest") != fitted.get("digest"):
        raise BiocosmosError(
            f"the model {found.name} was fitted on other vectors of {found.encoder} than {collection.path} has now: refit"
        )
