"""What ``discover queue`` is told. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.discover.queues.strategies import DEFAULT, DIVERSE, EACH, SCORED, STRATEGIES
from biocosmos.jobs.discover.settings import DiscoverSettings
from biocosmos.jobs.identify_settings import DETECTOR
from biocosmos.settings import setting


@dataclass(frozen=True)
class QueueSettings(DiscoverSettings):
    """Which specimens are looked through, and how the next ones are chosen."""

    strategy: str = setting(DEFAULT, "Choose by.", choices=STRATEGIES, panel="The queue")
    count: int = setting(
        100,
        "How many.",
        low=1,
        names=("-n",),
        only={"strategy": tuple(each for each in STRATEGIES if each != EACH)},
        panel="The queue",
    )
    each: int = setting(
        5,
        "How many of each taxon: to teach a new source, docs/communities.md.",
        low=1,
        only={"strategy": EACH},
        panel="The queue",
    )
    diverse: str = setting(
        DIVERSE[0],
        "Spread the batch among the highest scores: one of each k-means part, the farthest from one another, or not.",
        choices=DIVERSE,
        only={"strategy": SCORED},
        panel="The queue",
    )
    detector: str = setting(
        "knn",
        "Novelty by (docs/novelty.md).",
        plugged=DETECTOR,
        only={"strategy": "novelty"},
        panel="The queue",
    )
    relabel: bool = setting(
        False,
        "Labels that the collection has count for nothing: queue as if only names given by hand were there.",
        only={"strategy": tuple(each for each in STRATEGIES if each != "disagreement")},
        panel="The queue",
    )
