"""Exact search side by side with faiss, torch, usearch and scikit-learn; filters; the approximate index.

    python benchmarks/bench_search.py                 # 1,000,000 x 512: about half an hour and 9 GB on two cores
    python benchmarks/bench_search.py --rows 100000   # a quick look
    python benchmarks/bench_search.py --only filters  # one part; the others' rows stay in the results

Every engine answers the same queries in the same process, one after another, round after round; medians over the rounds. Each
line is compared with the best of the peers in that run, by CPU seconds. "AVX2 only" is what a processor without AVX-512 and VNNI
would run (BIOCOSMOS_ISA=avx2), against peers that use all this one has.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import faiss
import lance
import numpy as np
import pyarrow as pa
import torch
from sklearn.neighbors import NearestNeighbors
from usearch.index import MetricKind
from usearch.index import search as usearch_search

from biocosmos import machine as machine_here
from biocosmos.search.approximate import ApproximateIndex
from biocosmos.search.exact import ExactIndex
from biocosmos.search.kernel.plan import batch_kind
from machine import RESULTS, machine, peak_memory_gib, write_results

DIM, K, LATENT, CLASSES = 512, 10, 96, 20_000
WITHIN = 0.6  # spread of a class's specimens, in those of the class centres
CHUNK = 1 << 16
LARGE = 256
BATCHES = (LARGE, 16, 1)
PARTS = {
    "long-tailed": "long-tailed, noise 10 %",
    "noisy": "long-tailed, noise 30 %",
    "isotropic": "isotropic",
    "filters": "filter: ",
    "approximate": "approximate: ",
}
Search = Callable[[np.ndarray], np.ndarray]
Row = tuple[str, float, float, np.ndarray]


def long_tailed(rows: int, queries: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of 20,000 classes of Zipf sizes, sorted by class: a 96-dim latent (centre + 0.6 x spread) mapped to 512
    dims, and isotropic noise that carries the share ``noise`` of the energy. Queries are new draws."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(LATENT, DIM, generator=draw)
    centres = torch.randn(CLASSES, LATENT, generator=draw)
    share = 1 / torch.arange(1, CLASSES + 1).double()
    out = np.empty((rows, DIM), np.float32)

    def specimens(labels: torch.Tensor) -> torch.Tensor:
        latent = centres[labels] + WITHIN * torch.randn(len(labels), LATENT, generator=draw)
        signal = torch.nn.functional.normalize(latent @ mixing, dim=1) * (1 - noise) ** 0.5
        return torch.nn.functional.normalize(signal + torch.randn(len(labels), DIM, generator=draw) * (noise / DIM) ** 0.5, dim=1)

    labels = torch.multinomial(share, rows, replacement=True, generator=draw).sort().values
    for i in range(0, rows, CHUNK):
        out[i : i + CHUNK] = specimens(labels[i : i + CHUNK]).numpy()
    return out, specimens(torch.multinomial(share, queries, replacement=True, generator=draw)).numpy()


def isotropic(rows: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian directions: no structure to use, the hardest case there is."""
    draw = torch.Generator().manual_seed(0)
    out = np.empty((rows, DIM), np.float32)
    for i in range(0, rows, CHUNK):
        part = torch.randn(min(CHUNK, rows - i), DIM, generator=draw)
        out[i : i + CHUNK] = torch.nn.functional.normalize(part, dim=1).numpy()
    return out, torch.nn.functional.normalize(torch.randn(queries, DIM, generator=draw), dim=1).numpy()


def torch_topk(x: torch.Tensor, q: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The plain way: chunked float32 GEMM and topk."""
    best, rows = torch.empty(len(q), 0), torch.empty(len(q), 0, dtype=torch.int64)
    for i in range(0, len(x), CHUNK):
        found = (q @ x[i : i + CHUNK].T).topk(min(k, len(x) - i), dim=1)
        best, rows = torch.cat([best, found.values], 1), torch.cat([rows, found.indices + i], 1)
        best, order = best.topk(k, dim=1)
        rows = rows.gather(1, order)
    return best, rows


def truth(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The 10 best of the 64 best by float32, ordered by their float64 products."""
    _, rows = torch_topk(torch.from_numpy(x), torch.from_numpy(q), 64)
    products = np.stack([x[r].astype(np.float64) @ v.astype(np.float64) for r, v in zip(rows.numpy(), q)])
    return np.take_along_axis(rows.numpy(), np.argsort(-products, 1)[:, :K], 1)


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / true.shape[1] for a, b in zip(found.tolist(), true.tolist())]))


