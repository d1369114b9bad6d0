"""What a report on names must not be read to say, in sentences with the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.caveats import MANY_NOVEL, few_caveat, interval_caveat, listed, provenance_caveats, taxa_text
from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.ranks.asked import Asked

Row = dict[str, Any]


def naming_caveats(
    asked: Asked, targets: Sequence[Target], tables: Mapping[str, pa.Table], boot: Bootstrap, provenance: Mapping[str, Any]
) -> list[str]:
    """Sentences for a report on one namer or several, the gravest first."""
    out = []
    if not asked.knows:
        out.append(
            "The gallery was not given, so taxa that could never have been answered are not told apart, and novelty is not "
            "judged."
        )
    out += answerable_caveats(tables["answerable"].to_pylist())
    out += _answered_caveats(asked, tables, provenance)
    nothing = np.zeros(len(asked.ids), np.int64)
    out += few_caveat([Tally(target, nothing, target.query >= 0) for target in targets])
    out.append(
        "Calibration, coverage, weighted averages and hierarchical scores hold for specimens that arrive in these proportions; "
        "where taxa are more or less common, they shift."
    )
    rows = tables["summary"].to_pylist()
    if boot.draws and any(row["measure"] == "accuracy" and row["value"] in (0.0, 1.0) for row in rows):
        out.append(
            "Where all or none are right the bootstrap interval has no width; of n specimens the true share may still be as "
            "far off as 3 / n (rule of three)."
        )
    out.append(interval_caveat(boot))
    return out + provenance_caveats(provenance)


def _answered_caveats(asked: Asked, tables: Mapping[str, pa.Table], provenance: Mapping[str, Any]) -> list[str]:
    """What the answers as they were given leave open."""
    out = []
    answers = tables["answers"].to_pylist() if "answers" in tables else []
    if undecided := sum(row["undecided"] for row in answers):
        out.append(
            f"{undecided:,} answers are finer than what is known of the specimen (truth at genus, answer at species, say): "
            "they are neither right nor wrong."
        )
    moved, promise = provenance.get("withheld_as_novel"), _promise(provenance)
    if moved and promise.get("kind") == "answered" and not _counts_withheld(provenance):
        out.append(
            f"The promise “at most {percent(promise['alpha'], 0)} of the answers are wrong” was made for the answers before any "
            f"was withheld as novel. {moved['moved']:,} were made coarser or taken away since, so it is no promise about those "
            f"that remain: of them {percent(moved['after'])} are wrong here, {percent(moved['before'])} were before."
        )
    if answers and "novelty" in tables and asked.knows:
        found = tables["novelty"].to_pylist()
        if not asked.novel.any():
            out.append(
                "Every specimen is of a taxon that the namer knows, so nothing is known about how specimens of unknown taxa "
                "would be treated."
            )
        elif found and min(found[0]["novel"], found[0]["known"]) < MANY_NOVEL:
            out.append(
                f"Novelty rests on {found[0]['novel']:,} novel and {found[0]['known']:,} known specimens: its shares are rough."
            )
    return out


def _counts_withheld(provenance: Mapping[str, Any]) -> bool:
    """Whether the promise was made for the answers that remain when some are withheld: an Identifier's is."""
    return "namer" in (provenance.get("answers") or {})


def _promise(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (provenance.get("answers") or {}).get("promise")
    return found if isinstance(found, Mapping) else {}


def answerable_caveats(rows: Sequence[Row]) -> list[str]:
    """What could not have been answered, and what has no name."""
    out = []
    total = rows[0]["specimens"]
    if lost := [row for row in rows if row["unanswerable"]]:
        parts = [
            f"{row['unanswerable']:,} of {row['judged']:,} at {row['target']} ({taxa_text(row['unanswerable_taxa'])})"
            for row in lost
        ]
        out.append(
            f"Unanswerable specimens: {listed(parts)}. The namer knows no specimen of their taxon, so no answer could be right "
            "there: they count as wrong in “all” and are left out of “answerable”."
        )
    for key, words in (
        ("not_in_tree", "have a taxon that the namer's tree does not know; they judge nothing here, at no rank"),
        ("nothing_known", "have no taxon at all and judge nothing"),
    ):
        if rows[0][key]:
            out.append(f"{rows[0][key]:,} of {total:,} specimens {words}.")
    if null := [row for row in rows if row["null"]]:
        parts = [f"{row['null']:,} at {row['target']}" for row in null]
        out.append(
            f"Of {total:,} specimens some have no name at a rank that others have: {listed(parts)}. What was answered for them "
            "there is neither right nor wrong and counts nowhere. An answer without a name where the specimen has one is wrong."
        )
    return out
