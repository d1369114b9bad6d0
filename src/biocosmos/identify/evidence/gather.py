"""Why a namer answered so: the nearest known specimens, the rank at which their vote splits, and where in the image it looked.

Neighbours are those by the namer's own features, so that they show what it takes for alike. They vote at every rank; a
specimen without a name at a rank abstains there. The vote is evidence beside the answer, not part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from biocosmos.embed.reader import ImageFiles, ImageReader, ImageSource, StoredImages
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.files import is_file
from biocosmos.identify.answers import EVIDENCE, VOTERS
from biocosmos.search.hits import Hits
from biocosmos.specimens.collection import Collection
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    from biocosmos.identify.evidence.heat_maps import HeatMapper

HEAT = "heat:"
"""Before an id: the name of its picture with the heat map over it."""
KINDS = ("wrong", "novel", "no answer", "rolled back", "deepest")

Array = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]
Reader = Callable[[Sequence[str]], tuple[torch.Tensor, npt.NDArray[np.bool_]]]

SHOWN = pa.schema(
    [
        ("kind", pa.string()),
        ("id", pa.string()),
        ("taxon", pa.string()),
        ("rank", pa.string()),
        ("confidence", pa.float64()),
        ("novelty_p", pa.float64()),
        ("novel", pa.bool_()),
        ("truth", pa.string()),
        ("right", pa.bool_()),
        ("path", pa.list_(pa.struct([("rank", pa.string()), ("taxon", pa.string()), ("confidence", pa.float64())]))),
        ("votes", pa.list_(pa.struct([("rank", pa.string()), ("taxon", pa.string()), ("votes", pa.int32())]))),
        ("splits_at", pa.string()),
        (
            "neighbours",
            pa.list_(pa.struct([("id", pa.string()), ("taxon", pa.string()), ("score", pa.float32()), ("agrees", pa.bool_())])),
        ),
        ("heat_of", pa.string()),
        ("heat_by", pa.string()),
    ]
)
SPLITS = pa.schema(
    [
        ("splits_at", pa.string()),
        ("queries", pa.int64()),
        ("share", pa.float64()),
        ("answered", pa.int64()),
        ("judged", pa.int64()),
        ("right", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Evidence:
    """shown: some answers, drawn by a seed, with all that speaks for them (:data:`SHOWN`); splits: at which rank the neighbours
    of all queries first disagree (:data:`SPLITS`; null: nowhere); heat: id -> PNG of the image with its heat map; method: of the
    heat maps, "" without; queries, voters: how many there were; note: why there are no heat maps."""

    shown: pa.Table
    splits: pa.Table
    queries: int
    voters: int
    heat: dict[str, bytes] = field(default_factory=dict)
    method: str = ""
    note: str = ""

    def thumbnails(self, other: Callable[[str], bytes | None] | None = None) -> Callable[[str], bytes | None]:
        """Pictures for a page: ``heat:<id>`` is a heat map; anything else is asked of ``other``, then read as a file."""

        def picture(name: str) -> bytes | None:
            if name.startswith(HEAT):
                return self.heat.get(name.removeprefix(HEAT))
            found = other(name) if other is not None else None
            path = Path(name)
            return path.read_bytes() if found is None and is_file(path) else found

        return picture


def gather(
    table: pa.Table,
    taxonomy: Taxonomy,
    truth: Int32 | None,
    hits: Hits | None,
    *,
    mapper: HeatMapper | None = None,
    read: Reader | None = None,
    each: int = 4,
    seed: int = 0,
    note: str = "",
) -> Evidence:
    """The evidence for answers.

    Args:
        table: one row for each query, see :func:`biocosmos.identify.answers.answer_table`.
        taxonomy: of the namer. truth: (n,) nodes, 0 or -1 where unknown, which mark right and wrong; None for all unknown.
        hits: their nearest known specimens, best :data:`VOTERS` of them; None where the namer's features tell nothing.
        mapper, read: make heat maps of the prepared images of ids; without either there are none.
        each: answers that are shown of each of :data:`KINDS`: wrong; flagged as novel; without an answer; at a coarser rank;
            at the deepest rank. An answer is shown once.
    """
    ids = [str(id_) for id_ in table["id"].to_pylist()]
    truth = np.zeros(len(table), np.int32) if truth is None else truth
    path = taxonomy.index(table.select(list(taxonomy.ranks)))
    rank = np.array([taxonomy.ranks.index(name) if name else -1 for name in table["rank"].to_pylist()], np.int32)
    node = np.where(rank >= 0, taxonomy.lineage(path)[np.arange(len(path)), rank], -1)
    right = taxonomy.is_ancestor(node, truth)
    judged = (node > 0) & (truth > 0) & (right | ~taxonomy.is_ancestor(truth, node))
    voters = np.full((len(table), 0), -1, np.int32) if hits is None else hits.taxa[:, :VOTERS]
    split = first_split(voters, taxonomy)
    chosen = _choose(table, node, path, judged & ~right, each, seed)
    rows = np.array([row for _, row in chosen], np.int64)
    # without an answer, the heat map is of what the head would have said
    looked = np.where(node[rows] > 0, node[rows], path[rows]) if len(rows) else np.empty(0, np.int32)
    heat, method = _heat([ids[row] for row in rows], looked, mapper, read)
    facts = []
    for (kind, row), target in zip(chosen, looked, strict=True):
        facts.append(
            {
                "kind": kind,
                "id": ids[row],
                **{name: table[name][row].as_py() for name in ("taxon", "rank", "confidence", "novelty_p", "novel")},
                "truth": taxonomy.name(truth[row]) if truth[row] > 0 else None,
                "right": bool(right[row]) if judged[row] else None,
                "path": [
                    {"rank": name, "taxon": table[name][row].as_py(), "confidence": table[f"{name}_confidence"][row].as_py()}
                    for name in taxonomy.ranks
                ],
                "votes": _votes(voters[row], taxonomy),
                "splits_at": taxonomy.ranks[split[row]] if split[row] >= 0 else None,
                "neighbours": [] if hits is None else _neighbours(hits, row, int(node[row]), taxonomy),
                "heat_of": taxonomy.name(target) if ids[row] in heat else None,
                "heat_by": method or None,
            }
        )
    shown = pa.Table.from_pylist(facts, schema=SHOWN)
    splits = _split_table(split, node, judged, right, taxonomy)
    return Evidence(shown, splits, len(table), voters.shape[1], heat, method, note)


def first_split(taxa: Int32, taxonomy: Taxonomy) -> Int32:
    """The coarsest rank at which neighbours differ.

    taxa: (q, k) nodes of the neighbours, -1 for none. Those without a name at a rank do not vote there.
    Returns: (q,) int32 rank index, -1 where they agree at every rank.
    """
    if taxa.shape[1] == 0:
        return np.full(len(taxa), -1, np.int32)
    lineage = taxonomy.lineage(taxa)  # (q, k, ranks)
    named = lineage >= 0
    highest = lineage.max(axis=1)
    lowest = np.where(named, lineage, len(taxonomy)).min(axis=1)
    differ = named.any(axis=1) & (lowest != highest)
    return np.where(differ.any(axis=1), differ.argmax(axis=1), -1).astype(np.int32)


def image_reader(preprocessing: Preprocessing, collection: Collection | None = None) -> Reader:
    """Prepares the images of specimens of a collection, or of files when none is given.

    Returns a function ids -> ((n, 3, size, size) uint8, (n,) whether each could be read).
    """

    def read(ids: Sequence[str]) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        source: ImageSource = ImageFiles(ids) if collection is None else StoredImages(collection, ids)
        found = ImageReader(source, preprocessing, stage="evidence").read(np.arange(len(ids)))
        return found.images, found.good  # an answer was given, so that the image was readable then: else shown without a picture

    return read


def _choose(table: pa.Table, node: Array, path: Array, wrong: Array, each: int, seed: int) -> list[tuple[str, int]]:
    novel = np.array([bool(value) for value in table["novel"].to_pylist()], np.bool_)
    masks: Mapping[str, Array] = {
        "wrong": wrong,
        "novel": novel,
        "no answer": node <= 0,
        "rolled back": (node > 0) & (node != path),
        "deepest": (node > 0) & (node == path),
    }
    rng = np.random.default_rng(seed)
    taken = np.zeros(len(node), np.bool_)
    chosen: list[tuple[str, int]] = []
    for kind in KINDS:
        order = rng.permutation(np.flatnonzero(masks[kind] & ~taken))
        _, first = np.unique(path[order], return_index=True)  # different taxa first
        order = np.concatenate([order[np.sort(first)], np.delete(order, first)])[:each]
        taken[order] = True
        chosen += [(kind, int(row)) for row in order]
    return chosen


def _votes(taxa: Int32, taxonomy: Taxonomy) -> list[dict[str, Any]]:
    votes = []
    for name, column in zip(taxonomy.ranks, taxonomy.lineage(taxa).T):
        for taxon, count in Counter(column[column >= 0].tolist()).most_common():
            votes.append({"rank": name, "taxon": taxonomy.name(taxon), "votes": count})
    return votes


def _neighbours(hits: Hits, row: int, node: int, taxonomy: Taxonomy) -> list[dict[str, Any]]:
    ids, taxa, scores = hits.ids[row, :EVIDENCE], hits.taxa[row, :EVIDENCE], hits.scores[row, :EVIDENCE]
    return [
        {
            "id": str(id_),
            "taxon": taxonomy.name(taxon) if taxon > 0 else None,
            "score": float(score),
            "agrees": bool(taxonomy.is_ancestor(node, taxon)) if node > 0 else None,
        }
        for id_, taxon, score in zip(ids, taxa, scores)
        if id_ is not None
    ]


def _heat(ids: list[str], nodes: Array, mapper: HeatMapper | None, read: Reader | None) -> tuple[dict[str, bytes], str]:
    if mapper is None or read is None or not ids:
        return {}, ""
    from biocosmos.identify.evidence.heat_maps import overlay  # it imports the models

    images, good = read(ids)
    good &= nodes > 0
    rows = np.flatnonzero(good)
    found = mapper(images[torch.from_numpy(rows)], nodes[rows])
    pictures = {ids[row]: overlay(images[row], heat) for row, heat in zip(rows, found.maps)}
    return pictures, found.method


def _split_table(split: Array, node: Array, judged: Array, right: Array, taxonomy: Taxonomy) -> pa.Table:
    rows = []
    for place in (*range(len(taxonomy.ranks)), -1):
        here = split == place
        rows.append(
            {
                "splits_at": taxonomy.ranks[place] if place >= 0 else None,
                "queries": int(here.sum()),
                "share": float(here.mean()) if len(here) else 0.0,
                "answered": int((here & (node > 0)).sum()),
                "judged": int((here & judged).sum()),
                "right": int((here & judged & right).sum()),
            }
        )
    return pa.Table.from_pylist(rows, schema=SPLITS)
