"""Which of many faster ways is taken, so that the promise on its loss holds although the fastest of many is sought.

Two sets of specimens that do not know each other. On the *choosing* ones every way is measured; those that no other is as fast as
and loses no more than make the front. The *judging* ones test the front from slow to fast, each at the full level, and the first
that fails ends it: a fixed sequence (Maurer, Hothorn and Lehmacher 1995; Westfall and Krishen 2001), in which a way that loses
too much is taken with at most the probability of one test, however many were tried, since the order was made without the
judging specimens. Bonferroni's way, or choosing among all on the judging ones, would need several times as many specimens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biocosmos.evaluate.dial.paired import ALPHA, largest_loss, loss_probability

STEP = 1.05
"""The next way that is tested must be so many times as fast as the one before: a test for less is not worth its risk."""
HOPELESS = 3.0
"""A way that loses more than so many times what may be lost, on the choosing specimens, is not judged."""


@dataclass(frozen=True)
class Judged:
    """One way on the judging specimens.

    losses, gains: specimens that the reference alone, that this way alone, got right; count: all of them.
    """

    losses: int
    gains: int
    count: int

    @property
    def loss(self) -> float:
        """Share that is lost; NaN without specimens."""
        return (self.losses - self.gains) / self.count if self.count else float("nan")

    def probability(self, margin: float) -> float:
        """See :func:`biocosmos.evaluate.dial.paired.loss_probability`."""
        return loss_probability(self.losses, self.gains, self.count, margin)

    def ends(self, alpha: float = ALPHA) -> tuple[float, float]:
        """The loss is above the first and, taken alone, below the second, each with confidence 1 - alpha."""
        return -largest_loss(self.gains, self.losses, self.count, alpha), largest_loss(self.losses, self.gains, self.count, alpha)


def to_judge(speeds: Sequence[float], losses: Sequence[float], margin: float) -> list[int]:
    """Which ways to test, from slow to fast, by what the choosing specimens say.

    Args:
        speeds: of each way, as a multiple of the reference's; those that are not clearly faster than it are not tested.
        losses: of each way on the choosing specimens.
        margin: what may be lost.

    Returns:
        places in ``speeds``: on the front of speed against loss, each clearly faster than the one before.
    """
    hopeful = [i for i in range(len(speeds)) if speeds[i] >= STEP and losses[i] <= _hopeless(margin)]
    front = [i for i in hopeful if not any(_beats(speeds, losses, j, i) for j in hopeful if j != i)]
    kept: list[int] = []
    for i in sorted(front, key=lambda i: (speeds[i], losses[i])):
        if not kept or speeds[i] >= STEP * speeds[kept[-1]]:
            kept.append(i)
    return kept


def why_not(speeds: Sequence[float], losses: Sequence[float], margin: float, names: Sequence[str]) -> list[str]:
    """A sentence for each way that :func:`to_judge` leaves out, "" for those it takes; names: of the ways."""
    order = to_judge(speeds, losses, margin)
    said = []
    for i in range(len(speeds)):
        better = [j for j in range(len(speeds)) if j != i and _beats(speeds, losses, j, i)]
        if i in order:
            said.append("")
        elif losses[i] > _hopeless(margin):
            said.append(f"loses {100 * losses[i]:.1f} points of the choosing specimens, far more than is allowed")
        elif speeds[i] < STEP:
            said.append("hardly faster than all tokens in float32")
        elif better:
            said.append(f"{names[min(better, key=lambda j: (losses[j], -speeds[j]))]} is as fast and loses no more")
        else:
            said.append("hardly faster than a way that loses less")
    return said


def _hopeless(margin: float) -> float:
    return max(HOPELESS * margin, margin + 0.02)


def _beats(speeds: Sequence[float], losses: Sequence[float], one: int, other: int) -> bool:
    """Whether ``one`` is as fast as ``other``, loses no more, and is better in one of them or stands before it."""
    return (
        speeds[one] >= speeds[other]
        and losses[one] <= losses[other]
        and (speeds[one] > speeds[other] or losses[one] < losses[other] or one < other)
    )


def pick(judged: Sequence[Judged], margin: float, alpha: float = ALPHA) -> tuple[int, list[float]]:
    """The last of a sequence, from slow to fast, before the first that is not shown to lose at most ``margin``.

    Returns:
        (its place, -1 for none; the probability of each test that was made, the failed one last).
    """
    probabilities: list[float] = []
    for place, one in enumerate(judged):
        probabilities.append(one.probability(margin))
        if probabilities[-1] > alpha:
            return place - 1, probabilities
    return len(judged) - 1, probabilities
