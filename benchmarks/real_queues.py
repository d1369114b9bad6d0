"""Label efficiency: what a head names right, by how the pictures it learns from were chosen.

    python benchmarks/real_queues.py plankton.cosmos --work results/queues

From nothing: the first batch is the strategy's own where it can begin without names, else the one of typicality; random begins at
random. A linear head is fitted after every batch and asked about the validation and the test part. The default strategy is
the one with the best mean over the curve on the validation part; the test part is reported. What is there already is not
computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from biocosmos import Collection
from biocosmos.discover.growing.simulation import reduced
from biocosmos.discover.queues import queue
from biocosmos.discover.queues.strategies import BY_HEAD
from biocosmos.identify.namers.linear import LinearHead
from biocosmos.search.gallery import Gallery
from machine import write_results

STRATEGIES = ("random", "margin", "margin, not spread", "entropy", "novelty", "k-centre", "typicality", "adaptive")
BATCHES = (100, 100, 200, 400, 700, 1500)
SEEDS = 5
L2 = 0.03


def chosen(strategy: str, pool: Gallery, known: Gallery, count: int, seed: int, first: bool) -> np.ndarray:
    """Ids of the next batch."""
    name, _, how = strategy.partition(", ")
    if first and name in (*BY_HEAD, "novelty"):
        name = "typicality"
    more = {"diverse": "none"} if how == "not spread" else {}
    return queue(name, pool, known, count, seed=seed, **more).table["id"].to_numpy(zero_copy_only=False)


def curve(strategy: str, train: Gallery, parts: dict[str, Gallery], seed: int) -> list[dict[str, Any]]:
    """Accuracy after every batch, micro and macro, of each part."""
    rows, known = [], np.zeros(len(train), bool)
    started = time.process_time()
    for number, count in enumerate(BATCHES):
        pool, have = train.subset(~known), train.subset(known)
        ids = chosen(strategy, pool, have, count, seed, number == 0)
        known |= np.isin(train.ids, ids)
        head = LinearHead.fit(train.vectors[known], train.taxa[known], l2=L2)
        row = {"strategy": strategy, "seed": seed, "labels": int(known.sum()), "taxa": len(head.candidates)}
        for part, gallery in parts.items():
            right = head.candidates[head.scores(gallery.vectors).argmax(axis=1)] == gallery.taxa
            codes = np.unique(gallery.taxa, return_inverse=True)[1]
            row[part] = float(right.mean())
            row[f"{part}_macro"] = float((np.bincount(codes, right) / np.bincount(codes)).mean())
        rows.append({**row, "cpu": time.process_time() - started})
    return rows


def paired(rows: list[dict[str, Any]], strategy: str, column: str, seeds: int) -> tuple[float, float, float]:
    """(mean over the curve minus random's, and its 95 % interval): the mean of seeds' differences and Student's t."""
    from scipy.stats import t

    area = lambda name, seed: np.mean([r[column] for r in rows if r["strategy"] == name and r["seed"] == seed])  # noqa: E731
    gains = np.array([area(strategy, seed) - area("random", seed) for seed in range(seeds)])
    half = t.ppf(0.975, seeds - 1) * gains.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan
    return float(gains.mean()), float(gains.mean() - half), float(gains.mean() + half)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("collection", type=Path)
    arguments.add_argument("--work", type=Path, default=Path("results/queues"))
    arguments.add_argument("--encoder")
    arguments.add_argument("--seeds", type=int, default=SEEDS)
    asked = arguments.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    collection = Collection.open(asked.collection)
    galleries = {part: collection.gallery(asked.encoder, split=part, columns=[]) for part in ("train", "val", "test")}
    # axes of the pictures that are chosen from, without names; the same for all parts
    whole = reduced(np.concatenate([each.vectors for each in galleries.values()]))
    start = 0
    for part, each in galleries.items():
        x = whole[start : start + len(each)]
        galleries[part] = Gallery(each.ids, x, each.taxa, each.taxonomy, each.provenance)
        start += len(each)
    train, parts = galleries["train"], {part: galleries[part] for part in ("val", "test")}
    rows: list[dict[str, Any]] = []
    for seed in range(asked.seeds):
        for strategy in STRATEGIES:
            path = asked.work / f"{strategy.replace(', ', '-').replace(' ', '_')}-{seed}.json"
            if not path.exists():
                made = curve(strategy, train, parts, seed)
                path.with_suffix(".part").write_text(json.dumps(made))
                path.with_suffix(".part").rename(path)
                print(strategy, seed, [round(row["test"], 3) for row in made], round(made[-1]["cpu"], 1), flush=True)
            rows += json.loads(path.read_text())
    write_results("queues", [table_row(rows, strategy, asked.seeds) for strategy in STRATEGIES], NOTES.format(seeds=asked.seeds))


def table_row(rows: list[dict[str, Any]], strategy: str, seeds: int) -> dict[str, Any]:
    """A strategy's gains over random, and what its head names right after every batch."""
    found: dict[str, Any] = {"strategy": strategy}
    for column, words in (("val", "val"), ("test", "test"), ("test_macro", "test macro")):
        mean, low, high = (100 * each for each in paired(rows, strategy, column, seeds))
        found[f"{words}, points over random"] = "0" if strategy == "random" else f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
    for labels in np.cumsum(BATCHES).tolist():
        right = [row["test"] for row in rows if row["strategy"] == strategy and row["labels"] == labels]
        found[f"test at {labels:,}"] = f"{100 * np.mean(right):.1f}"
    return found


NOTES = (
    "PlanktonSet 1.0, published split, efficientnet-lite0; what is queued from is the train part, 21,278 specimens of "
    "121 classes without their labels; a linear head on 256 principal axes (of all parts, without labels) is fitted "
    "after every batch. Points over random: the mean of the curve, differences of {seeds} seeds paired, 95 % by "
    "Student's t. Test columns: percent right, mean over seeds."
)


if __name__ == "__main__":
    main()
