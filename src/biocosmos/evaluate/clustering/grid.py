"""Which ways of clustering are compared: reducers x clusterers with parameters that were fixed before any label here was seen.

They are those of the study (Lowe et al. 2024, https://arxiv.org/abs/2406.02465), which picked them on ImageNet, Imagenette and
Imagewoof: PCA after a z-score, UMAP to 50 dimensions with 30 neighbours and no least distance, HDBSCAN with 5 specimens at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from biocosmos.discover.clusters import ClusterSettings
from biocosmos.discover.extras import has
from biocosmos.errors import BiocosmosError

FROM_LABELS, FROM_ANOTHER, FIXED, BY_METHOD = "these labels", "another part", "given", "the method"
"""Where a number of clusters comes from. ``FROM_LABELS`` is a favour that no unlabelled collection grants."""
COUNTED = ("kmeans", "ward", "average", "spectral")
"""Clusterers that must be told how many."""
REDUCERS = ("none", "pca", "umap")
CLUSTERERS = ("kmeans", "ward", "hdbscan")
STUDY: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "pca": {"standardise": "zscore", "dims": 50},
    "kernel-pca": {"dims": 50},
    "umap": {"dims": 50, "neighbours": 30},
    "pacmap": {"dims": 50},
    "tsne": {"dims": 2},
}
EXTRAS = {"umap": "umap", "pacmap": "pacmap"}
"""Reducer -> the module it needs."""
NEED = {"louvain": "igraph", "leiden": "leidenalg"}
RECIPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bioscan-5m": (("umap:50",), ("ward",)),
    "study": (("umap:50",), ("kmeans", "ward", "hdbscan")),
}
"""Set-ups that were published: reducers and clusterers. bioscan-5m: zero-shot clustering of its unseen species, as many clusters as
species (Gharaee et al. 2024, https://arxiv.org/abs/2406.12723)."""


@dataclass(frozen=True)
class Setting:
    """A way to cluster. name: in tables; counted: where its number of clusters comes from."""

    name: str
    settings: ClusterSettings
    counted: str = BY_METHOD


def grid(
    reducers: Iterable[str] | None = None, clusterers: Iterable[str] | None = None, *, seed: int = 0
) -> list[ClusterSettings]:
    """Every reducer with every clusterer, without a number of clusters.

    reducers: "pca", or with a number of dimensions "pca:20"; None: those of :data:`REDUCERS` that are installed. Raises
    BiocosmosError for one that there is not.
    """
    if reducers is None:
        reducers = [name for name in REDUCERS if name not in EXTRAS or has(EXTRAS[name])]
    found = []
    for named in dict.fromkeys(reducers):
        reducer, _, dims = named.partition(":")
        if reducer not in STUDY or (dims and (not dims.isdecimal() or not int(dims) or reducer == "none")):
            raise BiocosmosError(f"there is no reducer '{named}': choose {', '.join(STUDY)}, with dimensions as in umap:50")
        how = dict(STUDY[reducer]) | ({"dims": int(dims)} if dims else {})
        found += [
            ClusterSettings(reducer=reducer, method=each, seed=seed, **how) for each in dict.fromkeys(clusterers or CLUSTERERS)
        ]
    return found


def told(settings: Sequence[ClusterSettings] | Mapping[str, ClusterSettings], clusters: int, counted: str) -> list[Setting]:
    """Settings with their names, and ``clusters`` for those that must be told how many and were not.

    Raises BiocosmosError where two have one name: pass a mapping of names then.
    """
    named = dict(settings) if isinstance(settings, Mapping) else {}
    if not named:
        for each in settings:
            if name_of(each) in named:
                raise BiocosmosError(f"two settings are called '{name_of(each)}': pass a mapping from names to settings")
            named[name_of(each)] = each
    found = []
    for name, each in named.items():
        if each.method not in COUNTED:
            found.append(Setting(name, each))
        elif each.clusters is not None or each.threshold is not None:
            found.append(Setting(name, each, FIXED))
        else:
            found.append(Setting(name, replace(each, clusters=clusters), counted))
    return found


def name_of(settings: ClusterSettings) -> str:
    """ "umap-50 + ward"; what differs from the study's parameters follows in brackets."""
    reducer = settings.reducer
    first = "unreduced" if reducer == "none" else f"{reducer}-{settings.dims}"
    usual = ClusterSettings(reducer=reducer, method=settings.method, **STUDY[reducer])
    said = ("reducer", "method", "dims", "seed")
    other = [
        f"{each.name.replace('_', ' ')} {getattr(settings, each.name)}"
        for each in fields(settings)
        if each.name not in said and getattr(settings, each.name) != getattr(usual, each.name)
    ]
    return f"{first} + {settings.method}" + (f" ({', '.join(other)})" if other else "")
