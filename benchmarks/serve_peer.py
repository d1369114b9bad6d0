"""embedding-atlas over the same specimens: what it and our server both do, over HTTP.

It has a map and a table over DuckDB (run on its server, --duckdb server), and no pages of pictures, tree, labels or search of
vectors; the questions are those that its own page would ask as SQL.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import biocosmos as bc
from biocosmos.discover import kept

REPEATS = 40
QUESTIONS = {
    "embedding-atlas: 120 rows of a filtered, sorted view": (
        "SELECT * FROM dataset WHERE \"group\" = 'jelly' AND latitude BETWEEN {low} AND {high} ORDER BY novelty DESC LIMIT 120"
    ),
    "embedding-atlas: counts per taxon of a filtered view": (
        "SELECT phylum, count(*) AS n FROM dataset WHERE latitude BETWEEN {low} AND {high} GROUP BY phylum"
    ),
}


def table_of(path: Path, count: int) -> Path:
    """The specimens as the Parquet file that it reads."""
    out = path.with_suffix(".parquet")
    if not out.exists():
        collection = bc.Collection.open(path)
        table = collection.table(["id", *collection.ranks, "latitude", "longitude", "date", "group"])
        places = kept.read_kept(collection, "projection").table()
        novelty = np.random.default_rng(0).gamma(2, 1, count).astype(np.float32)
        columns = {"x": places["x"], "y": places["y"], "novelty": pa.array(novelty)}
        for name, column in columns.items():
            table = table.append_column(name, column)
        pq.write_table(table, out)
    return out


def rows_of_peer(python: Path, collection: Path, count: int) -> list[dict[str, Any]]:
    """Lines of the table: its start, its memory, and the questions that ours answers too."""
    table = table_of(collection, count)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python.parent / "embedding-atlas"), str(table), "--x", "x", "--y", "y", "--disable-projection"]
    command += ["--duckdb", "server", "--host", "127.0.0.1", "--port", str(port), "--no-auto-port"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    try:
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300)
        while True:
            try:
                http.get("/data/metadata.json").raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.perf_counter() - start > 300:
                    raise SystemExit("embedding-atlas did not start") from None
                time.sleep(0.05)
        rows: list[dict[str, Any]] = [
            {"what": "embedding-atlas: a fresh start", "n": 1, "p50 ms": round((time.perf_counter() - start) * 1000, 1)}
        ]
        rng = np.random.default_rng(0)
        for what, sql in QUESTIONS.items():
            times = []
            for _ in range(REPEATS):
                low = int(rng.integers(-70, 50))
                body = {
                    "type": "json",
                    "sql": sql.format(low=low, high=low + int(rng.integers(60, 90))),
                }
                begun = time.perf_counter()
                http.post("/data/query", json=body).raise_for_status()
                times.append((time.perf_counter() - begun) * 1000)
            rows.append(
                {
                    "what": what,
                    "n": REPEATS,
                    "p50 ms": round(float(np.median(times)), 1),
                    "p95 ms": round(float(np.percentile(times, 95)), 1),
                }
            )
        status = Path(f"/proc/{process.pid}/status").read_text()
        rows.append(
            {"what": "embedding-atlas: memory, GB", "GB": round(int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e9, 2)}
        )
        return rows
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
