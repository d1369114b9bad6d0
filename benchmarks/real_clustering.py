"""Do scores that need no label put encoders and settings in the order in which agreement with the taxonomy puts them?

    python benchmarks/real_clustering.py --work clustering [--data ../shared/data] [--measure]

Lowe et al., An empirical study into clustering of unseen datasets with self-supervised encoders (2024, arXiv:2406.02465), say
so of the silhouette in a UMAP-reduced space. Here every encoder of clustering_vectors.py is clustered in every setting below, on
the test part of PlanktonSet and on barcodes (COI) of insects. Every clustering is scored with and without labels; then each
label-free score is correlated with AMI (Spearman), and the label-free choice of biocosmos.discover.choice is judged. Work is kept
encoder by encoder: kill it, run it again, it goes on. ``--measure`` writes the tables from what is there. An hour or two on two
cores; not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import clustering_vectors as made
from biocosmos.discover.choice.candidates import settings_to_try
from biocosmos.discover.choice.choosing import choose
from biocosmos.discover.choice.embeddings import label_free_scores
from biocosmos.discover.choice.information import NEIGHBOURS, neighbour_information
from biocosmos.discover.choice.internal import calinski_harabasz, davies_bouldin, silhouettes
from biocosmos.discover.choice.partitions import Space, partitions, space_of, spaces
from biocosmos.discover.choice.stability import stability, subsamples
from biocosmos.discover.clusters import ClusterSettings
from biocosmos.evaluate.clustering.scores import ami, share_clustered
from biocosmos.search.graph import neighbour_graph
from clustering_study import correlations, encoders_table, noise, read
from machine import write_results

Array = npt.NDArray[Any]
DATA = Path(__file__).resolve().parents[2] / "shared/data"
PREPARE = (
    "ingest {data}/planktonset.parquet --taxonomy {data}/taxonomy.csv --column id=image_id -o plankton.cosmos",
    "split plankton.cosmos --method column --column split",
    "embed plankton.cosmos --encoder efficientnet-lite0 --backend openvino",
)
STANDARDISED = ("none", "zscore")
REDUCED: tuple[dict[str, Any], ...] = (
    {"reducer": "none"},
    {"reducer": "pca", "dims": 50},
    {"reducer": "umap", "dims": 50, "space_neighbours": 30},
)
SHARES = (0.25, 0.5, 1.0)
"""Clusters asked for, as shares of the number of taxa at the finest rank: the study tells the number, users do not know it."""
SEED = 0
JUDGED = ("lite0, 224 px", "6-mers, counts", "6-mers, square roots")
"""Encoders whose label-free choice is judged. The rule was made on PlanktonSet's validation part and the barcodes' part test, by
their labels; those that are judged here are other specimens."""
INTERVALS = "Spearman's rank correlation with AMI; intervals, 95 %, draw encoders, all clusterings of one together."
SETS = (
    "PlanktonSet 1.0, published split, the 4,478 images of its test part, 120 classes; COI barcodes of land invertebrates, 1,526 "
    "of 409 species that no other part has. HDBSCAN's noise is one cluster, as the study counts it, where nothing else is said."
)
CHOICE = (
    "A choice is made on at most 4,000 specimens and judged on all, by the best of its own candidates and of the study's "
    "settings."
)


def settings(taxa: int) -> list[ClusterSettings]:
    """All that are tried; HDBSCAN only where it is not lost in a thousand dimensions, z-scores not before UMAP, which is slow."""
    found = []
    for standardise in STANDARDISED:
        for reducer in REDUCED if standardise == "none" else REDUCED[:-1]:
            made = {"standardise": standardise, **reducer, "seed": SEED}
            counts = [max(2, round(share * taxa)) for share in SHARES]
            found += [ClusterSettings(**made, method=method, clusters=k) for method in ("kmeans", "ward") for k in counts]
            if reducer["reducer"] != "none":
                found.append(ClusterSettings(**made, method="hdbscan"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--measure", action="store_true", help="cluster nothing, write the tables from what is there")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if not options.measure:
        prepare(work, options.data.resolve())
        for kind, encoder, vectors, labels in encoders(work, options.data):
            study(work / "rows" / kind, encoder, vectors, labels)
        for kind, encoder, vectors, labels in encoders(work, options.data):
            if encoder in JUDGED:
                for umap in (True, False):
                    judge(work / "choices" / kind, encoder, unit(vectors()), labels, umap)
    there = {kind: read(work / "rows" / kind) for kind in made.RANKS}
    there = {kind: rows for kind, rows in there.items() if rows}
    choices = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / "choices").glob("*/*.json"))]
    commands = "\n".join(f"    biocosmos {command.format(data='DATA')}" for command in (*PREPARE, *made.unicom_commands()))
    correlated = [row for kind, rows in there.items() for row in correlations(rows, kind)]
    write_results("label_free_scores", correlated, f"{INTERVALS} {SETS}\n\n{commands}")
    listed = [row for kind, rows in there.items() for row in (*encoders_table(rows, kind), *noise(rows, kind))]
    write_results("label_free_encoders", listed, f"{SETS}\n\n{commands}")
    write_results("label_free_choice", choices, f"{CHOICE} {SETS}")


def prepare(work: Path, data: Path) -> None:
    """Everything that is embedded and trained, where it is not there yet."""
    if not (work / "plankton.cosmos").exists():
        for command in PREPARE:
            subprocess.run(
                [sys.executable, "-m", "biocosmos", *shlex.split(command.format(data=data / "planktonset"))], cwd=work, check=True
            )
    made.train_unicom(work)


def encoders(work: Path, data: Path) -> Iterator[tuple[str, str, Callable[[], Array], dict[str, Array]]]:
    """(set, encoder, its vectors, rank -> labels)."""
    codings, labels = made.barcodes(data / "coi" / "nltin.parquet", "test_unseen")
    for name, make in codings:
        yield "barcodes", name, lambda name=name, make=make: made.kept(work / "vectors/coi_test_unseen", name, make), labels
    labels = made.plankton_labels(work, "test")
    for name, encode in made.plankton(work):
        make = lambda name=name, encode=encode: made.kept(work / "vectors/test", name, lambda: encode("test"))  # noqa: E731
        yield "plankton", name, make, labels


def study(folder: Path, encoder: str, vectors: Callable[[], Array], labels: dict[str, Array]) -> None:
    """Cluster one encoder's vectors in every setting, and keep the rows as a file."""
    path = folder / f"{encoder.replace(' ', '_').replace(',', '')}.json"
    if path.exists():
        return
    started = time.process_time()
    x = unit(vectors())
    taxa = len(np.unique(next(iter(labels.values()))))
    chosen = settings(taxa)
    made = spaces(x, chosen)
    found, stable = clustered(made, chosen)
    scored = label_free(x, made, found)
    once = label_free_scores(x[::2], x[1::2], seed=SEED)
    rows = []
    for at, (each, clusters) in enumerate(zip(chosen, found)):
        row: dict[str, Any] = {"encoder": encoder, "setting": each.said, "method": each.method, "reducer": each.reducer}
        row |= {"standardise": each.standardise, "asked": each.clusters, "clusters": int(clusters.max()) + 1}
        row |= {"clustered": share_clustered(clusters), "stability": stable[at]}
        for rank, truth in labels.items():
            row[f"AMI {rank}"] = ami(truth, clusters)
            row[f"AMI {rank}, clustered"] = ami(truth, clusters, noise="left out")
        rows.append({**row, **{name: values[at] for name, values in scored.items()}, **once})
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(rows, indent=0), encoding="utf-8")
    part.replace(path)
    print(f"{folder.name}: {encoder}, {len(rows)} clusterings, {time.process_time() - started:.0f} CPU s", flush=True)


