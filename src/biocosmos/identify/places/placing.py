"""What a prior of places makes of predictions: a factor on every leaf, whose size is chosen on held-out specimens.

q ∝ p · max(g / π, floor)^β on the leaves, renormalised, and then summed up the tree, so that ranks agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.priors.choosing import groups_of
from biocosmos.identify.priors.combining import inner_as_published
from biocosmos.identify.priors.prior import Prior
from biocosmos.places import Places, cells, on_sphere
from biocosmos.places.kernel import KernelPrior
from biocosmos.taxonomy import Taxonomy

Float64 = npt.NDArray[np.float64]
Way = Literal["leaves", "inaturalist"]
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
FLOORS = (0.005, 0.02, 0.1, 0.3)
PUBLISHED_FLOOR = 0.005
"""Of iNaturalist's vision API."""
DEGREES = 0.1
FOLDS = 5
LEAST = 1e-12
NEAR = 2
"""Bandwidths within which a specimen is called near by."""


@dataclass(frozen=True)
class Chosen:
    """What floor and exponent were chosen on: specimens; nll without and with place as it counts best, in nats a specimen; by:
    cells or rows; error: the standard error of the gain, those of a cell being alike."""

    specimens: int
    without: float
    with_place: float
    by: str
    error: float


@dataclass(frozen=True, eq=False)
class Placing:
    """A prior, and how it is combined with what a namer says.

    way: "leaves", ours; "inaturalist": p · max(g, floor) on the leaves, made to sum to 1; their own scores are :meth:`published`.
    exponent: β, 0 changes nothing. chosen: on what, None where it is set by hand.
    """

    prior: Prior
    way: Way = "leaves"
    floor: float = PUBLISHED_FLOOR
    exponent: float = 1.0
    chosen: Chosen | None = None

    def ratios(
        self, taxonomy: Taxonomy, classes: npt.NDArray[np.int32], places: Places, shares: Float64 | None = None
    ) -> Float64:
        """(n, C) float64 g / π of each class (g alone of presence scores and in iNaturalist's way), nan where the prior does not
        know the taxon. shares: g, where it was made otherwise. A class below a taxon of the prior has the factor of that taxon;
        one above some has that of their sum."""
        g = self.prior.shares(places) if shares is None else shares
        alone = self.prior.presence or self.way == "inaturalist"
        return _ratios(taxonomy, classes, self.prior.taxa, g, None if alone else self.prior.base, most=self.prior.presence)

    def combine(self, predictions: Predictions, places: Places, shares: Float64 | None = None) -> Predictions:
        """The same specimens with their places; rows of which the prior knows nothing keep their very logits."""
        told = self.prior.known(places)
        if not told.any() or self.exponent == 0:
            return predictions
        ratios = self.ratios(predictions.taxonomy, predictions.classes, places, shares)
        logits = predictions.logits.copy()
        weighed = _weighed(predictions.logits[told], ratios[told], self.floor, self.exponent)
        logits[told] = weighed.astype(np.float32)
        return replace(predictions, logits=logits)

    def published(
        self, predictions: Predictions, nodes: npt.NDArray[np.int32], places: Places, shares: Float64 | None = None
    ) -> Float64:
        """(n, L) float64 scores of a path's nodes as iNaturalist's vision API has them, nan where it has none."""
        ratios = self.ratios(predictions.taxonomy, predictions.classes, places, shares)
        g, p = np.where(np.isnan(ratios), 1.0, ratios), predictions.class_probabilities()
        found = np.full(nodes.shape, np.nan)
        for node in np.unique(nodes[nodes >= 0]):
            first, last = np.searchsorted(predictions.classes, [node, predictions.taxonomy.end[node]])
            members = np.zeros((1, len(predictions.classes)), np.bool_)
            members[0, first:last] = True
            score = inner_as_published(p, g, members, floor=self.floor)[:, 0]
            found = np.where(nodes == node, score[:, None], found)
        return found

    def choose(
        self, predictions: Predictions, places: Places, shares: Float64, by: str, unseen: npt.NDArray[np.bool_] | None = None
    ) -> Placing:
        """With the floor and the exponent of the least mean -log q of the true taxa, and exponent 0 unless it gains more than its
        standard error (the one-standard-error rule: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984).

        Rows without truth or place are left out, and those that no prior can help to name: ``unseen`` ones (n,), whose taxon was
        hidden from the namer, and those whose true taxon it gives no chance at all. Raises BiocosmosError with no row left.
        """
        judged = (predictions.truth > 0) & self.prior.known(places) & predictions.answerable
        if unseen is not None:
            judged &= ~unseen
        rows = np.flatnonzero(judged)
        rows = rows[np.isfinite(_log_p(predictions.subset(rows), predictions.logits[rows]))]
        if not len(rows):
            raise BiocosmosError(
                "no specimen that can be held out has a name and a place: how much a prior counts for cannot be chosen; leave "
                "--prior out, or name with --prior none"
            )
        asked, where = predictions.subset(rows), places.take(rows)
        plain = _losses(asked, asked.logits)
        if self.way == "inaturalist":
            tried = [(PUBLISHED_FLOOR, 1.0)]
        else:
            tried = [(floor, exponent) for exponent, floor in product(EXPONENTS, FLOORS) if exponent]
        ratios = self.ratios(asked.taxonomy, asked.classes, where, shares[rows])
        losses = np.stack([_losses(asked, _weighed(asked.logits, ratios, floor, exponent)) for floor, exponent in tried])
        best = int(losses.mean(axis=1).argmin())
        floor, exponent = tried[best]
        gain = plain - losses[best]
        error = _standard_error(gain, groups_of(where, DEGREES))
        if self.way == "leaves" and not gain.mean() > error:
            floor, exponent = FLOORS[0], 0.0
        chosen = Chosen(len(rows), float(plain.mean()), float(losses[best].mean()), by, error)
        return replace(self, floor=floor, exponent=exponent, chosen=chosen)

    def evidence(
        self,
        taxonomy: Taxonomy,
        nodes: npt.NDArray[np.int32],
        places: Places,
        shares: Float64 | None = None,
        *,
        held_out: bool = False,
    ) -> list[str | None]:
        """What the prior says of one taxon a specimen (n,): how many times its overall share it has there, and of how many
        specimens near by that was counted, which held-out cells are not told; None where no place is known."""
        told, said = self.prior.known(places), list[str | None]([None] * len(places))
        rows = np.flatnonzero(told & (nodes > 0))
        if not len(rows):
            return said
        kinds, column = np.unique(nodes[rows], return_inverse=True)
        own = None if shares is None else shares[rows]
        ratios = self.ratios(taxonomy, kinds.astype(np.int32), places.take(rows), own)[np.arange(len(rows)), column.reshape(-1)]
        names, paths = taxonomy.name(nodes[rows]), paths_of(taxonomy, nodes[rows])
        for number, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
            if np.isnan(ratio):
                said[row] = f"{names[number]}: the prior does not know it, nothing changed"
                continue
            what = "its presence score" if self.prior.presence else "its overall share times"
            factor = max(ratio, self.floor) ** self.exponent
            said[row] = f"{names[number]}: {what} {ratio:.3g}, which counts as {factor:.3g}"
            if isinstance(self.prior, KernelPrior) and not held_out:
                here = places.take(slice(int(row), int(row) + 1))
                said[row] = f"{said[row]}; {near_by(self.prior, paths[number], here)}"
        return said

    def note(self) -> str:
        """What it does, in a sentence."""
        if self.chosen is None:
            return f"place counts with exponent {self.exponent:g} and floor {self.floor:g}"
        c = self.chosen
        both = f"mean -log p of the right name (less is better) {c.without:.3f} without place and {c.with_place:.3f} with it"
        judged = f"on {c.specimens:,} specimens held out by {c.by}, {both}"
        gain = f"a gain of {c.without - c.with_place:.3f} with a standard error of {c.error:.3f}"
        if self.exponent == 0:
            return f"the prior changes nothing: {judged} at best, {gain}, which it must exceed to count"
        return (
            f"place counts with exponent {self.exponent:g} and floor {self.floor:g}: {judged}, {gain}; "
            "the prior says where specimens were collected, not where taxa live"
        )

    def about(self) -> dict[str, Any]:
        """For provenance, JSON-ready."""
        chosen = None if self.chosen is None else vars(self.chosen)
        return {
            "way": self.way,
            "floor": self.floor,
            "exponent": self.exponent,
            "chosen": chosen,
            "taxa": len(self.prior.taxa),
            "specimens": len(self.prior.learnt),
        }


