"""A page of a queue as the browser needs it."""

from __future__ import annotations

from typing import Any

from biocosmos.serve.annotating.queues import QueuePage
from biocosmos.serve.catalogue import Moment
from biocosmos.serve.catalogue.taxa import above, address
from biocosmos.serve.specimen.tiles import tiles
from biocosmos.specimens.by_hand.ledger import Ledger, Said

PEOPLE = 5
"""Of a specimen, so many of the last things that people said."""


def as_json(page: QueuePage, ledger: Ledger) -> dict[str, Any]:
    """kind, left, taxa [{taxon, rank, address, count}], specimens (see :func:`specimens_of`), missing {says, href, link}."""
    missing = None if page.missing is None else dict(zip(("says", "href", "link"), page.missing))
    return {
        "kind": page.kind,
        "left": page.left,
        "taxa": [{**taxon_of(page.moment, node), "count": count} for node, count in page.taxa],
        "specimens": specimens_of(page, ledger),
        "missing": missing,
    }


def specimens_of(page: QueuePage, ledger: Ledger) -> list[dict[str, Any]]:
    """Of each its tile (id, name, rank, state, hash, score), proposed {taxon, rank, path, address, confidence}, and names:
    what was said of it, each {taxon, rank, path, address, by, confidence}."""
    moment, found = page.moment, []
    scores = [float(score) if abs(score) < 1e30 else None for score in page.score]
    for place, (row, tile) in enumerate(zip(page.rows.tolist(), tiles(moment, page.rows, scores))):
        proposed = int(page.proposed[place])
        predicted = max(int(moment.predicted[row]), 0)
        confidence = float(moment.confidence[row])
        sure = None if confidence != confidence or not predicted else confidence
        names = []
        if predicted:
            names.append({**taxon_of(moment, predicted), "by": "machine", "confidence": sure})
        if moment.labels[row]:
            names.append({**taxon_of(moment, int(moment.labels[row])), "by": "label", "confidence": None})
        names += [_by_person(each) for each in ledger.history(tile["id"])[-PEOPLE:] if each.stands and each.taxon]
        found.append(
            {
                **tile,
                "proposed": None
                if proposed <= 0
                else {**taxon_of(moment, proposed), "confidence": sure if proposed == predicted else None},
                "names": names,
            }
        )
    return found


def taxon_of(moment: Moment, node: int) -> dict[str, Any]:
    """taxon, rank, path (names above it), address (as a view takes it) of a node."""
    tree = moment.taxonomy
    path = " › ".join(above(tree, node))
    return {
        "taxon": str(tree.names[node]),
        "rank": tree.ranks[int(tree.rank[node])],
        "path": path,
        "address": address(tree, node),
    }


def _by_person(said: Said) -> dict[str, Any]:
    doubts = " (doubts it)" if said.status == "dubious" else ""
    return {
        "taxon": said.taxon,
        "rank": said.rank,
        "path": "",
        "address": f"{said.rank}:{said.taxon}" if said.rank else said.taxon,
        "by": f"{said.by}{doubts}",
        "confidence": None,
    }
