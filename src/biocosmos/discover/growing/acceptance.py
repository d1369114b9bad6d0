"""How many suggestions can be taken unseen at a promised precision: an audit of some of them, and no more than it bears out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from biocosmos.discover.growing.suggestions import Suggested
from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
AUDITED, STEPS, DOUBT = 300, 20, 0.1


@dataclass(frozen=True)
class Accepted:
    """places: (k,) int64 into the suggestions, those taken, the surest first; audited: (m,) int64 places looked at; precision:
    the lower bound for all names together that the audit bears out, NaN where nothing was taken."""

    places: Array
    audited: Array
    precision: float


def to_audit(found: Suggested, *, most: int, count: int = AUDITED, seed: int = 0) -> Array:
    """(m,) int64 places of suggestions to look at: drawn at random from the ``most`` surest, in the order of their taxa."""
    surest = _surest(found)[: max(most, 0)]
    drawn = np.random.default_rng(seed).choice(surest, min(count, len(surest)), replace=False)
    return np.asarray(drawn[np.lexsort((drawn, found.taxa[drawn]))], np.int64)


def accept(
    found: Suggested, audited: Array, right: Array, *, named: int, most: int, precision: float, doubt: float = DOUBT
) -> Accepted:
    """The longest list of the surest suggestions with which the names so far and these reach ``precision``.

    audited: places looked at, from :func:`to_audit` with the same ``most``; right: (m,) bool, which were right; named: names
    given by hand, which are taken as right. Lists of growing length are tested one after the other and the first that fails ends
    it, so that all tests together err with chance ``doubt`` at most (fixed sequence testing: Angelopoulos et al. 2021, "Learn
    then test", arXiv:2110.01052): each by the one-sided bound of Clopper and Pearson on the audited ones within it.
    """
    if not 0 < precision < 1:
        raise BiocosmosError(f"a promised precision lies between 0 and 1, not at {precision}")
    order = _surest(found)[: max(most, 0)]
    position = np.empty(len(found.rows), np.int64)
    position[order] = np.arange(len(order))
    where = position[audited]
    taken, borne = 0, float("nan")
    for length in np.unique(np.linspace(0, len(order), STEPS + 1).astype(int)[1:]):
        inside = where < length
        good, seen = int(right[inside].sum()), int(inside.sum())
        low = float(beta.ppf(doubt, good, seen - good + 1)) if good else 0.0
        whole = (named + length * low) / (named + length)
        if whole < precision:
            break
        taken, borne = int(length), whole
    return Accepted(order[:taken], audited, borne)


def _surest(found: Suggested) -> Array:
    return np.lexsort((found.rows, -found.p))
