"""The space of ``space_sample`` with a text tower too, whose weights are random."""

from __future__ import annotations

from pathlib import Path

import torch

import biocosmos as bc
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.registry import load_encoder
from biocosmos.encoders.spaces import save_space
from biocosmos.encoders.taxon_tokens import TaxonTokens
from biocosmos.encoders.text_models import save_transformer
from biocosmos.nn.text_transformer import TextTransformer
from biocosmos.specimens.taxon_texts import Wording
from space_sample import WIDTH, space


def worded_space(folder: Path, collection: bc.Collection, *, seed: int = 0) -> str:
    """``folder``: a space of towers of images, barcodes and texts; returns its digest."""
    space(folder, seed=seed)
    torch.manual_seed(seed)
    wording = Wording(ranks=collection.ranks)
    tokens = TaxonTokens.learnt(text for text in wording.texts(collection.table(collection.ranks), collection.ranks) if text)
    network = TextTransformer(tokens.size, WIDTH, width=16, layers=1, heads=2)
    text = save_transformer(folder / "text", network, tokens, wording, training={})
    image, dna = load_encoder(f"{folder}/image").digest, load_barcode_encoder(f"{folder}/dna").digest
    return save_space(folder, {"image": image, "dna": dna, "text": text}, dim=WIDTH, training={})
