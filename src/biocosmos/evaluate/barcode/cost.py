"""What an encoder costs: barcodes and queries a second, and memory, as the job measured them."""

from __future__ import annotations

import pyarrow as pa

COST = pa.schema(
    [
        *(("encoder", pa.string()), ("of", pa.string()), ("dim", pa.int64()), ("specimens", pa.int64()), ("bytes", pa.int64())),
        *(("embedded", pa.int64()), ("embed_seconds", pa.float64()), ("embed_mib", pa.float64())),
        *(("queries", pa.int64()), ("search_seconds", pa.float64()), ("search_mib", pa.float64())),
    ]
)
"""bytes: of the gallery's vectors in memory; embedded: barcodes that were embedded anew to take the time, None for none;
seconds: of this process, CPU of all threads; mib: the memory held at most above what was held before."""
