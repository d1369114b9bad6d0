"""What a survey found: samples, and of each the taxa that were named alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from biocosmos.specimens.writers.naming import PREDICTED

MACHINES = "_P"
"""What the id of a machine's row ends in."""


@dataclass
class Sample:
    """What is known of a sample; nan and "" where nothing is. ``n``: specimens of it, of whatever name; ``none``: /m³ of a taxon
    that was not found in it, nan where the volume or share of a specimen is not known. volumes: m³ by acquisition (or EcoTaxa's
    sample); apart: whether each is of other water; else those that are equal are one, of which the acquisitions are fractions."""

    id: str
    latitude: float = math.nan
    longitude: float = math.nan
    shallow: float = math.nan
    deep: float = math.nan
    uncertainty: float = math.nan
    first: str = ""
    last: str = ""
    country: str = ""
    protocol: str = ""
    station: str = ""
    mesh: float = math.nan
    aperture: float = math.nan
    volumes: dict[str, float] = field(default_factory=dict)
    apart: bool = False
    n: int = 0
    none: float = 0.0

    @property
    def date(self) -> str:
        """As eventDate wants it: a day, or the first and the last one."""
        return self.first if self.first == self.last else f"{self.first}/{self.last}"

    @property
    def volume(self) -> float:
        """m³ of all its water, nan where some is not known."""
        return sum(self.volumes.values() if self.apart else {*self.volumes.values()}) if self.volumes else math.nan


@dataclass
class Found:
    """Specimens of a taxon in a sample that were named alike. label: the name as it was given; path: (rank, name) coarse to fine;
    state: "predicted", "validated" or "" where nobody says who named it. per_volume: /m³; biovolume: mm³/m³; nan where a volume
    or share is not known. absent: none was found."""

    sample: str
    label: str
    path: tuple[tuple[str, str], ...]
    state: str
    n: int = 0
    per_volume: float = 0.0
    biovolume: float = 0.0
    confidence: float = 0.0
    confident: int = 0
    people: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    name_id: str = ""
    name: str = ""
    rank: str | None = None

    @property
    def scientific_name(self) -> str:
        """The finest taxon that is known, else the name as it was given."""
        return self.path[-1][1] if self.path else self.label

    @property
    def absent(self) -> bool:
        """Whether none was found."""
        return self.n == 0

    @property
    def id(self) -> str:
        """Unique in the survey, the same at each export; a machine's rows end in :data:`MACHINES`."""
        return f"{self.sample}:{self.name}" + (MACHINES if self.state == PREDICTED else "")


@dataclass
class Gathered:
    """samples: by id, in the order they came; found: by sample, name and state."""

    samples: dict[str, Sample]
    found: list[Found]
    has_volume: bool
    has_biovolume: bool
    specimens: int


def call(found: Sequence[Found]) -> None:
    """Give each a name for its id: the label without blanks, numbered where another taxon has that id."""
    called: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
    taken: set[str] = set()
    for each in found:
        taxon = (each.label, each.path)
        if taxon not in called:
            plain = name = "_".join(each.label.split())
            number = 1
            while taken & {name, name + MACHINES}:
                number += 1
                name = f"{plain}-{number}"
            called[taxon] = name
            taken |= {name, name + MACHINES}
        each.name = called[taxon]


def absences_of(samples: Mapping[str, Sample], found: Sequence[Found]) -> list[Found]:
    """A row for each taxon in each sample where neither a person nor a machine found it."""
    there = {(each.sample, each.name) for each in found}
    taxa = {each.name: each for each in found}
    return [
        Found(id, each.label, each.path, "", 0, sample.none, sample.none, name=name, rank=each.rank, name_id=each.name_id)
        for id, sample in samples.items()
        for name, each in taxa.items()
        if (id, name) not in there
    ]
