"""Build a tree of 350,000 taxa and roll 10,000 x 350,000 scores up to every rank, beside loops over Python dictionaries.

    python benchmarks/bench_taxonomy.py

Two peers, written here: `dictionary loop` adds each probability to a dictionary under its taxon's path, query by query and
column by column, as pybioclip does for one rank; `numpy bincount` calls np.bincount per query and rank. They run on a part
of the queries; seconds per 10,000 queries are scaled up from it, and their sums are checked against ours. Each size of
roll-up runs in a process of its own, so that the peak memory is that size's own; scores are random, float32, made
afresh for each chunk, and the time to make them is not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa

from biocosmos.taxonomy import DARWIN_CORE, RollUpPlan, Taxonomy
from machine import cpu_and_wall, peak_memory_gib, write_results

SPECIES = 350_000
# Named taxa per rank, roughly the shares of a tree of life with that many species.
WIDTHS = {"kingdom": 7, "phylum": 60, "class": 250, "order": 1_200, "family": 7_000, "genus": 60_000}
NULL_SHARE = 0.03  # of the cells above species
CHUNK = 64  # queries; 64 x 350,000 float32 are 85 MiB
SEED = 0


def table() -> pa.Table:
    """350,000 species; children fall to parents by a 1/i law, so that most genera are tiny and a few huge."""
    rng = np.random.default_rng(SEED)
    parent_of = {}
    widths = [*WIDTHS.values(), SPECIES]
    for coarse, fine in pairwise(widths):
        weight = 1 / np.arange(1, coarse + 1)
        parent_of[fine] = rng.choice(coarse, fine, p=weight / weight.sum())
    ids = np.arange(SPECIES)
    columns = {"species": pa.array(np.char.add("Species s", ids.astype(str)))}
    for rank, fine in zip(reversed(WIDTHS), reversed(widths[1:])):
        ids = parent_of[fine][ids]
        names = np.char.add(rank.capitalize(), ids.astype(str))
        columns[rank] = pa.array(names, mask=rng.random(SPECIES) < NULL_SHARE)
    return pa.table({rank: columns[rank] for rank in DARWIN_CORE})


def chunks(queries: int, columns: int, clock: list[float]):
    """Random scores, chunk after chunk; the seconds spent making them go to ``clock`` (CPU, wall)."""
    rng = np.random.default_rng(SEED)
    for start in range(0, queries, CHUNK):
        cpu, wall = time.process_time(), time.perf_counter()
        scores = rng.random((min(CHUNK, queries - start), columns), np.float32)
        clock[0] += time.process_time() - cpu
        clock[1] += time.perf_counter() - wall
        yield scores


def stream(queries: int, order: str) -> dict[str, float]:
    """Roll ``queries`` queries up to all ranks and take the best taxon per rank, as a user would; CPU and wall seconds."""
    tax = Taxonomy.from_table(table())
    nodes = tax.leaves if order == "tree" else np.random.default_rng(1).permutation(tax.leaves)
    before = peak_memory_gib()
    clock = [0.0, 0.0]
    cpu, wall = time.process_time(), time.perf_counter()
    rows = 0
    for ranks in tax.roll_up_chunks(chunks(queries, len(nodes), clock), nodes=nodes):
        rows += len(ranks["genus"].scores.argmax(axis=1))
    cpu, wall = time.process_time() - cpu - clock[0], time.perf_counter() - wall - clock[1]
    assert rows == queries
    return {"cpu s": cpu, "wall s": wall, "peak GiB": peak_memory_gib(), "of that tree GiB": before}


def dictionary_loop(scores: np.ndarray, paths: dict[str, list[tuple[str | None, ...]]], rank: str) -> list[dict]:
    """One dictionary per query: path down to the rank -> summed probability."""
    results = []
    keys = paths[rank]
    for row in scores:
        sums: dict[tuple[str | None, ...], float] = defaultdict(float)
        for key, probability in zip(keys, row.tolist()):
            sums[key] += probability
        results.append(sums)
    return results


def bincounts(scores: np.ndarray, places: dict[str, np.ndarray], widths: dict[str, int]) -> list[dict[str, np.ndarray]]:
    return [{rank: np.bincount(places[rank], weights=row, minlength=widths[rank]) for rank in places} for row in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--part", type=int, default=8, help="queries that the Python loops run on")
    parser.add_argument("--only-stream", nargs=2, metavar=("QUERIES", "ORDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_stream:
        print(json.dumps(stream(int(options.only_stream[0]), options.only_stream[1])))
        return

    source = table()
    build = cpu_and_wall(lambda: Taxonomy.from_table(source), repeats=5)
    tax = build.result
    index = cpu_and_wall(lambda: tax.index(source), repeats=5)
    pairs = np.random.default_rng(SEED).integers(0, len(tax), (2, 1_000_000))
    common = cpu_and_wall(lambda: tax.lowest_common(*pairs), repeats=3)
    find = cpu_and_wall(lambda: tax.find("Species s777"), repeats=5)
    print(f"{tax}\nbuild {build.wall:.2f} s, index of {SPECIES:,} rows {index.wall:.2f} s, 1e6 lowest common {common.wall:.2f} s")
    rows = [
        {"what": f"build, {len(tax) - 1:,} taxa from {SPECIES:,} rows", "cpu s": build.cpu, "wall s": build.wall},
        {"what": f"index, {SPECIES:,} rows", "cpu s": index.cpu, "wall s": index.wall},
        {"what": "lowest_common, 1,000,000 pairs", "cpu s": common.cpu, "wall s": common.wall},
        {"what": "find, one name", "cpu s": find.cpu, "wall s": find.wall},
    ]

    ours = {}
    for queries, order in ((options.queries // 10, "tree"), (options.queries, "tree"), (options.queries, "random")):
        command = [sys.executable, __file__, "--only-stream", str(queries), order]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ours[queries, order] = done
        rows.append({"what": f"roll_up_chunks, {queries:,} queries, all 7 ranks, columns in {order} order", **done})
        print(f"{queries:,} queries, {order} order: {done['wall s']:.1f} s, peak {done['peak GiB']:.2f} GiB")

    part = np.random.default_rng(SEED).random((options.part, len(tax.leaves)), np.float32)
    lineage = tax.lineage(tax.leaves)
    names = [tax.path(leaf) for leaf in tax.leaves]
    plan = RollUpPlan(tax, tax.leaves, tax.ranks)
    found = plan(part)
    scale = options.queries / options.part
    reference = ours[options.queries, "tree"]

    genus = lineage[:, tax.rank_index("genus")]
    paths = {rank: [tuple(path[: i + 1]) for path in names] for i, rank in enumerate(tax.ranks)}
    one = cpu_and_wall(lambda: dictionary_loop(part, paths, "genus"), repeats=3)
    every = cpu_and_wall(lambda: [dictionary_loop(part, paths, rank) for rank in tax.ranks], repeats=1, warmup=0)
    check = np.array([one.result[0][tuple(tax.path(taxon)[:6])] for taxon in found["genus"].taxa])
    assert np.allclose(check, found["genus"].scores[0], rtol=1e-5), "the dictionary loop and roll_up disagree"
    assert np.isclose(part[0][genus < 0].sum(dtype=np.float64), found["genus"].unplaced[0], rtol=1e-5)

    places = {rank: np.searchsorted(tax.at_rank(rank), lineage[:, i]) for i, rank in enumerate(tax.ranks)}
    for i, rank in enumerate(tax.ranks):
        places[rank][lineage[:, i] < 0] = len(tax.at_rank(rank))
    widths = {rank: len(tax.at_rank(rank)) + 1 for rank in tax.ranks}
    counted = cpu_and_wall(lambda: bincounts(part, places, widths), repeats=3)
    assert np.allclose(counted.result[0]["family"][:-1], found["family"].scores[0], rtol=1e-5)

    for what, timing in (
        ("dictionary loop, one rank (genus)", one),
        ("dictionary loop, all 7 ranks", every),
        ("numpy bincount per query, all 7 ranks", counted),
    ):
        row = {"what": f"{what}, {options.part} queries scaled to {options.queries:,}"}
        row |= {
            "cpu s": timing.cpu * scale,
            "wall s": timing.wall * scale,
            "times ours (cpu)": timing.cpu * scale / reference["cpu s"],
        }
        rows.append(row)
        print(f"{row['what']}: {row['wall s']:,.0f} s, {row['times ours (cpu)']:.0f} times ours")
    grown = reference["peak GiB"] - ours[options.queries // 10, "tree"]["peak GiB"]
    notes = (
        f"{tax}. Scores are random float32, made chunk by chunk ({CHUNK} queries) and not counted in the time; `times ours` "
        f"compares with `roll_up_chunks` of all 7 ranks in tree order, also where the peer does one rank. Peak memory is the "
        f"whole process (`of that tree GiB`: before the first chunk); from {options.queries // 10:,} to {options.queries:,} "
        f"queries it grew by {grown * 1024:.0f} MiB. The dictionary loop and bincount gave the same sums to 1e-5."
    )
    print(write_results("taxonomy", rows, notes))


if __name__ == "__main__":
    main()
