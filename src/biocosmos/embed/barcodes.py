"""The barcodes of specimens, as :mod:`biocosmos.embed.strings` embeds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.embed.strings import rows_of
from biocosmos.encoders.barcodes import BarcodeEncoder


class Barcodes:
    """See :class:`biocosmos.embed.strings.Strings`."""

    unit = "barcodes"
    lacking = "a barcode"
    part_rows: int | None = None
    columns: Sequence[str] = ("barcode",)

    def __init__(self, encoder: BarcodeEncoder, metadata: dict[str, Any]) -> None:
        self._encoder, self.name, self.metadata = encoder, encoder.name, metadata
        self.how = "whole numbers" if encoder.stored == "k-mers" else f"{metadata['precision']} by {metadata['backend']}"

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """The barcodes as they are stored."""
        return batch.column("barcode")

    def encode(self, strings: list[str]) -> pa.Array:
        """Counts of k-mers, or vectors."""
        size = self._encoder.batch_size
        parts = [self._encoder.encode_barcodes(strings[i : i + size]) for i in range(0, len(strings), size)]
        return pa.concat_arrays([part.to_arrow() if isinstance(part, KmerCounts) else rows_of(part) for part in parts])

    def reason(self, string: str) -> str:
        """See :class:`biocosmos.embed.strings.Strings`."""
        return "nothing can be computed from the barcode: it has no k-mer of A, C, G and T"