def known_rows(places: Places) -> npt.NDArray[np.bool_]:
    """(n,) whether there is anything that a prior can be asked: coordinates, a day or a depth."""
    return np.asarray(places.has_place | places.has_day | np.isfinite(places.depth))


def near_by(prior: KernelPrior, path: str, place: Places) -> str:
    """How many specimens of a taxon, of how many, lie within two bandwidths of one place, in words."""
    widths, (_, _, day, depth) = prior.bandwidths, place.numbers[0]
    within = [
        f"{NEAR * width:g} {unit}"
        for told, width, unit in (
            (place.has_place[0], widths.kilometres, "km"),
            (place.has_day[0], widths.days, "days"),
            (np.isfinite(depth), widths.metres, "m of depth"),
        )
        if told and np.isfinite(width)
    ]
    near = prior.taxa_near(on_sphere(place.latitude, place.longitude)[0], day, depth, NEAR)
    mine = np.isin(near, known_taxa(prior.taxa).members(path))
    return f"{int(mine.sum()):,} of the {len(near):,} specimens within {' and '.join(within) or 'any distance'}"


def paths_of(taxonomy: Taxonomy, nodes: npt.NDArray[np.int32]) -> list[str]:
    """The path of each node as priors write it: names from the top, "/" between."""
    known = {int(node): "/".join(name for name in taxonomy.path(int(node)) if name is not None) for node in np.unique(nodes)}
    return [known[int(node)] for node in nodes]


