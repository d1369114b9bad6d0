"""Naming specimens, taking it back, and who did how much."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Admin, Annotator, Viewer
from biocosmos.serve.annotating.annotations import said_of
from biocosmos.serve.catalogue.view import LONGEST
from biocosmos.serve.desk import MOST_AT_ONCE, Desk, Here
from biocosmos.specimens import by_hand

api = APIRouter(prefix="/api", tags=["labels"])
LOCK_SECONDS = 5.0
"""How long to wait for somebody else who changes the collection."""
LONGEST_ID = 1000


class Labels(BaseModel):
    """A name for specimens, by their ids or by a view; without ``taxon`` and with the status "dubious": what they are called is
    doubted."""

    ids: list[Annotated[str, Field(max_length=LONGEST_ID)]] | None = Field(None, max_length=MOST_AT_ONCE)
    view: str | None = Field(None, max_length=20_000, description="the query of an address of Explore")
    taxon: str | None = Field(None, max_length=LONGEST)
    rank: str | None = Field(None, max_length=100)
    status: Literal["validated", "dubious"] = "validated"
    how: str = Field("by hand", max_length=100)
    note: str = Field("", max_length=1000)


class TakeOver(BaseModel):
    """dry_run: only say what would change."""

    dry_run: bool = True


@api.post("/labels")
def label(desk: Here, user: Annotator, given: Labels) -> dict[str, Any]:
    """Name specimens, in one act that is on the disk when this answers."""
    alone = given.ids is not None and given.view is None  # ids that are not there are refused one by one
    ids = given.ids if alone and given.ids is not None else desk.ids_of(given.ids, given.view)
    if not ids:
        raise BiocosmosError("no specimen is selected: nothing was named")
    about: dict[str, Any] = {"by": user.name, "how": given.how, "note": given.note}
    if given.taxon is None:
        if given.status != "dubious":
            raise BiocosmosError("no name is given: pick a taxon")
        done = desk.annotations.doubt(ids, **about)
    else:
        done = desk.annotations.name(ids, given.taxon, given.rank, status=given.status, **about)
    return {
        "act": done.act,
        "count": done.rows,
        "taxon": done.taxon,
        "rank": done.rank,
        "new": done.fresh,
        "refused": [{"id": each.id, "reason": each.reason} for each in done.failures],
        "tally": _tally(desk, user.name),
    }


@api.post("/undo")
def undo(desk: Here, user: Annotator) -> dict[str, Any]:
    """Take back your last act that stands, of whatever kind."""
    done = desk.undo(user.name)
    return {"undone": None if done is None else _undone(done), "tally": _tally(desk, user.name)}


@api.get("/tallies")
def tallies(desk: Here, _: Viewer) -> dict[str, Any]:
    """How much everybody named: what stands, what was taken back, in the last hour, today, and the rate per hour."""
    return {"tallies": [asdict(each) for each in desk.annotations.tallies()]}


@api.get("/acts")
def acts(
    desk: Here, user: Viewer, by: str | None = None, count: Annotated[int, Query(ge=1, le=1000)] = 50, mine: bool = False
) -> dict[str, Any]:
    """The last acts, the latest first: of one person, of yourself (``mine``), or of all."""
    found = desk.annotations.acts(user.name if mine else by, count)
    return {
        "acts": [
            {
                "act": each.name,
                "by": each.by,
                "at": each.when.isoformat(timespec="milliseconds"),
                "says": said_of(each, each.rows) if each.status != by_hand.WITHDRAWN else f"{each.rows:,} taken back",
                "status": each.status,
                "how": each.how,
                "rows": each.rows,
                "standing": each.standing,
            }
            for each in found
        ]
    }


@api.post("/labels/take-over")
def take_over(desk: Here, user: Admin, given: TakeOver) -> dict[str, Any]:
    """Make what people said the labels of the collection: one change of its history."""
    with desk.collection.writing("take over names", wait=LOCK_SECONDS):
        done = by_hand.labels_from(desk.collection, by=user.name, dry_run=given.dry_run)
    desk.catalogue.refresh()
    return {
        "dry_run": given.dry_run,
        "specimens": done.specimens,
        "unchanged": done.unchanged,
        "columns": done.columns,
        "left": [{"reason": reason, "count": count} for reason, count in done.failures.reasons()[:20]],
        "number": None if done.entry is None else done.entry.number,
    }


@api.post("/labels/take-over/{number}/undo")
def undo_take_over(desk: Here, user: Admin, number: int) -> dict[str, Any]:
    """Write back the labels that a take-over changed."""
    with desk.collection.writing("undo", wait=LOCK_SECONDS):
        entry = next((each for each in desk.collection.history() if each.number == number), None)
        if entry is None or entry.note != "names given by hand":
            raise BiocosmosError(f"change {number} did not take over names: see 'biocosmos history {desk.collection.path.name}'")
        done = desk.collection.undo(number, by=user.name)
    desk.catalogue.refresh()
    return {"specimens": done.specimens, "number": None if done.entry is None else done.entry.number}


def _tally(desk: Desk, by: str) -> dict[str, Any] | None:
    return next((asdict(each) for each in desk.annotations.tallies() if each.by == by), None)


def _undone(done: Any) -> dict[str, Any]:
    """What an act of any room says of itself."""
    if isinstance(done, dict):
        return done
    says = getattr(done, "says", None) or getattr(done, "what", None) or str(done)
    return {
        "says": str(says),
        "act": getattr(done, "act", None),
        "rows": getattr(done, "rows", None),
        "ids": getattr(done, "ids", []),
    }
