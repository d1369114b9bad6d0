"""Which small tower of names is worth its time: real names and real barcodes, no pictures.

    python benchmarks/real_taxon_names.py --collection both.cosmos --work results/names

The collection is one of 'biocosmos simulate pictures' from 12,159 COI records of land invertebrates of the Netherlands, whose
pictures are not looked at. Counts of 6-mers, led into 512 numbers by random orthogonal directions, are brought together with
texts by the towers and the loss of 'biocosmos train contrastive' on the part train, a text's specimens belonging together. Asked
are the barcodes of test and test_unseen: the species of the collection whose name is nearest (all are candidates); and, the other
way, the ten barcodes nearest to the name of one taxon alone. The shares of words that training leaves out
or cuts off were chosen on unseen species of another split of the same records, the number of layers on these.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biocosmos.errors import Failures
from biocosmos.nn.modal_pairs import ModalPairs
from biocosmos.nn.projection import Projection
from biocosmos.specimens.collection import Collection
from biocosmos.train.contrastive.settings import contrastive_settings
from biocosmos.train.contrastive.specimens import ModalRows, modal_rows
from biocosmos.train.contrastive.towers.texts import TextTower
from biocosmos.train.loop.processes import Processes
from machine import write_results

VARIANTS = {"words": ("tiny", True), "words, texts as they are": ("tiny", False), "one layer": ("tiny:1", True)}
"""What --text is, and whether texts are changed in training."""
RANKS = ("order", "family", "genus", "species")
DIM, BATCH, LR, ALONE, NEAREST = 512, 512, 1e-3, ("order", "family", "genus"), 10
WHERE = Processes(0, 1, torch.device("cpu"))
Array = np.ndarray[Any, np.dtype[Any]]


def barcodes_of(collection: Collection) -> dict[str, Array]:
    """Specimen -> (512,) float32 unit vector of its barcode."""
    gallery = collection.gallery("kmer:6", columns=[])
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(gallery.dim, DIM)))[0].astype(np.float32)
    found = (gallery.vectors - gallery.vectors.mean(0)) @ turned
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return dict(zip(gallery.ids.tolist(), found))


def trained(rows: ModalRows, text: TextTower, vectors: Array, epochs: int, changed: bool) -> tuple[Projection, float]:
    """The projection of barcodes, trained with the tower of texts; processor seconds."""
    dna = Projection(DIM, 128, hidden=512)
    loss = ModalPairs([("dna", "text")])
    parts = nn.ModuleList([dna, text.module, loss])
    use = np.flatnonzero(text.there[: rows.learnt])
    steps = epochs * (len(use) // BATCH)
    optimizer = torch.optim.AdamW(parts.parameters(), lr=LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    labels = torch.from_numpy(np.unique(text._place, return_inverse=True)[1])
    generator = torch.Generator().manual_seed(0)
    began = time.process_time()
    for _ in range(epochs):
        order = use[torch.randperm(len(use), generator=generator).numpy()]
        for first in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[first : first + BATCH]
            there = torch.arange(BATCH)
            inputs = text.inputs(batch, generator if changed else None)
            made = {"dna": dna(torch.from_numpy(vectors[batch])), "text": text.module(inputs)}
            value = loss(made, {"dna": there, "text": there}, labels[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
    return dna.eval(), time.process_time() - began


@torch.no_grad()
def scores(collection: Collection, text: TextTower, dna: Projection, barcodes: dict[str, Array]) -> dict[str, float]:
    """Percent right by name at every rank, and of the ten barcodes nearest to a name alone."""
    tokens, network = text.way.tokens, text.module.network.eval()

    def read(texts: list[str]) -> torch.Tensor:
        return nn.functional.normalize(network(torch.from_numpy(tokens.of(texts))), dim=1)

    tree = collection.taxonomy
    species = np.flatnonzero(tree.rank == tree.rank_index("species"))
    names = read([str(text.wording.text(tree.path(int(node)), tree.ranks)) for node in species])
    found: dict[str, float] = {}
    every, every_nodes = [], []
    for part in ("test", "test_unseen"):
        table = collection.table(["id", *collection.ranks], split=part)
        kept = [row for row, id_ in enumerate(table["id"].to_pylist()) if id_ in barcodes]
        table = table.take(kept)
        nodes = tree.index(table).astype(np.int64)
        queries = nn.functional.normalize(dna(torch.from_numpy(np.stack([barcodes[i] for i in table["id"].to_pylist()]))), dim=1)
        best = species[(queries @ names.T).argmax(1).numpy()]
        for rank in RANKS:
            truth = tree.ancestor(nodes, rank)
            known = truth >= 0
            found[f"{part} {rank}"] = 100 * float((tree.ancestor(best, rank) == truth)[known].mean())
        every.append(queries)
        every_nodes.append(nodes)
    keys, nodes = torch.cat(every), np.concatenate(every_nodes)
    for rank in ALONE:
        own = tree.ancestor(nodes, rank)
        asked, counts = np.unique(own[own >= 0], return_counts=True)
        near = (read([str(tree.names[node]) for node in asked]) @ keys.T).topk(NEAREST, dim=1).indices.numpy()
        hits = (own[near] == asked[:, None]).sum(1)
        found[f"{rank} alone"] = 100 * float((hits / np.minimum(counts, NEAREST)).mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, default=Path("both.cosmos"))
    parser.add_argument("--epochs", type=int, default=15)
    told = parser.parse_args()
    collection = Collection.open(told.collection)
    barcodes = barcodes_of(collection)
    table = []
    for name, (kind, changed) in VARIANTS.items():
        torch.manual_seed(0)
        settings = contrastive_settings(image="", dna="kmer:6", text=kind, width=128, device="cpu", validation="")
        rows = modal_rows(collection, settings)
        text = TextTower(rows, settings, WHERE, Failures())
        vectors = np.stack([barcodes[id_] for id_ in rows.ids])
        dna, seconds = trained(rows, text, vectors, told.epochs, changed)
        values = {key: round(value, 1) for key, value in scores(collection, text, dna, barcodes).items()}
        table.append({"tower": name, **values, "processor seconds": round(seconds)})
        print(table[-1], flush=True)
    write_results("taxon_names", table, f"Split {collection.split().hash}; right in percent of those with a name at the rank.")


if __name__ == "__main__":
    main()