def held_out_shares(
    prior: Prior, ids: Sequence[str] | npt.NDArray[np.object_], places: Places, seed: int = 0
) -> tuple[Float64, str]:
    """(n, C) shares by a prior that was fitted without the cells of those asked about, and what was held out, in words.

    A kernel prior is fitted without a fold of cells after the other. Of another prior the specimens that it learnt have no
    shares (nan), since it cannot be fitted without them.
    """
    if not isinstance(prior, KernelPrior):
        shares = prior.shares(places)
        shares[np.isin(np.asarray(ids, object).astype(str), prior.learnt.astype(str))] = np.nan
        return shares, "rows"
    own, theirs = cells(places.latitude, places.longitude, DEGREES), cells(prior.where[:, 0], prior.where[:, 1], DEGREES)
    number = len(np.unique(own[own >= 0]))
    if number < 2:  # nothing to hold out by place: a specimen is left out alone with a fold of others
        names = np.unique(np.concatenate([np.asarray(ids, object).astype(str), prior.learnt.astype(str)]))
        fold = np.random.default_rng(seed).permutation(len(names)) % FOLDS
        asked = fold[np.searchsorted(names, np.asarray(ids, object).astype(str))]
        learnt, by = fold[np.searchsorted(names, prior.learnt.astype(str))], "rows"
    else:
        every = np.unique(np.concatenate([own, theirs]))
        fold = np.random.default_rng(seed).permutation(len(every)) % FOLDS
        asked, learnt = fold[np.searchsorted(every, own)], fold[np.searchsorted(every, theirs)]
        by = f"cells of {DEGREES:g} degrees"
    shares = np.full((len(places), len(prior.taxa)), np.nan)
    for each in np.unique(asked):
        kept, rows = learnt != each, np.flatnonzero(asked == each)
        if not kept.any():
            continue
        part = replace(prior, taxon=prior.taxon[kept], where=prior.where[kept], learnt=prior.learnt[kept])
        found = part.shares(places.take(rows))
        base = part.base
        # shares over this part's own base are what counts: they are brought to the base of all
        shares[rows] = np.where(base > 0, found / np.maximum(base, LEAST) * prior.base, np.nan)
    return shares, by


