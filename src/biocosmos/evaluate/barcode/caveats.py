"""What a report on barcodes must not be read to say, in sentences with the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from biocosmos.evaluate.barcode.accuracy import SEEN, UNNAMED, UNSEEN
from biocosmos.evaluate.barcode.gap import ALIGNED, APART, MOST
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.caveats import provenance_caveats
from biocosmos.evaluate.pages.svg import percent

FEW = 100
"""Queries under which a group's figures are rough as a whole."""


def barcode_caveats(
    tables: Mapping[str, pa.Table], facts: Mapping[str, Any], boot: Bootstrap, provenance: Mapping[str, Any]
) -> list[str]:
    """Sentences, the gravest first."""
    counts, species = facts["counts"], facts["species"]
    out = []
    if unseen := counts.get(UNSEEN):
        out.append(
            f"{unseen:,} queries are of a {species} that the gallery has no specimen of: no encoder can name it, they are in no "
            f"average at {species}, and their figures at the ranks above are told apart. They are not comparable with those of "
            "seen species: other taxa are asked about."
        )
    for row in tables["accuracy"].to_pylist():
        if row["tied"] and (row["group"], row["rank"], row["average"]) == (SEEN, species, "micro"):
            out.append(
                f"{row['tied']:,} queries of seen species are equally near to specimens of several {species} ({row['encoder']}): "
                f"the order of the gallery answered. In another order {percent(row['at_worst'])} to {percent(row['at_best'])} "
                f"might be right in place of {percent(row['value'])}."
            )
    if unnamed := counts.get(UNNAMED):
        out.append(f"{unnamed:,} queries have no name at {species} and are judged above it alone.")
    few = [f"{counts[group]:,} of {group}" for group in (SEEN, UNSEEN) if 0 < counts.get(group, 0) < FEW]
    if few:
        out.append(f"There are few queries ({' and '.join(few)}): read the intervals, not the values.")
    provisional = counts["provisional"]
    if provisional["gallery"] or provisional["queries"]:
        out.append(
            f"{provisional['gallery']:,} of the gallery and {provisional['queries']:,} of the queries have a provisional name "
            "(sp. 1, cf., nr.), which was taken for no species; their taxa above count. --provisional takes such names for "
            "species."
        )
    if "gaps" in tables:
        apart = sum(row["verdict"] == APART for row in tables["gaps"].select(["verdict"]).to_pylist())
        none = f"; {apart:,} species have no such pair" if apart else ""
        least = provenance["options"]["least_overlap"]
        out.append(
            f"Distances are of pairs that share at least {least} sites{none}. "
            f"Another species' barcode is looked for among the {ALIGNED} nearest by k-mers, and of a species with more than "
            f"{MOST} different barcodes a seeded sample is compared: the smallest distance to another species may be a little "
            "smaller still, and the largest within a little larger."
        )
        out.append(
            "A gap between the specimens at hand says little of those that are not: with more specimens and more species gaps "
            "close (Meyer and Paulay 2005)."
        )
    if "published" in tables:
        out.append(
            "Published figures are of the papers' own data and partitions: a figure measured here stands beside them only where "
            "the same partition was evaluated."
        )
    if not boot.draws:
        out.append("No intervals were asked for: differences between the figures cannot be told from chance.")
    else:
        out.append(
            f"Intervals hold {boot.confidence:.0%} of {boot.draws:,} bootstrap draws (seed {boot.seed}) of {boot.resample}. They "
            "take them as independent: barcodes of one population or one trap are alike, and then the true uncertainty is "
            "larger. They say nothing of other regions or groups."
        )
    return out + provenance_caveats(provenance)
