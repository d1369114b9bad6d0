"""How many suggestions can be taken unseen at a promised precision: an audit of some of them, and no more than it bears out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from biocosmos.discover.growing.suggestions import Suggested
from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
AUDITED, STEPS, DOUBT = 500, 40, 0.1
LEAST = 0.1
"""Weight of a suggestion in the draw is at least that of one with a probability of 0.99: heads are surer than they should be."""


@dataclass(frozen=True)
class Audit:
    """places: (m,) int64 places of suggestions to look at, in the order of their taxa; order: (k,) int64 places of all that may
    be accepted, the surest first; chance: (k,) float64, with which each of those was drawn."""

    places: Array
    order: Array
    chance: Array


@dataclass(frozen=True)
class Accepted:
    """places: (k,) int64 into the suggestions, those taken, the surest first, without those that the audit found wrong.

    precision: the lower bound for all names together that the audit bears out, NaN where nothing was taken."""

    places: Array
    precision: float


def to_audit(found: Suggested, *, most: int, count: int = AUDITED, seed: int = 0) -> Audit:
    """About ``count`` of the ``most`` surest suggestions, each drawn with a chance proportional to sqrt(p (1 - p)).

    That is where errors vary most, so most is learnt of their number from a look (Neyman 1934, optimal allocation).
    """
    order = np.lexsort((found.rows, -found.p))[: max(most, 0)]
    p = found.p[order].astype(np.float64)
    weight = np.maximum(np.sqrt(np.clip(p * (1 - p), 0, None)), LEAST)
    chance = np.minimum(count * weight / max(weight.sum(), 1e-12), 1)
    places = order[np.random.default_rng(seed).random(len(order)) < chance]
    return Audit(places[np.lexsort((places, found.taxa[places]))].astype(np.int64), order, chance)


def accept(found: Suggested, audit: Audit, right: Array, *, named: int, precision: float, doubt: float = DOUBT) -> Accepted:
    """The longest list of the surest suggestions with which the names so far and these reach ``precision``.

    right: (m,) bool, which of the audited ones were right; named: names given by hand, which are taken as right. The errors of a
    list are those the head expects, sum(1 - p), and what the audit says of how far it is off, sum((p - right) / chance) over the
    audited (Horvitz and Thompson 1952; the head as a control: Angelopoulos et al. 2023, "Prediction-powered inference",
    arXiv:2301.09633), plus z standard errors, to which an error that nobody saw is added.

    Lists are tested one after the other, each longer than the one before, and the first that fails ends it, so that all tests
    together err with chance ``doubt`` (fixed sequence testing: Angelopoulos et al. 2021, "Learn then test", arXiv:2110.01052),
    as far as the normal law holds. They begin with the shortest that has half as much room for errors as any has, by the head's
    own word: in a shorter one too few are audited.
    """
    if not 0 < precision < 1:
        raise BiocosmosError(f"a promised precision lies between 0 and 1, not at {precision}")
    order, chance, z = audit.order, audit.chance, float(norm.ppf(1 - doubt))
    lengths = np.unique(np.linspace(0, len(order), STEPS + 1).astype(int)[1:])
    if not len(audit.places):
        return Accepted(order[:0], float("nan"))
    p = found.p[order].astype(np.float64)
    unseen = np.maximum.accumulate((1 - chance) / chance**2)[lengths - 1]  # the variance of one error more
    expected = np.cumsum(1 - p)[lengths - 1]
    foreseen = np.cumsum(p * (1 - p) * (1 - chance) / chance)[lengths - 1]
    room = (1 - precision) * (named + lengths) - expected - z * np.sqrt(foreseen + unseen)

    position = np.empty(len(found.rows), np.int64)
    position[order] = np.arange(len(order))
    where = position[audit.places]
    off, drawn = (found.p[audit.places] - right) / chance[where], chance[where]
    taken, borne = 0, float("nan")
    first = int((room >= room.max() / 2).argmax()) if room.max() > 0 else int(room.argmax())
    for step in range(first, len(lengths)):
        inside = where < lengths[step]
        spread = ((1 - drawn[inside]) * off[inside] ** 2).sum() + unseen[step]
        errors = expected[step] + off[inside].sum() + z * np.sqrt(spread)
        wrong = int((~right[inside]).sum())  # these are known, and are not taken
        whole = 1 - max(errors - wrong, 0.0) / max(named + lengths[step] - wrong, 1)
        if whole < precision:
            break
        taken, borne = int(lengths[step]), float(whole)
    known_wrong = np.isin(order[:taken], audit.places[~right])
    return Accepted(order[:taken][~known_wrong], borne)
