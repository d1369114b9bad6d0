"""What a classifier says of specimens with known classes that it was not fitted on, and of which shares it was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.temperature import fit_score_temperature
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.novelty.detector import class_columns, columns_of
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.quantification.gate import FEWEST, Gate
from biocosmos.identify.quantification.methods import Float64, confusion_of, corrected
from biocosmos.identify.quantification.unknown import REJECTED, threshold_of

TRAINING, EVEN = "training", "even"
"""What prior the posteriors hold: the shares of the specimens that were learnt from, or all classes alike."""
NOTHING_HELD = (
    "shares need validation specimens, and this namer keeps none: fit it anew (--fresh, or refit), or label more specimens"
)


@dataclass(frozen=True, eq=False)
class Validation:
    """m specimens with known classes.

    posteriors: (m, C) float64, rows sum to 1; classes: (m,) int64 their columns; prior: (C,) shares above 0 that the posteriors
    hold; features: (m, d) float32 for the gate, or None; novelty: (m,) higher is more novel, or None; temperature: of the
    logits; held: which prior it is, :data:`TRAINING` or :data:`EVEN`.
    """

    posteriors: Float64
    classes: npt.NDArray[np.int64]
    prior: Float64
    features: npt.NDArray[np.float32] | None = None
    novelty: Float64 | None = None
    temperature: float = 1.0
    held: str = TRAINING

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def of(cls, identifier: Identifier) -> Validation:
        """From what an identifier keeps of its held-out specimens; those of no class that it may answer are left out.

        The temperature is that of least -log p; the prior the one of :data:`TRAINING` and :data:`EVEN` under which held-out
        specimens are likelier once their own shares are put in its place: a namer that weighs taxa alike holds no shares.
        Raises BiocosmosError where nothing is kept.
        """
        found = identifier.held
        if found is None:
            raise BiocosmosError(NOTHING_HELD)
        columns = class_columns(found)
        found, columns = found.subset(columns >= 0), columns[columns >= 0]
        if len(found) < 2 * FEWEST:
            raise BiocosmosError(f"shares need {2 * FEWEST} validation specimens, and there are {len(found)}: label more")
        temperature = fit_score_temperature(found)
        said = found.class_probabilities(temperature)
        learnt = _learnt(identifier, found)
        priors = {TRAINING: learnt, EVEN: np.full(len(learnt), 1 / len(learnt))}
        held = max(priors, key=lambda name: _fit(said, columns, priors[name]))
        novelty = None if identifier.alarm is None else -identifier.alarm.judge(found)[1]
        return cls(said, columns, priors[held], found.features, novelty, temperature, held)

    def said(self, predictions: Predictions) -> Float64:
        """(n, C) posteriors of other specimens at the same temperature."""
        return predictions.class_probabilities(self.temperature)

    @cached_property
    def gate(self) -> Gate | None:
        """What tells another community from other images; None where features tell nothing."""
        if self.features is None or not self.features.any():
            return None
        return Gate(self.features, self.classes, self.posteriors, self.prior)

    @cached_property
    def known(self) -> Validation:
        """Those that are not rejected as unknown."""
        rows = self.novelty_of() <= self.threshold
        features = None if self.features is None else self.features[rows]
        return Validation(self.posteriors[rows], self.classes[rows], self.prior, features, None, self.temperature, self.held)

    def novelty_of(self) -> Float64:
        """(m,) novelty. Raises BiocosmosError where it is not known."""
        if self.novelty is None:
            raise BiocosmosError("unknown taxa cannot be told: there are too few held-out specimens to say what is novel")
        return self.novelty

    @cached_property
    def threshold(self) -> float:
        """The novelty above which a specimen is rejected: one of ten validation specimens is."""
        return threshold_of(self.novelty_of())

    @cached_property
    def kept(self) -> Float64:
        """(C,) share of each class that is not rejected, drawn to 1 - :data:`REJECTED` as by ten specimens more."""
        below, size = self.novelty_of() <= self.threshold, len(self.prior)
        of_class = np.bincount(self.classes, minlength=size)
        return np.asarray(
            (np.bincount(self.classes, weights=below, minlength=size) + 10 * (1 - REJECTED)) / (of_class + 10), np.float64
        )

    def confusion(self, method: str) -> Float64 | None:
        """(C, C) for acc and pacc, None for the others."""
        return confusion_of(self.posteriors, self.classes, soft=method == "pacc") if method in ("acc", "pacc") else None


def _learnt(identifier: Identifier, found: Predictions) -> Float64:
    """(C,) shares of the classes among what was learnt from; half a specimen where none is known."""
    taxa = found.truth if identifier.known is None or identifier.known.taxa is None else identifier.known.taxa
    columns = columns_of(found.classes, taxa)
    counts = np.maximum(np.bincount(columns[columns >= 0], minlength=len(found.classes)).astype(np.float64), 0.5)
    return np.asarray(counts / counts.sum())


def _fit(said: Float64, columns: npt.NDArray[np.int64], prior: Float64) -> float:
    """Mean log p of the true classes once their own shares stand in place of ``prior``."""
    own = np.bincount(columns, minlength=len(prior)).astype(np.float64)
    p = corrected(said, prior, own / own.sum())[np.arange(len(said)), columns]
    return float(np.log(np.maximum(p, 1e-9)).mean())
