"""Clusters: proposed, validated, grown and named, many specimens at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Annotator, User, Viewer
from biocosmos.serve.clusters import Grown, NothingToCluster
from biocosmos.serve.clusters.clusters import Sort
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page
from biocosmos.serve.specimen.tiles import Tile, tiles

pages = APIRouter()
api = APIRouter(prefix="/api/clusters", tags=["clusters"])

SHOWN = 240
"""Members of a page of one cluster."""
LISTED = 60
"""Clusters of a page."""
Name = Annotated[str, Field(max_length=200)]
Ids = Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=50_000)]
Asked = Annotated[str, Query(max_length=200)]
Count = Annotated[int, Query(ge=1, le=500)]
Place = Annotated[int, Query(ge=0)]
Order = Literal["centre", "border"]


class Proposing(BaseModel):
    """source: "left" clusters all that have no name, "kept" takes what a job found. size: about so many specimens each."""

    source: Literal["left", "kept"] = "left"
    size: Annotated[int, Field(ge=2, le=100_000)] | None = None


class Looked(BaseModel):
    """What was said of specimens that were shown: which of them are strangers to the cluster."""

    cluster: Name
    shown: Ids = []
    strangers: Ids = []


class Naming(Looked):
    """The name that all other members get."""

    taxon: Annotated[str, Field(min_length=1, max_length=500)]
    rank: Annotated[str, Field(max_length=100)] | None = None


class Growing(BaseModel):
    """Without ``shown``: the first page; else what was said of the page, for the next one. stop: what lies between joins now."""

    cluster: Name
    shown: Ids | None = None
    strangers: Ids = []
    stop: bool = False


class Merging(BaseModel):
    """Names of clusters; the first takes in the others."""

    clusters: Annotated[list[Name], Field(min_length=2, max_length=1000)]


class Splitting(BaseModel):
    """A cluster and into how many it is split, about."""

    cluster: Name
    parts: Annotated[int, Field(ge=2, le=100)] = 4


class One(BaseModel):
    """A cluster."""

    cluster: Name


# -------------------------------------------------------------------- what there is


def pictures_of(desk: Desk, ids: Sequence[str]) -> list[Tile]:
    """Specimens as tiles."""
    return tiles(desk.catalogue.now, desk.catalogue.rows_of_ids(ids)) if ids else []


def shown_tile(desk: Desk, name: str) -> dict[str, Any]:
    """A cluster as its tile shows it."""
    tile = desk.clusters.tile(name)
    pictures = pictures_of(desk, tile.shown)
    sure, density = (None if math.isnan(each) else round(each, 4) for each in (tile.sure, tile.density))
    return {
        "name": tile.name,
        "size": tile.size,
        "named": tile.named,
        "looked": tile.looked,
        "density": density,
        "guess": tile.guess,
        "sure": sure,
        "shown": pictures,
    }


def progress(desk: Desk, user: User) -> dict[str, Any]:
    """How far one is: named of all with vectors, and one's own rate."""
    named, total = desk.clusters.share()
    mine = next((tally for tally in desk.annotations.tallies() if tally.by == user.name), None)
    rates = {"mine": 0, "an_hour": 0} if mine is None else {"mine": mine.hour, "an_hour": mine.rate}
    return {"named": named, "total": total, "share": named / total if total else 0.0} | rates


def overview(desk: Desk, user: User, sort: Sort, reverse: bool, start: int, count: int) -> dict[str, Any]:
    """Clusters that stand."""
    try:
        names = desk.clusters.names(sort, reverse)
    except NothingToCluster as error:
        return {"clusters": [], "total": 0, "ready": False, "says": str(error)}
    newer = desk.clusters.newer()
    return {
        "clusters": [shown_tile(desk, name) for name in names[start : start + count]],
        "total": len(names),
        "next": start + count if start + count < len(names) else None,
        "ready": True,
        "newer": None if newer is None else {"name": newer.name, "kept": newer.kept},
        "next_size": desk.clusters.next_size(),
        "too_many": desk.clusters.too_many(),
        "progress": progress(desk, user),
    }


def opened(
    desk: Desk, user: User, cluster: str, order: Order, start: int, count: int, sort: Sort, reverse: bool
) -> dict[str, Any]:
    """One cluster with a page of its members, and its place among those that stand."""
    members = desk.clusters.members(cluster, order)
    names = desk.clusters.names(sort, reverse)
    at = names.index(cluster) if cluster in names else -1
    beside = {"before": names[at - 1] if at > 0 else None, "after": names[at + 1] if at + 1 < len(names) else None}
    ids = members[start : start + count]
    return {
        "cluster": shown_tile(desk, cluster),
        "members": pictures_of(desk, ids),
        "next": start + count if start + count < len(members) else None,
        "strangers": len(desk.clusters.strangers(cluster)),
        "order": order,
        "place": at + 1,
        "of": len(names),
        **beside,
        "progress": progress(desk, user),
    }


@pages.get("/clusters")
def clusters_page(request: Request, desk: Here, user: Viewer, sort: Sort = "density", reverse: bool = False) -> Response:
    """All clusters."""
    return page(request, "clusters.html.j2", sort=sort, reverse=reverse, **overview(desk, user, sort, reverse, 0, LISTED))


