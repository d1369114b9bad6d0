"""What a survey is told of the columns: samples, volumes, shares, and their units. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.settings import SettingError

SURVEYS = ("obis", "gbif-event", "camtrap-dp", "ecotaxa-summary")
"""Formats whose rows are not specimens but what was found in each sample."""
COUNTED = ("obis", "gbif-event", "ecotaxa-summary")
SAMPLES = ("sample_id", "eventID", "sample", "deployment", "deploymentID", "station", "locationID", "sequence")
"""Columns that say which sample a specimen is of; the first that is there counts."""
UNITS: dict[str, dict[str, float]] = {
    "volume": {"m3": 1.0, "L": 1e-3, "mL": 1e-6},
    "biovolume": {"mm3": 1.0, "um3": 1e-9},
    "mesh": {"um": 1.0, "mm": 1e3},
    "aperture": {"m2": 1.0, "cm2": 1e-4},
}
"""Of each measure, its units and how much of the first one they are."""


@dataclass(frozen=True)
class Measure:
    """A column and what one of its unit is in the first unit of its measure."""

    column: str
    factor: float = 1.0


@dataclass(frozen=True)
class Survey:
    """sample: column of the samples, None: the first of :data:`SAMPLES` that is there. volume: sampled water (m³) of a specimen's
    acquisition; share: of it that was looked at, above 0 to 1; biovolume: of the specimen (mm³); mesh (µm), aperture (m²): of
    the net. absences: a taxon of the survey that was not found in a sample has a row that says so."""

    sample: str | None = None
    volume: Measure | None = None
    share: str | None = None
    biovolume: Measure | None = None
    mesh: Measure | None = None
    aperture: Measure | None = None
    absences: bool = False

    @property
    def columns(self) -> list[str]:
        """Those it is told."""
        measures = (self.volume, self.biovolume, self.mesh, self.aperture)
        given = [self.sample, self.share, *(measure.column for measure in measures if measure is not None)]
        return [name for name in given if name is not None]


def measure(called: str, given: str | None) -> Measure | None:
    """ "sample_tot_vol=m3" -> the column and its unit. Raises SettingError: a unit is never guessed."""
    if given is None:
        return None
    column, _, unit = (part.strip() for part in given.rpartition("="))
    if not column or unit not in UNITS[called]:
        said = f"--{called} {given!r}"
        raise SettingError(f"{said} must be COLUMN=UNIT with one of {', '.join(UNITS[called])}: units are told, never guessed")
    return Measure(column, UNITS[called][unit])
