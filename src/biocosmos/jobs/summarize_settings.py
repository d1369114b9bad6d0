"""What ``biocosmos summarize`` is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.identify.share_methods import EACH, METHODS
from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, changed, other_than, setting
from biocosmos.specimens.settings import ExportSettings, Selection
from biocosmos.specimens.survey_settings import Survey, biovolume_of, measure

COUNTING = "What is counted"
VOLUMES = "Volumes and their units"
DIVERSITY = "Diversity and doubt"
ORDINATIONS = ("nmds", "pcoa")


@dataclass(frozen=True)
class SummarizeSettings(Selection):
    """What is counted of a collection, by what, and how sure it is."""

    by: tuple[str, ...] = setting(
        ("sample",), "What tells samples apart: sample, station, depth, year, month, day, or columns.", panel=COUNTING
    )
    sample: str | None = changed(ExportSettings, "sample", only=(), panel=COUNTING)
    rank: str | None = setting(None, "Taxa of this rank: family.", unset="the names as they were given", panel=COUNTING)
    names: str | None = setting(
        None,
        "Names that identify gave: 'latest' or another of 'biocosmos identifications', or a table of names. What a person has "
        "validated in EcoTaxa stays.",
        metavar="WHICH",
        unset="those of the collection",
        panel=COUNTING,
    )
    samples: Path | None = setting(
        None,
        "A table of all samples (.csv, .tsv, .parquet), those without any specimen too: its column is named as --sample.",
        file=True,
        panel=COUNTING,
    )
    layers: tuple[float, ...] = setting((), "Edges of depth layers in metres: 0,50,100.", low=0, panel=COUNTING)
    volume: str | None = changed(ExportSettings, "volume", unset="not known: counts alone", only=(), panel=VOLUMES)
    share: str | None = changed(ExportSettings, "share", only={"volume": GIVEN}, panel=VOLUMES)
    parts: str | None = changed(ExportSettings, "parts", only={"volume": GIVEN, "share": NOT_GIVEN}, panel=VOLUMES)
    biovolume: str | None = changed(ExportSettings, "biovolume", only={"volume": GIVEN}, panel=VOLUMES)
    pixel: str | None = changed(ExportSettings, "pixel", only={"biovolume": GIVEN}, panel=VOLUMES)
    per_m2: bool = setting(
        False,
        "Below a square metre: concentrations times the thickness of their layers, added up.",
        only={"volume": GIVEN},
        panel=VOLUMES,
    )

    draws: int = setting(
        200, "Times that specimens are drawn anew for the intervals; 0: none.", low=0, high=100_000, panel=DIVERSITY
    )
    confusion: str | None = setting(
        None,
        "Names that identify gave to specimens whose own names are right, 'latest', another that is kept or a table: intervals "
        "are then of the true taxa behind the names.",
        metavar="WHICH",
        unset="none: of the names as they were given",
        only={"names": GIVEN, "draws": other_than(0)},
        panel=DIVERSITY,
    )
    quantify: str | None = setting(
        None,
        f"Also the share of each taxon in each sample, by asking who gave the names again: {EACH}. A gate first looks if the "
        "images of the sample are like those that were learnt from.",
        choices=METHODS,
        unset="not asked",
        only={"names": GIVEN},
        panel=DIVERSITY,
    )
    unknown: bool = setting(
        False,
        "Also the share of specimens of no known taxon, set apart first.",
        only={"quantify": GIVEN},
        panel=DIVERSITY,
    )
    seed: int = setting(0, "Seed of every random choice.", low=0, panel=DIVERSITY)
    rarefy: int | None = setting(
        None, "Specimens that samples are rarefied to.", low=1, unset="those of the smallest sample", panel=DIVERSITY
    )
    chao1: bool = setting(False, "Chao1, of predicted names too, where it counts errors as taxa.", panel=DIVERSITY)
    ordination: str = setting("nmds", "How samples are laid out on the page.", choices=ORDINATIONS, panel=DIVERSITY)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers and (len(self.layers) < 2 or list(self.layers) != sorted(set(self.layers))):
            raise SettingError("--layers must be two or more depths in metres, each deeper than the one before: 0,50,100")
        if self.layers and "depth" not in self.by:
            raise SettingError("--layers are used where depth is in --by: --by sample,depth")
        self.survey()

    def survey(self) -> Survey:
        """Which columns are samples and volumes. Raises SettingError for a measure without a unit that is known."""
        biovolume, pixel = biovolume_of(self.biovolume, self.pixel)
        return Survey(
            sample=self.sample,
            volume=measure("volume", self.volume),
            share=self.share,
            parts=self.parts,
            biovolume=biovolume,
            pixel=pixel,
        )