@pages.get("/clusters/one")
def cluster_page(
    request: Request,
    desk: Here,
    user: Viewer,
    name: Asked,
    order: Order = "centre",
    sort: Sort = "density",
    reverse: bool = False,
) -> Response:
    """One cluster."""
    found = opened(desk, user, name, order, 0, SHOWN, sort, reverse)
    return page(request, "cluster.html.j2", sort=sort, reverse=reverse, page_size=SHOWN, **found)


@pages.get("/clusters/more")
def more_clusters(
    request: Request, desk: Here, user: Viewer, sort: Sort = "density", reverse: bool = False, start: Place = 0
) -> Response:
    """Tiles of further clusters."""
    found = overview(desk, user, sort, reverse, start, LISTED)
    return page(request, "parts/cluster_tiles.html.j2", sort=sort, reverse=reverse, **found)


@api.get("")
def list_clusters(
    desk: Here, user: Viewer, sort: Sort = "density", reverse: bool = False, start: Place = 0, count: Count = LISTED
) -> dict[str, Any]:
    """Clusters that stand and have members without a name, some of them from ``start``."""
    return overview(desk, user, sort, reverse, start, count)


@api.get("/one")
def one_cluster(
    desk: Here,
    user: Viewer,
    name: Asked,
    order: Order = "centre",
    start: Place = 0,
    count: Count = SHOWN,
    sort: Sort = "density",
    reverse: bool = False,
) -> dict[str, Any]:
    """A cluster and a page of its members without a name, from the centre or from the border; what stands before and after it."""
    return opened(desk, user, name, order, start, count, sort, reverse)


@api.get("/alike")
def alike(desk: Here, _: Viewer, name: Asked, count: Annotated[int, Query(ge=1, le=24)] = 6) -> dict[str, Any]:
    """The clusters most like one, to merge with."""
    return {"clusters": [shown_tile(desk, each) for each in desk.clusters.alike(name, count)]}


# -------------------------------------------------------------------- acts


@api.post("/propose")
def propose(wanted: Proposing, desk: Here, user: Annotator) -> dict[str, Any]:
    """Propose clusters: of all that have no name, in this request or, where these are many, by a job; or take over what a job
    found. Clusters that are left from before are dissolved."""
    if wanted.source == "kept":
        return {"clusters": desk.clusters.take_kept(user.name)[:1000], "job": None}
    left = desk.clusters.too_many()
    if left:
        size = wanted.size or desk.clusters.next_size()
        told = {"method": "kmeans", "clusters": max(left // size, 2)}
        return {"clusters": [], "job": desk.work.start("clusters", told, user.name).to_json()}
    names = desk.clusters.propose(user.name, wanted.size)
    if not names:
        raise BiocosmosError("everything that has a vector has a name: there is nothing left to cluster")
    return {"clusters": names[:1000], "job": None}


@api.post("/look")
def look(wanted: Looked, desk: Here, user: Annotator) -> dict[str, Any]:
    """Say of members that were shown which do not belong."""
    desk.clusters.look(user.name, wanted.cluster, wanted.shown, wanted.strangers)
    return {"cluster": shown_tile(desk, wanted.cluster)}


@api.post("/name")
def name(wanted: Naming, desk: Here, user: Annotator) -> dict[str, Any]:
    """Name all members of a cluster but the strangers, in one act."""
    said, count = desk.clusters.name(user.name, wanted.cluster, wanted.taxon, wanted.rank, wanted.shown, wanted.strangers)
    refused = [{"id": failure.id, "reason": failure.reason} for failure in said.failures]
    found = {"act": said.act, "count": said.rows, "of": count, "taxon": said.taxon, "rank": said.rank, "refused": refused}
    return found | {"cluster": shown_tile(desk, wanted.cluster), "progress": progress(desk, user)}


@api.post("/grow")
def grow(wanted: Growing, desk: Here, user: Annotator) -> dict[str, Any]:
    """A page of the nearest specimens without a name; with what was said of the last page, the next one."""
    if wanted.stop:
        joined = desk.clusters.stop_growing(user.name, wanted.cluster)
        return told_growth(desk, wanted.cluster, Grown((), 0, 0, joined))
    grown = desk.clusters.grow(user.name, wanted.cluster, wanted.shown, wanted.strangers)
    return told_growth(desk, wanted.cluster, grown)


def told_growth(desk: Desk, cluster: str, grown: Grown) -> dict[str, Any]:
    """A page of growing as JSON."""
    return {
        "specimens": pictures_of(desk, grown.ids),
        "number": grown.number,
        "reach": grown.reach,
        "done": not grown.ids,
        "joined": grown.joined,
        "cluster": shown_tile(desk, cluster),
    }


@api.post("/merge")
def merge(wanted: Merging, desk: Here, user: Annotator) -> dict[str, Any]:
    """Make several clusters one, the first."""
    return {"cluster": shown_tile(desk, desk.clusters.merge(user.name, wanted.clusters))}


@api.post("/split")
def split(wanted: Splitting, desk: Here, user: Annotator) -> dict[str, Any]:
    """Cluster the members of one anew; its parts take its place."""
    return {"clusters": [shown_tile(desk, part) for part in desk.clusters.split(user.name, wanted.cluster, wanted.parts)]}


@api.post("/dissolve")
def dissolve(wanted: One, desk: Here, user: Annotator) -> dict[str, Any]:
    """Put a cluster aside: nothing is said of its members, and the next proposals may have them."""
    desk.clusters.dissolve(user.name, wanted.cluster)
    return {"dissolved": wanted.cluster}
