"""A kernel prior: the shares of taxa among the specimens collected near by, at that time of the year, at that depth.

p_c = (Σ_{i of c} w_i + m π_c) / (Σ_i w_i + m),  w = exp(-d²/2h² - Δt²/2s² - Δz²/2v²): d kilometres along the great circle,
Δt days the shorter way around the year, Δz metres; m specimens' worth of the overall shares π. It says where people collected,
not where taxa live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.arrays import read_arrays
from biocosmos.errors import BiocosmosError
from biocosmos.places.columns import Places
from biocosmos.places.days import YEAR, days_apart
from biocosmos.places.sphere import EARTH, on_sphere
from biocosmos.tables import replacing

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

KERNEL = "kernel.npz"
REACH = 6.0
"""Bandwidths beyond which a specimen weighs nothing: less than 1.6e-8 of one near by."""
_ARRAYS = {
    "taxa": ("U", 1),
    "learnt": ("U", 1),
    "taxon": ("iu", 1),
    "where": ("f", 2),
    "bandwidths": ("f", 1),
}


@dataclass(frozen=True)
class Bandwidths:
    """kilometres, days, metres: standard deviations of the kernel, infinity leaves that part out; specimens: m, above 0."""

    kilometres: float = 15.0
    days: float = 15.0
    metres: float = float("inf")
    specimens: float = 20.0

    def __post_init__(self) -> None:
        values = (self.kilometres, self.days, self.metres, self.specimens)
        if not all(value > 0 for value in values) or self.specimens == float("inf"):
            raise BiocosmosError(f"bandwidths of a kernel prior are above 0: {values}")


@dataclass(frozen=True, eq=False)
class KernelPrior:
    """Fitted on specimens of C taxa; make one with :meth:`fit`.

    taxon: (n,) int64 into ``taxa``, ascending; where: (n, 4) float64 latitude, longitude, day, depth, nan unknown.
    """

    taxa: tuple[str, ...]
    taxon: Int64
    where: Float64
    bandwidths: Bandwidths
    learnt: npt.NDArray[np.object_]
    presence: bool = False

    @classmethod
    def fit(
        cls,
        taxa: npt.NDArray[np.object_] | list[str],
        places: Places,
        *,
        ids: npt.NDArray[np.object_] | None = None,
        bandwidths: Bandwidths | None = None,
    ) -> KernelPrior:
        """The prior of n specimens: the path of the taxon of each, and where and when it was collected.

        Specimens of which neither place nor day is known count for the overall shares and weigh nothing anywhere.

        Raises:
            BiocosmosError: no specimens, or none with a place or a day.
        """
        names = np.asarray(taxa, dtype=object)
        if len(names) != len(places):
            raise BiocosmosError(f"{len(names)} taxa do not go with {len(places)} places")
        if not (places.has_place | places.has_day).any():
            raise BiocosmosError("no specimen has a place or a date: a prior of places needs latitude and longitude, or date")
        known, taxon = np.unique(names.astype(str), return_inverse=True)
        order = np.argsort(taxon, kind="stable")
        where = places.numbers[order]
        own = np.arange(len(names)).astype(str).astype(object) if ids is None else np.asarray(ids, dtype=object)
        return cls(tuple(known.tolist()), taxon[order].astype(np.int64), where, bandwidths or Bandwidths(), own[order])

    @cached_property
    def counts(self) -> Float64:
        """(C,) specimens of each taxon."""
        return np.bincount(self.taxon, minlength=len(self.taxa)).astype(np.float64)

    @property
    def base(self) -> Float64:
        """(C,) π."""
        return np.asarray(self.counts / self.counts.sum())

    def known(self, places: Places) -> npt.NDArray[np.bool_]:
        """(n,) whether anything is known of a place that a bandwidth is of."""
        h = self.bandwidths
        told = ((places.has_place, h.kilometres), (places.has_day, h.days), (np.isfinite(places.depth), h.metres))
        return np.asarray(np.logical_or.reduce([there & np.isfinite(width) for there, width in told]))

    def shares(self, places: Places) -> Float64:
        """(n, C) float64 shares, rows sum to 1.

        What a query does not say is not asked. A specimen without a place weighs nothing where a place is asked; one without
        a day what one of any day weighs on average; one without a depth what one two bandwidths away weighs.
        """
        once, again = np.unique(np.nan_to_num(places.numbers, nan=np.inf), axis=0, return_inverse=True)
        places = Places.of_numbers(np.where(np.isinf(once), np.nan, once))
        weights = np.zeros((len(places), len(self.taxa)))
        for row, point in enumerate(on_sphere(places.latitude, places.longitude)):
            weights[row] = self._summed(point, float(places.day[row]), float(places.depth[row]))
        m = self.bandwidths.specimens
        found = (weights + m * self.base) / (weights.sum(1, keepdims=True) + m)
        return np.asarray(found[again.reshape(-1)])

    def chances(self, places: Places) -> Float64:
        """The shares: they sum to 1."""
        return self.shares(places)

    def _summed(self, point: Float64, day: float, depth: float) -> Float64:
        """(C,) Σ w of each taxon at a point of the sphere, on a day, at a depth; nan where not known.

        A specimen beyond :data:`REACH` bandwidths is left out: it weighs less than 1.6e-8, a million of them together less than
        .016 specimens, of m that the overall shares count for.
        """
        spread, h = self._spread, self.bandwidths
        placed = bool(np.isfinite(point).all())
        if placed and np.isfinite(h.kilometres):
            near = np.array(spread.tree.query_ball_point(point, _chord(REACH * h.kilometres)), np.int64)
            space = _gauss(_kilometres(point, spread.points[near]), h.kilometres)
            rows, weights = spread.specimens_at(near, space)
        elif placed or np.isfinite(day) or np.isfinite(depth):
            rows, weights = slice(None), np.ones(len(self.taxon))
        else:
            return np.zeros(len(self.taxa))
        if np.isfinite(day) and np.isfinite(h.days):
            weights = weights * _of_each(lambda days: _season(days_apart(day, days), h.days), spread.days, spread.day[rows])
        if np.isfinite(depth) and np.isfinite(h.metres):
            weights = weights * _of_each(lambda z: _level(np.abs(depth - z), h.metres), spread.depths, spread.depth[rows])
        return np.bincount(spread.taxon[rows], weights, minlength=len(self.taxa)).astype(np.float64)

    def taxa_near(self, point: Float64, day: float, depth: float, times: float) -> Int64:
        """The taxa of the specimens within so many bandwidths of a point of the sphere, a day and a depth; nan is not asked."""
        spread, h = self._spread, self.bandwidths
        rows: Any = slice(None)
        inside = np.ones(len(self.taxon), np.bool_)
        if np.isfinite(point).all() and np.isfinite(h.kilometres):
            near = np.array(spread.tree.query_ball_point(point, _chord(times * h.kilometres) * (1 + 1e-9)), np.int64)
            near = near[_kilometres(point, spread.points[near]) <= times * h.kilometres]
            rows, there = spread.specimens_at(near, np.ones(len(near)))
            inside = there > 0
        for asked, width, values, which, apart in (
            (day, h.days, spread.days, spread.day, days_apart),
            (depth, h.metres, spread.depths, spread.depth, lambda one, others: np.abs(one - others)),
        ):
            if np.isfinite(asked) and np.isfinite(width):
                inside = inside & (np.nan_to_num(apart(asked, values), nan=np.inf) <= times * width)[which[rows]]
        return np.asarray(spread.taxon[rows][inside])

    @cached_property
    def _spread(self) -> _Spread:
        return _Spread.of(self.taxon, self.where)

    def save(self, folder: str | Path) -> Path:
        """Write ``kernel.npz`` into the folder, whole or not at all."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        h = self.bandwidths
        with replacing(path / KERNEL) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                taxa=np.array(self.taxa, np.str_),
                learnt=self.learnt.astype(np.str_),
                taxon=self.taxon,
                where=self.where,
                bandwidths=np.array([h.kilometres, h.days, h.metres, h.specimens]),
            )
        return path

    @classmethod
    def load(cls, folder: str | Path) -> KernelPrior:
        """Read what :meth:`save` wrote. Raises BiocosmosError for a missing or broken file."""
        path = Path(folder) / KERNEL
        remedy = "make it again with 'biocosmos train place'"
        stored = read_arrays(path, _ARRAYS, what="a kernel prior", remedy=remedy)
        taxa, taxon, where = stored["taxa"], stored["taxon"].astype(np.int64), stored["where"].astype(np.float64)
        fits = where.shape == (len(taxon), 4) and len(stored["learnt"]) == len(taxon) and len(stored["bandwidths"]) == 4
        if not fits or not len(taxon) or not np.array_equal(np.unique(taxon), np.arange(len(taxa))) or (np.diff(taxon) < 0).any():
            raise BiocosmosError(f"cannot read a kernel prior from {path} (its parts do not fit together): {remedy}")
        if len(set(taxa.tolist())) < len(taxa) or np.isinf(where).any() or (np.abs(where[:, :2]) > (90, 180)).any():
            raise BiocosmosError(f"cannot read a kernel prior from {path} (taxa twice, or places that cannot be): {remedy}")
        try:
            bandwidths = Bandwidths(*(float(value) for value in stored["bandwidths"]))
        except BiocosmosError as error:
            raise BiocosmosError(f"cannot read a kernel prior from {path} ({error}): {remedy}") from error
        return cls(tuple(taxa.tolist()), taxon, where, bandwidths, stored["learnt"].astype(object))


