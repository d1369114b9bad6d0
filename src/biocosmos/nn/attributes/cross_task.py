"""CT-GNN: a decoder in which the classes of all tasks are the nodes of one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes.graph_layers import ATTENTION_FLOATS, SLOPE, GraphAttention, GraphConvolution, Residual
from biocosmos.nn.attributes.plain import Features, PlainHeads, Pool
from biocosmos.nn.attributes.tasks import AttributeOutput, TaskShape, parts_of

Graph = Literal["GCN", "GAT"]


class CrossTaskHead(PlainHeads):
    """Plain heads, whose answers are refined by a graph network over the C classes of all tasks.

    Haurum et al. 2022, "Multi-Task Classification of Sewer Pipe Defects and Properties using a Cross-Task Graph Neural Network
    Decoder" (arXiv:2111.07846): from a task's features, its auxiliary logits (as :class:`PlainHeads`) and, through a bottleneck
    Linear + LeakyReLU(0.2), one vector a class, Linear + LeakyReLU(0.2); L graph layers over all C vectors; the score of a
    class is a linear layer on its vector.

    adjacency: (C, C) of :func:`biocosmos.nn.attributes.co_occurrence.adjacency`; None: the graph of all edges, whose weights
    attention finds ("dynamic"). GCN uses its values, GAT the pattern of what is above 0.
    graph, layers: kind and number. channels: e of a class's vector. attention_heads: of GAT, a divisor of e.
    bottleneck: its width; shared_bottleneck: one for all tasks. shared_output: one linear layer for all classes.
    residual, skip, dropout: see :class:`biocosmos.nn.attributes.graph_layers.GraphLayer`. The others: see :class:`PlainHeads`.

    Size beside the plain heads: about bottleneck * (T * width + e * C) numbers.
    """

    adjacency: Tensor

    def __init__(
        self,
        tasks: Sequence[TaskShape],
        width: int,
        adjacency: np.ndarray | Tensor | None = None,
        *,
        graph: Graph = "GCN",
        layers: int = 1,
        channels: int = 128,
        attention_heads: int = 8,
        bottleneck: int = 32,
        shared_bottleneck: bool = False,
        shared_output: bool = False,
        residual: Residual = "Pre",
        skip: bool = True,
        dropout: float = 0.0,
        hidden: Sequence[int] = (),
        pool: Pool = "Avg",
        standardised: bool = True,
        attention_floats: int = ATTENTION_FLOATS,
    ) -> None:
        super().__init__(tasks, width, hidden=hidden, pool=pool, standardised=standardised)
        if graph not in ("GCN", "GAT") or min(layers, channels, bottleneck) < 1:
            raise BiocosmosError(
                f"head 'ctgnn': graph '{graph}' must be GCN or GAT, layers {layers}, channels {channels} and bottleneck "
                f"{bottleneck} at least 1"
            )
        self.graph: Graph = graph
        self.channels, self.shared_bottleneck = channels, shared_bottleneck
        self.register_buffer("adjacency", self._matrix(adjacency))
        self.bottlenecks = nn.ModuleList(
            _narrowed(self.width, bottleneck) for _ in range(1 if shared_bottleneck else len(self.tasks))
        )
        self.embeddings = nn.ModuleList(_narrowed(bottleneck, channels * task.classes) for task in self.tasks)
        how = {"residual": residual, "skip": skip, "dropout": dropout}
        self.layers = nn.ModuleList(
            GraphConvolution(channels, **how)  # type: ignore[arg-type]
            if graph == "GCN"
            else GraphAttention(channels, attention_heads, attention_floats=attention_floats, **how)  # type: ignore[arg-type]
            for _ in range(layers)
        )
        scored = nn.Linear(channels, 1 if shared_output else len(self.adjacency))
        self.score_weight, self.score_bias = scored.weight, scored.bias

    def _matrix(self, adjacency: np.ndarray | Tensor | None) -> Tensor:
        classes = sum(task.classes for task in self.tasks)
        if adjacency is None:
            if self.graph == "GCN":
                raise BiocosmosError("head 'ctgnn' with graph GCN needs an adjacency: give one, or take graph GAT (dynamic)")
            return torch.ones(classes, classes)
        matrix = torch.as_tensor(adjacency).float()
        if matrix.shape != (classes, classes) or not matrix.isfinite().all():
            raise BiocosmosError(
                f"head 'ctgnn': the adjacency must be finite and {classes} x {classes}, a row a class, not {tuple(matrix.shape)}"
            )
        return matrix.clone()

    def nodes(self, seen: Sequence[Tensor]) -> Tensor:
        """(b, C, e), one vector a class, from what each task sees, (b, width) a task."""
        necks = list(self.bottlenecks) * (len(self.tasks) if self.shared_bottleneck else 1)
        embedded: list[Tensor] = [embed(neck(x)) for embed, neck, x in zip(self.embeddings, necks, seen)]
        return torch.cat([x.view(len(x), task.classes, self.channels) for x, task in zip(embedded, self.tasks)], 1)

    def forward(self, features: Features) -> AttributeOutput:
        """features: see ``plain.Features``. Returns refined and auxiliary logits per task, (b, C_t)."""
        seen = self.of_tasks(features)
        nodes = self.nodes(seen)
        for layer in self.layers:
            nodes = layer(nodes, self.adjacency)
        scores = (nodes * self.score_weight).sum(-1) + self.score_bias
        return AttributeOutput(tuple(scores[:, part] for part in parts_of(self.tasks)), self.classified(seen))


def _narrowed(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after), nn.LeakyReLU(SLOPE))
