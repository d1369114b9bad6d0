"""Several questions about one picture: CT-GNN against plain and hierarchical heads on PlanktonSet's stored vectors.

    python benchmarks/real_attributes.py --collection plankton.cosmos --work attributes [--seeds 5] [--only GCN,GAT]

The collection is ingested, split and embedded as in real_heads.py. Tasks: the ranks status, group and label, and what the
names of the labels tell of form, stage and six traits (plankton_attributes.csv, missing where a name says nothing). A learning
rate is chosen for each contender on validation specimens (seed 0). What is trained stays in the work folder: a run that was
stopped goes on. Hierarchical heads learn the labels' tree only; their attributes are sums of their p over the labels that have
them.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import biocosmos as bc
from biocosmos.identify.namers.heads import torch_tree
from biocosmos.nn.attributes import AttributeCriterion, TaskShape, adjacency, make_attribute_head, probabilities
from biocosmos.nn.attributes.plain import parameters_of
from biocosmos.nn.criteria import HeadCriterion
from biocosmos.nn.heads import make_head
from biocosmos.nn.tree import Tree
from biocosmos.taxonomy import Taxonomy
from machine import write_results

ENCODER = "efficientnet-lite0"
RANKS = ("status", "group", "label")
ONE = ("form", "stage")
TRAITS = ("eggs", "antennae_out", "tentacles", "part", "side_view", "dark")
TASKS = (*RANKS, *ONE, "traits")
EPOCHS, BATCH, DECAY, WARM_UP = 6, 256, 0.05, 0.1
RATES = (2e-3, 4e-3)
RESAMPLES = 400
TIMED = 20
GRAPH = {"channels": 32, "attention_heads": 4}
CONTENDERS: dict[str, dict[str, Any]] = {
    "plain": {"kind": "plain"},
    "plain, a hidden layer of 64 a task": {"kind": "plain", "hidden": [64]},
    "CT-GNN, GCN": {"kind": "ctgnn", "graph": "GCN", **GRAPH},
    "flat": {"tree": "flat"},
    "marginalised": {"tree": "marginalised"},
    "multitask": {"tree": "multitask"},
    "CT-GNN, GAT (dynamic)": {"kind": "ctgnn", "graph": "GAT", "rate_of": "CT-GNN, GCN", **GRAPH},
    "CT-GNN without a graph": {"kind": "ctgnn", "graph": "GCN", "alone": True, "rate_of": "CT-GNN, GCN", **GRAPH},
}
"""Without a graph: the identity for adjacency, so that bottlenecks and class vectors are there and nothing is exchanged."""


@dataclass
class Data:
    """Vectors and labels of the three parts, the tasks, and which label has which class of each task.

    of_label: per task, (labels, C) int8, 1, 0 or -1. vectors, labels: of part -> (n, d) float32, (n,) int64. nodes: (labels,) in
    the tree of the ranks.
    """

    vectors: dict[str, Tensor]
    labels: dict[str, Tensor]
    tasks: list[TaskShape]
    of_label: list[np.ndarray]
    tree: Tree
    nodes: Tensor

    def values(self, part: str) -> list[Tensor]:
        """Per task, (n, C) int8."""
        return [torch.from_numpy(table)[self.labels[part]] for table in self.of_label]


def read(path: Path) -> Data:
    """The collection's vectors, and the tasks from its ranks and the table of attributes."""
    collection = bc.Collection.open(path)
    vectors, labels = {}, {}
    told = Path(__file__).with_name("plankton_attributes.csv").read_text(encoding="utf-8").splitlines()
    rows = {row["label"]: row for row in csv.DictReader(told)}
    names = sorted(rows)
    for part in ("train", "val", "test"):
        table = collection.table([*RANKS, collection.embedding_column(ENCODER)], split=part)
        flat = table.column(3).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors[part] = torch.from_numpy(np.array(flat, np.float32).reshape(len(table), -1))
        labels[part] = torch.tensor([names.index(label) for label in table["label"].to_pylist()])
        for row in table.select(RANKS).to_pylist():
            rows[row["label"]].update(status=row["status"] or "", group=row["group"] or "")
    tasks, of_label = [], []
    for task in TASKS:
        if task == "traits":
            table = np.array([[int(rows[name][trait] or -1) for trait in TRAITS] for name in names], np.int8)
        else:
            classes = sorted({rows[name][task] for name in names} - {""})
            table = np.array(
                [[int(rows[name][task] == c) if rows[name][task] else -1 for c in classes] for name in names], np.int8
            )
        tasks.append(TaskShape(task, table.shape[1], task == "traits"))
        of_label.append(table)
    ranks = collection.table(list(RANKS), split="train")
    taxonomy = Taxonomy.from_table(ranks, RANKS)
    node = dict(zip(ranks["label"].to_pylist(), taxonomy.index(ranks).tolist()))
    nodes = torch.tensor([node[name] for name in names])
    return Data(vectors, labels, tasks, of_label, torch_tree(taxonomy, np.unique(nodes.numpy())), nodes)


