"""Shares of the classes in each of several samples, with intervals, and whether each may be corrected at all.

An interval says what the errors of the classifier and the number of specimens leave open of the shares of the sample at hand:
samples like it are drawn from validation specimens, whose classes are known, and the method is asked of each. It holds both the
basic interval (what was found less what the method errs by) and the percentile interval (Davison and Hinkley 1997, Bootstrap
Methods and their Application, 5.2 and 5.3): each alone holds the truth too seldom. Of counting (cc, pcc), whose errors are bias,
it is the percentile interval of resampled specimens, which holds it seldom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.quantification.gate import FEWEST, Verdict
from biocosmos.identify.quantification.methods import Float64, confusion_of, em_draws, quantify
from biocosmos.identify.quantification.unknown import quantify_open
from biocosmos.identify.quantification.validation import Validation
from biocosmos.identify.share_methods import CORRECTING, METHODS

COUNTED = "cc"
"""What is done in place of a correction that the gate does not let through."""
DRAWS, LEVEL = 100, 0.95
MOST_ASKED = 5000
"""Specimens of a sample that EM looks at, drawn by the seed: more of them move no share by as much as a confusion does.
Other methods look at all."""


@dataclass(frozen=True)
class SampleShares:
    """What was found of one sample.

    sample: its name; specimens; values, low, high: (C,) shares of the classes among all its specimens, and their interval (of the
    R taxa that classes were put into, if they were);
    unknown: (share, low, high) of specimens of no known class, zeros where they were not asked for; asked, method: the one
    asked for and the one that gave the shares; verdict: of the gate, None where nothing was judged; why: in one sentence.
    """

    sample: str
    specimens: int
    values: Float64
    low: Float64
    high: Float64
    unknown: tuple[float, float, float]
    asked: str
    method: str
    verdict: Verdict | None
    why: str

    @property
    def corrected(self) -> bool:
        """Whether the shares are those of the method asked for."""
        return self.method == self.asked

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the shares."""
        return {
            "sample": self.sample,
            "specimens": self.specimens,
            "asked": self.asked,
            "method": self.method,
            "unknown": list(self.unknown),
            "gate": None if self.verdict is None else self.verdict.to_dict(),
            "why": self.why,
        }


@dataclass(frozen=True)
class Quantified:
    """Samples in the order of their first specimens. method: asked for; level: of the intervals; prior: which posteriors hold."""

    samples: tuple[SampleShares, ...]
    method: str
    level: float = LEVEL
    prior: str = ""
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[SampleShares]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def of(self, sample: str) -> SampleShares:
        """The one of this name. Raises KeyError."""
        return {each.sample: each for each in self.samples}[sample]

    def sentences(self) -> list[str]:
        """How many samples were corrected, and why others were not, the same reason once."""
        shut = [each for each in self.samples if not each.corrected]
        number = len(self.samples)
        lines = [f"shares by {self.method} in {number - len(shut):,} of {number:,} samples"]
        if shut:
            lines.append(
                f"counted, not corrected: {', '.join(each.sample for each in shut[:10])}{' ...' if len(shut) > 10 else ''}"
            )
            lines.append(f"{shut[0].sample}: {shut[0].why}")
        return [*lines, *self.notes]


