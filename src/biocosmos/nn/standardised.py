"""A projection that is trained on standardised features and kept as one of plain unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biocosmos.nn.projection import Projection


class StandardisedProjection(nn.Module):
    """Unit vectors -> zero mean and unit variance -> dropout -> projection.

    Numbers of an embedding vary little around means of their own; standardised, one learning rate fits all of them.
    :meth:`folded` gives the same map without the standardisation, to be stored and used.

    Args:
        mean, deviation: (dim_in,) of the unit vectors; a deviation of 0 counts as 1.
        dim_out, hidden: of the projection, see :class:`biocosmos.nn.projection.Projection`.
        dropout: share of the standardised inputs that are dropped in training, 0..1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor, dim_out: int, *, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float().clone())
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1.0).float())
        self.dropout = nn.Dropout(dropout)
        self.projection = Projection(len(mean), dim_out, hidden=hidden, normalise=False)

    def forward(self, features: Tensor) -> Tensor:
        """features: (n, dim_in), any length. Returns: (n, dim_out), not unit vectors."""
        x = (F.normalize(features.float(), dim=-1) - self.mean) / self.deviation
        return self.projection(self.dropout(x))  # type: ignore[no-any-return]

    @torch.no_grad()
    def folded(self) -> Projection:
        """The same map of features, in evaluation, as a plain projection: W' = W / deviation, b' = b - W' mean."""
        own = self.projection
        plain = Projection(own.dim_in, own.dim_out, hidden=own.hidden)
        plain.load_state_dict({name: value.cpu() for name, value in own.state_dict().items()})
        mean, deviation = self.mean.cpu(), self.deviation.cpu()
        for layer in (plain.linear, plain.branch[0] if plain.branch is not None else None):
            if isinstance(layer, nn.Linear):
                layer.weight.div_(deviation)
                layer.bias.sub_(layer.weight @ mean)
        return plain
