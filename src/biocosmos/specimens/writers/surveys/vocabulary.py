"""Terms of vocabularies that OBIS and GBIF go by: NERC's P01, Q01 and P06, OBIS's measurements, the Humboldt Extension.

Of the guides for plankton images: Martin-Cabrera et al. 2022 (https://doi.org/10.25607/OBP-1742), Neeley et al. 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.specimens.writers.darwin_core_terms import DWC

ECO = "http://rs.tdwg.org/eco/terms/"
OBIS = "http://rs.iobis.org/obis/terms/"
EVENT, OCCURRENCE = DWC + "Event", DWC + "Occurrence"
MEASUREMENT, HUMBOLDT = OBIS + "ExtendedMeasurementOrFact", ECO + "Event"
NERC = "http://vocab.nerc.ac.uk/collection/{}/current/{}/"


@dataclass(frozen=True)
class Measured:
    """What a measurement is called, its unit, and the addresses of both."""

    type: str
    unit: str
    type_id: str
    unit_id: str


COUNT = Measured(
    "Count (in assayed sample) of biological entity specified elsewhere",
    "Dimensionless",
    NERC.format("P01", "OCOUNT01"),
    NERC.format("P06", "UUUU"),
)
ABUNDANCE = Measured(
    "Abundance of biological entity specified elsewhere per unit volume of the water body",
    "Number per cubic metre",
    NERC.format("P01", "SDBIOL01"),
    NERC.format("P06", "UPMM"),
)
BIOVOLUME = Measured(
    "Biovolume of biological entity specified elsewhere per unit volume of the water body",
    "Cubic millimetres per cubic metre",
    NERC.format("P01", "CVOLUKNB"),
    NERC.format("P06", "CMCM"),
)
MESH = Measured("Sampling net mesh size", "Micrometres", NERC.format("Q01", "Q0100015"), NERC.format("P06", "UMIC"))
APERTURE = Measured(
    "Sampling device aperture surface area", "Square metres", NERC.format("Q01", "Q0100017"), NERC.format("P06", "UMSQ")
)
