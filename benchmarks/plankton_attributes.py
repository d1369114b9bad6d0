"""Attributes that the label names of PlanktonSet tell, as a table: one row a label, empty where its name says nothing.

    python benchmarks/plankton_attributes.py ../shared/data/planktonset/taxonomy.csv benchmarks/plankton_attributes.csv

form and stage have one value. The traits are 1, 0 or empty: a label without the word is a 0 only where a sibling label has it,
so that whoever labelled had the choice; where nobody asked, nothing is known.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

ONE = {
    "form": {
        "chain": r"chain",
        "colony": r"colony",
        "bundle": r"trichodesmium_(bowtie|puff|tuft)",
        "star": r"protist_star",
        "thread": r"filamentous|sticks|very_thin_body|thin_body|leptocephali|jellies_tentacles",
        "bent": r"s_shape|slight_curve",
        "straight": r"straight",
        "blob": r"blob|deep_body",
    },
    "stage": {
        "larva": r"larva|pluteus|zoea|trochophore|leptocephali|dev_seq",
        "young": r"young|ephyra",
        "grown": r"_adult|^euphausiids$|^siphonophore_physonect$|sphaeronectes$|^hydromedusae_narcomedusae$|doliolid_nurse",
    },
}
TRAITS = {
    "eggs": (r"_eggs$", r"^copepod(?!.*octomoms)"),  # the name tells of many eggs, but not in words
    "antennae_out": (r"frillyAntennae|longantennae", r"antennatucked"),
    "tentacles": (r"(and|cydippid|jellies)_tentacles", r"no_tentacles|^hydromedusae_typeD$"),
    "part": (r"partial|other_parts|jellies_tentacles|sphaeronectes_stem", r"^(hydromedusae|siphonophore|tunicate)"),
    "side_view": (r"side", r"^hydromedusae_(shapeA|haliscera)$|^copepod_calanoid_large$"),
    "dark": (r"dark", r"^protist|^hydromedusae_narco"),
}
"""Trait -> the names that have it, and those without it of which it is known."""


def attributes_of_label(label: str) -> dict[str, str]:
    """The row of a label: column -> value, "" where it is not known."""
    row = {"label": label}
    for column, values in ONE.items():
        row[column] = next((value for value, pattern in values.items() if re.search(pattern, label)), "")
    for column, (has, lacks) in TRAITS.items():
        row[column] = "1" if re.search(has, label) else "0" if re.search(lacks, label) else ""
    return row


def main() -> None:
    source, target = map(Path, sys.argv[1:3])
    with source.open(newline="", encoding="utf-8") as file:
        rows = [attributes_of_label(row["label"]) for row in csv.DictReader(file)]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