def _weighed(logits: npt.NDArray[Any], ratios: Float64, floor: float, exponent: float) -> Float64:
    factor = np.log(np.maximum(np.where(np.isnan(ratios), 1.0, ratios), max(floor, LEAST)))
    return np.asarray(logits.astype(np.float64) + exponent * factor)


def _log_p(predictions: Predictions, logits: npt.NDArray[Any]) -> Float64:
    return predictions.tree.log_p(logits, predictions.truth[:, None])[:, 0]


def _losses(predictions: Predictions, logits: npt.NDArray[Any]) -> Float64:
    """(n,) -log p of the true taxa."""
    return np.asarray(-np.maximum(_log_p(predictions, logits.astype(np.float32)), np.log(LEAST)))


def _standard_error(gains: Float64, groups: npt.NDArray[np.int64]) -> float:
    """Of the mean of gains (n,), those of a group being alike (each its own in one group); of a single gain it is that one."""
    if len(gains) < 2:
        return float(np.abs(gains).sum())
    _, of = np.unique(groups, return_inverse=True)
    of = of if of.any() else np.arange(len(gains))
    number = int(of.max()) + 1
    sums = np.bincount(of, gains - gains.mean())
    return float(np.sqrt((sums**2).sum() * number / (number - 1)) / len(gains))


def _ratios(
    taxonomy: Taxonomy,
    classes: npt.NDArray[np.int32],
    taxa: tuple[str, ...],
    g: Float64,
    base: Float64 | None,
    *,
    most: bool,
) -> Float64:
    found = np.full((len(g), len(classes)), np.nan)
    known = known_taxa(taxa)
    for c, path in enumerate(paths_of(taxonomy, classes)):
        members = known.members(path)
        if not members:
            continue
        share = g[:, members].max(axis=1) if most else g[:, members].sum(axis=1)
        found[:, c] = share if base is None else share / max(float(base[members].sum()), LEAST)
    return found


class Known:
    """The taxa of a prior, looked up by the path of another tree, which may lack ranks that they have, or have more.

    Two paths are of one taxon where they end alike and one holds all names of the other, in their order.
    """

    def __init__(self, taxa: Sequence[str]) -> None:
        self._paths = [tuple(path.split("/")) for path in taxa]
        self._last: dict[str, list[int]] = {}
        self._within: dict[str, list[int]] = {}
        for number, path in enumerate(self._paths):
            self._last.setdefault(path[-1], []).append(number)
            for name in dict.fromkeys(path[:-1]):
                self._within.setdefault(name, []).append(number)

    def members(self, path: str) -> list[int]:
        """Columns of a taxon: its own, else those of the nearest taxon above it, else of all below it; none where it has none."""
        parts = tuple(path.split("/"))
        for end in range(len(parts), 0, -1):
            above = [each for each in self._last.get(parts[end - 1], ()) if _agree(parts[:end], self._paths[each])]
            if above:
                return above
        below = self._within.get(parts[-1], ())
        return [each for each in below if _agree(parts, self._paths[each][: self._paths[each].index(parts[-1]) + 1])]


@lru_cache(maxsize=4)
def known_taxa(taxa: tuple[str, ...]) -> Known:
    """Made once a prior."""
    return Known(taxa)


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    fewer, more = sorted((one, other), key=len)
    rest = iter(more)
    return all(name in rest for name in fewer)
