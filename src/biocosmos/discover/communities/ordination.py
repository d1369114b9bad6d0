"""Samples in two dimensions by how alike their communities are: principal coordinates, and non-metric scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Floats = npt.NDArray[np.float64]
FEWEST = 3
"""Samples of which an ordination says anything."""
STARTS, STEPS, CLOSE = 8, 300, 1e-6
MANY = 100
"""Samples from which fewer starts are tried."""
ORDINATIONS = ("nmds", "pcoa")


@dataclass(frozen=True)
class Ordination:
    """axes: (s, 2) float64; method: "nmds" or "pcoa"; stress: Kruskal's first of nmds; explained: (2,) shares of the variation of
    each axis of pcoa, of what is above 0."""

    axes: Floats
    method: str
    stress: float | None = None
    explained: tuple[float, float] | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Of the axes."""
        if self.explained is None:
            return "NMDS 1", "NMDS 2"
        return (f"PCoA 1 ({self.explained[0]:.0%})", f"PCoA 2 ({self.explained[1]:.0%})")

    @property
    def note(self) -> str:
        """How well two dimensions hold it."""
        return f"stress {self.stress:.3f}" if self.stress is not None else ""


def ordinate(distances: npt.ArrayLike, method: str = "nmds", *, seed: int = 0) -> Ordination:
    """Two axes for (s, s) distances, such as :func:`biocosmos.discover.communities.diversity.bray_curtis`.

    nmds starts from the principal coordinates and from places around them, and keeps the least stress. Raises BiocosmosError
    for fewer than three samples, for distances that are not known, and for an unknown method.
    """
    apart = np.asarray(distances, np.float64)
    if method not in ORDINATIONS:
        raise BiocosmosError(f"unknown ordination {method!r}: choose {' or '.join(ORDINATIONS)}")
    if apart.ndim != 2 or apart.shape[0] != apart.shape[1]:
        raise BiocosmosError(f"distances must be of samples by samples, not of shape {apart.shape}")
    if len(apart) < FEWEST:
        raise BiocosmosError(f"{len(apart)} samples have no ordination: it takes {FEWEST}")
    if np.isnan(apart).any():
        raise BiocosmosError("some distances are not known: leave samples out that are empty or have no concentration")
    found = _pcoa(apart)
    return found if method == "pcoa" else _nmds(apart, found.axes, seed)


def _pcoa(apart: Floats) -> Ordination:
    """Eigenvectors of the centred squares of the distances (Gower 1966), the larger end of each axis on the right."""
    size = len(apart)
    centre = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-0.5 * centre @ apart**2 @ centre)
    order = np.argsort(values)[::-1][:2]
    top = np.clip(values[order], 0, None)
    axes = vectors[:, order] * np.sqrt(top)
    above = float(values[values > 0].sum())
    shares = top / above if above > 0 else np.zeros(2)
    return Ordination(_turned(axes), "pcoa", explained=(float(shares[0]), float(shares[1])))


def _nmds(apart: Floats, start: Floats, seed: int) -> Ordination:
    """Least of Kruskal's stress 1 over some starts around ``start`` (Kruskal 1964): distances are fitted to the order of
    ``apart`` by isotonic regression, places to these by majorisation (de Leeuw 1977)."""
    rng = np.random.default_rng(seed)
    spread = float(np.abs(start).max()) or 1.0
    starts = [start, *(start + rng.normal(0, spread / 2, start.shape) for _ in range(STARTS - 1 if len(apart) <= MANY else 1))]
    found = [_majorised(apart, each) for each in starts]
    # Where one sample has nothing in common with the others, all of these on one point have no stress, and say nothing.
    spreads = [each for each in found if _is_spread(each[1])] or found[:1]
    stress, axes = min(spreads, key=lambda each: each[0])
    axes = axes - axes.mean(axis=0)
    between = np.sqrt(((axes[:, None] - axes) ** 2).sum(axis=2))
    axes *= float(apart.mean()) / max(float(between.mean()), 1e-12)  # nothing but the order is known: as far apart on the whole
    _, _, turn = np.linalg.svd(axes, full_matrices=False)
    return Ordination(_turned(axes @ turn.T), "nmds", stress=stress)


def _is_spread(places: Floats) -> bool:
    """Whether more than a few samples lie apart."""
    rows, columns = np.triu_indices(len(places), 1)
    between = np.sqrt(((places[rows] - places[columns]) ** 2).sum(axis=1))
    return bool(np.median(between) > 0.01 * between.max(initial=0.0))


def _majorised(apart: Floats, start: Floats) -> tuple[float, Floats]:
    """(stress, places) from one start."""
    from sklearn.isotonic import isotonic_regression

    rows, columns = np.triu_indices(len(apart), 1)
    wanted, places, before = apart[rows, columns], start.copy(), np.inf
    order = np.argsort(wanted, kind="stable")
    stress = np.inf
    for _ in range(STEPS):
        between = np.sqrt(((places[rows] - places[columns]) ** 2).sum(axis=1))
        if not between.any():
            return 0.0, places
        targets = np.empty_like(between)
        ties = _tied(between, wanted, order)
        targets[ties] = isotonic_regression(between[ties])
        stress = float(np.sqrt(((between - targets) ** 2).sum() / (between**2).sum()))
        if before - stress < CLOSE:
            break
        before = stress
        targets *= np.sqrt((between**2).sum() / max(float((targets**2).sum()), 1e-12))
        ratio = np.divide(targets, between, out=np.zeros_like(between), where=between > 1e-12)
        pull = np.zeros_like(apart)
        pull[rows, columns] = pull[columns, rows] = -ratio
        np.fill_diagonal(pull, -pull.sum(axis=1))
        places = pull @ places / len(apart)
    return stress, places


def _tied(between: Floats, wanted: Floats, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Pairs by their distance, equal ones by what lies between them: ties may be broken (Kruskal's primary approach)."""
    return np.asarray(np.lexsort((between, wanted))) if len(np.unique(wanted)) < len(wanted) else order


def _turned(axes: Floats) -> Floats:
    """Each axis so that its entry of the largest size is above 0: the same picture at each run."""
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(axes * np.where(signs == 0, 1, signs))


__all__ = ["ORDINATIONS", "Ordination", "ordinate"]
