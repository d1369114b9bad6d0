"""What ``discover unknowns`` is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.jobs.discover.settings import DiscoverSettings
from biocosmos.settings import GIVEN, NOT_GIVEN, changed, check, setting
from biocosmos.specimens.settings import SELECTION

_SEEK = {"name": NOT_GIVEN}


@dataclass(frozen=True)
class UnknownsSettings(DiscoverSettings):
    """What is asked about, how sure candidates must be, and what a person calls one."""

    queries: str | None = setting(
        None,
        "The part that is asked about; its names, if it has any, are not looked at.",
        part="given",
        unset="the specimens without a name",
        only=_SEEK,
    )
    false_discoveries: float = setting(
        0.2, "Expected share of candidates that are known taxa after all.", above=0, below=1, only=_SEEK
    )
    promise: float = setting(0.2, "Share of candidates whose place in the tree may be wrong.", above=0, below=1, only=_SEEK)
    second_encoder: str | None = setting(
        None,
        "Another embedding, of barcodes perhaps: the gap between each candidate and its nearest neighbour is shown.",
        embedding=True,
        unset="none",
        only=_SEEK,
    )
    name: tuple[str, ...] = setting(
        (), "BC-001=Oithona davisae: what a person calls a candidate, as identifications by hand.", repeated=True, panel="Naming"
    )
    by: str | None = setting(None, "Who names.", unset="who is logged in", only={"name": GIVEN}, panel="Naming")
    encoder: str | None = changed(DiscoverSettings, "encoder", only=_SEEK)
    seed: int = changed(DiscoverSettings, "seed", only=_SEEK)
    split: str | None = changed(DiscoverSettings, "split", help="Known are only the named ones of this part.", only=_SEEK)
    within: str | None = changed(DiscoverSettings, "within", only=_SEEK, panel=SELECTION)
    where: str | None = changed(DiscoverSettings, "where", only=_SEEK, panel=SELECTION)

    def __post_init__(self) -> None:
        check(self)