def train(
    data: Data, how: dict[str, Any], rate: float, seed: int, most: int | None = None
) -> tuple[Callable[[Tensor], list[Tensor]], int]:
    """A contender, trained, for ``most`` batches if given.

    Returns what gives (n, C) probabilities per task for (n, d) vectors, and its parameters.
    """
    torch.manual_seed(seed)
    x, width = data.vectors["train"], data.vectors["train"].shape[1]
    made = _hierarchical(data, how["tree"], width) if "tree" in how else _attribute(data, how, width)
    head, loss_of, answers = made
    batches = [rows for _ in range(EPOCHS) for rows in torch.randperm(len(x)).split(BATCH)]
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(batches), pct_start=WARM_UP)
    head.train()
    for rows in batches[:most]:
        loss = loss_of(head, rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    head.eval()

    def said(vectors: Tensor) -> list[Tensor]:
        with torch.inference_mode():
            parts = [answers(head, some) for some in vectors.split(BATCH)]
        return [torch.cat(part) for part in zip(*parts)]

    return said, parameters_of(head)


def costs(data: Data, how: dict[str, Any]) -> dict[str, Any]:
    """Parameters, and CPU time on one thread: of an epoch, from ``TIMED`` batches less those of one, and of a specimen asked."""
    torch.set_num_threads(1)
    seconds = {}
    for most in (1, 1, TIMED + 1):  # the first once more: what is made at first use is no part of it
        began = time.process_time()
        said, parameters = train(data, how, 1e-3, 0, most)
        seconds[most] = time.process_time() - began
    said(data.vectors["val"][:BATCH])
    began = time.process_time()
    said(data.vectors["val"])
    asked = (time.process_time() - began) / len(data.vectors["val"])
    epoch = (seconds[TIMED + 1] - seconds[1]) / TIMED * math.ceil(len(data.vectors["train"]) / BATCH)
    return {"parameters": parameters, "CPU s an epoch": round(epoch, 2), "CPU us a specimen asked": round(1e6 * asked)}


def _attribute(data: Data, how: dict[str, Any], width: int) -> tuple[Any, Any, Any]:
    options = {key: value for key, value in how.items() if key not in ("kind", "alone", "rate_of")}
    values = data.values("train")
    graph = None
    if options.get("graph") == "GCN":
        together = torch.cat(values, 1).numpy()
        graph = np.eye(together.shape[1]) if how.get("alone") else adjacency(together, data.tasks)
    head = make_attribute_head(how["kind"], data.tasks, width, graph, **options)
    criterion = AttributeCriterion(data.tasks)
    x = data.vectors["train"]
    return (
        head,
        lambda head, rows: criterion(head(x[rows]), [value[rows] for value in values]),
        lambda head, some: probabilities(head(some), data.tasks),
    )


def _hierarchical(data: Data, kind: str, width: int) -> tuple[Any, Any, Any]:
    head, criterion = make_head(kind, data.tree, [width]), HeadCriterion(kind, data.tree)
    x, targets = data.vectors["train"], data.nodes[data.labels["train"]]
    column = data.tree.class_column[data.nodes]

    def answers(head: Any, some: Tensor) -> list[Tensor]:
        p = head([some]).logits.softmax(1)[:, column]
        return [summed(p, torch.from_numpy(table), task.several) for table, task in zip(data.of_label, data.tasks)]

    return head, lambda head, rows: criterion(head([x[rows]]), targets[rows]), answers


def summed(p: Tensor, table: Tensor, several: bool) -> Tensor:
    """p: (n, labels); table: (labels, C). P of a class: of the labels that have it, among those of which it is known."""
    has = p @ (table == 1).float()
    known = p @ (table >= 0).float()
    return has / known.clamp_min(1e-9) if several else has / has.sum(1, keepdim=True).clamp_min(1e-9)


def decided(p: list[Tensor], tasks: list[TaskShape]) -> dict[str, np.ndarray]:
    """Per task, (n,) the best class, or (n, C) bool at 0.5 and above where several may be true."""
    return {task.name: ((x >= 0.5) if task.several else x.argmax(1).to(torch.int16)).numpy() for x, task in zip(p, tasks)}


def f1_of(task: TaskShape, said: np.ndarray, values: np.ndarray, times: np.ndarray | None = None) -> tuple[float, float]:
    """(macro F1, accuracy) over the known labels of specimens (n,), each counted ``times``; classes that are true of some."""
    times = np.ones(len(values)) if times is None else times
    if task.several:
        weights = times[:, None] * (values >= 0)
        true = values == 1
        hit, have, tell = ((weights * x).sum(0) for x in (true & said, true, said))
        right = (weights * (true == said)).sum() / weights.sum()
    else:
        true = np.where((values == 1).any(1), values.argmax(1), -1)
        rows = true >= 0
        count = lambda of, weights: np.bincount(of[rows], weights[rows], minlength=task.classes)  # noqa: E731
        hit, have, tell = count(true, times * (true == said)), count(true, times), count(said, times)
        right = hit.sum() / times[rows].sum()
    there = have > 0
    return float(np.mean(2 * hit[there] / (have + tell)[there])), float(right)


def measured(data: Data, work: Path, seeds: int, only: list[str], measure_only: bool) -> dict[str, list[dict[str, Any]]]:
    """Every contender's decisions on the test part, a seed at a time, from the work folder or (unless ``measure_only``) trained
    now."""
    contenders = {name: how for name, how in CONTENDERS.items() if not only or any(part in name for part in only)}
    rates = {name: _rate(data, work, how.get("rate_of", name)) for name, how in contenders.items()}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for name, how in contenders.items():
        for seed in range(seeds):
            path = work / f"{_file(name)}_{seed}.npz"
            if not path.exists() and not measure_only:
                _keep(path, data, train(data, how, rates[name], seed)[0](data.vectors["test"]))
                print(name, seed, time.strftime("%H:%M:%S"), flush=True)
            if path.exists():
                found[name].append({**np.load(path), "rate": rates[name]})
    return {name: runs for name, runs in found.items() if runs}


def _rate(data: Data, work: Path, name: str) -> float:
    """The learning rate with the best mean macro F1 on the validation part, seed 0."""
    path, val = work / f"{_file(name)}.json", [x.numpy() for x in data.values("val")]
    tried = json.loads(path.read_text()) if path.exists() else {}
    for rate in RATES:
        if str(rate) not in tried:
            p = decided(train(data, CONTENDERS[name], rate, 0)[0](data.vectors["val"]), data.tasks)
            tried[str(rate)] = float(np.mean([f1_of(task, p[task.name], y)[0] for task, y in zip(data.tasks, val)]))
            path.write_text(json.dumps(tried))
            print(name, tried, time.strftime("%H:%M:%S"), flush=True)
    return float(max(tried, key=lambda rate: tried[rate]))


def _keep(path: Path, data: Data, p: list[Tensor]) -> None:
    """The decisions about the test part, by the tasks' own answers and by those of the label alone."""
    label = p[TASKS.index("label")]
    read_off = [summed(label, torch.from_numpy(table), task.several) for table, task in zip(data.of_label, data.tasks)]
    by_label = {f"by label/{name}": x for name, x in decided(read_off, data.tasks).items()}
    np.savez_compressed(path, **decided(p, data.tasks), **by_label)


Runs = list[dict[str, Any]]
AGAINST = ("plain", "marginalised")
READ_OFF = ", attributes read off its label"
LABEL = TASKS.index("label")
COMPARED: dict[str, Callable[[np.ndarray], Any]] = {
    "mean F1": lambda scores: scores[..., 0].mean(-1),
    "label accuracy": lambda scores: scores[..., LABEL, 1],
}


class Scores:
    """(tasks, 2) macro F1 and accuracy of runs of several seeds, on average: of all, and of resamples that all share."""

    def __init__(self, data: Data, seeds: int) -> None:
        self.tasks, self.values, self.seeds = data.tasks, [x.numpy() for x in data.values("test")], seeds
        rng, n = np.random.default_rng(0), len(self.values[0])
        self.draws = [
            (rng.integers(seeds, size=seeds), np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(RESAMPLES)
        ]

    def whole(self, runs: Runs, prefix: str) -> np.ndarray:
        return np.mean([self._of(runs[seed], prefix, None) for seed in range(self.seeds)], 0)

    def resampled(self, runs: Runs, prefix: str) -> np.ndarray:
        """(resamples, tasks, 2)."""
        found = []
        for picked, times in self.draws:
            each = {seed: self._of(runs[seed], prefix, times) for seed in set(picked.tolist())}
            found.append(np.mean([each[seed] for seed in picked.tolist()], 0))
        return np.array(found)

    def _of(self, run: dict[str, Any], prefix: str, times: np.ndarray | None) -> list[tuple[float, float]]:
        return [f1_of(task, run[prefix + task.name], y, times) for task, y in zip(self.tasks, self.values)]


def rows_of(data: Data, found: dict[str, Runs]) -> list[dict[str, Any]]:
    """A row a contender: macro F1 of every task, their mean, and paired differences to :data:`AGAINST` with 95 % intervals."""
    contenders = [(name, runs, "") for name, runs in found.items()]
    contenders += [(name, runs, "by label/") for name, runs in found.items() if "tree" not in CONTENDERS[name]]
    against = [name for name in AGAINST if name in found]
    scores, bases = {}, {}
    for seeds in {len(runs) for runs in found.values()}:
        scores[seeds] = Scores(data, seeds)
        for other in against:
            bases[seeds, other] = scores[seeds].whole(found[other], ""), scores[seeds].resampled(found[other], "")
    rows = []
    for name, runs, prefix in contenders:
        seeds = len(runs)
        whole, resampled = scores[seeds].whole(runs, prefix), scores[seeds].resampled(runs, prefix)
        row: dict[str, Any] = {"head": name + (READ_OFF if prefix else ""), "seeds": seeds}
        row |= {f"{task} F1": f"{100 * whole[i, 0]:.1f}" for i, task in enumerate(TASKS)}
        row |= {title: f"{100 * pick(whole):.2f}" for title, pick in COMPARED.items()}
        for other, (title, pick) in product(against, COMPARED.items()):
            if (name, prefix) != (other, ""):
                base, drawn = bases[seeds, other]
                low, high = np.percentile(100 * (pick(resampled) - pick(drawn)), [2.5, 97.5])
                row[f"{title} - {other}"] = f"{100 * (pick(whole) - pick(base)):+.2f} ({low:+.2f} to {high:+.2f})"
        row |= {} if prefix else costs(data, CONTENDERS[name])
        row["learning rate"] = runs[0]["rate"]
        rows.append(row)
    return rows


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


NOTES = """PlanktonSet 1.0, published split (21,278 train, 4,580 val, 4,478 test), stored vectors of efficientnet-lite0 (1,280
numbers). Tasks: status, group, label, form, stage and traits (several), 164 classes. {epochs} epochs of AdamW
at batch {batch}; equal task weights, no class weights; GCN on the re-weighted graph (tau None, p 0.2), 32 channels,
4 attention heads. Macro F1 in %, over classes that the test part has, of known labels. Differences: paired,
95 % intervals of 400 resamples of specimens and of seeds together. Hierarchical heads, and "read off its label": an
attribute is the sum of p over the labels that have it. Learning rates chosen on the validation part; without a graph and GAT:
that of GCN. CPU time: one thread, 20 batches."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="contenders with these in their names")
    parser.add_argument("--measure", action="store_true", help="train nothing, measure what is there")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    data = read(given.collection)
    print([(task.name, task.classes) for task in data.tasks], flush=True)
    found = measured(data, given.work, given.seeds, given.only, given.measure)
    if not given.only:
        write_results("attributes", rows_of(data, found), NOTES.format(epochs=EPOCHS, batch=BATCH))


if __name__ == "__main__":
    main()
