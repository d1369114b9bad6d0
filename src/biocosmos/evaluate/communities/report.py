"""The report on a community: its tables, what cannot be concluded from them, and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.discover.communities.diversity import rarefied
from biocosmos.discover.communities.indices import CHAO1_WARNING, distance_table, distances, diversity_table
from biocosmos.discover.communities.ordination import FEWEST, Ordination, ordinate
from biocosmos.discover.communities.table import Community
from biocosmos.discover.communities.uncertainty import Doubt
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.communities.page import laid_out
from biocosmos.evaluate.report import Report

STEPS = 24
"""Points of a curve of rarefaction."""
PREDICTED = (
    "Names that a classifier gave are counted as they are: where it errs more towards one taxon than towards another, counts and "
    "diversity are off by that, however many specimens there are. --confusion puts an interval around the true taxa, --quantify "
    "corrects shares"
)
DRAWN = (
    "Intervals say what the number of specimens that were looked at leaves open, and not whether the water that was sampled "
    "stands for the sea around it"
)
RICHNESS = "Richness goes with the number of specimens: compare samples at one number, by the column rarefied"


@dataclass
class CommunityReport(Report):
    """A report whose numbers rest on names and volumes; provenance: "counted", specimens, and what was told."""

    def stamp(self) -> str:
        """One line under every table: what decides its numbers."""
        told = self.provenance
        parts = [f"{told.get('specimens', 0):,} specimens", f"names {told.get('names') or 'of the collection'}"]
        parts += [f"{name} {told[name]}" for name in ("rank", "volume", "share", "parts", "biovolume", "pixel") if told.get(name)]
        parts += [f"{told['draws']} draws, seed {told['seed']}"] if told.get("draws") else []
        return " · ".join([*parts, f"biocosmos {self.provenance['software']['biocosmos']}"])


def community_report(
    community: Community,
    doubt: Doubt | None = None,
    *,
    provenance: Mapping[str, Any] | None = None,
    told: Sequence[str] = (),
    rarefy: int | None = None,
    chao1: bool = False,
    ordination: str = "nmds",
    seed: int = 0,
    shares: pa.Table | None = None,
) -> Report:
    """A report of kind "community".

    shares: of the taxa in each sample by quantification: sample, taxon, share, share_low, share_high, gate, method. told: what
    was said of samples and specimens while they were counted. Tables: samples (sample by taxon), diversity, distances,
    ordination, rarefaction, and shares where they are given.
    """
    diversity = diversity_table(community, doubt, size=rarefy, chao1=chao1)
    rows, apart, left_out = distances(community)
    laid, why = _ordinated(apart, len(rows), ordination, seed)
    names = [str(community.samples[i]) for i in rows]
    tables = {
        "samples": community.tidy(),
        "diversity": diversity,
        "distances": distance_table(community, rows, apart),
        "ordination": _axes_table(names, laid),
        "rarefaction": rarefaction_table(community),
    }
    tables |= {} if shares is None else {"shares": shares}
    caveats = [_sentence(each) for each in (*told, *left_out, *([why] if why else []))]
    caveats += [PREDICTED + "."] if community.predicted and (doubt is None or doubt.corrected is None) else []
    caveats += [DRAWN + "."] if doubt is not None else ["No specimens were drawn anew, so that there are no intervals."]
    caveats += [RICHNESS + "."] if len(community) > 1 else []
    caveats += [CHAO1_WARNING + "."] if chao1 and community.predicted else []
    title = f"What was found in {len(community):,} samples" if len(community) != 1 else "What was found in a sample"
    return CommunityReport(
        "community",
        title,
        tables,
        list(dict.fromkeys(caveats)),
        dict(provenance or {}),
        page=lambda report, pictures: laid_out(report, community, rows, apart, laid),
    )


def rarefaction_table(community: Community) -> pa.Table:
    """One row for each sample and number of specimens: the taxa to expect among so many."""
    counts = community.beside["specimens"]
    found: dict[str, list[Any]] = {"sample": [], "specimens": [], "taxa": []}
    for name, row in zip(community.samples, counts):
        total = int(row.sum())
        for size in sorted({*np.linspace(0, total, STEPS).round().astype(int).tolist(), min(total, 1)}) if total else ():
            found["sample"].append(str(name))
            found["specimens"].append(size)
            found["taxa"].append(float(rarefied(row, size)))
    kinds = {"sample": pa.string(), "specimens": pa.int64(), "taxa": pa.float64()}
    return pa.table({name: pa.array(values, kinds[name]) for name, values in found.items()})


def _ordinated(apart: Any, number: int, method: str, seed: int) -> tuple[Ordination | None, str]:
    """(the ordination, why there is none)."""
    if number < FEWEST:
        return (
            None,
            f"{number} {'sample has' if number == 1 else 'samples have'} no ordination: it takes {FEWEST} that can be compared",
        )
    try:
        return ordinate(apart, method, seed=seed), ""
    except BiocosmosError as error:
        return None, f"no ordination: {error}"


def _axes_table(names: Sequence[str], laid: Ordination | None) -> pa.Table:
    if laid is None:
        return pa.table(
            {"sample": pa.array([], pa.string()), "axis_1": pa.array([], pa.float64()), "axis_2": pa.array([], pa.float64())}
        )
    return pa.table({"sample": list(names), "axis_1": laid.axes[:, 0], "axis_2": laid.axes[:, 1]})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


__all__ = ["community_report"]
