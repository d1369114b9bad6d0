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

import biocosmos as bc
from biocosmos.evaluate import Report
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.places import Places, cells
from biocosmos.train.bind.settings import bind_settings
from biocosmos.train.bind.training import train_bind
from machine import write_results

LEAST = 50
FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
DNA = {"anchor": "dna", "dna": "kmer:6"}
BOUND: dict[str, dict[str, Any]] = {
    "DNA, real": {**DNA, "tune": "dna=heads"},
    "DNA, real; a kernel of 15 km and 15 d, projected": {**DNA, "tune": "dna=heads,place=heads", "place": "place:15km-15d"},
    "images, synthetic": {"anchor": "image", "image": "efficientnet-lite0", "tune": "image=heads"},
}
NOTES = (
    "Percent, mean and standard deviation of the seeds. R@k of the own counterpart, from the anchor to the place "
    "and back, among all that are asked about; cells of 0.1 degree are one answer among places, equal vectors one "
    "among the rest. Commonest: always the ten answers that most of these very specimens share. Family: of the "
    "nearest training specimen of the same kind, by the place alone, the anchor alone, the plain sum of both unit "
    "vectors, and the sum with the weight that validation specimens choose."
)


def split(collection: bc.Collection, folder: Path, held_out: str, seed: int) -> None:
    """Parts of whole cells, or of rows, of Dutch specimens with a day and a common family."""
    asked = "country = 'Netherlands' AND latitude IS NOT NULL AND family IS NOT NULL AND date NOT LIKE '%-01-01'"
    table = collection.table(["id", "latitude", "longitude", "date", "family"], where=asked)
    families, counts = np.unique(np.array(table["family"].to_pylist(), str), return_counts=True)
    places = Places.of_table(table)
    squares = [str(cell) for cell in cells(places.latitude, places.longitude)]
    kept = np.isin(table["family"].to_pylist(), families[counts >= LEAST])
    units = np.array(squares if held_out == "cells" else table["id"].to_pylist())[kept]
    shuffled = np.random.default_rng(seed).permutation(np.unique(units))
    ends = [0, *(np.cumsum(list(FRACTIONS.values())) * len(shuffled)).round().astype(int)]
    ids = np.array(table["id"].to_pylist())[kept]
    for part, start, end in zip(FRACTIONS, ends, ends[1:]):
        (folder / f"{part}.txt").write_text("\n".join(ids[np.isin(units, shuffled[start:end])]) + "\n")
    collection.make_split("files", files=folder)


def judged(collection: bc.Collection, how: dict[str, Any], folder: Path, epochs: int, seed: int) -> Report:
    """One training and what it finds."""
    shutil.rmtree(folder, ignore_errors=True)
    told = {"modalities": f"{how['anchor']},place", "targets": "family", "epochs": epochs, "seed": seed}
    train_bind(collection, bind_settings(**told, **how), folder)
    bc.embed(collection, str(folder), overwrite=True)
    report = evaluate_collection(collection, encoder=(str(folder),), protocol="cross-modal", seed=seed)
    assert isinstance(report, Report)
    return report


def measured(report: Report, anchor: str) -> dict[str, float]:
    """What is put down of one training."""
    found: dict[str, float] = {}
    for query, key in ((anchor, "place"), ("place", anchor)):
        at = {row["k"]: row for row in report.rows("counterparts", query=query, key=key, average="micro")}
        name = "to place" if key == "place" else "from place"
        found |= {f"{name}, R@{k}": 100 * at[k]["value"] for k in (1, 10)}
        found |= {f"{name}, {how}": 100 * at[10][how] for how in ("chance", "commonest")}
        found |= {f"{name}, answers": at[10]["answers"], f"{name}, median rank": at[10]["median_rank"]}
    (row,) = report.rows("retrieval", query="place", key="place", rank="family", k=1, average="micro")
    found["family by place"] = 100 * row["seen"]
    (row,) = report.rows("sums", key="sum", rank="family")
    found |= {
        f"family, {name}": 100 * row[column] for name, column in (("anchor", "alone"), ("sum", "plain"), ("weighed", "value"))
    }
    return {**found, "weight": row["weight"]}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("collection", type=Path)
    asked.add_argument("--work", type=Path, required=True)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--epochs", type=int, default=5)
    told = asked.parse_args()
    parts, copy = told.work / "parts", told.work / "both.cosmos"
    parts.mkdir(parents=True, exist_ok=True)
    if not copy.exists():
        shutil.copytree(told.collection, copy)
    collection = bc.Collection.open(copy)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for held_out in ("cells", "rows"):
        for seed in range(told.seeds):
            split(collection, parts, held_out, seed)
            for number, (name, how) in enumerate(BOUND.items()):
                report = judged(collection, how, told.work / f"run{number}", told.epochs, seed)
                found.setdefault((held_out, name), []).append(measured(report, how["anchor"]))
                said = {column: round(value, 1) for column, value in found[held_out, name][-1].items()}
                print(held_out, seed, name, said, flush=True)
    rows: list[dict[str, Any]] = []
    for measure in next(iter(found.values()))[0]:
        row: dict[str, Any] = {"": measure}
        for (held_out, name), each in found.items():
            values = [one[measure] for one in each]
            row[f"{held_out}: {name}"] = f"{np.mean(values):.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.1f}"
        rows.append(row)
    print(write_results("bind", rows, f"{told.seeds} seeds, {told.epochs} epochs. {NOTES}"))


if __name__ == "__main__":
    main()
