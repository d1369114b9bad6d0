"""Layers by which the classes of all tasks tell each other what they see: convolution and attention over a graph of classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from biocosmos.errors import BiocosmosError
from biocosmos.nn.heads.output import full_precision

SLOPE = 0.2
"""Of LeakyReLU below 0, everywhere in CT-GNN."""
GAIN = 1.414
NO_EDGE = -9e15
"""Attention score where there is no edge: a node without any attends to all alike."""
ATTENTION_FLOATS = 2**24
"""Attention weights held at a time; more are taken in pieces, which are computed again in the backward pass."""

Residual = Literal["Pre", "Post", "Both", "None"]


class GraphLayer(nn.Module):
    """What both layers share: H' = act(act(new) + H), either ``act`` being left out.

    residual: where the activation and the dropout after it stand: "Pre" the sum, "Post" it, "Both", "None" nowhere.
    skip: whether H is added. dropout: share, after the activation. activation: elementwise.
    """

    def __init__(self, activation: nn.Module, *, residual: Residual = "Pre", skip: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if residual not in ("Pre", "Post", "Both", "None") or not 0 <= dropout < 1:
            raise BiocosmosError(
                f"graph layer: residual '{residual}' must be Pre, Post, Both or None, dropout {dropout} from 0 to below 1"
            )
        self.activation, self.drop = activation, nn.Dropout(dropout)
        self.residual: Residual = residual
        self.skip = skip

    def summed(self, new: Tensor, nodes: Tensor) -> Tensor:
        """new and nodes: (b, C, e). Returns H', the same shape."""
        if self.residual in ("Pre", "Both"):
            new = self.drop(self.activation(new))
        if self.skip:
            new = new + nodes
        if self.residual in ("Post", "Both"):
            new = self.drop(self.activation(new))
        return new


class GraphConvolution(GraphLayer):
    """new = A H W, activation LeakyReLU(0.2). Kipf and Welling 2017 (arXiv:1609.02907), equation 2, with any matrix A.

    width: e of the nodes, in and out; W is (e, e), no bias.
    """

    def __init__(self, width: int, *, residual: Residual = "Pre", skip: bool = True, dropout: float = 0.0) -> None:
        super().__init__(nn.LeakyReLU(SLOPE), residual=residual, skip=skip, dropout=dropout)
        self.weight = nn.Parameter(torch.empty(width, width))
        nn.init.xavier_uniform_(self.weight, gain=GAIN)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """nodes: (b, C, e); adjacency: (C, C), row i what node i takes from each. Returns (b, C, e)."""
        return self.summed(adjacency.to(nodes.dtype) @ (nodes @ self.weight), nodes)


