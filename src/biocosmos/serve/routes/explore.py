"""Explore: the grid, the tree, the facets; and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from biocosmos.serve.access import Viewer
from biocosmos.serve.catalogue import SORTS, STATES, Moment, View
from biocosmos.serve.catalogue.cards import Card, cards_of
from biocosmos.serve.catalogue.taxa import address, resolve
from biocosmos.serve.catalogue.tree import Branch, way_to
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["explore"])

PAGE = 120
MOST_IDS = 50_000
"""Ids of a view that are given at once, for a selection of all of them."""
MOST_OPEN = 200
"""Taxa of the tree that are shown with what is below."""
BESIDE = ("open", "column", "after", "count", "node")
SORT_WORDS = {
    "stored": "as stored",
    "novelty": "most novel first",
    "confidence": "least sure first",
    "date": "oldest first",
    "id": "by id",
    "likeness": "most alike first",
}
Columns = Annotated[list[str], Query(alias="column", max_length=8)]
After = Annotated[str | None, Query(max_length=4096)]
Count = Annotated[int, Query(ge=1, le=1000)]
Node = Annotated[str, Query(max_length=20_000)]


def asked(request: Request, desk: Desk) -> View:
    """The view of the address, over the collection as it is now."""
    desk.catalogue.refresh()
    return desk.catalogue.view(request.query_params, BESIDE)


# ---------------------------------------------------------------------- pages


@pages.get("/explore")
def explore(request: Request, desk: Here, _: Viewer) -> Response:
    """The page, with the first of its tiles."""
    view = asked(request, desk)
    moment = desk.catalogue.now
    return page(request, "explore.html.j2", placed=moment.stored.placed, **_results(desk, moment, view), **_frame(view))


@pages.get("/explore/results")
def results(request: Request, desk: Here, _: Viewer) -> Response:
    """What changes when the view does: title, chips and the first tiles."""
    view = asked(request, desk)
    return page(request, "parts/grid_results.html.j2", **_results(desk, desk.catalogue.now, view))


@pages.get("/explore/tiles")
def tiles(request: Request, desk: Here, _: Viewer, after: After = None, count: Count = PAGE) -> Response:
    """More tiles; the header ``X-Next`` says what to ask for after them."""
    view = asked(request, desk)
    moment = desk.catalogue.now
    found = desk.catalogue.page(view, after or None, count, moment)
    shown = page(request, "parts/grid_tiles.html.j2", specimens=cards_of(moment, found.rows, view), query=view.query())
    shown.headers["X-More"] = "1" if found.next is not None else "0"
    shown.headers["X-Total"] = str(found.total)
    return shown


@pages.get("/explore/tree")
def tree(request: Request, desk: Here, _: Viewer, node: Node = "") -> Response:
    """The taxa below one, or the tree with those open that ``open`` names and that lead to the taxon of the view."""
    view = asked(request, desk)
    moment = desk.catalogue.now
    chosen = resolve(moment.taxonomy, view.taxon) if view.taxon else 0
    opened = {*way_to(moment, chosen)} if not node else set()
    for each in request.query_params.getlist("open")[:MOST_OPEN]:
        opened.update(_known(moment, each))
    start = resolve(moment.taxonomy, node) if node else 0
    below = _opened(desk, moment, view, start, opened)
    return page(request, "parts/grid_tree.html.j2", branches=below, chosen=chosen, view=view, replace=replace)


@pages.get("/explore/facets")
def facets(request: Request, desk: Here, _: Viewer, column: Columns = []) -> Response:  # noqa: B006
    """What the view can be narrowed down by, with counts."""
    view = asked(request, desk)
    moment = desk.catalogue.now
    found = desk.catalogue.facets(view, column, moment)
    columns = sorted(moment.stored.columns, key=str.lower)
    chosen = {name: {value for each, value in view.columns if each == name} for name, _ in view.columns}
    highest = max((bar.count for bar in found.dates.bars), default=0)
    return page(
        request,
        "parts/grid_facets.html.j2",
        view=view,
        facets=found,
        states=STATES,
        columns=columns,
        chosen=chosen,
        highest=highest,
    )


def _results(desk: Desk, moment: Moment, view: View) -> dict[str, Any]:
    found = desk.catalogue.page(view, None, PAGE, moment)
    return {
        "view": view,
        "query": view.query(),
        "specimens": cards_of(moment, found.rows, view),
        "total": found.total,
        "more": found.next is not None,
        "count": len(moment),
        "page_size": PAGE,
        "most_ids": MOST_IDS,
        "chips": chips(moment, view),
        "title": _title(moment, view),
        "has_answers": moment.answers.taxonomy is not None,
    }


def _frame(view: View) -> dict[str, Any]:
    sorts = [sort for sort in SORTS if sort != "likeness" or view.like is not None]
    return {"sorts": sorts, "sort_words": SORT_WORDS}


def _title(moment: Moment, view: View) -> str:
    if view.taxon is None:
        return "All specimens" if not view.filters else "Specimens"
    return str(moment.taxonomy.names[resolve(moment.taxonomy, view.taxon)])


def chips(moment: Moment, view: View) -> list[tuple[str, str, str]]:
    """What a view is narrowed down by: (what, words, the address without it)."""
    found: list[tuple[str, str, View]] = []
    if view.taxon is not None:
        name = moment.taxonomy.names[resolve(moment.taxonomy, view.taxon)]
        found.append(("taxon", str(name), replace(view, taxon=None)))
    if view.words:
        found.append(("words", view.words, replace(view, words="")))
    if view.part is not None:
        found.append(("part", view.part, replace(view, part=None)))
    for state in view.states:
        found.append(("state", state, replace(view, states=tuple(each for each in view.states if each != state))))
    for tag in view.tags:
        found.append(("tag", tag, replace(view, tags=tuple(each for each in view.tags if each != tag))))
    for name, value in view.columns:
        rest = tuple(each for each in view.columns if each != (name, value))
        found.append((name, value or "(blank)", replace(view, columns=rest)))
    if view.dates != (None, None):
        found.append(("date", " – ".join(day or "…" for day in view.dates), replace(view, dates=(None, None))))
    if view.box is not None:
        found.append(("place", "{:g}, {:g} – {:g}, {:g}".format(*view.box), replace(view, box=None)))
    if view.cluster is not None:
        found.append(("cluster", view.cluster, replace(view, cluster=None)))
    if view.region is not None:
        found.append(("lasso", f"{len(view.region)} corners", replace(view, region=None)))
    if view.like is not None:
        found.append(("like", view.like, replace(view, like=None, sort="stored")))
    return [(what, words, f"/explore?{rest.query()}".rstrip("?")) for what, words, rest in found]


def _known(moment: Moment, taxon: str) -> Sequence[int]:
    """The node of an address that a page may have held for long; none where it is gone."""
    from biocosmos.errors import BiocosmosError

    try:
        return [resolve(moment.taxonomy, taxon)]
    except BiocosmosError:
        return []


def _opened(desk: Desk, moment: Moment, view: View, node: int, opened: set[int]) -> list[tuple[Branch, Any]]:
    """(branch, what is below it, None where it is closed), as deep as they are open."""
    found: list[tuple[Branch, Any]] = []
    for branch in desk.catalogue.tree(node, view, moment):
        deeper = branch.has_children and branch.node in opened
        found.append((branch, _opened(desk, moment, view, branch.node, opened) if deeper else None))
    return found


# ---------------------------------------------------------------------- JSON


@api.get("/specimens", summary="Specimens of a view")
def specimens(request: Request, desk: Here, _: Viewer, after: After = None, count: Count = PAGE) -> dict[str, Any]:
    """A page of specimens, in the order of the view. ``after``: where to go on, ``next`` of the page before; null at the end.

    The view is the rest of the query: taxon, part, state, words, box, from, to, tag, cluster, is.COLUMN, region, sort, reverse.
    """
    view = asked(request, desk)
    moment = desk.catalogue.now
    found = desk.catalogue.page(view, after or None, count, moment)
    cards: list[Card] = cards_of(moment, found.rows, view)
    return {"specimens": cards, "total": found.total, "next": found.next, "query": view.query()}


@api.get("/specimens/ids", summary="Ids of a view")
def ids(request: Request, desk: Here, _: Viewer) -> dict[str, Any]:
    """All ids of a view in its order, where there are at most 50,000; ``ids`` is null where there are more."""
    view = asked(request, desk)
    moment = desk.catalogue.now
    rows = desk.catalogue.rows(view, moment)
    found = moment.stored.ids.take(rows).to_pylist() if len(rows) <= MOST_IDS else None
    return {"ids": found, "total": len(rows), "most": MOST_IDS}


@api.get("/tree", summary="Taxa below one, with counts under a view")
def branches(request: Request, desk: Here, _: Viewer, node: Node = "") -> dict[str, Any]:
    """``node``: a taxon as the branches have it in ``taxon``; empty for the top. Ranks that a path lacks are skipped."""
    view = asked(request, desk)
    moment = desk.catalogue.now
    start = resolve(moment.taxonomy, node) if node else 0
    found = [asdict(branch) for branch in desk.catalogue.tree(start, view, moment)]
    return {"node": address(moment.taxonomy, start), "branches": found}


@api.get("/facets", summary="Counts of a view by state, part, tag, column, date and place")
def counts(request: Request, desk: Here, _: Viewer, column: Columns = []) -> dict[str, Any]:  # noqa: B006
    """Each without the filter of its own, so that what else could be chosen is seen. ``column``: may be given several times."""
    view = asked(request, desk)
    return asdict(desk.catalogue.facets(view, column))


@api.get("/taxa", summary="Find taxa by letters of their name")
def taxa(
    desk: Here, _: Viewer, q: Annotated[str, Query(max_length=2000)] = "", limit: Annotated[int, Query(ge=1, le=200)] = 20
) -> dict[str, Any]:
    """Accent- and case-blind, other names that the data has for a taxon included; best first. ``address``: for a view."""
    desk.catalogue.refresh()
    found = desk.catalogue.find_taxa(q, limit)
    rows = [
        {
            "taxon": each.name,
            "rank": each.rank,
            "path": list(each.path),
            "specimens": each.specimens,
            "address": each.taxon,
            "synonym": each.synonym,
        }
        for each in found
    ]
    return {"taxa": rows}


@api.get("/ranks", summary="Ranks of the collection")
def ranks(desk: Here, _: Viewer) -> dict[str, list[str]]:
    """Coarse to fine: those that a new name may be given."""
    return {"ranks": list(desk.collection.ranks or desk.catalogue.taxonomy.ranks)}
