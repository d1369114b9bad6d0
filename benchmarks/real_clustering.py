"""Do scores that need no label put encoders and settings in the order in which agreement with the taxonomy puts them?

    python benchmarks/real_clustering.py --work clustering [--data ../shared/data] [--measure]

Lowe et al., An empirical study into clustering of unseen datasets with self-supervised encoders (2024, arXiv:2406.02465), say so of
the silhouette in a UMAP-reduced space. Here every encoder of clustering_vectors.py is clustered in every setting below, on the test
part of PlanktonSet and on barcodes of species that were never looked at before. Every clustering is scored with and without labels;
then each label-free score is correlated with AMI (Spearman). Work is kept clustering by encoder: kill it, run it again, it goes on.
``--measure`` writes the tables from what is there. Hours on two cores; not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import clustering_vectors as made
from biocosmos.discover.choice.embeddings import label_free_scores
from biocosmos.discover.choice.information import NEIGHBOURS, neighbour_information
from biocosmos.discover.choice.internal import calinski_harabasz, davies_bouldin, silhouettes
from biocosmos.discover.choice.stability import stability, subsamples
from biocosmos.evaluate.clustering.scores import ami, share_clustered
from biocosmos.search.graph import neighbour_graph
from biocosmos.search.kmeans import kmeans

Array = npt.NDArray[Any]
DATA = Path(__file__).resolve().parents[2] / "shared/data"
PREPARE = (
    "ingest {data}/planktonset/planktonset.parquet --taxonomy {data}/planktonset/taxonomy.csv --column id=image_id -o plankton.cosmos",
    "split plankton.cosmos --method column --column split",
    "embed plankton.cosmos --encoder efficientnet-lite0 --backend openvino",
)
STANDARDISED = ("none", "zscore")
REDUCED = ("none", "pca", "umap")
METHODS = ("kmeans", "ward", "hdbscan")
DIMS, UMAP_NEIGHBOURS = 50, 30
SHARES = (0.25, 0.5, 1.0)
"""Clusters asked for, as shares of the number of taxa at the finest rank: the study tells the number, users do not know it."""
LEAST_CLUSTER = 5
SEED = 0


@dataclass(frozen=True)
class Setting:
    """How vectors are clustered. count: clusters, None where the method finds it."""

    standardise: str
    reducer: str
    method: str
    count: int | None

    @property
    def name(self) -> str:
        return f"{self.standardise}, {self.reducer}, {self.method}" + ("" if self.count is None else f" {self.count}")


def settings(taxa: int) -> list[Setting]:
    """All of them; HDBSCAN only where it is not lost in a thousand dimensions."""
    found = []
    for standardise in STANDARDISED:
        for reducer in REDUCED:
            counts = [max(2, round(share * taxa)) for share in SHARES]
            found += [Setting(standardise, reducer, method, count) for method in ("kmeans", "ward") for count in counts]
            if reducer != "none":
                found.append(Setting(standardise, reducer, "hdbscan", None))
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
    from clustering_study import write

    write(work / "rows")


def prepare(work: Path, data: Path) -> None:
    """Everything that is embedded and trained, where it is not there yet."""
    if not (work / "plankton.cosmos").exists():
        for command in PREPARE:
            subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command.format(data=data))], cwd=work, check=True)
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
    spaces = {(how, reducer): reduced(standardised(x, how), reducer) for how in STANDARDISED for reducer in REDUCED}
    chosen = settings(taxa)
    found = [partition(spaces[s.standardise, s.reducer], s) for s in chosen]
    stable = [stable_under(spaces[s.standardise, s.reducer], s) for s in chosen]
    scored = label_free(x, spaces, found)
    once = label_free_scores(x[::2], x[1::2], seed=SEED)
    rows = []
    for at, (setting, clusters) in enumerate(zip(chosen, found)):
        row: dict[str, Any] = {"encoder": encoder, **setting.__dict__, "setting": setting.name}
        row |= {"clusters": int(clusters.max()) + 1, "clustered": share_clustered(clusters), "stability": stable[at]}
        for rank, truth in labels.items():
            row[f"AMI {rank}"] = ami(truth, clusters)
            row[f"AMI {rank}, clustered"] = ami(truth, clusters, noise="left out")
        rows.append({**row, **{name: values[at] for name, values in scored.items()}, **once})
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(rows, indent=0), encoding="utf-8")
    part.replace(path)
    print(f"{folder.name}: {encoder}, {len(rows)} clusterings, {time.process_time() - started:.0f} CPU s", flush=True)


def label_free(x: Array, spaces: dict[tuple[str, str], Array], found: Sequence[Array]) -> dict[str, list[float]]:
    """Score -> its value for every clustering of the vectors x (n, d); spaces of :func:`study`."""
    umap, pca = spaces["none", "umap"], spaces["none", "pca"]
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


def standardised(x: Array, how: str) -> Array:
    if how == "none":
        return x
    spread = x.std(0)
    return np.ascontiguousarray((x - x.mean(0)) / np.where(spread > 1e-7, spread, 1), dtype=np.float32)


def reduced(x: Array, reducer: str) -> Array:
    if reducer == "none":
        return x
    if reducer == "pca":
        from sklearn.decomposition import PCA

        return PCA(min(DIMS, *x.shape), random_state=SEED).fit_transform(x).astype(np.float32)
    import umap

    made = umap.UMAP(n_components=DIMS, n_neighbors=UMAP_NEIGHBOURS, min_dist=0.0, random_state=SEED, n_jobs=1)
    return np.ascontiguousarray(made.fit_transform(x), dtype=np.float32)


def partition(x: Array, setting: Setting) -> Array:
    """(n,) int labels from 0 on, -1 of noise."""
    if setting.method == "hdbscan":
        from sklearn.cluster import HDBSCAN

        return HDBSCAN(min_cluster_size=LEAST_CLUSTER, min_samples=LEAST_CLUSTER, copy=True).fit_predict(x)
    assert setting.count is not None
    if setting.method == "kmeans":
        return kmeans(x, setting.count, metric="euclidean", init="k-means++", iterations=100, seed=SEED).labels
    from scipy.cluster.hierarchy import fcluster, ward
    from scipy.spatial.distance import squareform
    from sklearn.metrics import euclidean_distances

    distances = euclidean_distances(x.astype(np.float64))
    np.fill_diagonal(distances, 0)
    return fcluster(ward(squareform(distances, checks=False)), setting.count, "maxclust") - 1


def stable_under(x: Array, setting: Setting) -> float:
    samples = subsamples(len(x), SEED)
    return stability(samples, [partition(x[rows], setting) for rows in samples], seed=SEED)


if __name__ == "__main__":
    main()
