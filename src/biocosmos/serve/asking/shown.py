"""Answers as JSON and as what pages show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from biocosmos.identify.evidence.votes import Vote
from biocosmos.serve.asking.naming import Naming
from biocosmos.serve.asking.searching import Answer, Near, Searched
from biocosmos.serve.catalogue.view import STATES

if TYPE_CHECKING:
    from biocosmos.serve.catalogue import Catalogue

VOTES_SHOWN = 3
"""Taxa of each rank."""


def specimens(catalogue: Catalogue, near: Iterable[Near]) -> list[dict[str, Any]]:
    """What a tile shows of each neighbour: id, name (None where unnamed), rank, path, state, score; of barcodes also identity in
    percent, alignment_length and gaps."""
    moment = catalogue.now
    return [
        {
            **_named(moment, one.row),
            "id": one.id,
            "state": STATES[int(moment.states[one.row])],
            "score": round(one.score, 6),
            **(one.overlap.facts() if one.overlap else {}),
        }
        for one in near
    ]


def tiles(catalogue: Catalogue, near: Sequence[Near]) -> list[dict[str, Any]]:
    """As :func:`specimens`, those of barcodes with a line on what they share with the one that was asked about."""
    found = specimens(catalogue, near)
    return [{**tile, "note": one.overlap.line()} if one.overlap else tile for tile, one in zip(found, near, strict=True)]


def _named(moment: Any, row: int) -> dict[str, Any]:
    node, tree = int(moment.nodes[row]), moment.taxonomy
    if node <= 0:
        return {"name": None, "rank": None, "path": []}
    path = tree.path(node)
    return {"name": tree.name(node), "rank": tree.ranks[int(tree.rank[node])], "path": [name for name in path if name]}


def searched(catalogue: Catalogue, found: Searched) -> dict[str, Any]:
    """A search as JSON."""
    return {
        "encoder": found.encoder,
        "among": found.among,
        "answers": [
            {
                "name": answer.name,
                "kind": answer.kind,
                "neighbours": specimens(catalogue, answer.near),
                "votes": [
                    {"rank": vote.rank, "taxon": vote.taxon, "count": vote.count, "weight": round(vote.weight, 6)}
                    for vote in answer.votes
                ],
            }
            for answer in found.answers
        ],
        "refused": [{"name": name, "reason": reason} for name, reason in found.refused],
    }


def bars(answer: Answer) -> list[tuple[str, int, list[Vote]]]:
    """(rank, how many voted, the most voted) of each rank at which anybody voted, the finest first."""
    ranks = [(rank, list(votes)) for rank, votes in groupby(answer.votes, key=lambda vote: vote.rank)]
    return [(rank, sum(vote.count for vote in votes), votes[:VOTES_SHOWN]) for rank, votes in reversed(ranks) if votes]


def naming(one: Naming) -> dict[str, Any]:
    """An upload that is named as JSON; its rows once it is done."""
    found: dict[str, Any] = {
        "token": one.token,
        "state": one.state,
        "images": one.images,
        "doing": one.what,
        "done": one.count,
        "total": one.total,
    }
    if one.error:
        found["error"] = one.error
    if one.state == "done":
        found |= {
            "rows": rows(one),
            "failures": [{"name": name, "reason": reason} for name, reason in one.failures],
            "summary": one.summary,
            "promise": one.promise,
            "notes": one.notes,
            "csv": f"/api/identify/{one.token}.csv",
        }
    return found


def rows(one: Naming) -> list[dict[str, Any]]:
    """A row for each image that was named: name, the answer, the path with a confidence at every rank, novelty, evidence."""
    if one.table is None:
        return []
    plain = ("taxon", "rank", "confidence", "best_guess", "best_guess_confidence", "novelty", "novelty_p", "novel", "method")
    found = []
    for row in one.table.to_pylist():
        path = [
            {"rank": rank, "taxon": row[rank], "confidence": row[f"{rank}_confidence"]}
            for rank in one.ranks
            if row[rank] is not None
        ]
        found.append({"name": row["id"], **{name: row[name] for name in plain}, "path": path, "neighbours": row["neighbours"]})
    return found
