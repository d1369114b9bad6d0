"""What a sweep concludes: how the label-free scores did where labels allow to check them, and what must not be concluded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import spearmanr

from biocosmos.discover.choice.among import best_by
from biocosmos.discover.choice.embeddings import CRITERIA, CROSS_SCALE, LEAST_TRAININGS
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Row = dict[str, Any]
ENOUGH_TO_RANK = 3
"""Trainings below which a rank correlation says nothing."""
CHOOSER = CROSS_SCALE
"""The criterion that chooses; the others are shown beside it."""
PICKED = (
    "Cross-scale recall was picked among four scores by the authors after seeing, on vectors of PlanktonSet, that the others "
    "chose the smallest or the largest number tried (neighbour information was added later). It "
    "favours numbers that have others tried on both sides, and depends on which were tried. "
    "On PlanktonSet this is therefore no independent test of it."
)
"""Said wherever a number is chosen."""


def main_rank(gallery: Gallery) -> str | None:
    """The finest rank at which at least half of the labelled specimens have a name; None where nothing is labelled."""
    if gallery.taxa is None or gallery.taxonomy is None or not (gallery.taxa > 0).any():
        return None
    named = gallery.taxonomy.lineage(gallery.taxa[gallery.taxa > 0]) >= 0
    good = np.flatnonzero(named.mean(0) >= 0.5)
    return str(gallery.taxonomy.ranks[int(good[-1]) if len(good) else int(named.mean(0).argmax())])


def recall_of(summary: pa.Table, main: str | None, part: str, average: str = "micro") -> dict[str, Row]:
    """model -> its row of recall@1 at the rank ``main`` on "val" or "test"."""
    return {
        row["model"]: row
        for row in summary.to_pylist()
        if row["part"] == part
        and row["target"] == main
        and row["average"] == average
        and (average == "micro" or row["averaged_over"] == main)
    }


def criteria_table(choice: pa.Table, summary: pa.Table, main: str | None) -> pa.Table:
    """One row a criterion: which number it would have chosen, and, where the validation part has labels, Spearman's correlation
    with recall over the trainings and how much recall its choice gives away. Labels are used here only, after the choice."""
    trained = [row for row in choice.to_pylist() if row["clusters"] is not None]
    recall = {name: row["value"] for name, row in recall_of(summary, main, "val").items()}
    rows = []
    for criterion in CRITERIA:
        scored = [row for row in trained if row[criterion.name] is not None]
        picked = best_by(scored, criterion.name)
        known = [row for row in scored if row["model"] in recall]
        rho = None
        scores, recalls = [row[criterion.name] for row in known], [recall[row["model"]] for row in known]
        if len(known) >= ENOUGH_TO_RANK and min(len(set(scores)), len(set(recalls))) > 1:
            rho = float(spearmanr(scores, recalls).statistic)
        lost = None
        if known and picked is not None and picked["model"] in recall:
            lost = max(recall[row["model"]] for row in known) - recall[picked["model"]]
        rows.append(
            {
                "criterion": criterion.name,
                "chooses": None if picked is None else picked["clusters"],
                "trainings": len(trained),
                "spearman_with_val_recall": rho,
                "val_recall_given_away": lost,
                "used": criterion.name == CHOOSER,
            }
        )
    return pa.Table.from_pylist(rows, schema=_CRITERIA)


_CRITERIA = pa.schema(
    [
        ("criterion", pa.string()),
        ("chooses", pa.int64()),
        ("trainings", pa.int64()),
        ("spearman_with_val_recall", pa.float64()),
        ("val_recall_given_away", pa.float64()),
        ("used", pa.bool_()),
    ]
)


def caveats(tables: Mapping[str, pa.Table], provenance: Mapping[str, Any]) -> list[str]:
    """Sentences on what cannot be concluded from a sweep, and why."""
    said = []
    main = provenance["main_target"]
    trained = [row for row in tables["choice"].to_pylist() if row["clusters"] is not None]
    if not trained:
        said.append("No number was chosen: the split has no validation part (or one too small) to choose on.")
    elif provenance["chosen"] is None:
        said.append(f"No number was chosen: {len(trained)} are too few to compare, at least {LEAST_TRAININGS} are needed.")
    else:
        said.append(
            "The number of clusters was chosen without a label, by a score that stands in for recall; the score is no "
            "measurement of recall, and the best number by recall may be another."
        )
        said.append(PICKED)
    chosen = (provenance["chosen"] or {}).get("clusters")
    counts = [row["clusters"] for row in trained]
    if len(counts) > 1 and chosen in (min(counts), max(counts)):
        end = "largest" if chosen == max(counts) else "smallest"
        said.append(f"The chosen number is the {end} that was tried: the score may go on rising beyond it, whatever recall does.")
    used = next((row for row in tables["criteria"].to_pylist() if row["used"]), None)
    if used and used["spearman_with_val_recall"] is not None:
        rho, count = used["spearman_with_val_recall"], used["trainings"]
        said.append(
            f"Here the score and validation recall have a rank correlation of {rho:+.2f} over {count} trainings: too few to "
            "conclude from."
        )
    if provenance["settings"].get("freeze"):
        said.append(
            "Only a projection of stored vectors was trained. It cannot learn what the encoder does not see, so that gains are "
            "small; the best number of clusters for training the whole encoder may be another."
        )
    said.append("Every number was trained once, with one seed: differences of a point between neighbours may be luck.")
    said += _within_noise(tables["summary"], main)
    if provenance["settings"].get("monitor") == "taxa":
        said.append("--monitor taxa looked at labels of the validation part while training: the choice is not free of labels.")
    if main is None:
        said.append("No specimen has a name: recall could not be measured, and there is no supervised reference.")
    if "test" not in provenance["parts"]:
        said.append("There is no test part: the validation part was chosen on, so that its recall flatters the chosen number.")
    return said


def _within_noise(summary: pa.Table, main: str | None) -> Sequence[str]:
    """Say so when the interval of the best number overlaps that of the base."""
    rows = recall_of(summary, main, "test") or recall_of(summary, main, "val")
    trained = [row for row in rows.values() if row["clusters"] is not None]
    base = rows.get("base")
    if not trained or base is None or base["high"] is None:
        return []
    best = max(trained, key=lambda row: float(row["value"]))
    if best["low"] <= base["high"] and best["high"] >= base["low"]:
        return [
            f"The intervals of the base ({base['value']:.1%}) and of the best number ({best['clusters']:,} clusters, "
            f"{best['value']:.1%}) overlap: compare the two encoders specimen by specimen (biocosmos evaluate) before trusting "
            "a difference."
        ]
    return []
