"""Attention between the classes of all attributes: the published form over pairs, the sum of halves, and sums from both ends.

    python benchmarks/bench_class_attention.py [--classes 35,164,1000]

16 specimens, 8 heads of 16 numbers, forward and backward, one thread; medians of interleaved runs. Pairs are left out where
they need more than 1 GiB.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from biocosmos.nn.attributes.graph_layers import SLOPE, GraphAttention
from machine import write_results

SPECIMENS, WIDTH, HEADS, RUNS = 16, 128, 8, 5
MOST = 2**28


def over_pairs(layer: GraphAttention, nodes: Tensor) -> Tensor:
    """As published: a vector for every pair of classes."""
    heads, count = [], nodes.shape[1]
    for weight, own in zip(layer.weight, layer.attention):
        values = nodes @ weight
        pairs = torch.cat([values[:, :, None].expand(-1, -1, count, -1), values[:, None].expand(-1, count, -1, -1)], -1)
        scores = torch.nn.functional.leaky_relu((pairs @ own).squeeze(-1), SLOPE)
        heads.append(scores.softmax(-1) @ values)
    return layer.summed(torch.cat(heads, -1), nodes)


def over_sums(layer: GraphAttention, nodes: Tensor) -> Tensor:
    """A number for every pair of classes, in pieces: what any graph needs."""
    edges = torch.ones(nodes.shape[1], nodes.shape[1], dtype=torch.bool)
    parts = [layer._head(nodes @ weight, own, edges) for weight, own in zip(layer.weight, layer.attention)]
    return layer.summed(torch.cat(parts, -1), nodes)


def from_both_ends(layer: GraphAttention, nodes: Tensor) -> Tensor:
    """Nothing for a pair: the graph of all edges."""
    found: Tensor = layer(nodes, torch.ones(nodes.shape[1], nodes.shape[1]))
    return found


FORMS: dict[str, Callable[[GraphAttention, Tensor], Tensor]] = {
    "pairs, s": over_pairs,
    "sum of halves, s": over_sums,
    "from both ends, s": from_both_ends,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=lambda text: [int(part) for part in text.split(",")], default=[35, 164, 1000])
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer, rows = GraphAttention(WIDTH, HEADS), []
    for classes in given.classes:
        nodes = torch.randn(SPECIMENS, classes, WIDTH, requires_grad=True)
        forms = {
            name: form
            for name, form in FORMS.items()
            if form is not over_pairs or SPECIMENS * classes**2 * 2 * WIDTH // HEADS < MOST
        }
        taken: dict[str, list[float]] = {name: [] for name in forms}
        found: dict[str, Tensor] = {}
        for _ in range(RUNS):
            for name, form in forms.items():
                began = time.process_time()
                found[name] = form(layer, nodes)
                found[name].square().sum().backward()
                taken[name].append(time.process_time() - began)
        last = found["from both ends, s"]
        apart = max(float((other - last).detach().abs().max()) for other in found.values())
        rows.append({"classes": classes, **{name: statistics.median(times) for name, times in taken.items()}, "apart": apart})
        print(rows[-1], flush=True)
    write_results(
        "class_attention", rows, (__doc__ or "").split("\n\n")[-1] + "\napart: the largest difference of their outputs."
    )


if __name__ == "__main__":
    main()
