"""Body plans: how many legs and wings, and the proportions that a lineage starts from.

A real order of arthropods gets the plan that it looks like, so that beetles have wing cases; any other name draws one. Values are
logits around the middle of a trait's range (see :mod:`biocosmos.images.invented.traits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Plan:
    """leg_pairs, wing_pairs: on each side; elytra: the fore wings are wing cases; means: logits of traits, and of choices."""

    name: str
    leg_pairs: int = 3
    wing_pairs: int = 0
    elytra: bool = False
    two_parts: bool = False
    """Head and thorax are one, as in spiders."""
    one_part: bool = False
    """And so is the abdomen, as in mites."""
    means: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def _plan(name: str, legs: int, wings: int, elytra: bool = False, parts: int = 3, **means: float) -> Plan:
    return Plan(name, legs, wings, elytra, parts < 3, parts == 1, MappingProxyType(means))


PLANS = (
    _plan("fly", 3, 1, slender=-0.4, head=1.0, eyes=1.6, waist=-0.3, wing_angle=-0.7, wing_width=0.2, antenna=-2.2,
          opacity=-1.8, leg_length=0.3, tail_none=3, thorax=0.9),
    _plan("beetle", 3, 2, True, slender=0.9, head=-0.3, eyes=-0.8, waist=-2.0, wing_length=-1.2, wing_width=0.5, antenna=-0.4,
          opacity=4.0, leg_length=-0.7, tail_none=3, segments=-0.5, wing_angle=-2.6, thorax=-1.0, shine=1.2),
    _plan("bug", 3, 2, slender=0.7, head=-1.0, eyes=-0.2, waist=-1.6, wing_length=-0.6, wing_width=-0.3, antenna=0.2,
          opacity=1.5, leg_length=0.3, tail_none=3, wing_angle=-2.2, head_snout=1.5, taper=0.6, thorax=0.2),
    _plan("wasp", 3, 2, slender=-1.0, head=0.7, eyes=0.5, waist=2.0, wing_length=0.0, wing_width=-0.2, antenna=0.6,
          opacity=-2.2, leg_length=0.5, tail_sting=1.6, wing_angle=0.2, taper=0.8, antenna_elbow=1.2),
    _plan("moth", 3, 2, slender=-0.9, head=-0.6, eyes=0.2, waist=-1.0, wing_length=0.6, wing_width=1.9, antenna=0.6,
          opacity=3.0, leg_length=-1.4, tail_none=3, wing_angle=1.8, antenna_feather=0.8, antenna_club=0.8, hairs=1.5,
          wing_mottled=1.0, wing_eyespot=1.0, wing_band=1.0, wing_margin=1.0, hind=1.2),
    _plan("hopper", 3, 2, slender=-1.0, head=0.8, eyes=-0.4, waist=-2.0, wing_length=0.2, wing_width=-1.0, antenna=0.6,
          opacity=1.2, leg_length=0.7, hind_leg=2.6, tail_cerci=0.8, wing_angle=-2.2, segments=0.8, thorax=0.2),
    _plan("mayfly", 3, 2, slender=-1.8, head=-0.2, eyes=0.9, waist=-1.2, wing_length=0.4, wing_width=0.4, antenna=-0.6,
          opacity=-1.2, leg_length=0.2, tail_threads=2.5, wing_angle=0.6, segments=1.6, hind=-0.8, tail=1.4),
    _plan("caddis", 3, 2, slender=-1.2, head=-0.4, eyes=-0.1, waist=-1.4, wing_length=0.6, wing_width=-0.1, antenna=1.8,
          opacity=1.2, leg_length=0.4, tail_none=2, wing_angle=-1.6, hairs=0.8),
    _plan("dragonfly", 3, 2, slender=-2.4, head=1.2, eyes=2.2, waist=-0.6, wing_length=0.4, wing_width=-0.8, antenna=-2.5,
          opacity=-2.4, leg_length=-0.8, tail_cerci=1.0, wing_angle=2.2, segments=1.4, veins=1.4, cross=1.6, hind=1.6),
    _plan("spider", 4, 0, parts=2, slender=1.2, head=0.9, eyes=-1.4, waist=0.6, antenna=-2.0, leg_length=1.0, taper=-0.4,
          tail_none=4, hairs=0.6, segments=-3, leg_thick=0.3),
    _plan("mite", 4, 0, parts=1, slender=1.8, head=-1.6, eyes=-2.2, waist=-4.0, antenna=-3.0, leg_length=0.0, taper=0.0,
          tail_none=4, segments=-4, thorax=-2.0, belly=-0.4),
    _plan("harvestman", 4, 0, parts=1, slender=1.6, head=-0.8, eyes=-2.0, waist=-4.0, antenna=-2.0, leg_length=3.0,
          leg_thick=-2.0, tail_none=4, taper=0.0, segments=-1.0, thorax=-1.5),
    _plan("woodlouse", 7, 0, slender=0.9, head=-0.6, eyes=-1.2, waist=-3.0, antenna=-0.7, leg_length=-0.4, tail_cerci=1.0,
          segments=1.0, taper=0.2, thorax=-2.5),
    _plan("millipede", 14, 0, slender=-2.4, head=0.8, eyes=-1.4, waist=-3.0, antenna=-1.4, leg_length=-1.6, tail_none=1.0,
          segments=3.0, taper=-1.0, thorax=-3.0, leg_thick=-1.5),
    _plan("worm", 0, 0, slender=-2.8, head=0.3, eyes=-3.0, waist=-3.0, antenna=-4.0, tail_none=5.0, segments=3.0, taper=0.4,
          thorax=-3.0, shine=1.5),
    _plan("shell", 0, 0, slender=2.2, head=-2.5, eyes=-3.0, waist=-3.0, antenna=-1.8, tail_none=5.0, segments=1.6, taper=-0.6,
          thorax=-3.0, shine=1.5),
)  # fmt: skip
BY_NAME = {plan.name: plan for plan in PLANS}
DRAWN = ("fly", "beetle", "bug", "wasp", "moth", "hopper", "mayfly", "caddis", "dragonfly", "spider", "mite")
"""What a name that nobody knows may get."""

KNOWN = {
    "fly": "Diptera Strepsiptera Thysanoptera",
    "beetle": "Coleoptera Dermaptera Blattodea",
    "bug": "Hemiptera Psocodea",
    "wasp": "Hymenoptera Mecoptera Raphidioptera",
    "moth": "Lepidoptera",
    "hopper": "Orthoptera Mantodea Phasmatodea Phasmida Archaeognatha Zygentoma Collembola Entomobryomorpha",
    "mayfly": "Ephemeroptera",
    "caddis": "Trichoptera Plecoptera Neuroptera Megaloptera",
    "dragonfly": "Odonata",
    "spider": "Araneae Pseudoscorpiones",
    "mite": "Trombidiformes Mesostigmata Sarcoptiformes Ixodida",
    "harvestman": "Opiliones",
    "woodlouse": "Isopoda Amphipoda Glomerida Decapoda Mysida",
    "millipede": "Julida Polydesmida Polyxenida Lithobiomorpha Geophilomorpha Scolopendromorpha Diplopoda Chilopoda",
    "worm": "Annelida Clitellata Polychaeta Platyhelminthes Nematoda",
    "shell": "Mollusca Gastropoda Bivalvia",
}
"""Plan -> orders, classes and phyla that have it."""
PLAN_OF = {name: BY_NAME[plan] for plan, names in KNOWN.items() for name in names.split()}


def plan_of(names: tuple[str | None, ...], draw: float) -> Plan:
    """The plan of a lineage: of its lowest name that has one, else the one that ``draw`` (0 to 1) falls on.

    names: coarse to fine, no lower than the order.
    """
    for name in reversed(names):
        if name is not None and name in PLAN_OF:
            return PLAN_OF[name]
    return BY_NAME[DRAWN[int(draw * len(DRAWN)) % len(DRAWN)]]
