"""Bandwidths of a kernel prior, chosen where they are judged: on cells whose specimens were all held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.places import Places, cells
from biocosmos.places.kernel import Apart, Bandwidths, KernelPrior

Float64 = npt.NDArray[np.float64]

KILOMETRES = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
DAYS = (7.0, 10.0, 15.0, 20.0, 30.0, 60.0, float("inf"))
METRES = (10.0, 30.0, 100.0, 300.0, float("inf"))
SPECIMENS = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0)
FOLDS = 5
PAIRS = 10_000_000
"""Pairs of a held-out and a fitted specimen that are weighed; of more specimens a seeded sample judges."""
BLOCK = 300_000


@dataclass(frozen=True)
class Chosen:
    """bandwidths: the best; nll: (tried,) mean -log p of the held-out specimens' taxa in nats; tried: in the same order.

    base: the same of the overall shares alone; judged: specimens in these means; left_out: held-out ones whose taxon was
    collected in no other part, so that nothing can be said of them.
    """

    bandwidths: Bandwidths
    nll: Float64
    tried: tuple[Bandwidths, ...]
    base: float
    judged: int
    left_out: int


def choose(
    taxa: npt.NDArray[np.object_] | list[str],
    places: Places,
    *,
    degrees: float = 0.1,
    seed: int = 0,
    kilometres: float | None = None,
    days: float | None = None,
    metres: float | None = None,
    specimens: float | None = None,
) -> Chosen:
    """Try all bandwidths on specimens of cells of ``degrees`` that are held out in turn, and take those of the least -log p.

    Where nobody has a depth (a day), that part is left out. Specimens without a place are grouped by their day. A bandwidth
    that is given is not chosen.

    Raises:
        BiocosmosError: fewer than two cells, or no taxon in two of the parts that are held out, so that nothing can be judged.
    """
    names = np.asarray(taxa, dtype=object)
    groups = groups_of(places, degrees)
    if len(np.unique(groups)) < 2:
        raise BiocosmosError("all specimens lie in one cell: bandwidths cannot be chosen; give --kilometres and --days")
    _, taxon = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(taxon, kind="stable")
    taxon, groups, places = taxon[order], groups[order], places.take(order)
    where = places.numbers
    spaces = _asked(kilometres, KILOMETRES, places.has_place.any())
    seasons = _asked(days, DAYS, places.has_day.any())
    levels = _asked(metres, METRES, np.isfinite(places.depth).any())
    weights = _asked(specimens, SPECIMENS, True)
    widths = [Bandwidths(h, s, v) for v, s, h in product(levels, seasons, spaces)]
    total, alone, judged, left_out = np.zeros((len(widths), len(weights))), 0.0, 0, 0
    for held, kept in _folds(groups, len(taxon), seed):
        known, first = np.unique(taxon[kept], return_index=True)
        base = np.bincount(taxon[kept], minlength=taxon.max() + 1) / len(kept)
        column = np.full(taxon.max() + 1, -1)
        column[known] = np.arange(len(known))
        left_out += int((base[taxon[held]] == 0).sum())
        held = held[base[taxon[held]] > 0]
        step = max(1, BLOCK // len(kept))
        for start in range(0, len(held), step):
            asked = held[start : start + step]
            here, own = places.take(asked), column[taxon[asked]]
            apart = Apart.of(here, where[kept])
            near = [apart.near(width) for width in spaces]
            number = 0
            for depth, season in product(levels, seasons):
                then = apart.season(season) if np.isinf(depth) else apart.season(season) * apart.level(depth)
                for space in near:
                    sums = np.add.reduceat(space * then, first, axis=1)
                    mine = sums[np.arange(len(asked)), own][:, None]
                    p = (mine + base[taxon[asked]][:, None] * weights) / (sums.sum(1)[:, None] + weights)
                    total[number] -= np.log(p).sum(0)
                    number += 1
        judged += len(held)
        alone -= float(np.log(base[taxon[held]]).sum())
    if not judged:
        raise BiocosmosError("no taxon was collected in two cells: bandwidths cannot be chosen; give --kilometres and --days")
    tried = tuple(Bandwidths(w.kilometres, w.days, w.metres, m) for w in widths for m in weights)
    nll = total.reshape(-1) / judged
    return Chosen(tried[int(nll.argmin())], nll, tried, alone / judged, judged, left_out)


def _asked(given: float | None, others: tuple[float, ...], known: Any) -> tuple[float, ...]:
    """What is tried of one bandwidth; infinity where no specimen says anything of it."""
    if given is not None:
        return (given,)
    return others if known else (float("inf"),)


def fit(
    taxa: npt.NDArray[np.object_] | list[str],
    places: Places,
    *,
    ids: npt.NDArray[np.object_] | None = None,
    degrees: float = 0.1,
    seed: int = 0,
) -> KernelPrior:
    """A kernel prior with bandwidths of :func:`choose`; with those of the default where nothing can be judged."""
    try:
        bandwidths = choose(taxa, places, degrees=degrees, seed=seed).bandwidths
    except BiocosmosError:
        bandwidths = Bandwidths()
    return KernelPrior.fit(taxa, places, ids=ids, bandwidths=bandwidths)


def groups_of(places: Places, degrees: float = 0.1) -> npt.NDArray[np.int64]:
    """(n,) what is held out together: cells; days of the year where there is no place."""
    own = cells(places.latitude, places.longitude, degrees)
    days = np.nan_to_num(places.day, nan=-1).astype(np.int64)
    return np.where(own >= 0, own, -2 - days)


def _folds(
    groups: npt.NDArray[np.int64], number: int, seed: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """(held out, kept) rows of each fold, so many held-out ones that the pairs stay within :data:`PAIRS`."""
    rng = np.random.default_rng(seed)
    known = rng.permutation(np.unique(groups))
    folds = min(FOLDS, len(known))
    order = np.argsort(known)
    own = (order % folds)[np.searchsorted(known[order], groups)]
    most = max(1, PAIRS // number // folds)
    for fold in range(folds):
        held = np.flatnonzero(own == fold)
        if len(held) > most:
            held = np.sort(rng.choice(held, most, replace=False))
        yield held, np.flatnonzero(own != fold)