class GraphAttention(GraphLayer):
    """new_i = sum_j softmax_j(LeakyReLU(a1.W h_i + a2.W h_j)) W h_j over j with A_ij > 0, heads side by side; activation ELU.

    Velickovic et al. 2018 (arXiv:1710.10903), equations 3 to 5. There a is one vector over the pair [W h_i || W h_j]; its two
    halves give the same score as a sum, which needs b C^2 numbers a head where the pairs need 2 e b C^2. Not more than
    ``attention_floats`` of them exist at a time (training too: pieces are computed again). dropout: of the weights as well. Where
    all nodes are joined (the dynamic graph) and nothing is dropped, see :func:`attend_to_all`: b C (e + heads) numbers.

    width: e, a multiple of ``heads``.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        residual: Residual = "Pre",
        skip: bool = True,
        dropout: float = 0.0,
        attention_floats: int = ATTENTION_FLOATS,
    ) -> None:
        super().__init__(nn.ELU(), residual=residual, skip=skip, dropout=dropout)
        if heads < 1 or width % heads:
            raise BiocosmosError(f"graph attention: width {width} must be a multiple of its {heads} heads")
        self.weight = nn.Parameter(torch.empty(heads, width, width // heads))
        self.attention = nn.Parameter(torch.empty(heads, 2 * width // heads, 1))
        self.attention_floats = attention_floats
        # torch takes the heads for an input width here; so do the published weights, which this makes comparable
        nn.init.xavier_uniform_(self.weight, gain=GAIN)
        nn.init.xavier_uniform_(self.attention, gain=GAIN)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """nodes: (b, C, e); adjacency: (C, C), an edge from j to i where A_ij > 0. Returns (b, C, e)."""
        edges = adjacency > 0
        if edges.all() and not (self.training and self.drop.p):
            values = torch.einsum("bcd,hde->bhce", nodes, self.weight)
            to, source = torch.einsum("bhce,hpe->phbc", values, self.attention.view(len(self.attention), 2, -1))
            new = attend_to_all(to.transpose(0, 1), source.transpose(0, 1), values).transpose(1, 2).flatten(2)
        else:
            new = torch.cat([self._head(nodes @ weight, own, edges) for weight, own in zip(self.weight, self.attention)], -1)
        return self.summed(new, nodes)

    def _head(self, values: Tensor, own: Tensor, edges: Tensor) -> Tensor:
        to, source = (values @ part for part in own.squeeze(-1).chunk(2))
        classes = values.shape[1]
        rows = max(1, self.attention_floats // classes**2)
        if len(values) <= rows:
            return self._attend(to, source, values, edges)
        pieces = zip(*(torch.split(x, rows) for x in (to, source, values)))
        return torch.cat([checkpoint(self._attend, *piece, edges, use_reentrant=False) for piece in pieces])

    def _attend(self, to: Tensor, source: Tensor, values: Tensor, edges: Tensor) -> Tensor:
        # in float32 at least: half precision has no number as low as NO_EDGE
        scores = nn.functional.leaky_relu(full_precision(to)[:, :, None] + full_precision(source)[:, None, :], SLOPE)
        weights = scores.masked_fill(~edges, NO_EDGE).softmax(-1)
        new: Tensor = self.drop(weights).to(values.dtype) @ values
        return new


def attend_to_all(to: Tensor, source: Tensor, values: Tensor) -> Tensor:
    """sum_j softmax_j(LeakyReLU(to_i + source_j)) values_j over all j, without any number a pair.

    On each side of 0, exp(LeakyReLU(to_i + source_j)) is a factor of i times one of j. With the nodes in descending order of
    ``source``, those above 0 for i come first: sums from the front and from the back, cut at the place of i, are all
    it takes, C log C + C e steps instead of C^2 e.

    to, source: (..., C); values: (..., C, e). Returns (..., C, e).
    """
    lead, (classes, width) = values.shape[:-2], values.shape[-2:]
    to, source, x = full_precision(to), full_precision(source), full_precision(values)
    ordered, order = source.sort(-1, descending=True)
    highest = ordered[..., :1]
    count = x[..., 0, 0].numel()
    first = torch.arange(count, device=x.device)[:, None]
    x = torch.cat([x, torch.ones_like(x[..., :1])], -1).reshape(
        count * classes, width + 1
    )  # the last column becomes the sum of the weights
    x = x.index_select(0, (order.reshape(count, classes) + first * classes).flatten()).view(*lead, classes, width + 1)
    front = nn.functional.pad(((ordered - highest).exp()[..., None] * x).cumsum(-2), (0, 0, 1, 0))
    back = (SLOPE * (ordered - highest)).exp()[..., None] * x
    back = nn.functional.pad(back.flip(-2).cumsum(-2).flip(-2), (0, 0, 0, 1))
    above = torch.searchsorted((-ordered).contiguous(), to.contiguous())  # how many have source > -to
    rows = (above.reshape(count, classes) + first * (classes + 1)).flatten()
    best = to + highest
    top = nn.functional.leaky_relu(best, SLOPE)
    sums = (best - top).exp()[..., None] * front.reshape(count * (classes + 1), width + 1).index_select(0, rows).view_as(x)
    sums = sums + (SLOPE * best - top).exp()[..., None] * back.reshape(count * (classes + 1), width + 1).index_select(
        0, rows
    ).view_as(x)
    return (sums[..., :width] / sums[..., width:]).to(values.dtype)
