"""Heads over a taxonomy trained on stored vectors, next to scikit-learn's logistic regression on the same vectors.

python benchmarks/bench_heads.py                                        # 30,336 x 1280 made up, 121 classes: some minutes
python benchmarks/bench_heads.py --collection plankton.cosmos           # real vectors: parts train and val of its split
python benchmarks/bench_heads.py --vectors 4000 --dim 64 --print        # a quick look

A training is 10 epochs of AdamW at batch 512 with everything in it but reading the vectors. Each contender is timed once: a
training is hundreds of equal steps. Logistic regression gets the vectors as the heads see them (each to mean 0, variance 1).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from biocosmos.nn.criteria import HeadCriterion
from biocosmos.nn.heads import make_head
from biocosmos.nn.heads.features import standardise
from biocosmos.nn.tree import Tree
from machine import cpu_and_wall, write_results

EPOCHS, BATCH, LR, DECAY, WARM_UP = 10, 512, 1e-3, 0.05, 0.1
CLASSES, GROUPS, STATUSES, HELD = 121, 27, 2, 0.15
SCATTER = 0.4
"""Deviation of a made-up vector about its class, times sqrt(dim), where classes, groups and statuses have 1 for each number."""
ITERATIONS = 100
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("flat", {}),
    "marginalised": ("marginalised", {}),
    "conditional": ("conditional", {}),
    "multitask": ("multitask", {}),
    "segregated branches": ("sbacnn", {}),
    "multitask, hidden layer of 1024": ("multitask", {"hidden": 1024, "dropout": 0.5}),
}
NOTES = """{origin}: {train:,} vectors of {dim} numbers to train on, {held:,} held out, {classes} classes in a tree of {nodes}
nodes over three levels. Heads: {epochs} epochs of AdamW at batch {batch}; logistic regression: lbfgs, at most {iterations}
iterations. Wall time of one run each on {threads} threads;
accuracy on the held-out vectors, of the finest level and of the coarsest."""


@dataclass
class Data:
    """Vectors (n, d) float32 with their nodes (n,) int64, to train on and held out, and the tree."""

    origin: str
    tree: Tree
    vectors: Tensor
    nodes: Tensor
    held_vectors: Tensor
    held_nodes: Tensor


def made_up(count: int, dim: int, seed: int = 0) -> Data:
    """A long-tailed collection: unit vectors about centres that follow the tree, as PlanktonSet's 121 classes do."""
    g = torch.Generator().manual_seed(seed)
    group_of = torch.arange(CLASSES) * GROUPS // CLASSES
    status_of = torch.arange(GROUPS) * STATUSES // GROUPS
    parent, level, classes, of_group, of_status = [-1], [-1], [], -1, -1
    for c in range(CLASSES):
        group = int(group_of[c])
        if int(status_of[group]) != of_status:
            of_status, status_node = int(status_of[group]), len(parent)
            parent.append(0)
            level.append(0)
        if group != of_group:
            of_group, group_node = group, len(parent)
            parent.append(status_node)
            level.append(1)
        classes.append(len(parent))
        parent.append(group_node)
        level.append(2)
    tree = Tree(torch.tensor(parent), torch.tensor(level), 3, torch.tensor(classes))
    parts = torch.randn(len(tree), dim, generator=g)
    centres = torch.stack([parts[tree.lineage[c]].sum(0) for c in classes])
    share = 1 / torch.arange(1, CLASSES + 1)[torch.randperm(CLASSES, generator=g)].float()
    labels = torch.multinomial(share, count, replacement=True, generator=g)
    labels[:CLASSES] = torch.arange(CLASSES)
    vectors = centres[labels] + SCATTER * dim**0.5 * torch.randn(count, dim, generator=g)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    held = torch.arange(count) >= count - int(HELD * count)
    nodes = tree.classes[labels]
    return Data("Made up", tree, vectors[~held], nodes[~held], vectors[held], nodes[held])


