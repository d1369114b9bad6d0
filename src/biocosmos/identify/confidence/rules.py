"""When a namer answers, and how deep: what a user may ask of any of them."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.promises import DEFAULT_DELTA, KINDS, check_promise
from biocosmos.identify.confidence.rollback import DEFAULT_THRESHOLD, check_threshold
from biocosmos.identify.novelty.distances import DEFAULT_FALSE_ALARM_RATE
from biocosmos.identify.novelty.registry import DEFAULT_DETECTOR

DEFAULT_KIND, DEFAULT_ERROR_RATE = "answered", 0.1
"""Chosen on validation specimens of several sets (benchmarks/bench_default_namer.py, docs/identify.md)."""


@dataclass(frozen=True)
class AnswerRules:
    """threshold: answer at the lowest rank with this confidence; or error_rate: with a promise of at most this share of wrong
    answers, by the kind ``promise`` of :data:`~biocosmos.identify.confidence.promises.KINDS`. With neither, an error rate of
    10 % is promised. delta: of the promise "answered". sets: a rank, for which each specimen also gets a set of taxa that holds
    the true one with probability 1 - error rate. novelty: a detector; false_alarm_rate: share of known specimens it may flag.

    Raises BiocosmosError for values that are none, and for options that the others leave without effect.
    """

    threshold: float | None = None
    error_rate: float | None = None
    promise: str | None = None
    delta: float | None = None
    sets: str | None = None
    novelty: str | None = None
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE

    def __post_init__(self) -> None:
        if self.threshold is not None:
            check_threshold(self.threshold)
            for name, value in (("an error rate", self.error_rate), ("a promise", self.promise), ("delta", self.delta)):
                if value is not None:
                    raise BiocosmosError(f"a threshold promises nothing, so that {name} has no effect: leave one of them out")
        check_promise(self.kind, self.alpha, self.given_delta)
        if self.delta is not None and self.kind == "mean":
            raise BiocosmosError("delta is of the promise 'answered': leave it out, or choose that promise")
        if not 0 < self.false_alarm_rate < 1:
            raise BiocosmosError(
                f"a false alarm rate of {self.false_alarm_rate} is not a share of specimens: choose one between 0 and 1"
            )

    @property
    def promises(self) -> bool:
        """Whether an error rate is promised."""
        return self.threshold is None

    @property
    def asked_for(self) -> bool:
        """Whether the user asked for a promise, and must not get less without a word."""
        return (self.error_rate, self.promise, self.delta) != (None, None, None)

    @property
    def kind(self) -> str:
        """Of the promise."""
        return DEFAULT_KIND if self.promise is None else self.promise

    @property
    def alpha(self) -> float:
        """The error rate promised, also that of sets."""
        return DEFAULT_ERROR_RATE if self.error_rate is None else self.error_rate

    @property
    def given_delta(self) -> float:
        """Of the promise "answered"."""
        return DEFAULT_DELTA if self.delta is None else self.delta

    @property
    def detector(self) -> str:
        """The novelty detector."""
        return DEFAULT_DETECTOR if self.novelty is None else self.novelty

    @property
    def fallback(self) -> float:
        """The threshold where there are too few specimens for the promise that nobody asked for."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


__all__ = ["DEFAULT_KIND", "KINDS", "AnswerRules"]
