"""What to know about cluster labels before learning them: sizes, agreement with the taxa where those are known, leaks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import adjusted_mutual_info_score

from biocosmos.errors import BiocosmosError
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import write_table
from biocosmos.train.unicom.labels import ClusterLabels

SIZE_EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)
MANY_SINGLETONS = 0.2
"""Share of clusters with one specimen from which on the audit warns."""
AMI_CELLS = 30_000_000
"""Clusters x taxa beyond which adjusted mutual information is computed on a sample: its cost is in proportion."""
AMI_SAMPLE = 5_000

Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Audit:
    """What :func:`audit` found.

    tables: "sizes" (clusters by number of specimens), "agreement" (one row a rank: purity and adjusted mutual information),
    "clusters" (one row a cluster: its size and, for each rank, its most common taxon), "captions" (share naming their own
    specimen, when texts were clustered). warnings: sentences on what makes the labels unfit or unfair.
    """

    tables: dict[str, pa.Table]
    warnings: tuple[str, ...]
    facts: Row

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) for a table on a terminal."""
        sizes = np.array(self.tables["clusters"]["specimens"].to_pylist())
        facts = self.facts
        left = ", ".join(f"{count:,} {why}" for why, count in facts.get("left_out", {}).items() if count)
        rows = [
            ("classes" if facts.get("source") == "taxa" else "clusters", f"{len(sizes):,}"),
            ("specimens", f"{int(sizes.sum()):,}" + (f" (left out: {left})" if left else "")),
            ("specimens in a cluster", f"{int(sizes.min()):,} to {int(sizes.max()):,}, median {np.median(sizes):,.0f}"),
            ("with one specimen", f"{int((sizes == 1).sum()):,}"),
            ("empty, dropped", f"{facts.get('dropped_empty', 0):,}"),
        ]
        for row in self.tables["agreement"].to_pylist():
            said = f"purity {100 * row['purity']:.1f} %, adjusted mutual information {row['ami']:.3f}"
            rows.append((f"with {row['rank']}", f"{said} ({row['taxa']:,} taxa, {row['labelled']:,} labelled)"))
        return [*rows, *(("warning", warning) for warning in self.warnings)]

    def write(self, folder: str | Path) -> Path:
        """Write each table as CSV with the facts beside it, and the warnings; returns the folder."""
        folder = Path(folder)
        for name, table in self.tables.items():
            write_table(table, folder / f"{name}.csv", {"labels": self.facts, "warnings": list(self.warnings)})
        (folder / "audit.txt").write_text("".join(f"{what}: {value}\n" for what, value in self.rows()), encoding="utf-8")
        return folder


def audit(collection: Collection, labels: ClusterLabels) -> Audit:
    """Look at ``labels`` of specimens of ``collection``.

    purity: share of the labelled specimens that are of their cluster's most common taxon; it rises with the number of clusters
    alone, which adjusted mutual information (Vinh et al., JMLR 11, 2010; 0 by chance, 1 the same partition) does not.
    Ranks that are null everywhere are left out. Raises BiocosmosError when an id is not in the collection.
    """
    source = labels.facts.get("source", "image")
    said = source in ("text", "joint")
    columns = list(dict.fromkeys([*collection.ranks, *(["text", "label"] if said else [])]))
    table = collection.take(labels.ids.tolist(), columns=columns)
    if table.num_rows != len(labels):
        raise BiocosmosError(
            f"{len(labels) - table.num_rows:,} of {len(labels):,} labelled ids are not in {collection.path}: label them again"
        )
    by_cluster: dict[str, Any] = {"cluster": np.arange(labels.count), "specimens": labels.sizes()}
    if labels.names is not None:
        by_cluster["name"] = list(labels.names)
    agreement = []
    for rank, codes, names in _taxa(collection, table):
        known = codes >= 0
        top, of = _most_common(labels.labels[known], codes[known], labels.count)
        by_cluster[rank] = pa.array([None if code < 0 else names[code] for code in top], pa.string())
        share = np.divide(of, np.bincount(labels.labels[known], minlength=labels.count), out=np.zeros(len(of)), where=of > 0)
        by_cluster[f"{rank} share"] = pa.array(share, mask=top < 0)
        agreement.append(
            {
                "rank": rank,
                "taxa": len(np.unique(codes[known])),
                "labelled": int(known.sum()),
                "share_labelled": float(known.mean()),
                "purity": float(of.sum() / known.sum()),
                "ami": _ami(codes[known], labels.labels[known], labels.facts.get("seed", 0)),
            }
        )
    tables = {
        "sizes": _histogram(labels.sizes()),
        "agreement": pa.Table.from_pylist(agreement, schema=_AGREEMENT),
        "clusters": pa.table(by_cluster),
    }
    warnings = [*_size_warnings(labels), *_copies(collection, labels)]
    if said:
        tables["captions"], leak = _captions(table, collection.ranks)
        warnings += leak
    return Audit(tables, tuple(warnings), {**labels.facts, "digest": labels.digest})


_AGREEMENT = pa.schema(
    [
        ("rank", pa.string()),
        ("taxa", pa.int64()),
        ("labelled", pa.int64()),
        ("share_labelled", pa.float64()),
        ("purity", pa.float64()),
        ("ami", pa.float64()),
    ]
)


