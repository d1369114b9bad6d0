"""Models of the collection: what learning from the new labels changed, and which one is in use."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.models import model, models, promote, promoted
from biocosmos.serve.access import Admin, Viewer
from biocosmos.serve.desk import Here

api = APIRouter(prefix="/api", tags=["models"])


@api.get("/models")
def all_models(desk: Here, _: Viewer) -> dict[str, Any]:
    """Every model that was fitted for the collection, the latest first; ``promoted``: the one in use, by whom and since when."""
    chosen = promoted(desk.collection)
    in_use = None if chosen is None else chosen.name
    found = [asdict(one) | {"promoted": one.name == in_use} for one in models(desk.collection)]
    return {"models": found, "promoted": None if chosen is None else asdict(chosen)}


@api.post("/models/{name}/promote")
def promote_model(name: str, desk: Here, user: Admin) -> dict[str, Any]:
    """Use this model from now on, wherever the collection names and nothing else is asked for."""
    try:
        model(desk.collection, name)
    except BiocosmosError as error:
        raise HTTPException(404, str(error)) from error
    return asdict(promote(desk.collection, name, by=user.name))
