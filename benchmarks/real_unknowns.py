"""Unknown species found again: 20 classes of PlanktonSet left out of what is known, then sought among the images of another part.

    python benchmarks/real_unknowns.py plankton.cosmos [--part test] [--seeds 3] [--first 0]

Known: the training part without the left-out classes. Asked about: all images of the part, of known and left-out classes alike,
as if none had a name. A left-out class (of 20 images or more in the part) is found when a candidate holds at least 70 % of it
among its members. A group is placed rightly when the answer is a taxon above the true class other than the root; no answer
counts against it. False discoveries: candidates of which most members are of known classes. Space, size of groups and score were
chosen on part val with seeds 100 and 101.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import biocosmos as bc
from biocosmos.discover.unknowns import find_groups, place_groups
from machine import write_results

LEFT_OUT, LEAST, PURE, RATES = 20, 20, 0.7, (0.1, 0.2, 0.3)
NOTES = "Promise of places: at most 20 % of those placed are wrong. Rate: of false discoveries asked for; the default is 0.2."


def judged(known: bc.Gallery, asked: bc.Gallery, seed: int) -> list[dict[str, Any]]:
    """One draw of left-out classes, at every rate."""
    tree = known.taxonomy
    assert known.taxa is not None and asked.taxa is not None and tree is not None
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(asked.taxa, return_counts=True)
    left = rng.choice(classes[(counts >= LEAST) & (classes > 0)], LEFT_OUT, replace=False)
    rest = known.subset(~np.isin(known.taxa, left) & (known.taxa > 0))
    assert rest.taxa is not None
    found = find_groups(asked.vectors, rest.vectors, rest.taxa, seed=seed)
    placing = place_groups(tree, rest.vectors, rest.taxa, asked.vectors, found.labels, seed=seed)
    groups = range(len(found.scores))
    most, share, novel, right = [], [], [], []
    for group in groups:
        taxa, held = np.unique(asked.taxa[found.labels == group], return_counts=True)
        most.append(int(taxa[held.argmax()]))
        share.append(float(held.max() / held.sum()))
        novel.append(float(held[np.isin(taxa, left)].sum() / held.sum()) >= 0.5)
        node = int(placing.nodes[group])
        right.append(node > 0 and node <= most[-1] < tree.end[node])
    from sklearn.metrics import roc_auc_score

    pure = {group for group in groups if most[group] in left and share[group] >= PURE}
    placed = [group for group in groups if most[group] in left and placing.nodes[group] > 0]
    rows = []
    for rate in RATES:
        chosen = set(np.flatnonzero(found.candidates(rate)).tolist())
        new = [group for group in chosen if most[group] in left]
        rows.append(
            {
                "rate": rate,
                "candidates": len(chosen),
                "classes found": len({most[group] for group in pure & chosen}) / LEFT_OUT,
                "false discoveries": sum(not novel[group] for group in chosen) / max(len(chosen), 1),
                "placed rightly, of candidates": float(np.mean([right[group] for group in new])) if new else None,
                "placed rightly, of all new groups": float(np.mean([right[g] for g in groups if most[g] in left])),
                "placed wrongly, of new groups placed": float(np.mean([not right[g] for g in placed])) if placed else None,
                "classes in any pure group": len({most[group] for group in pure}) / LEFT_OUT,
                "AUROC of groups": float(roc_auc_score(novel, found.scores)),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--part", default="test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    collection = bc.Collection.open(given.collection)
    known, asked = (collection.gallery(split=part, columns=[]) for part in ("train", given.part))
    rows: list[dict[str, Any]] = []
    for seed in range(given.first, given.first + given.seeds):
        rows += [{"part": given.part, "seed": str(seed), **row} for row in judged(known, asked, seed)]
        print(*rows[-len(RATES) :], sep="\n", flush=True)
    names = [name for name in rows[0] if name not in ("part", "seed", "rate")]
    for rate in RATES:
        mine = [row for row in rows if row["rate"] == rate]
        means = {name: float(np.mean([row[name] for row in mine if row[name] is not None])) for name in names}
        rows.append({"part": given.part, "seed": "mean", "rate": rate, **means})
    write_results("unknowns" if given.part == "test" else f"unknowns_{given.part}", rows, NOTES)


if __name__ == "__main__":
    main()