def from_collection(path: str, encoder: str, ranks: Sequence[str]) -> Data:
    """The parts train and val of a collection's split."""
    from biocosmos import Collection
    from biocosmos.identify.namers.heads import torch_tree
    from biocosmos.taxonomy import Taxonomy

    collection = Collection.open(path)
    taxonomy = Taxonomy.from_table(collection.table(list(ranks)), tuple(ranks))
    found = []
    for part in ("train", "val"):
        gallery = collection.gallery(encoder, split=part)
        table = collection.table(["id", *ranks], split=part)
        node = dict(zip(table["id"].to_pylist(), taxonomy.index(table).tolist()))
        found += [torch.tensor(gallery.vectors), torch.tensor([node[str(id_)] for id_ in gallery.ids])]
    return Data(path, torch_tree(taxonomy, np.unique(found[1].numpy())), *found)


def train(kind: str, options: dict[str, Any], data: Data) -> torch.nn.Module:
    """A head of that kind, trained."""
    torch.manual_seed(0)
    head, criterion = make_head(kind, data.tree, [data.vectors.shape[1]], **options), HeadCriterion(kind, data.tree)
    optimizer = torch.optim.AdamW(head.parameters(), LR, weight_decay=DECAY)
    steps = EPOCHS * max(len(data.vectors) // BATCH, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps + 1, pct_start=WARM_UP)
    for step in range(steps):
        if not step % (steps // EPOCHS):
            rows = torch.randperm(len(data.vectors)).split(BATCH)
        batch = rows[step % (steps // EPOCHS)]
        optimizer.zero_grad()
        criterion(head([data.vectors[batch]]), data.nodes[batch], progress=step / steps).backward()
        optimizer.step()
        schedule.step()
    return head.eval()


def regress(data: Data) -> LogisticRegression:
    """scikit-learn's softmax over the classes."""
    normal = standardise(data.vectors.shape[1])
    return LogisticRegression(max_iter=ITERATIONS).fit(normal(data.vectors).numpy(), data.nodes.numpy())


def accuracy(tree: Tree, answers: Tensor, truth: Tensor, level: int) -> float:
    """Share of right answers among those whose truth has a name at the level."""
    true = tree.lineage[truth, level]
    return float((tree.lineage[answers, level] == true)[true >= 0].float().mean())


def measure(name: str, make: Callable[[], Any], answer: Callable[[Any], Tensor], data: Data) -> dict[str, Any]:
    """One row of the table."""
    timing = cpu_and_wall(make, repeats=1, warmup=0)
    answers = answer(timing.result)
    row = {"head": name, "seconds": timing.wall, "CPU seconds": timing.cpu}
    return row | {
        "accuracy, finest": accuracy(data.tree, answers, data.held_nodes, data.tree.ranks - 1),
        "accuracy, coarsest": accuracy(data.tree, answers, data.held_nodes, 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=30_336)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--collection", help="use its stored vectors instead of made-up ones")
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--ranks", default="status,group,label")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--print", action="store_true", help="do not write results/")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.collection:
        data = from_collection(options.collection, options.encoder, options.ranks.split(","))
    else:
        data = made_up(options.vectors, options.dim)

    @torch.no_grad()
    def of_head(head: torch.nn.Module) -> Tensor:
        return data.tree.classes[head([data.held_vectors]).logits.argmax(1)]

    def of_regression(model: LogisticRegression) -> Tensor:
        normal = standardise(data.vectors.shape[1])
        return torch.from_numpy(model.predict(normal(data.held_vectors).numpy()))

    rows = []
    for name, (kind, how) in HEADS.items():
        rows.append(measure(name, lambda kind=kind, how=how: train(kind, how, data), of_head, data))
        print(rows[-1], flush=True)
    rows.append(measure("scikit-learn LogisticRegression", lambda: regress(data), of_regression, data))
    for row in rows:
        row["times the flat head"] = row["seconds"] / rows[0]["seconds"]
    print(rows[-1], flush=True)
    if options.print:
        return
    facts = {"origin": data.origin, "train": len(data.vectors), "dim": data.vectors.shape[1], "held": len(data.held_vectors)}
    facts |= {"classes": len(data.tree.classes), "nodes": len(data.tree), "epochs": EPOCHS, "batch": BATCH}
    notes = NOTES.format(**facts, iterations=ITERATIONS, threads=options.threads)
    write_results("heads", rows, notes)


if __name__ == "__main__":
    main()
