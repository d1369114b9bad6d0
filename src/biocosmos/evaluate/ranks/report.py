"""One head, rank by rank: how often it is right, how bad its mistakes are, whether its ranks agree, and whether p is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap
from biocosmos.evaluate.numbers.caveats import few_caveat, interval_caveat, listed, provenance_caveats, taxa_text
from biocosmos.evaluate.numbers.examples import CONFUSION, confused_pairs
from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.ranks import tables as tables_of
from biocosmos.evaluate.ranks.decodings import BEST_PATH, DECODINGS, Answers, Asked, answers, decode
from biocosmos.evaluate.ranks.page import page
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.identify.predictions import Predictions

Row = dict[str, Any]
KS = (2, 3, 5)


def levels_report(
    predictions: Predictions,
    *,
    name: str | None = None,
    ks: Sequence[int] = KS,
    branch: str | None = None,
    decoding: str = BEST_PATH,
    seed: int = 0,
    bootstrap: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> Report:
    """Judge the predictions of one head at every rank of its tree.

    name: of the head in tables, its kind by default; ks: of top-k; branch: the rank whose taxa are reported apart (living and
    non-living, of status), the first by default; decoding: how an answer is read at each rank: "best path" (from the root each
    time to the most probable child), "best class", "each rank alone" or "raw levels" (see
    ``DECODINGS`` there; the last two may contradict themselves); seed, bootstrap (draws, 0 for no
    intervals) and confidence of the intervals, specimens being resampled.

    Tables: summary (accuracy, precision, recall, F1, top-k per branch and rank, over all specimens and over the answerable ones),
    hierarchical, severity, consistency (other ways to read the answers, what each gains or loses), calibration, reliability,
    per_taxon, confusion, answerable, specimens. A null rank of the truth judges nothing. A specimen is unanswerable at a rank
    when its true taxon there has no class of the head at or under it: wrong in "all", left out of "answerable".

    Raises BiocosmosError when no specimen has a known taxon, for an unknown rank, k or decoding, and for raw levels where the
    head has none.
    """
    check_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed)
    asked = Asked.of(predictions, branch)
    targets = judged_targets(asked)
    name = name or str(predictions.facts.get("head") or "head")
    found = answers(predictions, name, decoding)
    calibration, bins = tables_of.calibration_rows(found, asked, targets, confidence)
    tables = {
        "summary": tables_of.level_rows(found, asked, targets, ks, boot),
        "hierarchical": tables_of.hierarchical_rows(found, asked, boot),
        "severity": tables_of.severity_rows(found, asked),
        "consistency": consistency(predictions, found, asked, boot),
        "calibration": calibration,
        "reliability": bins,
        "per_taxon": tables_of.taxon_rows(found, asked, targets, confidence),
        "answerable": tables_of.answerable_rows(asked, targets),
    }
    made = {key: pa.Table.from_pylist(rows) for key, rows in tables.items()}
    made["confusion"] = confusion(found, asked, targets)
    made["specimens"] = tables_of.specimen_table([found], asked, targets)
    facts = {key: value for key, value in predictions.facts.items() if key not in ("split", "split_hash")}
    provenance: Row = {
        "protocol": "levels",
        "head": {"name": name, **facts},
        "encoders": {encoder_name(predictions): {}},
        "split": predictions.facts.get("split"),
        "split_hash": split_hash(predictions.facts),
        "decoding": decoding,
        "branch_rank": asked.branch_rank,
        "main_target": main_target(asked, targets).name,
        "options": {"ks": list(ks), "intervals": asdict(boot)},
    }
    caveats = level_caveats(asked, targets, made, boot, provenance)
    return Report("ranks", f"{name}, rank by rank", made, caveats, provenance, page)


def check_ks(ks: Sequence[int]) -> None:
    """Raise BiocosmosError unless ``ks`` are numbers of at least 1."""
    if any(not isinstance(k, (int, np.integer)) or k < 1 for k in ks):
        raise BiocosmosError(f"top-k needs whole numbers of 1 or more, not {', '.join(map(str, ks))}")


def judged_targets(asked: Asked) -> list[Target]:
    """The ranks at which something is known. Raises BiocosmosError when there is none."""
    targets = asked.targets()
    if not targets:
        raise BiocosmosError(
            f"nothing to judge: none of {len(asked.ids):,} specimens has a taxon of the head's tree "
            f"({', '.join(asked.taxonomy.ranks)}); label them, or ask a part that is labelled"
        )
    return targets


def main_target(asked: Asked, targets: Sequence[Target]) -> Target:
    """The finest rank at which at least half of the judged specimens have a name."""
    half = asked.judged.sum() / 2
    return next((target for target in reversed(targets) if (target.query >= 0).sum() >= half), targets[0])


def encoder_name(predictions: Predictions) -> str:
    """The encoder that a head stands on, as its facts say."""
    encoder = predictions.facts.get("encoder")
    return str((encoder.get("name") if isinstance(encoder, dict) else encoder) or "not recorded")


def consistency(predictions: Predictions, found: Answers, asked: Asked, boot: Bootstrap) -> list[Row]:
    """Rows of every way to read the answers of the head that gave ``found``."""
    ways = [(way, said) for way in DECODINGS if (said := decode(predictions, way)) is not None]
    return tables_of.consistency_rows(found.name, ways[0][1], ways, asked, boot)


def confusion(found: Answers, asked: Asked, targets: Sequence[Target]) -> pa.Table:
    """Ordered pairs of true and answered taxa, most frequent first; the columns of an identification report."""
    rows = [
        row
        for target in targets
        for row in confused_pairs(asked.taxonomy, target, tables_of.said_codes(found, asked, target), asked.ids, None)
    ]
    return pa.Table.from_pylist(rows, schema=CONFUSION)


def level_caveats(
    asked: Asked, targets: Sequence[Target], tables: dict[str, pa.Table], boot: Bootstrap, provenance: dict[str, Any]
) -> list[str]:
    """Sentences for a report on heads, the gravest first."""
    out = answerable_caveats(tables["answerable"].to_pylist())
    nothing = np.zeros(len(asked.ids), np.int64)
    out += few_caveat([Tally(target, nothing, target.query >= 0) for target in targets])
    out.append(
        "Calibration, weighted averages and hierarchical scores hold for specimens that arrive in these proportions; where "
        "taxa are more or less common, they shift."
    )
    rows = tables["summary"].to_pylist()
    if boot.draws and any(row["measure"] == "accuracy" and row["value"] in (0.0, 1.0) for row in rows):
        out.append(
            "Where all or none are right the bootstrap interval has no width; of n specimens the true share may still be as "
            "far off as 3 / n (rule of three)."
        )
    out.append(interval_caveat(boot))
    return out + provenance_caveats(provenance)


def answerable_caveats(rows: Sequence[Row]) -> list[str]:
    """What the head could not have answered, and what has no name."""
    out = []
    total = rows[0]["specimens"]
    if lost := [row for row in rows if row["unanswerable"]]:
        parts = [
            f"{row['unanswerable']:,} of {row['judged']:,} at {row['target']} ({taxa_text(row['unanswerable_taxa'])})"
            for row in lost
        ]
        out.append(
            f"Unanswerable specimens: {listed(parts)}. Their taxon has no class of the head, so no answer could be right there: "
            "they count as wrong in “all” and are left out of “answerable”."
        )
    for key, words in (
        ("not_in_tree", "have a taxon that the head's tree does not know; they judge nothing here, at no rank"),
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
