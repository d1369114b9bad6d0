"""A masked autoencoder of barcodes: the encoder never sees a masked token, so that it is used as it was trained.

Safari et al., BarcodeMAE, 2025 (arXiv:2502.18405), after He et al., Masked Autoencoders, CVPR 2022 (arXiv:2111.06377).
"""

from __future__ import annotations

import torch
from torch import nn

from biocosmos.nn.barcode.transformer import SPREAD, BarcodeTransformer, TokenHead


class MaskedAutoencoder(nn.Module):
    """Encoder over the tokens that are left, decoder over all places, logits of every token.

    encoder: trained and kept; layers, heads: of the decoder, which is as wide as the encoder and thrown away; classes: 4^k;
    positions: most tokens of a barcode. Deviation: BarcodeMAE takes the mask's vector from the decoder's token table, which is
    otherwise unused; here it is one vector.
    """

    def __init__(
        self,
        encoder: BarcodeTransformer,
        classes: int,
        layers: int = 6,
        heads: int = 6,
        positions: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = encoder.width
        self.encoder = encoder
        self.masked = nn.Parameter(torch.randn(width) * SPREAD)
        self.decoder = BarcodeTransformer(1, width, layers, heads, positions=positions, dropout=dropout)
        self.decoder.embeddings.tokens.weight.requires_grad_(False)  # it is given vectors
        self.head = TokenHead(width, classes, dropout)

    def forward(self, tokens: torch.Tensor, real: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """tokens: (n, t) int64, none of them replaced; real, masked: (n, t) bool -> (n, t, classes) logits."""
        n, t = tokens.shape
        kept = int((~masked).sum(1).max())
        order = masked.to(torch.int8).argsort(dim=1, stable=True)[:, :kept]  # what is left first, in its order
        here = ~masked.gather(1, order)
        hidden = self.encoder(tokens.gather(1, order), here & real.gather(1, order), order)
        whole = self.masked.to(hidden.dtype).expand(n, t, -1)
        whole = torch.where(masked[..., None], whole, whole.scatter(1, order[..., None].expand(-1, -1, hidden.shape[-1]), hidden))
        return self.head(self.decoder(whole, real))  # type: ignore[no-any-return]
