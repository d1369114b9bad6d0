"""The report on candidate taxa: what speaks for each, what it resembles, where and when it was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.clusters.representatives import ordered_members
from biocosmos.discover.unknowns import Placing, Tested
from biocosmos.discover.unknowns.numbering import morphospecies
from biocosmos.discover.unknowns.testing import taxon_means
from biocosmos.evaluate.discovery.unknowns.page import page
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
TYPICAL, ODD, ALIKE, OF_EACH = 13, 3, 2, 4
_CANDIDATES = pa.schema(
    [
        ("candidate", pa.string()),
        ("morphospecies", pa.string()),
        ("specimens", pa.int64()),
        ("taxon", pa.string()),
        ("rank", pa.string()),
        ("probability", pa.float64()),
        ("score", pa.float64()),
        ("p", pa.float64()),
        ("nearest", pa.string()),
        ("latitudes", pa.list_(pa.float64())),
        ("longitudes", pa.list_(pa.float64())),
        ("first_date", pa.string()),
        ("last_date", pa.string()),
        ("months", pa.string()),
        ("gap_within", pa.float64()),
        ("gap_to_nearest", pa.float64()),
        ("typical", pa.list_(pa.string())),
        ("odd", pa.list_(pa.string())),
    ]
)
_ALIKE = pa.schema([("candidate", pa.string()), ("taxon", pa.string()), ("cosine", pa.float64()), ("id", pa.string())])


def unknowns_report(
    known: Gallery,
    asked: Gallery,
    labels: Array,
    tested: Tested,
    chosen: Array,
    placing: Placing,
    numbers: Sequence[str],
    where: pa.Table,
    gaps: Sequence[Mapping[str, float | None]] | None,
    *,
    title: str,
    caveats: Sequence[str],
    provenance: Mapping[str, Any],
) -> Report:
    """Tables ``candidates`` and ``alike`` (specimens of the known taxa that each candidate resembles most).

    labels: (n,) candidate of each specimen asked about, -1 for none; chosen: (c,) groups of ``tested`` that they are; where: id,
    latitude, longitude and date of the members.
    """
    tree = known.taxonomy
    assert tree is not None and known.taxa is not None
    nodes, means = taxon_means(known.vectors, known.taxa)
    places = {row["id"]: row for row in where.to_pylist()}
    candidates, alike = [], []
    for place, group in enumerate(chosen):
        rows = ordered_members(asked.vectors, labels, place)
        node = int(placing.nodes[place])
        taxon = str(tree.names[node]) if node > 0 else None
        mean = asked.vectors[rows].mean(axis=0)
        cosines = means @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
        near = np.argsort(-cosines, kind="stable")[:ALIKE]
        ids = asked.ids[rows].tolist()
        gap = gaps[place] if gaps is not None else {}
        candidates.append(
            {
                "candidate": numbers[place],
                "morphospecies": morphospecies(tree, node, numbers[place]),
                "specimens": len(rows),
                "taxon": taxon,
                "rank": tree.ranks[int(tree.rank[node])] if node > 0 else None,
                "probability": float(placing.probability[place]) if node > 0 else None,
                "score": float(tested.scores[group]),
                "p": float(tested.p[group]),
                "nearest": str(tree.names[nodes[near[0]]]),
                **_found([places[id_] for id_ in ids if id_ in places]),
                "gap_within": gap.get("within"),
                "gap_to_nearest": gap.get("to_nearest"),
                "typical": ids[:TYPICAL],
                "odd": ids[max(TYPICAL, len(ids) - ODD) :],
            }
        )
        for one in near:
            mine = np.flatnonzero(known.taxa == nodes[one])
            closest = mine[np.argsort(-(known.vectors[mine] @ mean), kind="stable")[:OF_EACH]]
            name, cosine = str(tree.names[nodes[one]]), float(cosines[one])
            alike += [{"candidate": numbers[place], "taxon": name, "cosine": cosine, "id": known.ids[row]} for row in closest]
    order = sorted(range(len(candidates)), key=lambda i: (candidates[i]["p"], -candidates[i]["score"]))
    facts = {
        "gallery": known.provenance,
        "split_hash": split_hash(asked.provenance),
        "known": len(known),
        "asked": len(asked),
        "groups": len(tested.scores),
        "null_groups": len(tested.null),
        "candidates": len(candidates),
        "threshold": placing.threshold,
        "placed_wrongly": placing.wrong,
        "left_out_placed": placing.placed,
        "left_out": placing.tried,
        **provenance,
    }
    said = [
        *caveats,
        "A candidate is a group of pictures that lies apart from the known taxa of this collection. It may be a stage, a view or "
        "a damaged form of a known one, or a species that is known elsewhere.",
        "Where a candidate belongs is calibrated on known taxa that were left out in turn; new ones may be harder to place, and "
        "on PlanktonSet more were placed wrongly than was promised (docs/discover.md).",
        "The rate of false discoveries holds for specimens of the survey and the instrument that the known ones are of.",
    ]
    tables = {
        "candidates": pa.Table.from_pylist([candidates[i] for i in order], schema=_CANDIDATES),
        "alike": pa.Table.from_pylist(alike, schema=_ALIKE),
    }
    return Report("unknowns", title, tables, said, facts, page)


def _found(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where and when members were found, as far as it is known."""
    spots = [(row["latitude"], row["longitude"]) for row in rows if row["latitude"] is not None and row["longitude"] is not None]
    dates = sorted(str(row["date"])[:10] for row in rows if row["date"])
    months = Counter(date[5:7] for date in dates if len(date) >= 7)
    return {
        "latitudes": [spot[0] for spot in spots],
        "longitudes": [spot[1] for spot in spots],
        "first_date": dates[0] if dates else None,
        "last_date": dates[-1] if dates else None,
        "months": ", ".join(f"{month}: {count}" for month, count in sorted(months.items())) or None,
    }
