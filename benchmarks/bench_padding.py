"""Does padding to a square beat the usual centre crop on specimens? recall@1, all against all, on PlanktonSet.

    python benchmarks/bench_padding.py [--per-class 25] [--data ../shared/data/planktonset/planktonset.parquet]

The first ``--per-class`` images of every class that has as many, one vector each; a query is answered rightly when its
nearest neighbour other than itself is of its class. Nothing is chosen on these numbers but the default of ``resize``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from biocosmos.encoders.registry import load_encoder
from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/planktonset/planktonset.parquet"
BLOCK = 64
WAYS = {
    "padded to a square on its own background (the default)": {"resize": "pad"},
    "padded on black": {"resize": "pad", "background": (0, 0, 0)},
    "centre crop of 0.875 (timm's configuration)": {"resize": "crop", "crop_fraction": 0.875},
    "centre crop": {"resize": "crop", "crop_fraction": 1.0},
    "squashed": {"resize": "squash"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=25)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    images, labels = chosen(options.data, options.per_class)
    encoder = load_encoder(options.encoder, backend=options.backend, precision="float32")
    rows = []
    for what, changes in WAYS.items():
        preprocessing = encoder.preprocessing.replaced(**changes)
        vectors = np.concatenate(
            [
                encoder.encode_images(torch.stack([preprocessing.read(image) for image in images[start : start + BLOCK]]))
                for start in range(0, len(images), BLOCK)
            ]
        )
        recall = recall_at_1(vectors, labels)
        print(f"{what}: recall@1 {recall:.4f} ({len(labels)} images, {len(set(labels))} classes)", flush=True)
        rows.append({"preprocessing": what, "recall@1": round(recall, 4), "images": len(labels), "classes": len(set(labels))})
    write_results(
        "padding", rows, f"PlanktonSet 1.0, {options.per_class} images a class, {options.encoder} float32, self-match excluded."
    )


def chosen(data: Path, per_class: int) -> tuple[list[bytes], list[str]]:
    """The first ``per_class`` images of each class that has as many."""
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for batch in pq.ParquetFile(data).iter_batches(columns=["label", "image"]):
        for label, image in zip(batch["label"].to_pylist(), batch["image"].to_pylist(), strict=True):
            if len(found[label]) < per_class:
                found[label].append(image)
    full = {label: images for label, images in sorted(found.items()) if len(images) == per_class}
    return [image for images in full.values() for image in images], [label for label in full for _ in range(per_class)]


def recall_at_1(vectors: np.ndarray, labels: list[str]) -> float:
    """Share of rows whose most similar other row has the same label."""
    names = np.array(labels)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return float((names[similarity.argmax(axis=1)] == names).mean())


if __name__ == "__main__":
    main()