def _taxa(collection: Collection, table: pa.Table) -> list[tuple[str, Array, list[str]]]:
    """For each rank with a name: (rank, (n,) int64 code of the taxon or -1, names of the codes); homonyms are kept apart."""
    if not collection.ranks:
        return []
    taxonomy = collection.taxonomy
    nodes = np.maximum(taxonomy.index(table), 0)
    out = []
    for rank in collection.ranks:
        own = taxonomy.ancestor(nodes, rank)
        distinct, codes = np.unique(own, return_inverse=True)
        absent = int(len(distinct) > 0 and distinct[0] < 0)
        if len(distinct) > absent:
            names = [str(name) for name in taxonomy.names[distinct[absent:]]]
            out.append((rank, codes.reshape(-1).astype(np.int64) - absent, names))
    return out


def _most_common(labels: Array, codes: Array, count: int) -> tuple[Array, Array]:
    """(count,) each cluster's most common code, -1 where nothing is labelled, and (count,) how many specimens have it."""
    width = int(codes.max()) + 1
    pairs, sizes = np.unique(labels.astype(np.int64) * width + codes, return_counts=True)
    top, of = np.full(count, -1, np.int64), np.zeros(count, np.int64)
    order = np.argsort(sizes, kind="stable")  # the largest is written last
    top[pairs[order] // width], of[pairs[order] // width] = pairs[order] % width, sizes[order]
    return top, of


def _ami(codes: Array, labels: Array, seed: int) -> float:
    if len(np.unique(codes)) * len(np.unique(labels)) > AMI_CELLS and len(codes) > AMI_SAMPLE:
        rows = np.random.default_rng(seed).permutation(len(codes))[:AMI_SAMPLE]
        codes, labels = codes[rows], labels[rows]
    return float(adjusted_mutual_info_score(codes, labels))


def _histogram(sizes: Array) -> pa.Table:
    """Clusters by how many specimens they hold."""
    bins = np.digitize(sizes, SIZE_EDGES) - 1
    ends = [f"{high - 1:,}" for high in SIZE_EDGES[1:]]
    rows = [
        {
            "specimens": f"{low:,}" if end == f"{low:,}" else f"{low:,} to {end}" if end else f"{low:,} or more",
            "clusters": int((bins == i).sum()),
            "specimens_in_them": int(sizes[bins == i].sum()),
        }
        for i, (low, end) in enumerate(zip(SIZE_EDGES, [*ends, ""]))
        if (bins == i).any()
    ]
    return pa.Table.from_pylist(rows)


def _size_warnings(labels: ClusterLabels) -> list[str]:
    sizes, found = labels.sizes(), []
    if labels.facts.get("dropped_empty"):
        found.append(
            f"{labels.facts['dropped_empty']:,} of {labels.facts['clusters_asked']:,} clusters came out empty and were dropped: "
            "many specimens have equal vectors"
        )
    alone = int((sizes == 1).sum())
    if alone > MANY_SINGLETONS * len(sizes):
        found.append(
            f"{alone:,} of {len(sizes):,} clusters have a single specimen, from which no likeness can be learnt: "
            "fewer clusters may do better"
        )
    if len(sizes) > 1 and sizes.max() > len(labels) / 2:
        found.append(f"one cluster holds {sizes.max() / len(labels):.0%} of the specimens: the embedding hardly tells them apart")
    return found


def _copies(collection: Collection, labels: ClusterLabels) -> list[str]:
    """A training image that lies in a held-out part too, byte for byte, is learnt by heart there."""
    split = labels.facts.get("split")
    if not split or split["name"] not in collection.split_names:
        return []
    saved = collection.split(split["name"])
    part_of = dict(zip(saved.ids.to_pylist(), saved.parts.to_pylist()))
    others = [id_ for id_, part in part_of.items() if part != split["part"]]
    copied = Counter(part_of[id_] for id_, _ in guard.copies(collection, others, labels.ids))
    return [
        f"{count:,} images of part '{part}' are byte-identical to a training image: results on '{part}' flatter"
        for part, count in sorted(copied.items())
    ]


def _captions(table: pa.Table, ranks: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """How many texts hold a name of their own specimen, per rank, and the warning."""
    names = list(dict.fromkeys([*ranks, "label"]))
    texts = [_plain(text) for text in table["text"].to_pylist()]
    written = np.array([bool(text.strip()) for text in texts])
    any_rank = np.zeros(len(texts), bool)
    rows: list[Row] = []
    for rank in names:
        own = [_plain(name) for name in table[rank].to_pylist()]
        says = np.array([bool(name.strip()) and name in text for name, text in zip(own, texts)])
        any_rank |= says
        rows.append({"rank": rank, "captions": int(written.sum()), "naming": int(says.sum())})
    rows.append({"rank": "any", "captions": int(written.sum()), "naming": int(any_rank.sum())})
    counts = pa.Table.from_pylist([{**row, "share": row["naming"] / max(row["captions"], 1)} for row in rows])
    if not any_rank.any():
        return counts, []
    most = max(rows[:-1], key=lambda row: int(row["naming"]))["rank"]
    return counts, [
        f"{any_rank.sum() / written.sum():.0%} of the captions name their own specimen's taxon (most often its {most}): these "
        "labels are partly supervised; cluster images alone, or take the names out, to call the training unsupervised"
    ]


def _plain(text: str | None) -> str:
    """Lower case words with single blanks, and a blank at either end, so that a name is found as whole words only."""
    words = re.findall(r"[^\W_]+", (text or "").casefold())
    return f" {' '.join(words)} "
