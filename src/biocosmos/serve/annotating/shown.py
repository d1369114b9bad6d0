"""A page of a queue as the browser needs it."""

from __future__ import annotations

from typing import Any

from biocosmos.serve.annotating.queues import QueuePage
from biocosmos.serve.catalogue import STATES, Moment
from biocosmos.serve.catalogue.taxa import above, address
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
    """Of each: id, name, rank, state, score, proposed {taxon, rank, path, address, confidence}, and names: what was said of it,
    each {taxon, rank, path, address, by, confidence}, without what is proposed."""
    moment, found = page.moment, []
    ids = moment.stored.ids.take(page.rows).to_pylist() if len(page.rows) else []
    for place, (row, id_) in enumerate(zip(page.rows.tolist(), ids)):
        node, proposed = int(moment.nodes[row]), int(page.proposed[place])
        score = float(page.score[place])
        predicted = max(int(moment.predicted[row]), 0)
        confidence = float(moment.confidence[row])
        sure = None if confidence != confidence or not predicted else confidence
        names = []
        if predicted:
            names.append({**taxon_of(moment, predicted), "by": "machine", "confidence": sure})
        if moment.labels[row]:
            names.append({**taxon_of(moment, int(moment.labels[row])), "by": "label", "confidence": None})
        names += [_by_person(each) for each in ledger.history(id_)[-PEOPLE:] if each.stands and each.taxon]
        found.append(
            {
                "id": id_,
                "name": str(moment.taxonomy.names[node]) if node > 0 else None,
                "state": STATES[moment.states[row]],
                "score": score if abs(score) < 1e30 else None,
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
