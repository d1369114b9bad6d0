"""Nearest barcodes beside vsearch and BLAST: queries per CPU-second and the names that the best hit gives.

    python benchmarks/bench_barcode_search.py                  # both galleries: some ten minutes of a free machine
    python benchmarks/bench_barcode_search.py --only nltin     # or simulated, with --references 20000 for a quick look

Every engine is a process of its own with one thread that reads the same FASTA files and writes one best hit a query. What counts
is its user and system time less that of the same process with one query, which is the set-up (reading, masking, indexing; of
BLAST only reading, its database is made before). Engines take their turns in one run, and queries as many as their speed allows:
where it is not all of them, they are drawn with one seed, and names are right or wrong among those.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from machine import RESULTS, write_results

SEED = 5
ID = "0.7"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Engine:
    """command: of (queries, gallery, output), writing query and target in the first two columns, best first; shares: the part of
    the queries of each gallery that it is asked; times: how often each is asked, where it is fast."""

    name: str
    command: Callable[[Path, Path, Path], list[str]]
    shares: dict[str, float]
    times: int = 1


def vsearch(*more: str) -> Callable[[Path, Path, Path], list[str]]:
    """vsearch --usearch_global, plus strand."""

    def command(queries: Path, gallery: Path, output: Path) -> list[str]:
        files = ["--usearch_global", str(queries), "--db", str(gallery), "--blast6out", str(output)]
        return ["vsearch", *files, "--id", ID, "--strand", "plus", "--threads", "1", "--top_hits_only", "--quiet", *more]

    return command


def blast(task: str) -> Callable[[Path, Path, Path], list[str]]:
    """blastn, plus strand."""

    def command(queries: Path, gallery: Path, output: Path) -> list[str]:
        files = ["-query", str(queries), "-db", str(gallery), "-out", str(output)]
        more = ["-outfmt", "6", "-strand", "plus", "-max_target_seqs", "10", "-num_threads", "1"]
        return ["blastn", "-task", task, *files, *more]

    return command


def ours(*more: str) -> Callable[[Path, Path, Path], list[str]]:
    """This file, as a process that searches."""
    return lambda queries, gallery, output: [
        sys.executable,
        __file__,
        "--search",
        str(queries),
        str(gallery),
        str(output),
        *more,
    ]


ENGINES = [
    Engine("biocosmos kmer:7, 50 aligned", ours(), {"nltin": 1, "simulated": 1}, times=4),
    Engine("biocosmos kmer:7, k-mers alone", ours("--candidates", "0"), {"nltin": 1, "simulated": 0}, times=4),
    Engine("vsearch (maxaccepts 1, maxrejects 32)", vsearch(), {"nltin": 1, "simulated": 0.5}),
    Engine(
        "vsearch, maxaccepts 32, maxrejects 256",
        vsearch("--maxaccepts", "32", "--maxrejects", "256"),
        {"nltin": 1, "simulated": 0.2},
    ),
    Engine("vsearch, exhaustive", vsearch("--maxaccepts", "0", "--maxrejects", "0"), {"nltin": 0.005, "simulated": 0}),
    Engine("megablast", blast("megablast"), {"nltin": 0.1, "simulated": 0.02}),
    Engine("blastn", blast("blastn"), {"nltin": 0.02, "simulated": 0}),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=("nltin", "simulated"))
    options.add_argument("--references", type=int, default=200_000)
    options.add_argument("--queries", type=int, default=1_000, help="simulated ones")
    options.add_argument("--data", type=Path, default=Path("../shared/data/coi/nltin.parquet"))
    options.add_argument("--search", nargs=3, metavar="FILE", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--candidates", type=int, default=50, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.search:
        search(*asked.search, candidates=asked.candidates)
        return
    for name, package in (("vsearch", "vsearch"), ("blastn", "ncbi-blast+"), ("makeblastdb", "ncbi-blast+")):
        if shutil.which(name) is None:
            raise SystemExit(f"{name} is not installed: apt-get install {package}")
    rows: Rows = before(asked.only)
    with tempfile.TemporaryDirectory() as folder:
        if asked.only != "simulated":
            rows += compare("nltin", *nltin(asked.data), Path(folder))
        if asked.only != "nltin":
            rows += compare("simulated", *simulated(asked.references, asked.queries), Path(folder))
    versions = [
        subprocess.run(["vsearch", "--version"], capture_output=True, text=True, check=True).stderr.split(",")[0],
        subprocess.run(["blastn", "-version"], capture_output=True, text=True, check=True).stdout.splitlines()[0],
    ]
    notes = (
        f"{'; '.join(versions)}. vsearch: --usearch_global --id {ID} --strand plus --top_hits_only, masked as by default, the "
        "first of its best hits; BLAST: -strand plus -max_target_seqs 10, the first hit. Ours: the nearest distinct barcodes by "
        "k-mers, the first by alignment. A query without a hit is wrong. x: queries per CPU-second as times those of vsearch's "
        "defaults in the same run. nltin: gallery train, queries test (species) and test_unseen (genus, family)."
    )
    print(write_results("barcode_search", rows, notes).read_text(encoding="utf-8"))


def before(only: str | None) -> Rows:
    """Rows of the gallery that is not asked for, from the results that are there."""
    results = RESULTS / "barcode_search.json"
    if only is None or not results.exists():
        return []
    return [row for row in json.loads(results.read_text(encoding="utf-8"))["rows"] if not row["data"].startswith(only)]


def search(queries: Path, gallery: Path, output: Path, *, candidates: int) -> None:
    """What the benchmark measures of us: read, count, index, search, align, write."""
    from biocosmos.barcodes.alignment import Letters
    from biocosmos.barcodes.kmers import KmerCounts
    from biocosmos.search.gallery import Gallery
    from biocosmos.search.reranking import rerank

    ids, barcodes = read(gallery)
    names, asked = read(queries)
    found = Gallery.build(ids, KmerCounts.of(barcodes, 7))
    letters = Letters(barcodes) if candidates else None
    with output.open("w", encoding="utf-8") as file:
        for i in range(0, len(asked), 2048):
            part = asked[i : i + 2048]
            hits = found.search(KmerCounts.of(part, 7), max(candidates, 1), fold=True)
            rows = (hits if letters is None else rerank(part, letters, hits, k=1).hits).rows[:, 0]
            file.writelines(f"{name}\t{ids[row]}\n" for name, row in zip(names[i : i + 2048], rows.tolist()))


def read(path: Path) -> tuple[list[str], list[str]]:
    """(ids, sequences) of a FASTA file of one line each."""
    lines = path.read_text(encoding="ascii").split("\n")
    return [line[1:] for line in lines[:-1:2]], lines[1::2]


def write(path: Path, rows: Rows, times: int = 1) -> None:
    path.write_text("".join(f">{row['id']}\n{row['barcode']}\n" for _ in range(times) for row in rows), encoding="ascii")


def nltin(data: Path) -> tuple[Rows, Rows]:
    """(gallery, queries) of the real records."""
    columns = ["processid", "dna_barcode", "family", "genus", "species", "split"]
    table = pq.read_table(data, columns=columns).to_pylist()
    for row in table:
        row["id"], row["barcode"] = row["processid"], (row["dna_barcode"] or "").upper().replace("-", "").strip("N")
    gallery = [row for row in table if row["split"] == "train"]
    return gallery, [{**row, "seen": row["split"] == "test"} for row in table if row["split"] in ("test", "test_unseen")]


def simulated(references: int, queries: int) -> tuple[Rows, Rows]:
    """Invented barcodes, eight a species: half of the queries are of species that the gallery has, half of others."""
    from biocosmos.barcodes.simulate import simulate_barcodes

    species = references // 8
    specimens = references + 5 * queries  # what is taken out of the gallery, about
    table = simulate_barcodes(seed=SEED, species=species, genera=species // 5, specimens=specimens)
    rows = table.select(["id", "barcode", "family", "genus", "species"]).to_pylist()
    draw = random.Random(SEED)
    by_genus: dict[str, set[str]] = {}
    for row in rows:
        by_genus.setdefault(row["genus"], set()).add(row["species"])
    several = sorted(min(names) for names in by_genus.values() if len(names) > 1)
    unseen = set(draw.sample(several, min(queries // 2, len(several))))
    apart = [row for row in rows if row["species"] in unseen]
    rest = [row for row in rows if row["species"] not in unseen]
    draw.shuffle(rest)
    left = Counter(row["species"] for row in rest)
    seen: Rows = []
    gallery: Rows = []
    for row in rest:
        if len(seen) < queries // 2 and left[row["species"]] > 1:
            seen.append({**row, "seen": True})
            left[row["species"]] -= 1
        else:
            gallery.append(row)
    others = [{**row, "seen": False} for row in draw.sample(apart, min(queries // 2, len(apart)))]
    return sorted(gallery, key=lambda row: str(row["id"])), seen + others


def compare(data: str, gallery: Rows, queries: Rows, folder: Path) -> Rows:
    """A row for each engine."""
    base = folder / f"{data}.fasta"
    write(base, gallery)
    subprocess.run(["makeblastdb", "-in", str(base), "-dbtype", "nucl"], check=True, capture_output=True)
    rows: Rows = []
    set_ups: dict[str, float] = {}  # of a program: what comes before the first query does not depend on its options
    for engine in ENGINES:
        if not engine.shares[data]:
            continue
        count = max(1, round(engine.shares[data] * len(queries)))
        asked = queries if count == len(queries) else random.Random(SEED).sample(queries, count)
        one, many, out = (folder / f"{data}.{name}" for name in ("one.fasta", "many.fasta", "tsv"))
        write(one, asked[:1])
        write(many, asked, engine.times)
        program = engine.name.split()[0].rstrip(",")
        if program not in set_ups:
            set_ups[program] = cpu_seconds(engine.command(one, base, out))
        set_up = set_ups[program]
        seconds = cpu_seconds(engine.command(many, base, out)) - set_up
        row = {
            "data": f"{data}, {len(gallery):,} barcodes",
            "engine": engine.name,
            "queries": count,
            "queries/CPU s": round(count * engine.times / seconds, 1),
            "x": None,
            "set-up CPU s": round(set_up, 1),
            **right(out, gallery, asked),
        }
        rows.append(row)
        print(row, flush=True)
    basis = next(row["queries/CPU s"] for row in rows if str(row["engine"]).startswith("vsearch ("))
    for row in rows:
        row["x"] = round(row["queries/CPU s"] / basis, 2)
    return rows


def cpu_seconds(command: Sequence[str]) -> float:
    """User and system time of a child and what it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.run(command, check=True, env=os.environ | threads, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def right(output: Path, gallery: Rows, asked: Rows) -> dict[str, float | None]:
    """Share of the queries whose best hit has their name."""
    known = {row["id"]: row for row in gallery}
    best: dict[str, dict[str, Any]] = {}
    for line in output.read_text(encoding="ascii").splitlines():
        query, target = line.split("\t")[:2]
        best.setdefault(query, known[target])

    def share(rank: str, seen: bool) -> float | None:
        rows = [row for row in asked if row["seen"] is seen and row[rank]]
        return round(sum(best.get(row["id"], {}).get(rank) == row[rank] for row in rows) / len(rows), 3) if rows else None

    return {
        "species (seen)": share("species", True),
        "genus (seen)": share("genus", True),
        "genus (unseen species)": share("genus", False),
        "family (unseen species)": share("family", False),
    }


if __name__ == "__main__":
    main()
