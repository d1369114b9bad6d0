"""What every verb of ``discover`` is told. Nothing heavy is imported here: the command line is made from these."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.settings import setting
from biocosmos.specimens.settings import Selection


@dataclass(frozen=True)
class DiscoverSettings(Selection):
    """Which specimens, by which embedding; each verb adds its own. seed: same seed, same result."""

    encoder: str | None = setting(
        None, "Which embedding.", names=("--encoder", "-e"), unset="the collection's default", embedding=True
    )
    seed: int = setting(0, "Seed of every random choice.", low=0, panel="Run")