@dataclass(frozen=True)
class Apart:
    """How far q places and n specimens are apart, (q, n) each.

    0 where a place does not say it, so that nothing is asked; nan where only the specimen does not say it. kilometres: infinity
    in place of nan, as a specimen from nowhere is not near.
    """

    kilometres: Float64
    days: Float64
    metres: Float64

    @classmethod
    def of(cls, places: Places, where: Float64) -> Apart:
        """where: (n, 4) latitude, longitude, day, depth of the specimens."""
        here, there = on_sphere(places.latitude, places.longitude), on_sphere(where[:, 0], where[:, 1])
        distance = _kilometres(here[:, None], there[None])
        days, depth = days_apart(places.day[:, None], where[None, :, 2]), np.abs(places.depth[:, None] - where[None, :, 3])
        return cls(
            np.where(places.has_place[:, None], np.where(np.isnan(distance), np.inf, distance), 0),
            np.where(places.has_day[:, None], days, 0),
            np.where(np.isfinite(places.depth)[:, None], depth, 0),
        )

    def near(self, kilometres: float) -> Float64:
        """The kernel's factor of space."""
        return _gauss(self.kilometres, kilometres)

    def season(self, days: float) -> Float64:
        """The factor of the day; of a specimen without a day what it is on average."""
        return _season(self.days, days)

    def level(self, metres: float) -> Float64:
        """The factor of depth; of a specimen without one what it is two bandwidths away."""
        return _level(self.metres, metres)