def clustered(made: dict[Space, Array], chosen: Sequence[ClusterSettings]) -> tuple[list[Array], list[float]]:
    """The labels (n,) of each of the settings and how stable they are, in spaces that are there."""
    found: dict[int, Array] = {}
    stable: dict[int, float] = {}
    for name, reduced in made.items():
        own = [at for at, each in enumerate(chosen) if space_of(each) == name]
        here = [chosen[at] for at in own]
        found |= dict(zip(own, partitions(reduced, here)))
        samples = subsamples(len(reduced), SEED)
        again = [partitions(reduced[rows], here) for rows in samples]
        stable |= {at: stability(samples, [labels[i] for labels in again], seed=SEED) for i, at in enumerate(own)}
    return [found[at] for at in range(len(chosen))], [stable[at] for at in range(len(chosen))]


def judge(folder: Path, encoder: str, x: Array, labels: dict[str, Array], umap: bool) -> None:
    """What the label-free choice loses against the best of everything that was tried, with and without the extra."""
    path = folder / f"{encoder.replace(' ', '_').replace(',', '')}{'' if umap else '_without_umap'}.json"
    if path.exists():
        return
    started = time.process_time()
    usual = settings_to_try(*x.shape, umap=umap, seed=SEED)
    choice = choose(x, seed=SEED, umap=umap)
    seconds = time.process_time() - started
    truth = next(iter(labels.values()))
    tried = list(dict.fromkeys([choice.settings, *usual, *settings(len(np.unique(truth)))]))
    if not umap:
        tried = [each for each in tried if each.reducer != "umap"]
    made = spaces(x, tried)
    found = {name: [each for each in tried if space_of(each) == name] for name in made}
    scored = {each: ami(truth, own) for name in made for each, own in zip(found[name], partitions(made[name], found[name]))}
    best = max(scored, key=lambda each: scored[each])
    row = {
        "set": folder.name,
        "encoder": encoder,
        "AMI at": next(iter(labels)),
        "choice": choice.settings.said + ("" if umap else ", without umap-learn"),
        "chosen by": choice.by,
        "AMI of the choice": scored[choice.settings],
        "best of all tried": f"{scored[best]:.3f}: {best.said}",
        "lost": scored[best] - scored[choice.settings],
        "tried": len(tried),
        "CPU s of the choice": round(seconds),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row, indent=0), encoding="utf-8")
    print(row, flush=True)


