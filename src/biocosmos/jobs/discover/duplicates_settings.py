"""What ``discover duplicates`` is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.jobs.discover.settings import DiscoverSettings
from biocosmos.settings import NOT_GIVEN, SettingError, changed, check, holding, names_in, setting

KINDS = ("identical", "perceptual", "embedding", "series")
BITS, COSINE = 20, 0.99


@dataclass(frozen=True)
class DuplicatesSettings(DiscoverSettings):
    """Which pictures are taken for one; see docs/discover.md for what each kind finds and mistakes."""

    kinds: str = setting(
        "identical,perceptual,embedding",
        "What makes two pictures one.",
        choices=KINDS,
        several=True,
        metavar="LIST",
    )
    bits: int = setting(
        BITS, "Perceptual hashes may differ in so many of 256 bits.", low=0, high=128, only={"kinds": holding("perceptual")}
    )
    cosine: float = setting(
        COSINE, "Vectors of one picture have at least this cosine.", above=0, high=1, only={"kinds": holding("embedding")}
    )
    by: tuple[str, ...] = setting(
        (), "Columns that a series has in common: sample_id, or locality,camera.", only={"kinds": holding("series")}
    )
    minutes: float | None = setting(
        None, "No more than this between one picture of a series and the next.", above=0, only={"kinds": holding("series")}
    )
    leaks: str | None = setting(
        None, "Also say which groups lie in several parts of this split: default.", metavar="SPLIT", unset="no split"
    )
    encoder: str | None = changed(DiscoverSettings, "encoder", only={"kinds": holding("embedding")})
    split: str | None = changed(DiscoverSettings, "split", only={"leaks": NOT_GIVEN})

    def __post_init__(self) -> None:
        check(self)
        if "series" in self.chosen and not self.by and self.minutes is None:
            raise SettingError("--kinds series needs what a series has in common: --by sample_id, --minutes 5, or both")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The kinds."""
        return names_in(self.kinds)
