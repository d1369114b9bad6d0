"""How far the counts of a classifier's names are from the true ones, sample by sample, and how often their intervals hold them.

    biocosmos identify plankton.cosmos --part test --known train --method nearest -o names.parquet
    biocosmos identify plankton.cosmos --part val --known train --method nearest -o val.parquet
    python benchmarks/real_communities.py plankton.cosmos --names names.parquet --judged val.parquet

Real images and labels (PlanktonSet, the part test), invented samples: each taxon has its own shares over 24 samples,
Dirichlet(.5). The collection is copied first, the samples are a column of the copy.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.communities import Community
from biocosmos.jobs.summarize import summarize
from biocosmos.jobs.summarize_settings import SummarizeSettings
from biocosmos.settings import told
from biocosmos.specimens.collection import Collection
from machine import write_results

SAMPLES, ENOUGH = 24, 5
NOTES = (
    "Bray-Curtis error of the shares of a sample, mean over samples. Intervals: of 95 %, share of the cells with at least five "
    "true specimens whose true number lies inside; those without the confusion are of the names that were sure enough, scaled "
    "to all specimens of the sample. Real images and labels, invented samples."
)
Floats = npt.NDArray[np.float64]


def invent(collection: Collection) -> None:
    """Give each test specimen a sample."""
    table = collection.table(["id", "label"], split="test")
    labels = np.array(table["label"].to_pylist(), dtype=str)
    rng = np.random.default_rng(0)
    shares = {label: rng.dirichlet(np.full(SAMPLES, 0.5)) for label in np.unique(labels)}
    samples = [f"invented {rng.choice(SAMPLES, p=shares[label])}" for label in labels]
    collection.update(pa.table({"id": table["id"], "invented_sample": samples}))


def laid(community: Community, values: Floats, taxa: list[str]) -> Floats:
    """(samples, taxa) in one order."""
    found = np.zeros((len(community), len(taxa)))
    for at, taxon in enumerate(community.taxa):
        found[:, taxa.index(taxon)] = values[:, at]
    return found


def error(found: Floats, true: Floats) -> float:
    """Mean Bray-Curtis distance of shares."""
    return float(np.abs(found / found.sum(1, keepdims=True) - true / true.sum(1, keepdims=True)).sum(1).mean() / 2)


def judged(collection: Collection, rank: str, names: str, confusion: str) -> list[dict[str, Any]]:
    """Two rows of the table."""
    base: dict[str, Any] = {"split": "test", "rank": rank, "sample": "invented_sample"}
    truth = summarize(collection, told(SummarizeSettings, draws=0, **base)).community
    rows = []
    for way, more in (("counted", {}), ("corrected", {"confusion": confusion})):
        found = summarize(collection, told(SummarizeSettings, names=names, draws=200, **more, **base)).community
        taxa = sorted({*map(str, truth.taxa), *map(str, found.taxa)})
        true = laid(truth, truth.beside["specimens"], taxa)
        here, low, high = (laid(found, found.beside[key], taxa) for key in ("corrected" if more else "specimens", "low", "high"))
        scale = true.sum(1, keepdims=True) / here.sum(1, keepdims=True)
        inside = (true >= low * scale) & (true <= high * scale)
        held = float(inside[true >= ENOUGH].mean())
        rows.append(
            {"rank": rank, "way": way, "Bray-Curtis error": round(error(here, true), 3), "intervals hold": round(held, 2)}
        )
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("collection", type=Path)
    arguments.add_argument("--names", required=True)
    arguments.add_argument("--judged", required=True)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.cosmos"
        shutil.copytree(given.collection, copy)
        collection = Collection.open(copy)
        invent(collection)
        rows = [row for rank in ("class", "label") for row in judged(collection, rank, given.names, given.judged)]
    write_results("communities", rows, NOTES)


if __name__ == "__main__":
    main()
