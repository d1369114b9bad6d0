"""Which default answers most, rightly? Methods and rules for when to answer, chosen on validation specimens of several sets.

    python benchmarks/bench_default_namer.py --sample sample.cosmos --planktonset DATA --cache vectors.npz --coi nltin.parquet

Sets: the shipped sample, PlanktonSet 1.0 with 1,400 and with 4,000 known specimens (default encoder), and DNA barcodes as counts
of four letters in a row, a set of vectors without images. Known specimens are the part "train", cross-fitted; the judged ones
are the part "val": the test parts are not looked at. A set that is not given is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import bench_identify
import biocosmos as bc
from biocosmos.identify.confidence.held_out import cross_fitted
from biocosmos.identify.confidence.promises import is_wrong
from biocosmos.identify.confidence.rules import AnswerRules
from biocosmos.identify.identifier import Identifier, on_logit_scale
from biocosmos.identify.namer import FitOptions, Specimens
from biocosmos.identify.namers.registry import find_namer
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy
from machine import write_results

METHODS = ("linear", "nearest")
RULES = (
    {"threshold": 0.9},
    {"threshold": 0.8},
    {"error_rate": 0.05, "promise": "mean"},
    {"error_rate": 0.1, "promise": "mean"},
    {"error_rate": 0.05, "promise": "answered"},
    {"error_rate": 0.1, "promise": "answered"},
)
LETTERS, COI_RANKS, COI_MOST = 4, ("order", "family", "genus", "species"), (2400, 600)
SEED = 0
NOTES = """
Judged on validation specimens; known specimens cross-fitted, as when images from outside are named. "Wrong": the answer is
neither the true taxon nor above it. Finest rank: answered down to it. docs/identify.md says what was chosen by this table.
"""


def sample(path: Path) -> tuple[Gallery, Gallery]:
    """The shipped sample, in a collection with a default split and vectors (biocosmos demo makes one)."""
    collection = bc.Collection.open(path)
    return collection.gallery(split="train", columns=()), collection.gallery(split="val", columns=())


def planktonset(data: Path, cache: Path | None, known: int) -> tuple[Gallery, Gallery]:
    """PlanktonSet's published training and validation parts, seeded samples."""
    table = bench_identify.choose(data, 1.0)
    vectors = bench_identify.embed(table, cache)
    split, ranks = np.array(table["split"].to_pylist()), list(bench_identify.RANKS)
    taxonomy, ids = Taxonomy.from_table(table.select(ranks), ranks), np.array(table["image_id"].to_pylist(), object)

    def part(name: str, most: int) -> Gallery:
        rows = np.random.default_rng(SEED).permutation(np.flatnonzero(split == name))[:most]
        return Gallery.build(ids[rows], vectors[rows], table=table.take(pa.array(rows)).select(ranks), taxonomy=taxonomy)

    return part("train", known), part("val", 2500)


def coi(path: Path) -> tuple[Gallery, Gallery]:
    """Barcodes of species with three or more, as unit vectors of the roots of 4-mer counts; one of five is judged."""
    table = pq.read_table(path)
    random = np.random.default_rng(SEED)
    table = table.take(pa.array(random.permutation(len(table))[: 4 * sum(COI_MOST)]))
    names = np.array(table["species"].to_pylist(), object)
    common, counts = np.unique(names[names != None], return_counts=True)  # noqa: E711
    kept = np.flatnonzero(np.isin(names, common[counts >= 3]))[: sum(COI_MOST)]
    table = table.take(pa.array(kept))
    column = next(name for name in ("dna_barcode", "barcode") if name in table.column_names)
    words = {"".join(word): i for i, word in enumerate(product("ACGT", repeat=LETTERS))}
    x = np.zeros((len(table), len(words)), np.float32)
    for row, text in enumerate(table[column].to_pylist()):
        for start in range(len(text) - LETTERS + 1):
            if (place := words.get(text[start : start + LETTERS])) is not None:
                x[row, place] += 1
    ranks = [rank for rank in COI_RANKS if rank in table.column_names]
    taxonomy, ids = Taxonomy.from_table(table.select(ranks), ranks), np.array([f"b{i}" for i in range(len(table))], object)
    judged = np.arange(len(table)) % 5 == 0

    def part(mask: np.ndarray) -> Gallery:
        rows = np.flatnonzero(mask)
        return Gallery.build(ids[rows], np.sqrt(x[rows]), table=table.take(pa.array(rows)).select(ranks), taxonomy=taxonomy)

    return part(~judged), part(judged)


def measure(name: str, known: Gallery, judged: Gallery) -> Iterator[dict[str, Any]]:
    """A row for each method and rule; the namer is fitted once for all rules."""
    for method in METHODS:
        options = FitOptions(seed=SEED)
        namer = find_namer(method).fit(known, options)
        raw = cross_fitted(namer, known, options)
        for rule in RULES:
            rules = AnswerRules(**rule)
            held = on_logit_scale(namer, raw, rules, SEED)
            identifier = Identifier.around(namer, held, known=known, rules=rules, seed=SEED)
            said = identifier.namer.predict(Specimens(judged.ids, vectors=judged.vectors, truth=judged.taxa))
            table = identifier.answered(said).table
            taxonomy = known.taxonomy
            path = taxonomy.index(table.select(list(taxonomy.ranks)))
            at = np.array([taxonomy.ranks.index(rank) if rank else -1 for rank in table["rank"].to_pylist()])
            node = np.where(at >= 0, taxonomy.lineage(path)[np.arange(len(at)), at], 0)
            wrong, finest = is_wrong(taxonomy, node, judged.taxa), at == len(taxonomy.ranks) - 1
            answered = node > 0
            yield {
                "set": name,
                "known": len(known),
                "judged": len(judged),
                "method": method,
                "rule": " ".join(f"{key.replace('_', ' ')} {value}" for key, value in rule.items()),
                "answered %": 100 * answered.mean(),
                "finest rank %": 100 * finest.mean(),
                "finest and right %": 100 * (finest & ~wrong).mean(),
                "wrong of all %": 100 * wrong.mean(),
                "wrong of answers %": 100 * wrong.sum() / max(1, answered.sum()),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--planktonset", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--coi", type=Path)
    given = parser.parse_args()
    sets: dict[str, tuple[Gallery, Gallery]] = {}
    if given.sample:
        sets["sample"] = sample(given.sample)
    if given.planktonset:
        sets |= {f"PlanktonSet {n:,}": planktonset(given.planktonset, given.cache, n) for n in (1400, 4000)}
    if given.coi:
        sets["COI 4-mers"] = coi(given.coi)
    rows = []
    for name, (known, judged) in sets.items():
        for row in measure(name, known, judged):
            print(row, flush=True)
            rows.append(row)
    write_results("default_namer", rows, NOTES)


if __name__ == "__main__":
    main()
