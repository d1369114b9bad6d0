"""Place and season bound to DNA barcodes (real) and to pictures (synthetic): does either find its own counterpart in a new place?

    python benchmarks/real_bind.py BOTH.cosmos --work DIR [--seeds 3]

BOTH.cosmos is made by ``biocosmos simulate pictures nltin.parquet --size 128 --seed 0`` and embedded with efficientnet-lite0 and
kmer:6: its barcodes, places and days are real, its pictures are drawn. Dutch specimens with a day (1 January stands for none and
is dropped) of families of at least 50. A fifth of the cells of 0.1 degree is asked about and a fifth chooses the epoch, seed by
seed; beside it rows are held out, which leaks: one trap fills many rows.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import biocosmos as bc
from biocosmos.evaluate import Report
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.places import Places, cells
from biocosmos.train.bind.settings import bind_settings
from biocosmos.train.bind.training import train_bind
from machine import write_results

LEAST = 50
FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
ANCHORS: dict[str, tuple[str, dict[str, Any]]] = {
    "dna": ("DNA, real", {"dna": "kmer:6", "tune": "dna=heads"}),
    "image": ("images, synthetic", {"image": "efficientnet-lite0", "tune": "image=heads"}),
}
COLUMNS = ("R@1", "R@5", "R@10", "chance, R@10", "commonest, R@10", "median rank", "cells")


def split(collection: bc.Collection, held_out: str, seed: int) -> None:
    """Parts of whole cells, or of rows, of Dutch specimens with a day and a common family."""
    asked = "country = 'Netherlands' AND latitude IS NOT NULL AND family IS NOT NULL AND date NOT LIKE '%-01-01'"
    table = collection.table(["id", "latitude", "longitude", "date", "family"], where=asked)
    families, counts = np.unique(np.array(table["family"].to_pylist(), str), return_counts=True)
    names = ", ".join(f"'{name}'" for name in families[counts >= LEAST])
    places = Places.of_table(table)
    squares = [str(cell) for cell in cells(places.latitude, places.longitude)]
    groups = pa.table({"id": table["id"], "group": squares if held_out == "cells" else table["id"]})
    where = f"{asked} AND family IN ({names})"
    collection.make_split("grouped", groups=groups, where=where, seed=seed, fractions=FRACTIONS)


def judged(collection: bc.Collection, anchor: str, folder: Path, epochs: int, seed: int) -> Report:
    """One training and what it finds."""
    shutil.rmtree(folder, ignore_errors=True)
    told = {"modalities": f"{anchor},place", "anchor": anchor, "targets": "family", "epochs": epochs, "seed": seed}
    train_bind(collection, bind_settings(**told, **ANCHORS[anchor][1]), folder)
    bc.embed(collection, str(folder), overwrite=True)
    report = evaluate_collection(collection, encoder=(str(folder),), protocol="cross-modal", seed=seed)
    assert isinstance(report, Report)
    return report


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("collection", type=Path)
    asked.add_argument("--work", type=Path, required=True)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--epochs", type=int, default=5)
    told = asked.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    copy = told.work / "both.cosmos"
    if not copy.exists():
        shutil.copytree(told.collection, copy)
    collection = bc.Collection.open(copy)
    found: dict[tuple[str, str, str], list[tuple[float, ...]]] = {}
    families: dict[tuple[str, str, str], list[float]] = {}
    for held_out in ("cells", "rows"):
        for seed in range(told.seeds):
            split(collection, held_out, seed)
            for anchor, (name, _) in ANCHORS.items():
                report = judged(collection, anchor, told.work / anchor, told.epochs, seed)
                for query, key in ((anchor, "place"), ("place", anchor)):
                    at = {row["k"]: row for row in report.rows("counterparts", query=query, key=key, average="micro")}
                    last = at[10]
                    shares = (*(100 * at[k]["value"] for k in (1, 5, 10)), 100 * last["chance"], 100 * last["commonest"])
                    row = (*shares, last["median_rank"], float(last["answers"]))
                    found.setdefault((held_out, name, f"{query} to {key}"), []).append(row)
                    print(held_out, seed, name, query, key, *(f"{value:.1f}" for value in row), flush=True)
                for kind in ("place", anchor, "fused"):
                    (row,) = report.rows("retrieval", query=kind, key=kind, rank="family", k=1, average="micro")
                    families.setdefault((held_out, name, kind), []).append(100 * row["seen"])
                    print(held_out, seed, name, kind, f"family {row['seen']:.3f} chance {row['seen_chance']:.3f}", flush=True)
    rows: list[dict[str, Any]] = [
        {"held out": held_out, "bound to": name, "asked": asked_of}
        | {
            column: f"{np.mean(each):.1f} ± {np.std(each, ddof=1) if len(each) > 1 else 0:.1f}"
            for column, each in zip(COLUMNS, zip(*values))
        }
        for (held_out, name, asked_of), values in found.items()
    ]
    said = "; ".join(f"{held}, {name}, {kind}: {np.mean(each):.1f}" for (held, name, kind), each in families.items())
    notes = (
        f"Percent, mean and standard deviation of {told.seeds} seeds, {told.epochs} epochs. All specimens that are asked about "
        "answer; cells of 0.1 degree are one answer among places, equal vectors one among the rest. Commonest: always the ten "
        "answers that most of these very specimens share. Family of the nearest training specimen of the same kind, %: "
        f"{said}."
    )
    print(write_results("bind", rows, notes))


if __name__ == "__main__":
    main()
