"""What naming a whole collection costs, by the way of working, beside one by one.

    python benchmarks/real_growing.py plankton.cosmos --work results/growing --report growing.html

From no labels, over all specimens that have one; the person is simulated (biocosmos.discover.growing.annotator, costs in
biocosmos.discover.growing.costs) and is the only one who reads labels. Ways and seeds that are there already are not run again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from biocosmos import Collection
from biocosmos.discover.growing import STRATEGIES, Costs, Simulation, Working
from biocosmos.evaluate.discovery.growing import report_on
from machine import write_results

SHARES = (0.03, 0.06, 0.1, 0.15, 1 / 6, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Seconds at which one looks, of what one by one would take for all."""


def curve(vectors: np.ndarray, truth: np.ndarray, strategy: str, working: Working, seed: int, path: Path) -> list[dict[str, Any]]:
    """The curve of one run, from its file where it is there."""
    if not path.exists():
        seconds = [share * len(truth) * Costs().alone for share in SHARES]
        rows = Simulation(vectors, truth, strategy, working, seed=seed).run(seconds).to_pylist()
        path.with_suffix(".part").write_text(json.dumps(rows))
        path.with_suffix(".part").rename(path)
        print(path.stem, *(f"{row['seconds']:.0f}s:{row['share']:.3f}@{row['precision']:.3f}" for row in rows), flush=True)
    return list(json.loads(path.read_text()))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("collection", type=Path)
    arguments.add_argument("--work", type=Path, default=Path("results/growing"))
    arguments.add_argument("--encoder", action="append")
    arguments.add_argument("--rank", action="append", help="what names are of: label (default), class, ...")
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--error", type=float, default=0.0, help="how often the person errs")
    arguments.add_argument("--strategy", action="append", choices=STRATEGIES)
    arguments.add_argument("--there", action="store_true", help="run nothing: report what was run before")
    arguments.add_argument("--report", type=Path)
    asked = arguments.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    collection = Collection.open(asked.collection)
    rows: list[dict[str, Any]] = []
    encoders: dict[str, Any] = {}
    for encoder in asked.encoder or [None]:
        gallery = collection.gallery(encoder, columns=[])
        encoders[str(gallery.provenance["encoder"])] = gallery.provenance
        for rank in asked.rank or ["label"]:
            nodes = gallery.taxonomy.ancestor(gallery.taxa, rank)
            there = nodes > 0
            _, truth = np.unique(nodes[there], return_inverse=True)
            for seed in range(asked.seeds):
                for strategy in asked.strategy or STRATEGIES:
                    words = f"{gallery.provenance['encoder']}-{rank}-{strategy}-{asked.error:g}-{seed}"
                    path = asked.work / f"{words.replace(', ', '-').replace(' ', '_').replace('/', '_')}.json"
                    if asked.there and not path.exists():
                        continue
                    found = curve(gallery.vectors[there], truth, strategy, Working(error=asked.error), seed, path)
                    rows += [
                        {"encoder": str(gallery.provenance["encoder"]), "rank": rank, "specimens": int(there.sum()), **row}
                        for row in found
                    ]
    report = report_on(rows, Costs(), Working(error=asked.error), encoders)
    write_results("growing", [table_row(row) for row in report.rows("summary")], NOTES.format(seeds=asked.seeds))
    if asked.report:
        print(report.html(asked.report))


def table_row(row: dict[str, Any]) -> dict[str, Any]:
    """A way of working, as the page shows it."""
    never = row["hours"] is None
    return {
        "encoder": row["encoder"],
        "names at": row["rank"],
        "way of working": row["strategy"],
        "hours to 90 %": "never" if never else f"{row['hours']:.1f}",
        "of one by one": "-" if never else f"{row['of_one_by_one']:.2f}",
        "specimens an hour": "-" if never else f"{row['an_hour']:,.0f}",
        "named at a sixth of the cost": f"{100 * row['share_at_sixth']:.0f} %",
        "least precision of any look": f"{row['precision']:.3f}",
    }


NOTES = (
    "PlanktonSet 1.0, all 30,336 specimens from no label, a simulated person who does not err; mean of {seeds} "
    'seed(s). Hours to 90 % named at precision 0.9 of all names; "named at a sixth": the most at precision 0.9 by '
    "then. An act costs what the keystroke-level model says (biocosmos.discover.growing.costs): a picture alone 2.77 "
    "s, one with nine suggestions 1.93 s (3.05 where none fits), a page 1.63 s and 0.30 s a picture, a click 1.30 s, "
    "a name 4.67 s the first time and 2.65 s again; audits of about 500 suggestions are counted."
)


if __name__ == "__main__":
    main()
