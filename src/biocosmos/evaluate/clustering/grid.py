"""Which ways of clustering are compared: reducers x clusterers with parameters that were fixed before any label here was seen.

They are those of the study (Lowe et al. 2024, https://arxiv.org/abs/2406.02465), which picked them on ImageNet, Imagenette and
Imagewoof, and are the defaults of :class:`ClusterSettings`: PCA to 85 % of the variance after a z-score, UMAP to 50 dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from biocosmos.discover.clusters import ClusterSettings
from biocosmos.discover.clusters.settings import COUNTED, DIMS, METHODS, REDUCERS, VARIANCE
from biocosmos.discover.extras import has
from biocosmos.errors import BiocosmosError

Options = Mapping[str, Any]
"""Of :class:`ClusterSettings`; a method that must be told how many clusters need not say it."""

FROM_LABELS, FROM_ANOTHER, FROM_NO_LABELS = "these labels", "another part", "no labels"
FIXED, BY_METHOD = "given", "the method"
"""Where a number of clusters comes from. ``FROM_LABELS`` is a favour that no unlabelled collection grants."""
USUAL_REDUCERS, USUAL_CLUSTERERS = ("pca", "umap"), ("kmeans", "ward", "hdbscan")
SHORT = {"none": ("kmeans",), "pca": ("kmeans", "ward"), "umap": USUAL_CLUSTERERS}
"""Where neither is named: reducer -> clusterers. HDBSCAN's time grows with dimensions, and it finds little in many of them."""
STANDARDISED: Mapping[str, str] = {"pca": "zscore"}
"""Reducer -> what goes before it in the study; nothing before the others."""
EXTRAS = {"umap": "umap", "pacmap": "pacmap"}
"""Reducer -> the module it needs."""
_SPACE = ("reducer", "dims", "variance", "space_neighbours", "standardise", "again")
_UNSAID = ("method", "seed", "clusters")


@dataclass(frozen=True)
class Setting:
    """A way to cluster. name: in tables; counted: where its number of clusters comes from."""

    name: str
    settings: ClusterSettings
    counted: str = BY_METHOD


def grid(
    reducers: Iterable[str] | None = None, clusterers: Iterable[str] | None = None, *, seed: int = 0
) -> list[dict[str, Any]]:
    """Every reducer with every clusterer, as options, without a number of clusters.

    reducers: "pca", or with a number of dimensions "pca:20"; None: the usual ones that are installed; neither: :data:`SHORT`.
    Raises BiocosmosError for one that there is not.
    """
    found: list[dict[str, Any]] = []
    short = not reducers and not clusterers
    usual = tuple(SHORT) if short else USUAL_REDUCERS
    reducers = reducers or [name for name in usual if name not in EXTRAS or has(EXTRAS[name])]
    methods = list(dict.fromkeys(clusterers or USUAL_CLUSTERERS))
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise BiocosmosError(f"there is no clusterer '{unknown[0]}': choose {', '.join(METHODS)}")
    for named in dict.fromkeys(reducers):
        reducer, _, dims = named.partition(":")
        if reducer not in REDUCERS or (":" in named and (not dims.isdecimal() or not int(dims) or reducer == "none")):
            raise BiocosmosError(f"there is no reducer '{named}': choose {', '.join(REDUCERS)}, with dimensions as in umap:50")
        space: dict[str, Any] = {"reducer": reducer, "seed": seed} | ({"dims": int(dims)} if dims else {})
        if reducer in STANDARDISED:
            space["standardise"] = STANDARDISED[reducer]
        found += [{**space, "method": method} for method in (SHORT[reducer] if short else methods)]
    return found


def told(
    settings: Sequence[ClusterSettings | Options] | Mapping[str, ClusterSettings | Options], clusters: int, counted: str
) -> list[Setting]:
    """Settings with their names, and ``clusters`` for those that must be told how many and do not say it.

    Raises BiocosmosError where two have one name: pass a mapping of names then.
    """
    if not settings:
        raise BiocosmosError("there is nothing to compare: name a reducer and a clusterer")
    pairs = list(settings.items()) if isinstance(settings, Mapping) else [("", each) for each in settings]
    found: dict[str, Setting] = {}
    for given, each in pairs:
        options = {} if isinstance(each, ClusterSettings) else dict(each)
        by = BY_METHOD
        if isinstance(each, ClusterSettings):
            made = each
        else:
            silent = options.get("method") in COUNTED and not (options.get("clusters") or options.get("threshold"))
            made = ClusterSettings(**{**options, "clusters": clusters} if silent else options)
            by = counted if silent else by
        if by == BY_METHOD and (made.clusters is not None or made.threshold is not None):
            by = FIXED
        name = given or name_of(made)
        if name in found:
            raise BiocosmosError(f"two settings are called '{name}': pass a mapping from names to settings")
        found[name] = Setting(name, made, by)
    return list(found.values())


def name_of(settings: ClusterSettings) -> str:
    """ "umap 50 + ward", whatever the number of clusters; what differs from the defaults follows in brackets."""
    other = []
    for each in fields(settings):
        value = getattr(settings, each.name)
        usual = STANDARDISED.get(settings.reducer, "none") if each.name == "standardise" else each.default
        if each.name not in (*_UNSAID, *_SPACE[:3]) and value != usual:
            other.append(f"{each.name.replace('_', ' ')} {value}")
    return f"{space_name(settings)} + {settings.method}" + (f" ({', '.join(other)})" if other else "")


def space_name(settings: ClusterSettings) -> str:
    """ "umap 50", "pca 85 %", "unreduced"."""
    if settings.reducer == "none":
        return "unreduced"
    if settings.reducer == "pca" and settings.dims is None:
        return f"pca {100 * (settings.variance or VARIANCE):g} %"
    return f"{settings.reducer} {settings.dims or (2 if settings.reducer == 'tsne' else DIMS)}"


def reduction_of(settings: ClusterSettings) -> tuple[Any, ...]:
    """What decides the reduced space: equal for all clusterers of one."""
    return tuple(getattr(settings, name) for name in (*_SPACE, "seed"))
