"""How well specimens of PlanktonSet are named: accuracy, coverage, calibration and novelty of every method, on frozen embeddings.

    python benchmarks/bench_identify.py --data ../shared/data/planktonset --cache planktonset.npz

Gallery: a seeded part of the published "train" split; calibration: of "val"; queries: of "test", which nothing is chosen on.
Every method is calibrated twice: on "val", and on the gallery itself (leave one out, or folds). Novelty: classes are taken
out of gallery and calibration, ten at a time, and their test images must stand out from those of the classes that stayed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.identify.identifier import Identifier
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy
from machine import write_results

RANKS = ("status", "kingdom", "phylum", "class", "order", "family", "genus", "label")
SHOWN = ("status", "class", "label")
SIZES = {"train": 6000, "val": 2500, "test": 2500}
METHODS = (
    "nearest",
    "nearest-euclidean",
    "class-mean",
    "class-mean-euclidean",
    "centroid",
    "simpleshot",
    "linear",
)
SEED = 0
BINS = 15
NOVEL_CLASSES, NOVEL_RUNS = 10, 5


def choose(data: Path, scale: float) -> pa.Table:
    """A seeded sample of each published split, with the rank columns of taxonomy.csv."""
    table = pq.read_table(data / "planktonset.parquet")
    split, random = np.array(table["split"].to_pylist()), np.random.default_rng(SEED)
    sizes = {part: round(size * scale) for part, size in SIZES.items()}
    rows = [np.sort(random.permutation(np.flatnonzero(split == part))[:size]) for part, size in sizes.items()]
    table = table.take(pa.array(np.concatenate(rows)))
    with (data / "taxonomy.csv").open(newline="", encoding="utf-8") as lines:
        paths = {row["label"]: row for row in csv.DictReader(lines)}
    for rank in RANKS[:-1]:
        table = table.append_column(rank, pa.array([paths[label][rank] for label in table["label"].to_pylist()], pa.string()))
    return table


def embed(table: pa.Table, cache: Path | None) -> np.ndarray:
    """Vectors of the images by the default encoder, kept in ``cache`` with the ids they belong to."""
    ids = table["image_id"].to_pylist()
    if cache and cache.exists():
        with np.load(cache) as kept:
            place = {name: i for i, name in enumerate(kept["ids"].tolist())}
            if all(name in place for name in ids):
                return kept["vectors"][[place[name] for name in ids]]
    from biocosmos.encoders.registry import load_encoder

    vectors, rows = load_encoder().encode_files(table["image"].to_pylist())
    assert len(rows) == len(ids)
    if cache:
        np.savez(cache, ids=np.array(ids), vectors=vectors)
    return vectors


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over equal-width bins."""
    cut = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(
        sum(
            abs(confidence[cut == b].mean() - right[cut == b].mean()) * (cut == b).mean() for b in range(BINS) if (cut == b).any()
        )
    )


def measure(method: str, gallery: Gallery, val: Gallery | None, test: Gallery) -> dict[str, object]:
    """One line of the table: fit, identify, compare with the truth."""
    table = Identifier.fit(gallery, method=method, calibration=val, threshold=0.9).identify(test)
    truth = test.taxonomy.rank_table(test.taxa)
    row: dict[str, object] = {"method": method, "calibrated on": "val" if val is not None else "the gallery"}
    for rank in SHOWN:
        ours, true = np.array(table[rank].to_pylist(), object), np.array(truth[rank].to_pylist(), object)
        known = np.array([a is not None for a in true])
        row[f"{rank} right %"] = 100 * float((ours == true)[known].mean())
        if rank == "label":
            row["label ECE"] = calibration_error(table["label_confidence"].to_numpy()[known], (ours == true)[known])
    paths = [set(filter(None, (truth[rank][i].as_py() for rank in RANKS))) for i in range(len(test))]
    answer, level = table["taxon"].to_pylist(), np.array(table["rank"].to_pylist(), object)
    answered = np.array([name is not None for name in answer])
    right = np.array([name in path for name, path in zip(answer, paths)])
    row["answered %"] = 100 * float(answered.mean())
    row["answered at label %"] = 100 * float((level == "label").mean())
    row["answers right %"] = 100 * float(right[answered].mean()) if answered.any() else None
    row["flagged novel %"] = 100 * float(np.mean(table["novel"].to_pylist()))
    print(row, flush=True)
    return row


def novelty(gallery: Gallery, val: Gallery, test: Gallery) -> list[dict[str, object]]:
    """AUROC of the kNN distance for classes taken out, and how many of them and of the known are flagged."""
    from sklearn.metrics import roc_auc_score

    random, figures = np.random.default_rng(SEED), []
    for _ in range(NOVEL_RUNS):
        out = random.choice(np.unique(gallery.taxa), NOVEL_CLASSES, replace=False)
        known = [part.subset(~np.isin(part.taxa, out)) for part in (gallery, val)]
        table = Identifier.fit(known[0], calibration=known[1], threshold=0.9).identify(test)
        novel, flagged = np.isin(test.taxa, out), np.array(table["novel"].to_pylist())
        score = table["novelty"].to_numpy()
        figures.append((roc_auc_score(novel, score), flagged[novel].mean(), flagged[~novel].mean()))
    names = ("AUROC", "novel flagged", "known flagged")
    return [
        {"novelty": name, "mean": float(np.mean(x)), "deviation": float(np.std(x, ddof=1))}
        for name, x in zip(names, zip(*figures))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/planktonset"))
    parser.add_argument("--cache", type=Path, help="keep the embeddings in this .npz file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual 6,000 + 2,500 + 2,500 images")
    arguments = parser.parse_args()
    table = choose(arguments.data, arguments.scale)
    vectors = embed(table, arguments.cache)
    taxonomy = Taxonomy.from_table(table, ranks=RANKS)
    split = np.array(table["split"].to_pylist())
    parts = {}
    for part in SIZES:
        rows = np.flatnonzero(split == part)
        ids = table["image_id"].take(pa.array(rows))
        parts[part] = Gallery.build(ids, vectors[rows], taxa=taxonomy.index(table)[rows], taxonomy=taxonomy)
    gallery, val, test = parts["train"], parts["val"], parts["test"]
    rows = [measure(method, gallery, held, test) for method in METHODS for held in (val, None)]
    sizes = f"{len(gallery):,} gallery, {len(val):,} calibration and {len(test):,} test images"
    write_results(
        "identify",
        rows,
        f"PlanktonSet 1.0, {sizes}, efficientnet-lite0, one run. ECE: {BINS} equal bins. "
        "Answers: the lowest rank with confidence 0.9 or more; right when the truth is the answer or under it.",
    )
    write_results(
        "identify_novelty",
        novelty(gallery, val, test),
        f"{NOVEL_CLASSES} of {len(np.unique(gallery.taxa))} classes taken out (near novelty: their relatives stay), "
        f"{NOVEL_RUNS} runs; flagged at a false alarm rate of 5 % on val.",
    )


if __name__ == "__main__":
    main()