def label_free(x: Array, made: dict[Space, Array], found: Sequence[Array]) -> dict[str, list[float]]:
    """Score -> its value for every clustering of the vectors x (n, d); made: spaces by their settings."""
    pca, umap = (made[space_of(ClusterSettings(**reducer, seed=SEED))] for reducer in REDUCED[1:])
    near = neighbour_graph(x, NEIGHBOURS).rows
    scores: dict[str, list[float]] = {
        "silhouette, UMAP": means(silhouettes(umap, found, noise="cluster")),
        "silhouette, UMAP, noise left out": means(silhouettes(umap, found, noise="left out")),
        "silhouette, PCA": means(silhouettes(pca, found, noise="cluster")),
        "silhouette, original": means(silhouettes(x, found, metric="cosine", noise="cluster")),
        "Calinski-Harabasz, UMAP": [calinski_harabasz(umap, labels, noise="cluster") for labels in found],
        "Davies-Bouldin, UMAP": [-davies_bouldin(umap, labels, noise="cluster") for labels in found],
        "neighbour information": [neighbour_information(labels, near, seed=SEED) for labels in found],
    }
    return scores


def means(widths: Sequence[Array]) -> list[float]:
    return [float(each.mean()) if len(each) else float("nan") for each in widths]


def unit(x: Array) -> Array:
    return np.ascontiguousarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), dtype=np.float32)


if __name__ == "__main__":
    main()
