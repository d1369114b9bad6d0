"""Traits of invented specimens, inherited down a tree of taxa.

Every taxon has a vector of logits: its parent's and an innovation drawn from the seed and its path of names, whose standard
deviation is :data:`STEPS` (Brownian motion along the tree). A number is read from its logit within its range, a choice is that of
the largest of its logits, so that it changes where a rank's innovation overturns it. On top of the tree:

- *convergent* species (one in seven) wear the colours and patterns of one of 24 looks that have nothing to do with kinship;
- in *cryptic* genera (one in twelve) the species do not differ, whatever their barcodes say;
- specimens differ from their species, and the sexes of some species differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.plans import Plan, plan_of

Logits = npt.NDArray[np.float64]

# name -> lowest, highest
FORM = {
    "size": (0.74, 0.97),  # of the frame
    "slender": (0.10, 0.72),  # width of the body over its length
    "head": (0.35, 1.05),  # width of the head over that of the body
    "eyes": (0.12, 0.62),  # radius of an eye over that of the head
    "thorax": (0.12, 0.55),  # length of the thorax over that of the trunk
    "shoulders": (0.6, 1.2),  # width of the thorax over that of the abdomen
    "waist": (0.0, 0.85),
    "taper": (0.05, 0.95),
    "belly": (0.3, 0.75),  # where the abdomen is widest
    "segments": (2.5, 15.0),
    "leg_length": (0.25, 1.9),  # over the body's
    "leg_thick": (0.010, 0.042),
    "hind_leg": (1.0, 2.1),  # length of the last pair over that of the others
    "knee": (0.3, 1.2),  # bend, radians
    "hairs": (-8.0, 16.0),
    "antenna": (0.05, 1.4),  # length over the body's
    "antenna_bend": (-0.9, 0.9),
    "tail": (0.12, 0.9),
    "wing_length": (0.55, 1.25),
    "wing_width": (0.16, 0.75),  # over its length
    "wing_tip": (0.35, 1.3),
    "wing_lead": (0.15, 0.6),  # part of its width before the axis
    "wing_angle": (4.0, 105.0),  # from the tail, degrees
    "hind": (0.4, 1.05),
    "veins": (1.5, 7.5),
    "cross": (-0.5, 6.5),
    "opacity": (0.12, 1.0),
    "shine": (0.0, 1.0),
}
PATTERN = {
    "bands": (1.5, 7.5),
    "band_width": (0.2, 0.75),
    "spots": (1.5, 6.5),
    "spot_size": (0.10, 0.34),
    "stripe": (0.12, 0.6),
    "wing_marks": (1.5, 5.5),
    "wing_mark_size": (0.08, 0.26),
    "wing_mark_at": (0.3, 0.85),
    "wing_mark_dark": (0.35, 1.0),
}
COLOURS = ("body", "thorax", "mark", "wing", "wing_mark", "leg", "eye")
"""Each has three logits: hue, saturation, lightness."""
CHOICES = {
    "antenna": ("thread", "club", "feather", "elbow", "beads"),
    "tail": ("none", "cerci", "threads", "sting", "pincers"),
    "head": ("round", "square", "snout"),
    "abdomen": ("plain", "bands", "stripe", "spots", "saddle", "tip", "edge"),
    "back": ("plain", "stripes", "collar", "spot", "halves"),
    "wing": ("clear", "spots", "band", "margin", "tip", "eyespot", "mottled"),
    "leg": ("plain", "ringed", "dark_feet", "pale_knees"),
}
_FORM_CHOICES = ("antenna", "tail", "head")

NAMES = (
    *FORM,
    *PATTERN,
    *(f"{colour}/{what}" for colour in COLOURS for what in ("hue", "saturation", "lightness")),
    *(f"{choice}_{option}" for choice, options in CHOICES.items() for option in options),
)
PLACE = {name: place for place, name in enumerate(NAMES)}


def _kind(name: str) -> int:
    """0 form, 1 pattern, 2 colour."""
    if name in FORM or name.split("_")[0] in _FORM_CHOICES:
        return 0
    return 2 if "/" in name else 1


KINDS = np.array([_kind(name) for name in NAMES])
STEPS = {
    "above": (0.15, 0.0, 0.1),
    "order": (0.45, 0.5, 0.35),
    "family": (0.65, 0.7, 0.55),
    "genus": (0.45, 0.7, 0.65),
    "species": (0.16, 0.45, 0.42),
    "specimen": (0.07, 0.12, 0.16),
}
"""Rank -> standard deviation of the innovation of form, pattern and colour."""
FOUR = ("order", "family", "genus", "species")
BETWEEN = ("suborder", "infraorder", "superfamily", "subfamily", "tribe", "subtribe", "subgenus", "subspecies", "bin", "dna_bin")
"""Ranks that nothing is inherited at: many records lack them, and kin would differ by what is filled in."""
CONVERGENT, LOOKS, WORN = 1 / 7, 24, 0.85
CRYPTIC = 1 / 12
DIMORPHIC = 0.25
COMMON = "Animalia"


@dataclass(frozen=True)
class Traits:
    """What one specimen, or one taxon, looks like: its plan and (len(NAMES),) logits."""

    plan: Plan
    logits: Logits

    def number(self, name: str) -> float:
        """A trait within its range."""
        low, high = FORM[name] if name in FORM else PATTERN[name]
        return float(low + (high - low) / (1 + np.exp(-1.6 * self.logits[PLACE[name]])))

    def choice(self, name: str) -> str:
        """The option of the largest logit."""
        return max(CHOICES[name], key=lambda option: self.logits[PLACE[f"{name}_{option}"]])

    def colour(self, name: str) -> tuple[float, float, float]:
        """Logits of hue, saturation and lightness."""
        start = PLACE[f"{name}/hue"]
        hue, saturation, lightness = self.logits[start : start + 3].tolist()
        return hue, saturation, lightness


@dataclass(frozen=True)
class Facts:
    """What no eye can know of a species, and what it may mistake it for."""

    cryptic: bool
    look: int | None
    """Of :data:`LOOKS`, for a convergent species."""


class Inheritance:
    """Traits of every taxon of a tree, from a seed; made when they are asked for, and kept.

    ranks: names of the ranks from coarse to fine. Those :data:`BETWEEN` are passed over; the last four of the others are taken
    for order, family, genus and species, unless they are called so.
    """

    def __init__(self, seed: int, ranks: Sequence[str]) -> None:
        used = [rank for rank in ranks if rank.lower() not in BETWEEN] or list(ranks)
        named = {rank: rank.lower() for rank in used if rank.lower() in FOUR}
        if not named:
            named = dict(zip(reversed(used), reversed(FOUR)))
        self.seed = seed
        self.used = tuple(ranks.index(rank) for rank in used)
        self.steps = tuple(named.get(rank, "above") for rank in used)
        self._kept: dict[tuple[str | None, ...], Traits] = {}

    def path(self, names: Sequence[str | None], stand_in: str) -> tuple[str | None, ...]:
        """The path of a specimen down to its species; without a species ``stand_in`` (a bin, its id) is one.

        names: one for each rank, None where there is none.
        """
        path = [names[i] for i in self.used]
        if path and path[-1] is None:
            path[-1] = f"?{stand_in}"
        return tuple(path) or (f"?{stand_in}",)

    def of(self, path: tuple[str | None, ...]) -> Traits:
        """Traits of the taxon at the end of a path, which may be shorter than a species'."""
        found = self._kept.get(path)
        if found is None:
            found = self._kept[path] = self._make(path)
        return found

    def facts(self, path: tuple[str | None, ...]) -> Facts:
        """Of a species."""
        if path[-1] is None or len(path) < len(self.steps):
            return Facts(False, None)
        cryptic = len(path) > 1 and chance(self.seed, "cryptic", *path[:-1]).random() < CRYPTIC
        random = chance(self.seed, "convergent", *(path[:-1] if cryptic else path))
        return Facts(cryptic, int(random.integers(LOOKS)) if random.random() < CONVERGENT else None)

    def specimen(self, path: tuple[str | None, ...], id_: str) -> Traits:
        """Traits of one specimen of a species: its own, and those of its sex where the sexes differ."""
        species, random = self.of(path), chance(self.seed, "specimen", id_)
        logits = species.logits + random.standard_normal(len(NAMES)) * _spread("specimen")
        sexes = chance(self.seed, "sexes", *path)
        if sexes.random() < DIMORPHIC and random.random() < 0.5 and not self.facts(path).cryptic:
            logits = logits + sexes.standard_normal(len(NAMES)) * _spread("species")
        return Traits(species.plan, logits)

    def _make(self, path: tuple[str | None, ...]) -> Traits:
        step = self.steps[len(path) - 1] if len(path) <= len(self.steps) else "species"
        parent = self.of(path[:-1]) if len(path) > 1 else None
        random = chance(self.seed, "taxon", *path)
        innovation = random.standard_normal(len(NAMES)) * _spread(step)
        facts = self.facts(path)
        logits = (np.zeros(len(NAMES)) if parent is None else parent.logits) + (0 if facts.cryptic else innovation)
        if parent is not None and path[-1] is None:
            logits = parent.logits
        plan = None if parent is None else parent.plan
        if step in ("above", "order") or plan is None:
            plan = plan_of(path, chance(self.seed, "plan", *path).random())
        if facts.look is not None:
            worn = chance(self.seed, "look", str(facts.look)).standard_normal(len(NAMES)) * 1.1
            logits = np.where(KINDS > 0, (1 - WORN) * logits + WORN * worn, logits)
        return Traits(plan, logits)


def _spread(step: str) -> Logits:
    return np.asarray(np.array(STEPS[step])[KINDS], np.float64)


def with_means(traits: Traits) -> Traits:
    """The same, with the proportions of its plan: what is drawn."""
    logits = traits.logits.copy()
    for name, mean in traits.plan.means.items():
        logits[PLACE[name]] += mean
    return Traits(traits.plan, logits)
