"""Networks over barcodes with random weights, to be trained."""

from __future__ import annotations

from biocosmos.barcodes.tokens import KmerTokens
from biocosmos.encoders.barcode_models import BarcodeModel
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder

BAG_WINDOW = 12
"""Tokens that the network "bag" sums in one go; the sum of all is the same for any number."""
BAG_WIDTH, BERT_WIDTH = 1024, 256
"""Numbers of a vector where nothing else is asked for."""
_POSITIONS = 512
"""Places of BERT, where a barcode does not have more."""


def new_bag(
    k: int = 6, stride: int = 1, vocabulary: str = "barcodebert", width: int = BAG_WIDTH, *, dropout: float = 0.1
) -> BarcodeModel:
    """The sum of a vector for each k-mer: it begins near counts of k-mers, and learns how much each says."""
    tokens = KmerTokens(k, stride, vocabulary)
    places = -(-tokens.tokens // BAG_WINDOW)
    network = BarcodeEmbedder(
        tokens.size, width, 0, 1, positions=places, dropout=dropout, pad=tokens.pad, pooling="mean", window=BAG_WINDOW, bag=True
    )
    return BarcodeModel(network, tokens)


def new_transformer(
    k: int = 6,
    stride: int = 0,
    vocabulary: str = "barcodebert",
    width: int = BERT_WIDTH,
    *,
    layers: int = 4,
    heads: int = 4,
    dropout: float = 0.1,
    pooling: str = "mean",
    window: int = 1,
    bag: bool = False,
) -> BarcodeModel:
    """BarcodeBERT's network; stride 0: k-mers side by side. The rest as in :class:`BarcodeEmbedder`."""
    tokens = KmerTokens(k, stride, vocabulary)
    places = -(-tokens.tokens // window)
    network = BarcodeEmbedder(
        tokens.size,
        width,
        layers,
        heads,
        positions=max(_POSITIONS, places) if window == 1 else places,
        dropout=dropout,
        pad=tokens.pad,
        pooling=pooling,
        window=window,
        bag=bag,
    )
    return BarcodeModel(network, tokens)


def new_cnn() -> BarcodeModel:
    """The convolutional baseline, which reads letters."""
    tokens = KmerTokens()
    return BarcodeModel(BarcodeCNN(tokens.length), tokens)
