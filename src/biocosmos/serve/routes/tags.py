"""Tags of specimens, and saved views."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Annotator, Viewer
from biocosmos.serve.curation import CurationAct
from biocosmos.serve.desk import Desk, Here

api = APIRouter(prefix="/api", tags=["tags and views"])

MOST_TAGGED = 2_000_000
"""Specimens that one act may tag: a view of all of them is one."""
Name = Annotated[str, Field(max_length=200)]
Ids = Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=50_000)]
Asked = Annotated[list[Annotated[str, Query(max_length=4096)]] | None, Query(alias="id", max_length=500)]


class Tagging(BaseModel):
    """Which specimens, by ``ids`` or by the query string of a ``view``, get the tag, or lose it."""

    name: Name
    ids: Ids | None = None
    view: Annotated[str, Field(max_length=8000)] | None = None
    remove: bool = False


class Renaming(BaseModel):
    """A tag's name and its new one."""

    name: Name
    new: Name


class Saving(BaseModel):
    """A view under a name. query: what stands behind the question mark of its address."""

    name: Name
    query: Annotated[str, Field(max_length=8000)] = ""


def ids_of(desk: Desk, ids: list[str] | None, view: str | None) -> list[str]:
    """The ids that a selection names."""
    found = desk.ids_of(ids, view, most=MOST_TAGGED)
    if not found:
        raise BiocosmosError("the selection is empty: select specimens, or widen the view")
    return found


def told(act: CurationAct | None) -> dict[str, Any]:
    """An act as JSON."""
    return {"act": None, "count": 0} if act is None else {"act": act.number, "count": act.count}


@api.get("/tags")
def tags(desk: Here, _: Viewer, ids: Asked = None) -> dict[str, Any]:
    """All tags with how many specimens have them; with ``id`` (any number) also those of these specimens."""
    found: dict[str, Any] = {"tags": [vars(tag) for tag in desk.curation.tags()]}
    return found if ids is None else found | {"of": desk.curation.tags_of(ids)}


@api.post("/tags")
def tag(wanted: Tagging, desk: Here, user: Annotator) -> dict[str, Any]:
    """Give a tag to specimens, or take it from them."""
    ids = ids_of(desk, wanted.ids, wanted.view)
    act = desk.curation.untag if wanted.remove else desk.curation.tag
    return told(act(wanted.name, ids, by=user.name))


@api.post("/tags/rename")
def rename_tag(wanted: Renaming, desk: Here, user: Annotator) -> dict[str, Any]:
    """Call a tag otherwise; onto another tag, the two become one."""
    return told(desk.curation.rename(wanted.name, wanted.new, by=user.name))


@api.delete("/tags")
def delete_tag(desk: Here, user: Annotator, name: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
    """Take a tag from all that have it."""
    return told(desk.curation.delete(name, by=user.name))


@api.get("/views")
def saved_views(desk: Here, _: Viewer) -> dict[str, Any]:
    """The saved views."""
    return {"views": [vars(view) for view in desk.curation.views()]}


@api.post("/views")
def save_view(wanted: Saving, desk: Here, user: Annotator) -> dict[str, Any]:
    """Save a view under a name; one of that name takes the new address."""
    query = desk.view(wanted.query).query()
    return told(desk.curation.save_view(wanted.name, query, by=user.name)) | {"query": query}


@api.delete("/views")
def delete_view(desk: Here, user: Annotator, name: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
    """Forget a saved view."""
    return told(desk.curation.delete_view(name, by=user.name))
