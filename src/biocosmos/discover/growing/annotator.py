"""Who names the pictures: the acts that a person can do, and a simulated one who knows the truth and counts the seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from biocosmos.discover.growing.costs import Costs
from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
ENOUGH = 0.5


@dataclass(frozen=True)
class Answer:
    """What was said of a page. taxon: its name, None where there was no point in naming it; belong: (m,) bool."""

    taxon: int | None
    belong: Array


class Annotator(Protocol):
    """Somebody who looks at pictures."""

    def sort(self, rows: Array, taxon: int | None = None) -> Answer:
        """Look at a page; say what belongs to ``taxon``, or, without one, what most of it is called and which those are."""

    def alone(self, row: int, suggested: Array | None = None) -> int:
        """Name one picture, with a few taxa to choose from or without."""


class SimulatedAnnotator:
    """Knows only what the pictures shown are: truth (n,) int codes is looked up for the rows of a page, never for others.

    error: the chance that a stranger is overlooked, that a picture that belongs is unticked, and that a picture named alone gets
    another taxon. seconds: spent so far.
    """

    def __init__(self, truth: Array, costs: Costs | None = None, *, error: float = 0.0, seed: int = 0) -> None:
        if not 0 <= error < 1:
            raise BiocosmosError(f"an error rate is at least 0 and below 1, not {error}")
        self._truth, self.costs, self.error = np.asarray(truth), costs or Costs(), error
        self._random = np.random.default_rng(seed)
        self._names: set[int] = set()
        self.seconds, self.pages, self.clicks, self.named_alone = 0.0, 0, 0, 0

    def sort(self, rows: Array, taxon: int | None = None) -> Answer:
        """Look at the page ``rows`` (m,). Without ``taxon`` the commonest one is named if at least half the page is of it; else
        the page is turned."""
        shown = self._truth[rows]
        self.pages += 1
        if taxon is None:
            kinds, counts = np.unique(shown, return_counts=True)
            most = int(counts.argmax())
            if counts[most] < ENOUGH * len(rows):
                self.seconds += self.costs.page(len(rows), 0)
                return Answer(None, np.zeros(len(rows), bool))
            taxon = int(kinds[most])
            self._say(taxon)
        belong = shown == taxon
        if self.error:
            belong = belong ^ (self._random.random(len(rows)) < self.error)
        self.seconds += self.costs.page(len(rows), int((~belong).sum()))
        self.clicks += int(min((~belong).sum(), belong.sum()))
        return Answer(taxon, belong)

    def alone(self, row: int, suggested: Array | None = None) -> int:
        """Name one picture; where it is one of those ``suggested``, by its key."""
        self.named_alone += 1
        taxon = int(self._truth[row])
        if suggested is None:
            self.seconds += self.costs.alone
        else:
            self.seconds += self.costs.suggested + (0 if taxon in suggested else self.costs.typed)
        if self.error and self._random.random() < self.error:
            others = [each for each in sorted(self._names) if each != taxon]
            taxon = int(self._random.choice(others)) if others else taxon
        self._names.add(taxon)
        return taxon

    def _say(self, taxon: int) -> None:
        self.seconds += self.costs.known_name if taxon in self._names else self.costs.new_name
        self._names.add(taxon)
