"""Families by barcode, with and without a prior of places: what where and when add to a DNA barcode, whole or cut short.

    python benchmarks/real_placed_names.py [--data ../shared/data/coi/nltin.parquet] [--seeds 5] [--work placed/]

The specimens of real_places.py that have a barcode. Cells of 0.1 degree are split into those that name (train), calibrate (val)
and are asked (test), seed by seed; a prior is fitted on train, and floor and exponent are chosen on val. Barcodes are compared by
their 5-mers, whole, and cut to their first bases, as degraded DNA comes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import biocosmos as bc
from biocosmos.barcodes.rules import Rules
from biocosmos.errors import Failures
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.places.placed_identifier import PlacedIdentifier
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.placed_names import Stored, identifiers_with_prior
from biocosmos.jobs.predict import part_blocks
from biocosmos.places import Places, cells
from machine import write_results
from real_places import LEAST

ENCODER, RANKS = "kmer:5", ("class", "order", "family")
BASES = (None, 100, 50, 30)
NOTES = (
    "top-1 in percent and -log p in nats of the family, of specimens in cells that neither named nor calibrated, mean and "
    "standard deviation of the seeds; difference in points, paired over seeds. Exponent: as chosen on the validation cells. The "
    "namer is "
    "`centroid`, a softmax over cosines of 5-mer counts. A prior that is not used (exponent 0) leaves names as they are. "
    "At family: percent of specimens that are answered there under the promise that at most 10 % of answers are wrong, with "
    "probability 90 %; wrong: percent of all answers, at whatever rank."
)


def specimens(path: Path) -> pa.Table:
    """Of the Netherlands, with a day, a place, a barcode, and a family of at least 50."""
    columns = ["processid", "country", "event_date", "decimal_latitude", "decimal_longitude", *RANKS, "dna_barcode"]
    there = pq.read_schema(path).names
    columns[0] = next(name for name in ("processid", "sampleid", "sample_id", "id") if name in there)
    table = pq.read_table(path, columns=[name for name in columns if name in there])
    table = table.rename_columns(
        [
            {columns[0]: "id", "event_date": "date", "decimal_latitude": "latitude", "decimal_longitude": "longitude"}.get(
                name, "barcode" if name == "dna_barcode" else name
            )
            for name in table.column_names
        ]
    )
    table = table.set_column(table.column_names.index("date"), "date", pc.cast(table["date"], pa.string()))
    table = table.set_column(table.column_names.index("id"), "id", pc.cast(table["id"], pa.string()))
    keep = pc.and_(
        pc.equal(table["country"], "Netherlands"), pc.and_(pc.is_valid(table["family"]), pc.is_valid(table["barcode"]))
    )
    table = table.filter(pc.and_(keep, pc.invert(pc.fill_null(pc.ends_with(table["date"], "-01-01"), True))))
    places = Places.of_table(table)
    families = np.array(table["family"].to_pylist(), object).astype(str)
    told = places.has_place & places.has_day
    names, counts = np.unique(families[told], return_counts=True)
    kept = np.flatnonzero(told & np.isin(families, names[counts >= LEAST]))
    squares = cells(places.latitude, places.longitude)[kept]
    return table.take(pa.array(kept)).append_column("cell", pa.array([f"cell {square}" for square in squares]))


def collection_of(table: pa.Table, bases: int | None, folder: Path) -> bc.Collection:
    """With vectors of barcodes cut to so many bases."""
    path = folder / f"{bases or 'whole'}.cosmos"
    shutil.rmtree(path, ignore_errors=True)
    letters = pc.replace_substring(table["barcode"], "-", "")
    if bases is not None:
        letters = pc.utf8_slice_codeunits(letters, 0, bases)
    collection = bc.Collection.create(path)
    cut = table.set_column(table.column_names.index("barcode"), "barcode", letters)
    collection.add(bc.read(cut, rules=Rules(min_length=1, orientation="keep", stop_codons="keep")))
    bc.embed(collection, ENCODER)
    return collection


def scores(predictions: Predictions) -> tuple[float, float]:
    """top-1 in percent and -log p of the true family."""
    judged = predictions.subset(predictions.answerable)
    tree, rank = judged.taxonomy, judged.ranks.index("family")
    nodes, _ = judged.best_path()
    truth = tree.lineage(judged.truth)[:, rank]
    p = judged.tree.log_p(judged.logits, truth[:, None])[:, 0]
    return 100 * float((nodes[:, rank] == truth).mean()), -float(np.maximum(p, np.log(1e-12)).mean())


def answers(identifier: Identifier, predictions: Predictions) -> tuple[float, float]:
    """Percent of specimens that get an answer at the family, and of all answers those that are wrong."""
    judged = predictions.subset(predictions.answerable)
    table, tree = identifier.answered(judged).table, judged.taxonomy
    truth = tree.lineage(judged.truth)
    named = [
        (rank, taxon, tree.name(truth[row]).tolist()[tree.ranks.index(rank)])
        for row, (rank, taxon) in enumerate(zip(table["rank"].to_pylist(), table["taxon"].to_pylist(), strict=True))
        if rank is not None
    ]
    wrong = sum(taxon != own for _, taxon, own in named) / max(1, len(named))
    return 100 * sum(rank == "family" for rank, _, _ in named) / len(judged), 100 * wrong


def one(collection: bc.Collection, seed: int) -> dict[str, float]:
    """One split by cells."""
    collection.make_split("grouped", column="cell", seed=seed)
    asked = IdentifySettings(
        part="test", method="centroid", encoder=ENCODER, novelty="knn", prior="collection", seed=seed, fresh=True
    )
    plain, combined, placing = identifiers_with_prior(collection, asked, Failures())
    where = Stored(collection, "test")
    blocks = part_blocks(
        collection, plain.namer, "test", encoder=ENCODER, where=None, columns=["image_path"], failures=Failures()
    )
    without = Predictions.concatenate(plain.namer.stream(blocks))
    with_place, who = without, plain
    if combined is not None:
        who = placed = PlacedIdentifier.of(plain, where, combined=combined, placing=placing)
        with_place = placed.with_place(without, where(without.ids).places)
    (answered, wrong), (answered_with, wrong_with) = answers(plain, without), answers(who, without)
    (top, nll), (top_with, nll_with) = scores(without), scores(with_place)
    return {
        "top": top,
        "top_with": top_with,
        "nll": nll,
        "nll_with": nll_with,
        "answered": answered,
        "answered_with": answered_with,
        "wrong": wrong,
        "wrong_with": wrong_with,
        "exponent": placing.exponent,
        "asked": len(without),
    }


def rows(table: pa.Table, folder: Path, seeds: int) -> list[dict[str, Any]]:
    """One of each length."""
    found = []
    for bases in BASES:
        collection = collection_of(table, bases, folder)
        each = []
        for seed in range(seeds):
            each.append(one(collection, seed))
            print(bases or "whole", seed, {name: round(value, 3) for name, value in each[-1].items()}, flush=True)
        values = {name: np.array([row[name] for row in each]) for name in each[0]}

        def told(name: np.ndarray, digits: int = 1, sign: str = "") -> str:
            return f"{name.mean():{sign}.{digits}f} ± {name.std(ddof=1) if len(name) > 1 else 0:.{digits}f}"

        found.append(
            {
                "bases": bases or "all",
                "top-1 without": told(values["top"]),
                "top-1 with place": told(values["top_with"]),
                "difference": told(values["top_with"] - values["top"], 2, "+"),
                "-log p without": told(values["nll"], 3),
                "-log p with place": told(values["nll_with"], 3),
                "at family without": told(values["answered"]),
                "at family with place": told(values["answered_with"]),
                "wrong without": told(values["wrong"]),
                "wrong with place": told(values["wrong_with"]),
                "exponents": ", ".join(f"{value:g}" for value in values["exponent"]),
                "asked": f"{values['asked'].mean():.0f}",
            }
        )
        shutil.rmtree(collection.path, ignore_errors=True)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--data", type=Path, default=Path("../shared/data/coi/nltin.parquet"))
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--work", type=Path, default=Path("placed"))
    told = asked.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    table = specimens(told.data)
    families = len(set(table["family"].to_pylist()))
    said = f"{len(table):,} specimens of {families} families. "
    print(write_results("placed_names", rows(table, told.work, told.seeds), said + NOTES))


if __name__ == "__main__":
    main()