def rounds(engines: dict[str, Search], q: np.ndarray, repeats: int) -> Iterator[Row]:
    """(engine, CPU seconds, wall seconds, rows found): medians of interleaved rounds after one that does not count."""
    cpu: dict[str, list[float]] = {name: [] for name in engines}
    wall: dict[str, list[float]] = {name: [] for name in engines}
    found: dict[str, np.ndarray] = {}
    for turn in range(repeats + 1):
        for name, search in engines.items():
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            found[name] = search(q)
            if turn:
                cpu[name].append(time.process_time() - cpu_start)
                wall[name].append(time.perf_counter() - wall_start)
    for name in engines:
        yield name, statistics.median(cpu[name]), statistics.median(wall[name]), found[name]


@contextmanager
def avx2_only() -> Iterator[None]:
    """An index made inside takes the processor to have no more than AVX2."""
    os.environ[machine_here.ISA] = "avx2"
    machine_here.forget()
    try:
        yield
    finally:
        del os.environ[machine_here.ISA]
        machine_here.forget()


def indexes(x: np.ndarray) -> Iterator[tuple[str, ExactIndex, dict[str, float]]]:
    """The index as it is chosen on this machine, and for AVX2 alone; the seconds it took to make."""
    for only in (nullcontext, avx2_only):
        with only():
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            index = ExactIndex(x).prepare()
            built = {"build CPU s": time.process_time() - cpu_start, "build s": time.perf_counter() - wall_start}
        told = index.provenance
        print(told["scans"], told["kernel"], flush=True)
        yield "AVX2 only" if only is avx2_only else "", index, built


def lines(title: str, batch: int, peers: list[str], rows: Iterable[Row], true: np.ndarray | None) -> Iterator[dict[str, Any]]:
    """Lines of the table of one batch; recall against ``true`` or else what the first engine found."""
    rows = list(rows)
    best = min((row for row in rows if row[0] in peers), key=lambda row: row[1])
    true = rows[0][3] if true is None else true
    for name, cpu, wall, found in rows:
        line = {
            "data": title,
            "batch": batch,
            "engine": name,
            "queries per CPU-second": batch / cpu,
            "queries per second": batch / wall,
            "recall@10": recall(found, true[:batch]),
            "CPU, times best peer": best[1] / cpu,
            "best peer": best[0],
        }
        print(line, flush=True)
        yield line


def compare(title: str, x: np.ndarray, q: np.ndarray, repeats: int) -> Iterator[dict[str, Any]]:
    true = truth(x, q)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(x)
    tensor = torch.from_numpy(x)
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="euclidean").fit(x)
    peers: dict[str, Search] = {
        "faiss IndexFlatIP": lambda v: flat.search(v, K)[1],
        "torch GEMM + topk": lambda v: torch_topk(tensor, torch.from_numpy(v), K)[1].numpy(),
        "usearch exact": lambda v: np.atleast_2d(
            usearch_search(x, v, K, MetricKind.IP, exact=True, threads=torch.get_num_threads()).keys
        ),
        "scikit-learn brute": lambda v: brute.kneighbors(v, return_distance=False),
    }
    made = list(indexes(x))
    for batch in BATCHES:
        engines = {
            name: peer for name, peer in peers.items() if batch < len(q) or name != "usearch exact"
        }  # the same as 16 there
        facts: dict[str, dict[str, Any]] = {}
        for form, index, built in made:
            used = index.provenance["scans"][batch_kind(batch)]
            kernel = f", {index.provenance['kernel']}" if used["scan"].startswith("int") else ""
            name = f"biocosmos{', AVX2 only' if form else ''} ({used['scan']}{kernel}, {used['dims']} of {DIM} dims)"
            engines[name] = lambda v, index=index: index.search(v, K).rows  # type: ignore[misc]
            facts[name] = {**built, "certified at once": float(index.search(q[:batch], K).certified.mean())}
        turns = repeats * (3 if batch == 1 else 1)
        for line in lines(title, batch, list(peers), rounds(engines, q[:batch], turns), true):
            yield line | facts.get(line["engine"], {})