@dataclass(frozen=True, eq=False)
class _Spread:
    """The n specimens in the order of their places, so that what many share is computed once.

    points: (p, 3) the places that there are, tree: over them; starts: (p + 1,) where the specimens of each begin; behind the last
    stand those without a place. taxon: (n,); days, depths: the ones that there are, nan among them; day, depth: (n,) into these.
    """

    points: Float64
    tree: Any
    starts: Int64
    taxon: Int64
    days: Float64
    day: Int64
    depths: Float64
    depth: Int64

    @classmethod
    def of(cls, taxon: Int64, where: Float64) -> _Spread:
        from scipy.spatial import cKDTree

        known = np.isfinite(where[:, 0]) & np.isfinite(where[:, 1])
        there = np.flatnonzero(known)
        spots, place = np.unique(where[there, 0] + 1j * where[there, 1], return_inverse=True)
        order = np.concatenate([there[np.argsort(place, kind="stable")], np.flatnonzero(~known)])
        points = on_sphere(spots.real, spots.imag).reshape(-1, 3)
        starts = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(spots)))]).astype(np.int64)
        days, day = np.unique(where[order, 2], return_inverse=True)
        depths, depth = np.unique(where[order, 3], return_inverse=True)
        return cls(points, cKDTree(points), starts, taxon[order], days, day.reshape(-1), depths, depth.reshape(-1))

    def specimens_at(self, places: Int64, weights: Float64) -> tuple[Any, Float64]:
        """(rows, their weights) of the specimens of these places, a weight a place."""
        counts = self.starts[places + 1] - self.starts[places]
        if counts.sum() > len(self.taxon) // 2:
            of_place = np.zeros(len(self.points))
            of_place[places] = weights
            unplaced = np.zeros(len(self.taxon) - self.starts[-1])
            return slice(None), np.concatenate([np.repeat(of_place, np.diff(self.starts)), unplaced])
        before = np.cumsum(counts) - counts
        rows = np.repeat(self.starts[places] - before, counts) + np.arange(counts.sum())
        return rows, np.repeat(weights, counts)


def _of_each(weigh: Callable[[Float64], Float64], values: Float64, which: Int64) -> Float64:
    """What ``weigh`` gives of each value, for those that ``which`` names; few of many are computed alone."""
    return weigh(values[which]) if len(which) < len(values) else weigh(values)[which]


def _chord(kilometres: float) -> float:
    """How far apart through the sphere, in its radii, points so far apart along the great circle are."""
    return float(2 * np.sin(min(kilometres / EARTH, np.pi) / 2))


def _kilometres(point: Float64, points: Float64) -> Float64:
    """Along the great circle, from points of the unit sphere."""
    return np.asarray(2 * EARTH * np.arcsin(np.minimum(np.linalg.norm(points - point, axis=-1) / 2, 1)))


def _season(apart: Float64, days: float) -> Float64:
    return _gauss(apart, days, min(1.0, np.sqrt(2 * np.pi) * days / YEAR))


def _level(apart: Float64, metres: float) -> Float64:
    return _gauss(apart, metres, float(np.exp(-2)))


def kernel(places: Places, where: Float64, bandwidths: Bandwidths) -> Float64:
    """(q, n) float64 weights of n specimens (rows latitude, longitude, day, depth) at q places."""
    apart = Apart.of(places, where)
    return apart.near(bandwidths.kilometres) * apart.season(bandwidths.days) * apart.level(bandwidths.metres)


def _gauss(apart: Float64, width: float, otherwise: float = 0.0) -> Float64:
    if np.isinf(width):
        return np.ones_like(apart)
    with np.errstate(over="ignore"):
        weights = np.exp((apart / width) ** 2 / -2)
    return np.where(np.isnan(weights), otherwise, weights)
