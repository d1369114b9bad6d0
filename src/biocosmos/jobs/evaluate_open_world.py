"""The nearest of seen and of unseen species in one gallery, for a collection's embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.open_world.published import DNA, IMAGE
from biocosmos.evaluate.open_world.report import open_world
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection


def judge_open_world(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    """Ask the parts ``queries`` and ``unseen`` of the part ``gallery``, by every encoder.

    Specimens of either that an encoder was trained on are refused, by their ids, and so is one that both parts have. Raises
    BiocosmosError as :func:`open_world`.
    """
    sides = {"queries": settings.queries, "unseen": settings.unseen}
    for part in sides.values():
        guard.refuse_part(collection, part, *encoders, where=settings.where)
    seen, unseen = (collection.table(["id"], split=part, where=settings.where)["id"] for part in sides.values())
    guard.refuse_shared(seen, unseen, "specimens are in --queries and in --unseen", "name two parts")
    pick: dict[str, Any] = {"where": settings.where, "columns": ()}
    galleries = {name: collection.gallery(name, split=settings.gallery, **pick) for name in encoders}
    asked = {side: {name: collection.gallery(name, split=part, **pick) for name in encoders} for side, part in sides.items()}
    for side, found in asked.items():
        if not all(len(each) for each in found.values()):
            raise BiocosmosError(f"part '{sides[side]}' has no specimen with a vector: name another with --{side}")
    report = open_world(
        galleries,
        asked["queries"],
        asked["unseen"],
        data=f"{collection.path.stem}: {settings.queries}, {settings.unseen} in {settings.gallery}",
        modalities={name: DNA if collection.encoders[name].get("modality") == DNA else IMAGE for name in encoders},
        seed=settings.seed,
    )
    report.caveats += guard.told(collection, asked["unseen"][encoders[0]].ids, *encoders)
    return report
