"""What a survey is told of the columns: samples, volumes, shares, and their units. Nothing heavy is imported here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from biocosmos.settings import SettingError
from biocosmos.specimens.biovolumes import PIXEL, Formula, formula_of

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
PIXELS = {"mm": 1.0, "um": 1e-3}
"""Units of the side of a pixel, in mm."""


@dataclass(frozen=True)
class Measure:
    """A column and what one of its unit is in the first unit of its measure."""

    column: str
    factor: float = 1.0


@dataclass(frozen=True)
class Survey:
    """sample: column of the samples, None: the first of :data:`SAMPLES` that is there. volume: sampled water (m³) of a specimen's
    acquisition; share: of it that was looked at, above 0 to 1, or parts: into how many it was split, of which one was looked at
    (EcoTaxa's acq_sub_part: its coefficient is 1 / sub_part); biovolume: of the specimen (mm³), a column or a formula, and pixel
    the side of its pixels (mm), the same for all or a column; mesh (µm), aperture (m²): of the net. absences: a taxon of the
    survey that was not found in a sample has a row that says so."""

    sample: str | None = None
    volume: Measure | None = None
    share: str | None = None
    parts: str | None = None
    biovolume: Measure | Formula | None = None
    pixel: Measure | float | None = None
    mesh: Measure | None = None
    aperture: Measure | None = None
    absences: bool = False

    @property
    def columns(self) -> list[str]:
        """Those it is told."""
        measures = (self.volume, self.biovolume, self.pixel, self.mesh, self.aperture)
        given = [self.sample, self.share, self.parts, *(each.column for each in measures if isinstance(each, Measure))]
        return [name for name in given if name is not None]


def measure(called: str, given: str | None) -> Measure | None:
    """ "sample_tot_vol=m3" -> the column and its unit. Raises SettingError: a unit is never guessed."""
    if given is None:
        return None
    column, _, unit = (part.strip() for part in given.rpartition("="))
    factor = _factor(UNITS[called], unit)
    if not column or factor is None:
        said = f"--{called} {given!r}"
        raise SettingError(f"{said} must be COLUMN=UNIT with one of {', '.join(UNITS[called])}: units are told, never guessed")
    return Measure(column, factor)


def biovolume_of(given: str | None, pixel: str | None) -> tuple[Measure | Formula | None, Measure | float | None]:
    """ "mm3=mm3", "sphere", "ellipsoid", "area*px**2*height*px", "length**3=um3", with "10.6um" or "acq_pixel=um" where there is
    px in it -> the biovolume and the side of a pixel in mm. Raises SettingError: units are told, never guessed."""
    side = _pixel(pixel)
    if given is None:
        if side is not None:
            raise SettingError("--pixel is used by the formula of --biovolume: give one (sphere, ellipsoid)")
        return None, None
    column, _, unit = (part.strip() for part in given.rpartition("="))
    factor = _factor(UNITS["biovolume"], unit)
    if column and factor is None:
        return measure("biovolume", given), side
    if column and re.search(r"[-+*/()]", column) is None:
        found: Measure | Formula = Measure(column, float(factor or 1))
    elif column:
        found = formula_of(column, factor)
    else:
        found = formula_of(given.strip())
    needs = isinstance(found, Formula) and found.of_pixels
    if needs and factor is not None:
        raise SettingError(
            f"--biovolume {given!r} says its unit twice: {PIXEL} is in mm, so that mm³ come out; leave ={unit} out"
        )
    if needs and side is None:
        raise SettingError(f"--biovolume {given!r} needs the side of a pixel: --pixel 10.6um, or --pixel COLUMN=um")
    if side is not None and not needs:
        raise SettingError(f"--pixel does nothing here: there is no {PIXEL} in --biovolume {given!r}")
    return found, side


def _pixel(given: str | None) -> Measure | float | None:
    """ "0.0106mm" or "acq_pixel=um", in mm. Raises SettingError."""
    if given is None:
        return None
    wrong = SettingError(f"--pixel {given!r} must be a length as 10.6um or 0.0106mm, or COLUMN=um, COLUMN=mm")
    column, equals, unit = (part.strip() for part in given.rpartition("="))
    if equals:
        factor = _factor(PIXELS, unit)
        if not column or factor is None:
            raise wrong
        return Measure(column, factor)
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(mm|um|µm)\s*", given)
    try:
        side = float(found[1]) * PIXELS[found[2].replace("µ", "u")] if found else math.nan
    except ValueError:
        side = math.nan
    if not (side > 0 and math.isfinite(side)):
        raise wrong
    return side


def _factor(units: dict[str, float], unit: str) -> float | None:
    """Of a unit, in whatever case it is written; µ is u."""
    said = unit.lower().replace("µ", "u").replace("³", "3").replace("²", "2")
    return next((factor for name, factor in units.items() if name.lower() == said), None)