def by_group(
    posteriors: npt.ArrayLike,
    groups: npt.ArrayLike,
    validation: Validation,
    method: str = "emq",
    *,
    features: npt.ArrayLike | None = None,
    novelty: npt.ArrayLike | None = None,
    into: npt.ArrayLike | None = None,
    gate: bool = True,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Quantified:
    """Shares of C classes in each group of n specimens.

    Args:
        posteriors: (n, C), see :meth:`Validation.said`. groups: (n,) names of samples.
        method: one of :data:`METHODS`. Where the gate is shut, or a sample is too small for it, specimens are counted.
        features: (n, d) as the validation specimens have them; without them no gate is asked, which is said.
        novelty: (n,) as the validation specimens have it: then a share of unknown taxa is told too.
        into: (C,) which of R taxa each class is of, so that shares and intervals are of those.
        gate: whether the gate is asked; False corrects whatever comes.
        draws: samples that are drawn for an interval, 0 for none (nan). level: of the intervals.

    Raises BiocosmosError: an unknown method, no specimens, numbers that do not go together.
    """
    if method not in METHODS:
        raise BiocosmosError(f"unknown quantification method {method!r}: choose {', '.join(METHODS)}")
    said, names = np.asarray(posteriors, np.float64), np.asarray(groups, object).astype(str)
    looks = None if features is None else np.asarray(features, np.float32)
    strange = None if novelty is None else np.asarray(novelty, np.float64)
    for what, part in (("groups", names), ("features", looks), ("novelty", strange)):
        if part is not None and len(part) != len(said):
            raise BiocosmosError(f"{len(part)} {what} do not go with {len(said)} specimens")
    found, size = [], len(validation.prior)
    of = np.arange(size) if into is None else np.asarray(into, np.int64)
    if of.shape != (size,) or (of < 0).any():
        raise BiocosmosError(f"{size} classes go into taxa by {size} numbers of at least 0")
    into_taxa = np.eye(int(of.max()) + 1)[of]
    for at, sample in enumerate(dict.fromkeys(names.tolist())):
        rows = np.flatnonzero(names == sample)
        one = _Sample(sample, said[rows], None if looks is None else looks[rows], None if strange is None else strange[rows])
        found.append(one.shares(validation, method, into_taxa, gate, draws, level, np.random.default_rng((seed, at))))
    return Quantified(tuple(found), method, level, validation.held)


@dataclass(frozen=True)
class _Sample:
    name: str
    said: Float64
    looks: npt.NDArray[np.float32] | None
    strange: Float64 | None

    def shares(
        self,
        validation: Validation,
        asked: str,
        into: Float64,
        gate: bool,
        draws: int,
        level: float,
        rng: np.random.Generator,
    ) -> SampleShares:
        below = np.arange(len(self.said)) if self.strange is None else np.flatnonzero(self.strange <= validation.threshold)
        verdict, shut, why = self._judged(validation, asked, below, gate)
        method = COUNTED if shut else asked
        rows = below if len(below) <= MOST_ASKED else np.sort(rng.permutation(below)[:MOST_ASKED])
        looked_at = rows if method == "emq" else below
        unknown, known = (0.0, 0.0, 0.0), 1.0
        if self.strange is not None:
            part, share = quantify_open(
                method,
                self.said,
                self.strange,
                validation.threshold,
                validation.prior,
                kept=validation.kept,
                confusion=validation.confusion(method),
                rows=looked_at,
            )
            values, known = part.values, 1 - share
            unknown = _of_unknown(share, len(below), len(self.said), validation, values, draws, level, rng)
        else:
            values = quantify(method, self.said[looked_at], validation.prior, confusion=validation.confusion(method)).values
        held = validation if self.strange is None else validation.known
        low, high = _interval(method, values, self.said[rows], held, into, len(below), draws, level, rng)
        values = values @ into
        return SampleShares(
            self.name, len(self.said), values * known, low * known, high * known, unknown, asked, method, verdict, why
        )

    def _judged(
        self, validation: Validation, asked: str, below: npt.NDArray[np.int64], gate: bool
    ) -> tuple[Verdict | None, bool, str]:
        """(verdict, whether specimens are only counted, why)."""
        if asked not in CORRECTING or not gate:
            return None, False, "counted as it was asked for" if asked not in CORRECTING else "the gate was not asked"
        held = validation if self.strange is None else validation.known
        if not len(below):
            return None, True, "every specimen looks unlike all known taxa"
        if self.looks is None or held.gate is None:
            return None, False, "whether the images changed was not looked at: there are no features to compare"
        if len(below) < FEWEST:
            return None, True, f"{len(below)} specimens are too few to tell whether the images changed: it takes {FEWEST}"
        verdict = held.gate.judge(self.looks[below], self.said[below])
        return verdict, not verdict.open, verdict.sentence()


def _interval(
    method: str,
    values: Float64,
    said: Float64,
    validation: Validation,
    into: Float64,
    number: int,
    draws: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[Float64, Float64]:
    """(low, high), each (R,); nan without draws. into: (C, R) 0 or 1, which taxon a class is of."""
    classes, values = values, values @ into
    tails = [(1 - level) / 2, (1 + level) / 2]
    if not draws:
        return np.full_like(values, np.nan), np.full_like(values, np.nan)
    if method not in CORRECTING:
        if not len(said):
            return values, values
        answers = said if method == "pcc" else np.eye(said.shape[1])[said.argmax(1)]
        counts = rng.multinomial(len(said), np.full(len(said), 1 / len(said)), size=draws)
        low, high = np.quantile(counts @ answers @ into / len(said), tails, axis=0)
        return np.minimum(low, values), np.maximum(high, values)
    number = max(number, 1)
    like = np.stack([rng.dirichlet(number * classes + 0.5) for _ in range(draws)])
    found, true = (part @ into for part in _drawn(method, like, validation, number, rng))
    basic = values - np.quantile(found - true, tails[::-1], axis=0)
    plain = np.quantile(found, tails, axis=0)
    low, high = np.minimum(basic[0], plain[0]), np.maximum(basic[1], plain[1])
    return np.clip(np.minimum(low, values), 0, 1), np.clip(np.maximum(high, values), 0, 1)


def _drawn(method: str, like: Float64, validation: Validation, number: int, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """(B, C) found and true shares of samples of ``number`` specimens whose shares are the rows of ``like`` (B, C).

    Specimens are validation ones, each with a weight of its own in each sample (Rubin 1981, The Bayesian bootstrap): other
    specimens of the class err otherwise. A class without any is taken to be found as it is.
    """
    size, classes = like.shape[1], validation.classes
    of_class = np.bincount(classes, minlength=size)
    true = rng.multinomial(number, like)
    true[:, of_class == 0] = 0
    true[true.sum(1) == 0] = of_class
    counts = np.zeros((len(true), len(classes)))
    for c in np.flatnonzero(of_class):
        mine = np.flatnonzero(classes == c)
        counts[:, mine] = rng.multinomial(true[:, c], rng.dirichlet(np.ones(len(mine)), size=len(true)))
    shares = true / true.sum(1, keepdims=True)
    if method == "emq":
        return em_draws(validation.posteriors, validation.prior, counts), shares
    found = []
    for row in counts:
        again = np.concatenate([rng.choice(np.flatnonzero(classes == c), of_class[c]) for c in np.flatnonzero(of_class)])
        matrix = confusion_of(validation.posteriors[again], classes[again], soft=method == "pacc")
        drawn = np.repeat(np.arange(len(classes)), row.astype(np.int64))
        found.append(quantify(method, validation.posteriors[drawn], confusion=matrix).values)
    return np.stack(found), shares


def _of_unknown(
    share: float,
    below: int,
    number: int,
    validation: Validation,
    values: Float64,
    draws: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """(share, low, high): how many are below the threshold, and how many known ones are, are both drawn anew."""
    if not draws:
        return share, float("nan"), float("nan")
    kept = min(max(float(values @ validation.kept), 1e-3), 1.0)
    seen = len(validation)
    known = rng.binomial(number, below / number, draws) / number
    rate = rng.beta(kept * seen + 0.5, (1 - kept) * seen + 0.5, draws)
    low, high = np.quantile(np.clip(1 - known / rate, 0, 1), [(1 - level) / 2, (1 + level) / 2])
    return share, min(float(low), share), max(float(high), share)