def filters(x: np.ndarray, q: np.ndarray, repeats: int) -> Iterator[dict[str, Any]]:
    """A taxon as a slice of 3 %, masks of 50 % and 3 % of the rows; faiss with its selectors beside."""
    n = len(x)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(x)
    made = list(indexes(x))
    start, stop = int(0.5 * n), int(0.53 * n)
    half, few = (np.random.default_rng(0).random(n) < share for share in (0.5, 0.03))
    packed = [np.packbits(mask, bitorder="little") for mask in (half, few)]
    pairs: dict[str, tuple[dict[str, Any], Any]] = {
        "taxon slice, 3 %": ({"start": start, "stop": stop}, faiss.IDSelectorRange(start, stop)),
        "mask, 50 %": ({"mask": half}, faiss.IDSelectorBitmap(packed[0])),
        "mask, 3 %": ({"mask": few}, faiss.IDSelectorBitmap(packed[1])),
    }
    for title, (where, selector) in pairs.items():
        parameters = faiss.SearchParameters(sel=selector)
        engines: dict[str, Search] = {"faiss, selector": lambda v: flat.search(v, K, params=parameters)[1]}  # noqa: B023
        for form, index, _ in made:
            engines[f"biocosmos{', ' + form if form else ''}"] = lambda v, i=index: i.search(v, K, **where).rows  # type: ignore[misc]  # noqa: B023
        for batch in BATCHES[title == "mask, 50 %" :]:  # faiss would take half a minute for 256 there
            turns = repeats * (3 if batch == 1 else 1)
            yield from lines(f"filter: {title}", batch, ["faiss, selector"], rounds(engines, q[:batch], turns), None)


def approximate(x: np.ndarray, q: np.ndarray, repeats: int) -> Iterator[dict[str, Any]]:
    """Lance's index on a part of the rows, on disk."""
    true = truth(x, q)
    with tempfile.TemporaryDirectory() as folder:
        table = pa.table(
            {"id": pa.array(np.arange(len(x)).astype(str)), "v": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), DIM)}
        )
        dataset = lance.write_dataset(table, str(Path(folder) / "x.lance"))
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        ApproximateIndex.build(dataset, "v")
        built, built_wall = time.process_time() - cpu_start, time.perf_counter() - wall_start
        for lists in (2, 4, 8, 16):
            index = ApproximateIndex(dataset, "v", lists=lists)

            def search(v: np.ndarray, index: ApproximateIndex = index) -> np.ndarray:
                ids = index.search(v, K).ids
                return np.array([[-1 if name is None else int(name) for name in row] for row in ids])

            for _, cpu, wall, found in rounds({"": search}, q, repeats):
                line = {
                    "data": f"approximate: {len(x):,} rows on disk",
                    "batch": len(q),
                    "engine": f"Lance IVF_SQ, {lists} lists, rescored",
                    "queries per CPU-second": len(q) / cpu,
                    "queries per second": len(q) / wall,
                    "recall@10": recall(found, true),
                    "build CPU s": built,
                    "build s": built_wall,
                }
                print(line, flush=True)
                yield line


def kept_lines(parts: Sequence[str]) -> list[dict[str, Any]]:
    """What an earlier run on these parts has left in the results, if it was on this processor."""
    file = RESULTS / "search.json"
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rows": [], "machine": {}}
    rows = [row for row in stored["rows"] if any(row["data"].startswith(PARTS[part]) for part in parts)]
    return rows if stored["machine"].get("cpu") == machine()["cpu"] else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vectors", type=Path, help="a .npy of real embeddings (n, d) to add, 512 dims")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), help="parts to run; the rows of the others are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    faiss.omp_set_num_threads(arguments.threads)
    n, b, repeats, only = arguments.rows, arguments.queries, arguments.repeats, arguments.only or tuple(PARTS)
    rows: list[dict[str, Any]] = []
    for part in PARTS:
        if part not in only:
            rows += kept_lines([part])
            continue
        x, q = isotropic(n, b) if part == "isotropic" else long_tailed(n, b, 0.3 if part == "noisy" else 0.1)
        if part == "filters":
            rows += filters(x, q, repeats)
        elif part == "approximate":
            rows += approximate(x[:: max(1, n // 100_000)].copy(), q, repeats)
        else:
            rows += compare(PARTS[part], x, q, repeats)
        del x
        gc.collect()
    if arguments.vectors:
        x = np.load(arguments.vectors).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        rows += compare(f"real: {arguments.vectors.stem} {x.shape}", x[b:].copy(), x[:b].copy(), repeats)
    write_results(
        "search",
        rows,
        f"{n:,} x {DIM} float32 unit vectors, top {K}, {arguments.threads} threads, medians of {repeats} interleaved rounds "
        f"(three times as many at batch 1). Data: {CLASSES:,} classes of Zipf sizes, sorted by class; a {LATENT}-dim latent "
        f"(centre plus {WITHIN} of spread) mapped to {DIM} dims, plus isotropic noise that carries the stated share of the "
        "energy (10 % is a signal-to-noise ratio of 9.5 dB). Isotropic data have no structure and are the hardest case. Truth: "
        "float64 order. scikit-learn by Euclidean distance, which ranks unit vectors alike and is its fastest path. AVX2 only: "
        f"as on a processor without AVX-512 (BIOCOSMOS_ISA=avx2), beside peers that use all of this one. Peak memory "
        f"{peak_memory_gib():.1f} GiB, the peers' copies and both forms of the index included.",
    )


if __name__ == "__main__":
    main()
