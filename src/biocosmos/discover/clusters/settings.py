"""How vectors are clustered. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.settings import NOT_GIVEN, SettingError, check, setting

STANDARDISE = ("none", "zscore", "l2")
AGAIN = (*STANDARDISE, "mean-zscore")
REDUCERS = ("none", "pca", "kernel-pca", "umap", "pacmap", "tsne")
METHODS = ("kmeans", "ward", "average", "spectral", "affinity", "hdbscan", "optics", "louvain", "leiden")
COUNTED = ("kmeans", "ward", "average", "spectral")
"""Methods that are told how many clusters."""
TREES = ("ward", "average")
DENSE = ("hdbscan", "optics")
GRAPHS = ("louvain", "leiden")
NEIGHBOURLY = ("spectral", *GRAPHS)
SPACE, CLUSTERS = "The space", "The clusters"


@dataclass(frozen=True)
class ClusterSettings:
    """Settings of :func:`biocosmos.discover.clusters.cluster`: standardise -> reduce -> standardise again -> cluster.

    Steps and defaults are those of Lowe et al. 2024, "An empirical study into clustering of unseen datasets with self-supervised
    encoders", arXiv:2406.02465, where a comment does not say otherwise.
    """

    standardise: str = setting(
        "none",
        "Before reducing: every dimension to mean 0 and deviation 1 (zscore), rows to length 1 (l2), or as they are.",
        choices=STANDARDISE,
        panel=SPACE,
    )
    reducer: str = setting("pca", "To fewer dimensions by.", choices=REDUCERS, panel=SPACE)
    dims: int | None = setting(
        None,
        "To so many dimensions.",
        low=1,
        unset="50; 2 of tsne; what --variance needs of pca",
        only={"reducer": REDUCERS[1:]},
        panel=SPACE,
    )
    variance: float | None = setting(
        None,
        "PCA keeps the axes that hold this share of the variance.",
        above=0,
        below=1,
        unset="0.85",
        only={"reducer": "pca", "dims": NOT_GIVEN},
        panel=SPACE,
    )
    space_neighbours: int | None = setting(
        None,
        "Neighbours that the reducer looks at.",
        low=2,
        unset="30 of umap; 10 of pacmap, more above 10,000 rows; perplexity 30 of tsne",
        only={"reducer": ("umap", "pacmap", "tsne")},
        panel=SPACE,
    )
    again: str = setting(
        "none",
        "After reducing: as --standardise, or to mean 0 and a mean deviation of 1 (mean-zscore).",
        choices=AGAIN,
        only={"reducer": REDUCERS[1:]},
        panel=SPACE,
    )
    method: str = setting("hdbscan", "Cluster by.", choices=METHODS, panel=CLUSTERS)
    clusters: int | None = setting(None, "How many clusters.", low=1, only={"method": COUNTED}, panel=CLUSTERS)
    threshold: float | None = setting(
        None,
        "In place of their number: clusters that lie further apart are not joined.",
        above=0,
        only={"method": TREES, "clusters": NOT_GIVEN},
        panel=CLUSTERS,
    )
    neighbours: int | None = setting(
        None,
        "Neighbours of each specimen in the graph that is cut.",
        low=1,
        unset="10 of spectral, 15 of louvain and leiden",
        only={"method": NEIGHBOURLY},
        panel=CLUSTERS,
    )
    resolution: float = setting(1.0, "Higher finds smaller communities.", above=0, only={"method": GRAPHS}, panel=CLUSTERS)
    min_cluster_size: int = setting(5, "Fewer specimens are no cluster but noise.", low=2, only={"method": DENSE}, panel=CLUSTERS)
    min_samples: int | None = setting(
        None,
        "Specimens about a point that make it dense.",
        low=1,
        unset="--min-cluster-size",
        only={"method": DENSE},
        panel=CLUSTERS,
    )
    largest: float = setting(
        0.2,
        "No cluster holds more than this share of all specimens; 1 is no limit.",
        above=0,
        high=1,
        only={"method": "hdbscan"},
        panel=CLUSTERS,
    )
    damping: float = setting(0.9, "Of affinity propagation.", low=0.5, below=1, only={"method": "affinity"}, panel=CLUSTERS)
    seed: int = setting(0, "Seed of every random choice.", low=0, panel="Run")

    def __post_init__(self) -> None:
        check(self)
        if self.method in COUNTED and self.clusters is None and self.threshold is None:
            either = "--clusters, or --threshold" if self.method in TREES else "--clusters"
            raise SettingError(f"--method {self.method} does not find how many clusters there are: say it with {either}")

    @property
    def said(self) -> str:
        """In a line: "zscore, pca 85 %, ward of 50 clusters"."""
        space = [] if self.standardise == "none" else [self.standardise]
        if self.reducer == "pca" and self.dims is None:
            space.append(f"pca {100 * (self.variance or VARIANCE):g} %")
        elif self.reducer != "none":
            space.append(f"{self.reducer} {self.dims or (2 if self.reducer == 'tsne' else DIMS)}")
        if self.again != "none":
            space.append(self.again)
        how = self.method
        if self.clusters is not None:
            how += f" of {self.clusters:,} clusters"
        elif self.threshold is not None:
            how += f" below {self.threshold:g}"
        elif self.method in DENSE:
            how += f" of at least {self.min_cluster_size}"
        elif self.method in GRAPHS and self.resolution != 1:
            how += f" at resolution {self.resolution:g}"
        return ", ".join([*space, how])


DIMS, VARIANCE = 50, 0.85

__all__ = ["ClusterSettings", "METHODS", "REDUCERS"]
