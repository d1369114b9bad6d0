"""Ranks that are recognised by their column names, coarsest first."""

from __future__ import annotations

DARWIN_CORE = ("kingdom", "phylum", "class", "order", "family", "genus", "species")

# "status" (living or not) stands above the tree of life, "label" (the annotator's class) below it.
KNOWN_RANKS = (
    "status",
    "domain",
    "superkingdom",
    "kingdom",
    "subkingdom",
    "infrakingdom",
    "superphylum",
    "phylum",
    "subphylum",
    "infraphylum",
    "superclass",
    "class",
    "subclass",
    "infraclass",
    "superorder",
    "order",
    "suborder",
    "infraorder",
    "superfamily",
    "family",
    "subfamily",
    "tribe",
    "subtribe",
    "genus",
    "subgenus",
    "species",
    "subspecies",
    "variety",
    "form",
    "label",
)
